//! Queues that are longer than memory.

use std::time::Duration;

use mqtt::{Connect, Packet, QoS, ReasonCode};
use shard::{ClientWhole, Config, Limits, Look, Pressure, QueueFull, Seen};

use crate::script::{Client, Script, ack, connect, publish};

/// Bytes of each payload here.
const PAYLOAD_BYTES: usize = 1000;

/// Far more than a message that is elsewhere takes in memory, and far less than one that is here.
const PLACE_BYTES_MAX: usize = 100;

fn limits() -> Limits {
    Limits {
        queued_messages_max: 100_000,
        queued_bytes_max: 1 << 30,
        queue_window_bytes: 4 * PAYLOAD_BYTES,
        ..Limits::default()
    }
}

fn spilling(limits: Limits) -> Script {
    let store_epoch_ms = Some(1_700_000_000_000);
    Script::new(Config { store_epoch_ms, limits, ..Config::default() })
}

fn payload(n: usize) -> String {
    format!("{n:0width$}", width = PAYLOAD_BYTES)
}

fn fill(s: &mut Script, from: usize, to: usize, qos: u8) {
    let publisher = s.join("p");
    for n in from..to {
        s.publish_qos(publisher, "a", &payload(n), qos, (n % 60_000 + 1) as u16);
        if qos == 2 {
            s.packet(publisher, &Packet::Pubrel(ack((n % 60_000 + 1) as u16)));
        }
    }
    let answers = if qos == 2 { 2 } else { 1 };
    assert_eq!(s.hear(publisher).len(), (to - from) * answers);
    s.disconnect(publisher, ReasonCode::Success);
}

/// An absent subscriber to `a`.
fn absent(s: &mut Script, qos: u8) {
    let subscriber = s.join_for_an_hour("s");
    s.subscribe(subscriber, "a", qos);
    s.hear(subscriber);
    s.cut(subscriber);
}

fn come_back(s: &mut Script) -> Client {
    come_back_with(s, 100)
}

fn come_back_with(s: &mut Script, receive_maximum: u16) -> Client {
    let mut wanted = Connect { clean_start: false, ..connect("s") };
    wanted.properties.session_expiry_interval_s = Some(3600);
    wanted.properties.receive_maximum = Some(receive_maximum);
    let client = s.open();
    s.packet(client, &Packet::Connect(Box::new(wanted)));
    client
}

/// Acknowledges everything that comes; gives back the numbers in the payloads and whether they came as duplicates.
fn drain(s: &mut Script, client: Client) -> Vec<(usize, bool)> {
    let mut got = Vec::new();
    loop {
        let heard = s.hear(client);
        let publishes: Vec<&String> = heard.iter().filter(|line| line.starts_with("a '")).collect();
        if publishes.is_empty() {
            return got;
        }
        for line in publishes {
            let number = line[3..3 + PAYLOAD_BYTES].parse().unwrap();
            got.push((number, line.ends_with(" dup")));
            let id = line.split('#').nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            if line.contains(" q2 ") {
                s.packet(client, &Packet::Pubrec(ack(id)));
                s.packet(client, &Packet::Pubcomp(ack(id)));
            } else {
                s.puback(client, id);
            }
        }
    }
}

fn first_times(from: usize, to: usize) -> Vec<(usize, bool)> {
    (from..to).map(|n| (n, false)).collect()
}

fn queued_bytes(s: &Script) -> usize {
    s.shards[0].gauges().queued_bytes
}

#[test]
fn an_absent_client_costs_little_memory_and_gets_everything_in_order() {
    for qos in [1, 2] {
        let mut s = spilling(limits());
        absent(&mut s, qos);
        fill(&mut s, 0, 3000, qos);
        assert!(queued_bytes(&s) < 3000 * PLACE_BYTES_MAX, "{}", queued_bytes(&s));
        assert!(s.shards[0].gauges().queued_away_bytes > 2900 * PAYLOAD_BYTES);
        let client = come_back(&mut s);
        assert_eq!(drain(&mut s, client), first_times(0, 3000));
        assert!(s.fetched > 2900);
        assert_eq!((queued_bytes(&s), s.shards[0].gauges().queued_away_bytes), (0, 0));
    }
}

