//! mosquitto's ACL file, sentence by sentence.

use access::{
    Action::{self, Admin, Publish, Receive, Retain, Subscribe, Will},
    Rules,
};

use crate::{acl, allows, client, rules, user, why};

/// Rows of: may `who` do that with the topic?
#[track_caller]
fn table(rules: &Rules, rows: &[(&str, Option<&str>, Action, &str, bool)]) {
    for (client_id, name, action, topic, expected) in rows {
        let who = access::Who { user: *name, ..client(client_id) };
        assert_eq!(allows(rules, who, *action, topic), *expected, "{client_id} {name:?} {action} {topic}");
    }
}

#[test]
fn the_word_for_the_access_says_what_it_says() {
    let rules =
        rules(acl("topic read r/#\ntopic write w/#\ntopic readwrite rw/#\ntopic both/#\ntopic read\n"));
    for (topic, reads, writes) in [
        ("r/x", true, false),
        ("w/x", false, true),
        ("rw", true, true),
        ("both/x", true, true),
        ("read", true, true),
    ] {
        assert_eq!(allows(&rules, client("c"), Receive, topic), reads, "{topic}");
        for action in [Publish, Retain, Will] {
            assert_eq!(allows(&rules, client("c"), action, topic), writes, "{action} {topic}");
        }
    }
}

#[test]
fn what_is_not_listed_is_denied_and_every_subscribe_is_granted() {
    let rules = rules(acl("topic read a\n"));
    table(
        &rules,
        &[
            ("c", None, Receive, "a", true),
            ("c", None, Receive, "b", false),
            ("c", None, Publish, "a", false),
            ("c", None, Subscribe, "b/#", true),
            ("c", None, Admin, "a", false),
        ],
    );
    assert_eq!(
        why(&rules, client("c"), Receive, "b"),
        "denied: no rule about receive matches, and a mosquitto ACL file denies what it does not list (acl, mosquitto ACL)"
    );
    assert!(rules.holder(&client("c")).checks_receive());
}

#[test]
fn entries_belong_to_the_user_line_above_and_those_before_any_to_the_anonymous() {
    let rules = rules(acl("topic a\nuser anna\ntopic b\nuser ben\ntopic c\nuser anna\ntopic d\n"));
    table(
        &rules,
        &[
            ("c", None, Publish, "a", true),
            ("c", None, Publish, "b", false),
            ("c", Some("anna"), Publish, "a", false),
            ("c", Some("anna"), Publish, "b", true),
            ("c", Some("anna"), Publish, "d", true),
            ("c", Some("anna"), Publish, "c", false),
            ("c", Some("ben"), Publish, "c", true),
            ("c", Some("carl"), Publish, "a", false),
        ],
    );
}

#[test]
fn denials_come_first_wherever_they_stand() {
    let rules =
        rules(acl("user a\ntopic x/#\ntopic deny x/secret\nuser b\ntopic deny x/secret\ntopic x/#\n"));
    for name in ["a", "b"] {
        assert!(allows(&rules, user("c", name), Publish, "x/open"));
        assert!(!allows(&rules, user("c", name), Publish, "x/secret"));
    }
    assert_eq!(
        why(&rules, user("c", "a"), Publish, "x/secret"),
        "denied: topic deny x/secret (acl:3, mosquitto ACL)"
    );
    assert_eq!(why(&rules, user("c", "a"), Publish, "x/y"), "allowed: topic x/# (acl:2, mosquitto ACL)");
}

#[test]
fn an_entry_that_does_not_speak_of_the_access_is_passed_over() {
    let rules = rules(acl("topic read a/#\ntopic write a/b\n"));
    table(
        &rules,
        &[
            ("c", None, Receive, "a/b", true),
            ("c", None, Publish, "a/b", true),
            ("c", None, Publish, "a/c", false),
        ],
    );
}

#[test]
fn a_users_entries_come_before_all_patterns() {
    let rules = rules(acl("pattern deny a/%c\npattern b/%c\nuser anna\ntopic a/#\ntopic deny b/#\n"));
    table(
        &rules,
        &[
            ("c", Some("anna"), Publish, "a/c", true),
            ("c", Some("anna"), Publish, "b/c", false),
            ("c", Some("ben"), Publish, "a/c", false),
            ("c", Some("ben"), Publish, "b/c", true),
            ("c", None, Publish, "b/c", true),
            ("d", None, Publish, "b/c", false),
        ],
    );
}

#[test]
fn patterns_are_for_everyone_wherever_they_stand() {
    let rules = rules(acl("user anna\npattern read u/%u/c/%c\ntopic own\n"));
    table(
        &rules,
        &[
            ("1", Some("anna"), Receive, "u/anna/c/1", true),
            ("1", Some("ben"), Receive, "u/ben/c/1", true),
            ("1", Some("ben"), Receive, "u/anna/c/1", false),
            ("1", Some("ben"), Publish, "own", false),
        ],
    );
}

