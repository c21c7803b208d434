//! Chapter 3.3.2: topic name and properties of PUBLISH.

use std::time::Duration;

use conformance::*;

/// [MQTT-3.3.2-1]
#[test]
fn mqtt5_3_3_2_1_the_topic_name_comes_first_and_is_utf8() {
    let topic = unique("first");
    let (mut publisher, mut client) = (v5("pub").open(), v5("sub").open());
    client.subscribe(&format!("{topic}/ä/水"), 0);
    publisher.publish(message(format!("{topic}/ä/水"), "x"));
    assert_eq!(client.expect("x").topic, format!("{topic}/ä/水"));

    publisher.send(frame(PUBLISH, [0, 9, b'a']));
    publisher.expect_disconnect(&[0x81]);
    client.send_message(&message(b"\xFF\xFE", "x"));
    client.expect_disconnect(&[0x81, 0x90]);
}

/// [MQTT-3.3.2-2]
#[test]
fn mqtt5_3_3_2_2_a_topic_name_with_a_wildcard_is_refused() {
    for topic in ["a/+", "#", "a/#", "+/b", "a+b", "a#"] {
        for qos in [0, 1] {
            let mut client = v5("wild").open();
            client.send_message(&message(topic, "x").qos(qos).id(1000));
            client.expect_disconnect(&[0x90, 0x81, 0x82]);
        }
    }
}

/// [MQTT-3.3.2-3]
#[test]
fn mqtt5_3_3_2_3_the_topic_name_matches_the_subscription() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("match"));
    client.subscribe(&format!("{topic}/+/c"), 0);
    for name in ["a/c", "b/c", "a/b", "a/c/d", "/c"] {
        publisher.publish(message(format!("{topic}/{name}"), name));
    }
    let messages = client.messages_from(&mut publisher);
    let topics: Vec<&str> = messages.iter().map(|publish| &publish.topic[topic.len() + 1..]).collect();
    assert_eq!(topics, ["a/c", "b/c", "/c"]);
    assert!(messages.iter().all(|publish| publish.topic.ends_with(publish.text())));
}

/// Publishes with one property and returns what a subscriber gets.
fn forwarded(property: Vec<u8>) -> Publish {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("prop"));
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "x").with(property));
    client.expect("x")
}

/// A server that gets this property closes the connection.
fn refused(property: Vec<u8>, codes: &[u8]) {
    let mut client = v5("refused").open();
    client.send_message(&message(unique("prop"), "x").with(property));
    client.expect_disconnect(codes);
}

/// [MQTT-3.3.2-4]
#[test]
fn mqtt5_3_3_2_4_the_payload_format_indicator_is_passed_on() {
    for value in [0, 1] {
        let publish = forwarded(property::byte(property::PAYLOAD_FORMAT_INDICATOR, value));
        let received = publish.properties.number(property::PAYLOAD_FORMAT_INDICATOR);
        // Absent and 0 mean the same, but unaltered is unaltered.
        assert_eq!(received, Some(value.into()));
    }
}

/// [MQTT-3.3.2-5]
#[test]
fn mqtt5_3_3_2_5_an_expired_message_is_not_delivered() {
    let (connect, topic, mut publisher) = (v5("expire").lasting(), unique("expire"), v5("pub").open());
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    let expiry = property::four(property::MESSAGE_EXPIRY_INTERVAL, 1);
    publisher.publish(message(&topic, "expires").qos(1).with(expiry));
    publisher.publish(message(&topic, "stays").qos(1));
    let_time_pass(Duration::from_millis(2_100));
    let mut client = connect.open();
    client.expect("stays");
    client.expect_nothing();
}

/// [MQTT-3.3.2-6]
#[test]
fn mqtt5_3_3_2_6_the_message_expiry_interval_counts_down() {
    let (connect, topic, mut publisher) = (v5("count").lasting(), unique("count"), v5("pub").open());
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    let expiry = property::four(property::MESSAGE_EXPIRY_INTERVAL, 100);
    publisher.publish(message(&topic, "x").qos(1).with(expiry.clone()));
    let_time_pass(Duration::from_millis(2_100));
    let left = connect.open().expect("x").properties.number(property::MESSAGE_EXPIRY_INTERVAL).unwrap();
    assert!((90..=98).contains(&left), "{left} seconds are left of 100");

    let at_once = forwarded(expiry).properties.number(property::MESSAGE_EXPIRY_INTERVAL).unwrap();
    assert!((99..=100).contains(&at_once), "{at_once} seconds are left of 100");
}

/// [MQTT-3.3.2-7]
#[test]
fn mqtt5_3_3_2_7_aliases_end_with_their_connection() {
    let (connect, topic) = (v5("alias").lasting(), unique("alias"));
    let alias = property::two(property::TOPIC_ALIAS, 1);
    let mut client = connect.open();
    client.publish(message(&topic, "x").qos(1).with(alias.clone()));
    client.publish(message("", "x").qos(1).with(alias.clone()));
    client.disconnect();
    let mut client = connect.open();
    client.send_message(&message("", "x").with(alias));
    client.expect_disconnect(&[0x82, 0x94]);
}

/// [MQTT-3.3.2-8] It binds the sender; the server does not accept it otherwise.
#[test]
fn mqtt5_3_3_2_8_alias_0_is_refused() {
    refused(property::two(property::TOPIC_ALIAS, 0), &[0x94, 0x82, 0x81]);
}

/// [MQTT-3.3.2-9] It binds the client; the server does not accept it otherwise.
#[test]
fn mqtt5_3_3_2_9_an_alias_beyond_the_announced_maximum_is_refused() {
    if v5("alias").open().connack().topic_alias_maximum() < u16::MAX {
        refused(property::two(property::TOPIC_ALIAS, u16::MAX), &[0x94]);
    }
}

