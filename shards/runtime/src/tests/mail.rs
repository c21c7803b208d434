//! The way between shards under stress: full rings, starved producers, sleepers that must not miss their bell.

use std::{net::TcpStream, sync::atomic::Ordering::SeqCst, thread};

use super::client::{ask, config, connect, start};
use crate::Config;

fn order(to: u8, count: u32) -> Vec<u8> {
    let mut bytes = vec![b'M', to];
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes
}

#[test]
fn mail_through_tiny_rings_arrives_completely_and_in_order() {
    for (shards, slots) in [(2, 1), (2, 3), (4, 2), (4, 64)] {
        let (broker, observed) = start(Config { mail_ring: slots, ..config(shards) });
        thread::scope(|scope| {
            for _ in 0..shards * 4 {
                let broker = &broker;
                scope.spawn(move || {
                    let mut stream = connect(broker);
                    let me = whose(&mut stream);
                    for to in (0..shards).filter(|&to| to != me) {
                        assert_eq!(ask(&mut stream, &order(to, 2000), 1), b"!");
                    }
                });
            }
        });
        let pieces = usize::from(shards) * 4 * usize::from(shards - 1) * 2000 * 2;
        assert_eq!(observed.mail.load(SeqCst), pieces);
        assert!(observed.starved.load(SeqCst) > 0, "the rings were full");
    }
}

#[test]
fn no_wake_up_is_lost_between_shards_that_sleep_after_every_letter() {
    // With one letter under way both shards sleep between letters; with few, a shard often falls asleep just when
    // a letter comes. A lost wake-up leaves the client without an answer.
    for clients in [1, 2, 3] {
        let (broker, _) = start(config(2));
        thread::scope(|scope| {
            for _ in 0..clients {
                let broker = &broker;
                scope.spawn(move || {
                    let mut stream = connect(broker);
                    let me = whose(&mut stream);
                    for _ in 0..15_000 {
                        assert_eq!(ask(&mut stream, &order(1 - me, 1), 1), b"!");
                    }
                });
            }
        });
    }
}

/// Which shard the connection is on.
fn whose(stream: &mut TcpStream) -> u8 {
    ask(stream, b"W", 1)[0]
}
