//! Who is it? What a CONNECT does that waits for the answer, and what happens meanwhile.

use std::{sync::Arc, time::Duration};

use mqtt::{Connect, ReasonCode, Version, Will, WillProperties};
use shard::{Answer, Config, DoorConfig, Event, Grant, Reading, Secret};

use crate::script::{Client, Script, connect, publish};

/// At door 0 nobody is asked about, at door 1 everybody, and door 2 takes 5.0 alone.
pub fn config() -> Config {
    let only_v5 = [Version::V5].into_iter().collect();
    let doors = vec![
        DoorConfig::default(),
        DoorConfig { asks: true, ..DoorConfig::default() },
        DoorConfig { versions: only_v5, ..DoorConfig::default() },
    ];
    Config { doors, ..Config::default() }
}

pub fn accept(user: &str) -> Answer {
    let grant = Grant { user: Some(user.into()), is_authenticated: true, ..Grant::default() };
    Answer::Accept { grant: Arc::new(grant), lasts: None, data: None }
}

pub fn accept_for(user: &str, seconds: u64) -> Answer {
    match accept(user) {
        Answer::Accept { grant, data, .. } => {
            Answer::Accept { grant, lasts: Some(Duration::from_secs(seconds)), data }
        }
        other => other,
    }
}

/// Says CONNECT at the door where everybody is asked about.
pub fn knock(s: &mut Script, connect: &Connect<'_>) -> Client {
    let client = s.open_by(1, false);
    s.say_connect(client, connect);
    client
}

fn login(client_id: &str) -> Connect<'_> {
    Connect { username: Some("ada"), password: Some(b"secret"), ..connect(client_id) }
}

#[test]
fn a_client_is_let_in_after_the_answer_with_all_that_it_has_said_meanwhile() {
    let mut s = Script::new(config());
    let watcher = s.join("w");
    s.subscribe(watcher, "t", 0);
    s.hear(watcher);
    let client = knock(&mut s, &login("c"));
    s.publish(client, "t", "early");
    assert!(s.hear(client).is_empty() && s.hear(watcher).is_empty());
    assert_eq!(s.reading(client), Reading::Paused);
    let ask = &s.asks[0];
    assert_eq!((ask.door, ask.version, &*ask.client_id), (1, Version::V5, "c"));
    assert_eq!(ask.user_name.as_deref(), Some("ada"));
    assert_eq!(ask.password, Some(Secret::new(b"secret")));
    assert!(ask.exchange.is_none() && ask.renews.is_none() && ask.clean_start);
    s.answer(client, accept("ada"));
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    assert_eq!(s.hear(watcher), ["t 'early'"]);
    assert_eq!(s.reading(client), Reading::Continuous);
    assert_eq!(s.asks.len(), 1);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
    assert!(s.notes.iter().any(|note| note.contains("Connected") && note.contains("ada")));
}

#[test]
fn clients_in_a_row_that_are_granted_the_same_share_it() {
    let mut s = Script::new(config());
    let grants = ["ada", "ada", "bob"].map(|user| {
        let grant = Grant { user: Some(user.into()), ..Grant::default() };
        Arc::new(grant)
    });
    for (client_id, grant) in ["a", "b", "c"].into_iter().zip(&grants) {
        let client = knock(&mut s, &connect(client_id));
        s.answer(client, Answer::Accept { grant: Arc::clone(grant), lasts: None, data: None });
        assert_eq!(s.hear(client), ["CONNACK Success"]);
    }
    assert_eq!(Arc::strong_count(&grants[0]), 3, "the test's and two clients'");
    assert_eq!(Arc::strong_count(&grants[1]), 1);
    assert_eq!(
        Arc::strong_count(&grants[2]),
        3,
        "the test's, a client's and that of the next who is granted it"
    );
}

#[test]
fn where_nobody_is_asked_about_everybody_is_let_in() {
    let mut s = Script::new(config());
    let (_, heard) = s.connect(&login("c"));
    assert_eq!((heard, s.asks.len()), (vec!["CONNACK Success".to_owned()], 0));
}