/// How many messages wait, how many of them are listed, and how many are said to be with the store alone.
fn told(s: &Script) -> (usize, usize, usize) {
    let Seen::Client(Some(whole)) = s.look(0, &Look::Client { client_id: "s".into(), most: 5000 }) else {
        panic!("the session is there")
    };
    let Seen::Queue(Some(queue)) = s.look(0, &Look::Queue { client_id: "s".into(), after: None, most: 1000 })
    else {
        panic!("the session is there")
    };
    assert_eq!(queue.away, whole.client.queued_away);
    (whole.client.queued, queue.page.rows.len(), queue.away)
}

#[test]
fn messages_that_the_store_alone_has_are_counted_where_none_of_them_is_listed() {
    let mut s = spilling(limits());
    absent(&mut s, 1);
    fill(&mut s, 0, 50, 1);
    let (queued, listed, away) = told(&s);
    assert!(listed < 10 && listed + away == queued && queued == 50, "{listed} {away} {queued}");
    s.crash();
    assert_eq!(told(&s), (50, 0, 50));
    let client = come_back_with(&mut s, 10);
    let (queued, _, away) = told(&s);
    assert!(away < queued && queued == 40, "what is sent next is fetched: {away}");
    assert_eq!(drain(&mut s, client), first_times(0, 50));
    assert_eq!(told(&s), (0, 0, 0));
}

#[test]
fn a_crash_brings_back_places_and_not_messages() {
    let mut s = spilling(limits());
    absent(&mut s, 2);
    fill(&mut s, 0, 2000, 2);
    s.crash();
    assert!(queued_bytes(&s) < 2000 * PLACE_BYTES_MAX);
    assert_eq!(s.fetched, 0);
    let client = come_back(&mut s);
    assert_eq!(drain(&mut s, client), first_times(0, 2000));
}

#[test]
fn a_budget_of_memory_is_no_bound_for_what_is_stored() {
    let mut s = spilling(Limits { queue_memory_max: 1 << 20, ..limits() });
    absent(&mut s, 1);
    fill(&mut s, 0, 5000, 1);
    assert_eq!(s.counter("dropped_queue_memory"), 0);
    assert!(queued_bytes(&s) < 1 << 20);
    let client = come_back(&mut s);
    assert_eq!(drain(&mut s, client), first_times(0, 5000));
}

#[test]
fn limits_of_a_queue_count_what_is_elsewhere() {
    let mut s = spilling(Limits { queued_bytes_max: 100 * PAYLOAD_BYTES, ..limits() });
    absent(&mut s, 1);
    fill(&mut s, 0, 300, 1);
    assert!(s.counter("dropped_queue_bytes") > 200);
    let mut s = spilling(Limits { queued_messages_max: 100, ..limits() });
    absent(&mut s, 1);
    fill(&mut s, 0, 300, 1);
    assert_eq!(s.counter("dropped_queue_messages"), 200);
}

fn whole(s: &Script) -> ClientWhole {
    let Seen::Client(Some(whole)) = s.look(0, &Look::Client { client_id: "s".into(), most: 0 }) else {
        panic!("the session is there")
    };
    *whole
}

#[test]
fn what_waits_has_one_measure_before_and_after_a_restart() {
    for (window, lives) in [(1 << 20, false), (4 * PAYLOAD_BYTES, true), (0, false)] {
        let mut s = spilling(Limits {
            queue_window_bytes: window,
            queued_bytes_max: 100 * PAYLOAD_BYTES,
            ..limits()
        });
        absent(&mut s, 1);
        let publisher = s.join("p");
        for n in 0..50 {
            let payload = payload(n);
            let mut message = publish("a", &payload, QoS::AtLeastOnce, mqtt::PacketId::new(n as u16 + 1));
            message.properties.message_expiry_interval_s = lives.then_some(60);
            s.packet(publisher, &Packet::Publish(message));
        }
        let bytes = 50 * (1 + PAYLOAD_BYTES + 40);
        let before = whole(&s).client;
        assert_eq!((before.queued, before.queued_bytes), (50, bytes));
        let used = Pressure { limit: "session.max_queued_bytes", permille: (bytes / 100) as u32 };
        assert_eq!(before.pressure, used);
        s.crash();
        let after = whole(&s).client;
        let told = (after.queued + after.inflight, after.queued_away, after.queued_bytes, after.pressure);
        assert_eq!(told, (50, 50, bytes, used));
    }
}

