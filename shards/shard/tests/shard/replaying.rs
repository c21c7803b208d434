//! Retained messages on their way to a new subscription, while everything else goes on.

use mqtt::{Connect, Packet, PublishProperties, SubscriptionOptions};
use shard::{Config, Limits};

use crate::script::{Client, Script, connect, options};

fn with(shards: u8, change: impl FnOnce(&mut Limits)) -> Script {
    let mut config = Config { shards, ..Config::default() };
    change(&mut config.limits);
    Script::new(config)
}

fn retain_many(s: &mut Script, publisher: Client, count: usize) {
    for n in 0..count {
        let properties = PublishProperties::default();
        let topic = format!("r/{n:04}");
        let packet = mqtt::Publish {
            retain: true,
            properties,
            ..crate::script::publish(&topic, "x", mqtt::QoS::AtLeastOnce, mqtt::PacketId::new(1))
        };
        s.packet(publisher, &Packet::Publish(packet));
    }
    s.hear(publisher);
}

/// The ids of the QoS 1 messages in these lines.
fn ids(lines: &[String]) -> Vec<u16> {
    let id = |line: &String| line.split(" #").nth(1)?.split(' ').next()?.parse().ok();
    lines.iter().filter_map(id).collect()
}

#[test]
fn a_small_queue_loses_none_of_many_retained_messages() {
    for shards in [1, 3] {
        let mut s = with(shards, |limits| {
            limits.queued_messages_max = 20;
            limits.inflight_max = 5;
        });
        let (publisher, subscriber) = (s.join("p"), s.join("s"));
        retain_many(&mut s, publisher, 301);
        s.subscribe(subscriber, "r/#", 1);
        let mut heard = s.hear(subscriber);
        let mut topics = Vec::new();
        while !heard.is_empty() {
            topics.extend(heard.iter().filter(|line| line.starts_with("r/")).cloned());
            for id in ids(&heard) {
                s.puback(subscriber, id);
            }
            s.secs(1);
            heard = s.hear(subscriber);
        }
        assert_eq!(topics.len(), 301, "{shards} shards");
        assert_eq!(s.counter("dropped_queue_messages"), 0);
    }
}

#[test]
fn what_came_live_does_not_come_again_from_the_store() {
    for shards in [1, 3] {
        let mut s = with(shards, |limits| limits.inflight_max = 1);
        let (publisher, subscriber) = (s.join("p"), s.join("s"));
        retain_many(&mut s, publisher, 1000);
        s.subscribe(subscriber, "r/#", 1);
        // Far behind what the queue has taken so far.
        s.retain(publisher, "r/0999", "new");
        let mut heard = s.hear(subscriber);
        let mut last = Vec::new();
        while !heard.is_empty() {
            last.extend(heard.iter().filter(|line| line.starts_with("r/0999")).cloned());
            for id in ids(&heard) {
                s.puback(subscriber, id);
            }
            s.secs(1);
            heard = s.hear(subscriber);
        }
        let payloads: Vec<&str> = last.iter().map(|line| line.split('\'').nth(1).unwrap()).collect();
        let once = payloads.iter().filter(|payload| **payload == "new").count();
        assert_eq!((once, payloads.last().copied()), (1, Some("new")), "{shards} shards: {last:?}");
    }
}

#[test]
fn a_client_that_comes_back_gets_the_rest() {
    for shards in [1, 3] {
        let mut s = with(shards, |limits| limits.inflight_max = 1);
        let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
        retain_many(&mut s, publisher, 1500);
        s.subscribe(subscriber, "r/#", 1);
        s.cut(subscriber);
        let mut back = Connect { clean_start: false, ..connect("s") };
        back.properties.session_expiry_interval_s = Some(3600);
        let (subscriber, mut heard) = s.connect(&back);
        let mut topics = std::collections::BTreeSet::new();
        while !heard.is_empty() {
            topics.extend(heard.iter().filter_map(|line| Some(line.split(' ').next()?.to_owned())));
            for id in ids(&heard) {
                s.puback(subscriber, id);
            }
            s.secs(1);
            heard = s.hear(subscriber);
        }
        topics.retain(|topic| topic.starts_with("r/"));
        assert_eq!(topics.len(), 1500, "{shards} shards");
    }
}

#[test]
fn no_local_holds_for_retained_messages() {
    let mut s = Script::of_one();
    let (own, other) = (s.join("own"), s.join("other"));
    s.retain(own, "a", "mine");
    s.retain(other, "b", "theirs");
    s.subscribe_with(own, "+", SubscriptionOptions { no_local: true, ..options(0) }, None);
    assert_eq!(s.hear(own), ["SUBACK 9 0x00", "b 'theirs' retained"]);
}

#[test]
fn an_unsubscribe_ends_what_is_still_owed() {
    let mut s = with(1, |limits| limits.inflight_max = 1);
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    retain_many(&mut s, publisher, 1500);
    s.subscribe(subscriber, "r/#", 1);
    s.unsubscribe(subscriber, "r/#");
    let mut count = 0;
    let mut heard = s.hear(subscriber);
    while !heard.is_empty() {
        count += ids(&heard).len();
        for id in ids(&heard) {
            s.puback(subscriber, id);
        }
        heard = s.hear(subscriber);
    }
    // What was queued before the UNSUBSCRIBE is delivered, and no more.
    assert!(count < 1000, "{count}");
    s.cut(subscriber);
    assert_eq!(s.shards[0].gauges().session_bytes, "p".len());
}

#[test]
fn a_filter_that_is_given_up_and_taken_again_is_owed_once() {
    let mut s = with(1, |limits| limits.inflight_max = 1);
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    retain_many(&mut s, publisher, 1000);
    for filter in ["r/#", "+/+"] {
        s.subscribe(subscriber, filter, 1);
    }
    s.unsubscribe(subscriber, "+/+");
    s.subscribe_with(subscriber, "+/+", options(1), Some(7));
    let mut heard = s.hear(subscriber);
    let mut count = 0;
    while !heard.is_empty() {
        count += heard.iter().filter(|line| line.starts_with("r/")).count();
        for id in ids(&heard) {
            s.puback(subscriber, id);
        }
        s.secs(1);
        heard = s.hear(subscriber);
    }
    assert_eq!(count, 2000);
}

#[test]
fn a_connection_that_ends_before_its_suback_leaves_nothing_behind() {
    let mut s = with(2, |_| {});
    let config = Config { shards: 2, ..Config::default() };
    let ids = Script::ids_by_home(&config, "c");
    let publisher = s.join(&ids[1]);
    retain_many(&mut s, publisher, 10);
    let client = s.join_for_an_hour(&ids[0]);
    s.give_room(0);
    s.subscribe(client, "r/#", 0);
    let before = s.shards[0].gauges().session_bytes;
    s.cut(client);
    s.give_room(1000);
    assert!(s.shards[0].gauges().session_bytes <= before);
    s.secs(3700);
    assert_eq!(s.shards[0].gauges().session_bytes, 0);
    assert_eq!(s.shards[0].gauges().mail_pending, 0);
}
