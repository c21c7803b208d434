//! Connections move to the shard that they name.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use shard::{Instant, Secret, ShardId};

use super::client::{ask, await_that, config, connect, start};
use crate::{
    Door, Place, bell::Bell, connection::Address, door::OpenDoor, mesh::Moving, port::Port, seats::Seats,
};

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

#[test]
fn whose_address_is_banned_while_it_moves_is_not_taken_in() {
    let now = Instant::START.add_secs(1);
    let seats = Arc::new(Seats::new(10));
    let bell = Bell::new().unwrap();
    let mut port = Port::new(ShardId(0), &config(2), Arc::clone(&seats), bell.descriptor()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let door = Arc::new(OpenDoor::new(0, Door::plain(Place::Tcp(at))));
    let come = |port: &mut Port, from: &str| {
        let stream = TcpStream::connect(at).unwrap();
        let socket = listener.accept().unwrap().0.into();
        let address = Address::from(from.parse::<SocketAddr>().unwrap());
        seats.take();
        door.seats.take();
        let door = Arc::clone(&door);
        let moving = Moving {
            socket,
            address,
            refuse: None,
            is_relayed: false,
            door,
            layers: None,
            unread: Secret::default(),
        };
        (stream, port.adopt(now, moving).is_some())
    };
    let (_stays, is_here) = come(&mut port, "192.0.2.1:700");
    assert!(is_here);
    assert_eq!(port.set_bans(now, &[(shard::Network::parse("192.0.2.0/24").unwrap(), None)]).len(), 1);
    let (mut banned, is_here) = come(&mut port, "192.0.2.1:701");
    assert!(!is_here);
    assert_eq!(banned.read(&mut [0]).unwrap(), 0, "it is closed");
    let (_other, is_here) = come(&mut port, "198.51.100.1:700");
    assert!(is_here);
    assert_eq!((seats.taken(), door.seats.taken()), (2, 2));
    port.end();
    // The kernel may write into the port's memory until then.
    while port.ring.outstanding() > 0 {
        port.ring.wait(None).unwrap();
        while let Some(completion) = port.ring.next() {
            port.on_completion(now, completion);
        }
    }
}
