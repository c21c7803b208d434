//! Rules that are only tried out.

use access::{Action, Ask, Fallback, Rules};

use crate::{acl, client, rules, toml};

#[test]
fn a_shadow_speaks_where_it_differs_and_changes_nothing() {
    let shadow = rules(acl("topic a/#\ntopic deny a/b\n"));
    let rules = Rules::builder(Fallback::Allow).build().with_shadow(shadow);
    let holder = rules.holder(&client("c"));
    let agreed = holder.check(&Ask::new(Action::Publish, "a/x"));
    assert!(agreed.is_allowed && agreed.shadow.is_none());
    assert_eq!(holder.explain_shadow(&agreed), None);
    let denied = holder.check(&Ask::new(Action::Publish, "a/b"));
    assert!(denied.is_allowed, "the shadow does not count");
    assert_eq!(
        holder.explain_shadow(&denied).unwrap().to_string(),
        "denied: topic deny a/b (acl:2, mosquitto ACL)"
    );
    assert!(holder.checks_receive(), "or the shadow would never be asked about deliveries");
    assert!(!rules.are_open());
}

#[test]
fn a_shadow_has_roles_and_variables_of_its_own() {
    let text =
        "everyone = \"r\"\n[roles.r]\nrules = [ { allow = \"write\", topics = \"c/${client_id}\" } ]\n";
    let rules = rules(acl("topic write c/#\n")).with_shadow(rules(toml(text)));
    let ask = Ask::new(Action::Publish, "c/1");
    let (own, other) = (rules.holder(&client("1")).check(&ask), rules.holder(&client("2")).check(&ask));
    assert!(own.is_allowed && own.shadow.is_none() && own.is_personal);
    assert!(other.is_allowed && other.shadow.is_some_and(|shadow| !shadow.is_allowed));
}
