//! The loop with the real shard: what only its effects bring about, payloads sent by reference above all.

#![allow(clippy::unwrap_used)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use runtime::{Broker, Config, Door, Place};

use self::wire::{packet, push_string};

// The tests within the crate have it as well.
#[path = "../src/tests/wire.rs"]
mod wire;

fn start(shards: u8) -> Broker {
    let doors = vec![Door::plain(Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))))];
    runtime::start(Config { doors, shards, ..Config::default() }).unwrap()
}

fn address(broker: &Broker) -> SocketAddr {
    match &broker.places()[0] {
        Place::Tcp(address) => *address,
        Place::Unix { .. } => unreachable!("its only door is another"),
    }
}

/// A 3.1.1 client with this id, after its CONNACK.
fn connect(broker: &Broker, client_id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address(broker)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut body = b"\x00\x04MQTT\x04\x02\x00\x00".to_vec();
    push_string(&mut body, client_id);
    stream.write_all(&packet(0x10, &body)).unwrap();
    assert_eq!(read(&mut stream, 4), [0x20, 2, 0, 0]);
    stream
}

fn subscribe(stream: &mut TcpStream, filter: &str) {
    let mut body = vec![0, 1];
    push_string(&mut body, filter);
    body.push(0);
    stream.write_all(&packet(0x82, &body)).unwrap();
    assert_eq!(read(stream, 5), [0x90, 3, 0, 1, 0]);
}

fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    push_string(&mut body, topic);
    body.extend_from_slice(payload);
    packet(0x30, &body)
}

fn read(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

#[test]
fn large_payloads_reach_subscribers_on_every_shard_unharmed() {
    for shards in [1, 2, 4] {
        let broker = start(shards);
        let mut subscribers: Vec<_> = (0..8).map(|n| connect(&broker, &format!("subscriber-{n}"))).collect();
        for subscriber in &mut subscribers {
            subscribe(subscriber, "large/+");
        }
        let mut publisher = connect(&broker, "publisher");
        for len in [1, 4095, 4096, 70_000, 900_000] {
            // Small and large ones in one read, so that inline bytes and references alternate in one send.
            let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
            let mut expected = publish("large/a", b"before");
            expected.extend(publish("large/b", &payload));
            expected.extend(publish("large/c", b"after"));
            publisher.write_all(&expected).unwrap();
            for subscriber in &mut subscribers {
                assert!(read(subscriber, expected.len()) == expected, "{shards} shards, {len} bytes");
            }
        }
    }
}

#[test]
fn every_client_finds_its_home() {
    let broker = start(4);
    let clients: Vec<_> = (0..200).map(|n| connect(&broker, &format!("client-{n}"))).collect();
    let snapshot = broker.snapshot();
    assert_eq!(snapshot.iter().map(|shard| shard.gauges.connections).sum::<usize>(), clients.len());
    assert!(snapshot.iter().all(|shard| shard.gauges.connections > 0));
    assert!(snapshot.iter().any(|shard| shard.counters.connections_handed_over > 0));
}

#[test]
fn a_drained_broker_has_no_connection_left() {
    let broker = start(2);
    let mut clients: Vec<_> = (0..20).map(|n| connect(&broker, &format!("client-{n}"))).collect();
    let readers = std::thread::spawn(move || {
        clients.iter_mut().all(|stream| stream.read_to_end(&mut Vec::new()).is_ok())
    });
    assert!(broker.drain(Duration::from_secs(30)));
    assert!(readers.join().unwrap());
    assert_eq!(broker.connections(), 0);
    broker.stop();
    broker.join().unwrap();
}
