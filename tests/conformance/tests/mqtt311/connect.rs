//! Chapters 3.1.0 to 3.1.2 without the will: the first packet, sessions, credentials, keep alive. And CONNACK.

use std::time::{Duration, Instant};

use conformance::*;

/// [MQTT-3.1.0-1]
#[test]
fn mqtt311_3_1_0_1_a_first_packet_other_than_connect_closes() {
    let subscribe = subscribe(Version::V311, 1, &[("a", 0)], &[]);
    for packet in
        [frame(PINGREQ, []), message("a", "x").bytes(Version::V311), subscribe, frame(DISCONNECT, [])]
    {
        let mut client = v311("first").dial();
        client.send(packet);
        client.expect_close();
    }
}

/// [MQTT-3.1.0-2]
#[test]
fn mqtt311_3_1_0_2_a_second_connect_closes() {
    let connect = v311("second");
    let mut client = connect.open();
    client.send(connect.bytes());
    assert_eq!(client.expect_disconnect(&[]), []);
}

/// [MQTT-3.1.2-1]
#[test]
fn mqtt311_3_1_2_1_another_protocol_name_is_not_accepted() {
    for name in ["MQTX", "mqtt", "MQT", ""] {
        let connect = v311("name");
        let header = connect.variable_header();
        let mut client = connect.dial();
        client.send(frame(CONNECT, [string(name), header[6..].to_vec(), connect.payload()].concat()));
        match client.recv_or_end() {
            None => continue,
            Some(Packet::Connack(connack)) => assert_ne!(connack.code, 0),
            Some(other) => panic!("{other:?}"),
        }
        client.expect_close();
    }
}

/// [MQTT-3.1.2-2]
#[test]
fn mqtt311_3_1_2_2_an_unsupported_protocol_level_is_answered_with_return_code_1() {
    for level in [0, 1, 2, 6, 0x7F] {
        let connect = v311("level");
        let mut bytes = connect.bytes();
        bytes[8] = level;
        let mut client = connect.dial();
        client.send(bytes);
        let (first, body) = client.next_frame().expect("a CONNACK");
        // Above 5 it can be meant for a later version, whose clients read the 0x84 that 5.0 has for the same.
        let expected = body[1] == 0x01 || (level > 5 && body[1] == 0x84);
        assert!(first == 0x20 && body[0] == 0 && expected, "level {level} is answered with {body:x?}");
        client.expect_close();
    }
}

/// [MQTT-3.1.2-3]
#[test]
fn mqtt311_3_1_2_3_the_reserved_flag_must_be_zero() {
    v311("reserved").flip_flags(0x01).attempt().expect_close();
}

/// [MQTT-3.1.2-4]
#[test]
fn mqtt311_3_1_2_4_the_session_is_stored_after_the_connection() {
    let (connect, topic) = (v311("stored").lasting(), unique("stored"));
    let mut client = connect.open();
    assert!(!client.connack().session_present);
    client.subscribe(&topic, 1);
    client.disconnect();
    let mut client = connect.open();
    assert!(client.connack().session_present);
    v311("pub").open().publish(message(&topic, "x").qos(1));
    client.expect("x");
}

/// [MQTT-3.1.2-5]
#[test]
fn mqtt311_3_1_2_5_qos_1_and_2_messages_are_stored_for_the_session() {
    let (connect, topic, mut publisher) = (v311("stored").lasting(), unique("stored"), v311("pub").open());
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    client.disconnect();
    publisher.publish(message(&topic, "1").qos(1));
    publisher.publish(message(&topic, "2").qos(2));
    let mut client = connect.open();
    assert_eq!(client.expect("1").qos, 1);
    assert_eq!(client.expect("2").qos, 2);
}

/// [MQTT-3.1.2-6]
#[test]
fn mqtt311_3_1_2_6_clean_session_discards_the_session_before_and_after() {
    let (connect, topic, mut publisher) = (v311("clean").lasting(), unique("clean"), v311("pub").open());
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    publisher.publish(message(&topic, "queued").qos(1));

    let mut client = connect.clone().clean(true).open();
    assert!(!client.connack().session_present);
    assert_eq!(client.messages_from(&mut publisher), []);
    client.subscribe(&topic, 1);
    client.disconnect();

    let mut client = connect.open();
    assert!(!client.connack().session_present);
    publisher.publish(message(&topic, "later").qos(1));
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-3.1.2-16]
#[test]
fn mqtt311_3_1_2_16_a_user_name_without_its_flag_closes() {
    v311("user").user_name("u").flip_flags(0x80).attempt().expect_close();
}

