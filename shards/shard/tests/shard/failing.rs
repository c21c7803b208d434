//! A store that fails while the shard goes on.

use mqtt::{Connect, Packet, QoS, ReasonCode, Version, Will, WillProperties};
use shard::{Config, Event, Reading};

use crate::{
    keeping::come_back,
    script::{Client, Script, ack, connect, options},
};

/// An absent subscriber to `a`, whose session is stored, and a publisher.
pub fn absent(shards: u8) -> (Script, Client, String) {
    let config = Config { shards, store_epoch_ms: Some(1_700_000_000_000), ..Config::default() };
    let publishers = Script::ids_by_home(&config, "p");
    let subscribers = Script::ids_by_home(&config, "s");
    let subscriber_id = subscribers.last().unwrap().clone();
    let mut s = Script::new(config);
    let subscriber = s.join_for_an_hour(&subscriber_id);
    s.subscribe(subscriber, "a", 2);
    s.cut(subscriber);
    let publisher = s.join(&publishers[0]);
    (s, publisher, subscriber_id)
}

const NOTHING: Vec<String> = Vec::new();

#[test]
fn whoever_waits_for_a_store_that_fails_loses_the_connection_and_gets_no_answer() {
    for shards in [1, 2] {
        for qos in [1, 2] {
            let (mut s, publisher, subscriber) = absent(shards);
            s.publish_qos(publisher, "a", "kept", 1, 1);
            assert_eq!(s.hear(publisher), ["PUBACK 1"]);
            s.disk_is_slow = true;
            s.publish_qos(publisher, "a", "lost", qos, 2);
            s.event(usize::from(shards) - 1, Event::StoreFailed);
            s.settle();
            assert!(s.is_closed(publisher), "{shards} shards, QoS {qos}");
            assert_eq!(s.hear(publisher), NOTHING);
            assert_eq!(come_back(&mut s, &subscriber).1, ["CONNACK Server unavailable"]);
            s.disk_is_slow = false;
            s.crash();
            assert_eq!(come_back(&mut s, &subscriber).1[1..], ["a 'kept' q1 #1"]);
        }
    }
}

#[test]
fn without_its_store_a_shard_serves_who_needs_none() {
    for shards in [1, 2] {
        let (mut s, publisher, _) = absent(shards);
        let lasting = s.join_for_an_hour("lasting");
        s.subscribe(lasting, "live", 1);
        s.hear(lasting);
        s.event(0, Event::StoreFailed);
        s.settle();
        let (listener, heard) = s.connect(&connect("listener"));
        assert_eq!(heard, ["CONNACK Success"]);
        s.subscribe(listener, "live", 0);
        assert_eq!(s.hear(listener), ["SUBACK 9 0x00"]);
        s.publish(publisher, "live", "still");
        assert_eq!(
            (s.hear(listener), s.hear(lasting)),
            (vec!["live 'still'".to_owned()], vec!["live 'still'".to_owned()])
        );
        s.publish_qos(publisher, "a", "refused", 1, 1);
        s.publish_qos(publisher, "a", "refused", 2, 2);
        assert_eq!(s.hear(publisher), ["PUBACK 1 Quota exceeded", "PUBREC 2 Quota exceeded"]);
        let mut wanted = connect("elder");
        wanted.version = Version::V311;
        let (elder, _) = s.connect(&wanted);
        s.publish_qos(elder, "a", "waits", 1, 1);
        assert_eq!((s.hear(elder), s.reading(elder)), (NOTHING, Reading::Paused));
        s.subscribe_with(lasting, "b", options(1), None);
        assert_eq!(s.hear(lasting), ["SUBACK 9 0x97"]);
        let refused = s.counter("refused_store_failed");
        assert_eq!(come_back(&mut s, "another").1, ["CONNACK Server unavailable"]);
        assert_eq!(s.counter("refused_store_failed"), refused + 1);
        // What cannot be refused is not answered.
        s.unsubscribe(lasting, "live");
        assert!(s.is_closed(lasting));
        assert_eq!(s.hear(lasting), NOTHING);
        let clean = Connect { clean_start: true, ..connect("lasting") };
        assert_eq!(s.connect(&clean).1, ["CONNACK Server unavailable"], "its session would have to end");
        for shard in 0..usize::from(shards) {
            let gauges = s.shards[shard].gauges();
            assert_eq!((gauges.unsent_bytes, s.shards[shard].last_batch()), (0, u64::MAX));
        }
        s.crash();
        let (_, heard) = come_back(&mut s, "lasting");
        assert_eq!(heard, ["CONNACK Success present"]);
    }
}

#[test]
fn a_release_that_cannot_be_stored_is_not_answered() {
    let (mut s, _, _) = absent(1);
    let lasting = s.join_for_an_hour("lasting");
    s.publish_qos(lasting, "a", "once", 2, 1);
    assert_eq!(s.hear(lasting), ["PUBREC 1"]);
    s.event(0, Event::StoreFailed);
    s.packet(lasting, &Packet::Pubrel(ack(1)));
    assert!(s.is_closed(lasting));
    assert_eq!(s.hear(lasting), NOTHING);
    s.crash();
    let (lasting, _) = come_back(&mut s, "lasting");
    s.packet(lasting, &Packet::Pubrel(ack(1)));
    assert_eq!(s.hear(lasting), ["PUBCOMP 1"]);
}

#[test]
fn a_shard_without_its_store_can_be_drained() {
    let (mut s, publisher, _) = absent(2);
    s.disk_is_slow = true;
    s.publish_qos(publisher, "a", "lost", 1, 2);
    s.event(1, Event::StoreFailed);
    s.settle();
    let other = s.join("other");
    s.event(0, Event::Drain);
    s.event(1, Event::Drain);
    s.settle();
    assert!(s.is_closed(other));
    assert_eq!(s.hear(other), [format!("DISCONNECT {}", ReasonCode::ServerShuttingDown)]);
}

#[test]
fn a_will_that_cannot_be_stored_leaves_nothing_behind() {
    let (mut s, _, _) = absent(1);
    let lasting = s.join_for_an_hour("lasting");
    s.subscribe(lasting, "w", 1);
    s.hear(lasting);
    let properties = WillProperties::default();
    let will = Will { qos: QoS::AtLeastOnce, retain: false, topic: "w", payload: b"gone", properties };
    let (mortal, _) = s.connect(&Connect { will: Some(will), ..connect("mortal") });
    s.event(0, Event::StoreFailed);
    s.settle();
    let before = s.shards[0].gauges().stored_messages;
    s.cut(mortal);
    assert_eq!(s.hear(lasting), ["w 'gone' q1 #1"]);
    s.puback(lasting, 1);
    assert_eq!(s.shards[0].gauges().stored_messages, before);
}
