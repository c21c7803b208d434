//! Signals that end at once, and those that end nothing.

use std::thread;
use std::time::{Duration, Instant};

use client::QoS;
use e2e::socket::Socket;
use e2e::{Broker, Link, Setup, v5};

#[test]
fn a_second_signal_ends_at_once() {
    for second in [libc::SIGTERM, libc::SIGINT] {
        let mut broker = stuck_broker("signals-second");
        broker.process.signal(libc::SIGTERM);
        broker.process.await_text("draining");
        // Signals that come together are one request.
        thread::sleep(Duration::from_millis(200));
        assert!(broker.process.is_running(), "it waits for the reader");
        let begun = Instant::now();
        broker.process.signal(second);
        let ended = broker.ended(begun);
        assert_eq!(ended.code, Some(1));
        assert!(ended.says("again: ending at once"), "{ended:?}");
        assert!(ended.took < Duration::from_secs(1), "{:?}", ended.took);
    }
}

#[test]
fn sigterm_may_be_set_to_end_at_once() {
    let mut broker = stuck_broker_with("signals-at-once", "sigterm = \"end\"\n");
    let begun = Instant::now();
    broker.process.signal(libc::SIGTERM);
    let ended = broker.ended(begun);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.says("SIGTERM: ending at once, as server.sigterm says"), "{ended:?}");
    assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
}

#[test]
fn sighup_sigusr1_and_sigusr2_end_nothing() {
    for shards in [1, 2] {
        let mut broker = Broker::start("signals-harmless", shards);
        let mut link = Link::connect(broker.port, v5("served"));
        broker.process.signal(libc::SIGHUP);
        broker.process.await_text("SIGHUP: reloaded, 0 changes");
        broker.process.signal(libc::SIGUSR1);
        broker.process.await_text("SIGUSR1: there is nothing to save");
        assert_eq!(broker.counter("connections"), 1);
        link.expect_silence();
        assert!(broker.process.is_running());
        link.close();
        assert_eq!(broker.end(libc::SIGTERM).code, Some(0));
    }
}

#[test]
fn a_port_is_free_as_soon_as_its_broker_has_ended() {
    let port = e2e::broker::free_port();
    let listen = format!("tcp://127.0.0.1:{port}");
    for _ in 0..10 {
        let broker = Setup::bare("signals-restart").args(["--listen", &listen, "--shards", "2"]).start();
        let link = Link::connect(port, v5("client"));
        link.close();
        assert_eq!(broker.end(libc::SIGTERM).code, Some(0));
    }
}

#[test]
fn a_killed_broker_leaves_its_port_to_the_next() {
    // The kernel ends an io_uring a moment after its process, and the listening sockets with it.
    let port = e2e::broker::free_port();
    let listen = format!("tcp://127.0.0.1:{port}");
    for _ in 0..10 {
        let broker = Setup::bare("signals-killed").args(["--listen", &listen, "--shards", "2"]).start();
        Link::connect(port, v5("client")).close();
        assert_eq!(broker.end(libc::SIGKILL).code, None);
    }
}

/// A broker that would drain for a minute, because a reader does not read.
fn stuck_broker(name: &str) -> Broker {
    stuck_broker_with(name, "")
}

/// The socket of the reader stays open in this process until it ends.
fn stuck_broker_with(name: &str, settings: &str) -> Broker {
    let config = format!("[server]\nshutdown_timeout_secs = 60\n{settings}");
    let broker = Setup::new(name).shards(2).config(&config).start();
    let mut stuck = Socket::connect(broker.port, "stuck", true);
    stuck.subscribe("flood", QoS::AtMostOnce);
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    for _ in 0..200 {
        publisher.publish("flood", vec![b'x'; 60_000], QoS::AtLeastOnce);
    }
    publisher.close();
    std::mem::forget(stuck);
    broker
}
