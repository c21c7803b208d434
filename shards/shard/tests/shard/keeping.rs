//! What is stored before what is answered, and what comes back after the end of the world.

use std::time::Duration;

use mqtt::{Connect, Packet, PacketId, Publish, QoS, ReasonCode, Subscribe, Will, WillProperties};
use shard::{Config, Event, Limits, Look, Seen};

use crate::script::{Client, Script, ack, connect, options, publish};

/// By then what nobody waits for is stored as well.
pub const SOON: Duration = Duration::from_millis(10);

pub fn kept() -> Script {
    Script::new(Config { store_epoch_ms: Some(1_700_000_000_000), ..Config::default() })
}

pub fn come_back(s: &mut Script, client_id: &str) -> (Client, Vec<String>) {
    let mut wanted = Connect { clean_start: false, ..connect(client_id) };
    wanted.properties.session_expiry_interval_s = Some(3600);
    s.connect(&wanted)
}

/// A publisher whose session ends with its connection, and an absent subscriber to `a` at this QoS.
pub fn absent(qos: u8) -> (Script, Client) {
    absent_in(kept(), qos)
}

pub fn absent_in(mut s: Script, qos: u8) -> (Script, Client) {
    let subscriber = s.join_for_an_hour("s");
    s.subscribe(subscriber, "a", qos);
    s.cut(subscriber);
    let publisher = s.join("p");
    (s, publisher)
}

#[test]
fn puback_waits_until_what_somebody_must_get_is_stored() {
    let (mut s, publisher) = absent(1);
    s.disk_is_slow = true;
    s.publish_qos(publisher, "a", "x", 1, 1);
    assert_eq!(s.hear(publisher), Vec::<String>::new());
    s.publish_qos(publisher, "a", "y", 1, 2);
    assert!(s.store(0));
    s.settle();
    assert_eq!(s.hear(publisher), ["PUBACK 1"]);
    assert!(s.store(0));
    s.settle();
    assert_eq!(s.hear(publisher), ["PUBACK 2"]);
    assert!(!s.store(0));
}

#[test]
fn an_answer_that_waited_until_its_message_was_stored_went_out_then() {
    let (mut s, publisher) = absent(1);
    s.disk_is_slow = true;
    for packet_id in 1..=2 {
        s.publish_qos(publisher, "a", "x", 1, packet_id);
        s.pass(Duration::from_millis(10));
    }
    for _ in 0..2 {
        s.pass(Duration::from_millis(100));
        assert!(s.store(0));
        s.settle();
    }
    let look = Look::Packets { client_id: "p".into(), topic_filter: None };
    let Seen::Packets(Some(last)) = s.look(0, &look) else { panic!("it is there") };
    let seen = last.packets.iter().map(|packet| {
        let latency = packet.latency.map_or(0, |latency| (latency.as_micros() + 500) / 1000);
        (format!("{:?} {}", packet.kind, packet.packet_id), packet.ago.as_millis(), latency)
    });
    let expected =
        [("Publish 1", 220, 120), ("Publish 2", 210, 210), ("Puback 1", 100, 120), ("Puback 2", 0, 210)];
    let expected = expected.map(|(packet, ago, latency)| (packet.to_owned(), ago, latency));
    assert_eq!(seen.collect::<Vec<_>>(), expected);
}

#[test]
fn nothing_waits_where_nothing_is_stored() {
    let mut s = kept();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.subscribe(subscriber, "a", 2);
    s.hear(subscriber);
    s.disk_is_slow = true;
    s.publish_qos(publisher, "a", "x", 1, 1);
    s.publish_qos(publisher, "a", "y", 2, 2);
    s.publish_qos(publisher, "nobody", "z", 1, 3);
    assert_eq!(s.hear(publisher), ["PUBACK 1", "PUBREC 2", "PUBACK 3 No matching subscribers"]);
    assert_eq!(s.hear(subscriber), ["a 'x' q1 #1", "a 'y' q2 #2"]);
    s.puback(subscriber, 1);
    s.packet(subscriber, &Packet::Pubrec(ack(2)));
    assert_eq!(s.hear(subscriber), ["PUBREL 2"]);
    assert!(!s.store(0));
}

