//! Packets and TCP segments are different things.

use std::time::{Duration, Instant};

use conformance::*;

#[test]
fn packets_that_follow_connect_in_its_segment_are_processed() {
    for connect in [v311("eager"), v5("eager")] {
        let (topic, mut witness) = (unique("eager"), v5("witness").open());
        witness.subscribe(&topic, 1);
        let version = connect.version;
        let mut client = connect.dial();
        let subscribe = subscribe(version, 1000, &[(&topic, 0)], &[]);
        let publish = message(&topic, "eager").qos(1).id(1001).bytes(version);
        client.send([connect.bytes(), subscribe, publish, frame(PINGREQ, [])].concat());
        assert_eq!(client.recv_connack().code, 0);
        client.await_suback(1000);
        client.await_puback(1001);
        client.expect("eager");
        witness.expect("eager");
    }
}

#[test]
fn everything_up_to_disconnect_in_one_segment_is_processed() {
    for _ in 0..10 {
        let (topic, mut witness) = (unique("oneshot"), v5("witness").open());
        witness.subscribe(&topic, 1);
        let connect = v5("oneshot");
        let mut client = connect.dial();
        let publish = message(&topic, "last words").bytes(Version::V5);
        client.send([connect.bytes(), publish, frame(DISCONNECT, [])].concat());
        assert_eq!(client.recv_connack().code, 0);
        client.expect_close();
        witness.expect("last words");
    }
}

#[test]
fn a_delivery_between_the_parts_of_a_packet_corrupts_neither() {
    let (topic, mut publisher, mut client) = (unique("parts"), v5("pub").open(), v5("parts").open());
    client.subscribe(&topic, 0);
    let packet = message(unique("other"), "in many parts").qos(1).id(1000).bytes(Version::V5);
    let (last, parts) = packet.split_last().unwrap();
    for (index, byte) in parts.iter().enumerate() {
        client.send([*byte]);
        publisher.publish(message(&topic, index.to_string()));
        client.expect(&index.to_string());
    }
    client.send([*last]);
    client.await_puback(1000);
}

#[test]
fn a_large_packet_in_small_parts_arrives_whole() {
    let (topic, mut publisher, mut client) = (unique("large"), v5("pub").open(), v5("sub").open());
    client.subscribe(&topic, 1);
    let payload: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    for chunk in message(&topic, &payload).qos(1).id(1000).bytes(Version::V5).chunks(997) {
        publisher.send(chunk);
    }
    publisher.await_puback(1000);
    assert!(client.recv_publish().payload == payload);
}

/// With Nagle's algorithm on the server's side, each of these round trips takes 40 ms.
#[test]
fn small_packets_are_sent_at_once() {
    let (topic, mut publisher, mut client) = (unique("nodelay"), v5("pub").open(), v5("sub").open());
    client.subscribe(&topic, 1);
    let mut rounds = Vec::new();
    for _ in 0..40 {
        let start = Instant::now();
        publisher.publish(message(&topic, "x").qos(1));
        let publish = client.expect("x");
        client.ack(&publish);
        rounds.push(start.elapsed());
    }
    rounds.sort();
    assert!(rounds[20] < Duration::from_millis(30), "the median round trip takes {:?}", rounds[20]);
}
