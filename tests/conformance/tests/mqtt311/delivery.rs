//! Chapters 4.1 to 4.6: sessions, the delivery protocols, and the order of messages.

use conformance::*;

/// [MQTT-4.1.0-1]
#[test]
fn mqtt311_4_1_0_1_state_lasts_at_least_as_long_as_the_connection() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("lasts"));
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "x").qos(2));
    let publish = client.expect("x");
    for _ in 0..10 {
        client.ping();
    }
    client.ack(&publish);
    publisher.publish(message(&topic, "y").qos(2));
    client.expect("y");
}

/// [MQTT-4.2.0-1]
#[test]
fn mqtt311_4_2_0_1_packets_arrive_whole_however_the_stream_is_cut() {
    let (mut subscriber, topic) = (v311("sub").open(), unique("cut"));
    subscriber.subscribe(&topic, 0);
    let connect = v311("bytewise");
    let mut client = connect.dial();
    let publish = message(&topic, "byte by byte").qos(1).id(1000).bytes(Version::V311);
    for byte in [connect.bytes(), publish].concat() {
        client.send([byte]);
    }
    assert_eq!(client.recv_connack().code, 0);
    client.await_puback(1000);
    subscriber.expect("byte by byte");
}

/// A lasting session with one message in flight, of which nothing is acknowledged.
fn in_flight(qos: u8) -> (Connect, Publish) {
    let (mut publisher, connect, topic) = (v311("pub").open(), v311("sub").lasting(), unique("flight"));
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    publisher.publish(message(&topic, "x").qos(qos));
    let publish = client.expect("x");
    client.cut();
    (connect, publish)
}

/// [MQTT-4.3.2-1]
#[test]
fn mqtt311_4_3_2_1_qos_1_in_flight_is_sent_again_until_puback() {
    let (connect, first) = in_flight(1);
    for _ in 0..2 {
        let again = connect.open().expect("x");
        assert!(again.dup && again.packet_id == first.packet_id);
    }
    let mut client = connect.open();
    let again = client.expect("x");
    client.ack(&again);
    client.ping();
    client.cut();
    connect.open().expect_nothing();
}

/// [MQTT-4.3.2-2]
#[test]
fn mqtt311_4_3_2_2_qos_1_reaches_its_subscribers_now_or_later() {
    onward_delivery(1);
}

fn onward_delivery(qos: u8) {
    let (mut publisher, mut online, topic) = (v311("pub").open(), v311("online").open(), unique("onward"));
    let offline = v311("offline").lasting();
    let mut client = offline.open();
    client.subscribe(&topic, 2);
    client.disconnect();
    online.subscribe(&topic, 2);
    publisher.publish(message(&topic, "x").qos(qos));
    publisher.disconnect();
    assert_eq!(online.expect("x").qos, qos);
    assert_eq!(offline.open().expect("x").qos, qos);
}

/// [MQTT-4.3.2-3]
#[test]
fn mqtt311_4_3_2_3_qos_1_with_dup_is_handled_as_without() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("dup"));
    client.subscribe(&topic, 1);
    publisher.send_message(&message(&topic, "first seen").qos(1).id(1000).dup());
    publisher.await_puback(1000);
    client.expect("first seen");
}

/// [MQTT-4.3.3-1]
#[test]
fn mqtt311_4_3_3_1_qos_2_in_flight_is_sent_again_until_pubrec() {
    let (connect, first) = in_flight(2);
    let again = connect.open().expect("x");
    assert!(again.dup && again.packet_id == first.packet_id);
    let mut client = connect.open();
    let again = client.expect("x");
    client.ack(&again);
    client.ping();
    client.cut();
    connect.open().expect_nothing();
}

/// [MQTT-4.3.3-2]
#[test]
fn mqtt311_4_3_3_2_qos_2_reaches_its_subscribers_now_or_later() {
    onward_delivery(2);
}

/// [MQTT-4.4.0-1]
#[test]
fn mqtt311_4_4_0_1_a_resumed_session_resends_publish_and_pubrel() {
    let (connect, first) = in_flight(2);
    let mut client = connect.open();
    client.expect("x");
    client.send(ack(PUBREC, first.id()));
    client.await_pubrel(first.id());
    client.cut();
    let mut client = connect.open();
    assert!(matches!(client.recv(), Packet::Pubrel(release) if release.packet_id == first.id()));
    client.expect_nothing();
}

/// [MQTT-4.4.0-2]
#[test]
fn mqtt311_4_4_0_2_what_is_sent_again_has_dup() {
    for qos in [1, 2] {
        let (connect, _) = in_flight(qos);
        assert!(connect.open().expect("x").dup);
    }
}

/// [MQTT-4.6.0-5]
#[test]
fn mqtt311_4_6_0_5_every_topic_is_ordered_by_default() {
    let (mut publisher, mut client, topic) = (v311("pub").open(), v311("sub").open(), unique("order"));
    client.subscribe(&format!("{topic}/#"), 0);
    let publish =
        |number: u32| message(format!("{topic}/{}", number % 2), number.to_string()).bytes(Version::V311);
    publisher.send((0..300).flat_map(publish).collect::<Vec<u8>>());
    let messages = client.recv_publishes(300);
    for remainder in 0..2 {
        let name = format!("{topic}/{remainder}");
        let numbers =
            messages.iter().filter(|publish| publish.topic == name).map(|publish| publish.text().parse());
        assert!(numbers.eq((remainder..300).step_by(2).map(Ok::<u32, std::num::ParseIntError>)));
    }
}

/// [MQTT-4.6.0-6]
#[test]
fn mqtt311_4_6_0_6_messages_are_delivered_in_the_order_of_their_publisher() {
    for qos in 0..=2 {
        let (mut publisher, topic) = (v311("pub").open(), unique("order"));
        let connect = v311("sub").lasting();
        let mut client = connect.open();
        client.subscribe(&topic, qos);
        (0..10).for_each(|number| {
            assert_eq!(publisher.publish(message(&topic, number.to_string()).qos(qos)), 0)
        });
        (0..10).for_each(|number| drop(client.expect(&number.to_string())));
        client.cut();
        // What is sent again keeps its order, too.
        let mut client = connect.open();
        if qos > 0 {
            (0..10).for_each(|number| drop(client.expect(&number.to_string())));
        }
    }
}