#[test]
fn what_comes_after_an_answer_that_waits_waits_behind_it() {
    let (mut s, publisher) = absent(1);
    s.disk_is_slow = true;
    s.publish_qos(publisher, "a", "x", 1, 1);
    s.packet(publisher, &Packet::Pingreq);
    assert_eq!(s.hear(publisher), Vec::<String>::new());
    let other = s.join("other");
    s.packet(other, &Packet::Pingreq);
    assert_eq!(s.hear(other), ["PINGRESP"], "nobody else waits");
    s.store(0);
    s.settle();
    assert_eq!(s.hear(publisher), ["PUBACK 1", "PINGRESP"]);
}

#[test]
fn a_client_that_ends_before_its_answer_is_stored_gets_it_nevertheless() {
    let (mut s, publisher) = absent(1);
    s.disk_is_slow = true;
    s.publish_qos(publisher, "a", "x", 1, 1);
    s.disconnect(publisher, ReasonCode::Success);
    assert!(!s.is_closed(publisher));
    s.store(0);
    s.settle();
    assert_eq!(s.hear(publisher), ["PUBACK 1"]);
    assert!(s.is_closed(publisher));
}

#[test]
fn connack_and_suback_of_a_session_that_lives_on_wait() {
    let mut s = kept();
    s.disk_is_slow = true;
    let (client, heard) = come_back(&mut s, "c");
    assert_eq!(heard, Vec::<String>::new());
    s.store(0);
    s.settle();
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    s.subscribe_with(client, "a", options(1), None);
    assert_eq!(s.hear(client), Vec::<String>::new());
    s.store(0);
    s.settle();
    assert_eq!(s.hear(client), ["SUBACK 9 0x01"]);
    let (_, heard) = s.connect(&connect("for a moment"));
    assert_eq!(heard, ["CONNACK Success"]);
}

#[test]
fn queues_come_back_in_order() {
    let (mut s, publisher) = absent(1);
    for n in 1..=5 {
        s.publish_qos(publisher, "a", &n.to_string(), 1, n);
    }
    s.crash();
    let (_, heard) = come_back(&mut s, "s");
    let expected: Vec<String> = (1..=5).map(|n| format!("a '{n}' q1 #{n}")).collect();
    assert_eq!(heard[0], "CONNACK Success present");
    assert_eq!(heard[1..], expected);
}

#[test]
fn what_was_acknowledged_does_not_come_back() {
    let (mut s, publisher) = absent(1);
    for n in 1..=4 {
        s.publish_qos(publisher, "a", &n.to_string(), 1, n);
    }
    let (subscriber, _) = come_back(&mut s, "s");
    s.puback(subscriber, 1);
    s.puback(subscriber, 3);
    s.pass(SOON);
    s.crash();
    let (_, heard) = come_back(&mut s, "s");
    assert_eq!(heard[1..], ["a '2' q1 #2 dup", "a '4' q1 #4 dup"]);
}

#[test]
fn a_qos_2_message_goes_out_when_it_is_stored_and_keeps_its_id() {
    let mut s = kept();
    let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(subscriber, "a", 2);
    s.hear(subscriber);
    s.disk_is_slow = true;
    s.publish_qos(publisher, "a", "x", 2, 1);
    assert_eq!(s.hear(subscriber), Vec::<String>::new());
    s.store(0);
    s.settle();
    assert_eq!(s.hear(subscriber), ["a 'x' q2 #1"]);
    s.crash();
    let (subscriber, heard) = come_back(&mut s, "s");
    assert_eq!(heard, Vec::<String>::new(), "the CONNACK waits as well");
    s.store(0);
    s.settle();
    assert_eq!(s.hear(subscriber), ["CONNACK Success present", "a 'x' q2 #1 dup"]);
    s.packet(subscriber, &Packet::Pubrec(ack(1)));
    assert_eq!(s.hear(subscriber), Vec::<String>::new(), "PUBREL waits");
    s.store(0);
    s.settle();
    assert_eq!(s.hear(subscriber), ["PUBREL 1"]);
    s.crash();
    s.disk_is_slow = false;
    while s.store(0) {}
    let (subscriber, heard) = come_back(&mut s, "s");
    assert_eq!(heard, ["CONNACK Success present", "PUBREL 1"]);
    s.packet(subscriber, &Packet::Pubcomp(ack(1)));
    s.pass(SOON);
    s.crash();
    assert_eq!(come_back(&mut s, "s").1, ["CONNACK Success present"]);
}

