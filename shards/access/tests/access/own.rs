//! Our own rules, sentence by sentence.

use access::{
    Action::{Admin, Publish, Receive, Retain, Subscribe, Will},
    Ask, Fallback, Rules, Who,
};

use crate::{acl, allows, client, rules, toml, user, why};

fn everyone(rules_text: &str) -> Rules {
    rules(toml(&format!("everyone = \"r\"\n[roles.r]\nrules = [\n{rules_text}\n]\n")))
}

#[test]
fn a_denial_counts_more_than_a_permission_of_any_role() {
    let rules = rules(toml(
        "everyone = [\"all\", \"less\"]\n\
         [roles.all]\nrules = [ { allow = \"readwrite\", topics = \"#\" } ]\n\
         [roles.less]\nrules = [ { deny = \"publish\", topics = [\"a/#\", \"b\"] } ]\n",
    ));
    for (topic, allowed) in [("a", false), ("a/x", false), ("b", false), ("b/x", true), ("c", true)] {
        assert_eq!(allows(&rules, client("c"), Publish, topic), allowed, "{topic}");
    }
    assert_eq!(
        why(&rules, client("c"), Publish, "b"),
        "denied: role less: { deny = \"publish\", topics = [\"a/#\", \"b\"] } (rules.toml:5, rules)"
    );
    assert_eq!(
        why(&rules, client("c"), Subscribe, "$x"),
        "denied: no rule about subscribe matches, and the default is to deny: default = \"deny\" (built in)"
    );
}

#[test]
fn each_way_of_having_a_role_gives_it() {
    let text = "authenticated = \"proved\"\nanonymous = \"guest\"\n\
        [users]\nanna = \"u\"\n[groups]\nplant = \"g\"\n[members]\nplant = [\"ben\"]\n\
        [clients]\nc1 = \"c\"\n\"d-*\" = \"d\"\n[certificates]\n\"*.example\" = \"n\"\n\
        [addresses]\n\"10.0.0.0/8\" = \"a\"\n";
    let names = ["proved", "guest", "u", "g", "c", "d", "n", "a"];
    let roles: String = names
        .iter()
        .map(|name| format!("[roles.{name}]\nrules = [ {{ allow = \"publish\", topics = \"{name}\" }} ]\n"))
        .collect();
    let rules = rules(toml(&format!("{text}{roles}")));
    let has = |who: Who<'_>| -> Vec<&str> {
        names.into_iter().filter(|topic| allows(&rules, who, Publish, topic)).collect()
    };
    assert_eq!(has(client("x")), ["guest"]);
    assert_eq!(has(user("x", "carl")), ["proved"]);
    assert_eq!(has(user("x", "anna")), ["proved", "u"]);
    assert_eq!(has(Who { is_authenticated: false, ..user("x", "anna") }), ["guest"], "nobody has proved it");
    assert_eq!(has(user("x", "ben")), ["proved", "g"]);
    assert_eq!(has(Who { groups: &["plant"], ..user("x", "carl") }), ["proved", "g"]);
    assert_eq!(has(Who { roles: &["u", "unknown"], ..user("x", "carl") }), ["proved", "u"]);
    assert_eq!(has(client("c1")), ["guest", "c"]);
    assert_eq!(has(client("d-1")), ["guest", "d"]);
    assert_eq!(has(Who { certificate_names: &["x", "gw.example"], ..client("x") }), ["guest", "n"]);
    assert_eq!(has(Who { address: Some("10.1.1.1".parse().unwrap()), ..client("x") }), ["guest", "a"]);
}

#[test]
fn a_filter_is_allowed_where_one_permission_covers_it_and_no_denial_does() {
    let rules = everyone(
        "{ allow = \"subscribe\", topics = [\"a/#\", \"b/+/c\"] }, { deny = \"subscribe\", topics = [\"a/secret/#\"] }",
    );
    for (filter, allowed) in [
        ("a", true),
        ("a/#", true),
        ("a/+/x", true),
        ("a/secret", false),
        ("a/secret/+", false),
        ("b/+/c", true),
        ("b/x/c", true),
        ("b/#", false),
        ("b/+/+", false),
        ("#", false),
        ("+", false),
        ("$share/g/a/#", true),
        ("$share/g/a/secret/x", false),
        ("$share/g", false),
    ] {
        assert_eq!(allows(&rules, client("c"), Subscribe, filter), allowed, "{filter}");
    }
    assert!(!allows(&rules, client("c"), Receive, "a/secret/x"), "a/# would bring it otherwise");
    assert!(allows(&rules, client("c"), Receive, "a/x"));
    assert!(rules.holder(&client("c")).checks_receive());
}

