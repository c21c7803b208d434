//! Chapters 3.1.3 and 3.1.4: the payload of CONNECT, and what the server does with the packet as a whole.

use conformance::*;

/// [MQTT-3.1.3-1]
#[test]
fn mqtt5_3_1_3_1_the_payload_fields_are_read_in_their_order() {
    let topic = unique("order");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, 0);
    let will = Will::new(&topic, "will payload").with(property::text(property::CONTENT_TYPE, "will type"));
    v5("order").will(will).user_name("user name").password("password").open().cut();
    let publish = witness.expect("will payload");
    assert_eq!(publish.properties.text(property::CONTENT_TYPE), Some("will type"));
}

/// [MQTT-3.1.3-2]
#[test]
fn mqtt5_3_1_3_2_the_client_id_identifies_the_session() {
    let (one, other) = (v5("one").lasting(), v5("other").lasting());
    let (of_one, of_other, mut publisher) = (unique("one"), unique("other"), v5("pub").open());
    for (connect, topic) in [(&one, &of_one), (&other, &of_other)] {
        let mut client = connect.open();
        client.subscribe(topic, 1);
        client.disconnect();
    }
    publisher.publish(message(&of_one, "one").qos(1));
    publisher.publish(message(&of_other, "other").qos(1));
    for (connect, payload) in [(&one, "one"), (&other, "other")] {
        let mut client = connect.open();
        client.expect(payload);
        client.expect_nothing();
    }
}

/// [MQTT-3.1.3-3]
#[test]
fn mqtt5_3_1_3_3_a_connect_without_a_client_id_is_malformed() {
    let connect = v5("missing");
    let mut client = connect.dial();
    client.send(frame(CONNECT, connect.variable_header()));
    client.expect_refusal(&[0x81]);
}

/// [MQTT-3.1.3-4]
#[test]
fn mqtt5_3_1_3_4_a_client_id_that_is_not_utf8_is_refused() {
    for id in [&b"id\xED\xA0\x80"[..], b"id\xC0\xAF", b"id\xFF", b"id\0null"] {
        Connect::new(Version::V5, id).attempt().expect_refusal(&[0x81, 0x85]);
    }
}

/// [MQTT-3.1.3-5]
#[test]
fn mqtt5_3_1_3_5_client_ids_of_1_to_23_letters_and_digits_are_allowed() {
    let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for chunk in alphabet.as_bytes().chunks(20) {
        Connect::new(Version::V5, chunk).open();
    }
    Connect::new(Version::V5, "Q").open();
    let name = unique("len23");
    let longest = format!("{name}{}", "Z".repeat(23 - name.len()));
    Connect::new(Version::V5, longest).open();
}

/// [MQTT-3.1.3-6]
#[test]
fn mqtt5_3_1_3_6_without_a_client_id_the_server_assigns_a_unique_one() {
    let empty = Connect::new(Version::V5, "");
    let clients = [empty.open(), empty.open(), empty.clone().clean(false).open()];
    let ids = clients.each_ref().map(assigned_client_id);
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
}

/// [MQTT-3.1.3-7]
#[test]
fn mqtt5_3_1_3_7_an_assigned_client_id_works_as_one_that_the_client_gave() {
    let client = Connect::new(Version::V5, "").session_expiry(60).open();
    let id = assigned_client_id(&client);
    client.disconnect();
    let client = Connect::new(Version::V5, id).lasting().open();
    assert!(client.connack().session_present);
}

fn assigned_client_id(client: &Client) -> String {
    let properties = &client.connack().properties;
    let id = properties.text(property::ASSIGNED_CLIENT_IDENTIFIER).expect("an Assigned Client Identifier");
    assert!(!id.is_empty());
    id.to_owned()
}

#[test]
fn no_client_id_is_assigned_to_a_client_that_has_one() {
    assert!(!v5("given").open().connack().properties.has(property::ASSIGNED_CLIENT_IDENTIFIER));
}

/// [MQTT-3.1.3-8]
#[test]
fn mqtt5_3_1_3_8_a_client_id_that_is_not_valid_closes() {
    Connect::new(Version::V5, "no\0id").attempt().expect_refusal(&[0x81, 0x85]);
}

/// [MQTT-3.1.3-9]
#[test]
fn mqtt5_3_1_3_9_a_new_connection_within_the_will_delay_stops_the_will() {
    let (topic, mark) = (unique("stopped"), unique("mark"));
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, 0);
    witness.subscribe(&mark, 0);
    let connect = v5("back").lasting();
    connect.clone().will(Will::new(&topic, "gone").delay(1)).open().cut();
    let _back = connect.open();
    // A will with the same delay that starts later: when it comes, the other one would have come, too.
    v5("mark").lasting().will(Will::new(&mark, "mark").delay(1)).open().cut();
    witness.expect("mark");
    witness.expect_nothing();
}

