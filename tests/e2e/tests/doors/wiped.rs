//! Passwords are gone from the broker's memory when their clients are and the buffers that received them have received something else.

use client::wire::{Connect, Will, WillProperties};
use client::{QoS, ReasonCode};
use e2e::socket::{self, Socket, publish_acknowledged};
use e2e::{Broker, memory};

#[test]
fn a_password_in_one_write_is_wiped() {
    leaves_no_password("wiped-whole", 1, false);
}

#[test]
fn a_password_in_two_writes_is_wiped() {
    leaves_no_password("wiped-pieces", 1, true);
}

#[test]
fn a_password_in_one_write_is_wiped_on_its_way_to_another_shard() {
    leaves_no_password("wiped-moved", 2, false);
}

#[test]
fn a_password_in_two_writes_is_wiped_on_its_way_to_another_shard() {
    leaves_no_password("wiped-moved-pieces", 2, true);
}

#[track_caller]
fn leaves_no_password(name: &str, shards: u8, is_in_pieces: bool) {
    let broker = Broker::start(name, shards);
    let process = broker.process.id();
    let passwords: Vec<String> =
        (0..CLIENTS).map(|number| format!("pass-{number:02}-9f8e7d6c5b4a")).collect();
    let mut closed = broker.counter("connections_closed");
    for (number, password) in passwords.iter().enumerate() {
        let bytes = connect(&format!("client-{number}"), password);
        let (most, rest) = bytes.split_at(if is_in_pieces { bytes.len() - REST_BYTES } else { 0 });
        let mut socket = Socket::open(broker.port);
        if is_in_pieces {
            let received = broker.counter("bytes_received");
            socket.send(most);
            broker.await_counter("bytes_received", received + most.len() as u64);
            if number == 0 {
                assert_eq!(
                    memory::find(process, &passwords),
                    [0],
                    "it stands there until all of it has come"
                );
            }
        }
        socket.send(rest);
        assert_eq!(socket.packet(), (0x20, vec![0, ReasonCode::Success as u8]));
        closed += 1;
    }
    broker.await_counter("connections_closed", closed);
    overwrite_buffers(&broker, shards);
    let left = memory::find(process, &passwords);
    assert!(left.is_empty(), "{} of {CLIENTS} are left: {left:?}", left.len());
}

/// More than all receive buffers of each shard hold. Each shard takes its own in turn.
fn overwrite_buffers(broker: &Broker, shards: u8) {
    for client_id in broker.ids_by_home(shards, "writer") {
        let mut socket = Socket::connect(broker.port, &client_id, true);
        for packet_id in 1..=MESSAGES {
            socket.send(&publish_acknowledged("t", &[b'm'; MESSAGE_BYTES], QoS::AtLeastOnce, packet_id));
            assert_eq!(socket.packet().0, 0x40);
        }
    }
}

/// The end of its password is the end of the packet.
fn connect(client_id: &str, password: &str) -> Vec<u8> {
    let will = Will {
        qos: QoS::AtMostOnce,
        retain: false,
        topic: "will",
        payload: &[b'w'; 300],
        properties: WillProperties::default(),
    };
    let password = format!("{password}{}", "-".repeat(REST_BYTES));
    socket::encoded(&Connect {
        will: Some(will),
        username: Some("anna"),
        password: Some(password.as_bytes()),
        ..socket::plain(client_id)
    })
}

const CLIENTS: usize = 60;
const REST_BYTES: usize = 5;
const MESSAGES: u16 = 40;
const MESSAGE_BYTES: usize = 200_000;
