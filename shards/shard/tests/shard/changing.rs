//! SUBSCRIBEs and UNSUBSCRIBEs of many filters: a piece in each tick, answered as one, and nothing is left over where they end before.

use std::time::Duration;

use access::Rules;
use mqtt::{Connect, Packet, ReasonCode, Version, Will, WillProperties};
use shard::{Config, Event, Gauges, Limits, Pieces, Reading};

use crate::{
    permitted,
    regranting::accept,
    script::{Client, Script, connect, options, publish},
    withdrawing::{subscribe, unsubscribe},
};

/// One filter a tick, and one that comes with an event of its client's own.
pub const ONE_BY_ONE: Pieces =
    Pieces { expiry_looks: 4000, filter_bytes: 1, change_bytes: 1, own_change_bytes: 1, unsent_packets: 1 };

fn one_by_one(shards: u8) -> Script {
    Script::new(Config { shards, pieces: ONE_BY_ONE, ..Config::default() })
}

fn kept_one_by_one() -> Script {
    let store_epoch_ms = Some(1_700_000_000_000);
    Script::new(Config { store_epoch_ms, pieces: ONE_BY_ONE, ..Config::default() })
}

pub fn filters(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("f/{n}")).collect()
}

/// The next tick of every shard.
fn tick(s: &mut Script) {
    s.pass(Duration::from_nanos(1));
}

fn subscriptions(s: &Script) -> usize {
    s.shards.iter().map(|shard| shard.gauges().subscriptions).sum()
}