#[test]
fn lines_with_a_user_are_passed_over_without_one() {
    let rules = rules(acl("pattern a/%u\npattern deny b/%u/#\npattern b/#\n"));
    table(
        &rules,
        &[
            ("c", None, Publish, "a/", false),
            ("c", None, Publish, "a/%u", false),
            ("c", None, Publish, "b/x", true),
            ("c", Some("x"), Publish, "b/x", false),
        ],
    );
}

#[test]
fn names_with_wildcards_have_no_patterns() {
    let rules = rules(acl("pattern a/%c\npattern b\nuser x#\ntopic c\n"));
    for (client_id, name) in [("+", None), ("a#", None), ("c", Some("x+")), ("c", Some("x#"))] {
        for topic in ["a/+", "a/b", "b"] {
            let who = access::Who { user: name, ..client(client_id) };
            assert!(!allows(&rules, who, Publish, topic), "{client_id} {name:?} {topic}");
        }
    }
    assert!(allows(&rules, user("c", "x#"), Publish, "c"), "its own entries come before");
    assert!(why(&rules, client("+"), Publish, "b").contains("has `+` or `#`"));
    let without = crate::rules(acl("topic b\n"));
    assert!(allows(&without, client("+"), Publish, "b"), "there are no patterns");
}

#[test]
fn names_stand_where_their_letters_are() {
    let rules = rules(acl("pattern d-%c/x\npattern e/%c/#\ntopic f/%c\n"));
    table(
        &rules,
        &[
            ("1", None, Publish, "d-1/x", true),
            ("1", None, Publish, "d-2/x", false),
            ("1/2", None, Publish, "d-1/2/x", true),
            ("1/2", None, Publish, "e/1/2", true),
            ("1/2", None, Publish, "e/1/2/3", true),
            ("1/2", None, Publish, "e/1", false),
            ("1", None, Publish, "e/12", false),
            ("1", None, Publish, "f/1", false),
            ("1", None, Publish, "f/%c", true),
        ],
    );
}

#[test]
fn a_wildcard_at_the_beginning_opens_no_dollar_topic() {
    let rules = rules(acl("topic #\ntopic +/x\nuser a\ntopic $SYS/#\nuser b\ntopic deny #\ntopic $SYS/+\n"));
    table(
        &rules,
        &[
            ("c", None, Receive, "a/b", true),
            ("c", None, Receive, "$SYS/x", false),
            ("c", Some("a"), Receive, "$SYS/broker/x", true),
            ("c", Some("a"), Receive, "$SYS", true),
            ("c", Some("b"), Receive, "$SYS/x", true),
            ("c", Some("b"), Receive, "x", false),
        ],
    );
}

#[test]
fn comments_spaces_and_line_ends_are_read_as_there() {
    let rules = rules(acl(
        "# topic a\r\n\r\n  user  anna b \r\n topic   read   x y/z  \r\n#\n\ntopic deny x y/z/1\n",
    ));
    table(
        &rules,
        &[
            ("c", Some("anna b"), Receive, "x y/z", true),
            ("c", Some("anna b"), Publish, "x y/z", false),
            ("c", Some("anna"), Receive, "x y/z", false),
            ("c", None, Receive, "a", false),
        ],
    );
}

#[test]
fn a_file_of_comments_denies_everything() {
    let rules = rules(acl("# nothing\n"));
    table(&rules, &[("c", None, Publish, "a", false), ("c", None, Receive, "a", false)]);
}

#[test]
fn levels_count_however_many_there_are() {
    let deep = (0..40).map(|at| format!("l{at}")).collect::<Vec<_>>().join("/");
    let rules = rules(acl(&format!(
        "topic {deep}/end\ntopic {deep}/x/+/#\npattern p/%c/{deep}/end\npattern {deep}/%c/z\n"
    )));
    for (id, topic, allowed) in [
        ("c", format!("{deep}/end"), true),
        ("c", format!("{deep}/end/"), false),
        ("c", deep.clone(), false),
        ("c", format!("{deep}/x/y"), true),
        ("c", format!("{deep}/x/y/z/w"), true),
        ("c", format!("{deep}/x"), false),
        ("a/b/c", format!("p/a/b/c/{deep}/end"), true),
        ("a/b/c", format!("p/a/b/{deep}/end"), false),
        (&deep, format!("p/{deep}/{deep}/end"), true),
        (&deep, format!("{deep}/{deep}/z"), true),
        ("c", format!("{deep}/c/z"), true),
        ("c", "/".repeat(60_000), false),
    ] {
        assert_eq!(allows(&rules, client(id), Publish, &topic), allowed, "{id} {topic}");
    }
}
