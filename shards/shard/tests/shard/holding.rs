//! Whoever fills the ring to another shard waits for room there, and those beside it lose nothing.

use mqtt::{Packet, QoS, Version};
use shard::{Act, Config, Event, Reading, ShardId};

use crate::script::{Client, Script, connect, publish};

/// A script of so many shards with a ring from the first to the second that has this many free slots.
fn of(shards: u8, slots: usize) -> Script {
    let mut s = Script::new(Config { shards, ..Config::default() });
    s.event(0, Event::MailRoom { to: ShardId(1), slots });
    s
}

fn join_at(s: &mut Script, shard: u8, name: &str) -> Client {
    let ids = Script::ids_by_home(&Config { shards: s.shards.len() as u8, ..Config::default() }, name);
    s.join(&ids[usize::from(shard)])
}

/// A client of the second shard that wants this filter, and has heard of it.
fn listener(s: &mut Script, filter: &str) -> Client {
    let listener = join_at(s, 1, "listener");
    s.subscribe(listener, filter, 0);
    s.hear(listener);
    listener
}

/// So many publications of their own slot each, as they come in one piece: their topics are `a/0` and so on.
fn large(count: usize) -> Vec<u8> {
    large_of("a", count)
}

fn large_of(name: &str, count: usize) -> Vec<u8> {
    let payload = "x".repeat(9000);
    let mut bytes = Vec::new();
    for n in 0..count {
        Packet::Publish(publish(&format!("{name}/{n}"), &payload, QoS::AtMostOnce, None))
            .encode(Version::V5, &mut bytes);
    }
    bytes
}

/// Brings bytes in the midst of a tick.
fn bring(s: &mut Script, client: Client, bytes: &[u8]) {
    let (shard, conn) = s.conn(client);
    s.event(shard, Event::Bytes { conn, bytes });
}

fn topics(heard: &[String]) -> Vec<&str> {
    heard.iter().map(|line| line.split(' ').next().unwrap()).collect()
}

#[test]
fn whoever_fills_a_ring_waits_and_others_lose_nothing() {
    let mut s = of(2, 100);
    let (flooder, other) = (join_at(&mut s, 0, "flooder"), join_at(&mut s, 0, "other"));
    let subscriber = listener(&mut s, "#");
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 32 });
    bring(&mut s, flooder, &large(100));
    assert_eq!(s.reading(flooder), Reading::Paused);
    let mut message = Vec::new();
    Packet::Publish(publish("b", "x", QoS::AtMostOnce, None)).encode(Version::V5, &mut message);
    (0..20).for_each(|_| bring(&mut s, other, &message));
    assert_eq!(s.reading(other), Reading::Continuous);
    s.settle();
    let heard = s.hear(subscriber);
    let (flood, others): (Vec<&str>, Vec<&str>) = topics(&heard).into_iter().partition(|topic| *topic != "b");
    assert_eq!((flood, others.len()), (vec!["a/0", "a/1"], 20), "a sixteenth of what was left");
    s.give_room(1 << 20);
    assert_eq!(s.reading(flooder), Reading::Continuous);
    let rest: Vec<String> = (2..100).map(|n| format!("a/{n}")).collect();
    assert_eq!(topics(&s.hear(subscriber)), rest);
    assert_eq!((s.counter("dropped_mesh_full"), s.counter("paused_for_mesh")), (0, 1));
}

#[test]
fn operators_who_publish_are_held_back_as_a_client_is_and_others_lose_nothing() {
    let mut s = of(2, 100);
    let other = join_at(&mut s, 0, "other");
    let subscriber = listener(&mut s, "#");
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 32 });
    let topic = Script::ids_by_home(&Config { shards: 2, ..Config::default() }, "a").remove(0);
    let order = || Act::Publish {
        topic: topic.as_str().into(),
        payload: vec![b'x'; 9000].into(),
        qos: QoS::AtMostOnce,
        retain: false,
        expiry_s: None,
    };
    let published = (0..100).take_while(|_| !s.act_unsettled(0, order()).is_held_back).count();
    assert_eq!(published, 2, "a sixteenth of what was left");
    let mut message = Vec::new();
    Packet::Publish(publish("b", "x", QoS::AtMostOnce, None)).encode(Version::V5, &mut message);
    (0..20).for_each(|_| bring(&mut s, other, &message));
    s.settle();
    let heard = s.hear(subscriber);
    assert_eq!(topics(&heard).into_iter().filter(|topic| *topic == "b").count(), 20);
    s.give_room(1 << 20);
    assert!(!s.act(0, order()).is_held_back);
    assert_eq!((s.hear(subscriber).len(), s.counter("dropped_mesh_full")), (1, 0));
}

