//! Clients that send all of a packet but its end, and stay: those who send whole packets do not feel it, on whichever shard they live.

use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use client::QoS;
use e2e::socket::{self, Socket};
use e2e::{Broker, PATIENCE, Setup, resources};

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
    assert!(!ended.says("protocol violation"), "a quota is no rule of the protocol");
    let lines = ended.errors.iter().filter(|line| line.contains(" quota exceeded ")).count();
    assert!(lines < HOGS, "some of them are lines and the others a number: {lines}");
    assert!(ended.says("too many come: quota exceeded"));
}

#[test]
fn connects_that_come_in_pieces_and_move_to_another_shard_take_no_room_for_longer() {
    let _alone = alone();
    let broker = Setup::new("pieces").shards(2).config(&small("")).start();
    for batch in 0..15 {
        let before = broker.counter("bytes_received");
        let mut clients: Vec<(Socket, Vec<u8>)> = (0..4)
            .map(|n| {
                let mut bytes = long_connect(&format!("mover{batch}-{n}"));
                let rest = bytes.split_off(bytes.len() - 10);
                let mut socket = Socket::open(broker.port);
                socket.send(&bytes);
                (socket, rest)
            })
            .collect();
        broker.await_counter("bytes_received", before + 4 * u64::from(WILL_BYTES));
        for (socket, rest) in &mut clients {
            socket.send(rest);
            assert_eq!(socket.read(4), [0x20, 2, 0, 0]);
            socket.send(&[0xE0, 0]);
        }
    }
    assert!(broker.counter("connections_handed_over") > 5, "many of them have moved");
    assert_eq!((broker.counter("receive_memory_exceeded"), broker.counter("packet_timeouts")), (0, 0));
}

#[test]
fn who_is_held_to_a_rate_does_not_give_way_to_packets_without_an_end() {
    let _alone = alone();
    let text = small("[rates]\nclient_publish_bytes_per_s = 2000\n");
    let broker = Setup::new("held-to-a-rate").shards(1).config(&text).start();
    let mut victim = Socket::connect(broker.port, "victim", true);
    victim.send(&socket::publish("v", &[b'x'; 60_000]).repeat(2));
    broker.await_counter("waited_client_publish_bytes", 1);
    let mut hogs: Vec<Socket> = (0..12)
        .map(|n| {
            let mut hog = Socket::connect(broker.port, &format!("hog{n}"), true);
            let _ = hog.stream.write_all(&socket::publish("hog", &[b'z'; 200_000])[..150_000]);
            hog
        })
        .collect();
    broker.await_counter("receive_memory_exceeded", 5);
    victim.stream.set_nonblocking(true).unwrap();
    let heard = victim.stream.read(&mut [0]).unwrap_err();
    assert_eq!(heard.kind(), io::ErrorKind::WouldBlock, "the victim is still there");
    for hog in &mut hogs[..5] {
        hog.read_to_end(PATIENCE);
    }
}

/// 1 MiB of room, and packets of 256 KiB at most.
fn small(more: &str) -> String {
    format!("[server]\nmax_packet_size = \"256 KiB\"\n[limits]\nmax_receive_memory = \"1 MiB\"\n{more}")
}

fn long_connect(client_id: &str) -> Vec<u8> {
    let will = vec![b'x'; WILL_BYTES.into()];
    let text = [&WILL_BYTES.to_be_bytes()[..], &will].concat();
    let flags = [4, 0x06, 0, 0];
    let parts =
        [&socket::string("MQTT")[..], &flags, &socket::string(client_id), &socket::string("w"), &text];
    socket::frame(0x10, &parts.concat())
}

#[test]
fn memory_of_unfinished_packets_goes_back_to_the_system_each_time() {
    let _alone = alone();
    let broker = Setup::new("hogs-memory").shards(2).start();
    let before = resources::resident_bytes(broker.process.id());
    // The allocator learns from the first ones what it keeps of the next.
    for _ in 0..2 {
        let hogs: Vec<Socket> = (0..MANY).map(|n| begun_by(broker.port, &format!("hog{n}"))).collect();
        await_resident(&broker, |resident| resident > before + TAKEN_BYTES);
        drop(hogs);
        await_resident(&broker, |resident| resident < before + LEFT_BYTES);
    }
}

#[track_caller]
fn await_resident(broker: &Broker, is_so: impl Fn(u64) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let resident = resources::resident_bytes(broker.process.id());
        if is_so(resident) {
            return;
        }
        assert!(Instant::now() < deadline, "{} MiB are resident", resident >> 20);
        thread::sleep(Duration::from_millis(20));
    }
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

const WILL_BYTES: u16 = 60_000;

/// On two shards with room for eight of their packets each.
const HOGS: usize = 60;
const FITTING: usize = 16;
/// Within the room for all, each with a buffer of 1 MiB.
const MANY: usize = 100;
const TAKEN_BYTES: u64 = 90 << 20;
const LEFT_BYTES: u64 = 24 << 20;
const PACKET_BYTES: usize = (1 << 20) - 100;
