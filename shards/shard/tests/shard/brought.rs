//! Rules that come with the proof of who a client is: they count beside those of the files, and others count as soon as the client
//! has proved itself anew.

use std::{sync::Arc, time::Duration};

use access::{Fallback, Permit, Permits, Rules};
use mqtt::{Auth, Connect, ConnectProperties, Packet, ReasonCode};
use shard::{Answer, Config, DoorConfig, Grant};

use crate::{
    asking::knock,
    script::{Client, Script, connect},
};

/// At door 0 nobody is asked about, and at door 1 everybody.
fn config(rules: Rules) -> Config {
    let doors = vec![DoorConfig::default(), DoorConfig { asks: true, ..DoorConfig::default() }];
    Config { doors, rules: Some(rules), ..Config::default() }
}

/// What a program says of Ada: whether, what, on which filter.
fn ada(rules: &[(&str, &str, &str)]) -> Answer {
    let permits: Vec<Permit<'_>> = rules
        .iter()
        .map(|(word, action, topic)| Permit {
            is_denial: *word == "deny",
            actions: vec![action],
            topics: vec![topic],
        })
        .collect();
    let grant = Grant {
        user: Some("ada".into()),
        is_authenticated: true,
        permits: Some(Arc::new(Permits::new("the token's claim", &permits).unwrap())),
        ..Grant::default()
    };
    Answer::Accept { grant: Arc::new(grant), lasts: Some(Duration::from_secs(3600)), data: None }
}

fn join(s: &mut Script, client_id: &str, rules: &[(&str, &str, &str)]) -> Client {
    let properties = ConnectProperties { authentication_method: Some("JWT"), ..ConnectProperties::default() };
    let client = knock(s, &Connect { properties, ..connect(client_id) });
    s.answer(client, ada(rules));
    assert!(s.hear(client).last().unwrap().starts_with("CONNACK Success"));
    client
}

fn renew(s: &mut Script, client: Client, rules: &[(&str, &str, &str)]) {
    let auth = Auth { reason: ReasonCode::Reauthenticate, method: Some("JWT"), ..Auth::default() };
    s.packet(client, &Packet::Auth(auth));
    s.answer(client, ada(rules));
}

fn closed() -> Rules {
    Rules::builder(Fallback::Deny).hears_permits(true).build()
}

#[test]
fn they_open_what_is_closed_to_others() {
    let mut s = Script::new(config(closed()));
    let rules = [("allow", "publish", "a/%c"), ("allow", "read", "a/#")];
    let (one, two) = (join(&mut s, "one", &rules), join(&mut s, "two", &rules[..1]));
    s.subscribe(one, "a/#", 0);
    s.subscribe(two, "a/#", 0);
    assert_eq!((s.hear(one), s.hear(two)), (vec!["SUBACK 9 0x00".into()], vec!["SUBACK 9 0x87".into()]));
    for _ in 0..2 {
        for (client, topic) in [(one, "a/one"), (one, "a/two"), (two, "a/two"), (two, "a/one")] {
            s.publish(client, topic, "");
        }
        assert_eq!(s.hear(one), ["a/one ''", "a/two ''"]);
    }
    assert_eq!(s.counter("refused_publish_denied"), 4);
}

#[test]
fn they_close_what_is_open_to_others() {
    let rules = Rules::builder(Fallback::Allow).hears_permits(true).build();
    let mut s = Script::new(config(rules));
    let watcher = s.join("watcher");
    s.subscribe(watcher, "#", 0);
    s.hear(watcher);
    let client = join(&mut s, "c", &[("deny", "write", "a"), ("deny", "receive", "b")]);
    s.subscribe(client, "#", 0);
    s.hear(client);
    s.publish(client, "a", "no");
    s.publish(client, "b", "yes");
    assert_eq!(s.hear(watcher), ["b 'yes'"]);
    assert!(s.hear(client).is_empty());
    s.publish(watcher, "a", "by another");
    assert_eq!(s.hear(client), ["a 'by another'"]);
    let denied = s.notes.iter().find(|note| note.contains("Denied") && note.contains("publish")).unwrap();
    assert!(denied.contains("deny write on a (the token's claim)"), "{denied}");
}

#[test]
fn a_renewal_with_other_rules_counts_at_once() {
    let mut s = Script::new(config(closed()));
    let client = join(&mut s, "c", &[("allow", "readwrite", "a/#"), ("allow", "readwrite", "b/#")]);
    s.subscribe(client, "a/#", 0);
    s.subscribe(client, "b/#", 0);
    s.hear(client);
    let before = [("a/x", "PUBACK 1"), ("c/x", "PUBACK 1 Not authorized")];
    for (topic, answer) in before {
        s.publish_qos(client, topic, "", 1, 1);
        assert!(s.hear(client).contains(&answer.to_owned()), "{topic}");
    }
    renew(&mut s, client, &[("allow", "readwrite", "b/#"), ("allow", "publish", "c/#")]);
    assert_eq!(s.shards[0].gauges().subscriptions, 1, "what it may not have is taken from it");
    s.hear(client);
    for (topic, is_allowed) in [("a/x", false), ("b/x", true), ("c/x", true)] {
        s.publish_qos(client, topic, "", 1, 1);
        let is_denied = s.hear(client).contains(&"PUBACK 1 Not authorized".to_owned());
        assert_eq!(is_denied, !is_allowed, "{topic}");
    }
    assert!(!s.is_closed(client));
}

#[test]
fn a_renewal_without_rules_leaves_those_of_the_files() {
    let mut s = Script::new(config(closed()));
    let client = join(&mut s, "c", &[("allow", "publish", "a")]);
    renew(&mut s, client, &[]);
    s.hear(client);
    s.publish_qos(client, "a", "", 1, 1);
    assert_eq!(s.hear(client), ["PUBACK 1 Not authorized"]);
}
