//! Chapter 3.3.4: what the server does with a PUBLISH, and how many it sends at once.

use conformance::*;

/// [MQTT-3.3.4-1]
#[test]
fn mqtt5_3_3_4_1_the_answer_follows_from_the_qos() {
    let (mut client, topic) = (v5("answer").open(), unique("answer"));
    client.send_message(&message(&topic, "x"));
    client.expect_nothing();
    client.send_message(&message(&topic, "x").qos(1).id(1000));
    assert!(matches!(client.recv(), Packet::Puback(Ack { packet_id: 1000, .. })));
    client.send_message(&message(&topic, "x").qos(2).id(1001));
    assert!(matches!(client.recv(), Packet::Pubrec(Ack { packet_id: 1001, .. })));
}

/// [MQTT-3.3.4-2]
#[test]
fn mqtt5_3_3_4_2_overlapping_subscriptions_give_the_highest_qos() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("overlap"));
    client.subscribe(&format!("{topic}/+"), 2);
    client.subscribe(&format!("{topic}/#"), 0);
    client.subscribe(&format!("{topic}/a"), 1);
    publisher.publish(message(format!("{topic}/a"), "x").qos(2));
    let messages = client.messages_from(&mut publisher);
    assert_eq!(messages.iter().map(|publish| publish.qos).max(), Some(2), "{messages:?}");
}

/// Two overlapping subscriptions with an identifier and one without, and the messages that one PUBLISH causes.
fn overlapping_identifiers() -> Vec<Publish> {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("subid"));
    client.subscribe_list(&[(&format!("{topic}/+"), 0)], &property::subscription_identifier(7));
    client.subscribe_list(&[(&format!("{topic}/#"), 0)], &property::subscription_identifier(268_435_455));
    client.subscribe(&format!("{topic}/a"), 0);
    publisher.publish(message(format!("{topic}/a"), "x"));
    client.messages_from(&mut publisher)
}

fn identifiers(publish: &Publish) -> Vec<u32> {
    let mut list = publish.properties.numbers(property::SUBSCRIPTION_IDENTIFIER);
    list.sort_unstable();
    list
}

/// [MQTT-3.3.4-3]
#[test]
fn mqtt5_3_3_4_3_the_subscription_identifiers_are_sent() {
    let mut all: Vec<u32> = overlapping_identifiers().iter().flat_map(identifiers).collect();
    all.sort_unstable();
    assert_eq!(all, [7, 268_435_455]);
}

/// [MQTT-3.3.4-4]
#[test]
fn mqtt5_3_3_4_4_a_single_copy_has_all_subscription_identifiers() {
    let messages = overlapping_identifiers();
    assert!(messages.len() > 1 || identifiers(&messages[0]) == [7, 268_435_455], "{messages:?}");
}

/// [MQTT-3.3.4-5]
#[test]
fn mqtt5_3_3_4_5_each_of_several_copies_has_the_identifier_of_its_subscription() {
    let messages = overlapping_identifiers();
    if messages.len() > 1 {
        let mut lists: Vec<_> = messages.iter().map(identifiers).collect();
        lists.sort();
        assert_eq!(lists, [vec![], vec![7], vec![268_435_455]]);
    }
}

/// [MQTT-3.3.4-6]
#[test]
fn mqtt5_3_3_4_6_a_subscription_identifier_from_a_client_is_a_protocol_error() {
    let mut client = v5("subid").open();
    client.send_message(&message(unique("subid"), "x").with(property::subscription_identifier(1)));
    client.expect_disconnect(&[0x82, 0x81]);
}

#[test]
fn subscription_identifier_0_is_a_protocol_error() {
    let mut client = v5("subid").open();
    client.send(subscribe(Version::V5, 1, &[("a", 0)], &property::subscription_identifier(0)));
    client.expect_disconnect(&[0x82, 0x81]);
}

/// [MQTT-3.3.4-7] It binds the client; the server does not accept it otherwise.
#[test]
fn mqtt5_3_3_4_7_more_messages_than_the_receive_maximum_are_refused() {
    let (mut client, topic) = (v5("quota").open(), unique("quota"));
    let maximum = client.connack().receive_maximum();
    if maximum == u16::MAX {
        return; // There are not enough packet ids to exceed it.
    }
    let publish = |id: u16| message(&topic, "x").qos(2).id(id).bytes(Version::V5);
    client.send((1..=maximum).flat_map(publish).collect::<Vec<u8>>());
    (1..=maximum).for_each(|id| assert_eq!(client.await_pubrec(id).code & 0x80, 0));
    client.send(publish(maximum + 1));
    client.expect_disconnect(&[0x93]);
}

/// [MQTT-3.3.4-9]
#[test]
fn mqtt5_3_3_4_9_the_server_stays_within_the_clients_receive_maximum() {
    let (mut publisher, topic) = (v5("pub").open(), unique("quota"));
    let mut client = v5("quota").receive_maximum(3).open();
    client.subscribe(&topic, 2);
    for number in 0..9 {
        publisher.publish(message(&topic, number.to_string()).qos(1 + number % 2));
    }
    let mut open = client.recv_publishes(3);
    for number in 3..9 {
        client.expect_nothing();
        let oldest = open.remove(0);
        client.ack(&oldest);
        open.push(client.expect(&number.to_string()));
    }
    client.expect_nothing();
}

/// [MQTT-3.3.4-10]
#[test]
fn mqtt5_3_3_4_10_other_packets_do_not_wait_for_the_quota() {
    let (mut publisher, topic) = (v5("pub").open(), unique("quota"));
    let mut client = v5("quota").receive_maximum(1).open();
    client.subscribe(&topic, 1);
    publisher.publish(message(&topic, "sent").qos(1));
    publisher.publish(message(&topic, "waits").qos(1));
    client.expect("sent");
    client.expect_nothing();
    client.subscribe(&unique("other"), 0);
    client.unsubscribe(&["other"]);
    client.publish(message(unique("other"), "x").qos(1));
    client.publish(message(unique("other"), "x").qos(2));
}
