//! Chapter 3.1.3: the payload of CONNECT.

use conformance::*;

/// [MQTT-3.1.3-1]
#[test]
fn mqtt311_3_1_3_1_the_payload_fields_are_read_in_their_order() {
    let topic = unique("order");
    let mut witness = v311("witness").open();
    witness.subscribe(&topic, 0);
    v311("order").will(Will::new(&topic, "will payload")).user_name("user").password("password").open().cut();
    witness.expect("will payload");
}

/// [MQTT-3.1.3-2]
#[test]
fn mqtt311_3_1_3_2_the_client_id_identifies_the_session() {
    let (one, other, topic) = (v311("one").lasting(), v311("other").lasting(), unique("ids"));
    let mut client = one.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    other.open().disconnect();
    v311("pub").open().publish(message(&topic, "x").qos(1));
    other.open().expect_nothing();
    one.open().expect("x");
}

/// [MQTT-3.1.3-3]
#[test]
fn mqtt311_3_1_3_3_a_connect_without_a_client_id_closes() {
    let connect = v311("missing");
    let mut client = connect.dial();
    client.send(frame(CONNECT, connect.variable_header()));
    client.expect_close();
}

/// [MQTT-3.1.3-4] The longest one has as many bytes as a string can have.
#[test]
fn mqtt311_3_1_3_4_client_ids_are_any_unicode_of_up_to_65_535_bytes() {
    let name = unique("unicode");
    for id in [format!("{name} ü-水/😀+#$"), format!("{name}{}", "x".repeat(65_535 - name.len()))] {
        let connect = Connect::new(Version::V311, id).lasting();
        connect.open().disconnect();
        assert!(connect.open().connack().session_present);
    }
    Connect::new(Version::V311, b"\xED\xA0\x80").attempt().expect_close();
}

/// [MQTT-3.1.3-5]
#[test]
fn mqtt311_3_1_3_5_client_ids_of_1_to_23_letters_and_digits_are_allowed() {
    let alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for chunk in alphabet.as_bytes().chunks(21) {
        Connect::new(Version::V311, chunk).open();
    }
    Connect::new(Version::V311, "q").open();
    let name = unique("len23");
    let longest = format!("{name}{}", "Z".repeat(23 - name.len()));
    Connect::new(Version::V311, longest).open();
}

/// [MQTT-3.1.3-6]
#[test]
fn mqtt311_3_1_3_6_clients_without_a_client_id_are_told_apart() {
    let topic = unique("empty");
    let empty = Connect::new(Version::V311, "");
    let (mut one, mut other) = (empty.open(), empty.open());
    one.subscribe(&topic, 0);
    other.publish(message(&topic, "x").qos(1));
    one.expect("x");
    other.expect_nothing();
}

/// [MQTT-3.1.3-8]
#[test]
fn mqtt311_3_1_3_8_no_client_id_and_no_clean_session_is_rejected() {
    Connect::new(Version::V311, "").clean(false).attempt().expect_rejected_id();
}

/// [MQTT-3.1.3-9]
#[test]
fn mqtt311_3_1_3_9_a_rejected_client_id_is_answered_with_return_code_2() {
    let will = Will::new(unique("rejected"), "x");
    Connect::new(Version::V311, "").clean(false).will(will).keep_alive(60).attempt().expect_rejected_id();
}
