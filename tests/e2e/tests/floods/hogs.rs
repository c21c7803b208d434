//! Clients that send all of a packet but its end, and stay: those who send whole packets do not feel it, on whichever shard they live.

use std::io::Write;

use client::QoS;
use e2e::socket::{self, Socket};
use e2e::{PATIENCE, Setup};

use super::alone;

#[test]
fn packets_without_an_end_cut_off_nobody_who_brings_whole_ones_and_end_in_time() {
    let _alone = alone();
    let text = "[server]\npacket_timeout_secs = 5\n[limits]\nmax_receive_memory = \"16 MiB\"\n";
    let broker = Setup::new("hogs").shards(2).config(text).start();
    let victims = broker.ids_by_home(2, "victim");
    let mut hogs: Vec<Socket> = (0..HOGS).map(|n| begun_by(broker.port, &format!("hog{n}"))).collect();
    // What all of them brought has been read when some of them have had to go.
    broker.await_counter("receive_memory_exceeded", (HOGS - FITTING) as u64);
    for victim in &victims {
        publishes(broker.port, victim);
    }
    for hog in &mut hogs {
        hog.read_to_end(PATIENCE);
    }
    let ended = broker.counter("receive_memory_exceeded") + broker.counter("packet_timeouts");
    assert_eq!(ended, HOGS as u64);
    assert!(broker.counter("packet_timeouts") > 0, "the last of them had room");
    let ended = broker.end(libc::SIGTERM);
    assert!(ended.says("max_receive_memory") && ended.says("packet_timeout_secs"));
}

/// A client without keep-alive that has sent all of a packet but its last bytes.
fn begun_by(port: u16, client_id: &str) -> Socket {
    let mut hog = Socket::connect(port, client_id, true);
    let packet = socket::publish("hog", &vec![b'z'; PACKET_BYTES]);
    // The broker may end it before it has sent all.
    let _ = hog.stream.write_all(&packet[..PACKET_BYTES - 50]);
    hog
}

fn publishes(port: u16, client_id: &str) {
    let mut victim = Socket::connect(port, client_id, true);
    for packet_id in 1..=20 {
        victim.send(&socket::publish_acknowledged("v", &[b'x'; 100_000], QoS::AtLeastOnce, packet_id));
        let (first, body) = victim.packet();
        assert_eq!((first, &body[..2]), (0x40, &packet_id.to_be_bytes()[..]));
    }
}

/// On two shards with room for eight of their packets each.
const HOGS: usize = 60;
const FITTING: usize = 16;
const PACKET_BYTES: usize = (1 << 20) - 100;
