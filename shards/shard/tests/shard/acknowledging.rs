//! The handshakes of QoS 1 and 2, as a careless or unlucky client lives through them.

use mqtt::{Ack, Connect, Packet, QoS, ReasonCode};

use crate::script::{Client, Script, ack, connect};

fn with_reason<'a>(id: u16, reason: ReasonCode) -> Ack<'a> {
    Ack { reason, ..ack(id) }
}

/// A publisher, and a subscriber to `a` at QoS 2 that has one message in flight.
fn one_in_flight(qos: u8) -> (Script, Client, Client) {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join("s"));
    s.subscribe(subscriber, "a", 2);
    s.publish_qos(publisher, "a", "x", qos, 1);
    s.hear(subscriber);
    (s, publisher, subscriber)
}

#[test]
fn puback_with_unknown_id_is_ignored() {
    let (mut s, _, subscriber) = one_in_flight(1);
    s.puback(subscriber, 7);
    assert!(!s.is_closed(subscriber));
    assert!(s.shards[0].gauges().queued_bytes > 0);
    s.puback(subscriber, 1);
    s.puback(subscriber, 1);
    assert_eq!(s.shards[0].gauges().queued_bytes, 0);
}

#[test]
fn puback_does_not_end_a_qos_2_handshake() {
    let (mut s, _, subscriber) = one_in_flight(2);
    s.puback(subscriber, 1);
    s.packet(subscriber, &Packet::Pubcomp(ack(1)));
    assert!(s.shards[0].gauges().queued_bytes > 0);
    s.packet(subscriber, &Packet::Pubrec(ack(1)));
    assert_eq!(s.hear(subscriber), ["PUBREL 1"]);
}

#[test]
fn an_error_in_an_acknowledgement_ends_the_message() {
    let (mut s, publisher, subscriber) = one_in_flight(2);
    s.packet(subscriber, &Packet::Pubrec(with_reason(1, ReasonCode::QuotaExceeded)));
    assert_eq!(s.hear(subscriber), Vec::<String>::new());
    s.publish_qos(publisher, "a", "y", 1, 2);
    s.packet(subscriber, &Packet::Puback(with_reason(2, ReasonCode::NotAuthorized)));
    assert_eq!(s.counter("dropped_refused_by_client"), 2);
    assert_eq!(s.shards[0].gauges().queued_bytes, 0);
}

#[test]
fn pubrec_with_unknown_id_is_answered() {
    let (mut s, _, subscriber) = one_in_flight(1);
    s.packet(subscriber, &Packet::Pubrec(ack(9)));
    s.packet(subscriber, &Packet::Pubrec(with_reason(9, ReasonCode::QuotaExceeded)));
    assert_eq!(s.hear(subscriber), ["PUBREL 9 Packet Identifier not found"]);
}

#[test]
fn pubrec_again_is_answered_again() {
    let (mut s, _, subscriber) = one_in_flight(2);
    s.packet(subscriber, &Packet::Pubrec(ack(1)));
    s.packet(subscriber, &Packet::Pubrec(ack(1)));
    assert_eq!(s.hear(subscriber), ["PUBREL 1", "PUBREL 1"]);
}

#[test]
fn a_received_id_outlives_the_connection() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join_for_an_hour("p"), s.join("s"));
    s.subscribe(subscriber, "a", 2);
    s.hear(subscriber);
    s.publish_qos(publisher, "a", "x", 2, 6);
    s.cut(publisher);
    let mut back = connect("p");
    back.clean_start = false;
    back.properties.session_expiry_interval_s = Some(3600);
    let (publisher, _) = s.connect(&back);
    s.publish_qos(publisher, "a", "x", 2, 6);
    assert_eq!(s.hear(publisher), ["PUBREC 6"]);
    assert_eq!(s.hear(subscriber), ["a 'x' q2 #1"]);
    assert_eq!(s.counter("publish_duplicates"), 1);
}

#[test]
fn a_smaller_receive_maximum_holds_back_the_redelivery() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(subscriber, "a", 1);
    for n in 1..=3 {
        s.publish_qos(publisher, "a", &n.to_string(), 1, n);
    }
    s.cut(subscriber);
    let mut back = Connect { clean_start: false, ..connect("s") };
    back.properties.receive_maximum = Some(1);
    let (subscriber, heard) = s.connect(&back);
    assert_eq!(heard[1..], ["a '1' q1 #1 dup"]);
    s.publish_qos(publisher, "a", "4", 1, 4);
    for (id, next) in [(1, "a '2' q1 #2 dup"), (2, "a '3' q1 #3 dup"), (3, "a '4' q1 #4")] {
        s.puback(subscriber, id);
        assert_eq!(s.hear(subscriber), [next]);
    }
}

#[test]
fn a_redelivery_that_no_longer_fits_the_client_is_dropped() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(subscriber, "a", 1);
    s.publish_qos(publisher, "a", &"x".repeat(100), 1, 1);
    s.cut(subscriber);
    let mut back = Connect { clean_start: false, ..connect("s") };
    back.properties.maximum_packet_size = Some(60);
    let (_, heard) = s.connect(&back);
    assert_eq!(heard, ["CONNACK Success present"]);
    assert_eq!(s.shards[0].gauges().queued_bytes, 0);
}

#[test]
fn an_idle_session_gives_back_what_traffic_needed() {
    let mut s = Script::of_one();
    let (client, _) = s.connect(&Connect { keep_alive_s: 10, ..connect("c") });
    s.publish_qos(client, "a", "x", QoS::ExactlyOnce as u8, 1);
    s.packet(client, &Packet::Pubrel(ack(1)));
    for _ in 0..5 {
        s.secs(9);
        s.packet(client, &Packet::Pingreq);
    }
    let heard = s.hear(client);
    assert_eq!(heard.iter().filter(|line| *line == "PINGRESP").count(), 5);
    assert!(!s.is_closed(client));
}

#[test]
fn a_qos_2_redelivery_that_does_not_fit_the_client_is_released() {
    let mut s = Script::of_one();
    let (publisher, subscriber) = (s.join("p"), s.join_for_an_hour("s"));
    s.subscribe(subscriber, "a", 2);
    s.publish_qos(publisher, "a", &"x".repeat(100), 2, 1);
    s.cut(subscriber);
    let mut back = Connect { clean_start: false, ..connect("s") };
    back.properties.maximum_packet_size = Some(60);
    let (subscriber, heard) = s.connect(&back);
    assert_eq!(heard, ["CONNACK Success present", "PUBREL 1"]);
    s.packet(subscriber, &Packet::Pubcomp(with_reason(1, ReasonCode::PacketIdentifierNotFound)));
    s.publish_qos(publisher, "a", "y", 2, 2);
    assert_eq!(s.hear(subscriber), ["a 'y' q2 #2"]);
}
