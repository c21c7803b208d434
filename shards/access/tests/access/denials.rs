//! Every kind of denial: what decided is named, and where it is written.

use std::sync::Arc;

use access::{
    Action::{self, Admin, Publish, Receive, Retain, Subscribe, Will},
    Ask, DefaultRule, Fallback, Limit, Permit, Permits, Rules, Who,
};

use crate::{acl, client, rules, toml, user};

/// What is asked, and the whole sentence that explains the answer.
struct Case {
    kind: &'static str,
    rules: Rules,
    client_id: &'static str,
    ask: Ask<'static>,
    says: &'static str,
}

fn case(kind: &'static str, rules: Rules, action: Action, topic: &'static str, says: &'static str) -> Case {
    Case { kind, rules, client_id: "c", ask: Ask::new(action, topic), says }
}

fn configured() -> DefaultRule {
    DefaultRule {
        fallback: Fallback::Deny,
        text: "access.default = \"deny\"".into(),
        file: Some("broker.toml".into()),
        line: Some(7),
        layer: "configuration".into(),
    }
}

/// Everybody has a role with a QoS limit.
const LIMITED: &str = "default = \"deny\"\neveryone = [\"slow\", \"basic\"]\n[roles.basic]\nqos_max = 1\n\
    rules = [\n{ allow = \"publish\", topics = \"a/#\" },\n{ deny = \"publish\", topics = \"a/x\" },\n]\n\
    [roles.slow]\nqos_max = 0\npublish_bytes_per_s = 100\n";

fn limited() -> Rules {
    rules(toml(LIMITED))
}

fn of_files() -> Vec<Case> {
    vec![
        case(
            "a rule",
            limited(),
            Publish,
            "a/x",
            "denied: role basic: { deny = \"publish\", topics = \"a/x\" } (rules.toml:7, rules)",
        ),
        case(
            "the default of a file of rules",
            limited(),
            Publish,
            "b",
            "denied: no rule about publish matches, and the default is to deny: default = \"deny\" (rules.toml:1, rules)",
        ),
        case(
            "a retained message, where the message itself is allowed",
            limited(),
            Retain,
            "a/b",
            "denied: no rule about retain matches, and the default is to deny: default = \"deny\" (rules.toml:1, rules)",
        ),
        case(
            "a will",
            limited(),
            Will,
            "a/b",
            "denied: no rule about will matches, and the default is to deny: default = \"deny\" (rules.toml:1, rules)",
        ),
        case(
            "administration",
            limited(),
            Admin,
            "reload",
            "denied: no rule about admin matches, and the default never allows $SYS or administration (built in)",
        ),
        case(
            "$SYS",
            Rules::builder(Fallback::Allow).build(),
            Subscribe,
            "$SYS/#",
            "denied: no rule about subscribe matches, and the default never allows $SYS or administration (built in)",
        ),
        case(
            "a rule of mosquitto's file",
            rules(acl("topic deny a\n")),
            Receive,
            "a",
            "denied: topic deny a (acl:1, mosquitto ACL)",
        ),
        case(
            "what mosquitto's file does not list",
            rules(acl("topic read a\n")),
            Receive,
            "b",
            "denied: no rule about receive matches, and a mosquitto ACL file denies what it does not list (acl, \
             mosquitto ACL)",
        ),
        Case {
            client_id: "+",
            ..case(
                "a client id that would stand for others",
                rules(acl("# none\npattern read x/%u\npattern write a/%c\n")),
                Publish,
                "a/+",
                "denied: the client id or the user name has `+` or `#`, which a mosquitto ACL file with patterns denies: \
                 pattern read x/%u (acl:2, mosquitto ACL)",
            )
        },
    ]
}

fn of_defaults() -> Vec<Case> {
    let with_listener = |listener| Rules::builder(Fallback::Allow).listener("", listener).build();
    vec![
        case(
            "the default of the configuration",
            Rules::builder(configured()).build(),
            Publish,
            "a",
            "denied: no rule about publish matches, and the default is to deny: access.default = \"deny\" \
             (broker.toml:7, configuration)",
        ),
        case(
            "the default of the listener",
            with_listener(DefaultRule { text: "access_default = \"deny\"".into(), ..configured() }),
            Publish,
            "a",
            "denied: no rule about publish matches, and the default is to deny: access_default = \"deny\" \
             (broker.toml:7, configuration)",
        ),
        case(
            "the default of the listener in a file of rules",
            rules(toml("default = \"allow\"\n[listeners]\n\"\" = \"deny\"\n")),
            Publish,
            "a",
            "denied: no rule about publish matches, and the default is to deny: listeners.\"\" = \"deny\" (rules.toml:3, rules)",
        ),
        case(
            "a default that nobody has written",
            Rules::builder(Fallback::Deny).build(),
            Publish,
            "a",
            "denied: no rule about publish matches, and the default is to deny: default = \"deny\" (built in)",
        ),
    ]
}

