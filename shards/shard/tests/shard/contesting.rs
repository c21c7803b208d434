//! Clients that take a session from each other again and again, and clients that are banned.

use std::{sync::Arc, time::Duration};

use mqtt::{Connect, Version};
use shard::{Bans, Config, ContestLimits, ContestPolicy, Event};

use crate::{
    asking::{accept, knock},
    exchanging::{challenge, go_on, with_method},
    script::{Script, connect},
};

fn contested(policy: ContestPolicy) -> Config {
    let contests = ContestLimits { takeovers: 3, window: Duration::from_secs(60), policy };
    Config { contests, ..Config::default() }
}

fn lines(s: &Script, what: &str) -> usize {
    s.notes.iter().filter(|note| note.contains(what)).count()
}

#[test]
fn clients_with_one_id_are_named_and_go_on() {
    let mut s = Script::new(contested(ContestPolicy::Allow));
    let mut holder = s.join("c");
    for takeovers in 1..=7 {
        let next = s.join("c");
        assert_eq!(s.hear(holder), ["DISCONNECT Session taken over"]);
        assert_eq!(lines(&s, "Contested"), usize::from(takeovers >= 3), "{takeovers}");
        holder = next;
    }
    assert_eq!((s.counter("takeovers"), s.counter("takeovers_contested")), (7, 2));
    assert_eq!(lines(&s, "TakenOver"), 7, "each of them has a line besides");
    assert!(s.notes.iter().any(|note| note.contains("takeovers: 3")), "{:?}", s.notes);
}

#[test]
fn a_client_that_comes_back_now_and_then_contests_nothing() {
    let mut s = Script::new(contested(ContestPolicy::Refuse));
    for _ in 0..20 {
        s.join("c");
        s.secs(40);
    }
    assert_eq!(s.counter("takeovers_contested"), 0);
    assert_eq!(s.counter("refused_contested"), 0);
}

#[test]
fn where_it_says_refuse_the_session_stays_with_who_has_it() {
    for (version, said) in [(Version::V5, "CONNACK Connection rate exceeded"), (Version::V311, "CONNACK 3")] {
        let mut s = Script::new(contested(ContestPolicy::Refuse));
        for _ in 0..3 {
            s.join("c");
        }
        let holder = s.join("c");
        let (refused, heard) = s.connect(&Connect { version, ..connect("c") });
        assert_eq!(heard.len(), 1);
        assert!(heard[0].starts_with(said) || version == Version::V311, "{heard:?}");
        assert!(s.is_closed(refused) && !s.is_closed(holder));
        let other = s.join("d");
        assert!(!s.is_closed(other), "nobody else is touched");
        s.cut(holder);
        let (free, _) = s.connect(&connect("c"));
        assert!(!s.is_closed(free), "a session that nobody holds is taken over from nobody");
        s.secs(11);
        let next = s.join("c");
        assert!(s.is_closed(free) && !s.is_closed(next));
        assert_eq!(s.counter("refused_contested"), 1);
    }
}

fn bans(client_ids: &[&str], users: &[&str], lasts_s: Option<u64>) -> Arc<Bans> {
    let named = |names: &[&str]| {
        names.iter().map(|name| (Box::from(*name), lasts_s.map(Duration::from_secs))).collect()
    };
    Arc::new(Bans { client_ids: named(client_ids), users: named(users), ..Bans::default() })
}

#[test]
fn who_is_banned_goes_at_once_and_does_not_come_back_until_it_is_over() {
    let mut s = Script::of_one();
    let (banned, old) =
        (s.join("banned"), s.connect(&Connect { version: Version::V311, ..connect("old") }).0);
    let other = s.join("other");
    s.event(0, Event::Bans(bans(&["banned", "old"], &[], Some(100))));
    s.settle();
    assert_eq!(s.hear(banned), ["DISCONNECT Administrative action"]);
    assert!(s.is_closed(banned) && s.is_closed(old) && !s.is_closed(other));
    assert_eq!(s.counter("ended_banned"), 2);
    assert_eq!(s.connect(&connect("banned")).1, ["CONNACK Banned"]);
    let (again, heard) = s.connect(&Connect { version: Version::V311, ..connect("old") });
    assert!(s.is_closed(again) && heard.len() == 1);
    assert_eq!(s.counter("refused_banned"), 2);
    assert_eq!(lines(&s, "Refused"), 2, "nobody is hidden by who came just before");
    s.secs(101);
    assert_eq!(s.connect(&connect("banned")).1, ["CONNACK Success"]);
    s.event(0, Event::Bans(bans(&["banned"], &[], None)));
    s.secs(1_000_000);
    assert_eq!(s.connect(&connect("banned")).1, ["CONNACK Banned"]);
    s.event(0, Event::Bans(Arc::default()));
    assert_eq!(s.connect(&connect("banned")).1, ["CONNACK Success"]);
}

#[test]
fn a_user_is_banned_wherever_and_by_whatever_id_it_comes() {
    let mut s = Script::new(Config { bans: bans(&["nobody"], &[], None), ..crate::asking::config() });
    let clients = ["one", "two"].map(|client_id| {
        let client = knock(&mut s, &connect(client_id));
        s.answer(client, accept(if client_id == "one" { "ada" } else { "bob" }));
        s.hear(client);
        client
    });
    s.event(0, Event::Bans(bans(&[], &["ada"], None)));
    s.settle();
    assert!(s.is_closed(clients[0]) && !s.is_closed(clients[1]));
    let again = knock(&mut s, &connect("three"));
    s.answer(again, accept("ada"));
    assert_eq!(s.hear(again), ["CONNACK Banned"]);
    let named = knock(&mut s, &connect("four"));
    s.answer(named, accept("bob"));
    assert_eq!(s.hear(named), ["CONNACK Success"]);
}

#[test]
fn a_banned_client_id_is_not_even_asked_about() {
    let mut s = Script::new(Config { bans: bans(&["c"], &[], None), ..crate::asking::config() });
    let client = knock(&mut s, &connect("c"));
    assert_eq!(s.hear(client), ["CONNACK Banned"]);
    assert!(s.asks.is_empty());
}

#[test]
fn who_is_banned_while_it_proves_who_it_is_does_not_come_in() {
    for of_user in [false, true] {
        let mut s = Script::new(crate::asking::config());
        let client = knock(&mut s, &with_method("c"));
        s.answer(client, challenge("c1", 1));
        let banned = if of_user { bans(&[], &["ada"], None) } else { bans(&["c"], &[], None) };
        s.event(0, Event::Bans(banned));
        go_on(&mut s, client, "r1");
        s.answer(client, accept("ada"));
        assert_eq!(s.hear(client).last().unwrap(), "CONNACK Banned");
        assert_eq!((s.counter("refused_banned"), s.shards[0].gauges().sessions), (1, 0));
    }
}