fn say(s: &mut Script, client: Client, packets: &[Packet<'_>]) {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.encode(Version::V5, &mut bytes));
    s.bytes(client, &bytes);
}

/// Nobody has a filter, and nobody waits for anything.
pub fn assert_nothing_is_left(s: &mut Script) {
    s.secs(1);
    for shard in &s.shards {
        let Gauges { subscriptions, shared_subscriptions, filters, receive_bytes, .. } = shard.gauges();
        assert_eq!((subscriptions, shared_subscriptions, filters, receive_bytes), (0, 0, 0, 0));
    }
}

#[test]
fn each_tick_does_its_part_and_one_answer_has_all_reasons_in_their_places() {
    let limits = Limits { subscriptions_max: 3, ..Limits::default() };
    let mut s = Script::new(Config { limits, pieces: ONE_BY_ONE, ..Config::default() });
    let client = s.join("c");
    let wanted = ["a", "$share/g/b", "c", "d", "a"].map(String::from);
    s.packet(client, &subscribe(&wanted));
    for done in [1, 2, 3, 3] {
        assert_eq!((subscriptions(&s), s.hear(client)), (done, vec![]));
        tick(&mut s);
    }
    assert_eq!(s.hear(client), ["SUBACK 1 0x00 0x00 0x00 0x97 0x00"]);
    assert_eq!(s.notes.iter().filter(|note| note.contains("SubscriptionsRefused")).count(), 1);
    let unwanted = ["c", "d", "$share/g/b", "a"].map(String::from);
    s.packet(client, &unsubscribe(&unwanted));
    for left in [2, 2, 1] {
        assert_eq!((subscriptions(&s), s.hear(client)), (left, vec![]));
        tick(&mut s);
    }
    assert_eq!(s.hear(client), ["UNSUBACK 1 0x00 0x11 0x00 0x00"]);
    assert_eq!(s.counter("changes_put_off"), 2);
    assert_nothing_is_left(&mut s);
}

#[test]
fn what_comes_behind_waits_until_it_is_done() {
    let mut s = one_by_one(1);
    let client = s.join("c");
    let (filters, message) = (filters(3), publish("f/2", "x", mqtt::QoS::AtMostOnce, None));
    let packets = [
        subscribe(&filters),
        Packet::Publish(message.clone()),
        unsubscribe(&filters),
        Packet::Publish(message),
        Packet::Pingreq,
    ];
    say(&mut s, client, &packets);
    assert_eq!((s.hear(client), s.reading(client)), (vec![], Reading::Paused));
    tick(&mut s);
    assert_eq!(s.hear(client), Vec::<String>::new());
    s.secs(1);
    assert_eq!(
        s.hear(client),
        ["SUBACK 1 0x00 0x00 0x00", "f/2 'x'", "UNSUBACK 1 0x00 0x00 0x00", "PINGRESP"]
    );
    assert_eq!(s.reading(client), Reading::Continuous);
    assert_nothing_is_left(&mut s);
}

#[test]
fn clients_take_turns_and_little_of_another_does_not_wait_for_them() {
    let mut s = one_by_one(1);
    let [first, second, other] = ["first", "second", "other"].map(|client_id| s.join(client_id));
    s.packet(first, &subscribe(&filters(4)));
    s.packet(second, &subscribe(&filters(3)));
    s.subscribe(other, "o", 0);
    assert_eq!(s.hear(other), ["SUBACK 9 0x00"]);
    // Beside the first filters of both there are five, and each turn is for one of them.
    for _ in 0..4 {
        tick(&mut s);
        s.unsubscribe(other, "o");
        assert_eq!(s.hear(other).len(), 1);
    }
    assert_eq!(s.hear(second), ["SUBACK 1 0x00 0x00 0x00"]);
    assert_eq!(s.hear(first), Vec::<String>::new());
    tick(&mut s);
    assert_eq!(s.hear(first), ["SUBACK 1 0x00 0x00 0x00 0x00"]);
}

#[test]
fn a_connection_that_ends_in_between_leaves_nothing_behind() {
    for count in 2..5 {
        for ticks in 0..count - 1 {
            let mut s = one_by_one(2);
            let client = s.join("c");
            let mut wanted = filters(count);
            wanted.push("$share/g/f".into());
            s.packet(client, &subscribe(&wanted));
            (0..ticks).for_each(|_| tick(&mut s));
            s.cut(client);
            assert_nothing_is_left(&mut s);
        }
    }
}

#[test]
fn a_session_that_goes_on_has_what_was_done() {
    let config = Config { shards: 2, pieces: ONE_BY_ONE, ..Config::default() };
    let [here, there] = &Script::ids_by_home(&config, "c")[..] else { panic!("there are two shards") };
    for is_taken_over in [false, true] {
        let mut s = Script::new(config.clone());
        let publisher = s.join(there);
        let client = s.join_for_an_hour(here);
        s.packet(client, &subscribe(&filters(5)));
        tick(&mut s);
        if !is_taken_over {
            s.cut(client);
        }
        let again = s.join_for_an_hour(here);
        let heard = s.hear(client);
        assert!(!heard.iter().any(|line| line.starts_with("SUBACK")), "{heard:?}");
        s.secs(1);
        assert_eq!(subscriptions(&s), 2);
        for n in 0..5 {
            s.publish(publisher, &format!("f/{n}"), "x");
        }
        assert_eq!(s.hear(again), ["f/0 'x'", "f/1 'x'"]);
        // What was not done can be asked for again, and what was can be given up.
        s.packet(again, &subscribe(&filters(5)));
        s.secs(1);
        assert_eq!(s.hear(again), ["SUBACK 1 0x00 0x00 0x00 0x00 0x00"]);
        s.packet(again, &unsubscribe(&filters(5)));
        s.secs(1);
        assert_eq!(s.hear(again), ["UNSUBACK 1 0x00 0x00 0x00 0x00 0x00"]);
        assert_nothing_is_left(&mut s);
    }
}

#[test]
fn an_unsubscribe_that_is_not_done_has_taken_what_it_has_taken() {
    let mut s = one_by_one(2);
    let client = s.join_for_an_hour("c");
    s.packet(client, &subscribe(&filters(4)));
    s.secs(1);
    s.packet(client, &unsubscribe(&filters(4)));
    tick(&mut s);
    s.cut(client);
    let again = s.join_for_an_hour("c");
    for n in 0..4 {
        s.publish(again, &format!("f/{n}"), "x");
    }
    assert_eq!(s.hear(again), ["f/2 'x'", "f/3 'x'"]);
    assert_eq!(s.shards.iter().map(|shard| shard.gauges().filters).collect::<Vec<_>>(), [2, 2]);
}

/// A client that leaves at once behind these requests is heard to its last packet.
#[track_caller]
fn assert_heard_out(shards: u8, requests: &[Packet<'_>]) {
    let mut s = one_by_one(shards);
    let other = s.join("o");
    s.subscribe(other, "#", 0);
    s.hear(other);
    let properties = WillProperties::default();
    let will = Will { qos: mqtt::QoS::AtMostOnce, retain: false, topic: "will", payload: b"w", properties };
    let (client, _) = s.connect(&Connect { will: Some(will), ..connect("c") });
    let message = Packet::Publish(publish("a", "x", mqtt::QoS::AtMostOnce, None));
    let goodbye = Packet::Disconnect(mqtt::Disconnect::default());
    say(&mut s, client, &[requests, &[message, goodbye]].concat());
    s.cut(client);
    assert_eq!(s.hear(other), ["a 'x'"], "and it has no will any more");
    s.unsubscribe(other, "#");
    assert_nothing_is_left(&mut s);
}

#[test]
fn what_a_client_sent_behind_its_filters_counts_when_it_leaves_at_once() {
    let filters = filters(5);
    assert_heard_out(1, &[subscribe(&filters), unsubscribe(&filters)]);
}

#[test]
fn however_many_requests_a_client_sent_its_goodbye_counts_when_it_leaves_at_once() {
    let (few, many) = (filters(1), filters(5));
    let requests = [subscribe(&few), subscribe(&many), unsubscribe(&few), unsubscribe(&many)];
    let requests: Vec<Packet<'_>> = requests.iter().cloned().cycle().take(100).collect();
    for shards in [1, 2] {
        assert_heard_out(shards, &requests);
    }
}

#[test]
fn after_a_crash_in_between_the_session_has_what_was_stored() {
    for ticks in 0..3 {
        let mut s = kept_one_by_one();
        let client = s.join_for_an_hour("c");
        s.packet(client, &subscribe(&filters(5)));
        (0..ticks).for_each(|_| tick(&mut s));
        assert_eq!(s.hear(client), Vec::<String>::new());
        s.crash();
        let again = s.join_for_an_hour("c");
        assert_eq!(subscriptions(&s), 1 + ticks);
        for n in 0..5 {
            s.publish(again, &format!("f/{n}"), "x");
        }
        assert_eq!(s.hear(again).len(), 1 + ticks);
        s.packet(again, &unsubscribe(&filters(5)));
        tick(&mut s);
        s.crash();
        assert_eq!(subscriptions(&s), (1_usize + ticks).saturating_sub(2));
    }
}

#[test]
fn an_answer_waits_until_every_piece_is_stored() {
    let limits = Limits { subscriptions_max: 2, ..Limits::default() };
    let store_epoch_ms = Some(1_700_000_000_000);
    let mut s = Script::new(Config { store_epoch_ms, limits, pieces: ONE_BY_ONE, ..Config::default() });
    let client = s.join_for_an_hour("c");
    s.disk_is_slow = true;
    // The last pieces have nothing to store.
    for (packet, answer) in [
        (subscribe(&filters(4)), "SUBACK 1 0x00 0x00 0x97 0x97"),
        (unsubscribe(&filters(4)), "UNSUBACK 1 0x00 0x00 0x11 0x11"),
    ] {
        s.packet(client, &packet);
        (0..4).for_each(|_| tick(&mut s));
        assert_eq!(s.hear(client), Vec::<String>::new());
        while s.store(0) {
            s.settle();
        }
        assert_eq!(s.hear(client), [answer]);
    }
}

#[test]
fn retained_messages_and_messages_of_others_come_as_if_it_were_done_at_once() {
    let mut heard = Vec::new();
    for pieces in [Pieces::default(), ONE_BY_ONE] {
        let config = Config { shards: 3, pieces, ..Config::default() };
        let ids = Script::ids_by_home(&config, "c");
        let mut s = Script::new(config);
        let [client, publisher] = [&ids[0], &ids[1]].map(|client_id| s.join(client_id));
        for n in 0..30 {
            s.retain(publisher, &format!("f/{n}"), "retained");
        }
        let mut wanted = filters(29);
        wanted.push("f/+".into());
        s.packet(client, &subscribe(&wanted));
        s.secs(1);
        s.publish(publisher, "f/28", "x");
        heard.push(s.hear(client));
    }
    assert_eq!(heard[0].len(), 1 + 29 + 30 + 1);
    assert_eq!(heard[0][1..], heard[1][1..]);
    assert_eq!(heard[0][0], heard[1][0]);
}

#[test]
fn what_is_published_in_between_does_not_come_before_what_it_replaces() {
    let mut s = one_by_one(2);
    let (client, publisher) = (s.join("c"), s.join("p"));
    s.retain(publisher, "f/0", "before");
    s.packet(client, &subscribe(&filters(3)));
    s.retain(publisher, "f/0", "after");
    s.secs(1);
    let heard = s.hear(client);
    let messages: Vec<_> = heard.iter().filter(|line| line.contains('\'')).collect();
    assert_eq!(messages, ["f/0 'after'"]);
}

#[test]
fn a_piece_is_announced_as_one() {
    let config = Config { shards: 2, ..Config::default() };
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    let client = s.join(&ids[0]);
    let deep: Vec<String> = (0..500).map(|n| format!("{n}{}", "/".repeat(100))).collect();
    let before = s.counter("mail_sent");
    s.packet(client, &without_retained(&deep));
    s.secs(1);
    assert_eq!(s.hear(client).len(), 1);
    assert_eq!(s.shards[1].gauges().filters, 500);
    // 10,000 bytes each make 20 pieces, and each has an answer.
    let mail = s.counter("mail_sent") - before;
    assert!((30..=200).contains(&mail), "{mail}");
}

/// A SUBSCRIBE that wants no retained messages.
pub fn without_retained(filters: &[String]) -> Packet<'_> {
    let filters = filters.iter().map(|filter| (&**filter, options(0x20))).collect();
    let Packet::Subscribe(packet) = subscribe(&[]) else { unreachable!() };
    Packet::Subscribe(mqtt::Subscribe { filters, ..packet })
}

#[test]
fn who_is_sent_away_in_between_gets_no_answer() {
    let mut s = one_by_one(1);
    let client = s.join("c");
    s.packet(client, &subscribe(&filters(5)));
    tick(&mut s);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
    s.settle();
    assert_eq!(s.hear(client), ["DISCONNECT Administrative action"]);
    assert_nothing_is_left(&mut s);
    let client = s.join("c");
    s.packet(client, &subscribe(&filters(5)));
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Barred { conn, ip: [192, 0, 2, 1].into() });
    s.settle();
    assert_eq!(s.hear(client), ["DISCONNECT Administrative action"]);
    assert_nothing_is_left(&mut s);
}