#[test]
fn as_much_fits_into_a_queue_wherever_it_is() {
    let fits = |window, has_store, crashes| {
        let limits = Limits { queue_window_bytes: window, queued_bytes_max: 100 * PAYLOAD_BYTES, ..limits() };
        let mut s = match has_store {
            true => spilling(limits),
            false => Script::new(Config { limits, ..Config::default() }),
        };
        absent(&mut s, 1);
        fill(&mut s, 0, 60, 1);
        if crashes {
            s.crash();
        }
        fill(&mut s, 60, 300, 1);
        whole(&s).client.queued
    };
    let most = 100 * PAYLOAD_BYTES / (1 + PAYLOAD_BYTES + 40);
    for (window, has_store, crashes) in
        [(0, false, false), (1 << 20, true, false), (0, true, false), (0, true, true)]
    {
        assert_eq!(fits(window, has_store, crashes), most, "{window} {has_store} {crashes}");
    }
}

#[test]
fn the_oldest_gives_way_wherever_it_is() {
    let queue_full = QueueFull::DropOldest;
    let mut s = spilling(Limits { queued_messages_max: 100, queue_full, ..limits() });
    absent(&mut s, 1);
    fill(&mut s, 0, 300, 1);
    s.crash();
    let client = come_back(&mut s);
    assert_eq!(drain(&mut s, client), first_times(200, 300));
}

#[test]
fn a_slow_client_that_is_connected_costs_little_memory_too() {
    let outbox_bytes_max = 8 * PAYLOAD_BYTES;
    let mut s = spilling(Limits { outbox_bytes_max, ..limits() });
    let subscriber = s.join_for_an_hour("s");
    s.subscribe(subscriber, "a", 1);
    s.hear(subscriber);
    s.stick(subscriber);
    fill(&mut s, 0, 2000, 1);
    assert!(queued_bytes(&s) < 2000 * PLACE_BYTES_MAX + 100 * PAYLOAD_BYTES, "{}", queued_bytes(&s));
    s.unstick(subscriber);
    assert_eq!(drain(&mut s, subscriber), first_times(0, 2000));
}

#[test]
fn what_was_in_flight_when_the_client_left_comes_again_from_the_store() {
    let mut s = spilling(limits());
    absent(&mut s, 2);
    fill(&mut s, 0, 500, 2);
    let client = come_back(&mut s);
    let heard = s.hear(client);
    assert_eq!(heard.len(), 101, "a CONNACK and what the client takes at a time");
    s.packet(client, &Packet::Pubrec(ack(1)));
    s.packet(client, &Packet::Pubrec(ack(2)));
    s.packet(client, &Packet::Pubcomp(ack(2)));
    s.cut(client);
    assert!(queued_bytes(&s) < 500 * PLACE_BYTES_MAX, "{}", queued_bytes(&s));
    let client = come_back(&mut s);
    let expected: Vec<(usize, bool)> = (2..500).map(|n| (n, n < 101)).collect();
    assert_eq!(drain(&mut s, client), expected);
}

#[test]
fn an_acknowledgement_of_what_is_elsewhere_counts() {
    let mut s = spilling(limits());
    absent(&mut s, 1);
    fill(&mut s, 0, 200, 1);
    let client = come_back(&mut s);
    s.cut(client);
    s.reads_wait = true;
    let client = come_back(&mut s);
    for id in 1..=50 {
        s.puback(client, id);
    }
    s.reads_wait = false;
    while s.store(0) {}
    s.settle();
    let expected: Vec<(usize, bool)> = (50..200).map(|n| (n, n < 100)).collect();
    assert_eq!(drain(&mut s, client), expected);
    assert_eq!((queued_bytes(&s), s.shards[0].gauges().queued_away_bytes), (0, 0));
}

#[test]
fn what_is_written_again_meanwhile_is_read_where_it_stands_then() {
    let mut s = spilling(limits());
    absent(&mut s, 1);
    fill(&mut s, 0, 100, 1);
    s.reads_wait = true;
    let client = come_back_with(&mut s, 10);
    assert!(s.fetched > 0);
    let before = s.batches(0);
    while s.given_up(0) < before {
        s.give_up_oldest(0);
        while s.store(0) {}
    }
    s.reads_wait = false;
    s.settle();
    assert_eq!(drain(&mut s, client), first_times(0, 100));
}

