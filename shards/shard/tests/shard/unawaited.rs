//! What nobody waits for: it is stored with something else, or soon.

use std::time::Duration;

use mqtt::{Packet, PacketId, Publish, QoS};
use shard::{Config, Event};

use crate::keeping::{SOON, absent, absent_in, come_back};
use crate::script::{Script, publish};

#[test]
fn an_acknowledgement_from_a_client_is_stored_with_what_comes_next_or_soon() {
    let (mut s, publisher) = absent(1);
    for n in 1..=3 {
        s.publish_qos(publisher, "a", &n.to_string(), 1, n);
    }
    let (subscriber, _) = come_back(&mut s, "s");
    let stored = s.batches(0);
    s.puback(subscriber, 1);
    assert_eq!(s.batches(0), stored, "nobody waits for it");
    s.publish_qos(publisher, "a", "4", 1, 4);
    assert_eq!(s.batches(0), stored + 1, "it goes with what somebody waits for");
    s.puback(subscriber, 2);
    s.pass(SOON - Duration::from_nanos(1));
    assert_eq!(s.batches(0), stored + 1);
    s.pass(Duration::from_nanos(1));
    assert_eq!(s.batches(0), stored + 2, "nothing else came");
    s.puback(subscriber, 3);
    s.crash();
    let (_, heard) = come_back(&mut s, "s");
    assert_eq!(heard[1..], ["a '3' q1 #3 dup", "a '4' q1 #4 dup"], "one it has acknowledged comes once more");
}

#[test]
fn a_qos_2_message_waits_for_what_made_room_for_it() {
    let mut config = Config { store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    config.limits.inflight_max = 2;
    let (mut s, publisher) = absent_in(Script::new(config), 2);
    s.publish_qos(publisher, "a", "1", 1, 1);
    s.publish_qos(publisher, "a", "2", 1, 2);
    s.publish_qos(publisher, "a", "3", 2, 3);
    let (subscriber, heard) = come_back(&mut s, "s");
    assert_eq!(heard[1..], ["a '1' q1 #1", "a '2' q1 #2"]);
    s.disk_is_slow = true;
    s.puback(subscriber, 1);
    assert_eq!(s.hear(subscriber), Vec::<String>::new());
    assert!(s.store(0), "somebody waits for it");
    s.settle();
    assert_eq!(s.hear(subscriber), ["a '3' q2 #3"]);
    s.disk_is_slow = false;
    s.crash();
    let (_, heard) = come_back(&mut s, "s");
    assert_eq!(heard[1..], ["a '2' q1 #2 dup", "a '3' q2 #3 dup"]);
}

#[test]
fn many_acknowledgements_are_stored_before_they_are_too_many() {
    let mut config = Config { store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    config.limits.queued_messages_max = 3000;
    let (mut s, publisher) = absent_in(Script::new(config), 1);
    (1..=3000).for_each(|n| s.publish_qos(publisher, "a", "x", 1, n));
    let (subscriber, _) = come_back(&mut s, "s");
    let stored = s.batches(0);
    (1..=3000).for_each(|n| s.puback(subscriber, n));
    assert!(s.batches(0) > stored, "64 KiB wait at most");
}

#[test]
fn a_drain_leaves_no_acknowledgement_unstored() {
    let (mut s, publisher) = absent(1);
    s.publish_qos(publisher, "a", "1", 1, 1);
    let (subscriber, _) = come_back(&mut s, "s");
    s.puback(subscriber, 1);
    s.event(0, Event::Drain);
    s.settle();
    assert_eq!(s.drained, 1);
    s.crash();
    assert_eq!(come_back(&mut s, "s").1, ["CONNACK Success present"]);
}

#[test]
fn a_topic_that_is_cleared_twice_is_acknowledged_when_the_first_time_is_stored() {
    let mut s = crate::keeping::kept();
    let (careless, careful) = (s.join("careless"), s.join("careful"));
    s.retain(careless, "a", "x");
    s.secs(1);
    s.disk_is_slow = true;
    s.retain(careless, "a", "");
    let clear = Publish { retain: true, ..publish("a", "", QoS::AtLeastOnce, PacketId::new(5)) };
    s.packet(careful, &Packet::Publish(clear));
    assert_eq!(s.hear(careful), Vec::<String>::new(), "that it is gone is not stored");
    while s.store(0) {
        s.settle();
    }
    assert_eq!(s.hear(careful), ["PUBACK 5 No matching subscribers"]);
    s.disk_is_slow = false;
    s.crash();
    assert_eq!(s.shards[0].gauges().retained_messages, 0);
}