#[test]
fn rights_that_change_in_between_hold_for_all_of_it() {
    let rules = |denied: &str| -> Option<Rules> {
        let rules = format!(
            "{{ deny = \"subscribe\", topics = [{denied}] }}, {{ allow = \"readwrite\", topics = \"#\" }}"
        );
        Some(permitted::rules(&rules))
    };
    let config = permitted::config(rules("\"f/9\""));
    let mut s = Script::new(Config { pieces: ONE_BY_ONE, ..config });
    let client = s.open_by(0, false);
    s.say_connect(client, &connect("c"));
    s.hear(client);
    s.packet(client, &subscribe(&filters(4)));
    tick(&mut s);
    s.event(0, Event::Rules(rules("\"f/0\", \"f/3\"")));
    s.secs(1);
    assert_eq!(s.hear(client), ["SUBACK 1 0x00 0x00 0x00 0x87"]);
    assert_eq!(subscriptions(&s), 2, "what was granted before is taken back");
    let publisher = permitted::bob(&mut s);
    for n in 0..4 {
        s.publish(publisher, &format!("f/{n}"), "x");
    }
    assert_eq!(s.hear(client), ["f/1 'x'", "f/2 'x'"]);
}

#[test]
fn what_comes_behind_a_connect_that_waits_is_done_in_pieces_too() {
    let config = crate::regranting::config(None);
    let mut s = Script::new(Config { pieces: ONE_BY_ONE, ..config });
    let client = s.open_by(0, false);
    let hello = Packet::Connect(Box::new(connect("c")));
    say(&mut s, client, &[hello, subscribe(&filters(3)), Packet::Pingreq]);
    s.answer(client, accept("somebody", "user", "all"));
    assert_eq!((s.hear(client), subscriptions(&s)), (vec!["CONNACK Success".to_owned()], 1));
    s.secs(1);
    assert_eq!(s.hear(client), ["SUBACK 1 0x00 0x00 0x00", "PINGRESP"]);
}