#[test]
fn a_client_whose_queue_cannot_be_read_back_loses_its_connection() {
    let mut s = spilling(limits());
    absent(&mut s, 1);
    fill(&mut s, 0, 100, 1);
    s.reads_wait = true;
    let client = come_back_with(&mut s, 10);
    let fetched = s.fetched;
    assert!(fetched > 0);
    s.reads_fail = true;
    s.reads_wait = false;
    s.settle();
    assert!(s.is_closed(client));
    assert!(s.fetched <= 2 * fetched, "it is not asked for again and again: {} times", s.fetched);
    s.reads_fail = false;
    s.crash();
    let client = come_back(&mut s);
    assert_eq!(drain(&mut s, client).len(), 100, "it is as it was when the store failed");
}

#[test]
fn messages_at_qos_0_keep_their_place_among_the_others() {
    let config = Config {
        store_epoch_ms: Some(1_700_000_000_000),
        queue_qos0: true,
        limits: limits(),
        ..Config::default()
    };
    let mut s = Script::new(config);
    absent(&mut s, 1);
    let publisher = s.join("p");
    for n in 0..100 {
        let qos = if n % 3 == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let id = mqtt::PacketId::new(n + 1).filter(|_| qos != QoS::AtMostOnce);
        s.packet(publisher, &Packet::Publish(publish("a", &payload(n.into()), qos, id)));
    }
    let client = come_back(&mut s);
    let heard = s.hear(client);
    let numbers = heard.iter().skip(1).map(|line| line[3..3 + PAYLOAD_BYTES].parse().unwrap());
    assert_eq!(numbers.collect::<Vec<u16>>(), (0..100).collect::<Vec<u16>>());
}

#[test]
fn a_message_that_expires_elsewhere_is_not_sent() {
    let mut s = spilling(limits());
    absent(&mut s, 1);
    let publisher = s.join("p");
    let payload = payload(0);
    for n in 1..=100 {
        let mut packet = publish("a", &payload, QoS::AtLeastOnce, mqtt::PacketId::new(n));
        packet.properties.message_expiry_interval_s = Some(if n <= 50 { 1 } else { 100 });
        s.packet(publisher, &Packet::Publish(packet));
    }
    s.pass(Duration::from_secs(10));
    let client = come_back(&mut s);
    let heard = s.hear(client);
    assert_eq!(heard.len(), 51);
    assert!(heard[1].ends_with("expires 90"), "{}", &heard[1][PAYLOAD_BYTES..]);
}

#[test]
fn what_expires_elsewhere_gives_its_room_away_after_a_crash_too() {
    for crashes in [false, true] {
        let mut s = spilling(Limits { queued_messages_max: 100, ..limits() });
        absent(&mut s, 1);
        let publisher = s.join("p");
        let payload = payload(0);
        for n in 1..=100 {
            let mut packet = publish("a", &payload, QoS::AtLeastOnce, mqtt::PacketId::new(n));
            packet.properties.message_expiry_interval_s = (n % 2 == 0).then_some(3);
            s.packet(publisher, &Packet::Publish(packet));
        }
        s.settle();
        assert!(s.shards[0].gauges().queued_away_bytes > 90 * PAYLOAD_BYTES);
        if crashes {
            s.crash();
        }
        s.secs(5);
        assert_eq!(s.counter("dropped_expired"), 50);
        fill(&mut s, 100, 151, 1);
        assert_eq!(s.counter("dropped_queue_messages"), 1);
        assert_eq!(s.shards[0].gauges().queued_messages, 100);
        if crashes {
            s.crash();
        }
        let client = come_back(&mut s);
        let numbers =
            s.hear(client).into_iter().skip(1).map(|line| line[3..3 + PAYLOAD_BYTES].parse().unwrap());
        let expected: Vec<u16> = [0; 50].into_iter().chain(100..150).collect();
        assert_eq!(numbers.collect::<Vec<u16>>(), expected);
    }
}

#[test]
fn a_session_that_ends_takes_everything_along() {
    let mut s = spilling(limits());
    let before = s.shards[0].gauges();
    absent(&mut s, 1);
    fill(&mut s, 0, 500, 1);
    s.pass(Duration::from_secs(4000));
    let after = s.shards[0].gauges();
    assert_eq!(after.sessions, before.sessions);
    assert_eq!((after.queued_bytes, after.queued_away_bytes, after.stored_live_bytes), (0, 0, 0));
}

