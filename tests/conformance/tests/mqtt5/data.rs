//! Chapters 1.5 and 2: data types, and the parts that all packets share.

use conformance::*;

/// Not well-formed: a lone surrogate, an overlong `/`, a lone continuation byte, a string that ends too early.
const ILL_FORMED: [&[u8]; 4] = [b"a\xED\xA0\x80b", b"a\xC0\xAFb", b"a\x80b", b"a\xE2\x82"];

/// [MQTT-1.5.4-1]
#[test]
fn mqtt5_1_5_4_1_a_string_that_is_not_utf8_is_malformed() {
    for topic in ILL_FORMED {
        let mut client = v5("utf8").open();
        client.send_message(&message(topic, "x"));
        client.expect_disconnect(&[0x81, 0x90]);
    }
}

/// [MQTT-1.5.4-2]
#[test]
fn mqtt5_1_5_4_2_a_null_character_is_malformed() {
    let mut client = v5("null").open();
    client.send_message(&message("a\0b", "x"));
    client.expect_disconnect(&[0x81, 0x90]);
}

/// [MQTT-1.5.4-3]
#[test]
fn mqtt5_1_5_4_3_a_byte_order_mark_is_a_character_like_any_other() {
    let (mut publisher, mut marked, mut plain) = (v5("bom").open(), v5("bom").open(), v5("bom").open());
    let topic = unique("bom");
    let marked_topic = format!("\u{FEFF}{topic}");
    marked.subscribe(&marked_topic, 0);
    plain.subscribe(&topic, 0);
    publisher
        .publish(message(&marked_topic, "x").with(property::text(property::CONTENT_TYPE, "\u{FEFF}text")));
    let publish = marked.expect("x");
    assert_eq!(publish.topic, marked_topic);
    assert_eq!(publish.properties.text(property::CONTENT_TYPE), Some("\u{FEFF}text"));
    assert_eq!(plain.messages_from(&mut publisher), []);
}

/// [MQTT-1.5.5-1] The reader of these tests refuses a length with more bytes than it needs; here are the lengths at
/// which the number of bytes changes.
#[test]
fn mqtt5_1_5_5_1_lengths_take_the_fewest_bytes() {
    let (mut publisher, mut subscriber) = (v5("varint").open(), v5("varint").open());
    let topic = unique("varint");
    subscriber.subscribe(&topic, 0);
    for remaining in [127, 128, 16_383, 16_384] {
        let payload = "x".repeat(remaining - topic.len() - 3);
        publisher.publish(message(&topic, &payload));
        subscriber.expect(&payload);
    }
    for length in [100, 200] {
        publisher.publish(message(&topic, "y").with(property::user("name", "v".repeat(length))));
        assert_eq!(subscriber.expect("y").properties.user()[0].1.len(), length);
    }
}

#[test]
fn a_remaining_length_of_five_bytes_is_malformed() {
    let mut client = v5("varint").open();
    client.send([PUBLISH, 0xFF, 0xFF, 0xFF, 0xFF, 0x01]);
    client.expect_disconnect(&[0x81]);
}

