//! Chapters 3.1.0 to 3.1.2.5: the first packet, and what its fixed part says about session and will.

use std::time::Duration;

use conformance::*;

/// [MQTT-3.1.0-1]
#[test]
fn mqtt5_3_1_0_1_a_first_packet_other_than_connect_closes() {
    let first = [
        frame(PINGREQ, []),
        message("a", "x").bytes(Version::V5),
        subscribe(Version::V5, 1, &[("a", 0)], &[]),
        frame(AUTH, [0x19, 0]),
    ];
    for packet in first {
        let mut client = v5("first").dial();
        client.send(&packet);
        client.expect_close();
    }
}

/// [MQTT-3.1.0-2]
#[test]
fn mqtt5_3_1_0_2_a_second_connect_is_a_protocol_error() {
    let connect = v5("second");
    let mut client = connect.open();
    client.send(connect.bytes());
    client.expect_disconnect(&[0x82]);
}

/// [MQTT-3.1.2-1]
#[test]
fn mqtt5_3_1_2_1_another_protocol_name_is_not_accepted() {
    for name in ["MQTX", "mqtt", "", "HTTP/1.1"] {
        let connect = v5("name");
        let header = connect.variable_header();
        let mut client = connect.dial();
        client.send(frame(CONNECT, [string(name), header[6..].to_vec(), connect.payload()].concat()));
        match client.recv_or_end() {
            None => continue,
            Some(Packet::Connack(connack)) => assert!([0x81, 0x84].contains(&connack.code), "{connack:?}"),
            Some(other) => panic!("{other:?}"),
        }
        client.expect_close();
    }
}

/// [MQTT-3.1.2-2]
#[test]
fn mqtt5_3_1_2_2_an_unknown_protocol_version_is_not_accepted() {
    for level in [0, 1, 2, 6, 0x7F, 0xFF] {
        let connect = v5("level");
        let mut client = connect.dial();
        let mut bytes = connect.bytes();
        bytes[8] = level;
        client.send(&bytes);
        // The CONNACK is optional, and whether it is one of 5.0 or of 3.1.1 with return code 1 is open, too.
        match client.next_frame() {
            None => continue,
            Some((0x20, body)) => assert!([0x84, 0x01].contains(&body[1]), "CONNACK {body:x?}"),
            Some(other) => panic!("{other:x?}"),
        }
        client.expect_close();
    }
}

/// [MQTT-3.1.2-3]
#[test]
fn mqtt5_3_1_2_3_the_reserved_flag_must_be_zero() {
    v5("reserved").flip_flags(0x01).attempt().expect_refusal(&[0x81]);
}

/// [MQTT-3.1.2-4]
#[test]
fn mqtt5_3_1_2_4_clean_start_discards_the_session() {
    let connect = v5("discard").lasting();
    let topic = unique("discard");
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    let mut publisher = v5("pub").open();
    publisher.publish(message(&topic, "queued").qos(1));

    let mut client = connect.clone().clean(true).open();
    assert!(!client.connack().session_present);
    publisher.publish(message(&topic, "later").qos(1));
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-3.1.2-5]
#[test]
fn mqtt5_3_1_2_5_an_existing_session_is_resumed() {
    let connect = v5("resume").lasting();
    let topic = unique("resume");
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.disconnect();

    let mut client = connect.open();
    assert!(client.connack().session_present);
    v5("pub").open().publish(message(&topic, "x").qos(1));
    client.expect("x");
}

/// [MQTT-3.1.2-6]
#[test]
fn mqtt5_3_1_2_6_without_a_session_a_new_one_is_created() {
    let connect = v5("create").lasting();
    let client = connect.open();
    assert!(!client.connack().session_present);
    client.disconnect();
    assert!(connect.open().connack().session_present);
}

/// [MQTT-3.1.2-7]
#[test]
fn mqtt5_3_1_2_7_the_will_is_stored_with_the_session() {
    let (topic, mut witness) = (unique("will"), v5("witness").open());
    witness.subscribe(&topic, 0);
    // The will outlives the connection, because its delay is that of the session.
    let connect = v5("will").session_expiry(1).will(Will::new(&topic, "gone").delay(30));
    connect.open().cut();
    witness.expect("gone");
}

