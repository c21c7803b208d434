//! What clients may do: each action refused in the words of its version, and rules that change while everybody is here.

use std::sync::Arc;

use access::{Fallback, Rules};
use mqtt::{
    Connect, ConnectProperties, Packet, Publish, QoS, ReasonCode, Subscribe, UserProperties, Version, Will,
    WillProperties,
};
use shard::{Bans, Config, DoorConfig, Event, Grant};

use crate::script::{Client, Script, ack, connect, options, publish};

/// Ada may do what the rules say, and everybody else everything.
pub fn rules(of_ada: &str) -> Rules {
    let text = format!(
        "[users]\nada = \"r\"\nbob = \"all\"\n\
         [roles.all]\nrules = [ {{ allow = [\"readwrite\", \"retain\", \"will\"], topics = \"#\" }} ]\n\
         [roles.r]\nrules = [\n{of_ada}\n]\n"
    );
    let layer = access::own::parse("rules.toml", &text).unwrap();
    Rules::builder(Fallback::Deny).layer(layer).build()
}

pub fn mosquitto(text: &str) -> Rules {
    Rules::builder(Fallback::Deny).layer(access::mosquitto::parse("acl", text).unwrap()).build()
}

/// Whoever comes to door 0 is Ada, and to door 1 Bob.
pub fn config(rules: Option<Rules>) -> Config {
    let door = |user: &str| {
        let grant = Grant { user: Some(user.into()), is_authenticated: true, ..Grant::default() };
        DoorConfig { grant: Arc::new(grant), ..DoorConfig::default() }
    };
    Config { doors: vec![door("ada"), door("bob")], rules, ..Config::default() }
}

pub fn bob(s: &mut Script) -> Client {
    let bob = s.open_by(1, false);
    s.say_connect(bob, &connect("bob"));
    s.hear(bob);
    bob
}

fn change(s: &mut Script, rules: Option<Rules>) {
    for shard in 0..s.shards.len() {
        s.event(shard, Event::Rules(rules.clone()));
    }
    s.settle();
}

#[test]
fn a_publication_that_is_not_allowed_reaches_nobody_and_is_answered() {
    let mut s = Script::new(config(Some(rules("{ allow = \"publish\", topics = \"a/#\" }"))));
    let bob = bob(&mut s);
    s.subscribe(bob, "#", 2);
    s.hear(bob);
    for (version, puback, pubrec) in [
        (Version::V5, "PUBACK 2 Not authorized", "PUBREC 3 Not authorized"),
        (Version::V311, "PUBACK 2", "PUBREC 3"),
        (Version::V31, "PUBACK 2", "PUBREC 3"),
    ] {
        let (ada, _) = s.connect(&Connect { version, ..connect("ada") });
        s.publish(ada, "b", "q0");
        assert!(s.hear(ada).is_empty());
        s.publish_qos(ada, "b", "q1", 1, 2);
        s.publish_qos(ada, "b", "q2", 2, 3);
        assert_eq!(s.hear(ada), [puback, pubrec]);
        if version != Version::V5 {
            // What was not taken is released like anything else.
            s.packet(ada, &Packet::Pubrel(ack(3)));
            assert_eq!(s.hear(ada), ["PUBCOMP 3"]);
        }
        assert!(s.hear(bob).is_empty());
        s.publish_qos(ada, "a/x", "yes", 2, 3);
        assert_eq!(s.hear(ada), ["PUBREC 3"]);
        assert_eq!(s.hear(bob).len(), 1);
        assert!(!s.is_closed(ada));
        s.cut(ada);
    }
    assert_eq!(s.counter("refused_publish_denied"), 9);
}

#[test]
fn a_denial_is_one_line_with_the_rule_and_its_place() {
    let mut s = Script::new(config(Some(rules(
        "{ allow = \"publish\", topics = \"#\" },\n{ deny = \"publish\", topics = \"secret/#\" }",
    ))));
    let ada = s.join("ada");
    for _ in 0..5 {
        s.publish(ada, "secret/x", "");
    }
    let denied: Vec<&String> = s.notes.iter().filter(|note| note.contains("Denied")).collect();
    assert_eq!(denied.len(), 1, "{denied:?}");
    for part in ["\"ada\"", "\"publish\"", "secret/x", "secret/#", "rules.toml:9"] {
        assert!(denied[0].contains(part), "{part} is missing in {}", denied[0]);
    }
    for n in 0..100 {
        s.publish(ada, &format!("secret/{n}"), "");
    }
    assert_eq!(s.notes.iter().filter(|note| note.contains("Denied")).count(), 32);
    assert_eq!(s.counter("refused_publish_denied"), 105);
}

