//! What the server says of itself: to whom it goes, where it stays, and what it does not count as. And what it is made of.

use std::time::Duration;

use access::{Fallback, Rules};
use mqtt::{Connect, Packet, QoS};
use shard::{Act, Config, Limits, Look, Seen, Told};

use crate::{
    keeping::{absent, come_back},
    script::{Script, ack, connect},
};

fn told(topics: &[(&str, &str)]) -> Act {
    let told = |(topic, payload): &(&str, &str)| Told {
        topic: Box::from(*topic),
        payload: payload.as_bytes().into(),
    };
    Act::Tell(topics.iter().map(told).collect())
}

/// As the runtime does it: every shard hears all of it. How many took each in.
fn tell(s: &mut Script, topics: &[(&str, &str)]) -> usize {
    (0..s.shards.len()).map(|shard| s.act(shard, told(topics)).count).sum()
}

/// Topics of one shard at which something is to be read.
fn retained(s: &Script) -> Vec<String> {
    let look = Look::Retained { filter: "$SYS/#".into(), after: None, most: 100 };
    let Seen::Retained { messages, .. } = s.look(0, &look) else { panic!("another question's answer") };
    messages.iter().map(|message| message.topic().to_owned()).collect()
}

const SOME: [(&str, &str); 5] = [
    ("$SYS/broker/uptime", "7 seconds"),
    ("$SYS/broker/version", "x"),
    ("$SYS/broker/clients/total", "2"),
    ("$SYS/broker/load/messages/sent/1min", "0.00"),
    ("$SYS/broker/shards/0/sessions", "2"),
];

#[test]
fn every_topic_is_told_by_one_shard_and_reaches_subscribers_of_all() {
    for shards in [1, 4] {
        let config = Config { shards, ..Config::default() };
        let ids = Script::ids_by_home(&config, "c");
        let mut s = Script::new(config);
        let clients: Vec<_> = ids.iter().map(|id| s.join(id)).collect();
        for client in &clients {
            s.subscribe(*client, "$SYS/broker/#", 2);
            s.hear(*client);
        }
        assert_eq!(tell(&mut s, &SOME), SOME.len());
        let mut expected: Vec<String> =
            SOME.iter().map(|(topic, payload)| format!("{topic} '{payload}'")).collect();
        expected.sort();
        for client in clients {
            let mut heard = s.hear(client);
            heard.sort();
            assert_eq!(heard, expected);
        }
    }
}

#[test]
fn it_stays_retained_and_wildcards_do_not_match_it() {
    let mut s = Script::new(Config { shards: 3, ..Config::default() });
    tell(&mut s, &SOME);
    tell(&mut s, &[("$SYS/broker/uptime", "17 seconds")]);
    let client = s.join("late");
    s.subscribe(client, "#", 0);
    s.subscribe(client, "+/broker/uptime", 0);
    s.hear(client);
    tell(&mut s, &SOME[1..]);
    assert_eq!(s.hear(client), Vec::<String>::new());
    s.subscribe(client, "$SYS/broker/uptime", 1);
    assert_eq!(s.hear(client), ["SUBACK 9 0x01", "$SYS/broker/uptime '17 seconds' retained"]);
}

#[test]
fn it_counts_as_no_publication_and_is_not_missed() {
    let mut s = Script::of_one();
    tell(&mut s, &SOME);
    for counter in ["publish_received", "publish_unmatched", "packets_received", "publish_bytes_received"] {
        assert_eq!(s.counter(counter), 0, "{counter}");
    }
    assert_eq!(tell(&mut s, &[("a", "x"), ("$SYSTEM/x", "x")]), 0, "it speaks of itself alone");
    let gauges = s.shards[0].gauges();
    assert_eq!((gauges.retained_messages, gauges.retained_bytes), (0, 0));
    assert_eq!(retained(&s).len(), SOME.len());
}

