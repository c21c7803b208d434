//! The client's side of the tests: plain blocking sockets, which fail instead of waiting for ever.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use shard::{Instant as Time, ShardId};

use super::script::{Observed, Script};
use crate::{Broker, Config, Door, Place, broker::start_with};

/// Far beyond anything that works; what takes longer hangs.
pub const HANGS: Duration = Duration::from_secs(30);

pub fn config(shards: u8) -> Config {
    Config {
        doors: vec![Door::plain(Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))))],
        shards,
        ring_entries: 64,
        receive_buffers: 64,
        receive_buffer_bytes: 4096,
        ..Config::default()
    }
}

/// A broker of scripts and what they observe.
pub fn start(config: Config) -> (Broker, std::sync::Arc<Observed>) {
    let observed = std::sync::Arc::new(Observed::default());
    let shards = config.shards;
    let seen = std::sync::Arc::clone(&observed);
    let make = move |id: ShardId, _now: Time| Script::new(id, shards, std::sync::Arc::clone(&seen));
    (start_with(config, make).unwrap(), observed)
}

pub fn connect(broker: &Broker) -> TcpStream {
    connect_to(address(broker))
}

/// Of the first door.
pub fn address(broker: &Broker) -> SocketAddr {
    match &broker.places()[0] {
        Place::Tcp(address) => *address,
        Place::Unix { path, .. } => panic!("{} has no address", path.display()),
    }
}

pub fn connect_to(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(HANGS)).unwrap();
    stream.set_write_timeout(Some(HANGS)).unwrap();
    stream
}

/// Sends and takes as many bytes as are expected.
pub fn ask(stream: &mut TcpStream, bytes: &[u8], answer_bytes: usize) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut answer = vec![0; answer_bytes];
    stream.read_exact(&mut answer).unwrap();
    answer
}

/// A connection that echoes from now on.
pub fn echoing(broker: &Broker) -> TcpStream {
    let mut stream = connect(broker);
    assert_eq!(ask(&mut stream, b"E", 1), b"E");
    stream
}

/// Waits for something that other threads bring about.
pub fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < HANGS, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
