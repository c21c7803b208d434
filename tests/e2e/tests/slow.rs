//! Readers that stop and clients that are gone cost their own budget, and nobody else's time.
#![allow(clippy::unwrap_used)]

use std::net::Shutdown;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use client::{QoS, Version};
use e2e::link::lasting;
use e2e::pace::Pace;
use e2e::socket::{Socket, publish};
use e2e::{Broker, Link, PATIENCE, Setup, resources, v5};

#[test]
fn a_reader_that_stops_delays_nobody_and_fills_its_own_budget_only() {
    for shards in [1, 2] {
        // Who is held up by the broker is so each time, who is by another guest of the machine is not.
        assert!((0..ATTEMPTS).any(|_| worst_beside_stuck_readers(shards) < SLOW), "{shards} shards");
    }
}

/// The longest that anybody else waited for an answer.
fn worst_beside_stuck_readers(shards: u8) -> Duration {
    let broker = Broker::start("slow-reader", shards);
    // One of each: QoS 0 is held up by the socket, QoS 1 by the acknowledgements that do not come.
    let mut stuck = Vec::new();
    for (name, qos) in [("stuck-0", QoS::AtMostOnce), ("stuck-1", QoS::AtLeastOnce)] {
        let mut socket = Socket::connect(broker.port, name, true);
        socket.subscribe("flood", qos);
        stuck.push(socket);
    }
    let mut reader = Link::connect(broker.port, v5("reader"));
    reader.subscribe("flood", QoS::AtLeastOnce);
    let resident_before = resources::resident_bytes(broker.process.id());

    let ((), pace) = Pace::during(broker.port, || flood(&broker, &mut reader));
    let grown = resources::resident_bytes(broker.process.id()).saturating_sub(resident_before);
    println!("{shards} shards: {grown} bytes more; meanwhile {}", pace.shown());
    let flooded = (MESSAGES * MESSAGE_BYTES) as u64;
    assert!(grown < flooded / 3, "{grown} of {flooded} bytes are kept for readers that do not read");
    let dropped = broker.counter("dropped_queue_messages") + broker.counter("dropped_queue_bytes");
    assert!(dropped > 0, "somebody must have lost something");
    drop(stuck);
    reader.close();
    assert_eq!(broker.end(libc::SIGTERM).code, Some(0));
    pace.worst()
}

#[test]
fn clients_that_are_gone_share_one_budget() {
    let config = "[session]\nmax_queued_messages = 1000000\n[limits]\nmax_queue_memory = \"8 MiB\"\n";
    let broker = Setup::new("slow-gone").shards(2).config(config).start();
    for number in 0..GONE {
        let mut gone = Link::connect(broker.port, lasting(Version::V311, &format!("gone-{number}")));
        // Each has its own messages: shared ones are kept once.
        gone.subscribe(&format!("gone/{number}"), QoS::AtLeastOnce);
        gone.close();
    }
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    let resident_before = resources::resident_bytes(broker.process.id());
    let ((), pace) = Pace::during(broker.port, || {
        for number in 0..8_000 {
            publisher.publish(&format!("gone/{}", number % GONE), vec![b'x'; 4000], QoS::AtLeastOnce);
        }
    });
    let grown = resources::resident_bytes(broker.process.id()).saturating_sub(resident_before);
    println!("{grown} bytes more; meanwhile {}", pace.shown());
    assert!(pace.worst() < SLOW, "{}", pace.shown());
    assert!(grown < 24 << 20, "{grown} bytes for a budget of 8 MiB");
    assert!(broker.counter("dropped_queue_memory") > 0);
    assert!(broker.counter("queued_bytes") <= 8 << 20);

    // What was kept is the beginning of each queue, in order.
    let mut back = Link::connect(broker.port, lasting(Version::V311, "gone-0"));
    assert!(back.session_present);
    for _ in 0..10 {
        assert_eq!(back.message().payload.len(), 4000);
    }
}

#[test]
fn each_message_for_a_reader_that_stops_and_leaves_has_come_or_is_counted() {
    for shards in [1, 2] {
        let broker = Broker::start("slow-leaving", shards);
        let mut stuck = Socket::connect(broker.port, "stuck", true);
        stuck.subscribe("flood", QoS::AtMostOnce);
        let mut publisher = Socket::connect(broker.port, "publisher", true);
        let packet = publish("flood", &[b'x'; 1000]);
        (0..FOR_LEAVER).for_each(|_| publisher.send(&packet));
        publisher.ping();
        await_empty_rings(&broker);
        // It has said its last, and reads what the sockets have.
        stuck.stream.shutdown(Shutdown::Write).unwrap();
        let bytes = stuck.read_to_end(PATIENCE).len();
        assert_eq!(bytes % packet.len(), 0, "packets come whole");
        broker.await_counter("dropped_unsent", 1);
        let causes = ["queue_messages", "queue_bytes", "queue_memory", "offline_qos0", "mesh_full", "unsent"];
        let lost: u64 = causes.iter().map(|cause| broker.counter(&format!("dropped_{cause}"))).sum();
        assert_eq!((bytes / packet.len()) as u64 + lost, FOR_LEAVER, "{shards} shards, {lost} lost");
    }
}

/// What is on its way to a shard when its subscriber goes is for nobody, and no loss.
fn await_empty_rings(broker: &Broker) {
    let deadline = Instant::now() + PATIENCE;
    while broker.counter("mail_pending") > 0 || broker.counter("mail_sent") != broker.counter("mail_received")
    {
        assert!(Instant::now() < deadline, "mail goes on");
    }
}

/// A hundred megabytes from one publisher, all of which the reader gets.
fn flood(broker: &Broker, reader: &mut Link) {
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    // The reader reads; on a busy machine it must not become a slow one.
    let (ahead, read) = mpsc::sync_channel(AHEAD_MAX);
    thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..MESSAGES {
                ahead.send(()).expect("the reader reads");
                let mut payload = number.to_string().into_bytes();
                payload.resize(MESSAGE_BYTES, b' ');
                publisher.publish("flood", payload, QoS::AtLeastOnce);
            }
        });
        for number in 0..MESSAGES {
            assert_eq!(reader.text().trim_end(), number.to_string());
            read.recv().expect("what was read was published");
        }
    });
}

/// Less than a client's queue holds.
const AHEAD_MAX: usize = 500;

const MESSAGES: usize = 10_000;
const MESSAGE_BYTES: usize = 10_000;
const GONE: usize = 20;
/// Much more than sockets, an outbox and a queue hold.
const FOR_LEAVER: u64 = 20_000;
/// Much slower than a broker that is not held up, much quicker than one that is.
const SLOW: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 3;