#[test]
fn every_kind_of_denial_names_its_place_in_its_line() {
    let text = "default = \"deny\"\neveryone = \"r\"\n[users]\nbob = \"all\"\n[roles.r]\nqos_max = 1\nrules = [\n\
        { allow = \"publish\", topics = [\"a\", \"w\"] },\n\
        { allow = \"subscribe\", topics = \"in/#\" },\n\
        { deny = \"receive\", topics = \"in/secret\" },\n\
        { deny = \"will\", topics = \"w\" },\n]\n[roles.all]\n\
        rules = [ { allow = \"readwrite\", topics = \"in/#\" } ]\n";
    let layer = access::own::parse("rules.toml", text).unwrap();
    let rules = Rules::builder(Fallback::Allow).layer(layer).build();
    let mut s = Script::new(config(Some(rules)));
    let (ada, bob) = (s.join("ada"), bob(&mut s));
    s.publish(ada, "elsewhere", "");
    s.publish_qos(ada, "a", "", 2, 1);
    s.retain(ada, "a", "x");
    s.subscribe(ada, "out", 0);
    s.subscribe(ada, "in/#", 0);
    s.publish(bob, "in/secret", "");
    s.connect(&Connect { will: Some(Will { topic: "w", ..Will::default() }), ..connect("eve") });
    for (action, topic, place) in [
        ("publish", "elsewhere", "default = \\\"deny\\\" (rules.toml:1, rules)"),
        ("publish", "a", "role r: qos_max = 1 (rules.toml:6, rules)"),
        ("retain", "a", "default = \\\"deny\\\" (rules.toml:1, rules)"),
        ("subscribe", "out", "default = \\\"deny\\\" (rules.toml:1, rules)"),
        ("receive", "in/secret", "(rules.toml:10, rules)"),
        ("will", "w", "(rules.toml:11, rules)"),
    ] {
        let is_it = |note: &&String| {
            let parts = [format!("action: {action:?}"), format!("topic: {topic:?}"), place.to_owned()];
            note.contains("Denied") && parts.iter().all(|part| note.contains(part))
        };
        assert_eq!(s.notes.iter().filter(is_it).count(), 1, "{action} {topic}: {:#?}", s.notes);
    }
}

#[test]
fn a_reason_is_given_in_words_only_to_who_wants_them() {
    let mut s = Script::new(config(Some(rules("{ allow = \"publish\", topics = \"a\" }"))));
    for (wants, bytes) in [(None, 35), (Some(true), 35), (Some(false), 5)] {
        let properties =
            ConnectProperties { request_problem_information: wants, ..ConnectProperties::default() };
        let (ada, _) = s.connect(&Connect { properties, ..connect("ada") });
        s.publish_qos(ada, "b", "", 1, 1);
        assert!(s.heard_bytes(ada) >= bytes && (wants != Some(false) || s.heard_bytes(ada) == 5));
        s.hear(ada);
        s.subscribe(ada, "b", 0);
        assert_eq!(s.heard_bytes(ada) > 10, wants != Some(false));
        assert_eq!(s.hear(ada), ["SUBACK 9 0x87"]);
    }
}

#[test]
fn retain_is_a_right_of_its_own() {
    let mut s = Script::new(config(Some(rules("{ allow = \"publish\", topics = \"a\" }"))));
    let bob = bob(&mut s);
    s.subscribe(bob, "a", 0);
    s.hear(bob);
    let ada = s.join("ada");
    s.retain(ada, "a", "no");
    s.publish(ada, "a", "yes");
    assert_eq!(s.hear(bob), ["a 'yes'"]);
    assert_eq!((s.counter("refused_publish_retain_denied"), s.counter("refused_publish_denied")), (1, 0));
    assert_eq!(s.shards[0].gauges().retained_messages, 0);
}

