//! The connection fails at each step of the delivery protocols, and no message is lost or doubled.

use conformance::*;

/// A lasting publisher that begins a QoS 2 message, and a witness for its topic.
fn begin(topic: &str) -> (Connect, Client, Client) {
    let mut witness = v5("witness").open();
    witness.subscribe(topic, 2);
    let connect = v5("pub").lasting();
    let mut publisher = connect.open();
    publisher.send_message(&message(topic, "once").qos(2).id(1000));
    (connect, publisher, witness)
}

fn expect_once(mut witness: Client, publisher: &mut Client) {
    let messages = witness.messages_from(publisher);
    assert_eq!(messages.iter().map(Publish::text).collect::<Vec<_>>(), ["once"]);
}

#[test]
fn qos_2_to_the_server_survives_the_loss_of_pubrec() {
    let topic = unique("loss");
    let (connect, publisher, witness) = begin(&topic);
    publisher.cut();
    let mut publisher = connect.open();
    publisher.send_message(&message(&topic, "once").qos(2).id(1000).dup());
    publisher.await_pubrec(1000);
    publisher.send(ack(PUBREL, 1000));
    publisher.await_pubcomp(1000);
    expect_once(witness, &mut publisher);
}

#[test]
fn qos_2_to_the_server_survives_the_loss_of_pubrel() {
    let (connect, mut publisher, witness) = begin(&unique("loss"));
    publisher.await_pubrec(1000);
    publisher.cut();
    let mut publisher = connect.open();
    publisher.send(ack(PUBREL, 1000));
    assert_eq!(publisher.await_pubcomp(1000).code, 0);
    expect_once(witness, &mut publisher);
}

#[test]
fn qos_2_to_the_server_survives_the_loss_of_pubcomp() {
    let (connect, mut publisher, witness) = begin(&unique("loss"));
    publisher.await_pubrec(1000);
    publisher.send(ack(PUBREL, 1000));
    publisher.cut();
    let mut publisher = connect.open();
    publisher.send(ack(PUBREL, 1000));
    publisher.await_pubcomp(1000);
    expect_once(witness, &mut publisher);
}

/// A lasting subscriber that has got a QoS 2 message and acknowledged nothing.
fn received() -> (Connect, Client, u16) {
    let (connect, topic) = (v5("sub").lasting(), unique("loss"));
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    v5("pub").open().publish(message(&topic, "once").qos(2));
    let id = client.expect("once").id();
    (connect, client, id)
}

#[test]
fn qos_2_from_the_server_survives_the_loss_at_each_step() {
    let (connect, client, id) = received();
    client.cut();

    // PUBREC was lost: the message comes again.
    let mut client = connect.open();
    let again = client.expect("once");
    assert!(again.dup && again.id() == id);
    client.send(ack(PUBREC, id));
    client.cut();

    // PUBREL was lost, and once more.
    for _ in 0..2 {
        let mut client = connect.open();
        assert!(matches!(client.recv(), Packet::Pubrel(release) if release.packet_id == id));
        client.cut();
    }

    // PUBCOMP arrives with the last bytes of the connection.
    let mut client = connect.open();
    client.await_pubrel(id);
    client.send(ack(PUBCOMP, id));
    client.cut();
    connect.open().expect_nothing();
}

#[test]
fn the_packet_id_of_an_open_qos_2_exchange_is_not_given_away() {
    let (connect, mut client, id) = received();
    client.send(ack(PUBREC, id));
    client.await_pubrel(id);
    client.cut();
    let mut client = connect.open();
    client.await_pubrel(id);
    let topic = unique("ids");
    client.subscribe(&topic, 2);
    let mut publisher = v5("pub").open();
    for _ in 0..15 {
        publisher.publish(message(&topic, "x").qos(2));
        assert_ne!(client.expect("x").id(), id);
    }
}

#[test]
fn qos_1_from_the_server_comes_again_until_it_is_acknowledged() {
    for connect in [v311("sub").lasting(), v5("sub").lasting()] {
        let topic = unique("loss");
        let mut client = connect.open();
        client.subscribe(&topic, 1);
        client.disconnect();
        let mut publisher = v5("pub").open();
        for number in 0..5 {
            publisher.publish(message(&topic, number.to_string()).qos(1));
        }
        // Each connection acknowledges one message and fails.
        for first in 0..5 {
            let mut client = connect.open();
            let messages = client.recv_publishes(5 - first);
            let numbers: Vec<usize> =
                messages.iter().map(|publish| publish.text().parse().unwrap()).collect();
            assert_eq!(numbers, (first..5).collect::<Vec<_>>());
            client.ack(&messages[0]);
            client.cut();
        }
        connect.open().expect_nothing();
    }
}

#[test]
fn a_qos_0_message_for_an_absent_client_never_becomes_qos_1() {
    let (mut publisher, topic, connect) = (v5("pub").open(), unique("absent"), v5("absent").lasting());
    let mut client = connect.open();
    client.subscribe(&topic, 2);
    client.disconnect();
    publisher.publish(message(&topic, "qos 0"));
    publisher.publish(message(&topic, "qos 1").qos(1));
    let mut client = connect.open();
    // Whether a QoS 0 message is kept at all is the server's choice.
    let mut publish = client.recv_publish();
    if publish.text() == "qos 0" {
        assert_eq!(publish.qos, 0);
        publish = client.recv_publish();
    }
    assert!(publish.text() == "qos 1" && publish.qos == 1);
    client.expect_nothing();
}

#[test]
fn of_many_simultaneous_connections_with_one_client_id_one_stays() {
    let connect = v5("crowd").lasting();
    let threads: Vec<_> = (0..12)
        .map(|_| {
            let connect = connect.clone();
            std::thread::spawn(move || connect.open())
        })
        .collect();
    let mut clients: Vec<Client> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let mut open = 0;
    for client in &mut clients {
        client.send(frame(PINGREQ, []));
        match client.recv_or_end() {
            Some(Packet::Pingresp) => open += 1,
            Some(Packet::Disconnect { code: 0x8E, .. }) | None => (),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(open, 1);
}
