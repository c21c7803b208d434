//! Chapters 3.8 to 3.12: SUBSCRIBE, UNSUBSCRIBE and PINGREQ.

use conformance::*;

fn refused(packet: impl AsRef<[u8]>) {
    let mut client = v311("refused").open();
    client.send(packet);
    assert_eq!(client.expect_disconnect(&[]), []);
}

/// [MQTT-3.8.1-1]
#[test]
fn mqtt311_3_8_1_1_subscribe_with_other_flags_closes() {
    for first in [0x80, 0x81, 0x83, 0x86, 0x8F] {
        refused(frame(first, [&[0, 1][..], &string("a"), &[0]].concat()));
    }
}

/// [MQTT-3.8.3-1]
#[test]
fn mqtt311_3_8_3_1_subscribe_without_a_filter_closes() {
    refused(frame(SUBSCRIBE, [0, 1]));
}

#[test]
fn a_requested_qos_of_3_and_reserved_bits_close() {
    for qos in [0x03, 0x04, 0x80] {
        refused(subscribe(Version::V311, 1, &[("a", qos)], &[]));
    }
}

/// [MQTT-3.8.4-1]
#[test]
fn mqtt311_3_8_4_1_subscribe_is_answered_with_suback() {
    let mut client = v311("answer").open();
    client.send(subscribe(Version::V311, 1, &[(&unique("answer"), 0)], &[]));
    assert!(matches!(client.recv(), Packet::Suback(_)));
}

/// [MQTT-3.8.4-2]
#[test]
fn mqtt311_3_8_4_2_suback_has_the_packet_id_of_subscribe() {
    let mut client = v311("answer").open();
    for id in [7, 65_535] {
        client.send(subscribe(Version::V311, id, &[(&unique("answer"), 0)], &[]));
        assert!(matches!(client.recv(), Packet::Suback(suback) if suback.packet_id == id));
    }
}

/// [MQTT-3.8.4-3]
#[test]
fn mqtt311_3_8_4_3_the_same_filter_again_replaces_the_subscription() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("replace"));
    publisher.publish(message(&topic, "retained").qos(1).retain());
    for qos in [2, 0, 1] {
        client.subscribe(&topic, qos);
        // The retained message comes again, and one copy of each message that follows.
        assert_eq!(client.expect("retained").qos, qos.min(1));
        publisher.publish(message(&topic, "live").qos(2));
        let messages = client.messages_from(&mut publisher);
        assert!(messages.len() == 1 && messages[0].qos == qos, "{messages:?}");
    }
}

/// [MQTT-3.8.4-4]
#[test]
fn mqtt311_3_8_4_4_several_filters_are_as_several_packets() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("several"));
    let names = ["a", "b", "c"].map(|level| format!("{topic}/{level}"));
    let list: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    client.send(subscribe(Version::V311, 1000, &list, &[]));
    assert!(matches!(client.recv(), Packet::Suback(suback) if suback.codes == [1, 1, 1]));
    for name in &names {
        publisher.publish(message(name, name));
        client.expect(name);
    }
}

/// [MQTT-3.8.4-5]
#[test]
fn mqtt311_3_8_4_5_suback_has_a_return_code_for_each_filter() {
    let (mut client, topic) = (v311("codes").open(), unique("codes"));
    for count in [1, 2, 50] {
        let names: Vec<_> = (0..count).map(|number| format!("{topic}/{number}")).collect();
        let list: Vec<_> = names.iter().map(|name| (name.as_str(), 0)).collect();
        assert_eq!(client.subscribe_list(&list, &[]), vec![0; count]);
    }
}

/// [MQTT-3.8.4-6]
#[test]
fn mqtt311_3_8_4_6_the_qos_is_the_lower_of_published_and_granted() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("lower"));
    for granted in 0..=2 {
        let name = format!("{topic}/{granted}");
        client.subscribe(&name, granted);
        for published in 0..=2 {
            publisher.publish(message(&name, "x").qos(published));
            let publish = client.expect("x");
            assert_eq!(publish.qos, granted.min(published));
            client.ack(&publish);
        }
    }
}

/// [MQTT-3.9.3-1]
#[test]
fn mqtt311_3_9_3_1_the_return_codes_are_in_the_order_of_the_filters() {
    let (mut client, topic) = (v311("order").open(), unique("order"));
    let names = ["a", "b", "c", "d"].map(|level| format!("{topic}/{level}"));
    let list: Vec<_> = names.iter().map(String::as_str).zip([2, 0, 1, 2]).collect();
    assert_eq!(client.subscribe_list(&list, &[]), [2, 0, 1, 2]);
}

