//! Other limits and listeners while clients are connected.

use mqtt::{Connect, Version};
use shard::{Config, DoorConfig, Event, Limits, QueueFull};

use crate::script::{Script, connect};

fn tell(s: &mut Script, config: &Config) {
    for shard in 0..s.shards.len() {
        s.event(shard, Event::Config(Box::new(config.clone())));
    }
}

#[test]
fn a_smaller_limit_takes_nothing_away_and_lets_nothing_more_in() {
    for (queue_full, left) in
        [(QueueFull::DropNewest, ["1", "2", "3"].as_slice()), (QueueFull::DropOldest, &["4"])]
    {
        let mut s = Script::of_one();
        let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
        s.subscribe(subscriber, "a", 1);
        s.cut(subscriber);
        for n in 1..=3 {
            s.publish_qos(publisher, "a", &n.to_string(), 1, n);
        }
        let limits = Limits { queued_messages_max: 1, inflight_max: 1, queue_full, ..Limits::default() };
        tell(&mut s, &Config { limits, ..Config::default() });
        s.publish_qos(publisher, "a", "4", 1, 4);
        let (client, heard) = s.connect(&Connect { clean_start: false, ..connect("s") });
        let mut got: Vec<String> = heard[1..].to_vec();
        // One at a time now: each acknowledgement brings the next.
        while let Some(number) = got.last().and_then(|text| text.rsplit('#').next()?.parse().ok()) {
            s.puback(client, number);
            let next = s.hear(client);
            assert!(next.len() <= 1, "{next:?}");
            if next.is_empty() {
                break;
            }
            got.extend(next);
        }
        let texts: Vec<&str> = got.iter().filter_map(|text| text.split('\'').nth(1)).collect();
        assert_eq!(texts, left, "{got:?}");
    }
}

#[test]
fn what_connack_has_told_stays_true() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let limits =
        Limits { packet_bytes_max: 100, receive_maximum: 1, topic_alias_max: 0, ..Limits::default() };
    tell(&mut s, &Config { limits, ..Config::default() });
    s.publish(client, "a", &"x".repeat(200));
    assert!(s.hear(client).is_empty() && !s.is_closed(client));
}

#[test]
fn a_listener_that_comes_later_has_its_own_versions() {
    let open = DoorConfig::default();
    let modern = DoorConfig { versions: [Version::V5].into_iter().collect(), ..DoorConfig::default() };
    let mut s = Script::new(Config { doors: vec![open.clone()], ..Config::default() });
    let before = s.join("before");
    tell(&mut s, &Config { doors: vec![open, modern], ..Config::default() });
    let older = s.open_by(1, false);
    s.say_connect(older, &Connect { version: Version::V311, ..connect("older") });
    assert!(s.is_closed(older) && s.counter("refused_version") == 1);
    s.publish(before, "a", "still here");
    assert!(!s.is_closed(before));
}
