//! A drain: nobody is let in, what is under way goes out, and 5.0 clients hear the reason.

use std::time::{Duration, Instant};

use client::{Disconnection, Publication, QoS, ReasonCode, Version, Will};
use e2e::socket::Socket;
use e2e::{Broker, Link, Setup, v5, v311};

const SIGNALS: [libc::c_int; 2] = [libc::SIGTERM, libc::SIGINT];

#[test]
fn both_signals_drain_and_each_version_hears_what_it_can() {
    for signal in SIGNALS {
        for shards in [1, 2, 4] {
            let mut broker = Broker::start("drain-both", shards);
            let mut modern: Vec<Link> =
                (0..8).map(|number| Link::connect(broker.port, v5(&format!("modern-{number}")))).collect();
            let mut old = Link::connect(broker.port, v311("old"));
            let begun = Instant::now();
            broker.process.signal(signal);
            for link in &mut modern {
                assert_eq!(link.ended_by_server(), ReasonCode::ServerShuttingDown);
            }
            assert_eq!(old.disconnection(), Disconnection::Lost, "3.1.1 has no word for it");
            let ended = broker.ended(begun);
            assert_eq!(ended.code, Some(0), "{ended:?}");
            assert!(ended.says("drained connections=9"), "{ended:?}");
            assert!(ended.took < Duration::from_secs(3), "nobody is left to wait for: {:?}", ended.took);
            assert!(std::net::TcpStream::connect(broker.address()).is_err(), "the port is free");
        }
    }
}

#[test]
fn an_idle_broker_ends_at_once() {
    for signal in SIGNALS {
        let ended = Broker::start("drain-idle", 4).end(signal);
        assert_eq!(ended.code, Some(0));
        assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
    }
}

#[test]
fn what_is_queued_to_a_socket_is_flushed_first() {
    for shards in [1, 2] {
        // All of it is encoded for the socket at once, and the socket takes a part of it only.
        let config = "[session]\nmax_outbox_bytes = \"32 MiB\"\n";
        let mut broker = Setup::new("drain-flush").shards(shards).config(config).start();
        let mut reader = Link::connect(broker.port, v5("reader"));
        reader.subscribe("flood", QoS::AtMostOnce);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        for number in 0..FLOOD {
            let payload = format!("{number:>width$}", width = FLOOD_BYTES);
            publisher.publish("flood", payload, QoS::AtLeastOnce);
        }
        let begun = Instant::now();
        broker.process.signal(libc::SIGTERM);
        broker.process.await_text("draining");
        for number in 0..FLOOD {
            assert_eq!(reader.text().trim_start(), number.to_string());
        }
        assert_eq!(reader.ended_by_server(), ReasonCode::ServerShuttingDown);
        assert_eq!(publisher.ended_by_server(), ReasonCode::ServerShuttingDown);
        let ended = broker.ended(begun);
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
}

/// A subscriber that reads nothing of what the publisher has sent it.
fn stuck_behind_a_flood(port: u16) -> (Socket, Link) {
    let mut stuck = Socket::connect(port, "stuck", true);
    stuck.subscribe("flood", QoS::AtMostOnce);
    let mut publisher = Link::connect(port, v5("publisher"));
    for _ in 0..FLOOD {
        publisher.publish("flood", vec![b'x'; FLOOD_BYTES], QoS::AtLeastOnce);
    }
    (stuck, publisher)
}

#[test]
fn a_reader_that_is_stuck_is_waited_for_no_longer_than_configured() {
    let config = "[server]\nshutdown_timeout_secs = 1\n";
    let mut broker = Setup::new("drain-stuck").shards(2).config(config).start();
    let (_stuck, mut publisher) = stuck_behind_a_flood(broker.port);
    let begun = Instant::now();
    broker.process.signal(libc::SIGTERM);
    assert_eq!(publisher.ended_by_server(), ReasonCode::ServerShuttingDown, "others are not delayed");
    let ended = broker.ended(begun);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.says("server.shutdown_timeout_secs is over: connections are cut connections=2 cut=1"),
        "{ended:?}"
    );
    assert!(ended.took >= Duration::from_secs(1), "{:?}", ended.took);
    assert!(ended.took < Duration::from_secs(3), "{:?}", ended.took);
}

#[test]
fn nobody_is_let_in_while_it_drains() {
    let config = "[server]\nshutdown_timeout_secs = 2\n";
    let mut broker = Setup::new("drain-closed").shards(2).config(config).start();
    let (_stuck, mut publisher) = stuck_behind_a_flood(broker.port);
    let begun = Instant::now();
    broker.process.signal(libc::SIGTERM);
    publisher.ended_by_server();
    assert!(Link::try_connect(broker.port, v5("late")).is_err(), "it drains");
    let ended = broker.ended(begun);
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn wills_of_connections_that_the_broker_closes_stay_unpublished() {
    let mut broker = Broker::start("drain-will", 2);
    let mut watcher = Link::connect(broker.port, v5("watcher"));
    watcher.subscribe("will/#", QoS::AtLeastOnce);
    let willing: Vec<Link> = [Version::V311, Version::V5]
        .map(|version| {
            let mut options = client::Options::new(version, format!("willing-{version:?}"));
            let publication = Publication::new("will/of-the-living", "", QoS::AtLeastOnce);
            options.will = Some(Will { publication, delay_interval_s: None });
            Link::connect(broker.port, options)
        })
        .into();
    let begun = Instant::now();
    broker.process.signal(libc::SIGTERM);
    loop {
        match watcher.driver.next_event(e2e::PATIENCE).unwrap().expect("the end of the connection") {
            client::Event::Message(message) => panic!("nobody has died: {message:?}"),
            client::Event::Disconnected { .. } => break,
            _ => {}
        }
    }
    drop(willing);
    assert_eq!(broker.ended(begun).code, Some(0));
}

#[test]
fn clients_are_told_where_to_go() {
    let config = "[server]\nserver_reference = \"other.example:1883\"\n";
    let mut broker = Setup::new("drain-reference").shards(2).config(config).start();
    let mut link = Link::connect(broker.port, v5("moving"));
    let begun = Instant::now();
    broker.process.signal(libc::SIGINT);
    match link.disconnection() {
        Disconnection::Ended { server_reference, .. } => {
            assert_eq!(server_reference.as_deref(), Some("other.example:1883"));
        }
        other => panic!("a DISCONNECT was to come, not: {other}"),
    }
    assert_eq!(broker.ended(begun).code, Some(0));
}

/// Twelve megabytes: more than loopback sockets take on their own, less than one client's queue.
const FLOOD: usize = 200;
const FLOOD_BYTES: usize = 60_000;