#[test]
fn a_qos_2_publication_is_taken_once_across_a_crash() {
    let (mut s, _) = absent(2);
    let (publisher, _) = come_back(&mut s, "p2");
    s.publish_qos(publisher, "a", "x", 2, 7);
    assert_eq!(s.hear(publisher), ["PUBREC 7"]);
    s.crash();
    let (publisher, _) = come_back(&mut s, "p2");
    s.publish_qos(publisher, "a", "x", 2, 7);
    assert_eq!(s.hear(publisher), ["PUBREC 7"]);
    s.packet(publisher, &Packet::Pubrel(ack(7)));
    assert_eq!(s.hear(publisher), ["PUBCOMP 7"]);
    s.crash();
    let (publisher, _) = come_back(&mut s, "p2");
    s.publish_qos(publisher, "a", "y", 2, 7);
    let (_, heard) = come_back(&mut s, "s");
    assert_eq!(heard[1..], ["a 'x' q2 #1", "a 'y' q2 #2"]);
}

#[test]
fn what_was_not_stored_was_not_acknowledged_and_is_gone_as_a_whole() {
    let (mut s, _) = absent(2);
    let (publisher, _) = come_back(&mut s, "p2");
    s.disk_is_slow = true;
    s.publish_qos(publisher, "a", "x", 2, 7);
    assert_eq!(s.hear(publisher), Vec::<String>::new());
    s.crash();
    s.disk_is_slow = false;
    while s.store(0) {}
    let (publisher, _) = come_back(&mut s, "p2");
    s.publish_qos(publisher, "a", "x", 2, 7);
    assert_eq!(s.hear(publisher), ["PUBREC 7"]);
    assert_eq!(come_back(&mut s, "s").1[1..], ["a 'x' q2 #1"]);
}

/// Its queue is not stored, and what others hold is not its to let go.
#[test]
fn a_session_that_is_not_stored_lets_nothing_go() {
    for qos in [1, 2] {
        let (mut s, publisher) = absent(1);
        let passing = s.join("passing");
        s.subscribe(passing, "a", qos);
        s.publish_qos(publisher, "a", "x", qos, 1);
        let live = s.shards[0].gauges().stored_live_bytes;
        if qos == 1 {
            s.puback(passing, 1);
        } else {
            s.packet(passing, &Packet::Pubrec(ack(1)));
        }
        assert_eq!(s.shards[0].gauges().stored_live_bytes, live);
        let (reader, _) = come_back(&mut s, "s");
        s.puback(reader, 1);
        assert!(s.shards[0].gauges().stored_live_bytes < live);
    }
}

#[test]
fn retained_messages_come_back_and_cleared_ones_do_not() {
    let mut s = kept();
    let publisher = s.join("p");
    for (topic, payload) in [("r/1", "one"), ("r/2", "two"), ("r/1", "uno"), ("r/3", "three"), ("r/2", "")] {
        s.retain(publisher, topic, payload);
    }
    s.crash();
    let subscriber = s.join("s");
    s.subscribe(subscriber, "r/#", 1);
    assert_eq!(s.hear(subscriber)[1..], ["r/1 'uno' retained", "r/3 'three' retained"]);
}

#[test]
fn subscriptions_come_back_as_they_were_last() {
    let mut s = kept();
    let subscriber = s.join_for_an_hour("s");
    for filter in ["a", "b/+", "c", "$share/g/d"] {
        s.subscribe(subscriber, filter, 2);
    }
    s.subscribe(subscriber, "a", 0);
    s.unsubscribe(subscriber, "c");
    s.crash();
    let (subscriber, _) = come_back(&mut s, "s");
    let publisher = s.join("p");
    for (n, topic) in ["a", "b/x", "c", "d"].into_iter().enumerate() {
        s.publish_qos(publisher, topic, "x", 1, n as u16 + 1);
    }
    assert_eq!(s.hear(subscriber), ["a 'x'", "b/x 'x' q1 #1", "d 'x' q1 #2"]);
}

