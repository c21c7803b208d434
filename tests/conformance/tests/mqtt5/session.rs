//! Chapters 4.1, 4.4 and 4.5: how long a session lasts, and what it keeps.

use std::time::Duration;

use conformance::*;

/// [MQTT-4.1.0-1]
#[test]
fn mqtt5_4_1_0_1_a_session_does_not_expire_while_its_connection_is_open() {
    let (mut publisher, topic) = (v5("pub").open(), unique("open"));
    for connect in [v5("zero"), v5("second").session_expiry(1)] {
        let mut client = connect.open();
        client.subscribe(&topic, 1);
        let_time_pass(Duration::from_millis(1_600));
        publisher.publish(message(&topic, "x").qos(1));
        client.expect("x");
    }
}

/// [MQTT-4.1.0-2]
#[test]
fn mqtt5_4_1_0_2_the_session_is_discarded_when_its_expiry_has_passed() {
    let (mut publisher, topic) = (v5("pub").open(), unique("expired"));
    let connect = v5("expired").clean(false).session_expiry(1);
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.cut();
    publisher.publish(message(&topic, "x").qos(1));
    let_time_pass(Duration::from_millis(2_100));
    let mut client = connect.open();
    assert!(!client.connack().session_present);
    assert_eq!(client.messages_from(&mut publisher), []);
}

#[test]
fn an_expiry_of_all_ones_never_passes() {
    let connect = v5("never").clean(false).session_expiry(u32::MAX);
    connect.open().cut();
    assert!(connect.open().connack().session_present);
    connect.clean(true).open();
}

#[test]
fn a_reconnect_begins_the_expiry_anew() {
    let connect = v5("anew").clean(false).session_expiry(2);
    connect.open().cut();
    for _ in 0..2 {
        let_time_pass(Duration::from_millis(1_200));
        let client = connect.open();
        assert!(client.connack().session_present);
        client.cut();
    }
}

/// [MQTT-4.2-1] TCP gives an ordered stream of bytes; where it is cut into segments does not matter.
#[test]
fn mqtt5_4_2_1_packets_arrive_whole_however_the_stream_is_cut() {
    let (mut subscriber, topic) = (v5("sub").open(), unique("cut"));
    subscriber.subscribe(&topic, 0);
    let connect = v5("bytewise");
    let mut client = connect.dial();
    for byte in connect.bytes() {
        client.send([byte]);
    }
    assert_eq!(client.recv_connack().code, 0);
    for byte in message(&topic, "byte by byte").qos(1).id(1000).bytes(Version::V5) {
        client.send([byte]);
    }
    client.await_puback(1000);
    subscriber.expect("byte by byte");
    let many = (0..50).flat_map(|number| message(&topic, number.to_string()).bytes(Version::V5));
    client.send(many.collect::<Vec<u8>>());
    (0..50).for_each(|number| drop(subscriber.expect(&number.to_string())));
}

/// [MQTT-4.4.0-1]
#[test]
fn mqtt5_4_4_0_1_a_resumed_session_resends_with_the_original_packet_ids() {
    let (mut publisher, topic, connect) = (v5("pub").open(), unique("resend"), v5("resend").lasting());
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    for qos in [1, 2, 2] {
        publisher.publish(message(&topic, "x").qos(qos));
    }
    let sent = client.recv_publishes(3);
    client.send(ack(PUBREC, sent[1].id()));
    client.await_pubrel(sent[1].id());
    // Nothing is sent again while the connection stands.
    client.expect_nothing();
    client.cut();

    let mut client = connect.open();
    let mut publishes = Vec::new();
    let mut releases = Vec::new();
    for _ in 0..3 {
        match client.recv() {
            Packet::Publish(publish) => publishes.push(publish.id()),
            Packet::Pubrel(release) => releases.push(release.packet_id),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(publishes, [sent[0].id(), sent[2].id()]);
    assert_eq!(releases, [sent[1].id()]);
    client.expect_nothing();
}

/// [MQTT-4.4.0-2]
#[test]
fn mqtt5_4_4_0_2_a_refused_message_is_not_sent_again() {
    let (mut publisher, topic) = (v5("pub").open(), unique("refuse"));
    let connect = v5("refuse").lasting().receive_maximum(1);
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    for (qos, first) in [(1, PUBACK), (2, PUBREC)] {
        publisher.publish(message(&topic, "refused").qos(qos));
        let publish = client.expect("refused");
        client.send(ack_with(first, publish.id(), 0x80));
    }
    // It gives its place in the quota back, too.
    publisher.publish(message(&topic, "taken").qos(1));
    let taken = client.expect("taken");
    client.ack(&taken);
    client.ping();
    client.cut();
    connect.open().expect_nothing();
}

/// [MQTT-4.5.0-1]
#[test]
fn mqtt5_4_5_0_1_every_matching_session_gets_the_message() {
    let (mut publisher, topic) = (v5("pub").open(), unique("every"));
    let offline = v5("offline").lasting();
    let mut client = offline.open();
    client.subscribe(&format!("{topic}/#"), 1);
    client.disconnect();
    let mut online: Vec<Client> = (0..4).map(|_| v5("online").open()).collect();
    for (client, qos) in online.iter_mut().zip([0, 1, 2, 1]) {
        client.subscribe(&format!("{topic}/+"), qos);
    }
    publisher.publish(message(format!("{topic}/a"), "x").qos(2));
    online.iter_mut().for_each(|client| drop(client.expect("x")));
    offline.open().expect("x");
}
