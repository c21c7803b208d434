//! Chapters 3.3 to 3.7: PUBLISH and its acknowledgements.

use conformance::*;

/// [MQTT-3.3.2-1]
#[test]
fn mqtt311_3_3_2_1_the_topic_name_is_utf8() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("ü水"));
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "x"));
    assert_eq!(client.expect("x").topic, topic);
    publisher.send_message(&message(b"\xFF\xFE", "x"));
    publisher.expect_disconnect(&[]);
}

/// [MQTT-3.3.2-2]
#[test]
fn mqtt311_3_3_2_2_a_topic_name_with_a_wildcard_closes() {
    for topic in ["a/+", "#", "a/#", "+/b", "a+b", "a#"] {
        for qos in 0..=2 {
            let mut client = v311("wild").open();
            client.send_message(&message(topic, "x").qos(qos).id(1000));
            assert_eq!(client.expect_disconnect(&[]), []);
        }
    }
}

/// [MQTT-3.3.2-3]
#[test]
fn mqtt311_3_3_2_3_the_topic_name_matches_the_subscription() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("match"));
    client.subscribe(&format!("{topic}/+/c"), 0);
    for name in ["a/c", "b/c", "a/b", "a/c/d"] {
        publisher.publish(message(format!("{topic}/{name}"), name));
    }
    let messages = client.messages_from(&mut publisher);
    let topics: Vec<&str> = messages.iter().map(|publish| &publish.topic[topic.len() + 1..]).collect();
    assert_eq!(topics, ["a/c", "b/c"]);
}

/// [MQTT-3.3.5-1]
#[test]
fn mqtt311_3_3_5_1_overlapping_subscriptions_give_the_highest_qos() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("overlap"));
    client.subscribe(&format!("{topic}/#"), 0);
    client.subscribe(&format!("{topic}/+"), 2);
    client.subscribe(&format!("{topic}/a"), 1);
    publisher.publish(message(format!("{topic}/a"), "x").qos(2));
    let messages = client.messages_from(&mut publisher);
    assert_eq!(messages.iter().map(|publish| publish.qos).max(), Some(2));
}

/// [MQTT-3.3.5-2] `$SYS` is what a server may keep to itself without any configuration.
#[test]
fn mqtt311_3_3_5_2_a_publish_that_is_not_authorised_is_acknowledged_or_closes() {
    let mut client = v311("unauth").open();
    client.send_message(&message("$SYS/broker/conformance", "x").qos(1).id(1000));
    let answer = client.recv_or_end();
    assert!(matches!(answer, None | Some(Packet::Puback(Ack { packet_id: 1000, .. }))), "{answer:?}");
}

/// [MQTT-3.5.4-1]
#[test]
fn mqtt311_3_5_4_1_pubrec_is_answered_with_pubrel() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("rec"));
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "x").qos(2));
    let id = client.expect("x").id();
    client.send(ack(PUBREC, id));
    assert!(matches!(client.recv(), Packet::Pubrel(release) if release.packet_id == id));
}

/// [MQTT-3.6.1-1]
#[test]
fn mqtt311_3_6_1_1_pubrel_with_other_flags_closes() {
    for first in [0x60, 0x61, 0x63, 0x66, 0x6A] {
        let mut client = v311("rel").open();
        client.send_message(&message(unique("rel"), "x").qos(2).id(1000));
        client.await_pubrec(1000);
        client.send(ack(first, 1000));
        assert_eq!(client.expect_disconnect(&[]), []);
    }
}

/// [MQTT-3.6.4-1]
#[test]
fn mqtt311_3_6_4_1_pubrel_is_answered_with_pubcomp() {
    let mut client = v311("comp").open();
    client.send_message(&message(unique("comp"), "x").qos(2).id(4711));
    client.await_pubrec(4711);
    for _ in 0..2 {
        client.send(ack(PUBREL, 4711));
        assert!(matches!(client.recv(), Packet::Pubcomp(ack) if ack.packet_id == 4711));
    }
}
