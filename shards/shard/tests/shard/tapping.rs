//! Somebody looks on: what passes a tap, what is lost for want of room, and when a tap ends.

use mqtt::{Connect, Packet, Publish, QoS, Subscribe, UserProperties, Version};
use shard::{Config, Detail, Direction, Look, Seen, TapFilter, TapOrder, TapRead};

use crate::{
    permitted::{config, mosquitto},
    script::{Script, connect, options, publish},
};

fn begin(s: &mut Script, tap: u64, filter: TapFilter) -> TapRead {
    s.tap(0, &TapOrder::Begin { tap, filter })
}

fn read(s: &mut Script, tap: u64) -> TapRead {
    s.tap(0, &TapOrder::Read { tap })
}

fn told(read: &TapRead) -> Vec<String> {
    let line = |tapped: &shard::Tapped| {
        let packet = &tapped.packet;
        let direction = if packet.direction == Direction::Received { '<' } else { '>' };
        let text = format!(
            "{} {direction} {:?} {} {}",
            tapped.client_id, packet.kind, packet.packet_id, packet.topic
        );
        text.trim_end().to_owned()
    };
    read.packets.iter().map(line).collect()
}

#[test]
fn all_packets_pass_a_tap_with_whole_topics() {
    let mut s = Script::new(nothing_recorded());
    let client = s.join("c");
    assert!(begin(&mut s, 1, TapFilter::default()).is_there);
    let long = format!("building/{}/temperature", "x".repeat(60));
    s.subscribe(client, "building/#", 1);
    s.publish_qos(client, &long, "x", 1, 5);
    s.puback(client, 1);
    let seen = read(&mut s, 1);
    let expected = [
        "c < Subscribe 9 building/#".to_owned(),
        "c > Suback 9".to_owned(),
        format!("c < Publish 5 {long}"),
        format!("c > Publish 1 {long}"),
        "c > Puback 5".to_owned(),
        "c < Puback 1".to_owned(),
    ];
    assert_eq!(told(&seen), expected);
    assert!(seen.packets.iter().all(|tapped| tapped.bytes.is_empty()), "nobody asked for bytes");
    assert_eq!((told(&read(&mut s, 1)).len(), seen.dropped, seen.has_more), (0, 0, false));
}

fn nothing_recorded() -> Config {
    let mut config = Config::default();
    config.limits.recorded_packets = 0;
    config
}

#[test]
fn a_tap_keeps_to_its_client_and_its_topics() {
    let mut s = Script::of_one();
    let (one, two) = (s.join("one"), s.join("two"));
    begin(&mut s, 1, TapFilter { client_id: Some("two".into()), ..TapFilter::default() });
    begin(&mut s, 2, TapFilter { topic_filter: Some("a/+".into()), ..TapFilter::default() });
    s.subscribe(one, "#", 0);
    s.publish(two, "a/b", "x");
    s.publish(two, "c", "x");
    assert_eq!(told(&read(&mut s, 1)), ["two < Publish 0 a/b", "two < Publish 0 c"]);
    assert_eq!(told(&read(&mut s, 2)), ["one < Subscribe 9 #", "two < Publish 0 a/b", "one > Publish 0 a/b"]);
}

#[test]
fn subscriptions_pass_a_tap_whose_topics_they_are_about() {
    let mut s = Script::of_one();
    let client = s.join("c");
    begin(&mut s, 1, TapFilter { topic_filter: Some("house/kitchen".into()), ..TapFilter::default() });
    s.subscribe(client, "shed/#", 0);
    s.subscribe(client, "$share/g/house/+", 0);
    s.unsubscribe(client, "house/#");
    s.unsubscribe(client, "garden");
    let seen = read(&mut s, 1);
    assert_eq!(told(&seen), ["c < Subscribe 9 $share/g/house/+", "c < Unsubscribe 10 house/#"]);
    assert_eq!(seen.packets[0].packet.detail, Detail::Filters { count: 1 });
    let several = Subscribe {
        filters: vec![("a", options(0)), ("house/#", options(0))],
        packet_id: 7.try_into().unwrap(),
        subscription_id: None,
        user_properties: UserProperties::default(),
    };
    s.packet(client, &Packet::Subscribe(several));
    let seen = read(&mut s, 1);
    assert_eq!(told(&seen), ["c < Subscribe 7 a"], "the second of them is about it");
    assert_eq!(seen.packets[0].packet.detail, Detail::Filters { count: 2 });
}

