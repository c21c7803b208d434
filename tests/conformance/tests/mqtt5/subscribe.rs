//! Chapters 3.8 and 3.9: SUBSCRIBE and SUBACK.

use conformance::*;

/// A SUBSCRIBE whose payload is given as bytes.
fn raw_subscribe(payload: &[u8]) -> Vec<u8> {
    frame(SUBSCRIBE, [&[0, 1, 0], payload].concat())
}

fn refused(packet: Vec<u8>, codes: &[u8]) {
    let mut client = v5("refused").open();
    client.send(packet);
    client.expect_disconnect(codes);
}

/// [MQTT-3.8.1-1]
#[test]
fn mqtt5_3_8_1_1_subscribe_with_other_flags_is_malformed() {
    for first in [0x80, 0x81, 0x83, 0x86, 0x8F] {
        refused(frame(first, [&[0, 1, 0][..], &string("a"), &[0]].concat()), &[0x81]);
    }
}

/// [MQTT-3.8.3-1]
#[test]
fn mqtt5_3_8_3_1_a_filter_that_is_not_utf8_is_malformed() {
    for filter in [&b"a\xED\xA0\x80"[..], b"\xFF", b"a\0b"] {
        refused(raw_subscribe(&[&string(filter)[..], &[0]].concat()), &[0x81, 0x8F]);
    }
}

/// [MQTT-3.8.3-2]
#[test]
fn mqtt5_3_8_3_2_subscribe_without_a_filter_is_a_protocol_error() {
    refused(raw_subscribe(&[]), &[0x82, 0x81]);
}

#[test]
fn a_filter_without_options_is_malformed() {
    refused(raw_subscribe(&string("a")), &[0x81]);
}

/// [MQTT-3.8.3-3]
#[test]
fn mqtt5_3_8_3_3_no_local_keeps_a_clients_own_messages_from_it() {
    let (mut client, mut other, topic) = (v5("own").open(), v5("other").open(), unique("own"));
    client.subscribe(&topic, NO_LOCAL | 1);
    client.publish(message(&topic, "own").qos(1));
    assert_eq!(client.own_messages(), []);
    other.publish(message(&topic, "other's").qos(1));
    client.expect("other's");
    client.subscribe(&topic, 1);
    client.publish(message(&topic, "own").qos(1));
    client.expect("own");
}

/// [MQTT-3.8.3-4]
#[test]
fn mqtt5_3_8_3_4_no_local_on_a_shared_subscription_is_a_protocol_error() {
    refused(subscribe(Version::V5, 1, &[("$share/group/a", NO_LOCAL)], &[]), &[0x82]);
}

/// [MQTT-3.8.3-5]
#[test]
fn mqtt5_3_8_3_5_reserved_subscription_options_are_malformed() {
    for options in [0x40, 0x80, 0xC0] {
        refused(subscribe(Version::V5, 1, &[("a", options)], &[]), &[0x81]);
    }
}

#[test]
fn qos_3_and_retain_handling_3_are_refused() {
    for options in [0x03, 0x30] {
        refused(subscribe(Version::V5, 1, &[("a", options)], &[]), &[0x82, 0x81]);
    }
}

/// [MQTT-3.8.4-1]
#[test]
fn mqtt5_3_8_4_1_subscribe_is_answered_with_suback() {
    let mut client = v5("answer").open();
    client.send(subscribe(Version::V5, 1, &[(&unique("answer"), 0)], &[]));
    assert!(matches!(client.recv(), Packet::Suback(_)));
}

/// [MQTT-3.8.4-2]
#[test]
fn mqtt5_3_8_4_2_suback_has_the_packet_id_of_subscribe() {
    let mut client = v5("answer").open();
    for id in [7, 65_535] {
        client.send(subscribe(Version::V5, id, &[(&unique("answer"), 0)], &[]));
        assert!(matches!(client.recv(), Packet::Suback(suback) if suback.packet_id == id));
    }
}

