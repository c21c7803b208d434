//! Users who are known otherwise than before, while they are connected.

use std::sync::Arc;

use access::Fallback;
use mqtt::ReasonCode;
use shard::{Answer, Config, DoorConfig, Event, Grant, Revision, Rights, Rules};

use crate::{
    exchanging::{auth, challenge, go_on, with_method},
    script::{Client, Script, connect},
};

fn asking(rules: Option<Rules>) -> Script {
    let doors = vec![DoorConfig { asks: true, ..DoorConfig::default() }];
    Script::new(Config { doors, rules, ..Config::default() })
}

/// Who has the role `all` may read and write, and who has `none` nothing.
fn rules() -> Rules {
    let text =
        "[roles.all]\nrules = [ { allow = \"readwrite\", topics = \"#\" } ]\n[roles.none]\nrules = []\n";
    let layer = access::own::parse("rules", text);
    let layer = layer.unwrap_or_else(|problems| panic!("{problems:?}"));
    Rules::builder(Fallback::Deny).layer(layer).build()
}

fn accept(by: &str, user: &str, role: &str) -> Answer {
    let grant = Grant {
        by: Some(by.into()),
        user: Some(user.into()),
        roles: [Arc::from(role)].into(),
        is_authenticated: true,
        ..Grant::default()
    };
    Answer::Accept { grant: Arc::new(grant), lasts: None, data: None }
}

fn come(s: &mut Script, client_id: &str) -> Client {
    let client = s.open_by(0, false);
    s.say_connect(client, &connect(client_id));
    client
}

fn let_in(s: &mut Script, client_id: &str, by: &str, user: &str) -> Client {
    let client = come(s, client_id);
    s.answer(client, accept(by, user, "all"));
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    client
}

fn revise(s: &mut Script, users: &[(&str, Option<&str>)]) {
    let rights = |role: &str| Rights { roles: [Arc::from(role)].into(), ..Rights::default() };
    let users = users.iter().map(|(user, role)| ((*user).into(), role.map(rights))).collect();
    s.event(0, Event::Revised(Arc::new(Revision { by: "file".into(), users })));
    s.secs(1);
}

#[test]
fn who_is_not_let_in_any_more_is_sent_away_and_nobody_else() {
    let mut s = asking(None);
    let gone = let_in(&mut s, "a", "file", "anna");
    let other = let_in(&mut s, "b", "file", "bob");
    let namesake = let_in(&mut s, "c", "token", "anna");
    revise(&mut s, &[("anna", None)]);
    assert_eq!(s.hear(gone), ["DISCONNECT Not authorized"]);
    assert!(s.is_closed(gone) && !s.is_closed(other) && !s.is_closed(namesake));
    assert_eq!(s.counter("grants_ended"), 1);
}

#[test]
fn who_is_being_asked_about_is_held_to_it_afterwards() {
    let mut s = asking(None);
    let late = come(&mut s, "a");
    revise(&mut s, &[("anna", None)]);
    // The answer was found out before.
    s.answer(late, accept("file", "anna", "all"));
    assert_eq!(s.hear(late), ["CONNACK Not authorized"]);
    assert!(s.is_closed(late));
}

#[test]
fn who_is_challenged_is_held_to_it_however_late_the_answer() {
    let mut s = asking(None);
    let late = s.open_by(0, false);
    s.say_connect(late, &with_method("a"));
    s.answer(late, challenge("c", 1));
    revise(&mut s, &[("anna", None)]);
    s.secs(5);
    go_on(&mut s, late, "r");
    s.answer(late, accept("file", "anna", "all"));
    assert_eq!(s.hear(late).last().unwrap(), "CONNACK Not authorized");
}

#[test]
fn a_renewal_that_is_under_way_brings_no_right_back() {
    for is_challenged in [false, true] {
        let mut s = asking(Some(rules()));
        let client = s.open_by(0, false);
        s.say_connect(client, &with_method("a"));
        s.answer(client, accept("file", "anna", "all"));
        s.subscribe(client, "t", 0);
        auth(&mut s, client, ReasonCode::Reauthenticate, "SCRAM-SHA-256", "again");
        if is_challenged {
            s.answer(client, challenge("c", 1));
        }
        // The last word counts, and it counts at once.
        revise(&mut s, &[("anna", Some("all"))]);
        revise(&mut s, &[("anna", Some("none")), ("bob", None)]);
        assert_eq!(s.shards[0].gauges().subscriptions, 0);
        s.secs(5);
        if is_challenged {
            go_on(&mut s, client, "r");
        }
        s.hear(client);
        s.answer(client, accept("file", "anna", "all"));
        assert!(s.hear(client)[0].starts_with("AUTH Success"));
        s.subscribe(client, "t", 0);
        assert_eq!(s.hear(client), ["SUBACK 9 0x87"]);
        // What was revised before is over with this answer.
        auth(&mut s, client, ReasonCode::Reauthenticate, "SCRAM-SHA-256", "again");
        s.answer(client, accept("file", "anna", "all"));
        s.subscribe(client, "t", 0);
        assert_eq!(s.hear(client).last().unwrap(), "SUBACK 9 0x00");
    }
}

#[test]
fn who_has_another_role_loses_what_only_the_first_one_allows() {
    let mut s = asking(Some(rules()));
    let client = let_in(&mut s, "a", "file", "anna");
    s.subscribe(client, "t", 0);
    assert_eq!(s.hear(client).len(), 1);
    assert_eq!(s.shards[0].gauges().subscriptions, 1);
    revise(&mut s, &[("anna", Some("none"))]);
    assert!(!s.is_closed(client));
    assert_eq!(s.shards[0].gauges().subscriptions, 0);
    assert_eq!(s.counter("subscriptions_revoked"), 1);
}
