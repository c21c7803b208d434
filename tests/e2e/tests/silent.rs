//! Ten thousand sockets that never send a CONNECT delay nobody, and are closed when their time is over.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use e2e::pace::Pace;
use e2e::socket::{self, Socket};
use e2e::{PATIENCE, Setup, resources};

#[test]
fn ten_thousand_silent_sockets_delay_nobody_and_are_closed() {
    resources::raise_open_files(SOCKETS);
    let config = format!(
        "[server]\nmax_connections = {}\nconnect_timeout_secs = {}\n",
        SOCKETS + 100,
        CONNECT_TIMEOUT.as_secs()
    );
    let broker = Setup::new("silent").shards(2).config(&config).start();
    let port = broker.port;

    let begun = Instant::now();
    let (first_closed, pace) = Pace::during(port, || {
        let mut sockets: Vec<Socket> = (0..SOCKETS).map(|number| silent(port, number)).collect();
        println!("{SOCKETS} sockets took {:?}", begun.elapsed());
        let mut first_closed = None;
        for socket in &mut sockets {
            assert!(socket.read_to_end(PATIENCE).is_empty(), "there is nobody to answer yet");
            first_closed.get_or_insert_with(|| begun.elapsed());
        }
        first_closed.unwrap()
    });
    println!("the first was closed after {first_closed:?}, the last after {:?}", begun.elapsed());
    println!("meanwhile {}", pace.shown());
    assert!(first_closed >= CONNECT_TIMEOUT, "{first_closed:?} is too early");
    assert!(pace.worst() < SLOW, "{}", pace.shown());
    broker.await_counter("connect_timeouts", SOCKETS as u64);
    assert_eq!(broker.counter("connect_timeouts"), SOCKETS as u64);
    assert_eq!(broker.end(libc::SIGTERM).code, Some(0));
}

/// Every other one begins a CONNECT and does not end it.
fn silent(port: u16, number: usize) -> Socket {
    let mut socket = Socket::open(port);
    if number.is_multiple_of(2) {
        let connect = socket::connect("never", true);
        socket.send(&connect[..1 + number % (connect.len() - 1)]);
    }
    socket
}

const SOCKETS: usize = 10_000;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Much slower than a broker that is not held up, much quicker than one that is.
const SLOW: Duration = Duration::from_millis(500);