#[test]
fn each_filter_of_a_subscribe_is_judged_by_itself() {
    let mut s = Script::new(config(Some(rules("{ allow = \"subscribe\", topics = \"a/#\" }"))));
    for (version, answer) in
        [(Version::V5, "SUBACK 9 0x01 0x87 0x00 0x87"), (Version::V311, "SUBACK 9 0x01 0x80 0x00 0x80")]
    {
        let (ada, _) = s.connect(&Connect { version, ..connect("ada") });
        let subscribe = Subscribe {
            packet_id: mqtt::PacketId::new(9).unwrap(),
            subscription_id: None,
            user_properties: UserProperties::default(),
            filters: vec![
                ("a/b", options(1)),
                ("#", options(1)),
                ("$share/g/a/#", options(0)),
                ("$SYS/#", options(0)),
            ],
        };
        s.packet(ada, &Packet::Subscribe(subscribe));
        assert_eq!(s.hear(ada), [answer]);
        assert_eq!(s.shards[0].gauges().subscriptions, 2);
    }
    assert_eq!(s.counter("denied_subscribe"), 4);
}

#[test]
fn a_role_may_bound_the_qos_in_both_directions() {
    let text =
        "everyone = \"r\"\n[roles.r]\nqos_max = 1\nrules = [ { allow = \"readwrite\", topics = \"#\" } ]\n";
    let layer = access::own::parse("rules.toml", text).unwrap();
    let mut s = Script::new(config(Some(Rules::builder(Fallback::Deny).layer(layer).build())));
    let ada = s.join("ada");
    s.subscribe(ada, "a", 2);
    assert_eq!(s.hear(ada), ["SUBACK 9 0x01"]);
    s.publish_qos(ada, "a", "two", 2, 1);
    s.publish_qos(ada, "a", "one", 1, 2);
    assert_eq!(s.hear(ada), ["PUBREC 1 Not authorized", "a 'one' q1 #1", "PUBACK 2"]);
}

#[test]
fn a_will_that_is_not_allowed_refuses_the_connect() {
    let mut s = Script::new(config(Some(rules("{ allow = [\"publish\", \"will\"], topics = \"a\" }"))));
    for (topic, retain, version, told) in [
        ("a", false, Version::V5, "CONNACK Success"),
        ("a", true, Version::V5, "CONNACK Not authorized"),
        ("b", false, Version::V5, "CONNACK Not authorized"),
        ("b", false, Version::V311, "CONNACK Not authorized"),
    ] {
        let will = Will { topic, retain, ..Will::default() };
        let (ada, heard) = s.connect(&Connect { will: Some(will), version, ..connect("ada") });
        assert_eq!(heard, [told]);
        assert_eq!(s.is_closed(ada), told != "CONNACK Success");
    }
    assert_eq!(s.counter("denied_will"), 3);
    let denied = s.notes.iter().zip(&s.noted).filter(|(note, _)| note.contains("Denied"));
    let named: Vec<_> = denied.map(|(_, client_id)| client_id.as_deref()).collect();
    assert_eq!(named, [Some("ada"); 3], "nobody has a session, and everybody a name");
}

#[test]
fn what_a_wider_filter_brings_is_judged_at_the_delivery() {
    let rules =
        rules("{ allow = \"subscribe\", topics = \"#\" },\n{ deny = \"receive\", topics = \"secret/#\" }");
    let mut s = Script::new(config(Some(rules)));
    let (ada, bob) = (s.join("ada"), bob(&mut s));
    s.retain(bob, "secret/old", "retained");
    s.retain(bob, "open/old", "retained");
    s.subscribe(ada, "#", 1);
    assert_eq!(s.hear(ada), ["SUBACK 9 0x01", "open/old 'retained' retained"]);
    s.publish_qos(bob, "secret/x", "no", 1, 1);
    s.publish_qos(bob, "open/x", "yes", 1, 2);
    assert_eq!(s.hear(ada), ["open/x 'yes' q1 #1"]);
    assert_eq!(s.hear(bob), ["PUBACK 1", "PUBACK 2"]);
    assert_eq!(s.counter("dropped_denied"), 2);
    s.puback(ada, 1);
    let gauges = s.shards[0].gauges();
    assert_eq!((gauges.queued_bytes, gauges.unsent_bytes), (0, 0));
}

