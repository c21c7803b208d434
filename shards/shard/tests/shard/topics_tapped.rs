//! Somebody asks on which topics clients publish: what counts, what finds no room, and when it ends.

use std::sync::Arc;

use mqtt::{Packet, PacketId, Publish, QoS};
use shard::{Config, DoorConfig, TapFilter, TapOrder, TapRead};

use crate::script::{Script, connect, publish};

fn begin(s: &mut Script, tap: u64, topic_filter: Option<&str>) -> TapRead {
    s.tap(0, &TapOrder::Count { tap, topic_filter: topic_filter.map(Box::from) })
}

fn read(s: &mut Script, tap: u64) -> TapRead {
    s.tap(0, &TapOrder::Read { tap })
}

/// By topic.
fn told(read: &TapRead) -> Vec<(&str, u64)> {
    let mut counts: Vec<_> = read.counts.iter().map(|count| (&*count.topic, count.messages)).collect();
    counts.sort_unstable();
    counts
}

#[test]
fn each_message_of_a_client_counts_once_on_its_topic_until_it_is_read() {
    let mut s = Script::of_one();
    let (one, two) = (s.join("one"), s.join("two"));
    s.publish(one, "a", "before");
    assert_eq!(told(&begin(&mut s, 1, None)), []);
    for client in [one, two] {
        s.subscribe(client, "#", 0);
        s.publish(client, "a", "x");
        s.publish_qos(client, "a/b", "x", 1, 1);
    }
    s.publish(one, "a/b", "x");
    let seen = read(&mut s, 1);
    assert_eq!((told(&seen), seen.dropped, seen.has_more), (vec![("a", 2), ("a/b", 3)], 0, false));
    assert!(seen.packets.is_empty());
    assert_eq!(told(&read(&mut s, 1)), []);
    s.publish(two, "a", "x");
    assert_eq!(told(&read(&mut s, 1)), [("a", 1)]);
}

#[test]
fn what_is_sent_again_or_not_taken_in_does_not_count() {
    let mut s = Script::of_one();
    let client = s.join("c");
    begin(&mut s, 1, None);
    let once = publish("a", "x", QoS::ExactlyOnce, PacketId::new(5));
    s.packet(client, &Packet::Publish(once.clone()));
    s.packet(client, &Packet::Publish(Publish { dup: true, ..once }));
    s.publish(client, "$SYS/broker", "not for clients");
    assert_eq!(s.counter("refused_publish_topic"), 1);
    assert_eq!(told(&read(&mut s, 1)), [("a", 1)]);
}

#[test]
fn a_filter_chooses_among_whole_names() {
    let door = |mount: Option<&str>| DoorConfig { mount: mount.map(Arc::from), ..DoorConfig::default() };
    let config = Config { doors: vec![door(None), door(Some("site/"))], ..Config::default() };
    let mut s = Script::new(config);
    let one = s.join("one");
    let mounted = s.open_by(1, false);
    s.say_connect(mounted, &connect("mounted"));
    begin(&mut s, 1, Some("site/#"));
    begin(&mut s, 2, Some("+"));
    let behind_alias = |topic| {
        let mut packet = publish(topic, "x", QoS::AtMostOnce, None);
        packet.properties.topic_alias = Some(3);
        packet
    };
    for client in [one, mounted] {
        s.packet(client, &Packet::Publish(behind_alias("a")));
        s.packet(client, &Packet::Publish(behind_alias("")));
    }
    assert_eq!(told(&read(&mut s, 1)), [("site/a", 2)]);
    assert_eq!(told(&read(&mut s, 2)), [("a", 2)]);
}

#[test]
fn messages_on_topics_for_which_there_is_no_room_count_together() {
    let mut s = Script::of_one();
    let client = s.join("c");
    begin(&mut s, 1, None);
    begin(&mut s, 2, Some("t/3000"));
    for n in 0..3010 {
        s.publish(client, &format!("t/{n}"), "x");
    }
    s.publish(client, "t/0", "is known");
    let seen = read(&mut s, 1);
    assert_eq!((seen.counts.len(), seen.dropped), (2048, 3010 - 2048));
    assert_eq!(told(&seen)[0], ("t/0", 2));
    assert_eq!(told(&read(&mut s, 2)), [("t/3000", 1)], "what is not wanted takes no room");
    s.publish(client, "t/3000", "has room again");
    let seen = read(&mut s, 1);
    assert_eq!((told(&seen), seen.dropped), (vec![("t/3000", 1)], 0));
}

#[test]
fn long_topics_are_held_to_their_bytes() {
    let mut s = Script::of_one();
    let client = s.join("c");
    begin(&mut s, 1, None);
    let long = "x".repeat(50_000);
    for n in 0..5 {
        s.publish(client, &format!("{n}{long}"), "x");
    }
    let seen = read(&mut s, 1);
    assert_eq!((seen.counts.len(), seen.dropped), (2, 3));
}

#[test]
fn one_that_nobody_reads_ends_and_so_does_one_that_is_told_to() {
    let mut s = Script::of_one();
    let client = s.join("c");
    begin(&mut s, 1, None);
    s.secs(7);
    assert!(read(&mut s, 1).is_there);
    s.secs(7);
    assert!(read(&mut s, 1).is_there, "it is read");
    s.secs(21);
    s.publish(client, "a", "x");
    assert!(!read(&mut s, 1).is_there);
    begin(&mut s, 2, None);
    s.tap(0, &TapOrder::End { tap: 2 });
    assert!(!read(&mut s, 2).is_there);
}

#[test]
fn taps_that_come_and_go_leave_one_timer_behind() {
    let mut s = Script::of_one();
    let before = s.shards[0].gauges().timers;
    for tap in 1..20 {
        begin(&mut s, tap, None);
        s.tap(0, &TapOrder::Begin { tap: 100 + tap, filter: TapFilter::default() });
        s.tap(0, &TapOrder::End { tap });
        s.tap(0, &TapOrder::End { tap: 100 + tap });
    }
    assert_eq!(s.shards[0].gauges().timers, before + 1);
    s.secs(21);
    assert_eq!(s.shards[0].next_deadline(), None);
}

#[test]
fn they_are_few_and_take_no_place_from_those_that_see_packets() {
    let mut s = Script::of_one();
    for tap in 1..=8 {
        assert!(begin(&mut s, tap, None).is_there);
        assert!(s.tap(0, &TapOrder::Begin { tap: 100 + tap, filter: TapFilter::default() }).is_there);
    }
    assert!(!begin(&mut s, 9, None).is_there);
    assert!(!s.tap(0, &TapOrder::Begin { tap: 109, filter: TapFilter::default() }).is_there);
}
