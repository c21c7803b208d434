//! Chapter 3.1.2.5 to 3.1.2.7: the will.

use conformance::*;

fn witness(topic: &str, qos: u8) -> Client {
    let mut witness = v311("witness").open();
    witness.subscribe(topic, qos);
    witness
}

/// [MQTT-3.1.2-8]
#[test]
fn mqtt311_3_1_2_8_the_will_is_published_unless_the_client_disconnects() {
    let topic = unique("will");
    let mut witness = witness(&topic, 0);
    let connect = v311("will");
    connect.clone().will(Will::new(&topic, "network")).open().cut();
    witness.expect("network");
    let mut client = connect.clone().will(Will::new(&topic, "error")).open();
    client.send(frame(0xF0, []));
    client.expect_disconnect(&[]);
    witness.expect("error");
    let first = connect.clone().will(Will::new(&topic, "takeover")).open();
    let _second = connect.open();
    first.expect_close();
    witness.expect("takeover");
}

/// [MQTT-3.1.2-9]
#[test]
fn mqtt311_3_1_2_9_a_will_flag_without_will_fields_closes() {
    v311("nowill").flip_flags(WILL_FLAG).attempt().expect_close();
}

/// [MQTT-3.1.2-10]
#[test]
fn mqtt311_3_1_2_10_a_will_is_removed_once_published_or_disconnected() {
    let topic = unique("once");
    let mut witness = witness(&topic, 0);
    let connect = v311("once").lasting();
    let with_will = connect.clone().will(Will::new(&topic, "gone"));
    with_will.open().cut();
    witness.expect("gone");
    connect.open().cut();
    with_will.open().disconnect();
    connect.open().cut();
    assert_eq!(witness.messages_from(&mut connect.open()), []);
}

/// [MQTT-3.1.2-11]
#[test]
fn mqtt311_3_1_2_11_a_will_qos_without_a_will_closes() {
    for bits in [0x08, 0x10, 0x18] {
        v311("willqos").flip_flags(bits).attempt().expect_close();
    }
}

/// [MQTT-3.1.2-12]
#[test]
fn mqtt311_3_1_2_12_a_will_has_qos_0_1_or_2() {
    let topic = unique("willqos");
    let mut witness = witness(&topic, 2);
    for qos in 0..=2 {
        v311("willqos").will(Will::new(&topic, "gone").qos(qos)).open().cut();
        let publish = witness.expect("gone");
        assert_eq!(publish.qos, qos);
        witness.ack(&publish);
    }
    v311("willqos").will(Will::new(&topic, "gone").qos(3)).attempt().expect_close();
}

/// [MQTT-3.1.2-13]
#[test]
fn mqtt311_3_1_2_13_will_retain_without_a_will_closes() {
    v311("willret").flip_flags(0x20).attempt().expect_close();
}

/// [MQTT-3.1.2-14]
#[test]
fn mqtt311_3_1_2_14_a_will_without_will_retain_is_not_retained() {
    let (topic, connect) = (unique("willret"), v311("willret"));
    let mut first = witness(&topic, 0);
    connect.clone().will(Will::new(&topic, "gone")).open().cut();
    first.expect("gone");
    assert_eq!(witness(&topic, 0).messages_from(&mut connect.open()), []);
}

/// [MQTT-3.1.2-15]
#[test]
fn mqtt311_3_1_2_15_a_will_with_will_retain_is_retained() {
    let topic = unique("willret");
    let mut first = witness(&topic, 0);
    v311("willret").will(Will::new(&topic, "gone").retain()).open().cut();
    first.expect("gone");
    assert!(witness(&topic, 0).expect("gone").retain);
}

/// [MQTT-3.14.4-3]
#[test]
fn mqtt311_3_14_4_3_disconnect_discards_the_will() {
    let (topic, connect) = (unique("will"), v311("will"));
    let mut witness = witness(&topic, 0);
    connect.clone().will(Will::new(&topic, "published")).open().disconnect();
    assert_eq!(witness.messages_from(&mut connect.open()), []);
}

/// [MQTT-3.14.1-1]
#[test]
fn mqtt311_3_14_1_1_disconnect_with_other_flags_is_an_error() {
    for first in [0xE1, 0xE8] {
        let topic = unique("flags");
        let mut witness = witness(&topic, 0);
        let mut client = v311("flags").will(Will::new(&topic, "gone")).open();
        client.send(frame(first, []));
        client.expect_close();
        // It was no DISCONNECT, so the will is published.
        witness.expect("gone");
    }
}

/// [MQTT-3.14.4-2] It binds the client; the server does not process what follows.
#[test]
fn mqtt311_3_14_4_2_nothing_that_follows_disconnect_is_processed() {
    let (topic, connect) = (unique("after"), v311("after"));
    let mut witness = witness(&topic, 0);
    let mut client = connect.open();
    client.send([frame(DISCONNECT, []), message(&topic, "processed").bytes(Version::V311)].concat());
    client.expect_close();
    assert_eq!(witness.messages_from(&mut connect.open()), []);
}