#[test]
fn whoever_floods_with_retained_messages_waits_likewise() {
    let mut s = of(2, 100);
    let (flooder, other) = (join_at(&mut s, 0, "flooder"), join_at(&mut s, 0, "other"));
    let subscriber = listener(&mut s, "b");
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 16 });
    let mut bytes = Vec::new();
    for n in 0..200 {
        let message = publish("", "x", QoS::AtMostOnce, None);
        let retained = mqtt::Publish { retain: true, topic: &format!("a/{n}"), ..message };
        Packet::Publish(retained).encode(Version::V5, &mut bytes);
    }
    bring(&mut s, flooder, &bytes);
    assert_eq!(s.reading(flooder), Reading::Paused);
    s.publish(other, "b", "x");
    assert_eq!(s.hear(subscriber), ["b 'x'"]);
    s.give_room(1 << 20);
    let retained: usize = s.shards.iter().map(|shard| shard.gauges().retained_messages).sum();
    assert_eq!((retained, s.counter("dropped_mesh_full")), (200, 0));
}

#[test]
fn many_who_fill_a_ring_leave_room_for_one_who_does_not() {
    let mut s = of(2, 100);
    let flooders: Vec<_> = (0..50).map(|n| join_at(&mut s, 0, &format!("flooder-{n}"))).collect();
    let other = join_at(&mut s, 0, "other");
    let subscriber = listener(&mut s, "#");
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 256 });
    let flood = large(20);
    flooders.iter().for_each(|flooder| bring(&mut s, *flooder, &flood));
    s.publish(other, "b", "x");
    let heard = s.hear(subscriber);
    assert!(heard.contains(&"b 'x'".to_owned()));
    s.give_room(1 << 20);
    assert_eq!(heard.len() + s.hear(subscriber).len(), 50 * 20 + 1);
    assert_eq!(s.counter("dropped_mesh_full"), 0);
}

#[test]
fn those_who_fill_a_ring_go_on_in_turn() {
    let mut s = of(2, 200);
    let flooders: Vec<_> = (0..5).map(|n| join_at(&mut s, 0, &format!("flooder-{n}"))).collect();
    let subscriber = listener(&mut s, "#");
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 32 });
    for (n, flooder) in flooders.iter().enumerate() {
        bring(&mut s, *flooder, &large_of(&n.to_string(), 60));
    }
    assert!(flooders.iter().all(|flooder| s.reading(*flooder) == Reading::Paused));
    let mut counts = [0; 5];
    for _ in 0..10 {
        s.settle();
        for topic in topics(&s.hear(subscriber)) {
            counts[topic[..1].parse::<usize>().unwrap()] += 1;
        }
        s.event(0, Event::MailRoom { to: ShardId(1), slots: 200 });
    }
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least > 10 && most - least <= 10, "{counts:?}");
}

#[test]
fn nobody_waits_while_a_ring_has_room() {
    let mut s = of(2, 100);
    let flooder = join_at(&mut s, 0, "flooder");
    s.give_room(1 << 20);
    let subscriber = listener(&mut s, "#");
    bring(&mut s, flooder, &large(100));
    assert_eq!(s.reading(flooder), Reading::Continuous);
    s.settle();
    assert_eq!(s.hear(subscriber).len(), 100);
}

#[test]
fn a_ring_that_is_filled_by_one_holds_back_nobody_who_fills_another() {
    let mut s = of(3, 100);
    let (flooder, other) = (join_at(&mut s, 0, "flooder"), join_at(&mut s, 0, "other"));
    listener(&mut s, "a/#");
    let elsewhere = join_at(&mut s, 2, "listener");
    s.subscribe(elsewhere, "b", 0);
    s.hear(elsewhere);
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 16 });
    bring(&mut s, flooder, &large(10));
    assert_eq!(s.reading(flooder), Reading::Paused);
    for _ in 0..100 {
        s.publish(other, "b", "x");
    }
    assert_eq!((s.reading(other), s.hear(elsewhere).len()), (Reading::Continuous, 100));
}

