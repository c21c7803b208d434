//! Retained messages and the limits of what is retained.

use std::collections::BTreeMap;

use mqtt::{Packet, QoS, Version};
use shard::{Config, Event, Limits};

use crate::{
    losing::{check, clients, lost, told},
    script::{Client, Script, publish},
};

fn kept(shards: u8, messages_max: usize) -> Script {
    let limits = limits(messages_max);
    Script::new(Config { shards, limits, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() })
}

fn limits(retained_messages_max: usize) -> Limits {
    Limits { retained_messages_max, ..Limits::default() }
}

fn fill(s: &mut Script, publisher: Client, count: usize) {
    (0..count).for_each(|n| s.retain(publisher, &format!("r/{n}"), "x"));
}

fn retained(s: &Script) -> usize {
    s.shards.iter().map(|shard| shard.gauges().retained_messages).sum()
}

fn has_told(s: &Script) -> bool {
    s.notes.iter().any(|note| note.starts_with("RetainedBeyondLimits"))
}

#[test]
fn what_is_retained_stays_whatever_the_number_of_shards() {
    let mut s = kept(1, 100);
    let publisher = s.join("p");
    fill(&mut s, publisher, 100);
    assert!(!has_told(&s));
    for shards in [4, 3, 1] {
        s.move_to(shards);
        assert_eq!(
            (retained(&s), s.counter("refused_publish_retain_messages")),
            (100, 0),
            "on {shards} shards"
        );
        assert_eq!(has_told(&s), shards > 1, "topics are not spread evenly");
    }
}

#[test]
fn what_is_retained_stays_where_the_limit_is_lower_after_a_start() {
    let mut s = kept(1, 10);
    let publisher = s.join("p");
    fill(&mut s, publisher, 10);
    s.crash_into(limits(3));
    assert!(has_told(&s));
    let publisher = s.join("p");
    s.retain(publisher, "r/7", "y");
    s.retain(publisher, "another", "x");
    assert_eq!(retained(&s), 10, "its topic has a place, and the other finds none");
    (0..8).for_each(|n| s.retain(publisher, &format!("r/{n}"), ""));
    s.retain(publisher, "another", "x");
    s.crash();
    assert_eq!((retained(&s), has_told(&s)), (3, false));
}

#[test]
fn limits_that_are_lowered_meanwhile_take_nothing_away_and_are_told_of() {
    let mut s = kept(1, 10);
    let publisher = s.join("p");
    fill(&mut s, publisher, 10);
    let config = Config { limits: limits(3), ..Config::default() };
    s.event(0, Event::Config(Box::new(config)));
    assert!(has_told(&s));
    assert_eq!(retained(&s), 10);
}

#[test]
fn what_finds_no_room_goes_to_those_who_are_here_and_is_lost_by_its_cause() {
    let weight = {
        let mut s = Script::of_one();
        let publisher = s.join("p");
        s.retain(publisher, "k/1", "x");
        s.shards[0].gauges().retained_bytes
    };
    let number = Limits { retained_messages_max: 2, ..Limits::default() };
    let bytes = Limits { retained_bytes_max: 2 * weight, ..Limits::default() };
    for (limits, cause) in [(number, "publish_retain_messages"), (bytes, "publish_retain_bytes")] {
        let mut s = Script::new(Config { limits, ..Config::default() });
        let (publisher, watcher) = (s.join("p"), s.join("w"));
        s.subscribe(watcher, "k/#", 0);
        s.hear(watcher);
        (1..=4).for_each(|n| s.retain(publisher, &format!("k/{n}"), "x"));
        assert_eq!(s.hear(watcher).len(), 4, "who has subscribed gets them");
        assert_eq!(retained(&s), 2);
        let losses = lost(&s, "p").expect("two are not kept");
        assert_eq!(told(&losses.losses), [format!("2 {cause} 0-0")]);
        assert_eq!(told(&losses.topics), [format!("1 {cause} k/3 0-0"), format!("1 {cause} k/4 0-0")]);
        check(&s);
    }
}

#[test]
fn a_loss_stands_in_the_books_at_the_home_of_the_publisher_wherever_the_topic_lives() {
    for shards in [2, 3] {
        let limits = Limits { retained_messages_max: 0, ..Limits::default() };
        let config = Config { shards, limits, ..Config::default() };
        let homes = Script::ids_by_home(&config, "p");
        let mut s = Script::new(config);
        let publisher = s.join(&homes[1]);
        fill(&mut s, publisher, 20);
        let rows = clients(&s, 1);
        let rows: Vec<(&str, u64)> = rows.iter().map(|row| (&*row.client_id, row.losses[0].count)).collect();
        assert_eq!(rows, [(&*homes[1], 20)]);
        assert_eq!(check(&s), BTreeMap::from([("refused_publish_retain_messages", 20)]));
    }
}