#[test]
fn what_comes_back_for_a_client_that_has_left_is_dropped() {
    let mut s = spilling(limits());
    absent(&mut s, 1);
    fill(&mut s, 0, 100, 1);
    s.reads_wait = true;
    let client = come_back(&mut s);
    s.cut(client);
    s.reads_wait = false;
    s.settle();
    while s.store(0) {}
    s.settle();
    assert!(queued_bytes(&s) < 100 * PLACE_BYTES_MAX);
    let client = come_back(&mut s);
    let got: Vec<usize> = drain(&mut s, client).into_iter().map(|(number, _)| number).collect();
    assert_eq!(got, (0..100).collect::<Vec<usize>>());
}

/// A subscriber that is away and gets each message on `a` a thousand times: more than one record names.
fn thousandfold(s: &mut Script) {
    let subscriber = s.join_for_an_hour("s");
    for n in 0..1000 {
        s.subscribe(subscriber, &format!("$share/g{n}/a"), 1);
    }
    s.hear(subscriber);
    s.cut(subscriber);
    let publisher = s.join("p");
    s.publish_qos(publisher, "a", &payload(0), 1, 1);
    assert_eq!(s.hear(publisher), ["PUBACK 1"]);
}

#[test]
fn copies_for_many_shared_subscriptions_all_come_back() {
    let mut s = spilling(limits());
    thousandfold(&mut s);
    let client = come_back(&mut s);
    assert_eq!(drain(&mut s, client), vec![(0, false); 1000]);
}

#[test]
fn copies_for_many_shared_subscriptions_are_all_written_again() {
    let mut s = spilling(limits());
    thousandfold(&mut s);
    let before = s.batches(0);
    while s.given_up(0) < before {
        s.give_up_oldest(0);
        while s.store(0) {}
    }
    s.crash();
    let client = come_back(&mut s);
    assert_eq!(drain(&mut s, client).len(), 1000);
}

#[test]
fn names_of_receivers_are_alive_as_the_message_is() {
    let live = |receivers: usize| {
        let mut s = spilling(limits());
        for n in 0..receivers {
            let client = s.join_for_an_hour(&format!("s{n}"));
            s.subscribe(client, "a", 1);
            s.cut(client);
        }
        let before = s.shards[0].gauges().stored_live_bytes;
        let publisher = s.join("p");
        s.publish_qos(publisher, "a", "payload", 1, 1);
        s.shards[0].gauges().stored_live_bytes - before
    };
    assert_eq!(live(10) - live(1), 9 * 19, "two numbers of 8 bytes, flags, and how many subscription ids");
}

#[test]
fn a_packet_id_is_in_flight_once_after_a_crash() {
    const IDS: u32 = 65_535;
    let mut s = spilling(limits());
    let subscriber = s.join_for_an_hour("s");
    s.subscribe(subscriber, "a", 1);
    let publisher = s.join("p");
    for n in 1..=IDS + 5 {
        s.publish_qos(publisher, "a", "x", 1, (n % 60_000 + 1) as u16);
        s.hear(publisher);
        if (2..=IDS).contains(&n) {
            s.puback(subscriber, n as u16);
        }
        s.hear(subscriber);
    }
    s.pass(Duration::from_secs(1));
    s.crash();
    let client = come_back(&mut s);
    assert_eq!(s.hear(client), ["CONNACK Success present", "a 'x' q1 #1 dup"]);
    s.puback(client, 1);
    let expected: Vec<String> = (1..=5).map(|id| format!("a 'x' q1 #{id} dup")).collect();
    assert_eq!(s.hear(client), expected);
}

#[test]
fn what_was_not_stored_when_its_client_left_leaves_the_memory_afterwards() {
    let outbox_bytes_max = 2 * PAYLOAD_BYTES;
    let mut s = spilling(Limits { outbox_bytes_max, queue_window_bytes: 1 << 20, ..limits() });
    let subscriber = s.join_for_an_hour("s");
    s.subscribe(subscriber, "a", 1);
    s.hear(subscriber);
    s.stick(subscriber);
    let publisher = s.join("p");
    s.disk_is_slow = true;
    for n in 0..500 {
        s.publish_qos(publisher, "a", &payload(n), 1, (n + 1) as u16);
    }
    s.cut(subscriber);
    s.disk_is_slow = false;
    while s.store(0) {
        s.settle();
    }
    assert!(queued_bytes(&s) < 500 * PLACE_BYTES_MAX + 20 * PAYLOAD_BYTES, "{}", queued_bytes(&s));
}