#[test]
fn whoever_waits_for_another_ring_next_lets_those_behind_it_go_on() {
    let mut s = of(3, 100);
    let (first, second) = (join_at(&mut s, 0, "first"), join_at(&mut s, 0, "second"));
    listener(&mut s, "a/#");
    let elsewhere = join_at(&mut s, 2, "elsewhere");
    s.subscribe(elsewhere, "b/#", 0);
    s.hear(elsewhere);
    for shard in [1, 2] {
        s.event(0, Event::MailRoom { to: ShardId(shard), slots: 16 });
    }
    bring(&mut s, first, &[large_of("a", 10), large_of("b", 40)].concat());
    bring(&mut s, second, &large_of("a", 3));
    assert_eq!((s.reading(first), s.reading(second)), (Reading::Paused, Reading::Paused));
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 200 });
    s.event(0, Event::Flush);
    assert_eq!((s.reading(first), s.reading(second)), (Reading::Paused, Reading::Continuous));
}

#[test]
fn whoever_leaves_is_heard_out_also_where_others_go_on_before_it() {
    let mut s = of(2, 200);
    let (first, second) = (join_at(&mut s, 0, "first"), join_at(&mut s, 0, "second"));
    let subscriber = listener(&mut s, "#");
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 16 });
    bring(&mut s, first, &large(100));
    bring(&mut s, second, &large(20));
    assert_eq!((s.reading(first), s.reading(second)), (Reading::Paused, Reading::Paused));
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 100 });
    s.cut(second);
    s.cut(first);
    assert_eq!(s.hear(subscriber).len() as u64 + s.counter("dropped_mesh_full"), 120);
}

#[test]
fn whoever_leaves_while_it_waits_is_heard_out() {
    let mut s = of(2, 100);
    let flooder = join_at(&mut s, 0, "flooder");
    let subscriber = listener(&mut s, "#");
    s.event(0, Event::MailRoom { to: ShardId(1), slots: 48 });
    bring(&mut s, flooder, &large(20));
    assert_eq!(s.reading(flooder), Reading::Paused);
    s.cut(flooder);
    assert_eq!((s.hear(subscriber).len(), s.counter("dropped_mesh_full")), (20, 0));
}

/// A connection at the first shard, and the CONNECT of a client whose home is the second.
fn coming(s: &mut Script, name: &str) -> (Client, Vec<u8>) {
    let ids = Script::ids_by_home(&Config { shards: 2, ..Config::default() }, name);
    let mut bytes = Vec::new();
    Packet::Connect(Box::new(connect(&ids[1]))).encode(Version::V5, &mut bytes);
    (s.open_at_shard(0), bytes)
}

#[test]
fn connects_that_wait_for_room_go_on_in_the_order_in_which_they_came() {
    let mut s = of(2, 0);
    let clients = ["a", "b", "c", "d"].map(|name| coming(&mut s, name));
    let order = [2, 0, 3, 1];
    for place in order {
        let (client, hello) = &clients[place];
        bring(&mut s, *client, hello);
    }
    let mut arrived = Vec::new();
    for _ in order {
        s.event(0, Event::MailRoom { to: ShardId(1), slots: 1 });
        s.settle();
        arrived.extend((0..clients.len()).filter(|place| !s.hear(clients[*place].0).is_empty()));
    }
    assert_eq!(arrived, order);
}

#[test]
fn whoever_is_held_back_goes_on_before_connects_that_come_when_the_ring_has_had_room_since() {
    const SLOTS: usize = 16;
    let mut s = Script::with_rings(Config { shards: 2, ..Config::default() }, SLOTS);
    let flooder = join_at(&mut s, 0, "flooder");
    let subscriber = listener(&mut s, "#");
    s.event(0, Event::MailRoom { to: ShardId(1), slots: SLOTS });
    bring(&mut s, flooder, &large(20));
    assert_eq!(s.reading(flooder), Reading::Paused);
    s.settle();
    let before = s.hear(subscriber).len();
    for burst in 0..4 {
        // More than there is room for.
        for n in 0..2 * SLOTS {
            let (client, hello) = coming(&mut s, &format!("{burst}-{n}"));
            bring(&mut s, client, &hello);
        }
        s.event(0, Event::MailRoom { to: ShardId(1), slots: SLOTS });
    }
    s.settle();
    assert!(!s.hear(subscriber).is_empty(), "nothing since the first {before}");
}
