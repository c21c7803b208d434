//! Enhanced authentication: AUTH back and forth before CONNACK, and again while connected.

use std::{sync::Arc, time::Duration};

use mqtt::{Auth, Connect, ConnectProperties, Packet, ReasonCode, Will};
use shard::{Answer, Bans, Ended, Event, Grant, Reading, Revision, Rights, Secret};

use crate::{
    asking::{accept, config, knock},
    regranting,
    script::{Client, Script, connect},
};

const METHOD: &str = "SCRAM-SHA-256";

pub fn with_method(client_id: &str) -> Connect<'_> {
    let properties = ConnectProperties {
        authentication_method: Some(METHOD),
        authentication_data: Some(b"first"),
        ..ConnectProperties::default()
    };
    Connect { properties, username: Some("ada"), ..connect(client_id) }
}

pub fn auth(s: &mut Script, client: Client, reason: ReasonCode, method: &str, data: &str) {
    let auth = Auth { reason, method: Some(method), data: Some(data.as_bytes()), ..Auth::default() };
    s.packet(client, &Packet::Auth(auth));
}

pub fn go_on(s: &mut Script, client: Client, data: &str) {
    auth(s, client, ReasonCode::ContinueAuthentication, METHOD, data);
}

pub fn challenge(data: &str, ticket: u64) -> Answer {
    Answer::Continue { data: data.as_bytes().into(), ticket }
}

fn accept_with(user: &str, data: &str, seconds: u64) -> Answer {
    let grant = Grant { user: Some(user.into()), ..Grant::default() };
    let lasts = Some(Duration::from_secs(seconds));
    Answer::Accept { grant: Arc::new(grant), lasts, data: Some(data.as_bytes().into()) }
}

/// Connected by one round, for a minute.
fn join(s: &mut Script, client_id: &str) -> Client {
    let client = knock(s, &with_method(client_id));
    s.answer(client, challenge("c1", 1));
    go_on(s, client, "r1");
    s.answer(client, accept_with("ada", "done", 60));
    assert_eq!(s.hear(client).last().unwrap(), "CONNACK Success SCRAM-SHA-256 Some(\"done\")");
    s.asks.clear();
    client
}

#[test]
fn client_and_server_talk_until_the_answer() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &with_method("c"));
    for round in 1..=3 {
        let ask = s.asks.pop().unwrap();
        let exchange = ask.exchange.unwrap();
        assert_eq!((&*exchange.method, ask.user_name.as_deref()), (METHOD, Some("ada")));
        let said = if round == 1 { "first".to_owned() } else { format!("r{}", round - 1) };
        assert_eq!(exchange.data, Some(Secret::new(said.as_bytes())));
        assert_eq!(exchange.ticket, (round > 1).then_some(round - 1));
        s.answer(client, challenge(&format!("c{round}"), round));
        assert_eq!(
            s.hear(client),
            [format!("AUTH Continue authentication SCRAM-SHA-256 Some(\"c{round}\")")]
        );
        assert_eq!(s.reading(client), Reading::Once);
        go_on(&mut s, client, &format!("r{round}"));
    }
    s.answer(client, accept_with("ada", "v=proof", 60));
    assert_eq!(s.hear(client), ["CONNACK Success SCRAM-SHA-256 Some(\"v=proof\")"]);
    assert_eq!(s.reading(client), Reading::Continuous);
    assert_eq!(s.shards[0].gauges().receive_bytes, 0);
}

#[test]
fn a_refusal_can_come_at_any_point() {
    for rounds in 0..3 {
        let mut s = Script::new(config());
        let client = knock(&mut s, &with_method("c"));
        for round in 0..rounds {
            s.answer(client, challenge("c", round));
            go_on(&mut s, client, "r");
        }
        s.hear(client);
        s.answer(client, Answer::refuse(ReasonCode::BadAuthenticationMethod, "no such method"));
        assert_eq!(s.hear(client), ["CONNACK Bad authentication method"]);
        assert!(s.is_closed(client));
        assert_eq!(s.shards[0].gauges().receive_bytes, 0);
    }
}

#[test]
fn whom_an_exchange_was_to_prove_stands_in_the_note_of_its_refusal() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &with_method("c"));
    let (reason, why) = (ReasonCode::NotAuthorized, "wrong".into());
    s.answer(client, Answer::Refuse { reason, why, user: Some("grace".into()) });
    assert!(s.notes.iter().any(|note| note.contains("wrong") && note.contains("grace")), "{:?}", s.notes);
}