/// [MQTT-3.1.3-10]
#[test]
fn mqtt5_3_1_3_10_the_user_properties_of_a_will_keep_their_order() {
    let topic = unique("user");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, 0);
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", "")];
    let will = pairs
        .iter()
        .fold(Will::new(&topic, "gone"), |will, (name, value)| will.with(property::user(name, value)));
    v5("user").will(will).open().cut();
    assert_eq!(witness.expect("gone").properties.user(), pairs);
}

/// [MQTT-3.1.3-11]
#[test]
fn mqtt5_3_1_3_11_a_will_topic_that_is_not_utf8_is_refused() {
    for topic in [&b"will\xED\xA0\x80"[..], b"will\xFF", b"will\0null"] {
        v5("willutf").will(Will::new(topic, "x")).attempt().expect_refusal(&[0x81, 0x90]);
    }
}

#[test]
fn a_will_topic_with_a_wildcard_is_refused() {
    for topic in ["a/+", "#", "a/#/b"] {
        v5("willwild").will(Will::new(topic, "x")).attempt().expect_refusal(&[0x81, 0x82, 0x90]);
    }
}

/// [MQTT-3.1.3-12]
#[test]
fn mqtt5_3_1_3_12_a_user_name_that_is_not_utf8_is_refused() {
    for name in [&b"user\xED\xA0\x80"[..], b"user\xC0\xAF", b"\xFF"] {
        v5("userutf").user_name(name).attempt().expect_refusal(&[0x81, 0x86]);
    }
}

/// [MQTT-3.1.4-1]
#[test]
fn mqtt5_3_1_4_1_a_connect_of_another_format_closes() {
    let connect = v5("format");
    let (header, payload) = (connect.variable_header(), connect.payload());
    let bodies = [
        [&header[..], &payload, b"more"].concat(),
        [&header[..], &payload[..payload.len() - 1]].concat(),
        // Five properties' bytes are announced, and the client id is taken for them.
        [&header[..header.len() - 1], &[5], &payload].concat(),
    ];
    for body in bodies {
        let mut client = connect.dial();
        client.send(frame(CONNECT, body));
        client.expect_refusal(&[0x81, 0x82]);
    }
    let mut client = connect.dial();
    client.send(frame(CONNECT | 0x01, [header, payload].concat()));
    client.expect_close();
}

/// [MQTT-3.1.4-2] An authentication method that the server does not know is the check that every server can fail.
#[test]
fn mqtt5_3_1_4_2_a_failed_check_closes() {
    let method = property::text(property::AUTHENTICATION_METHOD, "no such method");
    v5("check").with(method).attempt().expect_refusal(&[0x8C, 0x87]);
}

/// [MQTT-3.1.4-3]
#[test]
fn mqtt5_3_1_4_3_a_second_connection_takes_the_session_over() {
    let connect = v5("taken").lasting();
    let first = connect.open();
    let second = connect.open();
    first.expect_disconnect(&[0x8E]);
    assert!(second.connack().session_present);
}

/// [MQTT-3.1.4-4]
#[test]
fn mqtt5_3_1_4_4_clean_start_counts_in_a_takeover() {
    let connect = v5("taken").lasting();
    let (topic, mut publisher) = (unique("taken"), v5("pub").open());
    let mut first = connect.open();
    first.subscribe(&topic, 1);
    let mut second = connect.open();
    publisher.publish(message(&topic, "kept").qos(1));
    second.expect("kept");
    let mut third = connect.clone().clean(true).open();
    assert!(!third.connack().session_present);
    publisher.publish(message(&topic, "lost").qos(1));
    assert_eq!(third.messages_from(&mut publisher), []);
}

/// [MQTT-3.1.4-5]
#[test]
fn mqtt5_3_1_4_5_a_connect_is_acknowledged_with_success() {
    let mut client = v5("success").attempt();
    assert_eq!(client.recv_connack().code, 0x00);
}

/// [MQTT-3.1.4-6]
#[test]
fn mqtt5_3_1_4_6_nothing_that_follows_a_refused_connect_is_processed() {
    let (topic, mut witness) = (unique("after"), v5("witness").open());
    witness.subscribe(&topic, 0);
    let connect = v5("refused");
    let method = property::text(property::AUTHENTICATION_METHOD, "no such method");
    let mut client = connect.dial();
    let publish = message(&topic, "processed").bytes(Version::V5);
    client.send([connect.clone().with(method).bytes(), publish].concat());
    client.expect_refusal(&[0x8C, 0x87]);
    assert_eq!(witness.messages_from(&mut connect.open()), []);
}
