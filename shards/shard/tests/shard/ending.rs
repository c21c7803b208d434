//! How what is stored ends: sessions and wills in their time, whenever the broker ends, and not once more after it.

use mqtt::{Connect, Packet, PacketId, QoS, ReasonCode, Will};
use shard::{Event, Gauges};

use crate::{
    keeping::{absent, come_back, kept},
    script::{connect, publish},
};

#[test]
fn who_is_told_that_there_is_no_session_does_not_find_it_again() {
    let mut s = kept();
    s.join_for_an_hour("s");
    s.disk_is_slow = true;
    let brief = Connect { clean_start: false, ..connect("s") };
    let (client, _) = s.connect(&brief);
    s.disconnect(client, ReasonCode::Success);
    let (client, heard) = s.connect(&brief);
    assert_eq!(heard, Vec::<String>::new(), "the end of the session is not stored");
    while s.store(0) {
        s.settle();
    }
    assert_eq!(s.hear(client), ["CONNACK Success"]);
    s.disk_is_slow = false;
    s.crash();
    assert_eq!(come_back(&mut s, "s").1, ["CONNACK Success"]);
}

/// A client whose session lives for so long, and whose will is published at QoS 1 to `w` a minute after its end.
fn with_a_will(session_expiry_interval_s: u32) -> Connect<'static> {
    let mut wanted = connect("with a will");
    wanted.properties.session_expiry_interval_s = Some(session_expiry_interval_s);
    let mut will = Will {
        topic: "w",
        payload: b"gone",
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Default::default(),
    };
    will.properties.delay_interval_s = Some(60);
    wanted.will = Some(will);
    wanted
}

#[test]
fn what_an_orderly_end_has_closed_goes_on_from_there() {
    let mut s = kept();
    let subscriber = s.join_for_an_hour("s");
    s.subscribe(subscriber, "w", 1);
    s.connect(&with_a_will(100));
    s.event(0, Event::Drain);
    s.settle();
    assert_eq!(s.drained, 1);
    s.crash();
    s.secs(59);
    let (subscriber, heard) = come_back(&mut s, "s");
    assert_eq!(heard, ["CONNACK Success present"]);
    s.secs(2);
    assert_eq!(s.hear(subscriber), ["w 'gone' q1 #1"]);
    assert_eq!(s.shards[0].gauges().sessions, 2);
    s.secs(40);
    assert_eq!(s.shards[0].gauges().sessions, 1);
}

#[test]
fn sessions_end_when_their_time_is_over_and_not_later_for_a_crash() {
    let mut s = kept();
    let client = s.join_for_an_hour("s");
    s.cut(client);
    s.secs(1800);
    s.crash();
    s.secs(1799);
    assert_eq!(s.shards[0].gauges().sessions, 1);
    s.secs(2);
    assert_eq!(s.shards[0].gauges().sessions, 0);
    s.crash();
    assert_eq!(s.shards[0].gauges().sessions, 0);
}

#[test]
fn a_will_is_published_once_when_the_broker_ends_before_the_client() {
    let mut s = kept();
    let subscriber = s.join_for_an_hour("s");
    s.subscribe(subscriber, "w", 1);
    s.connect(&with_a_will(3600));
    s.crash();
    s.secs(59);
    let (subscriber, heard) = come_back(&mut s, "s");
    assert_eq!(heard, ["CONNACK Success present"]);
    s.secs(2);
    assert_eq!(s.hear(subscriber), ["w 'gone' q1 #1"]);
    s.crash();
    s.secs(120);
    assert_eq!(come_back(&mut s, "s").1[1..], ["w 'gone' q1 #1 dup"]);
}

#[test]
fn message_expiry_goes_on_while_the_broker_is_away() {
    let (mut s, publisher) = absent(1);
    let mut message = publish("a", "short", QoS::AtLeastOnce, PacketId::new(1));
    message.properties.message_expiry_interval_s = Some(10);
    s.packet(publisher, &Packet::Publish(message.clone()));
    message.payload = b"long";
    message.properties.message_expiry_interval_s = Some(100);
    s.packet(publisher, &Packet::Publish(message));
    s.crash();
    s.secs(11);
    assert_eq!(come_back(&mut s, "s").1[1..], ["a 'long' q1 #2 expires 89"]);
}

#[test]
fn a_clean_start_is_answered_when_the_end_of_the_session_before_it_is_stored() {
    let (mut s, _) = absent(1);
    s.disk_is_slow = true;
    let (first, heard) = s.connect(&connect("s"));
    assert_eq!(heard, Vec::<String>::new());
    s.cut(first);
    let (second, heard) = s.connect(&connect("s"));
    assert_eq!(heard, Vec::<String>::new(), "what the first was not told the second cannot rely on");
    s.store(0);
    s.settle();
    assert_eq!(s.hear(second), ["CONNACK Success"]);
    s.crash();
    assert_eq!(s.shards[0].gauges().sessions, 0);
}

#[test]
fn a_store_that_failed_keeps_no_clean_start_waiting() {
    let (mut s, _) = absent(1);
    s.disk_is_slow = true;
    s.connect(&connect("s"));
    s.event(0, Event::StoreFailed);
    let (_, heard) = s.connect(&connect("s"));
    assert_eq!(heard, ["CONNACK Server unavailable"], "the session is there again after the next start");
    s.disk_is_slow = false;
    s.crash();
    assert_eq!(come_back(&mut s, "s").1[0], "CONNACK Success present");
}

#[test]
fn a_session_that_ends_after_its_store_has_failed_comes_back_and_keeps_its_client_out() {
    let (mut s, _) = absent(1);
    s.event(0, Event::StoreFailed);
    s.secs(3700);
    assert_eq!(s.connect(&connect("s")).1, ["CONNACK Server unavailable"]);
    assert_eq!(s.connect(&connect("other")).1, ["CONNACK Success"]);
}

#[test]
fn a_clean_start_ends_what_was_stored() {
    let (mut s, publisher) = absent(1);
    s.publish_qos(publisher, "a", "x", 1, 1);
    s.join("s");
    s.crash();
    let Gauges { sessions, subscriptions, queued_bytes, .. } = s.shards[0].gauges();
    assert_eq!((sessions, subscriptions, queued_bytes), (0, 0, 0));
    assert_eq!(s.shards[0].gauges().stored_live_bytes, 0);
}