#[test]
fn a_refusal_is_told_in_the_words_of_each_version_and_not_why() {
    let refusals = [
        (ReasonCode::BadUserNameOrPassword, "Bad User Name or Password", "Bad User Name or Password"),
        (ReasonCode::NotAuthorized, "Not authorized", "Not authorized"),
        (ReasonCode::ServerUnavailable, "Server unavailable", "Server unavailable"),
        (ReasonCode::Banned, "Banned", "Not authorized"),
        // What is no refusal, or none of a CONNACK.
        (ReasonCode::Success, "Not authorized", "Not authorized"),
        (ReasonCode::KeepAliveTimeout, "Not authorized", "Not authorized"),
    ];
    for (reason, in_v5, in_v3) in refusals {
        let mut s = Script::new(config());
        for (version, told) in [(Version::V5, in_v5), (Version::V311, in_v3), (Version::V31, in_v3)] {
            let client = knock(&mut s, &Connect { version, ..login("c") });
            s.answer(client, Answer::refuse(reason, "nobody of that name"));
            assert_eq!(s.hear(client), [format!("CONNACK {told}")]);
            assert!(s.is_closed(client));
        }
        assert_eq!(s.counter("refused_connect"), 3);
        let told = s.notes.iter().filter(|note| note.contains("nobody of that name") && note.contains("ada"));
        assert_eq!(told.count(), 3, "{:?}", s.notes);
        assert_eq!((s.shards[0].gauges().sessions, s.shards[0].gauges().receive_bytes), (0, 0));
    }
}

#[test]
fn only_who_is_let_in_takes_a_session_over() {
    let mut s = Script::new(config());
    let holder = knock(&mut s, &login("c"));
    s.answer(holder, accept("ada"));
    s.hear(holder);
    let thief = knock(&mut s, &login("c"));
    s.answer(thief, Answer::refuse(ReasonCode::BadUserNameOrPassword, "wrong"));
    assert_eq!(s.hear(holder), Vec::<String>::new());
    assert!(!s.is_closed(holder));
    // Two wait at once: the last answer wins, whoever came first.
    let (first, second) = (knock(&mut s, &login("c")), knock(&mut s, &login("c")));
    s.answer(second, accept("ada"));
    assert_eq!(s.hear(holder), ["DISCONNECT Session taken over"]);
    s.answer(first, accept("ada"));
    assert_eq!(s.hear(second), ["CONNACK Success", "DISCONNECT Session taken over"]);
    assert_eq!(s.hear(first), ["CONNACK Success"]);
}

#[test]
fn an_answer_for_who_is_gone_changes_nothing() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &login("c"));
    s.cut(client);
    s.answer(client, accept("ada"));
    let gauges = s.shards[0].gauges();
    assert_eq!((gauges.connections, gauges.sessions, gauges.receive_bytes), (0, 0, 0));
    // Nor does an answer that nobody has asked for.
    let client = s.join("d");
    s.answer(client, Answer::refuse(ReasonCode::Banned, "too late"));
    s.publish(client, "t", "");
    assert!(!s.is_closed(client) && s.hear(client).is_empty());
    let client = knock(&mut s, &login("e"));
    s.answer(client, accept("ada"));
    s.answer(client, Answer::refuse(ReasonCode::Banned, "twice"));
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    assert!(!s.is_closed(client));
}

#[test]
fn who_waits_for_us_does_not_run_out_of_time_but_not_for_ever() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &Connect { keep_alive_s: 5, ..login("c") });
    s.secs(50);
    assert!(!s.is_closed(client));
    let late = knock(&mut s, &login("d"));
    s.answer(client, accept("ada"));
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    s.secs(61);
    assert_eq!(s.hear(late), ["CONNACK Server unavailable"]);
    assert!(s.is_closed(late));
    s.answer(late, accept("ada"));
    assert_eq!(s.counter("authentication_timeouts"), 1);
    assert_eq!(s.counter("connect_timeouts"), 0);
    assert_eq!(s.shards[0].gauges().sessions, 0);
}

#[test]
fn a_drain_closes_who_waits_without_a_session_or_a_will() {
    let mut s = Script::new(config());
    let will = Will { topic: "will", properties: WillProperties::default(), ..Will::default() };
    let client = knock(&mut s, &Connect { will: Some(will), ..login("c") });
    s.event(0, Event::Drain);
    s.answer(client, accept("ada"));
    s.settle();
    assert!(s.is_closed(client) && s.hear(client).is_empty());
    assert_eq!((s.drained, s.shards[0].gauges().sessions, s.counter("wills_published")), (1, 0, 0));
}