/// Brings so many messages to be retained, in one piece and in the midst of a tick.
fn flood(s: &mut Script, publisher: Client, count: usize, payload: &str) {
    let mut bytes = Vec::new();
    for n in 0..count {
        let message = publish("", payload, QoS::AtMostOnce, None);
        let retained = mqtt::Publish { retain: true, topic: &format!("r/1/{n}"), ..message };
        Packet::Publish(retained).encode(Version::V5, &mut bytes);
    }
    let (shard, conn) = s.conn(publisher);
    s.event(shard, Event::Bytes { conn, bytes: &bytes });
}

#[test]
fn each_loss_of_a_flood_is_its_publishers_whoever_floods_beside_it_and_whether_it_stays() {
    let limits = Limits { retained_messages_max: 0, ..Limits::default() };
    let config = Config { shards: 2, limits, ..Config::default() };
    let ids = ["a", "b", "c", "d"].map(|prefix| Script::ids_by_home(&config, prefix)[0].clone());
    let mut s = Script::new(config);
    let publishers = ids.each_ref().map(|client_id| s.join(client_id));
    publishers.iter().for_each(|publisher| flood(&mut s, *publisher, 3000, "x"));
    // Before the other shard has said what it has not kept.
    s.cut(publishers[0]);
    let rows = clients(&s, 0);
    let rows: BTreeMap<&str, u64> = rows.iter().map(|row| (&*row.client_id, row.losses[0].count)).collect();
    assert_eq!(rows, ids.iter().map(|client_id| (&**client_id, 3000)).collect());
    assert_eq!(check(&s), BTreeMap::from([("refused_publish_retain_messages", 12_000)]));
}

#[test]
fn a_shard_hears_of_what_was_not_kept_in_bounded_pieces_without_what_it_has_sent() {
    let limits = Limits { retained_messages_max: 0, ..Limits::default() };
    let config = Config { shards: 2, limits, ..Config::default() };
    let ids = Script::ids_by_home(&config, "p");
    let mut s = Script::new(config);
    let publisher = s.join(&ids[0]);
    s.bundles.clear();
    flood(&mut s, publisher, 1000, &"x".repeat(6000));
    s.settle();
    let back: Vec<usize> =
        s.bundles.iter().filter(|(from, _, _)| *from == 1).map(|(_, _, bytes)| *bytes).collect();
    let (count, bytes) = (back.len(), back.iter().sum::<usize>());
    assert!(back.iter().all(|bytes| *bytes <= 8 << 10), "{back:?}");
    assert!(count > 1 && bytes < 1000 * 100, "{count} pieces of {bytes} bytes tell of some 500 messages");
    assert_eq!(lost(&s, &ids[0]).expect("none is kept").losses[0].count, 1000);
}

#[test]
fn a_loss_that_is_too_large_for_a_bundle_is_told_all_the_same() {
    let limits = Limits { retained_messages_max: 0, ..Limits::default() };
    let config = Config { shards: 2, limits, ..Config::default() };
    let long = "p".repeat(9000);
    let ids = Script::ids_by_home(&config, &long);
    let mut s = Script::new(config);
    let publisher = s.join(&ids[0]);
    fill(&mut s, publisher, 20);
    s.retain(publisher, &"t".repeat(9000), "x");
    assert_eq!(lost(&s, &ids[0]).expect("none is kept").losses[0].count, 21);
}

#[test]
fn the_log_has_one_line_a_minute_of_what_is_not_retained() {
    let limits = Limits { retained_messages_max: 0, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..Config::default() });
    let publisher = s.join("p");
    fill(&mut s, publisher, 20);
    s.secs(60);
    s.retain(publisher, "last", "x");
    let lines: Vec<&String> = s.notes.iter().filter(|note| note.starts_with("NotRetained")).collect();
    let expected = [("r/0", 1), ("last", 20)].map(|(topic, count)| {
        format!("NotRetained {{ cause: PublishRetainMessages, topic: {topic:?}, count: {count} }}")
    });
    assert_eq!(lines, [&expected[0], &expected[1]]);
}
