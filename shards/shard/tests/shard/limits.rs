//! What happens at the limits, and that each is counted.

use mqtt::{Connect, QoS, ReasonCode};
use shard::{Config, Event, Limits, NotOpened, QueueFull, Reading};

use crate::{
    keeping::{come_back, kept},
    script::{Script, connect},
};

fn with(change: impl FnOnce(&mut Limits)) -> Script {
    let mut config = Config::default();
    change(&mut config.limits);
    Script::new(config)
}

#[test]
fn connections_that_are_too_many_to_refuse_are_counted_and_nothing_else() {
    let mut s = Script::of_one();
    s.event(0, Event::NotOpened(NotOpened::NoSeat));
    s.event(0, Event::NotOpened(NotOpened::NoSeat));
    assert_eq!(s.counter("connections_turned_away"), 2);
    assert_eq!(s.counter("connections_opened"), 0);
    assert_eq!(s.shards[0].gauges().connections, 0);
    assert!(s.notes.is_empty());
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
        // A message has its packet id from when it came to the queue.
        let expected = kept.map(|n| format!("a '{n}' q1 #{n}"));
        assert_eq!(heard[1..], expected);
        assert_eq!(s.counter("dropped_queue_messages"), 1);
        let noted = "QueueFull { cause: QueueMessages, topic: \"a\" }";
        assert_eq!(s.notes.iter().filter(|note| note.starts_with("QueueFull")).collect::<Vec<_>>(), [noted]);
    }
}

