//! Mount points: what a listener's clients say and hear, and what others do.

use std::sync::Arc;

use access::{Fallback, Rules};
use mqtt::{Connect, ConnectProperties, Packet, Publish, PublishProperties, QoS, Version, Will};
use shard::{Config, DoorConfig, Event};

use crate::script::{Client, Script, connect, publish};

/// Door 0 has no mount point, 1 and 2 have one each.
pub fn config(shards: u8) -> Config {
    let door = |mount: Option<&str>| DoorConfig { mount: mount.map(Arc::from), ..DoorConfig::default() };
    Config { shards, doors: vec![door(None), door(Some("one/")), door(Some("two/"))], ..Config::default() }
}

fn come(s: &mut Script, door: u16, connect: &Connect<'_>) -> Client {
    let client = s.open_by(door, false);
    s.say_connect(client, connect);
    client
}

pub fn join(s: &mut Script, door: u16, client_id: &str) -> Client {
    let client = come(s, door, &connect(client_id));
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    client
}

#[test]
fn its_clients_see_what_is_beneath_and_not_the_mount_point() {
    for shards in [1, 3] {
        let mut s = Script::new(config(shards));
        let (all, one, two) = (s.join("all"), join(&mut s, 1, "one"), join(&mut s, 2, "two"));
        for client in [all, one, two] {
            s.subscribe(client, "#", 1);
            s.hear(client);
        }
        s.publish_qos(one, "a/b", "by one", 1, 1);
        assert_eq!(s.hear(one), ["a/b 'by one' q1 #1", "PUBACK 1"]);
        assert_eq!(s.hear(all), ["one/a/b 'by one' q1 #1"]);
        assert!(s.hear(two).is_empty(), "it is beneath another mount point");
        s.publish(all, "two/x", "from above");
        s.publish(all, "two", "the mount point itself");
        s.publish(all, "two/$x", "is nothing there");
        s.publish(all, "x", "is beneath none");
        assert_eq!(s.hear(two), ["x 'from above'"]);
        assert!(s.hear(one).is_empty());
        assert_eq!(s.counter("dropped_beyond_mount"), 2);
    }
}

#[test]
fn filters_are_taken_away_as_they_were_given() {
    let mut s = Script::new(config(1));
    let (all, one) = (s.join("all"), join(&mut s, 1, "one"));
    s.subscribe(one, "a", 0);
    s.hear(one);
    s.unsubscribe(one, "one/a");
    assert_eq!(s.hear(one), ["UNSUBACK 10 0x11"]);
    s.unsubscribe(one, "a");
    assert_eq!(s.hear(one), ["UNSUBACK 10 0x00"]);
    s.publish(all, "one/a", "");
    assert!(s.hear(one).is_empty());
}

