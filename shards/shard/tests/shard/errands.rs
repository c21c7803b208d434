//! What another shard is told of publications goes with them: many in one piece of mail, and in the order of the calls.

use mqtt::{Disconnect, Packet, PacketId, QoS, Version};
use shard::{Config, Event, Limits};

use crate::{
    keeping::come_back,
    script::{Client, Script, ack, publish},
};

/// Two shards with a store, a subscriber to `a` at QoS 2 on the second one, who is away, and the ids of publishers of the first one.
fn of(publishers: usize) -> (Script, Vec<String>) {
    let config = Config { shards: 2, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let ids =
        (0..publishers).map(|n| Script::ids_by_home(&config, &format!("publisher-{n}"))[0].clone()).collect();
    let subscriber = Script::ids_by_home(&config, "subscriber")[1].clone();
    let mut s = Script::new(config);
    let subscriber = s.join_for_an_hour(&subscriber);
    s.subscribe(subscriber, "a", 2);
    s.cut(subscriber);
    (s, ids)
}

fn encode(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.encode(Version::V5, &mut bytes));
    bytes
}

/// Brings these packets of each client in one tick, and gives the mail from shard to shard that comes of it.
fn mail_of(s: &mut Script, clients: &[Client], packets: &[Packet<'_>]) -> u64 {
    let before = s.counter("mail_sent");
    let bytes = encode(packets);
    for client in clients {
        let (shard, conn) = s.conn(*client);
        s.event(shard, Event::Bytes { conn, bytes: &bytes });
    }
    s.settle();
    s.counter("mail_sent") - before
}

fn publications<'a>(count: u16) -> Vec<Packet<'a>> {
    let publication = |n| Packet::Publish(publish("a", "x", QoS::ExactlyOnce, PacketId::new(n)));
    (1..=count).map(publication).collect()
}

#[test]
fn retained_messages_of_one_tick_cross_in_one_piece() {
    let config = Config { shards: 2, ..Config::default() };
    let mut s = Script::new(config);
    let publisher = s.join("publisher");
    let topics: Vec<String> = (0..100).map(|n| format!("a/{n}")).collect();
    let retained = |topic| mqtt::Publish { retain: true, ..publish(topic, "x", QoS::AtMostOnce, None) };
    let packets: Vec<Packet<'_>> = topics.iter().map(|topic| Packet::Publish(retained(topic))).collect();
    assert_eq!(mail_of(&mut s, &[publisher], &packets), 1);
    let kept = s.shards.iter().map(|shard| shard.gauges().retained_messages);
    assert_eq!(kept.sum::<usize>(), 100);
}

#[test]
fn what_is_not_retained_of_one_tick_is_told_in_one_piece() {
    let limits = Limits { retained_messages_max: 0, ..Limits::default() };
    let config = Config { shards: 2, limits, ..Config::default() };
    let publisher = Script::ids_by_home(&config, "p")[0].clone();
    let mut s = Script::new(config);
    let publisher = s.join(&publisher);
    let topics: Vec<String> = (0..100).map(|n| format!("a/{n}")).collect();
    let retained = |topic| mqtt::Publish { retain: true, ..publish(topic, "x", QoS::AtMostOnce, None) };
    let packets: Vec<Packet<'_>> = topics.iter().map(|topic| Packet::Publish(retained(topic))).collect();
    assert_eq!(mail_of(&mut s, &[publisher], &packets), 2, "the messages, and that they are not retained");
    assert_eq!(s.counter("refused_publish_retain_messages"), 100);
}

#[test]
fn a_large_retained_message_stands_in_line_with_small_ones() {
    let large = "x".repeat(9000);
    for payloads in [["1", &large, "2"], [&large, "1", &large]] {
        let mut s = Script::new(Config { shards: 2, ..Config::default() });
        let publisher = s.join("publisher");
        for topic in ["a", "b", "c", "d"] {
            let packets = payloads.map(|payload| {
                let publication = publish(topic, payload, QoS::AtMostOnce, None);
                Packet::Publish(mqtt::Publish { retain: true, ..publication })
            });
            mail_of(&mut s, &[publisher], &packets);
        }
        let listener = s.join("listener");
        s.subscribe(listener, "#", 0);
        let last = format!("'{}'", payloads[2]);
        assert_eq!(s.hear(listener).iter().filter(|line| line.contains(&last)).count(), 4);
    }
}

#[test]
fn what_is_released_in_one_tick_crosses_in_one_piece() {
    let (mut s, ids) = of(50);
    let publishers: Vec<_> = ids.iter().map(|id| come_back(&mut s, id).0).collect();
    mail_of(&mut s, &publishers, &publications(2));
    let releases = [1, 2].map(|n| Packet::Pubrel(ack(n)));
    let mail = mail_of(&mut s, &publishers, &releases);
    assert_eq!(mail, 2, "the releases, and that they are stored");
    for publisher in &publishers {
        assert!(s.hear(*publisher).ends_with(&["PUBCOMP 1".into(), "PUBCOMP 2".into()]));
    }
    // Their packet ids are free there: nothing is taken for a repetition.
    mail_of(&mut s, &publishers, &publications(2));
    assert_eq!(s.counter("publish_duplicates"), 0);
}

#[test]
fn publishers_that_go_at_once_are_told_of_in_one_piece() {
    let (mut s, ids) = of(50);
    let publishers: Vec<_> = ids.iter().map(|id| come_back(&mut s, id).0).collect();
    mail_of(&mut s, &publishers, &publications(2));
    let goodbye =
        Packet::Disconnect(Disconnect { session_expiry_interval_s: Some(0), ..Disconnect::default() });
    assert_eq!(mail_of(&mut s, &publishers, &[goodbye]), 1);
}
