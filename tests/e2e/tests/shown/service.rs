//! The notification protocol of systemd, at a socket of the test's own.

use std::{fs, os::unix::net::UnixDatagram, time::Instant};

use e2e::{Broker, PATIENCE, Setup};

fn start(name: &str, watchdog_usec: Option<&str>) -> (Broker, UnixDatagram) {
    let setup = Setup::new(name).config("");
    let path = setup.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut setup = setup.shards(2).variable("NOTIFY_SOCKET", path);
    if let Some(usec) = watchdog_usec {
        setup = setup.variable("WATCHDOG_USEC", usec);
    }
    (setup.start(), socket)
}

fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let len = socket.recv(&mut buffer).expect("something is told in time");
    String::from_utf8(buffer[..len].to_vec()).unwrap()
}

/// Past what the watchdog hears.
fn next_state(socket: &UnixDatagram) -> String {
    loop {
        let told = next(socket);
        if told != "WATCHDOG=1" {
            return told;
        }
    }
}

fn monotonic_usec() -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the time into the value that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[test]
fn systemd_hears_of_start_reload_and_end() {
    let (broker, socket) = start("service", None);
    let ready = next(&socket);
    assert!(ready.starts_with("READY=1\nSTATUS=listening on tcp://127.0.0.1:"), "{ready}");
    let before = monotonic_usec();
    broker.process.signal(libc::SIGHUP);
    let reloading = next(&socket);
    let usec = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("it reloads, and says when");
    assert!((before..=monotonic_usec()).contains(&usec.parse().unwrap()), "{reloading}");
    assert!(next(&socket).starts_with("READY=1\nSTATUS=listening on tcp://127.0.0.1:"));
    broker.process.signal(libc::SIGTERM);
    assert!(next(&socket).starts_with("STOPPING=1\n"));
}

#[test]
fn systemd_hears_that_a_reload_was_refused_and_that_the_broker_serves_on() {
    let (broker, socket) = start("service-refused", None);
    assert!(next(&socket).starts_with("READY=1\n"));
    let file = broker.folder().join("iothub.toml");
    fs::write(&file, "[session]\nmax_inflght = 1\n").unwrap();
    broker.process.signal(libc::SIGHUP);
    assert!(next(&socket).starts_with("RELOADING=1\n"));
    let refused = next(&socket);
    let status = "READY=1\nSTATUS=a reload was refused, and nothing is changed: ";
    assert!(refused.starts_with(status) && refused.contains("session.max_inflght: unknown key"), "{refused}");
    fs::write(&file, "").unwrap();
    broker.process.signal(libc::SIGHUP);
    assert!(next(&socket).starts_with("RELOADING=1\n"));
    assert!(
        next(&socket).starts_with("READY=1\nSTATUS=listening on tcp://127.0.0.1:"),
        "the refusal is over"
    );
}

#[test]
fn the_watchdog_hears_something_within_its_period_as_long_as_the_broker_runs() {
    let (broker, socket) = start("watchdog", Some("3000000"));
    let mut heard = Vec::new();
    while heard.len() < 4 {
        if next(&socket) == "WATCHDOG=1" {
            heard.push(Instant::now());
        }
    }
    let longest = heard.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest.as_millis() < 3000, "{longest:?}");
    broker.process.signal(libc::SIGTERM);
    assert!(next_state(&socket).starts_with("STOPPING=1\n"));
}

#[test]
fn a_watchdog_of_another_process_hears_nothing() {
    let setup = Setup::new("no-watchdog");
    let path = setup.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let setup = setup.shards(1).variable("NOTIFY_SOCKET", path);
    let broker = setup.variable("WATCHDOG_USEC", "1000").variable("WATCHDOG_PID", "1").start();
    assert!(next(&socket).starts_with("READY=1\n"));
    broker.process.signal(libc::SIGTERM);
    assert!(next(&socket).starts_with("STOPPING=1\n"), "and nothing in between");
}