#[test]
fn a_client_reads_its_own_losses_by_the_names_that_it_knows() {
    for shards in [1, 3] {
        let mut s = Script::new(config(shards));
        let mut wanted = connect("one");
        wanted.properties.maximum_packet_size = Some(400);
        wanted.properties.session_expiry_interval_s = Some(3600);
        let one = come(&mut s, 1, &wanted);
        let (all, two) = (s.join("all"), join(&mut s, 2, "two"));
        s.subscribe(two, "$SYS/client/drops", 0);
        for filter in ["$SYS/client/drops", "a"] {
            s.subscribe(one, filter, 0);
        }
        s.secs(1);
        let none = r#"{"lost":[],"topics":[]}"#;
        assert!(s.hear(one).concat().contains(none));
        assert!(s.hear(two).concat().contains(none));
        s.publish(all, "one/a", &"x".repeat(500));
        s.secs(6);
        let told = s.hear(one).concat();
        assert!(told.contains(r#"{"topic":"a","cause":"packet_too_large""#), "{told}");
        assert!(s.hear(two).is_empty(), "it is of another client");
        // It comes back, and its subscription has stayed.
        s.cut(one);
        let again = come(&mut s, 1, &Connect { clean_start: false, ..wanted.clone() });
        s.secs(1);
        let told = s.hear(again).concat();
        assert!(told.contains("packet_too_large") && !told.contains("one/a"), "{told}");
        s.unsubscribe(again, "$SYS/client/drops");
        assert_eq!(s.hear(again), ["UNSUBACK 10 0x00"]);
    }
}

#[test]
fn groups_beneath_two_mount_points_are_two() {
    let mut s = Script::new(config(1));
    let (all, one, two) = (s.join("all"), join(&mut s, 1, "one"), join(&mut s, 2, "two"));
    for client in [one, two] {
        s.subscribe(client, "$share/g/t/#", 0);
        s.hear(client);
    }
    for n in 0..2 {
        s.publish(all, "one/t/x", &n.to_string());
    }
    assert_eq!(s.hear(one), ["t/x '0'", "t/x '1'"]);
    assert!(s.hear(two).is_empty());
}

#[test]
fn retained_messages_are_found_beneath() {
    for shards in [1, 3] {
        let mut s = Script::new(config(shards));
        let (all, one) = (s.join("all"), join(&mut s, 1, "one"));
        s.retain(one, "t", "kept");
        s.retain(all, "t", "other");
        s.subscribe(one, "#", 0);
        assert_eq!(s.hear(one), ["SUBACK 9 0x00", "t 'kept' retained"]);
        s.subscribe(all, "+/t", 0);
        assert_eq!(s.hear(all), ["SUBACK 9 0x00", "one/t 'kept' retained"]);
    }
}

#[test]
fn a_will_is_published_beneath() {
    let mut s = Script::new(config(1));
    let all = s.join("all");
    s.subscribe(all, "#", 0);
    s.hear(all);
    let will = |topic| Will { topic, payload: b"gone", ..Will::default() };
    let one = come(&mut s, 1, &Connect { will: Some(will("w")), ..connect("one") });
    assert_eq!(s.hear(one), ["CONNACK Success"]);
    s.cut(one);
    assert_eq!(s.hear(all), ["one/w 'gone'"]);
    let refused = come(&mut s, 1, &Connect { will: Some(will("$w")), ..connect("one") });
    assert_eq!(s.hear(refused), ["CONNACK Topic Name invalid"]);
}

#[test]
fn aliases_stand_for_what_each_side_sees() {
    let mut s = Script::new(config(1));
    let properties = ConnectProperties { topic_alias_maximum: Some(5), ..ConnectProperties::default() };
    let one = come(&mut s, 1, &Connect { properties, ..connect("one") });
    let all = s.join("all");
    s.subscribe(one, "#", 0);
    s.subscribe(all, "#", 0);
    s.hear(one);
    s.hear(all);
    for topic in ["long/topic", ""] {
        let properties = PublishProperties { topic_alias: Some(3), ..PublishProperties::default() };
        let publish = Publish { properties, ..publish(topic, "m", QoS::AtMostOnce, None) };
        s.packet(one, &Packet::Publish(publish));
    }
    assert_eq!(s.hear(all), ["one/long/topic 'm'", "one/long/topic 'm'"]);
    let heard = s.hear(one);
    assert!(heard.len() == 2 && heard[0].starts_with("long/topic 'm'"), "{heard:?}");
}

#[test]
fn topics_of_servers_are_none_beneath() {
    let mut s = Script::new(config(1));
    for (version, answer) in [(Version::V5, "PUBACK 1 Topic Name invalid"), (Version::V311, "PUBACK 1")] {
        let one = come(&mut s, 1, &Connect { version, ..connect("one") });
        s.hear(one);
        for topic in ["$SYS/x", "$x"] {
            s.publish_qos(one, topic, "", 1, 1);
            assert_eq!(s.hear(one), [answer]);
        }
    }
    assert_eq!(s.counter("refused_publish_topic"), 4);
}

#[test]
fn a_name_that_is_too_long_with_the_mount_point_is_refused() {
    let mut s = Script::new(config(1));
    let one = join(&mut s, 1, "one");
    let long = "a".repeat(65_532);
    s.publish_qos(one, &long, "", 1, 1);
    assert_eq!(s.hear(one), ["PUBACK 1 Topic Name invalid"]);
    s.subscribe(one, &long, 0);
    assert_eq!(s.hear(one), ["SUBACK 9 0x8f"]);
}

#[test]
fn rules_are_asked_about_whole_names() {
    let text = "everyone = \"r\"\n[roles.r]\nrules = [ { allow = \"readwrite\", topics = \"one/a\" } ]\n";
    let layer = access::own::parse("rules.toml", text).unwrap();
    let rules = Rules::builder(Fallback::Deny).layer(layer).build();
    let mut s = Script::new(Config { rules: Some(rules), ..config(1) });
    let (one, two) = (join(&mut s, 1, "one"), join(&mut s, 2, "two"));
    s.subscribe(one, "a", 0);
    s.subscribe(two, "a", 0);
    assert_eq!((s.hear(one), s.hear(two)), (vec!["SUBACK 9 0x00".into()], vec!["SUBACK 9 0x87".into()]));
    s.publish_qos(two, "one/a", "", 1, 1);
    assert_eq!(s.hear(two), ["PUBACK 1 Not authorized"], "it is two/one/a");
    let will = Will { topic: "b", ..Will::default() };
    let refused = come(&mut s, 1, &Connect { will: Some(will), ..connect("three") });
    assert_eq!(s.hear(refused), ["CONNACK Not authorized"]);
}

#[test]
fn a_session_that_comes_back_by_another_listener_keeps_what_is_beneath_it() {
    let mut s = Script::new(config(1));
    let mut wanted = connect("c");
    wanted.clean_start = false;
    wanted.properties.session_expiry_interval_s = Some(3600);
    let all = s.join("all");
    let away = come(&mut s, 0, &wanted);
    for filter in ["one/#", "two/#", "x", "$share/g/one/s"] {
        s.subscribe(away, filter, 1);
    }
    s.hear(away);
    s.cut(away);
    for topic in ["one/a", "two/a", "x"] {
        s.publish_qos(all, topic, "m", 1, 1);
    }
    let back = come(&mut s, 1, &wanted);
    assert_eq!(s.hear(back), ["CONNACK Success present", "a 'm' q1 #1"]);
    s.puback(back, 1);
    assert_eq!(s.counter("dropped_beyond_mount"), 2);
    assert_eq!((s.shards[0].gauges().subscriptions, s.shards[0].gauges().queued_bytes), (2, 0));
    s.publish(all, "one/s", "shared");
    assert_eq!(s.hear(back).len(), 2, "by its own filter and by the group's");
    s.unsubscribe(back, "#");
    assert_eq!(s.hear(back), ["UNSUBACK 10 0x00"]);
}

#[test]
fn who_is_here_keeps_the_mount_point_that_it_came_by() {
    let mut s = Script::new(config(1));
    let (all, one) = (s.join("all"), join(&mut s, 1, "one"));
    s.subscribe(all, "#", 0);
    s.hear(all);
    let mut other = config(1);
    other.doors[1].mount = Some("other/".into());
    other.doors[2].mount = None;
    s.event(0, Event::Config(Box::new(other)));
    s.publish(one, "a", "before");
    let later = join(&mut s, 1, "later");
    s.publish(later, "a", "after");
    let plain = join(&mut s, 2, "plain");
    s.publish(plain, "a", "plain");
    assert_eq!(s.hear(all), ["one/a 'before'", "other/a 'after'", "a 'plain'"]);
}
