//! Chapter 4.3: the delivery protocols of QoS 0, 1 and 2, with the server as sender and as receiver.

use std::time::Duration;

use conformance::*;

/// A session with a subscription of QoS 2, and a publisher for its topic.
fn subscribed(connect: &Connect) -> (Client, Client, String) {
    let topic = unique("deliver");
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    (v5("pub").open(), client, topic)
}

/// [MQTT-4.3.1-1]
#[test]
fn mqtt5_4_3_1_1_qos_0_is_sent_with_qos_0_and_without_dup() {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    publisher.publish(message(&topic, "x"));
    let publish = client.expect("x");
    assert!(publish.qos == 0 && !publish.dup && publish.packet_id.is_none());
}

/// [MQTT-4.3.2-1]
#[test]
fn mqtt5_4_3_2_1_each_new_qos_1_message_gets_an_unused_packet_id() {
    distinct_packet_ids(1);
}

fn distinct_packet_ids(qos: u8) {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    (0..10).for_each(|_| assert_eq!(publisher.publish(message(&topic, "x").qos(qos)), 0));
    let messages = client.recv_publishes(10);
    let mut ids: Vec<u16> = messages.iter().map(Publish::id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 10);
    messages.iter().for_each(|publish| client.ack(publish));
    client.expect_nothing();
}

/// [MQTT-4.3.2-2]
#[test]
fn mqtt5_4_3_2_2_qos_1_is_sent_with_qos_1_and_without_dup() {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    publisher.publish(message(&topic, "x").qos(1));
    let publish = client.expect("x");
    assert!(publish.qos == 1 && !publish.dup && publish.id() > 0);
}

/// [MQTT-4.3.2-3]
#[test]
fn mqtt5_4_3_2_3_a_qos_1_message_is_unacknowledged_until_puback() {
    let connect = v5("sub").lasting();
    let (mut publisher, mut client, topic) = subscribed(&connect);
    publisher.publish(message(&topic, "x").qos(1));
    for _ in 0..3 {
        client.expect("x");
        client.cut();
        client = connect.open();
    }
    let publish = client.expect("x");
    client.ack(&publish);
    client.ping();
    client.cut();
    connect.open().expect_nothing();
}

/// [MQTT-4.3.2-4]
#[test]
fn mqtt5_4_3_2_4_the_server_answers_qos_1_with_puback() {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    publisher.send_message(&message(&topic, "x").qos(1).id(4711));
    assert!(matches!(publisher.recv(), Packet::Puback(Ack { packet_id: 4711, code: 0, .. })));
    client.expect("x");
}

/// [MQTT-4.3.2-5]
#[test]
fn mqtt5_4_3_2_5_after_puback_the_same_packet_id_is_a_new_message() {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    for round in ["1", "2", "3"] {
        let publish = message(&topic, round).qos(1).id(1000);
        publisher.send_message(&if round == "2" { publish.dup() } else { publish });
        publisher.await_puback(1000);
    }
    for round in ["1", "2", "3"] {
        client.expect(round);
    }
}

/// [MQTT-4.3.3-1]
#[test]
fn mqtt5_4_3_3_1_each_new_qos_2_message_gets_an_unused_packet_id() {
    distinct_packet_ids(2);
}

/// [MQTT-4.3.3-2]
#[test]
fn mqtt5_4_3_3_2_qos_2_is_sent_with_qos_2_and_without_dup() {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    publisher.publish(message(&topic, "x").qos(2));
    let publish = client.expect("x");
    assert!(publish.qos == 2 && !publish.dup && publish.id() > 0);
}

/// [MQTT-4.3.3-3]
#[test]
fn mqtt5_4_3_3_3_a_qos_2_message_is_unacknowledged_until_pubrec() {
    let connect = v5("sub").lasting();
    let (mut publisher, mut client, topic) = subscribed(&connect);
    publisher.publish(message(&topic, "x").qos(2));
    let id = client.expect("x").id();
    for _ in 0..3 {
        client.cut();
        client = connect.open();
        let publish = client.expect("x");
        assert!(publish.dup && publish.id() == id);
    }
}

/// [MQTT-4.3.3-4]
#[test]
fn mqtt5_4_3_3_4_the_server_answers_pubrec_with_pubrel() {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    for code in [None, Some(0x00), Some(0x10)] {
        publisher.publish(message(&topic, "x").qos(2));
        let id = client.expect("x").id();
        client.send(code.map_or_else(|| ack(PUBREC, id), |code| ack_with(PUBREC, id, code)));
        assert!(matches!(client.recv(), Packet::Pubrel(Ack { packet_id, code: 0, .. }) if packet_id == id));
        client.send(ack(PUBCOMP, id));
    }
    client.expect_nothing();
}

/// [MQTT-4.3.3-5]
#[test]
fn mqtt5_4_3_3_5_a_pubrel_is_unacknowledged_until_pubcomp() {
    let connect = v5("sub").lasting();
    let (mut publisher, mut client, topic) = subscribed(&connect);
    publisher.publish(message(&topic, "x").qos(2));
    let id = client.expect("x").id();
    client.send(ack(PUBREC, id));
    for _ in 0..3 {
        assert_eq!(client.await_pubrel(id).code, 0);
        client.cut();
        client = connect.open();
    }
    client.await_pubrel(id);
    client.send(ack(PUBCOMP, id));
    client.ping();
    client.cut();
    connect.open().expect_nothing();
}

