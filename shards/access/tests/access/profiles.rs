//! What holders share, and what may be remembered for all of them.

use access::{Action, Ask, Profiles, Rules, Who};

use crate::{acl, client, rules, toml, user};

const TEXT: &str = "everyone = \"all\"\n[users]\nanna = \"more\"\nben = [\"all\", \"more\"]\n\
    [roles.all]\nrules = [ { allow = \"write\", topics = [\"a\", \"c/${client_id}\"] } ]\n\
    [roles.more]\nrules = [ { allow = \"write\", topics = \"b\" } ]\n";

#[test]
fn holders_with_the_same_roles_share_a_profile() {
    let rules = rules(toml(TEXT));
    let mut profiles = Profiles::new(&rules);
    let of = |profiles: &mut Profiles, who: &Who<'_>| profiles.holder(who);
    let (one, two) = (of(&mut profiles, &client("1")), of(&mut profiles, &client("2")));
    assert_eq!(one.profile_id(), two.profile_id());
    let (anna, ben) = (of(&mut profiles, &user("3", "anna")), of(&mut profiles, &user("4", "ben")));
    assert_eq!(anna.profile_id(), ben.profile_id());
    assert_ne!(one.profile_id(), anna.profile_id());
    assert_eq!(std::mem::size_of::<access::Holder>(), 16, "a session is to be small");
}

#[test]
fn a_name_that_is_kept_from_patterns_has_a_profile_of_its_own() {
    let rules = rules(acl("pattern a/%c\n"));
    let mut profiles = Profiles::new(&rules);
    assert_ne!(profiles.holder(&client("1")).profile_id(), profiles.holder(&client("+")).profile_id());
}

#[test]
fn a_verdict_is_personal_where_a_variable_was_looked_at() {
    let rules = rules(toml(TEXT));
    let holder = rules.holder(&client("1"));
    let check = |topic| holder.check(&Ask::new(Action::Publish, topic));
    assert!(!check("a").is_personal);
    assert!(!check("x").is_personal);
    assert!(check("c/1").is_personal && check("c/1").is_allowed);
    assert!(check("c/2").is_personal && !check("c/2").is_allowed);
}

#[test]
fn a_holder_knows_whether_its_rules_are_those_of_now() {
    let before = rules(toml(TEXT));
    let after = rules(toml(TEXT));
    let holder = before.holder(&client("1"));
    assert!(holder.is_of(&before) && holder.is_of(&before.clone()));
    assert!(!holder.is_of(&after) && !holder.is_of(&before.clone().with_shadow(after.clone())));
    drop(before);
    assert!(holder.check(&Ask::new(Action::Publish, "a")).is_allowed, "it goes on until it is replaced");
}

#[test]
fn rules_go_to_other_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Rules>();
    is_shared::<access::Holder>();
}
