//! Chapter 3.2: CONNACK, and the limits that it announces.

use conformance::*;

/// [MQTT-3.2.0-1]
#[test]
fn mqtt5_3_2_0_1_connack_is_the_first_packet() {
    let connect = v5("first").lasting();
    let topic = unique("first");
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    v5("pub").open().publish(message(&topic, "queued").qos(1));
    let mut client = connect.attempt();
    client.recv_connack();
    client.expect("queued");
}

/// [MQTT-3.2.0-2]
#[test]
fn mqtt5_3_2_0_2_there_is_only_one_connack() {
    let connect = v5("onlyone");
    let mut client = connect.dial();
    client.send([connect.bytes(), connect.bytes()].concat());
    assert_eq!(client.recv_connack().code, 0);
    assert_eq!(client.expect_disconnect(&[0x82]), []);
}

/// [MQTT-3.2.2-1] The reader of these tests refuses reserved bits that are set.
#[test]
fn mqtt5_3_2_2_1_the_reserved_acknowledge_flags_are_zero() {
    let connect = v5("ackflags").lasting();
    for present in [0, 1] {
        let mut client = connect.attempt();
        let (first, body) = client.next_frame().unwrap();
        assert_eq!((first, body[0], body[1]), (0x20, present, 0));
        client.disconnect();
    }
}

/// [MQTT-3.2.2-2]
#[test]
fn mqtt5_3_2_2_2_clean_start_means_session_present_0() {
    let connect = v5("present").lasting();
    connect.open().disconnect();
    let connack = connect.clean(true).open().connack().clone();
    assert!(!connack.session_present && connack.code == 0);
}

/// [MQTT-3.2.2-3]
#[test]
fn mqtt5_3_2_2_3_session_present_tells_whether_there_was_a_session() {
    let connect = v5("present").lasting();
    let client = connect.open();
    assert!(!client.connack().session_present);
    client.disconnect();
    let client = connect.open();
    assert!(client.connack().session_present);
}

/// [MQTT-3.2.2-6] `expect_refusal` checks the flag. The session exists, so it could be set in error.
#[test]
fn mqtt5_3_2_2_6_a_refusal_has_session_present_0() {
    let connect = v5("refused").lasting();
    connect.open().disconnect();
    let method = property::text(property::AUTHENTICATION_METHOD, "no such method");
    connect.with(method).attempt().expect_refusal(&[0x8C, 0x87]);
}

/// [MQTT-3.2.2-7] `expect_refusal` waits for the end of the connection.
#[test]
fn mqtt5_3_2_2_7_the_connection_is_closed_after_a_refusal() {
    let method = property::text(property::AUTHENTICATION_METHOD, "no such method");
    v5("refused").with(method).attempt().expect_refusal(&[0x8C, 0x87]);
    v5("refused").flip_flags(0x01).attempt().expect_refusal(&[0x81]);
}

/// [MQTT-3.2.2-8] The reader of these tests refuses other codes.
#[test]
fn mqtt5_3_2_2_8_connack_has_one_of_its_reason_codes() {
    let refused = [
        v5("code").will(Will::new("a/+", "x")),
        v5("code").will(Will::new("a", "x").qos(3)),
        v5("code").with(property::two(property::RECEIVE_MAXIMUM, 0)),
        Connect::new(Version::V5, "id\0null"),
    ];
    for connect in refused {
        connect.attempt().expect_refusal(&[0x81, 0x82, 0x85, 0x90]);
    }
}

/// [MQTT-3.2.2-9]
#[test]
fn mqtt5_3_2_2_9_without_a_maximum_qos_every_qos_is_supported() {
    let mut client = v5("maxqos").open();
    let topic = unique("maxqos");
    let maximum = client.connack().maximum_qos();
    for qos in 0..=maximum {
        assert!([0x00, 0x10].contains(&client.publish(message(&topic, "x").qos(qos))));
    }
    if maximum < 2 {
        client.send_message(&message(&topic, "x").qos(2).id(1000));
        client.expect_disconnect(&[0x9B]);
    }
}

/// [MQTT-3.2.2-10]
#[test]
fn mqtt5_3_2_2_10_a_subscription_may_ask_for_any_qos() {
    let mut client = v5("anyqos").open();
    let topic = unique("anyqos");
    for qos in 0..=2 {
        let codes = client.subscribe_list(&[(&topic, qos)], &[]);
        assert!(codes[0] <= qos, "SUBACK {codes:x?} for QoS {qos}");
    }
}