/// [MQTT-4.3.3-6]
#[test]
fn mqtt5_4_3_3_6_no_publish_is_sent_again_after_its_pubrel() {
    let connect = v5("sub").lasting();
    let (mut publisher, mut client, topic) = subscribed(&connect);
    publisher.publish(message(&topic, "x").qos(2));
    let id = client.expect("x").id();
    client.send(ack(PUBREC, id));
    client.await_pubrel(id);
    client.cut();
    let mut client = connect.open();
    assert!(matches!(client.recv(), Packet::Pubrel(release) if release.packet_id == id));
    client.expect_nothing();
}

/// [MQTT-4.3.3-7]
#[test]
fn mqtt5_4_3_3_7_a_message_that_was_sent_does_not_expire() {
    let connect = v5("sub").lasting();
    let (mut publisher, mut client, topic) = subscribed(&connect);
    let expiry = property::four(property::MESSAGE_EXPIRY_INTERVAL, 1);
    publisher.publish(message(&topic, "x").qos(2).with(expiry));
    client.expect("x");
    client.cut();
    let_time_pass(Duration::from_millis(2_100));
    connect.open().expect("x");
}

/// [MQTT-4.3.3-8]
#[test]
fn mqtt5_4_3_3_8_the_server_answers_qos_2_with_pubrec() {
    let (mut publisher, _client, topic) = subscribed(&v5("sub"));
    publisher.send_message(&message(&topic, "x").qos(2).id(4711));
    assert!(matches!(publisher.recv(), Packet::Pubrec(Ack { packet_id: 4711, code: 0, .. })));
}

/// [MQTT-4.3.3-9]
#[test]
fn mqtt5_4_3_3_9_a_refused_packet_id_is_free_for_another_message() {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    // What belongs to the server is refused; a broker that takes it all the same ends the handshake first.
    publisher.send_message(&message(unique("$SYS/refused"), "x").qos(2).id(1000));
    let pubrec = publisher.await_pubrec(1000);
    assert!(pubrec.code >= 0x80 || !broker::is_ours(), "{pubrec:?}");
    if pubrec.code < 0x80 {
        publisher.send(ack(PUBREL, 1000));
        publisher.await_pubcomp(1000);
    }
    publisher.send_message(&message(&topic, "taken").qos(2).id(1000));
    assert!(publisher.await_pubrec(1000).code < 0x80);
    client.expect("taken");
}

/// [MQTT-4.3.3-10] A client sends again only after a reconnect [MQTT-4.4.0-1].
#[test]
fn mqtt5_4_3_3_10_until_pubrel_the_same_packet_id_is_the_same_message() {
    let (_, mut client, topic) = subscribed(&v5("sub"));
    let connect = v5("pub").lasting();
    let publish = message(&topic, "once").qos(2).id(1000);
    let mut publisher = connect.open();
    publisher.send_message(&publish);
    publisher.await_pubrec(1000);
    for _ in 0..3 {
        publisher.cut();
        publisher = connect.open();
        publisher.send_message(&publish.clone().dup());
        publisher.await_pubrec(1000);
    }
    publisher.send(ack(PUBREL, 1000));
    publisher.await_pubcomp(1000);
    let messages = client.messages_from(&mut publisher);
    assert_eq!(messages.iter().map(Publish::text).collect::<Vec<_>>(), ["once"]);
}

/// [MQTT-4.3.3-11]
#[test]
fn mqtt5_4_3_3_11_the_server_answers_pubrel_with_pubcomp() {
    let mut publisher = v5("pub").open();
    publisher.send_message(&message(unique("comp"), "x").qos(2).id(4711));
    publisher.await_pubrec(4711);
    // A PUBREL that is repeated is answered again, whatever the Reason Code then is.
    for _ in 0..2 {
        publisher.send(ack(PUBREL, 4711));
        assert!(matches!(publisher.recv(), Packet::Pubcomp(Ack { packet_id: 4711, .. })));
    }
}

/// [MQTT-4.3.3-12]
#[test]
fn mqtt5_4_3_3_12_after_pubcomp_the_same_packet_id_is_a_new_message() {
    let (mut publisher, mut client, topic) = subscribed(&v5("sub"));
    for round in ["1", "2"] {
        publisher.send_message(&message(&topic, round).qos(2).id(1000));
        publisher.await_pubrec(1000);
        publisher.send(ack(PUBREL, 1000));
        publisher.await_pubcomp(1000);
    }
    client.expect("1");
    client.expect("2");
}

/// [MQTT-4.3.3-13]
#[test]
fn mqtt5_4_3_3_13_the_acknowledgements_go_on_after_the_message_expired() {
    let mut publisher = v5("pub").open();
    let expiry = property::four(property::MESSAGE_EXPIRY_INTERVAL, 1);
    publisher.send_message(&message(unique("expired"), "x").qos(2).id(1000).with(expiry));
    publisher.await_pubrec(1000);
    let_time_pass(Duration::from_millis(1_600));
    publisher.send(ack(PUBREL, 1000));
    assert_eq!(publisher.await_pubcomp(1000).code, 0);
}
