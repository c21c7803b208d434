//! Chapters 4.9 to 4.13: flow control, enhanced authentication, errors.

use conformance::*;

/// [MQTT-4.9.0-1]
#[test]
fn mqtt5_4_9_0_1_the_send_quota_begins_at_the_receive_maximum() {
    let (mut publisher, topic) = (v5("pub").open(), unique("quota"));
    let connect = v5("quota").lasting();
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    client.disconnect();
    for number in 0..6 {
        publisher.publish(message(&topic, number.to_string()).qos(1 + number % 2));
    }
    // It is that of the connection, also for what waited and for what is sent again.
    for maximum in [2, 3] {
        let mut client = connect.clone().receive_maximum(maximum).open();
        client.recv_publishes(maximum.into());
        client.expect_nothing();
        client.cut();
    }
}

/// [MQTT-4.9.0-2]
#[test]
fn mqtt5_4_9_0_2_no_publish_is_sent_while_the_quota_is_zero() {
    let (mut publisher, topic) = (v5("pub").open(), unique("quota"));
    let mut client = v5("quota").receive_maximum(1).open();
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "first").qos(2));
    publisher.publish(message(&topic, "second").qos(2));
    let id = client.expect("first").id();
    client.expect_nothing();
    client.send(ack(PUBREC, id));
    client.await_pubrel(id);
    // Only PUBCOMP gives the place back.
    client.expect_nothing();
    client.send(ack(PUBCOMP, id));
    client.expect("second");
}

/// [MQTT-4.9.0-3]
#[test]
fn mqtt5_4_9_0_3_other_packets_are_answered_while_the_quota_is_zero() {
    let (mut publisher, topic) = (v5("pub").open(), unique("quota"));
    let mut client = v5("quota").receive_maximum(1).open();
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "first").qos(1));
    publisher.publish(message(&topic, "second").qos(1));
    client.expect("first");
    client.subscribe(&unique("other"), 1);
    client.unsubscribe(&["other"]);
    client.publish(message(unique("other"), "x").qos(2));
    client.expect_nothing();
}

/// [MQTT-4.12.0-1]
#[test]
fn mqtt5_4_12_0_1_an_unknown_authentication_method_is_refused() {
    let method = property::text(property::AUTHENTICATION_METHOD, "no such method");
    let data = property::text(property::AUTHENTICATION_DATA, "data");
    v5("auth").with(method.clone()).attempt().expect_refusal(&[0x8C, 0x87]);
    v5("auth").with([method, data].concat()).attempt().expect_refusal(&[0x8C, 0x87]);
}

/// [MQTT-4.12.0-6]
#[test]
fn mqtt5_4_12_0_6_without_a_method_there_is_no_auth() {
    let connack = v5("auth").user_name("user").password("password").open().connack().clone();
    assert!(!connack.properties.has(property::AUTHENTICATION_METHOD));
    assert!(!connack.properties.has(property::AUTHENTICATION_DATA));
}

/// [MQTT-4.12.0-7] It binds the client; the server does not accept it otherwise.
#[test]
fn mqtt5_4_12_0_7_auth_without_a_method_in_connect_is_a_protocol_error() {
    let method = property::text(property::AUTHENTICATION_METHOD, "method");
    for code in [0x18, 0x19] {
        let mut client = v5("auth").open();
        client.send(frame(AUTH, [&[code][..], &block(Version::V5, &method)].concat()));
        client.expect_disconnect(&[0x82, 0x8C]);
    }
}

/// [MQTT-4.12.1-2]
#[test]
fn mqtt5_4_12_1_2_a_failed_re_authentication_closes() {
    let mut client = v5("auth").open();
    client.send(frame(AUTH, [0x19, 0x00]));
    client.expect_disconnect(&[0x82, 0x87, 0x8C]);
}

/// [MQTT-4.13.1-1]
#[test]
fn mqtt5_4_13_1_1_malformed_packets_and_protocol_errors_close() {
    let topic = unique("error");
    let errors: [(Vec<u8>, &[u8]); 8] = [
        (frame(0x00, []), &[0x81, 0x82]),
        (frame(0x20, [0, 0, 0]), &[0x81, 0x82]),
        (frame(0x90, [0, 1, 0, 0]), &[0x81, 0x82]),
        (frame(0xD0, []), &[0x81, 0x82]),
        (message(&topic, "x").qos(3).id(1).bytes(Version::V5), &[0x81]),
        (frame(SUBSCRIBE, [0, 1, 0]), &[0x82, 0x81]),
        (frame(PUBLISH, [0]), &[0x81]),
        (frame(SUBSCRIBE, [0]), &[0x81]),
    ];
    for (packet, codes) in errors {
        let mut client = v5("error").open();
        client.send(packet);
        client.expect_disconnect(codes);
    }
}

/// [MQTT-4.13.2-1]
#[test]
fn mqtt5_4_13_2_1_a_disconnect_with_an_error_closes_on_either_side() {
    let topic = unique("error");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, 0);
    let mut client = v5("error").will(Will::new(&topic, "gone")).open();
    client.send(frame(DISCONNECT, [0x81]));
    client.expect_close();
    witness.expect("gone");

    let mut client = v5("error").open();
    client.send_message(&message("#", "x"));
    client.expect_disconnect(&[0x90, 0x81, 0x82]);
}