#[test]
fn who_waits_can_be_kicked() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &login("c"));
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Kick { conn, reason: ReasonCode::AdministrativeAction });
    s.settle();
    assert!(s.is_closed(client) && s.hear(client).is_empty());
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

/// A CONNECT that is larger than all the room that there is for those who have not connected.
fn knock_with_too_much(s: &mut Script) -> Option<Vec<String>> {
    let payload = vec![b'x'; 30_000];
    let will = Will { topic: "will", payload: &payload, ..Will::default() };
    let client = knock(s, &Connect { will: Some(will), ..login("c") });
    s.is_closed(client).then(|| s.hear(client))
}

#[test]
fn what_waits_is_bounded() {
    let mut config = config();
    config.limits.receive_memory_max = 40_000;
    let mut s = Script::new(config);
    let payload = "x".repeat(15_000);
    let will = Will { topic: "will", payload: payload.as_bytes(), ..Will::default() };
    let first = knock(&mut s, &Connect { will: Some(will.clone()), ..login("a") });
    let second = knock(&mut s, &Connect { will: Some(will), ..login("b") });
    assert_eq!((s.is_closed(first), s.is_closed(second)), (true, false), "who has waited longest gives way");
    assert_eq!((s.asks.len(), s.counter("receive_memory_exceeded")), (2, 1));
    // The same holds for what comes after a CONNECT.
    let mut bytes = Vec::new();
    mqtt::Packet::Publish(publish("t", &payload, mqtt::QoS::AtMostOnce, None))
        .encode(Version::V5, &mut bytes);
    s.bytes(second, &bytes);
    assert!(s.is_closed(second));
    assert!(knock_with_too_much(&mut s).is_some_and(|heard| heard == ["CONNACK Quota exceeded"]));
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn a_client_is_asked_about_at_home_only() {
    let config = Config { shards: 3, ..config() };
    let mut s = Script::new(config.clone());
    for id in Script::ids_by_home(&config, "c") {
        for _ in 0..3 {
            let client = knock(&mut s, &login(&id));
            s.answer(client, accept("ada"));
            assert_eq!(s.hear(client).last().map(String::as_str), Some("CONNACK Success"));
        }
    }
    assert_eq!(s.asks.len(), 9);
    assert!(s.counter("connections_handed_over") > 0);
}

#[test]
fn an_id_is_assigned_after_the_answer() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &login(""));
    assert_eq!(&*s.asks[0].client_id, "");
    s.answer(client, accept("ada"));
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    assert_eq!(s.shards[0].gauges().sessions, 1);
}

#[test]
fn other_limits_are_looked_at_after_the_answer() {
    let mut config = config();
    config.limits.sessions_max = 1;
    let mut s = Script::new(config);
    let (first, second) = (knock(&mut s, &login("a")), knock(&mut s, &login("b")));
    s.answer(first, accept("ada"));
    s.answer(second, accept("ada"));
    assert_eq!(s.hear(second), ["CONNACK Quota exceeded"]);
    assert_eq!(s.counter("refused_authentication"), 0);
}

#[test]
fn a_grant_for_a_time_ends_its_connection() {
    let mut s = Script::new(config());
    let watcher = s.join("w");
    s.subscribe(watcher, "will", 0);
    s.hear(watcher);
    let will = Will { topic: "will", payload: b"gone", ..Will::default() };
    let client = knock(&mut s, &Connect { will: Some(will), ..login("c") });
    s.answer(client, accept_for("ada", 7200));
    s.secs(7199);
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    s.secs(2);
    assert_eq!(s.hear(client), ["DISCONNECT Not authorized"]);
    assert!(s.is_closed(client));
    assert_eq!((s.hear(watcher), s.counter("grants_ended")), (vec!["will 'gone'".to_owned()], 1));
    let client = knock(&mut s, &Connect { version: Version::V311, ..login("c") });
    s.answer(client, accept_for("ada", 10));
    s.secs(11);
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    assert!(s.is_closed(client));
}

