//! Chapter 3.3.1: DUP, QoS and RETAIN of PUBLISH, and retained messages.

use conformance::*;

/// [MQTT-3.3.1-1]
#[test]
fn mqtt5_3_3_1_1_a_message_that_is_sent_again_has_dup() {
    let (connect, topic) = (v5("dup").lasting(), unique("dup"));
    let mut publisher = v5("pub").open();
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    for qos in [1, 2] {
        publisher.publish(message(&topic, "x").qos(qos));
    }
    assert!(client.recv_publishes(2).iter().all(|publish| !publish.dup));
    client.cut();
    assert!(connect.open().recv_publishes(2).iter().all(|publish| publish.dup));
}

/// [MQTT-3.3.1-2]
#[test]
fn mqtt5_3_3_1_2_a_qos_0_message_has_no_dup() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("dup0").open(), unique("dup0"));
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "x").qos(1).dup());
    let publish = client.expect("x");
    assert!(publish.qos == 0 && !publish.dup);
}

/// [MQTT-3.3.1-3]
#[test]
fn mqtt5_3_3_1_3_dup_is_not_passed_on() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("dup").open(), unique("dup"));
    client.subscribe(&topic, 2);
    for qos in [1, 2] {
        publisher.publish(message(&topic, "x").qos(qos).dup());
        let publish = client.expect("x");
        assert!(publish.qos == qos && !publish.dup);
    }
}

/// [MQTT-3.3.1-4]
#[test]
fn mqtt5_3_3_1_4_qos_3_is_malformed() {
    let mut client = v5("qos3").open();
    client.send_message(&message(unique("qos3"), "x").qos(3).id(1000));
    client.expect_disconnect(&[0x81]);
}

/// What a new subscriber to `filter` gets before anything else.
fn retained(filter: &str, publisher: &mut Client) -> Vec<String> {
    let mut client = v5("late").open();
    client.subscribe(filter, 2);
    client.messages_from(publisher).iter().map(|publish| publish.text().to_owned()).collect()
}

/// [MQTT-3.3.1-5]
#[test]
fn mqtt5_3_3_1_5_a_retained_message_replaces_the_one_before() {
    let (mut publisher, topic) = (v5("pub").open(), unique("retain"));
    publisher.publish(message(&topic, "first").qos(1).retain());
    assert_eq!(retained(&topic, &mut publisher), ["first"]);
    publisher.publish(message(&topic, "second").qos(2).retain());
    assert_eq!(retained(&topic, &mut publisher), ["second"]);
    publisher.publish(message(&topic, "third").retain());
    publisher.ping();
    assert_eq!(retained(&topic, &mut publisher), ["third"]);
}

/// [MQTT-3.3.1-6]
#[test]
fn mqtt5_3_3_1_6_an_empty_payload_removes_the_retained_message() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("remove"));
    publisher.publish(message(&topic, "retained").qos(1).retain());
    client.subscribe(&topic, 0);
    client.expect("retained");
    publisher.publish(message(&topic, "").qos(1).retain());
    // It is processed as any other message, so the subscriber sees it.
    client.expect("");
    assert!(retained(&topic, &mut publisher).is_empty());
}

/// [MQTT-3.3.1-7]
#[test]
fn mqtt5_3_3_1_7_an_empty_payload_is_not_retained() {
    let (mut publisher, topic) = (v5("pub").open(), unique("empty"));
    publisher.publish(message(&topic, "").qos(1).retain());
    assert!(retained(&topic, &mut publisher).is_empty());
}

/// [MQTT-3.3.1-8]
#[test]
fn mqtt5_3_3_1_8_a_message_without_retain_leaves_the_retained_one() {
    let (mut publisher, topic) = (v5("pub").open(), unique("leave"));
    publisher.publish(message(&topic, "not retained").qos(1));
    assert!(retained(&topic, &mut publisher).is_empty());
    publisher.publish(message(&topic, "retained").qos(1).retain());
    publisher.publish(message(&topic, "not retained").qos(1));
    publisher.publish(message(&topic, "").qos(1));
    assert_eq!(retained(&topic, &mut publisher), ["retained"]);
}

/// [MQTT-3.3.1-9]
#[test]
fn mqtt5_3_3_1_9_retain_handling_0_sends_the_retained_messages() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("handling"));
    for level in ["a", "b", "c"] {
        publisher.publish(message(format!("{topic}/{level}"), level).qos(1).retain());
    }
    // Also where the subscription exists already.
    for _ in 0..2 {
        client.subscribe(&format!("{topic}/+"), 0);
        let mut texts: Vec<_> =
            client.recv_publishes(3).iter().map(|publish| publish.text().to_owned()).collect();
        texts.sort();
        assert_eq!(texts, ["a", "b", "c"]);
        assert_eq!(client.messages_from(&mut publisher), []);
    }
}

/// [MQTT-3.3.1-10]
#[test]
fn mqtt5_3_3_1_10_retain_handling_1_sends_them_to_a_new_subscription_only() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("handling"));
    publisher.publish(message(&topic, "retained").qos(1).retain());
    client.subscribe(&topic, RETAIN_FIRST_TIME);
    client.expect("retained");
    client.subscribe(&topic, RETAIN_FIRST_TIME);
    assert_eq!(client.messages_from(&mut publisher), []);
    client.unsubscribe(&[&topic]);
    client.subscribe(&topic, RETAIN_FIRST_TIME);
    client.expect("retained");
}

/// [MQTT-3.3.1-11]
#[test]
fn mqtt5_3_3_1_11_retain_handling_2_sends_none() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("handling"));
    publisher.publish(message(&topic, "retained").qos(1).retain());
    client.subscribe(&topic, RETAIN_NEVER);
    assert_eq!(client.messages_from(&mut publisher), []);
}

/// [MQTT-3.3.1-12]
#[test]
fn mqtt5_3_3_1_12_without_retain_as_published_retain_is_0() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("rap"));
    client.subscribe(&topic, 0);
    publisher.publish(message(&topic, "retained").retain());
    publisher.publish(message(&topic, "not retained"));
    assert!(!client.expect("retained").retain);
    assert!(!client.expect("not retained").retain);
}

/// [MQTT-3.3.1-13]
#[test]
fn mqtt5_3_3_1_13_with_retain_as_published_retain_is_as_published() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("rap"));
    client.subscribe(&topic, RETAIN_AS_PUBLISHED);
    publisher.publish(message(&topic, "retained").retain());
    publisher.publish(message(&topic, "not retained"));
    assert!(client.expect("retained").retain);
    assert!(!client.expect("not retained").retain);
}

#[test]
fn a_retained_message_that_answers_a_subscription_has_retain() {
    let (mut publisher, topic) = (v5("pub").open(), unique("answer"));
    publisher.publish(message(&topic, "retained").qos(1).retain());
    for options in [0, RETAIN_AS_PUBLISHED] {
        let mut client = v5("sub").open();
        client.subscribe(&topic, options);
        assert!(client.expect("retained").retain);
    }
}

#[test]
fn a_retained_message_that_expires_is_gone() {
    let (mut publisher, topic) = (v5("pub").open(), unique("expires"));
    let expiry = property::four(property::MESSAGE_EXPIRY_INTERVAL, 1);
    publisher.publish(message(&topic, "retained").qos(1).retain().with(expiry));
    let_time_pass(std::time::Duration::from_millis(2_100));
    assert!(retained(&topic, &mut publisher).is_empty());
}