#[test]
fn mosquittos_file_grants_every_subscribe_and_judges_deliveries() {
    let acl =
        "user ada\ntopic read a/%\ntopic write b\npattern readwrite own/%c/#\nuser bob\ntopic readwrite #\n";
    let mut s = Script::new(config(Some(mosquitto(acl))));
    let (ada, bob) = (s.join("ada"), bob(&mut s));
    s.subscribe(ada, "#", 0);
    assert_eq!(s.hear(ada), ["SUBACK 9 0x00"]);
    for topic in ["a/%", "b", "own/ada/x", "own/bob/x"] {
        s.publish(bob, topic, "");
    }
    assert_eq!(s.hear(ada), ["a/% ''", "own/ada/x ''"]);
    s.publish_qos(ada, "a/%", "", 1, 1);
    s.publish_qos(ada, "b", "", 1, 2);
    s.publish_qos(ada, "own/ada/x", "", 1, 3);
    assert_eq!(
        s.hear(ada).into_iter().filter(|line| line.starts_with("PUBACK")).collect::<Vec<_>>(),
        ["PUBACK 1 Not authorized", "PUBACK 2", "PUBACK 3"]
    );
}

#[test]
fn a_right_that_is_lost_is_lost_at_once() {
    let mut s =
        Script::new(config(Some(rules("{ allow = [\"subscribe\", \"publish\"], topics = [\"a\", \"b\"] }"))));
    let (ada, bob) = (s.join("ada"), bob(&mut s));
    s.subscribe(ada, "a", 0);
    s.subscribe(ada, "b", 0);
    s.hear(ada);
    s.publish(bob, "a", "1");
    assert_eq!(s.hear(ada), ["a '1'"]);
    // Nothing has been looked at yet, and the next message is withheld all the same.
    let less = rules("{ allow = [\"subscribe\", \"publish\"], topics = \"b\" }");
    s.event(0, Event::Rules(Some(less)));
    s.publish(bob, "a", "2");
    s.publish(bob, "b", "2");
    assert_eq!(s.hear(ada), ["b '2'"]);
    assert_eq!(s.shards[0].gauges().subscriptions, 2);
    s.secs(1);
    assert_eq!(s.shards[0].gauges().subscriptions, 1);
    assert_eq!(s.counter("subscriptions_revoked"), 1);
    s.publish_qos(ada, "a", "", 1, 1);
    assert_eq!(s.hear(ada), ["PUBACK 1 Not authorized"]);
    s.subscribe(ada, "a", 0);
    assert_eq!(s.hear(ada), ["SUBACK 9 0x87"]);
    change(&mut s, None);
    s.secs(1);
    s.subscribe(ada, "a", 0);
    s.publish(bob, "a", "3");
    assert_eq!(s.hear(ada), ["SUBACK 9 0x00", "a '3'"]);
}

#[test]
fn rules_may_come_to_those_who_are_here_without_any() {
    let mut s = Script::new(config(None));
    let (ada, bob) = (s.join("ada"), bob(&mut s));
    s.subscribe(ada, "a", 0);
    s.subscribe(ada, "$share/g/b", 0);
    s.hear(ada);
    change(&mut s, Some(rules("{ allow = \"publish\", topics = \"a\" }")));
    s.secs(1);
    assert_eq!(s.shards[0].gauges().subscriptions, 0);
    s.publish(bob, "a", "");
    s.publish(bob, "b", "");
    assert!(s.hear(ada).is_empty() && !s.is_closed(ada));
}

#[test]
fn a_session_that_comes_back_is_held_to_the_rules_of_that_day() {
    for (loses_filter, is_v5) in [(true, true), (false, true), (true, false)] {
        let mut s = Script::new(config(None));
        let mut wanted = connect("ada");
        wanted.clean_start = false;
        wanted.properties.session_expiry_interval_s = is_v5.then_some(3600);
        wanted.version = if is_v5 { Version::V5 } else { Version::V311 };
        let (ada, _) = s.connect(&wanted);
        s.subscribe(ada, "a/#", 1);
        s.hear(ada);
        s.cut(ada);
        let bob = bob(&mut s);
        s.publish_qos(bob, "a/1", "no", 1, 1);
        s.publish_qos(bob, "a/2", "may be", 1, 2);
        let rules = match loses_filter {
            true => rules("{ allow = \"subscribe\", topics = \"b\" }"),
            false => rules(
                "{ allow = \"subscribe\", topics = \"a/#\" },\n{ deny = \"receive\", topics = \"a/1\" }",
            ),
        };
        change(&mut s, Some(rules));
        let (ada, heard) = s.connect(&wanted);
        assert_eq!(heard[0], "CONNACK Success present");
        let expected: &[&str] = if loses_filter { &[] } else { &["a/2 'may be' q1 #2"] };
        assert_eq!(heard[1..], *expected);
        assert_eq!(s.shards[0].gauges().subscriptions, usize::from(!loses_filter));
        if !loses_filter {
            s.puback(ada, 2);
        }
        assert_eq!(s.shards[0].gauges().queued_bytes, 0);
    }
}