#[test]
fn deliveries_are_checked_where_a_role_denies_some() {
    let text = "[roles.a]\nrules = [ { allow = \"read\", topics = \"#\" }, { deny = \"write\", topics = \"#\" } ]\n\
        [roles.b]\nrules = [ { deny = \"receive\", topics = \"x\" } ]\n[clients]\na = \"a\"\nb = [\"a\", \"b\"]\n";
    let rules = rules(toml(text));
    assert!(!rules.holder(&client("a")).checks_receive());
    assert!(rules.holder(&client("b")).checks_receive());
    assert!(allows(&rules, client("b"), Subscribe, "x"), "`receive` is about deliveries alone");
    assert!(!allows(&rules, client("b"), Receive, "x"));
}

#[test]
fn retained_messages_and_wills_need_their_own_permission_and_that_to_publish() {
    let rules = everyone(
        "{ allow = \"publish\", topics = \"a\" }, { allow = [\"retain\", \"will\"], topics = [\"a\", \"b\"] }, { allow = \"publish\", topics = \"c\" }",
    );
    let ask = |action, topic, retain| {
        rules.holder(&client("c")).check(&Ask { retain, ..Ask::new(action, topic) }).is_allowed
    };
    for (topic, plain, retained, will) in
        [("a", true, true, true), ("b", false, false, false), ("c", true, false, false)]
    {
        assert_eq!(ask(Publish, topic, false), plain, "{topic}");
        assert_eq!(ask(Publish, topic, true), retained, "{topic}");
        assert_eq!(ask(Retain, topic, false), retained, "{topic}");
        assert_eq!(ask(Will, topic, false), will, "{topic}");
        assert_eq!(ask(Will, topic, true), will && retained, "{topic}");
    }
}

#[test]
fn variables_are_single_levels_where_they_open_something() {
    let rules = everyone(
        "{ allow = \"readwrite\", topics = [\"c/${client_id}/#\", \"u/${user}\", \"n/${cn}\", \"%c/%u\", \"t-${client_id}\"] }",
    );
    let both = |id: &'static str, name: &'static str| Who { certificate_names: &["box"], ..user(id, name) };
    for (id, name, topic, allowed) in [
        ("1", "anna", "c/1", true),
        ("1", "anna", "c/1/x", true),
        ("1", "anna", "c/2", false),
        ("1", "anna", "u/anna", true),
        ("1", "anna", "n/box", true),
        ("1", "anna", "1/anna", true),
        ("1", "anna", "t-1", true),
        ("1/x", "anna", "c/1/x", false),
        ("$SYS", "x", "$SYS/x", false),
        ("", "x", "c//y", false),
    ] {
        assert_eq!(allows(&rules, both(id, name), Publish, topic), allowed, "{id} {name} {topic}");
    }
    assert!(!allows(&rules, client("1"), Publish, "u/"), "there is no user");
    for (id, filter, allowed) in [
        ("1", "c/1/#", true),
        ("1", "c/+/#", false),
        ("+", "c/+/#", false),
        ("#", "c/#", false),
        ("+", "t-+", false),
    ] {
        assert_eq!(allows(&rules, client(id), Subscribe, filter), allowed, "{id} {filter}");
    }
}

#[test]
fn variables_close_whatever_they_spell() {
    let rules = everyone(
        "{ allow = \"write\", topics = \"#\" }, { deny = \"write\", topics = \"c/${client_id}/x\" }",
    );
    for (id, topic, allowed) in
        [("1", "c/1/x", false), ("1", "c/2/x", true), ("1/2", "c/1/2/x", false), ("", "c//x", false)]
    {
        assert_eq!(allows(&rules, client(id), Publish, topic), allowed, "{id} {topic}");
    }
}

#[test]
fn the_default_is_that_of_the_listener_and_opens_no_sys_and_no_administration() {
    let layer = toml("default = \"allow\"\n[listeners]\n\"tcp://a:1\" = \"deny\"\n");
    let rules = Rules::builder(Fallback::Deny).listener("tcp://b:2", Fallback::Deny).layer(layer).build();
    // Of several addresses of one name, and after it was gone and came back, the others have numbers.
    let listeners = [
        ("tcp://a:1", false),
        ("tcp://a:1#2", false),
        ("tcp://a:1#17", false),
        ("tcp://b:2", false),
        ("tcp://c:3", true),
        ("tcp://c:3#2", true),
    ];
    for (listener, allowed) in listeners {
        let who = Who { listener, ..client("c") };
        assert_eq!(allows(&rules, who, Publish, "a"), allowed, "{listener}");
        assert_eq!(allows(&rules, who, Subscribe, "#"), allowed, "{listener}");
        for (action, topic) in
            [(Subscribe, "$SYS/#"), (Receive, "$SYS/x"), (Subscribe, "$share/g/$SYS/#"), (Admin, "reload")]
        {
            assert!(!allows(&rules, who, action, topic), "{listener} {action} {topic}");
        }
        assert!(!rules.holder(&who).checks_receive());
    }
    assert!(!rules.are_open());
    assert!(Rules::builder(Fallback::Allow).build().are_open());
    assert!(!Rules::builder(Fallback::Deny).build().are_open());
}

#[test]
fn administration_needs_a_rule_for_it() {
    let rules =
        everyone("{ allow = \"readwrite\", topics = \"#\" }, { allow = \"admin\", topics = \"sessions/#\" }");
    assert!(allows(&rules, client("c"), Admin, "sessions/close"));
    assert!(!allows(&rules, client("c"), Admin, "reload"));
}

