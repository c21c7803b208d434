//! PUBLISH to subscribers: QoS, order, retained messages, aliases, expiry, shared subscriptions.

use std::time::Duration;

use mqtt::{Connect, Packet, PublishProperties, QoS, SubscriptionOptions};
use shard::{Config, Limits, Pieces};

use crate::script::{Client, Script, ack, connect, options, publish};

#[test]
fn a_message_reaches_its_subscriber_at_the_lower_qos() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.subscribe(subscriber, "a/+", 1);
    assert_eq!(s.hear(subscriber), ["SUBACK 9 0x01"]);
    s.publish(publisher, "a/b", "zero");
    s.publish_qos(publisher, "a/b", "one", 1, 5);
    s.publish_qos(publisher, "a/b", "two", 2, 6);
    assert_eq!(s.hear(publisher), ["PUBACK 5", "PUBREC 6"]);
    assert_eq!(s.hear(subscriber), ["a/b 'zero'", "a/b 'one' q1 #1", "a/b 'two' q1 #2"]);
}

#[test]
fn qos_2_is_routed_once_however_often_it_comes() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.subscribe(subscriber, "a", 2);
    s.hear(subscriber);
    s.publish_qos(publisher, "a", "x", 2, 6);
    s.publish_qos(publisher, "a", "x", 2, 6);
    assert_eq!(s.hear(publisher), ["PUBREC 6", "PUBREC 6"]);
    assert_eq!(s.hear(subscriber), ["a 'x' q2 #1"]);
    s.packet(publisher, &Packet::Pubrel(ack(6)));
    s.packet(publisher, &Packet::Pubrel(ack(6)));
    assert_eq!(s.hear(publisher), ["PUBCOMP 6", "PUBCOMP 6 Packet Identifier not found"]);
    s.packet(subscriber, &Packet::Pubrec(ack(1)));
    s.packet(subscriber, &Packet::Pubcomp(ack(1)));
    assert_eq!(s.hear(subscriber), ["PUBREL 1"]);
    assert_eq!(s.shards[0].gauges().queued_bytes, 0);
}

#[test]
fn a_resumed_session_gets_again_what_it_did_not_acknowledge_in_order() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(subscriber, "a", 2);
    for n in 1..=3 {
        s.publish_qos(publisher, "a", &n.to_string(), 2, n);
    }
    s.packet(subscriber, &Packet::Pubrec(ack(2)));
    s.cut(subscriber);
    s.publish_qos(publisher, "a", "4", 1, 4);
    let back = Connect { clean_start: false, ..connect("s") };
    let (subscriber, heard) = s.connect(&back);
    let expected =
        ["CONNACK Success present", "a '1' q2 #1 dup", "PUBREL 2", "a '3' q2 #3 dup", "a '4' q1 #4"];
    assert_eq!(heard, expected);
    s.packet(subscriber, &Packet::Pubcomp(ack(2)));
    assert_eq!(s.hear(subscriber), Vec::<String>::new());
}

#[test]
fn receive_maximum_holds_back_and_nothing_overtakes() {
    let mut s = Script::of_one();
    let publisher = s.join("p");
    let mut wanted = connect("s");
    wanted.properties.receive_maximum = Some(1);
    let (subscriber, _) = s.connect(&wanted);
    s.subscribe(subscriber, "a", 1);
    s.hear(subscriber);
    s.publish_qos(publisher, "a", "1", 1, 1);
    s.publish_qos(publisher, "a", "2", 1, 2);
    s.publish(publisher, "a", "3");
    assert_eq!(s.hear(subscriber), ["a '1' q1 #1"]);
    s.puback(subscriber, 1);
    assert_eq!(s.hear(subscriber), ["a '2' q1 #2", "a '3'"]);
}

#[test]
fn overlapping_subscriptions_give_one_copy_with_all_ids() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.subscribe_with(subscriber, "a/#", options(0), Some(7));
    s.subscribe_with(subscriber, "a/b", options(1), Some(8));
    s.hear(subscriber);
    s.publish_qos(publisher, "a/b", "x", 1, 1);
    let heard = s.hear(subscriber);
    assert_eq!(heard.len(), 1);
    assert!(
        heard[0].starts_with("a/b 'x' q1 #1") && heard[0].contains("sub 7") && heard[0].contains("sub 8")
    );
}