#[test]
fn the_last_packets_have_the_first_filter() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe(client, "a/#", 0);
    s.publish(client, "a/b", "x");
    s.publish(client, "c", "x");
    s.unsubscribe(client, "a/#");
    let topics = |s: &Script, filter: Option<&str>| match s
        .look(0, &Look::Packets { client_id: "c".into(), topic_filter: filter.map(Box::from) })
    {
        Seen::Packets(Some(last)) => last
            .packets
            .iter()
            .map(|packet| format!("{:?} {}", packet.kind, packet.topic))
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let all = topics(&s, None);
    assert_eq!(
        all,
        [
            "Subscribe a/#",
            "Suback ",
            "Publish a/b",
            "Publish a/b",
            "Publish c",
            "Unsubscribe a/#",
            "Unsuback "
        ]
    );
    assert_eq!(topics(&s, Some("a/b")), ["Subscribe a/#", "Publish a/b", "Publish a/b", "Unsubscribe a/#"]);
    assert_eq!(topics(&s, Some("c")), ["Publish c"]);
}

#[test]
fn the_bytes_are_those_on_the_wire_and_the_topic_stands_behind_an_alias() {
    let mut s = Script::of_one();
    let client = s.join("c");
    let with_alias = |topic, payload| {
        let mut packet = publish(topic, payload, QoS::AtMostOnce, None);
        packet.properties.topic_alias = Some(3);
        packet
    };
    s.packet(client, &Packet::Publish(with_alias("long/topic", "one")));
    begin(&mut s, 1, TapFilter { wants_bytes: true, ..TapFilter::default() });
    let second: Publish<'_> = with_alias("", "two");
    s.packet(client, &Packet::Publish(second.clone()));
    let mut expected = Vec::new();
    Packet::Publish(second).encode(mqtt::Version::V5, &mut expected);
    let seen = read(&mut s, 1);
    assert_eq!(told(&seen), ["c < Publish 0 long/topic"]);
    assert_eq!(*seen.packets[0].bytes, *expected);
}

#[test]
fn what_is_sent_is_seen_whole_with_a_payload_that_is_not_copied() {
    let mut s = Script::of_one();
    let client = s.join("c");
    s.subscribe(client, "a", 0);
    s.hear(client);
    begin(&mut s, 1, TapFilter { wants_bytes: true, ..TapFilter::default() });
    let payload = "y".repeat(10_000);
    s.publish(client, "a", &payload);
    let seen = read(&mut s, 1);
    let sent = &seen.packets[1];
    assert_eq!((sent.packet.direction, sent.packet.bytes as usize), (Direction::Sent, sent.bytes.len()));
    assert!(sent.bytes.ends_with(payload.as_bytes()));
    let heard = s.heard_bytes(client);
    assert_eq!(heard, sent.bytes.len(), "the client got the same");
}

#[test]
fn a_reader_who_is_slow_loses_packets_and_is_told_how_many() {
    let mut s = Script::of_one();
    let client = s.join("c");
    begin(&mut s, 1, TapFilter::default());
    for _ in 0..10_000 {
        s.publish(client, "a", "x");
    }
    let (mut seen, mut dropped) = (0, 0);
    loop {
        let read = read(&mut s, 1);
        assert!(read.packets.len() <= 512, "an answer is a bounded piece of work");
        seen += read.packets.len() as u64;
        dropped += read.dropped;
        if !read.has_more {
            break;
        }
    }
    assert_eq!((seen, dropped), (8192, 10_000 - 8192));
    s.publish(client, "a", "x");
    assert_eq!((told(&read(&mut s, 1)).len(), read(&mut s, 1).dropped), (1, 0), "there is room again");
}

#[test]
fn large_packets_are_held_to_the_bytes_of_a_tap() {
    let mut s = Script::of_one();
    let client = s.join("c");
    begin(&mut s, 1, TapFilter { wants_bytes: true, ..TapFilter::default() });
    for _ in 0..100 {
        s.publish(client, "a", &"x".repeat(100_000));
    }
    let first = read(&mut s, 1);
    assert!(first.dropped >= 60, "two megabytes are enough: {}", first.dropped);
    assert!(first.has_more && first.packets.len() <= 5, "{}", first.packets.len());
    assert_eq!(first.packets[0].bytes.len(), 64 << 10);
    assert!(first.packets[0].packet.bytes > 100_000, "its length is that of the whole packet");
}

#[test]
fn a_tap_that_nobody_reads_ends_and_so_does_one_that_is_told_to() {
    let mut s = Script::of_one();
    begin(&mut s, 1, TapFilter::default());
    s.secs(7);
    assert!(read(&mut s, 1).is_there);
    s.secs(7);
    assert!(read(&mut s, 1).is_there, "it is read");
    s.secs(21);
    assert!(!read(&mut s, 1).is_there);
    assert_eq!(s.shards[0].next_deadline(), None, "without taps there is no timer");
    begin(&mut s, 2, TapFilter::default());
    s.tap(0, &TapOrder::End { tap: 2 });
    assert!(!read(&mut s, 2).is_there);
}

#[test]
fn there_are_no_more_than_a_few_taps() {
    let mut s = Script::of_one();
    for tap in 1..=8 {
        assert!(begin(&mut s, tap, TapFilter::default()).is_there);
    }
    assert!(!begin(&mut s, 9, TapFilter::default()).is_there);
}