/// [MQTT-3.9.3-2] The reader of these tests refuses other codes.
#[test]
fn mqtt311_3_9_3_2_suback_has_no_reserved_return_codes() {
    let (mut client, topic) = (v311("codes").open(), unique("codes"));
    assert_eq!(client.subscribe_list(&[(&topic, 2), ("$SYS/#", 0), ("+/codes/#", 1)], &[]).len(), 3);
}

/// [MQTT-3.10.1-1]
#[test]
fn mqtt311_3_10_1_1_unsubscribe_with_other_flags_closes() {
    for first in [0xA0, 0xA1, 0xA3, 0xA6, 0xAF] {
        refused(frame(first, [&[0, 1][..], &string("a")].concat()));
    }
}

#[test]
fn unsubscribe_without_a_filter_closes() {
    refused(unsubscribe(Version::V311, 1, &[]));
}

/// [MQTT-3.10.3-1]
#[test]
fn mqtt311_3_10_3_1_filters_are_compared_byte_for_byte() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("compare"));
    let (name, wild) = (format!("{topic}/a"), format!("{topic}/+"));
    client.subscribe(&wild, 0);
    client.unsubscribe(&[&name, &format!("{topic}/#"), &wild.to_uppercase()]);
    publisher.publish(message(&name, "still here"));
    client.expect("still here");
    client.unsubscribe(&[&wild]);
    publisher.publish(message(&name, "gone"));
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-3.10.3-2]
#[test]
fn mqtt311_3_10_3_2_no_new_messages_are_added() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("stop"));
    client.subscribe(&topic, 1);
    publisher.publish(message(&topic, "before").qos(1));
    client.expect("before");
    client.unsubscribe(&[&topic]);
    publisher.publish(message(&topic, "after").qos(1));
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-3.10.3-3]
#[test]
fn mqtt311_3_10_3_3_a_delivery_that_has_begun_is_completed() {
    let (mut publisher, connect, topic) = (v311("pub").open(), v311("sub").lasting(), unique("complete"));
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "1").qos(1));
    publisher.publish(message(&topic, "2").qos(2));
    client.recv_publishes(2);
    client.unsubscribe(&[&topic]);
    client.cut();
    let mut client = connect.open();
    for payload in ["1", "2"] {
        let publish = client.expect(payload);
        client.ack(&publish);
    }
    client.expect_nothing();
}

/// [MQTT-3.10.3-4]
#[test]
fn mqtt311_3_10_3_4_unsuback_has_the_packet_id_of_unsubscribe() {
    let (mut client, topic) = (v311("answer").open(), unique("answer"));
    for id in [7, 65_535] {
        client.subscribe(&topic, 0);
        client.send(unsubscribe(Version::V311, id, &[&topic]));
        assert!(matches!(client.recv(), Packet::Unsuback(unsuback) if unsuback.packet_id == id));
    }
}

/// [MQTT-3.10.3-5]
#[test]
fn mqtt311_3_10_3_5_unsuback_comes_also_where_nothing_is_deleted() {
    let mut client = v311("answer").open();
    client.send(unsubscribe(Version::V311, 7, &["never/subscribed"]));
    assert!(matches!(client.recv(), Packet::Unsuback(unsuback) if unsuback.packet_id == 7));
}

/// [MQTT-3.10.3-6]
#[test]
fn mqtt311_3_10_3_6_several_filters_are_as_several_packets() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("several"));
    let names = ["a", "b", "c"].map(|level| format!("{topic}/{level}"));
    names.iter().for_each(|name| client.subscribe(name, 0));
    client.unsubscribe(&[&names[0], "never", &names[2]]);
    for name in &names {
        publisher.publish(message(name, name));
    }
    let messages = client.messages_from(&mut publisher);
    assert_eq!(messages.iter().map(Publish::text).collect::<Vec<_>>(), [names[1].as_str()]);
}

/// [MQTT-3.12.4-1]
#[test]
fn mqtt311_3_12_4_1_pingreq_is_answered_with_pingresp() {
    let mut client = v311("ping").open();
    for _ in 0..3 {
        client.send(frame(PINGREQ, []));
        assert_eq!(client.recv(), Packet::Pingresp);
    }
}