#[test]
fn what_was_in_flight_is_not_sent_again_to_who_may_not_have_it() {
    let mut s = Script::new(config(None));
    let ada = s.join_for_an_hour("ada");
    s.subscribe(ada, "a", 2);
    let bob = bob(&mut s);
    s.publish_qos(bob, "a", "one", 1, 1);
    s.publish_qos(bob, "a", "two", 2, 2);
    s.hear(ada);
    s.cut(ada);
    change(&mut s, Some(rules("{ allow = \"subscribe\", topics = \"b\" }")));
    let again = Connect { clean_start: false, ..connect("ada") };
    let (ada, heard) = s.connect(&again);
    assert_eq!(heard, ["CONNACK Success present", "PUBREL 2"]);
    s.packet(ada, &Packet::Pubcomp(ack(2)));
    assert_eq!(s.shards[0].gauges().queued_bytes, 0);
}

#[test]
fn a_duplicate_of_what_was_allowed_is_acknowledged_again() {
    let mut s = Script::new(config(Some(rules("{ allow = \"publish\", topics = \"a\" }"))));
    let bob = bob(&mut s);
    s.subscribe(bob, "a", 0);
    let ada = s.join("ada");
    s.hear(bob);
    s.publish_qos(ada, "a", "once", 2, 5);
    change(&mut s, Some(rules("{ allow = \"publish\", topics = \"b\" }")));
    let again = Publish { dup: true, ..publish("a", "once", QoS::ExactlyOnce, mqtt::PacketId::new(5)) };
    s.packet(ada, &Packet::Publish(again));
    assert_eq!(s.hear(ada), ["PUBREC 5", "PUBREC 5"]);
    assert_eq!(s.hear(bob), ["a 'once'"]);
}

#[test]
fn a_will_is_taken_away_with_its_right() {
    let mut s = Script::new(config(None));
    let bob = bob(&mut s);
    s.subscribe(bob, "a", 0);
    s.hear(bob);
    let will = Will { topic: "a", payload: b"gone", ..Will::default() };
    let (ada, _) = s.connect(&Connect { will: Some(will), ..connect("ada") });
    change(&mut s, Some(rules("{ allow = \"publish\", topics = \"a\" }")));
    s.secs(1);
    s.cut(ada);
    assert!(s.hear(bob).is_empty());
    assert_eq!((s.counter("denied_will"), s.shards[0].gauges().will_bytes), (1, 0));
}

#[test]
fn a_will_whose_right_goes_while_its_client_is_away_is_not_published() {
    // Rules that were there before are not what counts.
    for before in [None, Some(rules("{ allow = [\"publish\", \"will\"], topics = \"a\" }"))] {
        for allows in [false, true] {
            let mut s =
                Script::new(Config { store_epoch_ms: Some(1_700_000_000_000), ..config(before.clone()) });
            let bob = bob(&mut s);
            s.subscribe(bob, "a", 0);
            s.hear(bob);
            let (properties, will) = delayed_will();
            let (ada, _) = s.connect(&Connect { properties, will: Some(will), ..connect("ada") });
            s.cut(ada);
            let right = if allows { ", \"will\"" } else { "" };
            change(&mut s, Some(rules(&format!("{{ allow = [\"publish\"{right}], topics = \"a\" }}"))));
            s.secs(11);
            let heard = s.hear(bob);
            assert_eq!(heard.len(), usize::from(allows), "{heard:?}");
            assert_eq!(
                (s.counter("denied_will"), s.counter("wills_published")),
                if allows { (0, 1) } else { (1, 0) }
            );
            assert_eq!(s.shards[0].gauges().will_bytes, 0);
            assert_eq!(s.notes.iter().any(|note| note.contains("Denied")), !allows);
            // The store knows as well that it is gone.
            s.crash();
            s.secs(11);
            assert_eq!((s.counter("wills_published"), s.shards[0].gauges().will_bytes), (0, 0));
        }
    }
}