#[test]
fn a_tap_keeps_to_an_address_and_has_room_for_no_other() {
    let mut s = Script::of_one();
    let [one, two] = ["one", "two"].map(|name| s.join(name));
    let address = |last: u8| Some([192, 0, 2, last].into());
    begin(&mut s, 1, TapFilter { address: address(one.0 as u8), ..TapFilter::default() });
    begin(&mut s, 2, TapFilter { address: address(99), ..TapFilter::default() });
    for (client, topic) in [(one, "a"), (two, "b"), (one, "c"), (two, "d")] {
        s.publish_qos(client, topic, "x", 0, 0);
    }
    let seen = read(&mut s, 1);
    assert_eq!(told(&seen), ["one < Publish 0 a", "one < Publish 0 c"]);
    let from = seen.packets.iter().map(|tapped| tapped.address.map(|address| address.ip()));
    assert!(from.eq([address(one.0 as u8); 2]));
    let nobody = read(&mut s, 2);
    assert_eq!((nobody.packets.len(), nobody.dropped, nobody.has_more), (0, 0, false));
}

#[test]
fn packets_from_elsewhere_take_none_of_the_room_of_a_tap() {
    let mut s = Script::of_one();
    let publisher = s.join("p");
    for n in 0..60 {
        let elsewhere = s.join(&format!("c{n}"));
        s.subscribe(elsewhere, "a", 0);
    }
    let one = s.join("one");
    s.subscribe(one, "a", 0);
    let address = |last: usize| Some([192, 0, 2, last as u8].into());
    let of = |address| TapFilter { address, wants_bytes: true, ..TapFilter::default() };
    begin(&mut s, 1, of(address(one.0)));
    begin(&mut s, 2, of(address(99)));
    for _ in 0..3 {
        s.publish(publisher, "a", &"x".repeat(60_000));
    }
    let seen = read(&mut s, 1);
    assert_eq!((told(&seen), seen.dropped), (vec!["one > Publish 0 a".to_owned(); 3], 0));
    let nobody = read(&mut s, 2);
    assert_eq!((nobody.packets.len(), nobody.dropped), (0, 0));
}

#[test]
fn what_a_tap_has_no_room_for_counts_where_it_comes_from_the_address() {
    let mut s = Script::of_one();
    let address = |last: usize| Some([192, 0, 2, last as u8].into());
    begin(&mut s, 1, TapFilter { address: address(0), wants_bytes: true, ..TapFilter::default() });
    begin(&mut s, 2, TapFilter { address: address(99), wants_bytes: true, ..TapFilter::default() });
    // They come after the taps, and all at once: nobody has said yet from where.
    let clients: Vec<_> = (0..60).map(|n| s.join(&format!("c{n}"))).collect();
    for client in &clients {
        s.subscribe(*client, "a", 0);
    }
    for _ in 0..30 {
        s.publish(clients[0], "a", &"x".repeat(60_000));
    }
    let (mut packets, mut dropped, mut has_more) = (0, 0, true);
    while has_more {
        let seen = read(&mut s, 1);
        packets += told(&seen).iter().filter(|line| line.contains("Publish")).count() as u64;
        dropped += seen.dropped;
        has_more = seen.has_more;
    }
    assert!(dropped > 0 && packets > 0);
    assert_eq!(packets + dropped, 60, "each that it published, and each that it got");
    let nobody = read(&mut s, 2);
    assert_eq!((nobody.packets.len(), nobody.dropped), (0, 0));
}

#[test]
fn an_acknowledgement_that_cannot_say_that_a_message_was_refused_passes_a_tap_with_the_reason() {
    for (version, refused) in [(Version::V5, Detail::Reason(0x87)), (Version::V311, Detail::Unsaid(0x87))] {
        let mut s = Script::new(config(Some(mosquitto("pattern write open/#\n"))));
        let (client, _) = s.connect(&Connect { version, ..connect("c") });
        let (other, _) = s.connect(&Connect { version, ..connect("d") });
        begin(&mut s, 1, TapFilter::default());
        begin(&mut s, 2, TapFilter { client_id: Some("d".into()), ..TapFilter::default() });
        s.publish_qos(other, "open/b", "x", 1, 1);
        s.publish_qos(client, "secret", "x", 1, 1);
        s.publish_qos(client, "secret", "x", 2, 2);
        let taken = if version == Version::V5 { Detail::Reason(0x10) } else { Detail::Reason(0) };
        let answers = |read: TapRead| {
            let sent = read.packets.into_iter().filter(|tapped| tapped.packet.direction == Direction::Sent);
            sent.map(|tapped| tapped.packet.detail).collect::<Vec<_>>()
        };
        assert_eq!(answers(read(&mut s, 1)), [taken, refused, refused]);
        assert_eq!(answers(read(&mut s, 2)), [taken], "what is refused to another is nothing of it");
    }
}
