//! One client that publishes as fast as the broker takes it, to the other shard: it waits before others lose a message.

use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use client::QoS;
use e2e::socket::{Socket, publish};
use e2e::{Broker, Setup};

use super::{alone, crossing::beside_streams};

#[test]
fn a_flood_of_retained_messages_costs_others_no_message() {
    let _alone = alone();
    let broker = Setup::new("retained-flood").shards(2).start();
    let retained = |n: usize| {
        let mut packet = publish(&format!("retained/{n}"), b"0123456789");
        packet[0] |= 1;
        packet
    };
    let flood: Vec<u8> = (0..1000).flat_map(retained).collect();
    beside_streams(&broker, || pour(&broker, &flood));
}

#[test]
fn a_flood_of_messages_for_the_other_shard_costs_others_no_message() {
    let _alone = alone();
    let broker = Setup::new("crossing-flood").shards(2).start();
    let flood = publish("flood", b"01234567890123456789").repeat(1000);
    let takers: Vec<_> = (0..4).map(|n| taker(&broker, &format!("taker-{n}"))).collect();
    beside_streams(&broker, || pour(&broker, &flood));
    drop(broker);
    takers.into_iter().for_each(|taker| taker.join().unwrap());
}

/// Sends it again and again, from one client of each shard.
fn pour(broker: &Broker, flood: &[u8]) {
    for id in broker.ids_by_home(2, "flooder") {
        let mut source = Socket::connect(broker.port, &id, true);
        let (begun, mut rounds) = (Instant::now(), 0);
        while begun.elapsed() < FLOOD {
            source.send(flood);
            rounds += 1;
        }
        println!("{id}: {} bytes", rounds * flood.len());
    }
}

/// Reads whatever comes of the flood, until the broker ends.
fn taker(broker: &Broker, id: &str) -> thread::JoinHandle<()> {
    let mut socket = Socket::connect(broker.port, id, true);
    socket.subscribe("flood", QoS::AtMostOnce);
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 18];
        while socket.stream.read(&mut bytes).is_ok_and(|read| read > 0) {}
    })
}

const FLOOD: Duration = Duration::from_secs(2);