/// [MQTT-3.1.2-8]
#[test]
fn mqtt5_3_1_2_8_the_will_is_published_after_the_connection_ends_and_its_delay_passes() {
    let (now, later) = (unique("now"), unique("later"));
    let mut witness = v5("witness").open();
    witness.subscribe(&now, 0);
    witness.subscribe(&later, 0);
    v5("will").lasting().will(Will::new(&later, "later").delay(1)).open().cut();
    v5("will").lasting().will(Will::new(&now, "now")).open().cut();
    witness.expect("now");
    witness.expect("later");
}

#[test]
fn the_will_delay_ends_with_the_session() {
    let topic = unique("will");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, 0);
    v5("will").will(Will::new(&topic, "at once").delay(60)).open().cut();
    witness.expect("at once");
}

/// [MQTT-3.1.2-9]
#[test]
fn mqtt5_3_1_2_9_a_will_flag_without_will_fields_is_malformed() {
    v5("nowill").flip_flags(WILL_FLAG).attempt().expect_refusal(&[0x81]);
}

/// [MQTT-3.1.2-10]
#[test]
fn mqtt5_3_1_2_10_a_will_is_removed_once_published_or_disconnected() {
    let topic = unique("once");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, 0);
    let connect = v5("once").lasting();
    let with_will = connect.clone().will(Will::new(&topic, "gone"));
    with_will.open().cut();
    witness.expect("gone");
    // The session is the same, its will is not there again.
    connect.open().cut();
    with_will.open().disconnect();
    connect.open().cut();
    assert_eq!(witness.messages_from(&mut connect.open()), []);
}

/// [MQTT-3.1.2-11]
#[test]
fn mqtt5_3_1_2_11_a_will_qos_without_a_will_is_malformed() {
    for bits in [0x08, 0x10, 0x18] {
        v5("willqos").flip_flags(bits).attempt().expect_refusal(&[0x81]);
    }
}

/// [MQTT-3.1.2-12]
#[test]
fn mqtt5_3_1_2_12_a_will_has_qos_0_1_or_2() {
    let topic = unique("willqos");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, 2);
    for qos in 0..=2 {
        v5("willqos").will(Will::new(&topic, "gone").qos(qos)).open().cut();
        let publish = witness.expect("gone");
        assert_eq!(publish.qos, qos);
        witness.ack(&publish);
    }
    v5("willqos").will(Will::new(&topic, "gone").qos(3)).attempt().expect_refusal(&[0x81]);
}

/// [MQTT-3.1.2-13]
#[test]
fn mqtt5_3_1_2_13_will_retain_without_a_will_is_malformed() {
    v5("willret").flip_flags(0x20).attempt().expect_refusal(&[0x81]);
}

/// [MQTT-3.1.2-14]
#[test]
fn mqtt5_3_1_2_14_a_will_without_will_retain_is_not_retained() {
    let topic = unique("willret");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, RETAIN_AS_PUBLISHED);
    let connect = v5("willret");
    connect.clone().will(Will::new(&topic, "gone")).open().cut();
    assert!(!witness.expect("gone").retain);
    let mut late = v5("late").open();
    late.subscribe(&topic, 0);
    assert_eq!(late.messages_from(&mut connect.open()), []);
}

/// [MQTT-3.1.2-15]
#[test]
fn mqtt5_3_1_2_15_a_will_with_will_retain_is_retained() {
    let topic = unique("willret");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, RETAIN_AS_PUBLISHED);
    v5("willret").will(Will::new(&topic, "gone").retain()).open().cut();
    assert!(witness.expect("gone").retain);
    let mut late = v5("late").open();
    late.subscribe(&topic, 0);
    assert!(late.expect("gone").retain);
}

/// [MQTT-3.1.2-22]
#[test]
fn mqtt5_3_1_2_22_silence_of_one_and_a_half_keep_alives_closes_as_a_failed_network_does() {
    let topic = unique("silent");
    let mut witness = v5("witness").open();
    witness.subscribe(&topic, 0);
    let start = std::time::Instant::now();
    let client = v5("silent").keep_alive(1).will(Will::new(&topic, "silent")).open();
    client.expect_disconnect(&[0x8D]);
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(1_400), "closed after {waited:?}");
    assert!(waited <= Duration::from_millis(4_000), "closed after {waited:?}");
    witness.expect("silent");
}
