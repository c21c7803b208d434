//! A session that outlives its connection: queue, unacknowledged messages, and their limits.

use client::{QoS, Version};
use e2e::link::lasting;
use e2e::socket::Socket;
use e2e::{Broker, Link, Peer, Setup, Subscriber, v5};

use crate::SHARDS;

#[test]
fn what_came_while_away_is_delivered_in_order() {
    for shards in SHARDS {
        let broker = Broker::start("persistence-queue", shards);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        for (round, version) in [(1, Version::V311), (2, Version::V5)] {
            let client_id = format!("reader-{version:?}");
            let mut reader = Link::connect(broker.port, lasting(version, &client_id));
            assert!(!reader.session_present);
            reader.subscribe("news/#", QoS::ExactlyOnce);
            reader.close();

            let qos =
                |number: usize| if number.is_multiple_of(2) { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
            for number in 0..500 {
                publisher.publish("news/fleeting", "", QoS::AtMostOnce);
                publisher.publish("news/all", number.to_string(), qos(number));
            }
            // An acknowledgement says that the broker has it, not that the reader's shard has it already.
            broker.await_counter("dropped_offline_qos0", 500 * round);

            let mut reader = Link::connect(broker.port, lasting(version, &client_id));
            assert!(reader.session_present);
            for number in 0..500 {
                let message = reader.message();
                assert_eq!(
                    message.payload,
                    number.to_string().as_bytes(),
                    "QoS 0 does not wait, the rest in order"
                );
                assert_eq!((message.qos, message.dup), (qos(number), false));
            }
            reader.expect_silence();
            reader.close();
            // Gone for good, so that the other version has the topic to itself.
            Link::connect(broker.port, v5(&client_id)).close();
        }
    }
}

#[test]
fn every_client_program_finds_its_session_again() {
    let broker = Broker::start("persistence-peers", 2);
    let port = broker.port;
    let peers = Peer::all();
    let first: Vec<Subscriber> = peers
        .iter()
        .map(|peer| peer.begin_session(port, "peers/topic", QoS::AtLeastOnce, 0, &peer.name()))
        .collect();
    for subscriber in first {
        assert_eq!(subscriber.received(), []);
    }
    let mut publisher = Link::connect(port, v5("publisher"));
    for number in 0..20 {
        publisher.publish("peers/topic", number.to_string(), QoS::AtLeastOnce);
    }
    let second: Vec<Subscriber> = peers
        .iter()
        .map(|peer| peer.begin_session(port, "peers/topic", QoS::AtLeastOnce, 20, &peer.name()))
        .collect();
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    for (peer, subscriber) in peers.iter().zip(second) {
        let payloads: Vec<String> =
            subscriber.received().into_iter().map(|message| message.payload).collect();
        assert_eq!(payloads, expected, "{}", peer.name());
    }
}

#[test]
fn an_unacknowledged_message_comes_again_as_a_duplicate() {
    for shards in SHARDS {
        let broker = Broker::start("persistence-dup", shards);
        let mut reader = Socket::connect(broker.port, "reader", false);
        reader.subscribe("again", QoS::AtLeastOnce);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        publisher.publish("again", "first", QoS::AtLeastOnce);
        let (first_byte, body) = reader.packet();
        assert_eq!(first_byte, 0x32, "QoS 1, not a duplicate");
        drop(reader);

        let mut reader = Socket::open(broker.port);
        reader.send(&e2e::socket::connect("reader", false));
        assert_eq!(reader.read(4), [0x20, 2, 1, 0], "the session is present");
        assert_eq!(reader.packet(), (0x3A, body.clone()), "the same message with DUP and the same packet id");

        let packet_id = &body["again".len() + 2..][..2];
        reader.send(&e2e::socket::frame(0x40, packet_id));
        publisher.publish("again", "second", QoS::AtLeastOnce);
        let (first_byte, body) = reader.packet();
        assert_eq!((first_byte, body.ends_with(b"second")), (0x32, true));
    }
}

#[test]
fn a_half_done_exactly_once_is_finished_on_the_next_connection() {
    for shards in SHARDS {
        let broker = Broker::start("persistence-qos2", shards);
        let mut reader = Socket::connect(broker.port, "reader", false);
        reader.subscribe("once", QoS::ExactlyOnce);
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        publisher.publish("once", "only", QoS::ExactlyOnce);
        let (first_byte, body) = reader.packet();
        assert_eq!(first_byte, 0x34);
        let packet_id = body["once".len() + 2..][..2].to_vec();
        reader.send(&e2e::socket::frame(0x50, &packet_id));
        assert_eq!(reader.packet(), (0x62, packet_id.clone()), "PUBREL answers PUBREC");
        drop(reader);

        let mut reader = Socket::open(broker.port);
        reader.send(&e2e::socket::connect("reader", false));
        assert_eq!(reader.read(4), [0x20, 2, 1, 0]);
        assert_eq!(reader.packet(), (0x62, packet_id.clone()), "PUBREL again, and no PUBLISH");
        reader.send(&e2e::socket::frame(0x70, &packet_id));
        publisher.publish("once", "next", QoS::ExactlyOnce);
        assert!(reader.packet().1.ends_with(b"next"));
    }
}

#[test]
fn a_queue_that_is_full_drops_as_configured_and_counts() {
    for (policy, first, last) in [("drop_newest", 0, 99), ("drop_oldest", 400, 499)] {
        let config = format!("[session]\nmax_queued_messages = 100\nqueue_full = \"{policy}\"\n");
        let broker = Setup::new("persistence-full").shards(2).config(&config).start();
        let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
        reader.subscribe("much", QoS::AtLeastOnce);
        reader.close();
        let mut publisher = Link::connect(broker.port, v5("publisher"));
        for number in 0..500 {
            publisher.publish("much", number.to_string(), QoS::AtLeastOnce);
        }
        // An acknowledgement says that the broker has it, not that the reader's shard has it already.
        broker.await_counter("dropped_queue_messages", 400);
        broker.process.await_line("the limit and the topic", |line| {
            let names = ["queue full, messages are dropped", "topic=\"much\"", "session.max_queued_messages"];
            names.iter().all(|name| line.contains(name)).then_some(())
        });

        let mut reader = Link::connect(broker.port, lasting(Version::V311, "reader"));
        for number in first..=last {
            assert_eq!(reader.text(), number.to_string(), "{policy}");
        }
        reader.expect_silence();
    }
}

#[test]
fn a_session_ends_when_its_time_is_over() {
    let broker = Broker::start("persistence-expiry", 2);
    let mut options = lasting(Version::V5, "brief");
    options.session_expiry_interval_s = Some(1);
    let mut reader = Link::connect(broker.port, options.clone());
    reader.subscribe("late", QoS::AtLeastOnce);
    reader.close();
    let back = Link::connect(broker.port, options.clone());
    assert!(back.session_present, "in time");
    back.close();
    broker.await_counter("sessions_expired", 1);
    assert!(!Link::connect(broker.port, options).session_present, "too late");
}