#[test]
fn every_denial_names_what_decided_and_where() {
    for Case { kind, rules, client_id, ask, says } in of_files().into_iter().chain(of_defaults()) {
        let holder = rules.holder(&client(client_id));
        let verdict = holder.check(&ask);
        assert_eq!(holder.explain(&verdict).to_string(), says, "{kind}");
        // The same rules, only tried out.
        let tried = Rules::builder(Fallback::Allow).build().with_shadow(rules);
        let holder = tried.holder(&client(client_id));
        let verdict = holder.check(&ask);
        let shadow = holder.explain_shadow(&verdict).map(|explained| explained.to_string());
        let needs_rule = ask.action == Admin || ask.topic.starts_with('$');
        assert_eq!(shadow.as_deref(), Some(says).filter(|_| !needs_rule), "{kind}, tried out");
    }
}

#[test]
fn a_denial_of_a_client_s_own_rules_names_their_source() {
    for source in ["the token's claim `permissions`", "the answer's `permissions`"] {
        let deny = Permit { is_denial: true, actions: vec!["publish"], topics: vec!["a"] };
        let permits = Arc::new(Permits::new(source, &[deny]).unwrap());
        let rules = Rules::builder(Fallback::Allow).hears_permits(true).build();
        let holder = rules.holder(&Who { permits: Some(&permits), ..client("c") });
        let verdict = holder.check(&Ask::new(Publish, "a"));
        assert_eq!(holder.explain(&verdict).to_string(), format!("denied: deny publish on a ({source})"));
    }
}

#[test]
fn a_qos_above_the_limit_names_the_role_that_sets_it() {
    for action in [Publish, Will] {
        let text = LIMITED.replace("allow = \"publish\"", "allow = \"write\"");
        let rules = rules(toml(&text));
        let holder = rules.holder(&client("c"));
        let verdict = holder.check(&Ask { qos: 2, ..Ask::new(action, "a/b") });
        assert_eq!(
            holder.explain(&verdict).to_string(),
            "denied: the QoS is higher than the client's roles allow: role basic: qos_max = 1 (rules.toml:4, rules)"
        );
        assert!(holder.check(&Ask { qos: 1, ..Ask::new(action, "a/b") }).is_allowed);
    }
}

#[test]
fn a_qos_above_the_limit_does_not_hide_that_the_topic_is_denied() {
    let rules = limited();
    let holder = rules.holder(&client("c"));
    for (topic, retain, part) in [
        ("b", false, "no rule about publish matches"),
        ("a/x", false, "{ deny = \"publish\", topics = \"a/x\" } (rules.toml:7, rules)"),
        ("a/b", true, "no rule about retain matches"),
        ("$SYS/x", false, "never allows $SYS"),
    ] {
        let verdict = holder.check(&Ask { qos: 2, retain, ..Ask::new(Publish, topic) });
        let said = holder.explain(&verdict).to_string();
        assert!(!verdict.is_allowed && said.contains(part), "{topic}: {said}");
    }
}

#[test]
fn each_limit_names_the_role_that_sets_it() {
    let text = "everyone = [\"a\", \"b\"]\n[roles.a]\nqos_max = 1\npublish_messages_per_s = 5\npublish_bytes_per_s = 5\n\
        [roles.b]\npublish_messages_per_s = 6\nreceive_messages_per_s = 7\nreceive_bytes_per_s = 0x10\n";
    let rules = rules(toml(text));
    let holder = rules.holder(&user("c", "anna"));
    let places = Limit::ALL.map(|limit| holder.limit_place(limit).unwrap().to_string());
    assert_eq!(
        places,
        [
            "role a: qos_max = 1 (rules.toml:3, rules)",
            "role b: publish_messages_per_s = 6 (rules.toml:7, rules)",
            "role a: publish_bytes_per_s = 5 (rules.toml:5, rules)",
            "role b: receive_messages_per_s = 7 (rules.toml:8, rules)",
            "role b: receive_bytes_per_s = 16 (rules.toml:9, rules)",
        ]
    );
    let unlimited = Rules::builder(Fallback::Deny).build();
    assert_eq!(unlimited.holder(&client("c")).limit_place(Limit::QosMax), None);
}

#[test]
fn listeners_with_different_defaults_are_told_apart() {
    let of = |line| DefaultRule { line: Some(line), ..configured() };
    let rules = Rules::builder(Fallback::Allow).listener("a", of(1)).listener("b", of(2)).build();
    let mut profiles = access::Profiles::new(&rules);
    for (listener, place) in [("a", "broker.toml:1"), ("b", "broker.toml:2"), ("a#2", "broker.toml:1")] {
        let holder = profiles.holder(&Who { listener, ..client("c") });
        let said = holder.explain(&holder.check(&Ask::new(Publish, "t"))).to_string();
        assert!(said.contains(place), "{listener}: {said}");
    }
}