#[test]
fn what_is_alive_in_the_store_is_the_same_before_and_after_a_crash() {
    let (mut s, publisher) = absent(2);
    for n in 1..=9 {
        s.publish_qos(publisher, "a", &n.to_string(), 1 + (n % 2) as u8, n);
        s.retain(publisher, &format!("r/{}", n % 4), "payload");
    }
    let (subscriber, _) = come_back(&mut s, "s");
    s.puback(subscriber, 2);
    s.packet(subscriber, &Packet::Pubrec(ack(1)));
    s.cut(subscriber);
    s.cut(publisher);
    let before = s.shards[0].gauges();
    assert!(before.stored_live_bytes > 0);
    s.crash();
    let after = s.shards[0].gauges();
    assert_eq!(after.stored_live_bytes, before.stored_live_bytes);
    assert_eq!(after.session_bytes, before.session_bytes);
    assert_eq!(after.retained_bytes, before.retained_bytes);
    s.crash();
    assert_eq!(s.shards[0].gauges(), after);
}

#[test]
fn what_is_alive_is_written_again_when_the_oldest_batches_are_given_up() {
    let (mut s, publisher) = absent(2);
    for n in 1..=6 {
        s.publish_qos(publisher, "a", &n.to_string(), 1 + (n % 2) as u8, n);
        s.retain(publisher, &format!("r/{}", n % 3), &n.to_string());
    }
    let (subscriber, _) = come_back(&mut s, "s");
    s.packet(subscriber, &Packet::Pubrec(ack(1)));
    s.puback(subscriber, 2);
    s.cut(subscriber);
    // Several rounds: what was written again is written again once more.
    for _ in 0..3 {
        for _ in 0..s.batches(0) - s.given_up(0) {
            s.give_up_oldest(0);
        }
        let live = s.shards[0].gauges().stored_live_bytes;
        s.crash();
        assert_eq!(s.shards[0].gauges().stored_live_bytes, live);
        let (subscriber, heard) = come_back(&mut s, "s");
        let expected = [
            "CONNACK Success present",
            "PUBREL 1",
            "a '3' q2 #3 dup",
            "a '4' q1 #4 dup",
            "a '5' q2 #5 dup",
            "a '6' q1 #6 dup",
        ];
        assert_eq!(heard, expected);
        s.cut(subscriber);
    }
    let reader = s.join("reader");
    s.subscribe(reader, "r/#", 0);
    assert_eq!(s.hear(reader)[1..], ["r/0 '6' retained", "r/1 '4' retained", "r/2 '5' retained"]);
}

#[test]
fn nothing_is_written_again_of_what_is_over() {
    let (mut s, publisher) = absent(1);
    for n in 1..=3 {
        s.publish_qos(publisher, "a", "x", 1, n);
    }
    s.join("s");
    let batches = s.batches(0);
    while s.given_up(0) < batches {
        s.give_up_oldest(0);
    }
    assert_eq!(s.batches(0), batches);
    s.crash();
    assert_eq!(s.shards[0].gauges().sessions, 0);
}

#[test]
fn a_message_for_a_crowd_is_kept_in_parts() {
    const CROWD: usize = 15_000;
    let mut s = kept();
    for n in 0..CROWD {
        let client = s.join_for_an_hour(&format!("s{n}"));
        s.subscribe(client, "a", 1);
        s.cut(client);
    }
    let publisher = s.join("p");
    s.packet(
        publisher,
        &Packet::Publish(Publish { retain: true, ..publish("a", "x", QoS::AtLeastOnce, PacketId::new(1)) }),
    );
    assert_eq!(s.hear(publisher), ["PUBACK 1"]);
    let live = s.shards[0].gauges().stored_live_bytes;
    s.crash();
    assert_eq!(s.shards[0].gauges().stored_live_bytes, live);
    let batches = s.batches(0);
    while s.given_up(0) < batches {
        s.give_up_oldest(0);
    }
    let live = s.shards[0].gauges().stored_live_bytes;
    s.crash();
    assert_eq!(s.shards[0].gauges().stored_live_bytes, live);
    assert_eq!(s.shards[0].gauges().retained_messages, 1);
    for n in [0, CROWD / 2, CROWD - 1] {
        assert_eq!(come_back(&mut s, &format!("s{n}")).1[1..], ["a 'x' q1 #1"]);
    }
}

