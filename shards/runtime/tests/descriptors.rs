//! Accepting when the process has no descriptor left. Alone in its process, because the limit is everybody's.

#![allow(clippy::unwrap_used)]

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use runtime::{Broker, Config, Door, Place};
use socket2::{Domain, Socket, Type};

fn address(broker: &Broker) -> SocketAddr {
    match &broker.places()[0] {
        Place::Tcp(address) => *address,
        Place::Unix { .. } => unreachable!("its only door is another"),
    }
}

#[test]
fn connections_wait_until_there_are_descriptors_again() {
    // Before the start: an accept keeps the limit of the moment at which it was asked for.
    set_limit(DESCRIPTORS);
    let doors = vec![Door::plain(Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))))];
    let broker = runtime::start(Config { doors, ..Config::default() }).unwrap();
    let sockets: Vec<_> = (0..3).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let fillers: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let mut streams: Vec<TcpStream> = sockets
        .into_iter()
        .map(|socket| {
            socket.connect(&address(&broker).into()).unwrap();
            socket.into()
        })
        .collect();
    for stream in &mut streams {
        stream.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00").unwrap();
    }
    streams[0].set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    // The end of the ring that `probe` made may interrupt this thread once.
    let read = || streams[0].read(&mut [0; 4]).unwrap_err().kind();
    let refused = std::iter::repeat_with(read).find(|&kind| kind != ErrorKind::Interrupted);
    assert_eq!(refused, Some(ErrorKind::WouldBlock), "the connection waits in the backlog");
    drop(fillers);
    for stream in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut connack = [0; 4];
        stream.read_exact(&mut connack).unwrap();
        assert_eq!(connack, [0x20, 2, 0, 0]);
    }
}

fn set_limit(descriptors: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls read and write the structure that they are given and nothing else.
    let results = unsafe {
        let got = libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = descriptors;
        [got, libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)]
    };
    assert_eq!(results, [0, 0]);
}

/// Enough for a broker of one shard and its three clients.
const DESCRIPTORS: u64 = 100;
