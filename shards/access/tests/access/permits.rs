//! Rules that a client brings: one more layer, for it alone.

use std::sync::Arc;

use access::{Action, Ask, Fallback, Memory, Permit, Permits, Profiles, Rules, Who};

use crate::{acl, client, rules, toml};

fn allow<'a>(actions: &[&'a str], topics: &[&'a str]) -> Permit<'a> {
    Permit { is_denial: false, actions: actions.to_vec(), topics: topics.to_vec() }
}

fn deny<'a>(actions: &[&'a str], topics: &[&'a str]) -> Permit<'a> {
    Permit { is_denial: true, ..allow(actions, topics) }
}

fn permits(permits: &[Permit<'_>]) -> Arc<Permits> {
    Arc::new(Permits::new("the token's claim `permissions`", permits).unwrap())
}

fn why(rules: &Rules, who: Who<'_>, action: Action, topic: &str) -> String {
    let holder = rules.holder(&who);
    holder.explain(&holder.check(&Ask::new(action, topic))).to_string()
}

#[test]
fn they_open_what_is_not_listed_and_are_named() {
    let rules = rules(acl("topic read news/#\n"));
    let own = permits(&[allow(&["publish", "retain"], &["a/%c/#", "b"]), allow(&["read"], &["c/${user}"])]);
    let who = Who { user: Some("u"), permits: Some(&own), ..client("id") };
    assert_eq!(
        why(&rules, who, Action::Publish, "a/id/x"),
        "allowed: allow publish, retain on a/%c/#, b (the token's claim `permissions`)"
    );
    assert!(why(&rules, who, Action::Receive, "c/u").starts_with("allowed: allow read on"));
    assert!(
        why(&rules, who, Action::Publish, "a/other/x").starts_with("denied: no rule about publish matches")
    );
    assert!(
        why(&rules, who, Action::Will, "b").starts_with("denied: no rule about will matches"),
        "publish is not will"
    );
    assert!(why(&rules, client("id"), Action::Publish, "b").starts_with("denied"), "others bring nothing");
}

#[test]
fn a_denial_of_either_side_counts() {
    let layer = toml(
        "everyone = \"r\"\n[roles.r]\nrules = [ { allow = \"readwrite\", topics = \"a/#\" }, { deny = \"write\", topics = \"a/x\" } ]\n",
    );
    let rules = rules(layer);
    let own = permits(&[allow(&["readwrite"], &["a/#"]), deny(&["write", "receive"], &["a/y"])]);
    let who = Who { permits: Some(&own), ..client("id") };
    assert!(why(&rules, who, Action::Publish, "a/x").contains("rules.toml:3"));
    assert_eq!(
        why(&rules, who, Action::Publish, "a/y"),
        "denied: deny write, receive on a/y (the token's claim `permissions`)"
    );
    assert!(rules.holder(&who).checks_receive() && !rules.holder(&client("id")).checks_receive());
}

#[test]
fn a_name_with_slashes_opens_nothing() {
    let rules = Rules::builder(Fallback::Deny).build();
    let own = permits(&[allow(&["write"], &["a/%c"]), allow(&["read"], &["b/${client_id}/#"])]);
    for id in ["x/y", "+", "#", "", "$x"] {
        let who = Who { permits: Some(&own), ..client(id) };
        let topic = format!("a/{id}").replace(['+', '#'], "z");
        assert!(why(&rules, who, Action::Publish, &topic).starts_with("denied"), "{id}");
    }
}

#[test]
fn holders_with_the_same_roles_and_other_rules_do_not_share_verdicts() {
    let rules = Rules::builder(Fallback::Deny).build();
    let mut profiles = Profiles::new(&rules);
    let (a, b) = (permits(&[allow(&["publish"], &["a"])]), permits(&[allow(&["publish"], &["b"])]));
    let holders = [None, Some(&a), None, Some(&b), Some(&a)]
        .map(|own| (own, profiles.holder(&Who { permits: own, ..client("id") })));
    let mut memory = Memory::new();
    for _ in 0..2 {
        for (own, holder) in &holders {
            let may = |memory: &mut Memory, topic| {
                memory.check(holder, &Ask::new(Action::Publish, topic)).is_allowed
            };
            assert_eq!(may(&mut memory, "a"), *own == Some(&a));
            assert_eq!(may(&mut memory, "b"), *own == Some(&b));
        }
    }
}

#[test]
fn rules_that_hear_them_are_not_open() {
    let builder = || Rules::builder(Fallback::Allow);
    assert!(builder().hears_permits(false).build().are_open());
    assert!(!builder().hears_permits(true).build().are_open());
}

#[test]
fn what_is_wrong_with_them_is_said() {
    for (permit, said) in [
        (allow(&["fly"], &["a"]), "`fly` is no action"),
        (allow(&[], &["a"]), "names no action"),
        (allow(&["read"], &[]), "names no topic"),
        (allow(&["read"], &["a/#/b"]), "is no topic filter"),
        (allow(&["read"], &["${nonsense}"]), "is no variable"),
        (allow(&["read"], &["$share/g/a"]), "the filter inside"),
    ] {
        let error = Permits::new("claim", &[permit]).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    let many = vec![allow(&["read"], &["a"]); 257];
    assert!(Permits::new("claim", &many[..256]).is_ok() && Permits::new("claim", &many).is_err());
    let long = "a".repeat(8_200);
    assert!(Permits::new("claim", &[allow(&["read"], &[&long])]).is_ok());
    assert!(Permits::new("claim", &[allow(&["read"], &[&long, &long])]).is_err());
}
