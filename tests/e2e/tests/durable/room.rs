//! A disk with space: files that are still being made are no reason to refuse anybody, however fast they are filled.

use std::thread;

use client::{Publication, QoS, Version};
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, Setup, v5, v311};

/// The smallest segments that may be set: each holds some twenty of these messages.
#[test]
fn a_disk_with_space_refuses_nobody() {
    for shards in [1, 2] {
        let broker = start(shards, "64 KiB");
        absent_reader(broker.port);
        let port = broker.port;
        let publishers: Vec<_> =
            (0..PUBLISHERS).map(|number| thread::spawn(move || publish_all(port, number))).collect();
        for publisher in publishers {
            publisher.join().unwrap();
        }
        let mut reader = Link::connect(port, lasting(Version::V5, "reader"));
        for _ in 0..PUBLISHERS * MESSAGES {
            reader.text();
        }
        assert!(!broker.process.says("no room"), "{}", broker.process.shown());
        broker.end(libc::SIGTERM);
    }
}

/// Two of them do not fit into a file of the size that is set.
#[test]
fn the_largest_packets_find_room() {
    let broker = start(1, "16 MiB");
    absent_reader(broker.port);
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    let text = "x".repeat(15 << 20);
    for _ in 0..3 {
        publisher.publish("log", text.as_str(), QoS::AtLeastOnce);
    }
    broker.end(libc::SIGTERM);
}

fn start(shards: u8, packet_bytes_max: &str) -> Broker {
    Setup::new("room")
        .shards(shards)
        .args(["--data-dir", "store"])
        .variable("IOTHUB_STORE__SEGMENT_BYTES", "1 MiB")
        .variable("IOTHUB_SERVER__MAX_PACKET_SIZE", packet_bytes_max)
        .variable("IOTHUB_SESSION__MAX_QUEUED_BYTES", "1 GiB")
        .variable("IOTHUB_SESSION__MAX_QUEUED_MESSAGES", "1000000")
        .start()
}

fn absent_reader(port: u16) {
    let mut reader = Link::connect(port, lasting(Version::V5, "reader"));
    reader.subscribe("log", QoS::AtLeastOnce);
    reader.close();
}

fn publish_all(port: u16, number: usize) {
    let name = format!("publisher-{number}");
    let options = if number.is_multiple_of(2) { v5(&name) } else { v311(&name) };
    let mut publisher = Link::connect(port, options);
    for at in 0..MESSAGES {
        let publication = Publication::new("log", format!("{at} {}", "x".repeat(50_000)), QoS::AtLeastOnce);
        let reason = publisher.driver.publish_and_wait(publication, PATIENCE).expect("an answer");
        assert!(!reason.is_error(), "{reason:?} for {at} of {name}");
    }
}

const PUBLISHERS: usize = 8;
const MESSAGES: usize = 100;