#[test]
fn who_is_banned_and_has_lost_the_right_to_its_will_leaves_none() {
    let mut s = Script::new(config(None));
    let bob = bob(&mut s);
    s.subscribe(bob, "a", 0);
    s.hear(bob);
    let will = Will { topic: "a", payload: b"gone", ..Will::default() };
    let (ada, _) = s.connect(&Connect { will: Some(will), ..connect("ada") });
    s.event(0, Event::Rules(Some(rules("{ allow = \"publish\", topics = \"a\" }"))));
    s.event(0, Event::Bans(Arc::new(Bans { users: vec![("ada".into(), None)], ..Bans::default() })));
    s.secs(1);
    assert!(s.is_closed(ada) && s.hear(bob).is_empty());
    assert_eq!(s.counter("denied_will"), 1);
}

fn delayed_will() -> (ConnectProperties<'static>, Will<'static>) {
    let of_will = WillProperties { delay_interval_s: Some(10), ..WillProperties::default() };
    let will = Will { topic: "a", payload: b"gone", properties: of_will, ..Will::default() };
    let properties =
        ConnectProperties { session_expiry_interval_s: Some(1000), ..ConnectProperties::default() };
    (properties, will)
}

#[test]
fn rules_that_are_tried_out_are_told_of_and_change_nothing() {
    let shadow = rules("{ allow = \"publish\", topics = \"b\" }");
    let rules = rules("{ allow = \"publish\", topics = \"a\" }").with_shadow(shadow);
    let mut s = Script::new(config(Some(rules)));
    let bob = bob(&mut s);
    s.subscribe(bob, "#", 0);
    s.hear(bob);
    let ada = s.join("ada");
    s.publish(ada, "a", "yes");
    s.publish(ada, "b", "no");
    assert_eq!(s.hear(bob), ["a 'yes'"]);
    assert_eq!((s.counter("denied_by_shadow"), s.counter("refused_publish_denied")), (1, 1));
    assert!(s.notes.iter().any(|note| note.contains("is_shadow: true") && note.contains("\"a\"")));
}

#[test]
fn what_is_remembered_for_one_client_is_not_for_another() {
    let own =
        "{ allow = \"readwrite\", topics = \"own/${client_id}/#\" }, { allow = \"publish\", topics = \"t\" }";
    let mut s = Script::new(config(Some(rules(own))));
    let bob = bob(&mut s);
    s.subscribe(bob, "#", 0);
    s.hear(bob);
    let (one, two) = (s.join("one"), s.join("two"));
    for _ in 0..3 {
        for client in [one, two] {
            for topic in ["own/one/x", "own/two/x", "t"] {
                s.publish(client, topic, "");
            }
        }
        assert_eq!(s.hear(bob), ["own/one/x ''", "t ''", "own/two/x ''", "t ''"]);
    }
    // Another client at the same place in the table.
    s.cut(one);
    let three = s.join("three");
    s.publish(three, "own/one/x", "");
    assert!(s.hear(bob).is_empty());
    assert_eq!(s.counter("refused_publish_denied"), 7);
}

#[test]
fn a_subscription_taken_away_on_one_shard_is_known_on_all() {
    let config = Config { shards: 3, ..config(None) };
    let mut s = Script::new(config.clone());
    let ids = Script::ids_by_home(&config, "c");
    let clients: Vec<Client> = ids.iter().map(|id| s.join(id)).collect();
    for client in &clients {
        s.subscribe(*client, "a/#", 0);
        s.hear(*client);
    }
    let before: usize = s.shards.iter().map(|shard| shard.gauges().filters).sum();
    assert_eq!(before, 3);
    change(&mut s, Some(rules("{ allow = \"readwrite\", topics = \"b\" }")));
    s.secs(1);
    let after: usize = s.shards.iter().map(|shard| shard.gauges().filters).sum();
    assert_eq!(after, 0);
    s.disconnect(clients[0], ReasonCode::Success);
}
