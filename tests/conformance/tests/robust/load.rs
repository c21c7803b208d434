//! Many messages, many clients, and readers that do not read.

use conformance::*;

#[test]
fn the_receive_quota_is_given_back_for_3000_messages() {
    for qos in [1, 2] {
        let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("quota"));
        client.subscribe(&topic, 0);
        let window = publisher.connack().receive_maximum().min(100);
        let mut sent = 0;
        while sent < 3_000 {
            let ids = 1..=window.min(3_000 - sent);
            sent += ids.end();
            publisher.send(
                ids.clone()
                    .flat_map(|id| message(&topic, "x").qos(qos).id(id).bytes(Version::V5))
                    .collect::<Vec<u8>>(),
            );
            for id in ids {
                if qos == 1 {
                    publisher.await_puback(id);
                } else {
                    publisher.await_pubrec(id);
                    publisher.send(ack(PUBREL, id));
                    publisher.await_pubcomp(id);
                }
                client.expect("x");
            }
        }
    }
}

#[test]
fn a_subscriber_acknowledges_3000_messages_with_a_small_quota() {
    let (mut publisher, mut client) = (v5("pub").open(), v5("sub").receive_maximum(10).open());
    let topic = unique("quota");
    client.subscribe(&topic, 2);
    for round in 0..300_u16 {
        for number in 0..10 {
            publisher.publish(message(&topic, number.to_string()).qos(1 + (round % 2) as u8));
        }
        for number in 0..10 {
            let publish = client.expect(&number.to_string());
            client.ack(&publish);
        }
    }
}

#[test]
fn a_reader_that_stops_holds_up_nobody_else() {
    let (mut publisher, topic) = (v5("pub").open(), unique("stalled"));
    let mut stalled = v5("stalled").open();
    let mut reader = v5("reader").open();
    let payload = "x".repeat(10_000);
    for client in [&mut stalled, &mut reader] {
        client.subscribe(&topic, 0);
    }
    // Twenty megabytes are more than the buffers of a socket hold.
    for _ in 0..2_000 {
        publisher.publish(message(&topic, &payload));
        reader.recv_publish();
    }
    publisher.ping();
}

#[test]
fn an_absent_session_holds_up_nobody_else() {
    let (mut publisher, mut reader, topic) = (v5("pub").open(), v5("reader").open(), unique("absent"));
    let absent = v5("absent").lasting();
    let mut client = absent.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    reader.subscribe(&topic, 1);
    for number in 0..3_000 {
        let code = publisher.publish(message(&topic, number.to_string()).qos(1));
        assert!(code < 0x80, "message {number} was answered with {code:#04x}");
        let publish = reader.expect(&number.to_string());
        reader.ack(&publish);
    }
    // What was kept is in order and without a gap at its beginning.
    let mut client = absent.open();
    for number in 0..100 {
        let publish = client.expect(&number.to_string());
        client.ack(&publish);
    }
    absent.clean(true).open();
}

#[test]
fn a_publish_after_suback_is_always_delivered() {
    let mut publishers: Vec<Client> = (0..4).map(|_| v5("pub").open()).collect();
    for round in 0..60 {
        let (mut client, topic) = (v5("sub").open(), unique("after"));
        let filter = if round % 2 == 0 { topic.clone() } else { format!("{topic}/#") };
        client.subscribe(&filter, 1);
        publishers[round % 4].publish(message(&topic, "x").qos(1));
        client.expect("x");
    }
}

#[test]
fn a_message_reaches_every_one_of_many_subscribers_once() {
    let topic = unique("many");
    let mut publisher = v5("pub").open();
    let mut clients: Vec<Client> = (0..40).map(|_| v5("sub").open()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.subscribe(&topic, (index % 3) as u8);
    }
    for number in 0..5 {
        publisher.publish(message(&topic, number.to_string()).qos(2));
    }
    for client in &mut clients {
        let messages = client.messages_from(&mut publisher);
        assert_eq!(messages.iter().map(Publish::text).collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    }
}

#[test]
fn retained_messages_answer_a_wildcard_completely() {
    let (mut publisher, mut client, topic) = (v5("pub").open(), v5("sub").open(), unique("retained"));
    for number in 0..500 {
        publisher
            .publish(message(format!("{topic}/{}/{number}", number % 7), number.to_string()).qos(1).retain());
    }
    client.subscribe(&format!("{topic}/+/#"), 0);
    let messages = client.recv_publishes(500);
    let mut numbers: Vec<u32> = messages.iter().map(|publish| publish.text().parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..500), "each of them comes once");
    assert_eq!(client.messages_from(&mut publisher), []);
    for number in 0..500 {
        publisher.publish(message(format!("{topic}/{}/{number}", number % 7), "").qos(1).retain());
    }
    let mut late = v5("late").open();
    late.subscribe(&format!("{topic}/#"), 0);
    assert_eq!(late.messages_from(&mut publisher), []);
}