#[test]
fn it_takes_no_room_from_what_clients_retain() {
    let limits = Limits { retained_messages_max: 2, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    tell(&mut s, &SOME);
    let client = s.join("c");
    for topic in ["a", "b", "c"] {
        s.retain(client, topic, "x");
    }
    assert_eq!(
        (s.shards[0].gauges().retained_messages, s.counter("refused_publish_retain_messages")),
        (2, 1)
    );
    tell(&mut s, &[("$SYS/broker/uptime", "17 seconds")]);
    assert_eq!(retained(&s).len(), SOME.len(), "and needs none of theirs");
}

#[test]
fn it_is_not_stored() {
    let mut s = Script::new(Config { store_epoch_ms: Some(1_000_000), ..Config::default() });
    let client = s.join_for_an_hour("away");
    s.subscribe(client, "$SYS/#", 2);
    s.cut(client);
    s.settle();
    let before = (s.batches(0), s.shards[0].gauges().stored_live_bytes);
    tell(&mut s, &SOME);
    tell(&mut s, &SOME);
    tell(&mut s, &[("$SYS/broker/version", "")]);
    assert_eq!((s.batches(0), s.shards[0].gauges().stored_live_bytes), before);
    assert_eq!(retained(&s).len(), SOME.len() - 1, "an empty one takes it away");
    s.crash();
    assert_eq!(retained(&s), Vec::<String>::new());
}

#[test]
fn nobody_else_publishes_there() {
    let mut s = Script::of_one();
    let (client, watcher) = (s.join("c"), s.join("w"));
    s.subscribe(watcher, "$SYS/#", 0);
    s.hear(watcher);
    for (id, topic) in (1..).zip(["$SYS", "$SYS/", "$SYS/broker/uptime"]) {
        s.publish_qos(client, topic, "x", 1, id);
        assert_eq!(s.hear(client), [format!("PUBACK {id} Not authorized")], "{topic}");
        s.retain(client, topic, "x");
        let will = mqtt::Will {
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            payload: b"x",
            properties: mqtt::WillProperties::default(),
        };
        let wanted = Connect { will: Some(will), ..connect("willing") };
        assert_eq!(s.connect(&wanted).1, ["CONNACK Not authorized"], "{topic}");
    }
    assert_eq!(s.hear(watcher), Vec::<String>::new());
    s.publish_qos(client, "$SYSTEM", "x", 1, 9);
    assert_eq!(s.hear(client), ["PUBACK 9 No matching subscribers"]);
}

#[test]
fn where_there_are_rules_one_has_to_allow_it() {
    let mosquitto = |text: &str| access::mosquitto::parse("acl", text).unwrap();
    let own = |text: &str| access::own::parse("rules.toml", text).unwrap();
    // As in mosquitto, its file says nothing of subscriptions, only of what comes.
    for (layer, answer, hears) in [
        (mosquitto("topic deny secret/#\n"), "SUBACK 9 0x00", 0),
        (mosquitto("topic readwrite #\n"), "SUBACK 9 0x00", 0),
        (mosquitto("topic read $SYS/#\n"), "SUBACK 9 0x00", SOME.len()),
        (
            own("everyone = \"r\"\n[roles.r]\nrules = [ { allow = \"read\", topics = \"#\" } ]\n"),
            "SUBACK 9 0x87",
            0,
        ),
        (
            own("everyone = \"r\"\n[roles.r]\nrules = [ { allow = \"read\", topics = \"$SYS/#\" } ]\n"),
            "SUBACK 9 0x00",
            SOME.len(),
        ),
    ] {
        let rules = Rules::builder(Fallback::Allow).layer(layer).build();
        let mut s = Script::new(Config { rules: Some(rules), ..Config::default() });
        let client = s.join("c");
        s.subscribe(client, "$SYS/#", 0);
        assert_eq!(s.hear(client), [answer]);
        tell(&mut s, &SOME);
        assert_eq!(s.hear(client).len(), hears, "{answer}");
    }
}

#[test]
fn who_may_not_read_all_of_it_loses_nothing() {
    let acl = access::mosquitto::parse("acl", "topic readwrite #\ntopic read $SYS/broker/uptime\n").unwrap();
    let rules = Rules::builder(Fallback::Deny).layer(acl).build();
    let mut s = Script::new(Config { rules: Some(rules), ..Config::default() });
    let client = s.join("c");
    s.subscribe(client, "$SYS/#", 0);
    s.subscribe(client, "$SYS/client/drops", 0);
    s.hear(client);
    for _ in 0..3 {
        tell(&mut s, &SOME);
        assert_eq!(s.hear(client), ["$SYS/broker/uptime '7 seconds'"]);
    }
    assert_eq!(
        (s.counter("dropped_denied"), s.counter("sys_dropped_denied")),
        (0, 3 * (SOME.len() as u64 - 1))
    );
    let look = Look::PrefixLosses { after: None, most: 10 };
    let Seen::PrefixLosses(page) = s.look(0, &look) else { panic!("another question's answer") };
    assert!(page.rows.is_empty(), "{page:?}");
    let denied = s.notes.iter().filter(|note| note.contains("Denied")).count();
    assert_eq!(denied, 1, "{:?}", s.notes);
}

#[test]
fn what_a_slow_reader_misses_of_it_is_not_counted() {
    let limits = Limits { outbox_bytes_max: 100, queued_messages_max: 2, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    let slow = s.join("slow");
    s.subscribe(slow, "$SYS/#", 0);
    s.hear(slow);
    s.stick(slow);
    for _ in 0..20 {
        tell(&mut s, &SOME);
    }
    let waiting = s.shards[0].gauges().queued_messages;
    assert!(waiting > 0 && waiting < 90, "{waiting} wait, and others are gone");
    s.cut(slow);
    for counter in ["dropped_queue_messages", "dropped_session_ended", "dropped_offline_qos0"] {
        assert_eq!(s.counter(counter), 0, "{counter}");
    }
}

#[test]
fn messages_that_a_slow_socket_lets_wait_are_counted_and_those_of_who_is_away_are_not() {
    let limits = Limits { outbox_bytes_max: 100, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    let (publisher, slow) = (s.join("p"), s.join("slow"));
    s.subscribe(slow, "a", 0);
    s.hear(slow);
    s.stick(slow);
    for _ in 0..20 {
        s.publish(publisher, "a", "0123456789");
    }
    let waiting = s.shards[0].gauges().queued_messages as u64;
    assert!((5..20).contains(&waiting), "{waiting} wait");
    assert_eq!(s.counter("waited_unsent"), waiting);
    s.cut(slow);
    s.publish(publisher, "a", "0123456789");
    assert_eq!(s.counter("waited_unsent"), waiting);
}

#[test]
fn messages_that_a_slow_socket_lets_wait_are_counted_while_memory_is_full() {
    let limits = Limits { outbox_bytes_max: 1 << 20, queue_memory_max: 40 << 10, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    let (publisher, slow) = (s.join("p"), s.join("slow"));
    s.subscribe(slow, "a", 0);
    s.hear(slow);
    s.stick(slow);
    let payload = "x".repeat(1000);
    (0..50).for_each(|_| s.publish(publisher, "a", &payload));
    let waiting = s.shards[0].gauges().queued_messages as u64;
    assert!((5..50).contains(&waiting), "{waiting} wait");
    assert_eq!(s.counter("waited_unsent"), waiting);
}

#[test]
fn what_waits_for_an_acknowledgement_is_not_counted_as_waiting_for_a_socket() {
    let limits = Limits { outbox_bytes_max: 10, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    let mut wanted = connect("slow");
    wanted.properties.receive_maximum = Some(1);
    let (publisher, (slow, _)) = (s.join("p"), s.connect(&wanted));
    s.subscribe(slow, "a", 1);
    s.stick(slow);
    (1..=4).for_each(|n| s.publish_qos(publisher, "a", "0123456789", 1, n));
    assert_eq!(s.shards[0].gauges().queued_messages, 3, "one is unacknowledged");
    assert_eq!(s.counter("waited_unsent"), 0);
}

#[test]
fn packets_and_payloads_are_counted_in_both_directions() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.subscribe(subscriber, "a", 1);
    s.publish_qos(publisher, "a", "12345", 1, 1);
    s.puback(subscriber, 1);
    s.publish(publisher, "nobody/wants/it", "678");
    // Two CONNECT, SUBSCRIBE, two PUBLISH, PUBACK; two CONNACK, SUBACK, PUBLISH, PUBACK.
    assert_eq!((s.counter("packets_received"), s.counter("packets_sent")), (6, 5));
    assert_eq!((s.counter("publish_bytes_received"), s.counter("publish_bytes_sent")), (8, 5));
    assert_eq!(s.counter("connects_received"), 2);
    assert_eq!(s.connect(&Connect { client_id: "s", ..connect("s") }).1, ["CONNACK Success"]);
    // DISCONNECT to the one before, and CONNACK.
    assert_eq!((s.counter("connects_received"), s.counter("packets_sent")), (3, 7));
}

#[test]
fn a_connect_that_moves_to_its_home_counts_once() {
    let config = Config { shards: 4, ..Config::default() };
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    for id in &ids {
        s.join(id);
    }
    assert_eq!(s.counter("connects_received"), 4);
}

#[test]
fn messages_that_wait_and_messages_in_flight_are_counted() {
    let mut s = Script::of_one();
    let counts = |s: &Script| {
        let gauges = s.shards[0].gauges();
        (gauges.queued_messages, gauges.inflight_messages, gauges.connected, gauges.shared_subscriptions)
    };
    let (publisher, client) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(client, "a", 2);
    s.subscribe(client, "$share/g/b", 1);
    assert_eq!(counts(&s), (0, 0, 2, 1));
    s.publish_qos(publisher, "a", "1", 1, 1);
    s.publish_qos(publisher, "a", "2", 2, 2);
    assert_eq!(counts(&s), (0, 2, 2, 1));
    s.puback(client, 1);
    assert_eq!(counts(&s), (0, 1, 2, 1));
    s.packet(client, &Packet::Pubrec(ack(2)));
    // The client has taken it over, though the handshake goes on.
    assert_eq!(counts(&s), (0, 0, 2, 1));
    s.cut(client);
    for n in 3..6 {
        s.publish_qos(publisher, "a", "x", 1, n);
    }
    assert_eq!(counts(&s), (3, 0, 1, 1));
    let again = s.join_for_an_hour("s");
    assert_eq!(counts(&s), (0, 3, 2, 1));
    s.cut(again);
    assert_eq!(counts(&s), (0, 3, 1, 1));
    // A clean start: the session ends with all that it has.
    s.join("s");
    assert_eq!(counts(&s), (0, 0, 2, 0));
}

#[test]
fn they_are_counted_again_after_a_crash() {
    let (mut s, publisher) = absent(1);
    for n in 1..=4 {
        s.publish_qos(publisher, "a", "x", 1, n);
    }
    s.crash();
    let counts = |s: &Script| (s.shards[0].gauges().queued_messages, s.shards[0].gauges().inflight_messages);
    assert_eq!(counts(&s), (4, 0));
    let (subscriber, _) = come_back(&mut s, "s");
    assert_eq!(counts(&s), (0, 4));
    s.puback(subscriber, 1);
    s.pass(Duration::from_secs(1));
    s.crash();
    assert_eq!(counts(&s), (0, 3), "they may have been sent");
    let (subscriber, _) = come_back(&mut s, "s");
    for n in 2..=4 {
        s.puback(subscriber, n);
    }
    assert_eq!(counts(&s), (0, 0));
}

#[test]
fn publications_of_other_shards_are_timed_on_their_way() {
    let config = Config { shards: 2, ..Config::default() };
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    let clients: Vec<_> = ids.iter().map(|id| s.join(id)).collect();
    s.subscribe(clients[1], "a", 0);
    s.publish(clients[0], "a", "1");
    s.publish(clients[0], "a", "2");
    assert_eq!(s.hear(clients[1]).len(), 3, "SUBACK and both");
    assert_eq!(s.shards[1].arrivals().crossing.count(), 2);
    assert_eq!(s.shards[0].arrivals().crossing.count(), 0);
    // The mail waits for room, and is that much longer on its way.
    s.give_room(0);
    s.publish_qos(clients[0], "a", "3", 1, 1);
    s.now = s.now + Duration::from_secs(3);
    s.give_room(1 << 10);
    assert_eq!(s.shards[1].arrivals().crossing.sum(), Duration::from_secs(3));
    s.shards[1].end_turn(s.now + Duration::from_secs(1));
    let crossed = &s.shards[1].arrivals().crossed;
    assert_eq!((crossed.count(), crossed.sum()), (1, Duration::from_secs(4)), "the turn of the last one");
    assert_eq!(s.shards[0].arrivals().crossed.count(), 0);
    s.shards[1].end_turn(s.now + Duration::from_secs(9));
    assert_eq!(s.shards[1].arrivals().crossed.count(), 1, "each once");
}

#[test]
fn large_and_shared_publications_of_other_shards_are_timed_too() {
    let config = Config { shards: 2, ..Config::default() };
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    let clients: Vec<_> = ids.iter().map(|id| s.join(id)).collect();
    s.subscribe(clients[1], "large", 0);
    s.subscribe(clients[1], "$share/g/turns", 0);
    s.publish(clients[0], "large", &"x".repeat(100_000));
    s.publish(clients[0], "turns", "1");
    assert_eq!(s.hear(clients[1]).len(), 4, "two SUBACKs and both");
    s.shards[1].end_turn(s.now);
    let arrivals = s.shards[1].arrivals();
    assert_eq!((arrivals.crossing.count(), arrivals.crossed.count()), (2, 2));
}