#[test]
fn no_local_keeps_a_clients_own_messages_away() {
    let mut s = Script::of_one();
    let (own, other) = (s.join("own"), s.join("other"));
    s.subscribe_with(own, "a", SubscriptionOptions { no_local: true, ..options(0) }, None);
    s.hear(own);
    s.publish(own, "a", "mine");
    s.publish(other, "a", "theirs");
    assert_eq!(s.hear(own), ["a 'theirs'"]);
}

#[test]
fn retained_messages_come_with_the_subscription_and_are_cleared_by_an_empty_payload() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.retain(publisher, "a/1", "one");
    s.retain(publisher, "a/2", "two");
    s.retain(publisher, "a/2", "");
    s.subscribe(subscriber, "a/#", 0);
    assert_eq!(s.hear(subscriber), ["SUBACK 9 0x00", "a/1 'one' retained"]);
    s.retain(publisher, "a/1", "live");
    assert_eq!(s.hear(subscriber), ["a/1 'live'"]);
    let as_published = SubscriptionOptions { retain_as_published: true, ..options(0) };
    s.subscribe_with(subscriber, "a/#", as_published, None);
    assert_eq!(s.hear(subscriber), ["SUBACK 9 0x00", "a/1 'live' retained"]);
    s.retain(publisher, "a/1", "again");
    assert_eq!(s.hear(subscriber), ["a/1 'again' retained"]);
}

#[test]
fn many_retained_messages_arrive_in_pages_without_a_drop() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    for n in 0..5000 {
        s.retain(publisher, &format!("r/{n}"), "x");
    }
    s.subscribe(subscriber, "#", 1);
    s.secs(1);
    assert_eq!(s.hear(subscriber).len(), 5001);
}

/// For so many seconds, at this QoS.
fn publish_for(s: &mut Script, publisher: Client, payload: &str, qos: u8, life_s: u32) {
    let id = if qos == 0 { None } else { mqtt::PacketId::new(99) };
    let properties =
        PublishProperties { message_expiry_interval_s: Some(life_s), ..PublishProperties::default() };
    let packet = publish("a", payload, QoS::try_from(qos).unwrap(), id);
    s.packet(publisher, &Packet::Publish(mqtt::Publish { properties, ..packet }));
}

#[test]
fn expired_messages_take_no_room_from_others() {
    for qos in [0, 1] {
        let limits = Limits { queued_messages_max: 3, ..Limits::default() };
        let mut s = Script::new(Config { limits, queue_qos0: true, ..Config::default() });
        let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
        s.subscribe(subscriber, "a", 1);
        s.cut(subscriber);
        publish_for(&mut s, publisher, "one", qos, 2);
        s.publish_qos(publisher, "a", "two", 1, 2);
        publish_for(&mut s, publisher, "three", qos, 2);
        s.publish_qos(publisher, "a", "no room", 1, 4);
        assert_eq!((s.counter("dropped_queue_messages"), s.counter("dropped_expired")), (1, 0));
        s.secs(3);
        assert_eq!(s.counter("dropped_expired"), 2, "nobody has to come for it");
        for payload in ["four", "five", "no room"] {
            s.publish_qos(publisher, "a", payload, 1, 5);
        }
        assert_eq!((s.counter("dropped_queue_messages"), s.counter("dropped_expired")), (2, 2));
        let (_, heard) = s.connect(&Connect { clean_start: false, ..connect("s") });
        let payloads: Vec<&str> = heard.iter().skip(1).map(|line| line.split('\'').nth(1).unwrap()).collect();
        assert_eq!(payloads, ["two", "four", "five"]);
    }
}

