//! Sessions that end with many filters, and many sessions that end at once: in pieces, and gone for everybody from the first on.

use std::time::Duration;

use mqtt::{Connect, Disconnect, Packet, QoS, ReasonCode, Will};
use shard::{Config, Gauges, Pieces};

use crate::script::{Client, Script, connect};

/// One filter a tick leaves the indexes.
fn in_pieces(shards: u8) -> Script {
    Script::new(Config {
        shards,
        pieces: Pieces { filter_bytes: 1, ..Pieces::default() },
        ..Config::default()
    })
}

/// A client at home on this shard with so many filters of each kind, whose session ends with its connection.
fn with_filters(s: &mut Script, client_id: &str, count: usize) -> Client {
    let client = s.join(client_id);
    for n in 0..count {
        s.subscribe(client, &format!("a/{n}"), 1);
        s.subscribe(client, &format!("$share/g/b/{n}"), 1);
    }
    s.hear(client);
    client
}

fn sum(s: &Script, of: impl Fn(&Gauges) -> usize) -> usize {
    s.shards.iter().map(|shard| of(&shard.gauges())).sum()
}

#[test]
fn the_filters_of_a_session_leave_one_after_the_other() {
    for count in [5, 30] {
        let mut s = in_pieces(1);
        let client = with_filters(&mut s, "c", count);
        s.disconnect(client, ReasonCode::Success);
        assert_eq!(sum(&s, |gauges| gauges.sessions), 0, "the session itself is gone at once");
        let mut left = sum(&s, |gauges| gauges.subscriptions);
        assert_eq!(left, 2 * count);
        while left > 0 {
            s.pass(Duration::from_nanos(1));
            let now_left = sum(&s, |gauges| gauges.subscriptions);
            assert!((1..=2).contains(&(left - now_left)), "{left} to {now_left}");
            left = now_left;
        }
        s.pass(Duration::from_nanos(1));
        let Gauges { filters, session_bytes, shared_subscriptions, .. } = s.shards[0].gauges();
        assert_eq!((filters, session_bytes, shared_subscriptions), (0, 0, 0));
    }
}

#[test]
fn nothing_comes_to_a_session_that_has_ended() {
    let mut s = in_pieces(1);
    let publisher = s.join("p");
    let client = with_filters(&mut s, "c", 5);
    let other = s.join_for_an_hour("other");
    s.subscribe(other, "$share/g/b/4", 1);
    s.disconnect(client, ReasonCode::Success);
    s.publish_qos(publisher, "a/4", "nobody", 1, 1);
    for id in 2..6 {
        s.publish_qos(publisher, "b/4", "other", 1, id);
    }
    assert_eq!(s.hear(other).len(), 1 + 4, "the other member gets all of them");
    s.cut(other);
    for id in 6..10 {
        s.publish_qos(publisher, "b/4", "other", 1, id);
    }
    assert_eq!(s.shards[0].gauges().queued_messages, 4, "also while it is away");
    assert_eq!(s.counter("dropped_shared_nobody"), 0);
    s.publish_qos(publisher, "b/3", "nobody", 1, 10);
    assert_eq!(s.counter("dropped_shared_nobody"), 1, "those who have ended are not asked");
    s.pass(Duration::from_millis(1));
    assert_eq!(s.shards[0].gauges().subscriptions, 1);
}

#[test]
fn however_many_members_have_ended_the_one_who_is_left_gets_everything() {
    for away in [false, true] {
        let mut s = in_pieces(1);
        let publisher = s.join("p");
        let ending: Vec<_> = (0..100).map(|n| with_filters(&mut s, &format!("c{n}"), 1)).collect();
        let left = s.join_for_an_hour("left");
        s.subscribe(left, "$share/g/b/0", 1);
        if away {
            s.cut(left);
        }
        for client in ending {
            s.disconnect(client, ReasonCode::Success);
        }
        assert!(s.shards[0].gauges().shared_subscriptions > 64, "most have their filters still");
        for id in 1..=10 {
            s.publish_qos(publisher, "b/0", "for who is left", 1, id);
        }
        assert_eq!(s.hear(publisher), (1..=10).map(|id| format!("PUBACK {id}")).collect::<Vec<_>>());
        assert_eq!(s.shards[0].gauges().queued_messages, if away { 10 } else { 0 });
        assert_eq!(s.counter("dropped_shared_nobody"), 0);
    }
}

#[test]
fn the_will_of_a_session_that_ends_is_for_the_other_members() {
    let mut s = in_pieces(1);
    let will = Will { topic: "b", payload: b"gone", qos: QoS::AtLeastOnce, ..Will::default() };
    let (ending, _) = s.connect(&Connect { will: Some(will), ..connect("ending") });
    s.subscribe(ending, "$share/g/b", 1);
    let away = s.join_for_an_hour("away");
    s.subscribe(away, "$share/g/b", 1);
    s.cut(away);
    s.cut(ending);
    assert_eq!(s.shards[0].gauges().queued_messages, 1);
    assert_eq!(s.counter("dropped_shared_nobody"), 0);
}

#[test]
fn a_client_that_begins_anew_meanwhile_has_what_it_asks_for_since() {
    let config = Config { shards: 2, ..Config::default() };
    let [here, there] = &Script::ids_by_home(&config, "c")[..] else { panic!("there are two shards") };
    let mut s = in_pieces(2);
    let publisher = s.join(there);
    for clean_start in [false, true] {
        let before = s.join_for_an_hour(here);
        for n in 0..4 {
            s.subscribe(before, &format!("a/{n}"), 1);
        }
        if !clean_start {
            let ends = Disconnect { session_expiry_interval_s: Some(0), ..Disconnect::default() };
            s.packet(before, &Packet::Disconnect(ends));
        }
        let (client, heard) = s.connect(&Connect { clean_start, ..connect(here) });
        assert_eq!(heard, ["CONNACK Success"]);
        s.subscribe(client, "a/3", 1);
        s.hear(client);
        for id in 1..4 {
            s.publish_qos(publisher, "a/2", "not asked for", 1, id);
            s.publish_qos(publisher, "a/3", "asked for", 1, id + 10);
            assert_eq!(s.hear(client), [format!("a/3 'asked for' q1 #{id}")]);
            s.pass(Duration::from_millis(1));
        }
        assert_eq!(sum(&s, |gauges| gauges.subscriptions), 1);
        assert_eq!(sum(&s, |gauges| gauges.filters), 2, "here, and what the other shard knows of it");
        s.disconnect(client, ReasonCode::Success);
        s.pass(Duration::from_millis(1));
        assert_eq!(sum(&s, |gauges| gauges.filters), 0);
    }
}

#[test]
fn sessions_that_end_in_the_same_second_take_turns() {
    let mut s = in_pieces(1);
    for n in 0..20 {
        let client = s.join_for_an_hour(&format!("c{n}"));
        s.subscribe(client, "a", 1);
        s.cut(client);
    }
    s.secs(3599);
    s.now = s.now + Duration::from_secs(1);
    let mut left = sum(&s, |gauges| gauges.sessions);
    assert_eq!(left, 20);
    while left > 0 {
        s.pass(Duration::from_nanos(1));
        let now_left = sum(&s, |gauges| gauges.sessions);
        assert!(left - now_left <= 2, "{left} to {now_left}");
        left = now_left;
    }
    s.pass(Duration::from_millis(1));
    assert_eq!((s.counter("sessions_expired"), s.shards[0].gauges().subscriptions), (20, 0));
}
