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
    assert!(one.shares_profile(&two));
    let (anna, ben) = (of(&mut profiles, &user("3", "anna")), of(&mut profiles, &user("4", "ben")));
    assert!(anna.shares_profile(&ben));
    assert!(!one.shares_profile(&anna));
    assert_eq!(std::mem::size_of::<access::Holder>(), 16, "a session is to be small");
}

#[test]
fn a_name_that_is_kept_from_patterns_has_a_profile_of_its_own() {
    let rules = rules(acl("pattern a/%c\n"));
    let mut profiles = Profiles::new(&rules);
    let (plain, wild) = (profiles.holder(&client("1")), profiles.holder(&client("+")));
    assert!(!plain.shares_profile(&wild));
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

#[test]
fn profiles_that_nobody_has_are_let_go() {
    let text: String = (0..10_000).map(|at| format!("user u{at}\ntopic a\n")).collect();
    let rules = rules(acl(&text));
    let mut profiles = Profiles::new(&rules);
    let kept: Vec<_> = (0..100).map(|at| profiles.holder(&user("c", &format!("u{at}")))).collect();
    for at in 100..10_000 {
        profiles.holder(&user("c", &format!("u{at}")));
        assert!(profiles.len() <= 201, "{} after {at}", profiles.len());
    }
    let again = profiles.holder(&user("d", "u7"));
    assert!(again.shares_profile(&kept[7]), "those that somebody has stay");
}