/// [MQTT-3.1.2-17]
#[test]
fn mqtt311_3_1_2_17_a_user_name_flag_without_a_user_name_closes() {
    v311("user").flip_flags(0x80).attempt().expect_close();
}

/// [MQTT-3.1.2-18]
#[test]
fn mqtt311_3_1_2_18_a_password_without_its_flag_closes() {
    v311("pass").user_name("u").password("p").flip_flags(0x40).attempt().expect_close();
}

/// [MQTT-3.1.2-19]
#[test]
fn mqtt311_3_1_2_19_a_password_flag_without_a_password_closes() {
    v311("pass").user_name("u").flip_flags(0x40).attempt().expect_close();
}

/// [MQTT-3.1.2-20]
#[test]
fn mqtt311_3_1_2_20_a_password_needs_a_user_name() {
    v311("pass").password("p").attempt().expect_close();
}

/// [MQTT-3.1.2-22]
#[test]
fn mqtt311_3_1_2_22_silence_of_one_and_a_half_keep_alives_closes_as_a_failed_network_does() {
    let topic = unique("silent");
    let mut witness = v311("witness").open();
    witness.subscribe(&topic, 0);
    let start = Instant::now();
    let client = v311("silent").keep_alive(1).will(Will::new(&topic, "silent")).open();
    client.expect_close();
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(1_400), "closed after {waited:?}");
    assert!(waited <= Duration::from_millis(4_000), "closed after {waited:?}");
    witness.expect("silent");
}

/// [MQTT-3.1.4-1]
#[test]
fn mqtt311_3_1_4_1_a_connect_of_another_format_closes_without_connack() {
    let connect = v311("format");
    let (header, payload) = (connect.variable_header(), connect.payload());
    let bodies = [
        [&header[..], &payload, b"more"].concat(),
        [&header[..], &payload[..payload.len() - 1]].concat(),
        header[..8].to_vec(),
        header[..3].to_vec(),
        Vec::new(),
    ];
    for body in bodies {
        let mut client = connect.dial();
        client.send(frame(CONNECT, body));
        client.expect_close();
    }
    let mut client = connect.dial();
    client.send(frame(CONNECT | 0x02, [header, payload].concat()));
    client.expect_close();
}

/// [MQTT-3.1.4-2]
#[test]
fn mqtt311_3_1_4_2_a_second_connection_ends_the_first() {
    let connect = v311("taken").lasting();
    let first = connect.open();
    let mut second = connect.open();
    first.expect_close();
    assert!(second.connack().session_present);
    second.expect_nothing();
}

/// [MQTT-3.1.4-3]
#[test]
fn mqtt311_3_1_4_3_nothing_that_follows_a_refused_connect_is_processed() {
    let (topic, mut witness, mut publisher) = (unique("after"), v311("witness").open(), v311("pub").open());
    witness.subscribe(&topic, 0);
    let refused = Connect::new(Version::V311, "").clean(false);
    let mut client = refused.dial();
    client.send([refused.bytes(), message(&topic, "processed").bytes(Version::V311)].concat());
    client.expect_refusal(&[0x02]);
    assert_eq!(witness.messages_from(&mut publisher), []);
}

/// [MQTT-3.2.0-1]
#[test]
fn mqtt311_3_2_0_1_connack_is_the_first_packet() {
    let (connect, topic) = (v311("first").lasting(), unique("first"));
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    v311("pub").open().publish(message(&topic, "queued").qos(1));
    let mut client = connect.attempt();
    assert_eq!(
        client.recv_connack(),
        Connack { session_present: true, code: 0, properties: Default::default() }
    );
    client.expect("queued");
}

/// [MQTT-3.2.2-1] `expect_refusal` waits for the end of the connection.
#[test]
fn mqtt311_3_2_2_1_the_connection_is_closed_after_a_refusal() {
    Connect::new(Version::V311, "").clean(false).attempt().expect_refusal(&[0x02]);
}

/// [MQTT-3.2.2-2] No return code stands for a packet that is malformed.
#[test]
fn mqtt311_3_2_2_2_without_a_fitting_return_code_the_server_only_closes() {
    v311("none").will(Will::new("a", "x").qos(3)).attempt().expect_close();
    v311("none").flip_flags(0x01).attempt().expect_close();
}