#[test]
fn only_auth_may_come_before_connack() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &with_method("c"));
    s.answer(client, challenge("c", 1));
    s.hear(client);
    s.publish(client, "t", "");
    assert_eq!(s.hear(client), ["CONNACK Protocol Error"]);
    assert!(s.is_closed(client));
    // It came before the challenge, and is looked at after it.
    let client = knock(&mut s, &with_method("c"));
    s.publish(client, "t", "");
    s.answer(client, challenge("c", 1));
    assert_eq!(s.hear(client).last().unwrap(), "CONNACK Protocol Error");
    assert!(s.is_closed(client));
    assert_eq!(s.counter("violations"), 2);
}

#[test]
fn another_reason_or_another_method_ends_the_exchange() {
    for (reason, method) in [
        (ReasonCode::Reauthenticate, METHOD),
        (ReasonCode::Success, METHOD),
        (ReasonCode::ContinueAuthentication, "SCRAM-SHA-1"),
    ] {
        let mut s = Script::new(config());
        let client = knock(&mut s, &with_method("c"));
        s.answer(client, challenge("c", 1));
        s.hear(client);
        auth(&mut s, client, reason, method, "r");
        assert_eq!(s.hear(client), ["CONNACK Protocol Error"], "{reason} {method}");
        assert!(s.is_closed(client));
        assert_eq!(s.asks.len(), 1);
    }
}

#[test]
fn a_client_may_leave_in_the_middle() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &with_method("c"));
    s.answer(client, challenge("c", 1));
    s.hear(client);
    s.disconnect(client, ReasonCode::Success);
    assert!(s.is_closed(client) && s.hear(client).is_empty());
    assert_eq!((s.counter("violations"), s.shards[0].gauges().receive_bytes), (0, 0));
}

#[test]
fn a_client_that_does_not_answer_is_not_waited_for() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &with_method("c"));
    s.secs(8);
    s.answer(client, challenge("c", 1));
    s.hear(client);
    s.secs(9);
    assert!(!s.is_closed(client), "its time begins with its turn");
    s.secs(2);
    assert!(s.is_closed(client) && s.hear(client).is_empty());
    assert_eq!(s.counter("authentication_timeouts"), 1);
}

#[test]
fn who_named_no_method_is_never_challenged() {
    let mut s = Script::new(config());
    let client = knock(&mut s, &connect("c"));
    s.answer(client, challenge("c", 1));
    assert_eq!(s.hear(client), ["CONNACK Server unavailable"]);
    assert!(s.is_closed(client));
    let client = knock(&mut s, &connect("c"));
    s.answer(client, accept("ada"));
    s.hear(client);
    auth(&mut s, client, ReasonCode::Reauthenticate, METHOD, "");
    assert_eq!(s.hear(client), ["DISCONNECT Protocol Error"]);
}

#[test]
fn where_nobody_is_asked_about_no_method_is_known() {
    let mut s = Script::new(config());
    let (client, heard) = s.connect(&with_method("c"));
    assert_eq!(heard, ["CONNACK Bad authentication method"]);
    assert!(s.is_closed(client) && s.asks.is_empty());
}

#[test]
fn a_renewal_extends_the_grant_while_messages_go_on() {
    let mut s = Script::new(config());
    let client = join(&mut s, "c");
    s.subscribe(client, "t", 0);
    s.hear(client);
    s.secs(50);
    auth(&mut s, client, ReasonCode::Reauthenticate, METHOD, "again");
    let ask = s.asks.pop().unwrap();
    assert_eq!((&*ask.client_id, ask.user_name, ask.password), ("c", None, None));
    assert_eq!(ask.renews.unwrap().user.as_deref(), Some("ada"));
    assert_eq!(ask.exchange.unwrap().ticket, None);
    s.publish(client, "t", "meanwhile");
    assert_eq!(s.hear(client), ["t 'meanwhile'"]);
    s.answer(client, challenge("c2", 9));
    assert_eq!(s.hear(client), ["AUTH Continue authentication SCRAM-SHA-256 Some(\"c2\")"]);
    s.publish(client, "t", "still");
    go_on(&mut s, client, "r2");
    assert_eq!(s.asks.pop().unwrap().exchange.unwrap().ticket, Some(9));
    s.answer(client, accept_with("ada", "ok", 60));
    assert_eq!(s.hear(client), ["t 'still'", "AUTH Success SCRAM-SHA-256 Some(\"ok\")"]);
    s.secs(59);
    assert!(!s.is_closed(client));
    s.secs(2);
    assert_eq!(s.hear(client), ["DISCONNECT Not authorized"]);
    assert_eq!((s.counter("grants_renewed"), s.counter("grants_ended")), (1, 1));
}

#[test]
fn a_renewal_that_shortens_the_grant_counts_at_once() {
    let mut s = Script::new(config());
    let client = join(&mut s, "c");
    auth(&mut s, client, ReasonCode::Reauthenticate, METHOD, "again");
    s.answer(client, accept_with("ada", "ok", 5));
    s.hear(client);
    s.secs(6);
    assert_eq!(s.hear(client), ["DISCONNECT Not authorized"]);
}

