//! Chapters 3.4 to 3.7: PUBACK, PUBREC, PUBREL and PUBCOMP from the server.

use conformance::*;

/// A Maximum Packet Size that a CONNACK still fits into. The client of these tests refuses what is larger.
const SMALL: u32 = 64;

/// [MQTT-3.4.2-1]
#[test]
fn mqtt5_3_4_2_1_puback_has_one_of_its_reason_codes() {
    let (mut client, mut subscriber, topic) = (v5("ack").open(), v5("sub").open(), unique("ack"));
    assert!([0x00, 0x10].contains(&client.publish(message(&topic, "nobody").qos(1))));
    subscriber.subscribe(&topic, 1);
    assert_eq!(client.publish(message(&topic, "somebody").qos(1)), 0x00);
}

/// [MQTT-3.4.2-2]
#[test]
fn mqtt5_3_4_2_2_no_reason_string_makes_puback_too_large() {
    let mut client = v5("small").packet_size_max(SMALL).open();
    client.publish(message(unique("nobody"), "x").qos(1));
}

/// [MQTT-3.4.2-3]
#[test]
fn mqtt5_3_4_2_3_no_user_property_makes_puback_too_large() {
    let mut client = v5("small").packet_size_max(SMALL).open();
    client.publish(message(unique("nobody"), "x").qos(1).with(property::user("n", "v".repeat(100))));
}

/// [MQTT-3.5.2-1]
#[test]
fn mqtt5_3_5_2_1_pubrec_has_one_of_its_reason_codes() {
    let (mut client, mut subscriber, topic) = (v5("rec").open(), v5("sub").open(), unique("rec"));
    assert!([0x00, 0x10].contains(&client.publish(message(&topic, "nobody").qos(2))));
    subscriber.subscribe(&topic, 2);
    assert_eq!(client.publish(message(&topic, "somebody").qos(2)), 0x00);
}

/// [MQTT-3.5.2-2]
#[test]
fn mqtt5_3_5_2_2_no_reason_string_makes_pubrec_too_large() {
    let mut client = v5("small").packet_size_max(SMALL).open();
    client.publish(message(unique("nobody"), "x").qos(2));
}

/// [MQTT-3.5.2-3]
#[test]
fn mqtt5_3_5_2_3_no_user_property_makes_pubrec_too_large() {
    let mut client = v5("small").packet_size_max(SMALL).open();
    client.publish(message(unique("nobody"), "x").qos(2).with(property::user("n", "v".repeat(100))));
}

/// [MQTT-3.6.1-1]
#[test]
fn mqtt5_3_6_1_1_pubrel_with_other_flags_is_malformed() {
    for first in [0x60, 0x61, 0x63, 0x66, 0x6A, 0x6F] {
        let mut client = v5("rel").open();
        client.send_message(&message(unique("rel"), "x").qos(2).id(1000));
        client.await_pubrec(1000);
        client.send(ack(first, 1000));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.6.2-1] The code for a packet id that is not in use is "Packet Identifier not found".
#[test]
fn mqtt5_3_6_2_1_pubrel_has_one_of_its_reason_codes() {
    let mut client = v5("rel").open();
    client.send(ack(PUBREC, 1000));
    assert!(client.await_pubrel(1000).code == 0x92 || !broker::is_ours());
}

fn take_qos_2_with_unknown_ids(connect: Connect) {
    let (mut publisher, mut client, topic) = (v5("pub").open(), connect.open(), unique("qos2"));
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "x").qos(2));
    let publish = client.expect("x");
    client.ack(&publish);
    client.send(ack(PUBREC, 1000));
    client.await_pubrel(1000);
    client.send(ack(PUBREL, 1000));
    client.await_pubcomp(1000);
}

/// [MQTT-3.6.2-2] [MQTT-3.7.2-2]
#[test]
fn mqtt5_3_6_2_2_no_reason_string_makes_pubrel_too_large() {
    take_qos_2_with_unknown_ids(v5("small").packet_size_max(SMALL));
}

/// [MQTT-3.6.2-3]
#[test]
fn mqtt5_3_6_2_3_no_user_property_makes_pubrel_too_large() {
    take_qos_2_with_unknown_ids(v5("small").packet_size_max(SMALL).user_name("user"));
}

/// [MQTT-3.7.2-1] The code for a packet id that is not in use is "Packet Identifier not found".
#[test]
fn mqtt5_3_7_2_1_pubcomp_has_one_of_its_reason_codes() {
    let mut client = v5("comp").open();
    client.publish(message(unique("comp"), "x").qos(2));
    client.send(ack(PUBREL, 1000));
    assert!(client.await_pubcomp(1000).code == 0x92 || !broker::is_ours());
}

/// [MQTT-3.7.2-2]
#[test]
fn mqtt5_3_7_2_2_no_reason_string_makes_pubcomp_too_large() {
    let mut client = v5("small").packet_size_max(SMALL).open();
    client.send(ack(PUBREL, 1000));
    client.await_pubcomp(1000);
}

/// [MQTT-3.7.2-3]
#[test]
fn mqtt5_3_7_2_3_no_user_property_makes_pubcomp_too_large() {
    let mut client = v5("small").packet_size_max(SMALL).open();
    client.send(ack(PUBREL, 1000));
    client.await_pubcomp(1000);
    client.publish(message(unique("comp"), "x").qos(2).with(property::user("n", "v".repeat(100))));
}

#[test]
fn an_acknowledgement_of_an_unknown_packet_id_is_ignored() {
    let mut client = v5("unknown").open();
    client.send(ack(PUBACK, 1000));
    client.send(ack(PUBCOMP, 1000));
    client.expect_nothing();
}

#[test]
fn acknowledgements_are_read_in_every_length() {
    let (mut publisher, mut client, topic) =
        (v5("pub").open(), v5("sub").receive_maximum(1).open(), unique("ack"));
    client.subscribe(&topic, 1);
    let reason = property::text(property::REASON_STRING, "taken");
    let endings = [vec![], vec![0x00], vec![0x00, 0x00], [&[0x00, reason.len() as u8], &reason[..]].concat()];
    for ending in endings {
        publisher.publish(message(&topic, "x").qos(1));
        let id = client.expect("x").id();
        client.send(frame(PUBACK, [&id.to_be_bytes()[..], &ending].concat()));
    }
    client.expect_nothing();
}

#[test]
fn an_acknowledgement_that_is_too_short_is_malformed() {
    for first in [PUBACK, PUBREC, PUBREL, PUBCOMP] {
        let mut client = v5("short").open();
        client.send(frame(first, [1]));
        client.expect_disconnect(&[0x81]);
    }
}
