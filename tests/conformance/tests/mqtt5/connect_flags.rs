//! Chapters 3.1.2.8 to 3.1.2.11: user name, password and the properties of CONNECT.

use conformance::*;

/// [MQTT-3.1.2-16]
#[test]
fn mqtt5_3_1_2_16_a_user_name_without_its_flag_is_malformed() {
    v5("user").user_name("u").flip_flags(0x80).attempt().expect_refusal(&[0x81]);
}

/// [MQTT-3.1.2-17]
#[test]
fn mqtt5_3_1_2_17_a_user_name_flag_without_a_user_name_is_malformed() {
    v5("user").flip_flags(0x80).attempt().expect_refusal(&[0x81]);
}

/// [MQTT-3.1.2-18]
#[test]
fn mqtt5_3_1_2_18_a_password_without_its_flag_is_malformed() {
    v5("pass").user_name("u").password("p").flip_flags(0x40).attempt().expect_refusal(&[0x81]);
}

/// [MQTT-3.1.2-19]
#[test]
fn mqtt5_3_1_2_19_a_password_flag_without_a_password_is_malformed() {
    v5("pass").user_name("u").flip_flags(0x40).attempt().expect_refusal(&[0x81]);
}

#[test]
fn a_password_needs_no_user_name_in_5_0() {
    v5("pass").password("p").open();
}

/// [MQTT-3.1.2-23]
#[test]
fn mqtt5_3_1_2_23_the_session_state_is_stored_while_its_expiry_is_above_zero() {
    let connect = v5("stored").lasting();
    let (topic, mut publisher) = (unique("stored"), v5("pub").open());
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "in flight").qos(2));
    let first = client.expect("in flight");
    client.cut();
    publisher.publish(message(&topic, "queued").qos(1));

    let mut client = connect.open();
    let again = client.expect("in flight");
    assert_eq!(again.packet_id, first.packet_id);
    client.ack(&again);
    client.expect("queued");
}

#[test]
fn a_session_expiry_of_zero_ends_the_session_with_the_connection() {
    let connect = v5("ends").clean(false);
    connect.open().cut();
    assert!(!connect.open().connack().session_present);
}

/// [MQTT-3.1.2-24]
#[test]
fn mqtt5_3_1_2_24_no_packet_exceeds_the_clients_maximum() {
    let (topic, mut publisher) = (unique("max"), v5("pub").open());
    let mut client = v5("max").packet_size_max(100).open();
    client.subscribe(&topic, 0);
    // A PUBLISH has two bytes of fixed header here, two of topic length and one of property length.
    let fits = "x".repeat(100 - 2 - 2 - topic.len() - 1);
    publisher.publish(message(&topic, format!("{fits}x")));
    publisher.publish(message(&topic, &fits));
    client.expect(&fits);
}

/// [MQTT-3.1.2-25]
#[test]
fn mqtt5_3_1_2_25_a_message_that_is_too_large_counts_as_sent() {
    let (topic, mut publisher) = (unique("large"), v5("pub").open());
    let mut client = v5("large").packet_size_max(200).receive_maximum(1).open();
    client.subscribe(&topic, 2);
    let large = "x".repeat(300);
    // With a Receive Maximum of one, a message that was thrown away and still counted would block the next.
    for qos in [1, 2] {
        publisher.publish(message(&topic, &large).qos(qos));
        publisher.publish(message(&topic, "small").qos(qos));
        let publish = client.expect("small");
        client.ack(&publish);
    }
}

/// [MQTT-3.1.2-26] The client of these tests refuses an alias above the maximum that it announced.
#[test]
fn mqtt5_3_1_2_26_no_alias_exceeds_the_clients_maximum() {
    let (topic, mut publisher) = (unique("alias"), v5("pub").open());
    let mut client = v5("alias").topic_alias_maximum(2).open();
    client.subscribe(&format!("{topic}/#"), 0);
    let mut names = [const { String::new() }; 3];
    for round in 0..9 {
        let expected = format!("{topic}/{}", round % 3);
        publisher.publish(message(&expected, "x"));
        let publish = client.expect("x");
        match publish.properties.number(property::TOPIC_ALIAS) {
            Some(alias) if publish.topic.is_empty() => assert_eq!(names[alias as usize], expected),
            Some(alias) => names[alias as usize] = publish.topic.clone(),
            None => (),
        }
        assert!(publish.topic.is_empty() || publish.topic == expected);
    }
}

