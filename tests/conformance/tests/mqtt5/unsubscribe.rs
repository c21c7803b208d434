//! Chapters 3.10 and 3.11: UNSUBSCRIBE and UNSUBACK.

use conformance::*;

fn refused(packet: Vec<u8>, codes: &[u8]) {
    let mut client = v5("refused").open();
    client.send(packet);
    client.expect_disconnect(codes);
}

/// [MQTT-3.10.1-1]
#[test]
fn mqtt5_3_10_1_1_unsubscribe_with_other_flags_is_malformed() {
    for first in [0xA0, 0xA1, 0xA3, 0xA6, 0xAF] {
        refused(frame(first, [&[0, 1, 0][..], &string("a")].concat()), &[0x81]);
    }
}

/// [MQTT-3.10.3-1]
#[test]
fn mqtt5_3_10_3_1_a_filter_that_is_not_utf8_is_malformed() {
    for filter in [&b"a\xED\xA0\x80"[..], b"\xFF", b"a\0b"] {
        refused(frame(UNSUBSCRIBE, [&[0, 1, 0][..], &string(filter)].concat()), &[0x81, 0x8F]);
    }
}

/// [MQTT-3.10.3-2]
#[test]
fn mqtt5_3_10_3_2_unsubscribe_without_a_filter_is_a_protocol_error() {
    refused(unsubscribe(Version::V5, 1, &[]), &[0x82, 0x81]);
}

/// [MQTT-3.10.4-1]
#[test]
fn mqtt5_3_10_4_1_filters_are_compared_character_by_character() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("compare"));
    let (name, wild) = (format!("{topic}/a"), format!("{topic}/+"));
    client.subscribe(&wild, 0);
    let strangers = [name.clone(), format!("{topic}/#"), format!("{topic}/+/"), wild.to_uppercase()];
    let strangers = strangers.each_ref().map(String::as_str);
    assert_eq!(client.unsubscribe(&strangers), [0x11; 4]);
    publisher.publish(message(&name, "still here"));
    client.expect("still here");
    assert_eq!(client.unsubscribe(&[&wild]), [0x00]);
    publisher.publish(message(&name, "gone"));
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-3.10.4-2]
#[test]
fn mqtt5_3_10_4_2_no_new_messages_are_added() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("stop"));
    client.subscribe(&topic, 1);
    publisher.publish(message(&topic, "before").qos(1));
    client.expect("before");
    client.unsubscribe(&[&topic]);
    publisher.publish(message(&topic, "after").qos(1));
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-3.10.4-3]
#[test]
fn mqtt5_3_10_4_3_a_delivery_that_has_begun_is_completed() {
    let (mut publisher, topic) = (v5("pub").open(), unique("complete"));
    let connect = v5("sub").lasting();
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    for qos in [1, 2, 2] {
        publisher.publish(message(&topic, qos.to_string()).qos(qos));
    }
    let started = client.recv_publishes(3);
    client.unsubscribe(&[&topic]);
    client.ack(&started[1]);
    client.ping();
    client.cut();
    let mut client = connect.open();
    for (publish, payload) in [(&started[0], "1"), (&started[2], "2")] {
        let again = client.expect(payload);
        assert!(again.dup && again.packet_id == publish.packet_id);
        client.ack(&again);
    }
    client.expect_nothing();
}

/// [MQTT-3.10.4-4]
#[test]
fn mqtt5_3_10_4_4_unsubscribe_is_answered_with_unsuback() {
    let mut client = v5("answer").open();
    client.send(unsubscribe(Version::V5, 1, &["a"]));
    assert!(matches!(client.recv(), Packet::Unsuback(_)));
}

/// [MQTT-3.10.4-5]
#[test]
fn mqtt5_3_10_4_5_unsuback_has_the_packet_id_also_where_nothing_is_deleted() {
    let (mut client, topic) = (v5("answer").open(), unique("answer"));
    client.subscribe(&topic, 0);
    for (id, code) in [(7, 0x00), (65_535, 0x11)] {
        client.send(unsubscribe(Version::V5, id, &[&topic]));
        let unsuback = client.await_unsuback(id);
        assert_eq!(unsuback.codes, [code]);
    }
}

/// [MQTT-3.10.4-6]
#[test]
fn mqtt5_3_10_4_6_several_filters_are_as_several_packets() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("several"));
    let names = ["a", "b", "c"].map(|level| format!("{topic}/{level}"));
    names.iter().for_each(|name| client.subscribe(name, 0));
    client.send(unsubscribe(Version::V5, 1000, &[&names[0], &names[2]]));
    assert!(matches!(client.recv(), Packet::Unsuback(unsuback) if unsuback.codes == [0, 0]));
    for name in &names {
        publisher.publish(message(name, name));
    }
    let messages = client.messages_from(&mut publisher);
    assert_eq!(messages.iter().map(Publish::text).collect::<Vec<_>>(), [names[1].as_str()]);
}

/// [MQTT-3.11.2-1] The client of these tests refuses packets that are larger than it allows.
#[test]
fn mqtt5_3_11_2_1_no_reason_string_makes_unsuback_too_large() {
    let mut client = v5("small").packet_size_max(64).open();
    assert_eq!(client.unsubscribe(&["never/subscribed"]), [0x11]);
}

/// [MQTT-3.11.2-2]
#[test]
fn mqtt5_3_11_2_2_no_user_property_makes_unsuback_too_large() {
    let mut client = v5("small").packet_size_max(64).open();
    let user = property::user("n", "v".repeat(100));
    client.send(frame(UNSUBSCRIBE, [&[0, 9][..], &block(Version::V5, &user), &string("a")].concat()));
    client.await_unsuback(9);
}

/// [MQTT-3.11.3-1]
#[test]
fn mqtt5_3_11_3_1_the_reason_codes_are_in_the_order_of_the_filters() {
    let (mut client, topic) = (v5("order").open(), unique("order"));
    client.subscribe(&topic, 0);
    assert_eq!(client.unsubscribe(&["not/1", &topic, "not/2"]), [0x11, 0x00, 0x11]);
    assert_eq!(client.unsubscribe(&[&topic]), [0x11]);
}

/// [MQTT-3.11.3-2] The reader of these tests refuses other codes.
#[test]
fn mqtt5_3_11_3_2_each_filter_gets_one_of_the_unsubscribe_reason_codes() {
    let (mut client, topic) = (v5("codes").open(), unique("codes"));
    let shared = format!("$share/group/{topic}");
    client.subscribe(&shared, 0);
    assert_eq!(client.unsubscribe(&[&shared, "never", "$share/group/never"]), [0x00, 0x11, 0x11]);
}