#[test]
fn a_door_takes_the_versions_that_it_is_told_to() {
    let mut s = Script::new(config());
    for (version, told) in [
        (Version::V5, "CONNACK Success"),
        (Version::V311, "CONNACK Unsupported Protocol Version"),
        (Version::V31, "CONNACK Unsupported Protocol Version"),
    ] {
        let client = s.open_by(2, false);
        s.say_connect(client, &Connect { version, ..connect("c") });
        assert_eq!(s.hear(client), [told]);
    }
    assert_eq!(s.counter("refused_version"), 2);
}

#[test]
fn a_door_that_is_not_described_is_no_open_one() {
    let mut s = Script::new(config());
    let client = s.open_by(3, false);
    s.say_connect(client, &connect("c"));
    assert!(s.hear(client).is_empty());
    assert_eq!(s.asks.len(), 1);
}

#[test]
fn bytes_in_pieces_wait_as_well() {
    let mut s = Script::new(config());
    let watcher = s.join("w");
    s.subscribe(watcher, "t", 0);
    s.hear(watcher);
    let mut bytes = Vec::new();
    mqtt::Packet::Connect(Box::new(login("c"))).encode(Version::V5, &mut bytes);
    mqtt::Packet::Publish(publish("t", "one", mqtt::QoS::AtMostOnce, None)).encode(Version::V5, &mut bytes);
    mqtt::Packet::Publish(publish("t", "two", mqtt::QoS::AtMostOnce, None)).encode(Version::V5, &mut bytes);
    for answered_at in 0..bytes.len() {
        let client = s.open_by(1, false);
        let mut is_answered = false;
        for (at, byte) in bytes.iter().enumerate() {
            if at >= answered_at && !is_answered && s.asks.pop().is_some() {
                s.answer(client, accept("ada"));
                is_answered = true;
            }
            s.bytes(client, &[*byte]);
        }
        if !is_answered {
            s.answer(client, accept("ada"));
        }
        s.asks.clear();
        assert_eq!(s.hear(watcher), ["t 'one'", "t 'two'"], "{answered_at}");
        s.disconnect(client, ReasonCode::Success);
    }
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

/// Causes of one family of metrics: each refusal is one of them.
const CAUSES: [&str; 8] = [
    "refused_authentication",
    "refused_unavailable",
    "refused_connect_rate",
    "refused_banned",
    "refused_contested",
    "refused_max_sessions",
    "refused_version",
    "refused_max_connections",
];

#[test]
fn each_refusal_counts_for_one_cause() {
    let refusals = [
        (ReasonCode::BadUserNameOrPassword, "refused_authentication"),
        (ReasonCode::NotAuthorized, "refused_authentication"),
        (ReasonCode::BadAuthenticationMethod, "refused_authentication"),
        (ReasonCode::Banned, "refused_authentication"),
        (ReasonCode::ConnectionRateExceeded, "refused_connect_rate"),
        (ReasonCode::ServerUnavailable, "refused_unavailable"),
        (ReasonCode::ServerBusy, "refused_unavailable"),
    ];
    let mut config = config();
    config.limits.sessions_max = 1;
    let mut s = Script::new(config);
    let mut expected = CAUSES.map(|cause| (cause, 0));
    let mut counted = |s: &Script, cause: &str| {
        expected.iter_mut().filter(|(name, _)| *name == cause).for_each(|(_, count)| *count += 1);
        assert_eq!(CAUSES.map(|name| (name, s.counter(name))), expected);
    };
    for (reason, cause) in refusals {
        let client = knock(&mut s, &login("c"));
        s.answer(client, Answer::refuse(reason, "why"));
        counted(&s, cause);
    }
    knock(&mut s, &login("c"));
    s.secs(60);
    counted(&s, "refused_unavailable");
    let old = s.open_by(2, false);
    s.say_connect(old, &Connect { version: Version::V311, ..connect("old") });
    counted(&s, "refused_version");
    let (first, second) = (knock(&mut s, &login("a")), knock(&mut s, &login("b")));
    s.answer(first, accept("ada"));
    s.answer(second, accept("ada"));
    counted(&s, "refused_max_sessions");
}