/// The last one for whom it is stored may be the one that makes a part complete.
#[test]
fn a_message_for_a_crowd_of_any_size_comes_back() {
    const CROWD: usize = 13_792;
    let mut s = kept();
    let mut expected = Vec::new();
    for n in 0..CROWD + 8 {
        let client = s.join_for_an_hour(&format!("s{n}"));
        s.subscribe(client, "a", 1);
        s.cut(client);
        if n >= CROWD {
            let publisher = s.join("p");
            s.publish_qos(publisher, "a", &n.to_string(), 1, 1);
            expected.push(format!("a '{n}' q1 #{}", expected.len() + 1));
            s.crash();
            let reader = format!("s{}", n - CROWD);
            assert_eq!(come_back(&mut s, &reader).1[1..], expected, "with {n} before");
        }
    }
}

/// No client may bring the shard down by subscribing to too much.
#[test]
fn a_message_names_its_subscriptions_however_many_they_are() {
    const FILTERS: usize = 66_000;
    let limits = Limits { subscriptions_max: 100_000, subscription_bytes_max: 1 << 30, ..Limits::default() };
    let config = Config { store_epoch_ms: Some(1_700_000_000_000), limits, ..Config::default() };
    let mut s = Script::new(config);
    let subscriber = s.join_for_an_hour("s");
    let topic = ["a"; 17].join("/");
    let filter = |n: usize| {
        let level = |bit: usize| if n >> bit & 1 == 1 { "+" } else { "a" };
        (0..17).map(level).collect::<Vec<_>>().join("/")
    };
    let filters: Vec<String> = (0..FILTERS).map(filter).collect();
    for filters in filters.chunks(1000) {
        // At QoS 1, without retained messages.
        let filters = filters.iter().map(|filter| (&**filter, options(0x21))).collect();
        let (packet_id, subscription_id) = (PacketId::MIN, Some(7));
        let user_properties = Default::default();
        s.packet(
            subscriber,
            &Packet::Subscribe(Subscribe { packet_id, subscription_id, user_properties, filters }),
        );
    }
    s.secs(1);
    s.hear(subscriber);
    let publisher = s.join("p");
    s.publish_qos(publisher, &topic, "x", 1, 1);
    assert_eq!(s.hear(publisher), ["PUBACK 1"]);
    let named = |heard: &[String]| heard.iter().map(|line| line.matches(" sub 7").count()).sum::<usize>();
    let heard = s.hear(subscriber);
    assert_eq!((heard.len(), named(&heard)), (5, FILTERS));
    s.crash();
    let heard = come_back(&mut s, "s").1;
    assert_eq!((heard.len(), named(&heard)), (1 + 5, FILTERS));
}

/// The queue that comes back holds an older message than those that were acknowledged last.
#[test]
fn what_comes_after_a_crash_is_not_taken_for_something_that_was_sent() {
    let (mut s, publisher) = absent(1);
    for n in 1..=3 {
        s.publish_qos(publisher, "a", &n.to_string(), 1, n);
    }
    let (subscriber, _) = come_back(&mut s, "s");
    s.puback(subscriber, 2);
    s.puback(subscriber, 3);
    s.cut(subscriber);
    s.crash();
    let publisher = s.join("p");
    s.publish_qos(publisher, "a", "4", 1, 1);
    s.crash();
    assert_eq!(come_back(&mut s, "s").1[1..], ["a '1' q1 #1 dup", "a '4' q1 #4"]);
}

#[test]
fn a_store_without_room_takes_no_wills() {
    let (mut s, _) = absent(1);
    s.event(0, Event::StoreRoom { bytes: 0, grows: false });
    let mut wanted = Connect { clean_start: false, ..connect("s") };
    wanted.properties.session_expiry_interval_s = Some(3600);
    let properties = WillProperties::default();
    wanted.will =
        Some(Will { qos: QoS::AtLeastOnce, retain: false, topic: "w", payload: b"gone", properties });
    assert_eq!(s.connect(&wanted).1, ["CONNACK Quota exceeded"]);
    wanted.properties.session_expiry_interval_s = None;
    assert_eq!(s.connect(&wanted).1, ["CONNACK Quota exceeded"], "its session is stored nevertheless");
    wanted.client_id = "another";
    assert_eq!(s.connect(&wanted).1, ["CONNACK Success"]);
    assert_eq!(come_back(&mut s, "s").1, ["CONNACK Success present"]);
}
