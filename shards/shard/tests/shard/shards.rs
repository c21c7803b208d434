//! Several shards: the same semantics wherever a client lives, hand-over, the mesh when it is full.

use mqtt::{Connect, PacketId, QoS, ReasonCode, Version};
use shard::{Config, Event};

use crate::script::{Script, connect, publish};

fn of(shards: u8) -> (Script, Vec<String>) {
    let config = Config { shards, ..Config::default() };
    let ids = Script::ids_by_home(&config, "client");
    (Script::new(config), ids)
}

#[test]
fn a_client_gets_to_its_home_from_wherever_it_landed() {
    let (mut s, ids) = of(4);
    for id in &ids {
        for _ in 0..4 {
            let (client, heard) = s.connect(&connect(id));
            assert_eq!(heard, ["CONNACK Success"]);
            assert_eq!(s.conn(client).0, ids.iter().position(|known| known == id).unwrap());
        }
    }
    assert_eq!(s.counter("takeovers"), 12);
}

#[test]
fn messages_cross_between_shards_once() {
    let (mut s, ids) = of(4);
    let clients: Vec<_> = ids.iter().map(|id| s.join(id)).collect();
    for client in &clients {
        s.subscribe(*client, "a/#", 1);
        assert_eq!(s.hear(*client), ["SUBACK 9 0x01"]);
    }
    s.publish_qos(clients[2], "a/b", "x", 1, 3);
    assert_eq!(s.hear(clients[2]), ["a/b 'x' q1 #1", "PUBACK 3"]);
    for other in [0, 1, 3] {
        assert_eq!(s.hear(clients[other]), ["a/b 'x' q1 #1"]);
    }
}

#[test]
fn retained_messages_are_found_on_every_shard() {
    let (mut s, ids) = of(4);
    let publisher = s.join(&ids[0]);
    for n in 0..100 {
        s.retain(publisher, &format!("r/{n}"), "x");
    }
    let subscriber = s.join(&ids[3]);
    s.subscribe(subscriber, "r/+", 0);
    let mut heard = s.hear(subscriber);
    assert_eq!(heard.remove(0), "SUBACK 9 0x00");
    heard.sort();
    heard.dedup();
    assert_eq!(heard.len(), 100);
    s.subscribe(subscriber, "r/77", 0);
    assert_eq!(s.hear(subscriber), ["SUBACK 9 0x00", "r/77 'x' retained"]);
}

#[test]
fn a_shared_subscription_spans_shards() {
    let (mut s, ids) = of(2);
    let members: Vec<_> = ids.iter().map(|id| s.join(id)).collect();
    for member in &members {
        s.subscribe(*member, "$share/g/t", 1);
        s.hear(*member);
    }
    for n in 0..10 {
        s.publish_qos(members[0], "t", &n.to_string(), 1, n + 1);
    }
    let heard: Vec<usize> = members
        .iter()
        .map(|member| s.hear(*member).iter().filter(|line| line.starts_with("t '")).count())
        .collect();
    assert_eq!(heard, [5, 5]);
    s.disconnect(members[1], ReasonCode::Success);
    s.publish_qos(members[0], "t", "alone", 1, 20);
    assert!(s.hear(members[0]).iter().any(|line| line.starts_with("t 'alone'")));
}

#[test]
fn a_full_mesh_drops_qos_0_and_keeps_the_rest_in_order() {
    let (mut s, ids) = of(2);
    let names = ["first", "second", "third", "fourth"];
    let [first, second, third, fourth] =
        names.map(|name| s.join(&Script::ids_by_home(&Config { shards: 2, ..Config::default() }, name)[0]));
    let subscriber = s.join(&ids[1]);
    s.subscribe(subscriber, "a", 1);
    s.hear(subscriber);
    s.event(0, Event::MailRoom { to: shard::ShardId(1), slots: 1 });
    s.publish(first, "a", "fits");
    s.publish(second, "a", "dropped");
    s.publish_qos(third, "a", "one", 1, 1);
    s.publish_qos(fourth, "a", "two", 1, 2);
    assert_eq!(s.hear(subscriber), ["a 'fits'"]);
    assert_eq!(s.counter("dropped_mesh_full"), 1);
    assert_eq!(s.shards[0].gauges().mail_pending, 1, "they wait in one bundle");
    s.give_room(100);
    assert_eq!(s.hear(subscriber), ["a 'one' q1 #1", "a 'two' q1 #2"]);
}

#[test]
fn what_is_published_in_one_tick_crosses_in_one_piece_and_in_order() {
    let (mut s, ids) = of(2);
    let (publisher, subscriber) = (s.join(&ids[0]), s.join(&ids[1]));
    s.subscribe(subscriber, "a/#", 1);
    s.hear(subscriber);
    let mail_before = s.counter("mail_sent");
    let large = "x".repeat(20_000);
    let mut bytes = Vec::new();
    for (topic, payload, packet_id) in [
        ("a/1", "one", None),
        ("a/2", "two", PacketId::new(2)),
        ("a/2", "three", None),
        ("a/3", &large, PacketId::new(4)),
        ("a/1", "five", None),
    ] {
        let qos = if packet_id.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        publish(topic, payload, qos, packet_id).encode(Version::V5, &mut bytes);
    }
    s.bytes(publisher, &bytes);
    let large = format!("a/3 '{large}' q1 #2");
    assert_eq!(s.hear(subscriber), ["a/1 'one'", "a/2 'two' q1 #1", "a/2 'three'", &large, "a/1 'five'"]);
    assert_eq!(s.counter("mail_sent") - mail_before, 3, "a bundle, one that is too large for it, a bundle");
}