/// [MQTT-1.5.7-1]
#[test]
fn mqtt5_1_5_7_1_both_strings_of_a_pair_are_utf8() {
    let topic = unique("pair");
    for pair in [property::user(b"\xFF", b"v"), property::user(b"n", b"\xED\xA0\x80")] {
        let mut client = v5("pair").open();
        client.send_message(&message(&topic, "x").with(pair));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-2.1.3-1]
#[test]
fn mqtt5_2_1_3_1_reserved_flags_with_another_value_are_malformed() {
    let subscribe = frame(0x80, [&[0, 1, 0][..], &string("a"), &[0]].concat());
    let unsubscribe = frame(0xA0, [&[0, 1, 0][..], &string("a")].concat());
    let packets = [
        ack(0x41, 1),
        ack(0x58, 1),
        ack(0x60, 1),
        ack(0x72, 1),
        subscribe,
        unsubscribe,
        frame(0xC1, []),
        frame(0xE4, []),
        frame(0xF1, [0x19, 0]),
    ];
    for packet in packets {
        let mut client = v5("flags").open();
        client.send(&packet);
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-2.2.1-2]
#[test]
fn mqtt5_2_2_1_2_a_qos_0_publish_has_no_packet_id() {
    let (mut publisher, mut subscriber) = (v5("qos0").open(), v5("qos0").open());
    let topic = unique("qos0");
    subscriber.subscribe(&topic, 0);
    publisher.publish(message(&topic, "payload").qos(1));
    assert_eq!(subscriber.expect("payload").packet_id, None);
}

/// [MQTT-2.2.1-3] It binds the client; the server does not accept it otherwise.
#[test]
fn mqtt5_2_2_1_3_packet_id_zero_is_refused() {
    let topic = unique("zero");
    let packets = [
        message(&topic, "x").qos(1).id(0).bytes(Version::V5),
        message(&topic, "x").qos(2).id(0).bytes(Version::V5),
        subscribe(Version::V5, 0, &[(&topic, 0)], &[]),
        unsubscribe(Version::V5, 0, &[&topic]),
    ];
    for packet in packets {
        let mut client = v5("zero").open();
        client.send(&packet);
        client.expect_disconnect(&[0x81, 0x82]);
    }
}

/// [MQTT-2.2.1-4]
#[test]
fn mqtt5_2_2_1_4_the_server_takes_packet_ids_that_are_unused_and_not_zero() {
    let (mut publisher, mut subscriber) = (v5("unused").open(), v5("unused").open());
    let topic = unique("unused");
    subscriber.subscribe(&topic, 2);
    for round in 0..16 {
        publisher.publish(message(&topic, "x").qos(1 + round % 2));
    }
    let mut ids: Vec<u16> = subscriber.recv_publishes(16).iter().map(Publish::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 16, "packet ids {ids:?}");
    assert!(!ids.contains(&0));
}

/// [MQTT-2.2.1-5]
#[test]
fn mqtt5_2_2_1_5_acknowledgements_have_the_packet_id_of_the_publish() {
    let mut client = v5("ids").open();
    let topic = unique("ids");
    for id in [1000, 1, 65_535] {
        client.send_message(&message(&topic, "x").qos(1).id(id));
        assert!(matches!(client.recv(), Packet::Puback(ack) if ack.packet_id == id));
        client.send_message(&message(&topic, "x").qos(2).id(id));
        assert!(matches!(client.recv(), Packet::Pubrec(ack) if ack.packet_id == id));
        client.send(ack(PUBREL, id));
        assert!(matches!(client.recv(), Packet::Pubcomp(ack) if ack.packet_id == id));
    }
}

/// [MQTT-2.2.1-6]
#[test]
fn mqtt5_2_2_1_6_suback_and_unsuback_have_the_packet_id_of_the_request() {
    let mut client = v5("ids").open();
    let topic = unique("ids");
    for id in [1000, 1, 65_535] {
        client.send(subscribe(Version::V5, id, &[(&topic, 0)], &[]));
        assert!(matches!(client.recv(), Packet::Suback(codes) if codes.packet_id == id));
        client.send(unsubscribe(Version::V5, id, &[&topic]));
        assert!(matches!(client.recv(), Packet::Unsuback(codes) if codes.packet_id == id));
    }
}

/// [MQTT-2.2.2-1] The reader of these tests finds a property length in every packet that has one. From a client, its
/// absence is malformed.
#[test]
fn mqtt5_2_2_2_1_no_properties_are_a_property_length_of_zero() {
    let topic = unique("nolen");
    let (mut publisher, mut subscriber) = (v5("nolen").open(), v5("nolen").open());
    subscriber.subscribe(&topic, 0);
    publisher.publish(message(&topic, ""));
    let publish = subscriber.expect("");
    assert!(publish.properties.is_empty());

    publisher.send(frame(PUBLISH, string(&topic)));
    publisher.expect_disconnect(&[0x81]);
}

#[test]
fn a_property_length_beyond_the_packet_is_malformed() {
    let mut client = v5("toolong").open();
    client.send(frame(PUBLISH, [string("a"), vec![100, 1, 0]].concat()));
    client.expect_disconnect(&[0x81]);
}
