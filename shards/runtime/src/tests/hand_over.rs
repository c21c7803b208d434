//! Connections move to the shard that they name.

use std::{collections::HashSet, io::Write, thread};

use super::client::{ask, await_that, config, connect, start};

#[test]
fn a_connection_moves_with_its_unread_bytes() {
    for shards in [2, 3, 4] {
        let (broker, _) = start(config(shards));
        thread::scope(|scope| {
            for worker in 0..8_u8 {
                let broker = &broker;
                scope.spawn(move || {
                    for n in 0..60_u8 {
                        let home = (worker + n) % shards;
                        let mut stream = connect(broker);
                        assert_eq!(ask(&mut stream, &[b'H', home, 1, 2, 3], 4), [home, 1, 2, 3]);
                        assert_eq!(ask(&mut stream, &[4; 5000], 5000), [4; 5000]);
                    }
                });
            }
        });
        await_that("all connections are closed", || broker.connections() == 0);
    }
}

#[test]
fn a_first_packet_in_pieces_is_read_piece_by_piece() {
    let (broker, _) = start(config(2));
    let mut homes = HashSet::new();
    for n in 0..20_u8 {
        let mut stream = connect(&broker);
        stream.write_all(b"H").unwrap();
        // A second connection proves that the broker had time to see the first byte alone, whichever shard it is on.
        assert_eq!(ask(&mut connect(&broker), b"E", 1), b"E");
        homes.extend(ask(&mut stream, &[n % 2], 1));
    }
    assert_eq!(homes, HashSet::from([0, 1]));
}

#[test]
fn a_connection_that_ends_on_its_way_is_closed_at_home() {
    let (broker, _) = start(config(2));
    for n in 0..200_u8 {
        let mut stream = connect(&broker);
        stream.write_all(&[b'H', n % 2, 9]).unwrap();
        drop(stream);
    }
    await_that("all connections are closed", || broker.connections() == 0);
}