#[test]
fn the_slot_of_an_open_bundle_is_not_given_away() {
    let (mut s, ids) = of(2);
    let (publisher, subscriber) = (s.join(&ids[0]), s.join(&ids[1]));
    let other = s.join(&Script::ids_by_home(&Config { shards: 2, ..Config::default() }, "other")[0]);
    s.subscribe(subscriber, "a", 1);
    s.hear(subscriber);
    s.event(0, Event::MailRoom { to: shard::ShardId(1), slots: 1 });
    let (mut bytes, conn) = (Vec::new(), s.conn(publisher).1);
    publish("a", "first", QoS::AtMostOnce, None).encode(Version::V5, &mut bytes);
    s.event(0, Event::Bytes { conn, bytes: &bytes });
    // The runtime looks at the ring before it has heard of the bundle.
    s.event(0, Event::MailRoom { to: shard::ShardId(1), slots: 1 });
    let large = "x".repeat(20_000);
    s.publish(other, "a", &large);
    assert_eq!(s.hear(subscriber), ["a 'first'"]);
    assert_eq!(s.counter("dropped_mesh_full"), 1);
}

#[test]
fn a_connect_waits_for_room_to_its_home() {
    let (mut s, ids) = of(2);
    s.give_room(0);
    // Clients are opened on shards in turn: the first lands on shard 0.
    let (client, heard) = s.connect(&connect(&ids[1]));
    assert_eq!(heard, Vec::<String>::new());
    s.give_room(100);
    assert_eq!(s.hear(client), ["CONNACK Success"]);
}

#[test]
fn nothing_is_left_when_everybody_is_gone() {
    let (mut s, ids) = of(4);
    for id in &ids {
        let client = s.join(id);
        s.subscribe(client, "a/+", 1);
        s.subscribe(client, "$share/g/b", 1);
        s.cut(client);
    }
    for shard in &s.shards {
        let gauges = shard.gauges();
        assert_eq!((gauges.connections, gauges.sessions, gauges.subscriptions, gauges.filters), (0, 0, 0, 0));
    }
}

#[test]
fn drain_waits_for_mail_between_shards() {
    let (mut s, ids) = of(2);
    let clients: Vec<_> = ids.iter().map(|id| s.join(id)).collect();
    for client in &clients {
        s.subscribe(*client, "a", 1);
        s.subscribe(*client, "$share/g/a", 1);
        s.hear(*client);
    }
    let mail_before = s.counter("mail_sent");
    s.event(0, Event::Drain);
    s.event(1, Event::Drain);
    s.settle();
    assert_eq!(s.drained, 2);
    assert_eq!(s.counter("mail_sent") - mail_before, 2, "each says that it drains and withdraws nothing");
    for client in clients {
        assert_eq!(s.hear(client), ["DISCONNECT Server shutting down"]);
    }
}

/// Its SUBSCRIBE waits for the answer of a shard that drains as well, and had told so before.
#[test]
fn who_has_drained_asks_for_nothing_more() {
    let (mut s, ids) = of(2);
    let subscriber = s.join(&ids[0]);
    let publisher = s.join(&ids[1]);
    for topic in ["a/1", "a/2", "a/3", "a/4", "a/5"] {
        s.retain(publisher, topic, "x");
    }
    s.hear(publisher);
    s.give_room(2);
    s.late_ring = Some((0, 1));
    s.subscribe(subscriber, "a/+", 1);
    s.event(1, Event::Drain);
    s.settle();
    s.event(0, Event::Drain);
    s.settle();
    assert_eq!((s.drained, s.hear(subscriber)), (1, vec!["DISCONNECT Server shutting down".to_owned()]));
    s.late_ring = None;
    s.settle();
    assert_eq!((s.drained, s.hear(publisher)), (2, vec!["DISCONNECT Server shutting down".to_owned()]));
    let waiting: Vec<usize> = s.shards.iter().map(|shard| shard.gauges().mail_pending).collect();
    assert_eq!(waiting, [0, 0]);
}

#[test]
fn a_queue_is_resumed_from_whatever_shard_the_client_comes_in() {
    let (mut s, ids) = of(4);
    let publisher = s.join(&ids[0]);
    let subscriber = s.join_for_an_hour(&ids[2]);
    s.subscribe(subscriber, "a", 1);
    s.cut(subscriber);
    s.publish_qos(publisher, "a", "kept", 1, 1);
    let (_, heard) = s.connect(&Connect { clean_start: false, ..connect(&ids[2]) });
    assert_eq!(heard, ["CONNACK Success present", "a 'kept' q1 #1"]);
}

#[test]
fn what_comes_with_a_connect_moves_home_with_it() {
    let (mut s, ids) = of(2);
    let mut bytes = Vec::new();
    mqtt::Packet::Connect(Box::new(connect(&ids[1]))).encode(mqtt::Version::V5, &mut bytes);
    mqtt::Packet::Pingreq.encode(mqtt::Version::V5, &mut bytes);
    for cut in 1..bytes.len() {
        let client = s.open();
        s.bytes(client, &bytes[..cut]);
        s.bytes(client, &bytes[cut..]);
        assert_eq!(s.hear(client), ["CONNACK Success", "PINGRESP"], "cut at {cut}");
    }
}
