//! Chapters 1 and 2: strings, fixed header, packet ids.

use conformance::*;

fn refused(packet: impl AsRef<[u8]>) {
    let mut client = v311("refused").open();
    client.send(packet);
    assert_eq!(client.expect_disconnect(&[]), []);
}

/// [MQTT-1.1.0-1]
#[test]
fn mqtt311_1_1_0_1_each_subscription_of_a_session_has_its_own_filter() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("filter"));
    client.subscribe(&topic, 1);
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "x").qos(1));
    let messages = client.messages_from(&mut publisher);
    assert!(messages.len() == 1 && messages[0].qos == 0, "{messages:?}");
}

/// [MQTT-1.4.0-1]
#[test]
fn mqtt311_1_4_0_1_a_string_that_is_not_utf8_closes() {
    for text in [&b"a\xED\xA0\x80b"[..], b"a\xC0\xAFb", b"a\x80b", b"a\xE2\x82", b"\xF5\x80\x80\x80"] {
        refused(message(text, "x").bytes(Version::V311));
        refused(frame(SUBSCRIBE, [&[0, 1][..], &string(text), &[0]].concat()));
        Connect::new(Version::V311, text).attempt().expect_close();
    }
}

/// [MQTT-1.4.0-2]
#[test]
fn mqtt311_1_4_0_2_a_null_character_closes() {
    refused(message("a\0b", "x").bytes(Version::V311));
    refused(subscribe(Version::V311, 1, &[("a\0b", 0)], &[]));
}

/// [MQTT-1.4.0-3]
#[test]
fn mqtt311_1_4_0_3_a_byte_order_mark_is_a_character_like_any_other() {
    let (mut publisher, mut marked, mut plain) =
        (v311("pub").open(), v311("marked").open(), v311("plain").open());
    let topic = unique("bom");
    let marked_topic = format!("\u{FEFF}{topic}");
    marked.subscribe(&marked_topic, 0);
    plain.subscribe(&topic, 0);
    publisher.publish(message(&marked_topic, "x"));
    assert_eq!(marked.expect("x").topic, marked_topic);
    assert_eq!(plain.messages_from(&mut publisher), []);
}

/// [MQTT-2.0.0-1]
#[test]
fn mqtt311_2_0_0_1_a_packet_that_breaks_the_specification_closes() {
    let broken = [
        frame(0x00, []),
        frame(0xF0, []),
        frame(0x20, [0, 0]),
        frame(PUBLISH, [0]),
        frame(PUBLISH, [0, 9, b'a']),
        frame(SUBSCRIBE, [0]),
        frame(PUBACK, [1]),
        vec![PUBLISH, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        message("a", "x").qos(3).id(1).bytes(Version::V311),
    ];
    broken.iter().for_each(refused);
}

/// [MQTT-2.1.2-1]
#[test]
fn mqtt311_2_1_2_1_invalid_flags_close() {
    let subscribe = frame(0x80, [&[0, 1][..], &string("a"), &[0]].concat());
    let unsubscribe = frame(0xA0, [&[0, 1][..], &string("a")].concat());
    for packet in [subscribe, unsubscribe, ack(0x60, 1), frame(0xC1, []), frame(0xE4, [])] {
        refused(packet);
    }
}

/// A session with one message in flight, and what it gets after a reconnect.
fn redelivered(qos: u8) -> (Publish, Publish) {
    let (mut publisher, connect, topic) = (v311("pub").open(), v311("sub").lasting(), unique("dup"));
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "x").qos(qos));
    let first = client.expect("x");
    client.cut();
    (first, connect.open().expect("x"))
}

/// [MQTT-2.1.2-2]
#[test]
fn mqtt311_2_1_2_2_dup_is_0_the_first_time() {
    for qos in [1, 2] {
        let (first, again) = redelivered(qos);
        assert!(!first.dup && again.dup);
    }
}

/// [MQTT-2.1.2-3]
#[test]
fn mqtt311_2_1_2_3_dup_is_1_when_a_message_is_sent_again() {
    for qos in [1, 2] {
        let (first, again) = redelivered(qos);
        assert!(again.dup && again.packet_id == first.packet_id);
    }
}

/// [MQTT-2.1.2-4]
#[test]
fn mqtt311_2_1_2_4_dup_is_0_for_qos_0() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("dup"));
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "x").qos(1).dup());
    assert!(!client.expect("x").dup);
}

/// [MQTT-2.1.2-5]
#[test]
fn mqtt311_2_1_2_5_dup_is_not_passed_on() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("dup"));
    client.subscribe(&topic, 2);
    for qos in [1, 2] {
        publisher.publish(message(&topic, "x").qos(qos).dup());
        assert!(!client.expect("x").dup);
    }
}

/// What a new subscriber to `filter` gets before anything else.
fn retained(filter: &str, publisher: &mut Client) -> Vec<Publish> {
    let mut client = v311("late").open();
    client.subscribe(filter, 2);
    client.messages_from(publisher)
}

/// [MQTT-2.1.2-6]
#[test]
fn mqtt311_2_1_2_6_a_message_with_retain_is_stored_with_its_qos() {
    let mut publisher = v311("pub").open();
    for qos in 0..=2 {
        let topic = unique("retain");
        publisher.publish(message(&topic, "x").qos(qos).retain());
        let messages = retained(&topic, &mut publisher);
        assert!(messages.len() == 1 && messages[0].text() == "x" && messages[0].qos == qos, "{messages:?}");
    }
}