#[test]
fn a_broker_that_drains_does_not_wait_for_it() {
    let mut s = one_by_one(2);
    let client = s.join_for_an_hour("c");
    s.packet(client, &subscribe(&filters(50)));
    for shard in 0..2 {
        s.event(shard, Event::Drain);
    }
    s.settle();
    s.secs(10);
    assert_eq!(s.drained, 2);
    assert_eq!(s.hear(client), ["DISCONNECT Server shutting down"]);
}

/// What a tick may cost, in the measure of the configuration: the tick's part and that of one event.
const TICK_BYTES: usize = (256 + 16) << 10;

#[test]
fn a_tick_costs_no_more_than_its_part_however_the_filters_come() {
    let deep = |n: usize| format!("{n:06}{}", "/".repeat(120));
    let weight = deep(0).len() * 2 + 121 * 96 + 256;
    let filters: Vec<String> = (0..1300).map(deep).collect();
    let one_packet = vec![subscribe(&filters)];
    let many_packets = filters.chunks(1).map(subscribe).collect();
    for packets in [one_packet, many_packets] {
        let mut s = Script::of_one();
        let clients = ["a", "b", "c"].map(|client_id| s.join(client_id));
        for client in clients {
            say(&mut s, client, &packets);
        }
        assert!(
            subscriptions(&s) * weight <= TICK_BYTES + 3 * (weight + (16 << 10)),
            "they come in one tick"
        );
        let mut before = subscriptions(&s);
        while before < 3 * filters.len() {
            tick(&mut s);
            let now = subscriptions(&s);
            assert!(now > before && (now - before) * weight <= TICK_BYTES + 3 * weight, "{before} to {now}");
            before = now;
        }
        let answers = clients.map(|client| s.hear(client).len());
        assert_eq!(answers, [packets.len(); 3]);
    }
}

