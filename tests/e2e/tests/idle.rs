//! Ten thousand connections that do nothing cost little, and nobody notices them.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::pace::Pace;
use e2e::socket;
use e2e::{Setup, broker, resources};

#[test]
fn ten_thousand_idle_connections_cost_little_and_delay_nobody() {
    resources::raise_open_files(CONNECTIONS);
    let port = broker::free_port();
    let listen = format!("tcp://127.0.0.1:{port}");
    let config = format!("[server]\nmax_connections = {}\n", CONNECTIONS + 100);
    // Quiet, so that the memory of the log does not count.
    let broker =
        Setup::bare("idle").args(["--listen", &listen, "--shards", "2", "-q"]).config(&config).start_on(port);
    let process = broker.process.id();
    let before = Pace::of(port, ROUND_TRIPS);
    let files_before = resources::open_files(process);
    let resident_before = resources::resident_bytes(process);

    let begun = Instant::now();
    let (connections, while_connecting) = Pace::during(port, || socket::connect_idle(port, CONNECTIONS));
    println!("{CONNECTIONS} connections took {:?}; meanwhile {}", begun.elapsed(), while_connecting.shown());

    let grown = resources::resident_bytes(process).saturating_sub(resident_before);
    let each = grown / CONNECTIONS as u64;
    println!("{each} resident bytes for each idle connection ({grown} in all)");
    let after = Pace::of(port, ROUND_TRIPS);
    println!("before: {}; with them: {}", before.shown(), after.shown());

    assert!(each <= BYTES_PER_CONNECTION_MAX, "{each} bytes for each connection");
    assert!(while_connecting.worst() < SLOW, "while connecting: {}", while_connecting.shown());
    assert!(after.median() < before.median() * 5 + Duration::from_millis(2), "{}", after.shown());
    assert!(after.worst() < SLOW, "{}", after.shown());

    let (_, while_closing) = Pace::during(port, || {
        drop(connections);
        let deadline = Instant::now() + e2e::PATIENCE;
        // The probe's own two connections and what the broker had before.
        while resources::open_files(process) > files_before + 4 {
            assert!(Instant::now() < deadline, "{} files are open", resources::open_files(process));
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    println!("while they end: {}", while_closing.shown());
    assert!(while_closing.worst() < SLOW, "while closing: {}", while_closing.shown());
    assert_eq!(broker.end(libc::SIGTERM).code, Some(0));
}

const CONNECTIONS: usize = 10_000;
const ROUND_TRIPS: usize = 300;
/// One megabyte for a thousand.
const BYTES_PER_CONNECTION_MAX: u64 = 1000;
/// Much slower than a broker that is not held up, much quicker than one that is.
const SLOW: Duration = Duration::from_millis(500);