/// [MQTT-2.1.2-7]
#[test]
fn mqtt311_2_1_2_7_a_new_subscription_gets_the_last_retained_message_of_each_topic() {
    let (mut publisher, topic) = (v311("pub").open(), unique("retain"));
    for (level, payload) in [("a", "1"), ("b", "2"), ("a", "3"), ("c/d", "4")] {
        publisher.publish(message(format!("{topic}/{level}"), payload).qos(1).retain());
    }
    let texts = |filter: &str, publisher: &mut Client| {
        let mut texts: Vec<_> =
            retained(filter, publisher).iter().map(|publish| publish.text().to_owned()).collect();
        texts.sort();
        texts
    };
    assert_eq!(texts(&format!("{topic}/+"), &mut publisher), ["2", "3"]);
    assert_eq!(texts(&format!("{topic}/#"), &mut publisher), ["2", "3", "4"]);
}

/// [MQTT-2.1.2-8]
#[test]
fn mqtt311_2_1_2_8_a_qos_0_message_with_retain_discards_the_one_before() {
    let (mut publisher, topic) = (v311("pub").open(), unique("retain"));
    publisher.publish(message(&topic, "old").qos(1).retain());
    publisher.publish(message(&topic, "new").retain());
    publisher.ping();
    // It may be discarded at any time, the old one must be.
    assert!(retained(&topic, &mut publisher).iter().all(|publish| publish.text() == "new"));
}

/// [MQTT-2.1.2-9]
#[test]
fn mqtt311_2_1_2_9_retain_is_1_for_a_new_subscription() {
    let (mut publisher, topic) = (v311("pub").open(), unique("retain"));
    publisher.publish(message(&topic, "x").qos(1).retain());
    assert!(retained(&topic, &mut publisher)[0].retain);
}

/// [MQTT-2.1.2-10]
#[test]
fn mqtt311_2_1_2_10_retain_is_0_for_an_established_subscription() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("retain"));
    client.subscribe(&topic, 1);
    publisher.publish(message(&topic, "x").qos(1).retain());
    assert!(!client.expect("x").retain);
}

/// [MQTT-2.1.2-11]
#[test]
fn mqtt311_2_1_2_11_an_empty_payload_removes_the_retained_message() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("retain"));
    publisher.publish(message(&topic, "x").qos(1).retain());
    client.subscribe(&topic, 0);
    client.expect("x");
    publisher.publish(message(&topic, "").qos(1).retain());
    client.expect("");
    assert_eq!(retained(&topic, &mut publisher), []);
}

/// [MQTT-2.1.2-12]
#[test]
fn mqtt311_2_1_2_12_a_message_without_retain_leaves_the_retained_one() {
    let (mut publisher, topic) = (v311("pub").open(), unique("retain"));
    publisher.publish(message(&topic, "not retained").qos(1));
    assert_eq!(retained(&topic, &mut publisher), []);
    publisher.publish(message(&topic, "retained").qos(1).retain());
    publisher.publish(message(&topic, "not retained").qos(1));
    publisher.publish(message(&topic, "").qos(1));
    assert_eq!(retained(&topic, &mut publisher)[0].text(), "retained");
}

/// [MQTT-2.3.1-1]
#[test]
fn mqtt311_2_3_1_1_packet_id_zero_closes() {
    refused(message("a", "x").qos(1).id(0).bytes(Version::V311));
    refused(message("a", "x").qos(2).id(0).bytes(Version::V311));
    refused(subscribe(Version::V311, 0, &[("a", 0)], &[]));
    refused(unsubscribe(Version::V311, 0, &["a"]));
}

/// [MQTT-2.3.1-5]
#[test]
fn mqtt311_2_3_1_5_a_qos_0_publish_has_no_packet_id() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("qos0"));
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "payload").qos(2));
    assert_eq!(client.expect("payload").packet_id, None);
}

/// [MQTT-2.3.1-6]
#[test]
fn mqtt311_2_3_1_6_acknowledgements_have_the_packet_id_of_the_publish() {
    let mut client = v311("ids").open();
    for id in [1000, 1, 65_535] {
        client.send_message(&message("a", "x").qos(1).id(id));
        assert!(matches!(client.recv(), Packet::Puback(ack) if ack.packet_id == id));
        client.send_message(&message("a", "x").qos(2).id(id));
        assert!(matches!(client.recv(), Packet::Pubrec(ack) if ack.packet_id == id));
        client.send(ack(PUBREL, id));
        assert!(matches!(client.recv(), Packet::Pubcomp(ack) if ack.packet_id == id));
    }
}

/// [MQTT-2.3.1-7]
#[test]
fn mqtt311_2_3_1_7_suback_and_unsuback_have_the_packet_id_of_the_request() {
    let (mut client, topic) = (v311("ids").open(), unique("ids"));
    for id in [1000, 1, 65_535] {
        client.send(subscribe(Version::V311, id, &[(&topic, 0)], &[]));
        assert!(matches!(client.recv(), Packet::Suback(codes) if codes.packet_id == id));
        client.send(unsubscribe(Version::V311, id, &[&topic]));
        assert!(matches!(client.recv(), Packet::Unsuback(codes) if codes.packet_id == id));
    }
}
