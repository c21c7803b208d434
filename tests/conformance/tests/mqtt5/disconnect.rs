//! Chapters 3.12 to 3.15: PINGREQ, DISCONNECT and AUTH.

use std::time::Duration;

use conformance::*;

/// [MQTT-3.12.4-1]
#[test]
fn mqtt5_3_12_4_1_pingreq_is_answered_with_pingresp() {
    let mut client = v5("ping").open();
    for _ in 0..3 {
        client.send(frame(PINGREQ, []));
        assert_eq!(client.recv(), Packet::Pingresp);
    }
}

/// [MQTT-3.14.0-1]
#[test]
fn mqtt5_3_14_0_1_no_disconnect_comes_before_connack() {
    let connect = v5("early");
    let mut packets = vec![frame(PINGREQ, []), frame(DISCONNECT, []), vec![0x00, 0x00], vec![0xFF; 8]];
    packets.push(connect.clone().flip_flags(0x01).bytes());
    packets.push(connect.with(property::two(property::RECEIVE_MAXIMUM, 0)).bytes());
    for packet in packets {
        let mut client = v5("early").dial();
        client.send(packet);
        while let Some(packet) = client.recv_or_end() {
            assert!(matches!(packet, Packet::Connack(Connack { code: 0x80.., .. })), "{packet:?}");
        }
    }
}

/// [MQTT-3.14.1-1]
#[test]
fn mqtt5_3_14_1_1_disconnect_with_other_flags_is_malformed() {
    for first in [0xE1, 0xE2, 0xEF] {
        let mut client = v5("flags").open();
        client.send(frame(first, []));
        client.expect_disconnect(&[0x81]);
    }
}

/// [MQTT-3.14.2-1] The reader of these tests refuses other codes.
#[test]
fn mqtt5_3_14_2_1_disconnect_has_one_of_its_reason_codes() {
    let connect = v5("code");
    let first = connect.open();
    let mut second = connect.open();
    first.expect_disconnect(&[0x8E]);
    second.send(connect.bytes());
    second.expect_disconnect(&[0x82]);
}

/// [MQTT-3.14.2-2] The reader of these tests refuses that property.
#[test]
fn mqtt5_3_14_2_2_the_servers_disconnect_has_no_session_expiry_interval() {
    let connect = v5("expiry").lasting();
    let first = connect.open();
    let _second = connect.open();
    first.expect_disconnect(&[0x8E]);
}

/// [MQTT-3.14.2-3] The client of these tests refuses packets that are larger than it allows.
#[test]
fn mqtt5_3_14_2_3_no_reason_string_makes_disconnect_too_large() {
    let mut client = v5("small").packet_size_max(64).open();
    client.send_message(&message("a/+", "x"));
    client.expect_disconnect(&[0x90, 0x81, 0x82]);
}

/// [MQTT-3.14.2-4]
#[test]
fn mqtt5_3_14_2_4_no_user_property_makes_disconnect_too_large() {
    let mut client = v5("small").packet_size_max(64).open();
    client.send(subscribe(Version::V5, 1, &[("a", 0xC0)], &property::user("n", "v".repeat(100))));
    client.expect_disconnect(&[0x81]);
}

/// [MQTT-3.14.4-1] `expect_disconnect` refuses a packet after the DISCONNECT.
#[test]
fn mqtt5_3_14_4_1_nothing_follows_the_servers_disconnect() {
    let (connect, topic) = (v5("last"), unique("last"));
    let mut client = connect.open();
    client.subscribe(&topic, 0);
    let ping = frame(PINGREQ, []);
    let publish = message(&topic, "x").bytes(Version::V5);
    client.send([connect.bytes(), ping, publish].concat());
    client.expect_disconnect(&[0x82]);
}

/// [MQTT-3.14.4-2] `expect_disconnect` waits for the end of the connection.
#[test]
fn mqtt5_3_14_4_2_the_server_closes_after_its_disconnect() {
    let connect = v5("close");
    let first = connect.open();
    let _second = connect.open();
    first.expect_disconnect(&[0x8E]);
}

/// [MQTT-3.14.4-3]
#[test]
fn mqtt5_3_14_4_3_a_normal_disconnect_discards_the_will() {
    let (topic, mut witness) = (unique("will"), v5("witness").open());
    witness.subscribe(&topic, 0);
    let connect = v5("normal");
    let with_will = connect.clone().will(Will::new(&topic, "published"));
    with_will.open().disconnect();
    for ending in [vec![0x00], vec![0x00, 0x00]] {
        let mut client = with_will.open();
        client.send(frame(DISCONNECT, ending));
        client.expect_close();
    }
    assert_eq!(witness.messages_from(&mut connect.open()), []);
}

#[test]
fn disconnect_with_will_message_publishes_it() {
    let (topic, mut witness) = (unique("will"), v5("witness").open());
    witness.subscribe(&topic, 0);
    let mut client = v5("leave").will(Will::new(&topic, "published")).open();
    client.send(frame(DISCONNECT, [0x04]));
    client.expect_close();
    witness.expect("published");
}

#[test]
fn disconnect_can_change_the_session_expiry() {
    let connect = v5("change").lasting();
    let mut client = connect.open();
    let zero = property::four(property::SESSION_EXPIRY_INTERVAL, 0);
    client.send(frame(DISCONNECT, [&[0x00][..], &block(Version::V5, &zero)].concat()));
    client.expect_close();
    assert!(!connect.open().connack().session_present);
}

#[test]
fn disconnect_cannot_bring_a_session_expiry_where_it_was_zero() {
    let mut client = v5("change").open();
    let minute = property::four(property::SESSION_EXPIRY_INTERVAL, 60);
    client.send(frame(DISCONNECT, [&[0x00][..], &block(Version::V5, &minute)].concat()));
    client.expect_disconnect(&[0x82]);
}

#[test]
fn packets_reset_the_keep_alive() {
    let mut client = v5("alive").keep_alive(1).open();
    for _ in 0..3 {
        let_time_pass(Duration::from_millis(900));
        client.ping();
    }
    client.expect_nothing();
}

/// [MQTT-3.15.1-1]
#[test]
fn mqtt5_3_15_1_1_auth_with_other_flags_is_malformed() {
    for first in [0xF1, 0xF2, 0xFF] {
        let mut client = v5("auth").open();
        client.send(frame(first, [0x19, 0x00]));
        client.expect_disconnect(&[0x81]);
    }
}