#[test]
fn the_log_names_the_limit_and_the_topic_that_a_queue_was_too_small_for() {
    type Change = fn(&mut shard::Limits);
    let cases: [(Change, &str); 3] = [
        (|limits| limits.queued_messages_max = 1, "QueueMessages"),
        (|limits| limits.queued_bytes_max = 3000, "QueueBytes"),
        (|limits| limits.queue_memory_max = 3000, "QueueMemory"),
    ];
    for (change, cause) in cases {
        let mut s = with(change);
        let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
        s.subscribe(subscriber, "#", 1);
        s.cut(subscriber);
        for (n, topic) in [(1, "fits"), (2, "beyond"), (3, "further")] {
            s.publish_qos(publisher, topic, &"x".repeat(2000), 1, n);
        }
        let noted = format!("QueueFull {{ cause: {cause}, topic: \"beyond\" }}");
        assert_eq!(s.notes.iter().filter(|note| note.starts_with("QueueFull")).collect::<Vec<_>>(), [&noted]);
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
    let names_it = |note: &String| note.contains("the packet is larger than server.max_packet_size");
    assert!(s.notes.iter().any(names_it), "{:?}", s.notes);
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
    assert_eq!(s.counter("refused_max_subscriptions"), 1);
    assert_eq!(s.counter("topic_levels_exceeded"), 2);
}

#[test]
fn what_the_filters_of_one_client_cost_is_bounded_and_comes_back_with_each_that_goes() {
    let mut s = with(|limits| limits.subscription_bytes_max = 1000);
    let client = s.join("c");
    let long = |letter: &str| letter.repeat(400);
    for filter in [long("a"), long("b"), long("a"), "c".to_owned()] {
        s.subscribe(client, &filter, 0);
    }
    assert_eq!(s.hear(client), ["SUBACK 9 0x00", "SUBACK 9 0x97", "SUBACK 9 0x00", "SUBACK 9 0x00"]);
    s.unsubscribe(client, &long("a"));
    s.subscribe(client, &long("b"), 0);
    assert_eq!(s.hear(client)[1..], ["SUBACK 9 0x00"]);
    assert_eq!(s.counter("refused_max_subscription_bytes"), 1);
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
    let mut s = with(|limits| limits.receive_memory_max = 100_000);
    let clients: Vec<_> = (0..4).map(|n| s.join(&format!("c{n}"))).collect();
    // A PUBLISH that says that it has a million bytes; the last brings so few of them that they are always kept.
    let mut begun = vec![0x30, 0xc0, 0x84, 0x3d, 0x00, 0x01, b'a', 0x00];
    begun.resize(40_000, b'x');
    for (client, brings) in clients.iter().zip([40_000, 40_000, 40_000, 1000]) {
        s.bytes(*client, &begun[..brings]);
    }
    let closed: Vec<_> = clients.iter().map(|client| s.is_closed(*client)).collect();
    assert_eq!(closed, [true, false, false, false]);
    assert_eq!(s.counter("receive_memory_exceeded"), 1);
    for client in [1, 2, 3] {
        s.cut(clients[client]);
    }
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

#[test]
fn absent_sessions_do_not_stop_those_who_are_here() {
    let mut s = with(|limits| limits.queue_memory_max = 4096);
    let publisher = s.join("p");
    let absent = s.join_for_an_hour("absent");
    s.subscribe(absent, "#", 1);
    s.cut(absent);
    for id in 1..=60 {
        s.publish_qos(publisher, "fill", &"x".repeat(100), 1, id);
    }
    assert!(s.counter("dropped_queue_memory") > 0);
    let here = s.join("here");
    s.subscribe(here, "a", 1);
    s.hear(here);
    let mut bytes = Vec::new();
    for id in 1..=10 {
        let packet = crate::script::publish("a", "x", QoS::AtLeastOnce, mqtt::PacketId::new(id));
        mqtt::Packet::Publish(packet).encode(mqtt::Version::V5, &mut bytes);
    }
    s.bytes(publisher, &bytes);
    assert_eq!(s.hear(here).len(), 10);
}

#[test]
fn a_message_that_can_never_fit_drives_nothing_out_of_the_queue() {
    let mut s = with(|limits| {
        limits.queued_bytes_max = 5000;
        limits.queue_full = QueueFull::DropOldest;
    });
    let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(subscriber, "a", 1);
    s.cut(subscriber);
    for id in 1..=20 {
        s.publish_qos(publisher, "a", "x", 1, id);
    }
    s.publish_qos(publisher, "a", &"x".repeat(6000), 1, 21);
    let (_, heard) = s.connect(&Connect { clean_start: false, ..connect("s") });
    assert_eq!(heard.len(), 21);
    assert_eq!(s.counter("dropped_queue_bytes"), 1);
}

#[test]
fn a_client_that_reads_nothing_is_silent_however_much_it_sends() {
    let mut s = with(|limits| limits.outbox_bytes_max = 1000);
    let (client, _) = s.connect(&Connect { keep_alive_s: 10, ..connect("c") });
    s.stick(client);
    while s.reading(client) != Reading::Paused {
        s.packet(client, &mqtt::Packet::Pingreq);
    }
    s.secs(120);
    assert_eq!(s.counter("keep_alive_timeouts"), 1);
    assert!(s.is_closed(client));
}

#[test]
fn filters_and_client_ids_have_a_budget_in_bytes() {
    let mut s = with(|limits| limits.session_memory_max = 1000);
    let client = s.join("c");
    for filter in ["a", &"b".repeat(500), "c"] {
        s.subscribe(client, filter, 0);
    }
    assert_eq!(s.hear(client), ["SUBACK 9 0x00", "SUBACK 9 0x97", "SUBACK 9 0x00"]);
    assert_eq!(s.connect(&connect(&"d".repeat(1000))).1, ["CONNACK Quota exceeded"]);
    s.disconnect(client, ReasonCode::Success);
    assert_eq!(s.shards[0].gauges().session_bytes, 0);
}

#[test]
fn filters_that_match_nothing_keep_the_shard_no_longer_than_a_few_pages() {
    let mut s = Script::of_one();
    let (publisher, client) = (s.join("p"), s.join("c"));
    for n in 0..20_000 {
        s.retain(publisher, &format!("r{n}/x"), "x");
    }
    let filters: Vec<String> = (0..100).map(|n| format!("+/none{n}")).collect();
    let subscribe = mqtt::Subscribe {
        packet_id: mqtt::PacketId::new(1).unwrap(),
        subscription_id: None,
        user_properties: mqtt::UserProperties::default(),
        filters: filters.iter().map(|filter| (&**filter, crate::script::options(0))).collect(),
    };
    s.packet(client, &mqtt::Packet::Subscribe(subscribe));
    // It is answered at once, although most of the searching is still to come.
    assert_eq!(s.hear(client).len(), 1);
    assert!(
        s.shards[0].next_deadline().is_some_and(|at| at.since(s.now) < std::time::Duration::from_millis(1))
    );
    s.secs(1);
    s.subscribe(client, "+/x", 0);
    s.secs(1);
    assert_eq!(s.hear(client).len(), 20_001);
}

#[test]
fn more_filters_than_one_packet_may_have_end_the_connection_and_break_no_rule() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let subscribe = mqtt::Subscribe {
        packet_id: mqtt::PacketId::new(1).unwrap(),
        subscription_id: None,
        user_properties: mqtt::UserProperties::default(),
        filters: vec![("a", crate::script::options(0)); 10_001],
    };
    s.packet(client, &mqtt::Packet::Subscribe(subscribe));
    assert_eq!(s.hear(client), ["DISCONNECT Quota exceeded"]);
    assert_eq!((s.counter("ended_filters"), s.counter("violations")), (1, 0));

    let unsubscribe = |count| {
        mqtt::Packet::Unsubscribe(mqtt::Unsubscribe {
            packet_id: mqtt::PacketId::new(1).unwrap(),
            user_properties: mqtt::UserProperties::default(),
            filters: vec!["a"; count],
        })
    };
    let client = s.join("d");
    s.packet(client, &unsubscribe(10_000));
    s.secs(1);
    assert_eq!(s.hear(client).len(), 1, "as many as there may be are taken");
    s.packet(client, &unsubscribe(10_001));
    assert_eq!(s.hear(client), ["DISCONNECT Quota exceeded"]);
    assert_eq!((s.counter("ended_filters"), s.counter("violations")), (2, 0));
}

#[test]
fn an_unfinished_packet_leaves_no_capacity_behind() {
    let mut s = with(|limits| limits.receive_memory_max = 1 << 20);
    let client = s.join("c");
    let mut bytes = Vec::new();
    let payload = "x".repeat(500_000);
    let packet = crate::script::publish("a", &payload, QoS::AtMostOnce, None);
    mqtt::Packet::Publish(packet).encode(mqtt::Version::V5, &mut bytes);
    let (head, tail) = bytes.split_at(1000);
    s.bytes(client, head);
    s.bytes(client, tail);
    s.bytes(client, &[0x30]);
    assert_eq!(s.shards[0].gauges().receive_bytes, 1);
}

#[test]
fn many_deadlines_at_once_are_spread_over_several_events() {
    let mut s = Script::of_one();
    for n in 0..1000 {
        let client = s.join_for_an_hour(&format!("c{n}"));
        s.cut(client);
    }
    s.now = s.now.add_secs(3700);
    s.event(0, shard::Event::Timer);
    let left = s.shards[0].gauges().sessions;
    assert!(left > 0, "all sessions ended in one event");
    s.secs(1);
    assert_eq!(s.shards[0].gauges().sessions, 0);
}

#[test]
fn what_is_too_large_for_a_connected_client_is_not_kept_for_it() {
    let mut s = kept();
    let publisher = s.join("p");
    let mut wanted = Connect { clean_start: false, ..connect("s") };
    wanted.properties.session_expiry_interval_s = Some(3600);
    wanted.properties.maximum_packet_size = Some(40);
    let (subscriber, _) = s.connect(&wanted);
    s.subscribe(subscriber, "a", 2);
    s.hear(subscriber);
    let before = s.shards[0].gauges().stored_live_bytes;
    for (qos, id) in [(1, 1), (2, 2)] {
        s.publish_qos(publisher, "a", &"x".repeat(100), qos, id);
    }
    assert_eq!(s.hear(subscriber), Vec::<String>::new());
    assert_eq!(s.shards[0].gauges().stored_live_bytes, before);
    s.crash();
    let (_, heard) = come_back(&mut s, "s");
    assert_eq!(heard, ["CONNACK Success present"]);
}

#[test]
fn a_refused_subscription_names_its_limit_in_counters_log_and_answer() {
    let number = with(|limits| limits.subscriptions_max = 1);
    let bytes = with(|limits| limits.subscription_bytes_max = 250);
    let memory = with(|limits| limits.session_memory_max = 250);
    let levels = with(|limits| limits.topic_levels_max = 1);
    for (mut s, limit, counter, text) in [
        (number, "Number", "refused_max_subscriptions", "session.max_subscriptions"),
        (bytes, "Bytes", "refused_max_subscription_bytes", "session.max_subscription_bytes"),
        (memory, "Memory", "refused_subscription_memory", "limits.max_session_memory"),
        (levels, "Levels", "topic_levels_exceeded", "router.max_topic_levels"),
    ] {
        let client = s.join("c");
        s.subscribe(client, "a", 0);
        let before = s.heard_bytes(client);
        s.subscribe(client, "b/c", 0);
        let answer = String::from_utf8_lossy(&s.heard(client)[before..]).into_owned();
        assert!(answer.contains(text), "{answer:?}");
        assert_eq!(s.counter(counter), 1);
        let line = s.notes.iter().find(|note| note.starts_with("SubscriptionsRefused")).expect("a line");
        assert!(line.contains(&format!("limit: Some({limit})")), "{line}");
    }
}
