//! Users who are known otherwise than before, while they are connected.

use std::sync::Arc;

use access::Fallback;
use shard::{Answer, Config, DoorConfig, Event, Grant, Revision, Rights, Rules};

use crate::script::{Client, Script, connect};

fn asking(rules: Option<Rules>) -> Script {
    let doors = vec![DoorConfig { asks: true, ..DoorConfig::default() }];
    Script::new(Config { doors, rules, ..Config::default() })
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
    s.secs(2);
    assert_eq!(s.hear(late), ["CONNACK Success", "DISCONNECT Not authorized"]);
}

#[test]
fn who_has_another_role_loses_what_only_the_first_one_allows() {
    let text =
        "[roles.all]\nrules = [ { allow = \"readwrite\", topics = \"#\" } ]\n[roles.none]\nrules = []\n";
    let layer = access::own::parse("rules", text);
    let layer = layer.unwrap_or_else(|problems| panic!("{problems:?}"));
    let mut s = asking(Some(Rules::builder(Fallback::Deny).layer(layer).build()));
    let client = let_in(&mut s, "a", "file", "anna");
    s.subscribe(client, "t", 0);
    assert_eq!(s.hear(client).len(), 1);
    assert_eq!(s.shards[0].gauges().subscriptions, 1);
    revise(&mut s, &[("anna", Some("none"))]);
    assert!(!s.is_closed(client));
    assert_eq!(s.shards[0].gauges().subscriptions, 0);
    assert_eq!(s.counter("subscriptions_revoked"), 1);
}