/// [MQTT-3.2.2-12]
#[test]
fn mqtt5_3_2_2_12_a_will_qos_above_the_maximum_is_refused() {
    let maximum = v5("maxqos").open().connack().maximum_qos();
    let client = v5("willqos").will(Will::new("a", "x").qos(2)).attempt();
    match maximum {
        2 => client.expect_acceptance(),
        _ => client.expect_refusal(&[0x9B]),
    }
}

/// [MQTT-3.2.2-13]
#[test]
fn mqtt5_3_2_2_13_will_retain_is_refused_where_retain_is_not_available() {
    let available = v5("retain").open().connack().retain_available();
    let client = v5("willret").will(Will::new(unique("willret"), "x").retain()).attempt();
    match available {
        true => client.expect_acceptance(),
        false => client.expect_refusal(&[0x9A]),
    }
}

/// [MQTT-3.2.2-15] It binds the client; the server says so as soon as the length is known. A server that announces no
/// maximum takes all.
#[test]
fn mqtt5_3_2_2_15_a_packet_above_the_servers_maximum_is_too_large() {
    let mut client = v5("toolarge").open();
    let Some(maximum) = client.connack().maximum_packet_size() else {
        assert!(!broker::is_ours(), "our own broker announces its Maximum Packet Size");
        return;
    };
    client.send([&[PUBLISH][..], &varint(maximum), &string("a"), &[0]].concat());
    client.expect_disconnect(&[0x95]);
}

#[test]
fn a_packet_of_exactly_the_servers_maximum_is_taken() {
    let topic = unique("exact");
    let (mut client, mut subscriber) = (v5("exact").open(), v5("sub").open());
    let maximum = client.connack().maximum_packet_size().unwrap_or(1 << 20).min(1 << 22) as usize;
    subscriber.subscribe(&topic, 0);
    // The remaining length takes three or four bytes here.
    let length_bytes = varint(maximum as u32).len();
    let payload = vec![b'x'; maximum - 1 - length_bytes - 2 - topic.len() - 1];
    let packet = message(&topic, &payload).bytes(Version::V5);
    assert_eq!(packet.len(), maximum);
    client.send(packet);
    assert_eq!(subscriber.recv_publish().payload.len(), payload.len());
}

/// [MQTT-3.2.2-16]
#[test]
fn mqtt5_3_2_2_16_assigned_client_ids_are_not_in_use() {
    let empty = Connect::new(Version::V5, "").session_expiry(1);
    let clients: Vec<Client> = (0..50).map(|_| empty.open()).collect();
    let assigned = |client: &Client| {
        client.connack().properties.text(property::ASSIGNED_CLIENT_IDENTIFIER).unwrap().to_owned()
    };
    let mut ids: Vec<String> = clients.iter().map(assigned).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

/// [MQTT-3.2.2-17] It binds the client; the server does not accept it otherwise.
#[test]
fn mqtt5_3_2_2_17_an_alias_above_the_servers_maximum_is_refused() {
    let mut client = v5("alias").open();
    let Some(above) = client.connack().topic_alias_maximum().checked_add(1) else { return };
    let alias = property::two(property::TOPIC_ALIAS, above);
    client.send_message(&message(unique("alias"), "x").with(alias));
    client.expect_disconnect(&[0x94]);
}

/// A refusal is where a reason is worth telling. The client of these tests refuses packets that are larger than it
/// allows, and five bytes are a CONNACK without properties.
fn refuse_with_maximum(connect: &Connect, bytes: u32) {
    let method = property::text(property::AUTHENTICATION_METHOD, "no such method");
    connect.clone().packet_size_max(bytes).with(method).attempt().expect_refusal(&[0x8C, 0x87]);
}

/// [MQTT-3.2.2-19]
#[test]
fn mqtt5_3_2_2_19_no_reason_string_makes_connack_too_large() {
    for bytes in [5, 6, 20] {
        refuse_with_maximum(&v5("small"), bytes);
    }
}

/// [MQTT-3.2.2-20]
#[test]
fn mqtt5_3_2_2_20_no_user_property_makes_connack_too_large() {
    for bytes in [5, 6, 20] {
        refuse_with_maximum(&v5("small").with(property::user("n", "v".repeat(100))), bytes);
    }
}

/// [MQTT-3.2.2-22]
#[test]
fn mqtt5_3_2_2_22_without_a_server_keep_alive_the_clients_own_counts() {
    let mut never = v5("never").keep_alive(0).open();
    let mut minute = v5("minute").keep_alive(60).open();
    for client in [&never, &minute] {
        assert!(!broker::is_ours() || !client.connack().properties.has(property::SERVER_KEEP_ALIVE));
    }
    v5("second").keep_alive(1).open().expect_disconnect(&[0x8D]);
    never.expect_nothing();
    minute.expect_nothing();
}
