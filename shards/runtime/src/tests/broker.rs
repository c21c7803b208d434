//! Start and stop: all shards or none.

use std::{
    io::Read,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use shard::ShardId;

use super::client::{HANGS, address as first_address, ask, config, connect, connect_to, echoing, start};
use crate::{Config, Door, Place, StartError};

fn plain(addresses: &[SocketAddr]) -> Vec<Door> {
    addresses.iter().map(|address| Door::plain(Place::Tcp(*address))).collect()
}

fn refusal(config: Config) -> StartError {
    crate::start(config).err().expect("it cannot start")
}

#[test]
fn a_taken_port_is_named() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap();
    let error = refusal(Config { doors: plain(&[address]), ..config(2) });
    assert!(
        matches!(&error, StartError::AddressInUse { address: taken } if *taken == Place::Tcp(address)),
        "{error}"
    );
}

#[test]
fn a_second_broker_on_the_same_port_is_refused() {
    let (broker, _) = start(config(2));
    let address = first_address(&broker);
    let error = refusal(Config { doors: plain(&[address]), ..config(2) });
    assert!(matches!(error, StartError::AddressInUse { .. }), "{error}");
    drop(broker);
    let (broker, _) = start(Config { doors: plain(&[address]), ..config(2) });
    assert_eq!(ask(&mut connect(&broker), b"E", 1), b"E");
}

#[test]
fn an_address_of_another_machine_is_refused() {
    let foreign = SocketAddr::from(([192, 0, 2, 1], 1883));
    let error = refusal(Config { doors: plain(&[foreign]), ..config(1) });
    assert!(matches!(error, StartError::AddressNotAvailable { .. }), "{error}");
}

#[test]
fn numbers_of_shards_and_buffers_are_checked() {
    for shards in [0, 129] {
        assert!(matches!(refusal(config(shards)), StartError::Shards { .. }));
    }
    let uneven = Config { receive_buffers: 100, ..config(1) };
    assert!(matches!(refusal(uneven), StartError::ReceiveBuffers { receive_buffers: 100 }));
    assert!(matches!(refusal(Config { doors: Vec::new(), ..config(1) }), StartError::NoAddress));
}

#[test]
fn every_address_is_listened_on_with_one_port_for_all_shards() {
    let addresses =
        ["127.0.0.1:0".parse().unwrap(), "127.0.0.2:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    let (broker, _) = start(Config { doors: plain(&addresses), ..config(3) });
    assert_eq!(broker.places().len(), 3);
    for place in broker.places() {
        let Place::Tcp(address) = place else { unreachable!("they are all of this kind") };
        assert_ne!(address.port(), 0);
        for _ in 0..20 {
            assert_eq!(ask(&mut connect_to(address), b"E", 1), b"E");
        }
    }
}

#[test]
fn draining_closes_every_connection_and_lets_nobody_in() {
    let (broker, _) = start(config(2));
    let mut streams: Vec<_> = (0..50).map(|_| echoing(&broker)).collect();
    let address = first_address(&broker);
    let readers = std::thread::spawn(move || {
        let ended = |stream: &mut std::net::TcpStream| matches!(stream.read(&mut [0]), Ok(0));
        streams.iter_mut().all(ended)
    });
    assert!(broker.drain(HANGS), "the clients leave");
    assert!(readers.join().unwrap(), "every client saw the end of the stream");
    assert_eq!(broker.connections(), 0);
    assert!(std::net::TcpStream::connect(address).is_err());
    assert_eq!(broker.snapshot().len(), 2, "a drained shard still answers");
    broker.stop();
    broker.join().unwrap();
}

#[test]
fn draining_does_not_wait_longer_than_it_may() {
    let (broker, _) = start(config(1));
    let _stays = echoing(&broker);
    assert!(!broker.drain(Duration::from_millis(50)), "a client that stays lingers for longer");
}

#[test]
fn stopping_ends_connections_in_every_state() {
    for _ in 0..10 {
        let (broker, _) = start(config(2));
        let mut streams: Vec<_> = (0..20).map(|_| echoing(&broker)).collect();
        for stream in &mut streams[..5] {
            std::io::Write::write_all(stream, &[0; 100_000]).unwrap();
        }
        let _silent = connect(&broker);
        broker.stop();
        broker.join().unwrap();
        for mut stream in streams {
            assert!(matches!(stream.read_to_end(&mut Vec::new()), Ok(_) | Err(_)));
        }
    }
}

#[test]
fn a_snapshot_has_every_shard() {
    let (broker, _) = start(config(3));
    let streams: Vec<_> = (0..30).map(|_| echoing(&broker)).collect();
    let snapshot = broker.snapshot();
    assert_eq!(
        snapshot.iter().map(|one| one.shard).collect::<Vec<_>>(),
        [ShardId(0), ShardId(1), ShardId(2)]
    );
    assert_eq!(snapshot.iter().map(|one| one.counters.connections_opened).sum::<u64>(), 30);
    assert_eq!(snapshot.iter().map(|one| one.gauges.connections).sum::<usize>(), streams.len());
}
