//! Ten thousand handshakes of TLS that are begun and never ended: the broker's half costs it a signature each.

use std::time::Instant;

use e2e::PATIENCE;
use e2e::hello::{Hello, TLS_1_2};
use e2e::socket::Socket;
use e2e::{Link, resources, v5};

use super::{Doors, alone, beside_others};

#[test]
fn ten_thousand_half_open_handshakes_delay_nobody() {
    let _alone = alone();
    resources::raise_open_files(SOCKETS);
    let doors = Doors::open("half-open", "");
    let resident_before = resources::resident_bytes(doors.broker.process.id());
    let hello = Hello::of(TLS_1_2).records();
    let (port, plain) = (doors.port("tls"), doors.port("tcp"));
    beside_others(plain, "half-open handshakes", || {
        let begun = Instant::now();
        let mut sockets: Vec<Socket> = Vec::with_capacity(SOCKETS);
        for _ in 0..SOCKETS / BURST {
            // Many signatures are wanted in the same moment.
            let mut burst: Vec<Socket> = (0..BURST).map(|_| Socket::open(port)).collect();
            burst.iter_mut().for_each(|socket| socket.send(&hello));
            sockets.append(&mut burst);
        }
        println!("{SOCKETS} handshakes were begun in {:?}", begun.elapsed());
        let grown = resources::resident_bytes(doors.broker.process.id()).saturating_sub(resident_before);
        println!("they take {} KiB, {} bytes each", grown / 1024, grown / SOCKETS as u64);
        assert!(grown / (SOCKETS as u64) < HALF_OPEN_BYTES_MAX, "{grown}");
        // Somebody comes in between.
        let link = Link::connect(plain, v5("comes"));
        link.close();
        for socket in &mut sockets {
            socket.read_to_end(PATIENCE);
        }
        println!("they were over after {:?}", begun.elapsed());
    });
    let ended = doors.broker.counter("handshake_timeouts");
    assert_eq!(ended, SOCKETS as u64);
}

const SOCKETS: usize = 10_000;
const BURST: usize = 1000;

/// The state of a handshake, and the buffers of the sockets' messages.
const HALF_OPEN_BYTES_MAX: u64 = 32 << 10;