/// [MQTT-3.1.2-27]
#[test]
fn mqtt5_3_1_2_27_without_a_maximum_the_server_sends_no_alias() {
    let (topic, mut publisher) = (unique("alias"), v5("pub").open());
    let zero = property::two(property::TOPIC_ALIAS_MAXIMUM, 0);
    for connect in [v5("alias"), v5("alias").with(zero)] {
        let mut client = connect.open();
        client.subscribe(&topic, 0);
        for _ in 0..3 {
            publisher.publish(message(&topic, "x").with(property::two(property::TOPIC_ALIAS, 1)));
            let publish = client.expect("x");
            assert!(!publish.properties.has(property::TOPIC_ALIAS) && publish.topic == topic);
        }
    }
}

/// [MQTT-3.1.2-28]
#[test]
fn mqtt5_3_1_2_28_response_information_comes_only_on_request() {
    let zero = property::byte(property::REQUEST_RESPONSE_INFORMATION, 0);
    for connect in [v5("info"), v5("info").with(zero)] {
        assert!(!connect.open().connack().properties.has(property::RESPONSE_INFORMATION));
    }
}

/// [MQTT-3.1.2-29]
#[test]
fn mqtt5_3_1_2_29_without_problem_information_acknowledgements_have_no_reason_string() {
    let topic = unique("problem");
    let mut client = v5("problem").with(property::byte(property::REQUEST_PROBLEM_INFORMATION, 0)).open();
    client.send(subscribe(Version::V5, 1000, &[(&topic, 0), (&format!("{topic}/#"), 2)], &[]));
    assert!(client.await_suback(1000).properties.is_empty());
    client.send(unsubscribe(Version::V5, 1000, &["never/subscribed"]));
    assert!(client.await_unsuback(1000).properties.is_empty());
    client.send_message(&message(unique("nobody"), "x").qos(1).id(1000));
    assert!(client.await_puback(1000).properties.is_empty());
    client.send_message(&message(unique("nobody"), "x").qos(2).id(1000));
    assert!(client.await_pubrec(1000).properties.is_empty());
    client.send(ack(PUBREL, 1000));
    assert!(client.await_pubcomp(1000).properties.is_empty());
    client.send(ack(PUBREL, 1001));
    assert!(client.await_pubcomp(1001).properties.is_empty());
}

#[test]
fn a_property_that_connect_does_not_have_is_refused() {
    let strangers = [
        property::byte(property::PAYLOAD_FORMAT_INDICATOR, 0),
        property::two(property::TOPIC_ALIAS, 1),
        property::text(property::REASON_STRING, "why"),
        vec![0x7F, 0x00],
    ];
    for stranger in strangers {
        v5("strange").with(stranger).attempt().expect_refusal(&[0x81, 0x82]);
    }
}

#[test]
fn values_of_connect_properties_that_the_specification_forbids_are_refused() {
    let forbidden = [
        property::two(property::RECEIVE_MAXIMUM, 0),
        property::four(property::MAXIMUM_PACKET_SIZE, 0),
        property::byte(property::REQUEST_PROBLEM_INFORMATION, 2),
        property::byte(property::REQUEST_RESPONSE_INFORMATION, 2),
        [property::two(property::RECEIVE_MAXIMUM, 5), property::two(property::RECEIVE_MAXIMUM, 5)].concat(),
        property::text(property::AUTHENTICATION_DATA, "no method"),
    ];
    for property in forbidden {
        v5("forbid").with(property).attempt().expect_refusal(&[0x81, 0x82]);
    }
}