#[test]
fn a_message_that_comes_at_the_moment_in_which_others_expire_finds_room() {
    let limits = Limits { queued_messages_max: 1, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(subscriber, "a", 1);
    s.cut(subscriber);
    publish_for(&mut s, publisher, "one", 1, 1);
    s.now = s.now + Duration::from_secs(1);
    s.publish_qos(publisher, "a", "two", 1, 2);
    assert_eq!((s.counter("dropped_queue_messages"), s.counter("dropped_expired")), (0, 1));
}

/// A queue of six that is looked through one message at a time, and its publisher.
fn queue_in_pieces(lives_s: [u32; 6]) -> (Script, Client) {
    let limits = Limits { queued_messages_max: 6, ..Limits::default() };
    let pieces = Pieces { expiry_looks: 1, ..Pieces::default() };
    let mut s = Script::new(Config { limits, pieces, ..Config::default() });
    let publisher = s.join("p");
    for name in ["s", "t"] {
        let subscriber = s.join_for_an_hour(name);
        s.subscribe(subscriber, "a", 1);
        s.cut(subscriber);
    }
    for life_s in lives_s {
        publish_for(&mut s, publisher, "before", 1, life_s);
    }
    s.now = s.now + Duration::from_secs(5);
    (s, publisher)
}

#[test]
fn a_long_queue_is_looked_through_in_pieces_by_and_by() {
    let (mut s, publisher) = queue_in_pieces([60, 5, 60, 5, 5, 60]);
    publish_for(&mut s, publisher, "no room", 1, 60);
    let counts = |s: &Script| (s.counter("dropped_queue_messages"), s.counter("dropped_expired"));
    assert_eq!(counts(&s), (2, 0), "one look for both, and what is sent next has not expired");
    publish_for(&mut s, publisher, "room for one", 1, 60);
    assert_eq!(counts(&s), (3, 1));
    s.pass(Duration::from_millis(1));
    assert_eq!(counts(&s), (3, 6), "the rest is found without anybody's asking");
    assert_eq!(s.shards[0].gauges().queued_messages, 2 * 3 + 1);
}

#[test]
fn what_is_sent_next_and_has_expired_makes_room_without_a_look() {
    let (mut s, publisher) = queue_in_pieces([5, 60, 60, 60, 60, 60]);
    publish_for(&mut s, publisher, "room for both", 1, 60);
    assert_eq!((s.counter("dropped_queue_messages"), s.counter("dropped_expired")), (0, 2));
}

#[test]
fn message_expiry_is_counted_down_and_ends_the_message() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(subscriber, "a", 1);
    s.cut(subscriber);
    for (payload, expiry_s) in [("short", 5), ("long", 100)] {
        let properties =
            PublishProperties { message_expiry_interval_s: Some(expiry_s), ..PublishProperties::default() };
        let packet = publish("a", payload, QoS::AtLeastOnce, mqtt::PacketId::new(1));
        s.packet(publisher, &Packet::Publish(mqtt::Publish { properties, ..packet }));
    }
    s.secs(10);
    let (_, heard) = s.connect(&Connect { clean_start: false, ..connect("s") });
    assert_eq!(heard, ["CONNACK Success present", "a 'long' q1 #2 expires 90"]);
    assert_eq!(s.counter("dropped_expired"), 1);
}

#[test]
fn topic_aliases_are_given_up_to_the_clients_maximum() {
    let mut s = Script::of_one();
    let publisher = s.join("p");
    let mut wanted = connect("s");
    wanted.properties.topic_alias_maximum = Some(1);
    let (subscriber, _) = s.connect(&wanted);
    s.subscribe(subscriber, "#", 0);
    s.hear(subscriber);
    for topic in ["topic/one", "topic/one", "topic/two"] {
        s.publish(publisher, topic, "x");
    }
    assert_eq!(s.hear(subscriber), ["topic/one 'x' alias 1", " 'x' alias 1", "topic/two 'x'"]);
}

#[test]
fn a_shared_subscription_gives_each_message_to_one_member() {
    let mut s = Script::of_one();
    let publisher = s.join("p");
    let members = [s.join("m1"), s.join("m2")];
    for member in members {
        s.subscribe(member, "$share/g/a/+", 0);
        s.hear(member);
    }
    for n in 0..10 {
        s.publish(publisher, "a/b", &n.to_string());
    }
    let heard = members.map(|member| s.hear(member).len());
    assert_eq!(heard, [5, 5]);
}

#[test]
fn large_payloads_arrive_whole() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.subscribe(subscriber, "a", 0);
    s.hear(subscriber);
    let payload = "x".repeat(100_000);
    s.publish(publisher, "a", &payload);
    s.publish(publisher, "a", "small");
    assert_eq!(s.hear(subscriber), [format!("a '{payload}'"), "a 'small'".into()]);
}

#[test]
fn all_packets_of_a_tick_leave_in_one_send() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.subscribe(subscriber, "a", 1);
    let before = s.sends(subscriber);
    let mut bytes = Vec::new();
    for id in 1..=50 {
        let packet = publish("a", "x", QoS::AtLeastOnce, mqtt::PacketId::new(id));
        Packet::Publish(packet).encode(mqtt::Version::V5, &mut bytes);
    }
    s.bytes(publisher, &bytes);
    assert_eq!(s.hear(subscriber).len(), 51);
    assert_eq!(s.sends(subscriber) - before, 1);
}