/// [MQTT-3.8.4-3]
#[test]
fn mqtt5_3_8_4_3_the_same_filter_again_replaces_the_subscription() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("replace"));
    client.subscribe_list(&[(&topic, 2)], &property::subscription_identifier(1));
    client.subscribe_list(&[(&topic, 1 | RETAIN_AS_PUBLISHED)], &property::subscription_identifier(2));
    publisher.publish(message(&topic, "x").qos(2));
    let messages = client.messages_from(&mut publisher);
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].qos, 1);
    assert_eq!(messages[0].properties.numbers(property::SUBSCRIPTION_IDENTIFIER), [2]);
    client.unsubscribe(&[&topic]);
    publisher.publish(message(&topic, "x").qos(2));
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-3.8.4-4]
#[test]
fn mqtt5_3_8_4_4_replacing_sends_retained_messages_again_and_loses_none() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("replace"));
    let retained = format!("{topic}/retained");
    publisher.publish(message(&retained, "retained").qos(1).retain());
    let filter = format!("{topic}/#");
    client.subscribe(&filter, 1);
    client.expect("retained");
    let numbered = |number: u32| message(format!("{topic}/live"), number.to_string()).qos(1);
    for number in 0..8 {
        publisher.publish(numbered(number));
        client.subscribe(&filter, 1);
    }
    // Each SUBSCRIBE sends the retained message; how the two kinds mix is the server's choice.
    let messages = client.recv_publishes(16);
    let live: Vec<_> = messages.iter().map(Publish::text).filter(|text| *text != "retained").collect();
    assert_eq!(live, (0..8).map(|number| number.to_string()).collect::<Vec<_>>());
}

/// [MQTT-3.8.4-5]
#[test]
fn mqtt5_3_8_4_5_several_filters_are_as_several_packets() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("several"));
    let names = ["a", "b", "c"].map(|level| format!("{topic}/{level}"));
    let list: Vec<_> = names.iter().map(|name| (name.as_str(), 1)).collect();
    client.send(subscribe(Version::V5, 1000, &list, &[]));
    assert!(matches!(client.recv(), Packet::Suback(suback) if suback.codes == [1, 1, 1]));
    for name in &names {
        publisher.publish(message(name, name));
        client.expect(name);
    }
    client.expect_nothing();
}

/// [MQTT-3.8.4-6]
#[test]
fn mqtt5_3_8_4_6_suback_has_a_reason_code_for_each_filter() {
    let (mut client, topic) = (v5("codes").open(), unique("codes"));
    for count in [1, 2, 50] {
        let names: Vec<_> = (0..count).map(|number| format!("{topic}/{number}")).collect();
        let list: Vec<_> = names.iter().map(|name| (name.as_str(), 0)).collect();
        assert_eq!(client.subscribe_list(&list, &[]).len(), count);
    }
}

/// [MQTT-3.8.4-7]
#[test]
fn mqtt5_3_8_4_7_the_reason_code_shows_the_granted_qos() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("granted"));
    for qos in 0..=2 {
        let name = format!("{topic}/{qos}");
        let granted = client.subscribe_list(&[(&name, qos)], &[])[0];
        publisher.publish(message(&name, "x").qos(2));
        assert_eq!(client.expect("x").qos, granted);
    }
}

/// [MQTT-3.8.4-8]
#[test]
fn mqtt5_3_8_4_8_the_qos_is_the_lower_of_published_and_granted() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("lower"));
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

/// [MQTT-3.9.2-1] The client of these tests refuses packets that are larger than it allows.
#[test]
fn mqtt5_3_9_2_1_no_reason_string_makes_suback_too_large() {
    let mut client = v5("small").packet_size_max(64).open();
    client.subscribe(&unique("small"), 0);
}

/// [MQTT-3.9.2-2]
#[test]
fn mqtt5_3_9_2_2_no_user_property_makes_suback_too_large() {
    let mut client = v5("small").packet_size_max(64).open();
    client.subscribe_list(&[(&unique("small"), 0)], &property::user("n", "v".repeat(100)));
}

/// [MQTT-3.9.3-1]
#[test]
fn mqtt5_3_9_3_1_the_reason_codes_are_in_the_order_of_the_filters() {
    let (mut client, topic) = (v5("order").open(), unique("order"));
    let names = ["a", "b", "c", "d"].map(|level| format!("{topic}/{level}"));
    let list: Vec<_> = names.iter().map(String::as_str).zip([2, 0, 1, 2]).collect();
    assert_eq!(client.subscribe_list(&list, &[]), [2, 0, 1, 2]);
}

/// [MQTT-3.9.3-2] The reader of these tests refuses other codes.
#[test]
fn mqtt5_3_9_3_2_each_filter_gets_one_of_the_subscribe_reason_codes() {
    let (mut client, topic) = (v5("codes").open(), unique("codes"));
    let shared = format!("$share/group/{topic}");
    let list = [(topic.as_str(), 2), (&shared, 1), ("+/codes/#", 0), ("$SYS/#", 0)];
    assert_eq!(client.subscribe_list(&list, &[]).len(), 4);
}