/// [MQTT-3.3.2-11] The client of these tests refuses an alias above its maximum.
#[test]
fn mqtt5_3_3_2_11_the_server_stays_within_the_clients_alias_maximum() {
    let (mut publisher, topic) = (v5("pub").open(), unique("alias"));
    let mut client = v5("alias").topic_alias_maximum(1).open();
    client.subscribe(&format!("{topic}/#"), 0);
    for round in 0..20 {
        publisher.publish(message(format!("{topic}/{}", round / 2 % 4), round.to_string()));
    }
    (0..20).for_each(|round| drop(client.expect(&round.to_string())));
}

/// [MQTT-3.3.2-12]
#[test]
fn mqtt5_3_3_2_12_the_server_accepts_every_alias_up_to_its_maximum() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("alias"));
    client.subscribe(&format!("{topic}/#"), 0);
    let maximum = publisher.connack().topic_alias_maximum().min(64);
    let alias = |value| property::two(property::TOPIC_ALIAS, value);
    for value in 1..=maximum {
        publisher.publish(message(format!("{topic}/{value}"), "set").with(alias(value)));
    }
    for value in 1..=maximum {
        publisher.publish(message("", "use").with(alias(value)));
    }
    for payload in ["set", "use"] {
        for value in 1..=maximum {
            assert_eq!(client.expect(payload).topic, format!("{topic}/{value}"));
        }
    }
    if maximum > 0 {
        // An alias can be given to another topic.
        publisher.publish(message(format!("{topic}/new"), "set").with(alias(1)));
        publisher.publish(message("", "use").with(alias(1)));
        client.expect("set");
        assert_eq!(client.expect("use").topic, format!("{topic}/new"));
    }
}

#[test]
fn an_empty_topic_without_an_alias_is_a_protocol_error() {
    let mut client = v5("empty").open();
    client.send_message(&message("", "x"));
    client.expect_disconnect(&[0x82, 0x90, 0x81]);
}

/// [MQTT-3.3.2-13]
#[test]
fn mqtt5_3_3_2_13_a_response_topic_that_is_not_utf8_is_malformed() {
    refused(property::text(property::RESPONSE_TOPIC, b"\xFF"), &[0x81, 0x90]);
    refused(property::text(property::RESPONSE_TOPIC, b"a\0"), &[0x81, 0x90]);
}

/// [MQTT-3.3.2-14]
#[test]
fn mqtt5_3_3_2_14_a_response_topic_with_a_wildcard_is_refused() {
    for topic in ["a/+", "#"] {
        refused(property::text(property::RESPONSE_TOPIC, topic), &[0x81, 0x82, 0x90]);
    }
}

/// [MQTT-3.3.2-15]
#[test]
fn mqtt5_3_3_2_15_the_response_topic_is_passed_on() {
    let publish = forwarded(property::text(property::RESPONSE_TOPIC, "answers/ü/1"));
    assert_eq!(publish.properties.text(property::RESPONSE_TOPIC), Some("answers/ü/1"));
}

/// [MQTT-3.3.2-16]
#[test]
fn mqtt5_3_3_2_16_the_correlation_data_is_passed_on() {
    let data = [0, 255, 0x80, b'x', 0];
    let publish = forwarded(property::text(property::CORRELATION_DATA, data));
    assert_eq!(publish.properties.bytes(property::CORRELATION_DATA), Some(&data[..]));
}

/// [MQTT-3.3.2-17]
#[test]
fn mqtt5_3_3_2_17_all_user_properties_are_passed_on() {
    let long = "v".repeat(2_000);
    let publish = forwarded([property::user("", ""), property::user("ключ", &long)].concat());
    assert_eq!(publish.properties.user(), [("", ""), ("ключ", &long)]);
}

/// [MQTT-3.3.2-18]
#[test]
fn mqtt5_3_3_2_18_user_properties_keep_their_order() {
    let pairs = [("b", "1"), ("a", "2"), ("c", "3"), ("a", "2"), ("a", "1")];
    let mut properties = Vec::new();
    for (index, (name, value)) in pairs.iter().enumerate() {
        properties.extend(property::user(name, value));
        if index == 1 {
            properties.extend(property::text(property::CONTENT_TYPE, "between"));
        }
    }
    assert_eq!(forwarded(properties).properties.user(), pairs);
}

/// [MQTT-3.3.2-19]
#[test]
fn mqtt5_3_3_2_19_a_content_type_that_is_not_utf8_is_malformed() {
    refused(property::text(property::CONTENT_TYPE, b"\xC3\x28"), &[0x81]);
}

/// [MQTT-3.3.2-20]
#[test]
fn mqtt5_3_3_2_20_the_content_type_is_passed_on() {
    let publish = forwarded(property::text(property::CONTENT_TYPE, "text/plain; ü"));
    assert_eq!(publish.properties.text(property::CONTENT_TYPE), Some("text/plain; ü"));
}

#[test]
fn a_property_twice_is_a_protocol_error() {
    let twice = property::text(property::CONTENT_TYPE, "a").repeat(2);
    refused(twice, &[0x82, 0x81]);
    refused(property::two(property::TOPIC_ALIAS, 1).repeat(2), &[0x82, 0x81]);
}

#[test]
fn a_property_that_publish_does_not_have_is_refused() {
    refused(property::two(property::RECEIVE_MAXIMUM, 1), &[0x81, 0x82]);
    refused(vec![0x7F, 1], &[0x81, 0x82]);
    refused(property::byte(property::PAYLOAD_FORMAT_INDICATOR, 2), &[0x81, 0x82]);
}