#[test]
fn a_turn_has_its_part_once_however_often_it_sends_mail_off() {
    let pieces = Pieces { own_change_bytes: 0, ..ONE_BY_ONE };
    let mut s = Script::new(Config { pieces, ..Config::default() });
    let clients = ["a", "b", "c", "d"].map(|client_id| s.join(client_id));
    for client in clients {
        bring(&mut s, client, &subscribe(&filters(1)));
        s.event(0, Event::FlushAgain);
    }
    s.event(0, Event::Flush);
    for count in 1..=4 {
        assert_eq!(subscriptions(&s), count);
        s.turn(0);
    }
}

/// Nothing but this packet, and nothing is flushed.
pub fn bring(s: &mut Script, client: Client, packet: &Packet<'_>) {
    let mut bytes = Vec::new();
    packet.encode(Version::V5, &mut bytes);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Bytes { conn, bytes: &bytes });
}

#[test]
fn who_is_sent_away_and_takes_nothing_waits_for_nothing_else() {
    let mut s = one_by_one(2);
    let config = Config { shards: 2, ..Config::default() };
    let client = s.join(&Script::ids_by_home(&config, "c")[0]);
    s.stick(client);
    s.packet(client, &Packet::Pingreq);
    bring(&mut s, client, &subscribe(&filters(3)));
    assert_eq!(s.reading(client), Reading::Paused);
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
    // The other shard confirms the first filter.
    s.settle();
    s.unstick(client);
    assert_eq!(s.hear(client), ["PINGRESP", "DISCONNECT Administrative action"]);
    assert!(s.is_closed(client));
    assert_nothing_is_left(&mut s);
}

#[test]
fn other_shards_are_told_no_more_than_they_can_take_in_at_once() {
    let config = Config { shards: 2, ..Config::default() };
    let mut s = Script::new(config.clone());
    let clients = ["a", "b", "c"].map(|name| s.join(&Script::ids_by_home(&config, name)[0]));
    let count = 2000;
    for client in clients {
        let own: Vec<String> = (0..count).map(|n| format!("{client:?}/{n:04}")).collect();
        bring(&mut s, client, &subscribe(&own));
    }
    let told = |s: &Script| s.shards[1].gauges().filters;
    while told(&s) < 3 * count {
        let before = told(&s);
        // The other one does nothing for a long time.
        (0..50).for_each(|_| s.turn(0));
        s.turn(1);
        let filters = told(&s) - before;
        // Each has two levels: the tick's part, the piece that goes beyond it, and what each client had of its own.
        let most = 2 * TICK_BYTES / (256 + 2 * 96) + 3;
        assert!(filters > 100 && filters <= most, "{filters} filters in one turn");
    }
}

#[test]
fn filters_that_are_refused_cost_little() {
    let limits = Limits { subscriptions_max: 1, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    let client = s.join("c");
    let filters: Vec<String> = (0..7000).map(|n| format!("{n:06}{}", "/".repeat(120))).collect();
    s.packet(client, &subscribe(&filters));
    let mut ticks = 0;
    while s.heard_bytes(client) == 0 {
        tick(&mut s);
        ticks += 1;
    }
    assert!((2..=15).contains(&ticks), "{ticks} ticks: some 500 bytes each");
}