#[test]
fn limits_are_the_highest_of_the_roles_and_a_higher_qos_is_denied() {
    let rules = rules(toml(
        "[roles.a]\nqos_max = 0\npublish_messages_per_s = 10\nreceive_bytes_per_s = 0x10\n\
         rules = [ { allow = \"readwrite\", topics = \"#\" } ]\n\
         [roles.b]\nqos_max = 1\npublish_messages_per_s = 5\n[clients]\na = \"a\"\nab = [\"b\", \"a\"]\n",
    ));
    let (a, ab, none) = (rules.holder(&client("a")), rules.holder(&client("ab")), rules.holder(&client("x")));
    assert_eq!(ab.limits().qos_max, Some(1));
    assert_eq!(ab.limits().publish_messages_per_s.unwrap().get(), 10);
    assert_eq!(ab.limits().receive_bytes_per_s.unwrap().get(), 16);
    assert_eq!(*none.limits(), access::Limits::default());
    let at_qos =
        |holder: &access::Holder, action, qos| holder.check(&Ask { qos, ..Ask::new(action, "t") }).is_allowed;
    for (qos, by_a, by_ab) in [(0, true, true), (1, false, true), (2, false, false)] {
        assert_eq!((at_qos(&a, Publish, qos), at_qos(&ab, Publish, qos)), (by_a, by_ab), "QoS {qos}");
        assert!(at_qos(&a, Subscribe, qos), "a subscription is granted with a lower QoS");
    }
}

#[test]
fn layers_add_up_and_a_denial_of_any_counts() {
    let own = toml(
        "everyone = \"r\"\n[roles.r]\nrules = [ { allow = \"publish\", topics = \"own\" }, { deny = \"readwrite\", topics = \"shut/#\" } ]\n",
    );
    let rules = Rules::builder(Fallback::Allow)
        .layer(acl("topic shut/#\ntopic open\ntopic deny own/no\n"))
        .layer(own)
        .build();
    for (action, topic, allowed) in [
        (Publish, "open", true),
        (Publish, "own", true),
        (Publish, "shut/x", false),
        (Subscribe, "shut/x", false),
        (Subscribe, "x", true),
        (Publish, "own/no", false),
        (Publish, "elsewhere", false),
    ] {
        assert_eq!(allows(&rules, client("c"), action, topic), allowed, "{action} {topic}");
    }
}

#[test]
fn of_many_roles_with_one_filter_only_those_of_the_client_count() {
    let mut text = "[clients]\na = \"r7\"\nb = [\"r7\", \"r40\"]\nc = [\"r0\", \"r99\"]\n".to_owned();
    for role in 0..100 {
        let word = if role == 40 { "deny" } else { "allow" };
        let action = if role % 2 == 0 { "write" } else { "read" };
        let rule = format!("{{ {word} = \"{action}\", topics = [\"x/#\", \"r/{role}\"] }}");
        text.push_str(&format!("[roles.r{role}]\nrules = [ {rule} ]\n"));
    }
    let rules = rules(toml(&text));
    for (id, reads, writes) in
        [("a", true, false), ("b", true, false), ("c", true, true), ("d", false, false)]
    {
        assert_eq!(allows(&rules, client(id), Receive, "x/1"), reads, "{id}");
        assert_eq!(allows(&rules, client(id), Publish, "x/1"), writes, "{id}");
    }
    assert!(why(&rules, client("b"), Publish, "x/1").starts_with("denied: role r40: "));
    assert!(why(&rules, client("c"), Publish, "x/1").starts_with("allowed: role r0: "));
    assert!(allows(&rules, client("c"), Receive, "r/99") && !allows(&rules, client("c"), Receive, "r/98"));
}

#[test]
fn levels_are_told_apart_by_every_byte() {
    let names = [
        "1234567",
        "12345678",
        "123456780",
        "123456781",
        "12345678-long-1",
        "12345678-long-2",
        "1",
        "",
        "ä",
        "äö",
    ];
    for name in names {
        let rules = everyone(&format!(
            "{{ allow = \"write\", topics = \"a/{name}\" }}, {{ allow = \"write\", topics = \"a/zz\" }}"
        ));
        for other in names {
            assert_eq!(
                allows(&rules, client("c"), Publish, &format!("a/{other}")),
                name == other,
                "{name} {other}"
            );
        }
        assert!(!allows(&rules, client("c"), Publish, &format!("a/{name}\0")), "{name}");
    }
    let all: Vec<String> = names.iter().map(|name| format!("\"a/{name}\"")).collect();
    let rules = everyone(&format!("{{ allow = \"write\", topics = [{}] }}", all.join(", ")));
    assert!(names.iter().all(|name| allows(&rules, client("c"), Publish, &format!("a/{name}"))));
    assert!(!allows(&rules, client("c"), Publish, "a/12345678-long-3"));
}
