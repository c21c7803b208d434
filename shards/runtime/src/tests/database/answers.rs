//! What clients see of a store that is a database.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use super::{
    super::client::{HANGS, await_that, config},
    Database,
    link::{Link, start, start_with, stop},
};
use crate::Config;

#[test]
fn an_answer_waits_for_a_store_that_is_held_up_and_nobody_else_does() {
    for shards in [1, 2] {
        let database = Arc::default();
        let broker = start(&database, shards);
        absent_reader(&broker);
        let (mut publisher, _) = Link::connect(&broker, "publisher", true);
        let (mut other, _) = Link::connect(&broker, "other", true);
        other.subscribe("live", 0);
        let held_up = database.gate.lock().unwrap();
        publisher.publish("a", Some(1), false, b"kept");
        for _ in 0..100 {
            other.publish("live", None, false, b"x");
            assert_eq!(other.message().1, b"\x00\x04livex");
        }
        assert!(publisher.has_nothing());
        drop(held_up);
        publisher.await_puback(1);
        stop(broker);
    }
}

#[test]
fn what_the_database_has_comes_back() {
    for shards in [1, 2] {
        let database = Arc::default();
        let broker = start(&database, shards);
        absent_reader(&broker);
        let (mut publisher, _) = Link::connect(&broker, "publisher", true);
        // More than a queue has in memory: the rest is brought back message by message.
        let mut payload = vec![0; 4000];
        for packet_id in 1..=MESSAGES {
            payload[..2].copy_from_slice(&packet_id.to_be_bytes());
            publisher.publish("a", Some(packet_id), false, &payload);
            publisher.await_puback(packet_id);
        }
        stop(broker);
        let broker = start(&database, shards);
        let (mut reader, was_there) = Link::connect(&broker, "reader", false);
        assert!(was_there);
        for packet_id in 1..=MESSAGES {
            let (flags, body) = reader.message();
            assert_eq!((flags, &body[5..7]), (2, &packet_id.to_be_bytes()[..]), "{shards} shards");
            reader.puback(u16::from_be_bytes([body[3], body[4]]));
        }
        stop(broker);
    }
}

#[test]
fn a_database_that_fails_acknowledges_nothing_and_says_why() {
    let database = Arc::new(Database::default());
    let broker = start(&database, 1);
    absent_reader(&broker);
    let (mut publisher, _) = Link::connect(&broker, "publisher", true);
    database.fails.store(true, SeqCst);
    publisher.publish("a", Some(1), false, b"lost");
    let failure = broker.failures().recv_timeout(HANGS).unwrap();
    assert!(failure.what.contains("the database is read-only"), "{}", failure.what);
    assert_eq!(publisher.rest(), b"");
}

#[test]
fn without_its_database_a_broker_serves_who_needs_none() {
    let database = Arc::new(Database::default());
    let broker = start_with(&database, Config { serves_without_store: true, ..config(2) });
    absent_reader(&broker);
    let (mut publisher, _) = Link::connect(&broker, "publisher", true);
    let (mut other, _) = Link::connect(&broker, "other", true);
    other.subscribe("live", 0);
    database.fails.store(true, SeqCst);
    publisher.publish("a", Some(1), false, b"lost");
    let failure = broker.failures().recv_timeout(HANGS).unwrap();
    assert!(failure.serves && failure.what.contains("the database is read-only"), "{}", failure.what);
    assert_eq!(publisher.rest(), b"");
    other.publish("live", None, false, b"x");
    assert_eq!(other.message().1, b"\x00\x04livex");
    stop(broker);
}

#[test]
fn a_database_is_cleaned_as_the_log_is() {
    let database = Arc::new(Database::default());
    let broker = start(&database, 1);
    let (mut publisher, _) = Link::connect(&broker, "publisher", true);
    publisher.publish("kept", Some(1), true, b"retained");
    publisher.await_puback(1);
    let (mut reader, _) = Link::connect(&broker, "reader", false);
    reader.subscribe("a", 1);
    let mut written = 0;
    for packet_id in 1..=2000_u16 {
        publisher.publish("a", Some(packet_id), false, &[0; 1000]);
        publisher.await_puback(packet_id);
        let (_, body) = reader.message();
        reader.puback(u16::from_be_bytes([body[3], body[4]]));
        written += body.len();
    }
    assert!(written > 1 << 20);
    await_that("what is dead is deleted", || database.bytes() < 2 * super::FREE_BYTES);
    stop(broker);
    let broker = start(&database, 1);
    let (mut other, _) = Link::connect(&broker, "other", true);
    other.subscribe("kept", 0);
    assert_eq!(other.message(), (1, b"\x00\x04keptretained".to_vec()));
    assert!(Link::connect(&broker, "reader", false).1);
    stop(broker);
}

const MESSAGES: u16 = 300;

/// Subscribes to `a` and goes.
fn absent_reader(broker: &crate::Broker) {
    let (mut reader, was_there) = Link::connect(broker, "reader", false);
    assert!(!was_there);
    reader.subscribe("a", 1);
}
