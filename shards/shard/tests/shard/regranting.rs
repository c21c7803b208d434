//! Users who are known otherwise than before, while they are connected.

use std::sync::Arc;

use access::Fallback;
use mqtt::ReasonCode;
use shard::{Answer, Config, DoorConfig, Ended, Event, From, Grant, Revision, Rights, Rules};

use crate::{
    exchanging::{auth, challenge, go_on, with_method},
    script::{Client, Script, connect},
};

pub fn config(rules: Option<Rules>) -> Config {
    let doors = vec![DoorConfig { asks: true, ..DoorConfig::default() }];
    Config { doors, rules, ..Config::default() }
}

fn asking(rules: Option<Rules>) -> Script {
    Script::new(config(rules))
}

/// Who has the role `all` may read and write, and who has `none` nothing.
pub fn rules() -> Rules {
    let text =
        "[roles.all]\nrules = [ { allow = \"readwrite\", topics = \"#\" } ]\n[roles.none]\nrules = []\n";
    let layer = access::own::parse("rules", text);
    let layer = layer.unwrap_or_else(|problems| panic!("{problems:?}"));
    Rules::builder(Fallback::Deny).layer(layer).build()
}

pub fn accept(by: &'static str, user: &str, role: &str) -> Answer {
    let grant = Grant {
        by: Some(by),
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

fn let_in(s: &mut Script, client_id: &str, by: &'static str, user: &str) -> Client {
    let client = come(s, client_id);
    s.answer(client, accept(by, user, "all"));
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    client
}

fn revise(s: &mut Script, users: &[(&str, Option<&str>)]) {
    let rights = |role: &str| Rights { roles: [Arc::from(role)].into(), ..Rights::default() };
    let users = users
        .iter()
        .map(|(user, role)| ((*user).into(), role.map(rights).ok_or(Ended::UserDeleted)))
        .collect();
    s.event(0, Event::Revised(Arc::new(Revision::Users { by: "file".into(), users })));
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
    assert!(has_noted(&s, "its user is deleted"), "{:?}", s.notes);
}

/// The reason why somebody was disconnected.
fn has_noted(s: &Script, why: &str) -> bool {
    s.notes.iter().any(|note| note.starts_with("Disconnected") && note.contains(why))
}

#[test]
fn a_user_who_is_disabled_is_not_said_to_be_deleted() {
    let mut s = asking(None);
    let client = let_in(&mut s, "a", "file", "anna");
    let users = [("anna".into(), Err(Ended::UserDisabled))].into();
    s.event(0, Event::Revised(Arc::new(Revision::Users { by: "file".into(), users })));
    s.secs(1);
    assert!(s.is_closed(client) && has_noted(&s, "its user is disabled"), "{:?}", s.notes);
}

#[test]
fn who_came_in_by_somebody_who_is_gone_is_sent_away_at_that_listener() {
    let mut s = asking(None);
    let [token, file] =
        [("a", "token"), ("b", "file")].map(|(client_id, by)| let_in(&mut s, client_id, by, "anna"));
    let mut gone = |door, by: &str, from| {
        s.event(0, Event::Revised(Arc::new(Revision::Gone { door, by: by.into(), from })));
        s.secs(1);
        [s.is_closed(token), s.is_closed(file)]
    };
    assert_eq!(gone(1, "token", From::Anywhere), [false, false]);
    assert_eq!(gone(0, "certificate", From::Anywhere), [false, false]);
    assert_eq!(gone(0, "token", From::Anywhere), [true, false]);
    assert!(has_noted(&s, "the way by which it came in is gone"), "{:?}", s.notes);
}

#[test]
fn of_the_anonymous_only_those_from_other_machines_may_have_to_go() {
    let mut s = asking(None);
    let clients = ["127.0.0.1", "192.0.2.1"].map(|address| {
        let client = come(&mut s, address);
        let is_local = address == "127.0.0.1";
        let grant = Grant { by: Some("anonymous"), is_local, ..Grant::default() };
        s.answer(client, Answer::Accept { grant: Arc::new(grant), lasts: None, data: None });
        client
    });
    let by = "anonymous".into();
    s.event(0, Event::Revised(Arc::new(Revision::Gone { door: 0, by, from: From::OtherMachines })));
    s.secs(1);
    assert_eq!(clients.map(|client| s.is_closed(client)), [false, true]);
}

#[test]
fn whose_certificate_is_revoked_is_sent_away() {
    let mut s = asking(None);
    let clients = [Some([1; 32]), Some([2; 32]), None].map(|certificate| {
        let client = come(&mut s, &format!("{certificate:?}"));
        let grant = Grant { certificate, ..Grant::default() };
        s.answer(client, Answer::Accept { grant: Arc::new(grant), lasts: None, data: None });
        client
    });
    let certificates = Arc::new([[2; 32]].into());
    s.event(0, Event::Revised(Arc::new(Revision::Revoked { door: 0, certificates })));
    s.secs(1);
    assert_eq!(clients.map(|client| s.is_closed(client)), [false, true, false]);
    assert!(has_noted(&s, "its certificate is revoked"), "{:?}", s.notes);
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
fn who_is_being_asked_about_is_held_to_what_is_gone_and_to_what_is_revoked() {
    let gone = Revision::Gone { door: 0, by: "file".into(), from: From::Anywhere };
    let revoked = Revision::Revoked { door: 0, certificates: Arc::new([[1; 32]].into()) };
    let elsewhere = Revision::Gone { door: 1, by: "file".into(), from: From::Anywhere };
    for (revision, expected) in [
        (gone, "CONNACK Not authorized"),
        (revoked, "CONNACK Not authorized"),
        (elsewhere, "CONNACK Success"),
    ] {
        let mut s = asking(None);
        let late = come(&mut s, "a");
        s.event(0, Event::Revised(Arc::new(revision)));
        // A word about the user comes after it, and brings nobody back.
        revise(&mut s, &[("anna", Some("all"))]);
        let grant = Grant {
            by: Some("file"),
            user: Some("anna".into()),
            certificate: Some([1; 32]),
            ..Grant::default()
        };
        s.answer(late, Answer::Accept { grant: Arc::new(grant), lasts: None, data: None });
        assert_eq!(s.hear(late), [expected]);
    }
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
