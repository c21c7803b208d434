//! What happens at the limits, and that each is counted.

use mqtt::{Connect, QoS, ReasonCode};
use shard::{Config, Limits, QueueFull, Reading};

use crate::script::{Script, connect};

fn with(change: impl FnOnce(&mut Limits)) -> Script {
    let mut config = Config::default();
    change(&mut config.limits);
    Script::new(config)
}

#[test]
fn a_full_queue_drops_the_newest_or_the_oldest() {
    for (policy, kept) in [(QueueFull::DropNewest, ["1", "2"]), (QueueFull::DropOldest, ["2", "3"])] {
        let mut s = with(|limits| {
            limits.queued_messages_max = 2;
            limits.queue_full = policy;
        });
        let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
        s.subscribe(subscriber, "a", 1);
        s.cut(subscriber);
        for n in 1..=3 {
            s.publish_qos(publisher, "a", &n.to_string(), 1, n);
        }
        let (_, heard) = s.connect(&Connect { clean_start: false, ..connect("s") });
        let expected = [format!("a '{}' q1 #1", kept[0]), format!("a '{}' q1 #2", kept[1])];
        assert_eq!(heard[1..], expected);
        assert_eq!(s.counter("dropped_queue_messages"), 1);
        assert!(s.notes.contains(&"QueueFull".to_string()));
    }
}

#[test]
fn a_reader_that_stops_costs_its_own_queue_only() {
    let mut s = with(|limits| {
        limits.outbox_bytes_max = 1000;
        limits.queued_messages_max = 10;
    });
    let (publisher, slow, quick) = (s.join("p"), s.join("slow"), s.join("quick"));
    for subscriber in [slow, quick] {
        s.subscribe(subscriber, "a", 0);
        s.hear(subscriber);
    }
    s.stick(slow);
    for n in 0..1000 {
        s.publish(publisher, "a", &format!("{n:04}"));
    }
    assert_eq!(s.hear(quick).len(), 1000);
    let sent = s.hear(slow).len();
    s.unstick(slow);
    let rest = s.hear(slow);
    assert_eq!(sent as u64 + rest.len() as u64 + s.counter("dropped_queue_messages"), 1000);
    assert!(s.counter("dropped_queue_messages") > 0);
    assert_eq!(s.shards[0].gauges().queued_bytes, 0);
}

#[test]
fn a_packet_beyond_max_packet_size_ends_the_connection() {
    let mut s = with(|limits| limits.packet_bytes_max = 100);
    let client = s.join("c");
    s.publish(client, "a", &"x".repeat(200));
    assert_eq!(s.hear(client), ["DISCONNECT Packet too large"]);
    assert!(s.is_closed(client));
    assert_eq!(s.counter("packets_too_large"), 1);
}

#[test]
fn a_message_beyond_the_clients_maximum_is_dropped_and_counted() {
    let mut s = Script::of_one();
    let publisher = s.join("p");
    let mut wanted = connect("s");
    wanted.properties.maximum_packet_size = Some(50);
    let (subscriber, _) = s.connect(&wanted);
    s.subscribe(subscriber, "a", 1);
    s.hear(subscriber);
    s.publish_qos(publisher, "a", &"x".repeat(60), 1, 1);
    s.publish_qos(publisher, "a", "y", 1, 2);
    assert_eq!(s.hear(subscriber), ["a 'y' q1 #2"]);
    assert_eq!(s.counter("dropped_packet_too_large"), 1);
}

#[test]
fn subscriptions_and_levels_have_their_limits() {
    let mut s = with(|limits| {
        limits.subscriptions_max = 1;
        limits.topic_levels_max = 3;
    });
    let client = s.join("c");
    for filter in ["a", "b", "a", "a/b/c/d"] {
        s.subscribe(client, filter, 0);
    }
    assert_eq!(s.hear(client), ["SUBACK 9 0x00", "SUBACK 9 0x97", "SUBACK 9 0x00", "SUBACK 9 0x8f"]);
    s.publish_qos(client, "a/b/c/d", "x", 1, 1);
    assert_eq!(s.hear(client), ["PUBACK 1 Topic Name invalid"]);
    assert_eq!(s.counter("subscriptions_refused"), 1);
    assert_eq!(s.counter("topic_levels_exceeded"), 2);
}

#[test]
fn more_unreleased_messages_than_the_receive_maximum_are_a_violation() {
    let mut s = with(|limits| limits.receive_maximum = 2);
    let client = s.join("c");
    for id in 1..=3 {
        s.publish_qos(client, "a", "x", QoS::ExactlyOnce as u8, id);
    }
    assert_eq!(s.hear(client).last().unwrap(), "DISCONNECT Receive Maximum exceeded");
    assert_eq!(s.counter("receive_maximum_exceeded"), 1);
}

#[test]
fn unfinished_packets_share_a_budget() {
    let mut s = with(|limits| limits.receive_memory_max = 1000);
    let clients: Vec<_> = (0..3).map(|n| s.join(&format!("c{n}"))).collect();
    // A PUBLISH that says that it has 900 bytes and brings 500 of them.
    let mut begun = vec![0x30, 0x84, 0x07, 0x00, 0x01, b'a', 0x00];
    begun.resize(500, b'x');
    for client in &clients {
        s.bytes(*client, &begun);
    }
    let closed: Vec<_> = clients.iter().map(|client| s.is_closed(*client)).collect();
    assert_eq!(closed, [false, false, true]);
    assert_eq!(s.counter("receive_memory_exceeded"), 1);
    s.cut(clients[0]);
    s.cut(clients[1]);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn a_client_that_takes_no_acknowledgements_is_not_read() {
    let mut s = with(|limits| limits.outbox_bytes_max = 1000);
    let client = s.join("c");
    s.stick(client);
    for _ in 0..20_000 {
        s.publish_qos(client, "nobody", "x", 1, 1);
        if s.reading(client) == Reading::Paused {
            break;
        }
    }
    assert_eq!(s.reading(client), Reading::Paused);
    s.publish_qos(client, "nobody", "last", 1, 77);
    s.hear(client);
    s.unstick(client);
    assert_eq!(s.reading(client), Reading::Continuous);
    assert_eq!(s.hear(client).last().unwrap(), "PUBACK 77 No matching subscribers");
    s.disconnect(client, ReasonCode::Success);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}