#[test]
fn a_renewal_that_fails_ends_the_connection() {
    let refusals = [
        Answer::refuse(ReasonCode::BadUserNameOrPassword, "wrong"),
        Answer::refuse(ReasonCode::NotAuthorized, "wrong"),
        accept("bob"),
    ];
    for answer in refusals {
        let mut s = Script::new(config());
        let client = join(&mut s, "c");
        auth(&mut s, client, ReasonCode::Reauthenticate, METHOD, "again");
        s.answer(client, answer);
        assert_eq!(s.hear(client), ["DISCONNECT Not authorized"]);
        assert!(s.is_closed(client));
    }
    // Nobody answers, or the client does not.
    for is_challenged in [false, true] {
        let mut s = Script::new(config());
        let client = knock(&mut s, &with_method("c"));
        s.answer(client, accept("ada"));
        s.hear(client);
        auth(&mut s, client, ReasonCode::Reauthenticate, METHOD, "again");
        if is_challenged {
            s.answer(client, challenge("c", 1));
            s.hear(client);
        }
        s.secs(61);
        assert_eq!(s.hear(client), ["DISCONNECT Not authorized"]);
        assert_eq!(s.counter("authentication_timeouts"), 1);
    }
}

/// What happens while a client that has left a will proves itself once more, and fails.
fn refused_with_a_will(events: Vec<Event<'static>>) -> Script {
    let mut s = Script::new(regranting::config(Some(regranting::rules())));
    let will = Will { topic: "a", payload: b"gone", ..Will::default() };
    let client = knock(&mut s, &Connect { will: Some(will), ..with_method("c") });
    s.answer(client, regranting::accept("file", "ada", "all"));
    s.hear(client);
    auth(&mut s, client, ReasonCode::Reauthenticate, METHOD, "again");
    for event in events {
        s.event(0, event);
    }
    s.answer(client, Answer::refuse(ReasonCode::NotAuthorized, "wrong"));
    s.secs(1);
    assert!(s.is_closed(client));
    s
}

fn revised(role: Option<&str>) -> Event<'static> {
    let rights = role.map(|role| Rights { roles: [Arc::from(role)].into(), ..Rights::default() });
    let rights = rights.ok_or(Ended::UserDeleted);
    Event::Revised(Arc::new(Revision::Users { by: "file".into(), users: [("ada".into(), rights)].into() }))
}

// [MQTT-3.1.2-8] Only a DISCONNECT of the client takes the will back.
#[test]
fn a_renewal_that_fails_publishes_the_will() {
    for events in [vec![], vec![revised(Some("all"))]] {
        let s = refused_with_a_will(events);
        assert_eq!((s.counter("wills_published"), s.counter("denied_will")), (1, 0));
    }
}

#[test]
fn a_renewal_that_fails_publishes_no_will_that_its_user_may_not_publish_any_more() {
    let banned = Bans { users: vec![("ada".into(), None)], ..Bans::default() };
    let losses = || [revised(Some("none")), revised(None), Event::Bans(Arc::new(banned.clone()))];
    for event in losses() {
        let case = format!("{event:?}");
        let s = refused_with_a_will(vec![event]);
        assert_eq!((s.counter("wills_published"), s.counter("denied_will")), (0, 1), "{case}");
    }
}

#[test]
fn auth_out_of_turn_is_a_protocol_error() {
    let turns: [(&[ReasonCode], &str); 4] = [
        (&[ReasonCode::ContinueAuthentication], METHOD),
        (&[ReasonCode::Success], METHOD),
        (&[ReasonCode::Reauthenticate, ReasonCode::Reauthenticate], METHOD),
        (&[ReasonCode::Reauthenticate], "SCRAM-SHA-1"),
    ];
    for (reasons, method) in turns {
        let mut s = Script::new(config());
        let client = join(&mut s, "c");
        for reason in reasons {
            auth(&mut s, client, *reason, method, "");
        }
        assert_eq!(s.hear(client), ["DISCONNECT Protocol Error"], "{reasons:?}");
        assert!(s.is_closed(client));
    }
}

#[test]
fn a_renewal_does_not_outlive_its_connection() {
    let mut s = Script::new(config());
    let client = join(&mut s, "c");
    auth(&mut s, client, ReasonCode::Reauthenticate, METHOD, "again");
    let next = join(&mut s, "c");
    s.answer(client, Answer::refuse(ReasonCode::Banned, "late"));
    assert!(!s.is_closed(next));
    s.publish(next, "t", "");
    assert!(s.hear(next).is_empty());
}
