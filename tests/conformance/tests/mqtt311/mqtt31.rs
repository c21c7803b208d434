//! MQTT 3.1: the protocol name is `MQIsdp` and the level 3. What differs from 3.1.1, and that the rest works.

use conformance::*;

#[test]
fn mqtt31_connects_with_its_own_name_and_level() {
    v31("name").open().expect_nothing();
    for (name, level) in [("MQIsdp", 4), ("MQTT", 3)] {
        let connect = v31("name");
        let mut header = string(name);
        header.push(level);
        header.extend(&connect.variable_header()[9..]);
        let mut client = connect.dial();
        client.send(frame(CONNECT, [header, connect.payload()].concat()));
        // The name or the level is wrong: whether a CONNACK says so is the server's choice.
        if let Some((first, body)) = client.next_frame() {
            assert!(first == 0x20 && body[1] != 0, "{name} with level {level} is answered with {body:x?}");
            client.expect_close();
        }
    }
}

#[test]
fn mqtt31_connack_has_no_session_present() {
    let connect = v31("present").lasting();
    connect.open().disconnect();
    let mut client = connect.attempt();
    assert_eq!(client.next_frame(), Some((0x20, vec![0, 0])));
}

#[test]
fn mqtt31_publishes_and_subscribes_with_every_qos() {
    let (mut publisher, mut client, topic) = (v31("pub").open(), v31("sub").open(), unique("qos"));
    client.subscribe(&topic, 2);
    for qos in 0..=2 {
        publisher.publish(message(&topic, "x").qos(qos));
        let publish = client.expect("x");
        assert_eq!(publish.qos, qos);
        client.ack(&publish);
    }
    client.unsubscribe(&[&topic]);
    publisher.publish(message(&topic, "x").qos(1));
    assert_eq!(client.messages_from(&mut publisher), []);
}

#[test]
fn mqtt31_sessions_last() {
    let (connect, topic) = (v31("lasts").lasting(), unique("lasts"));
    let mut client = connect.open();
    client.subscribe(&topic, 1);
    client.disconnect();
    v31("pub").open().publish(message(&topic, "x").qos(1));
    connect.open().expect("x");
}

#[test]
fn mqtt31_wills_are_published() {
    let (topic, mut witness) = (unique("will"), v31("witness").open());
    witness.subscribe(&topic, 0);
    v31("will").will(Will::new(&topic, "gone")).user_name("u").password("p").open().cut();
    witness.expect("gone");
}

/// 3.1 asks for 1 to 23 characters; no client id at all is rejected.
#[test]
fn mqtt31_has_no_empty_client_id() {
    Connect::new(Version::V31, "").attempt().expect_rejected_id();
}
