//! Who is held at a rate, as a 3.1.1 client sees it: its PINGREQ waits with what it sent before, it is not silent while it is held, and its end is seen.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use client::wire::Connect;
use e2e::api;
use e2e::socket::{self, Socket};
use e2e::{Broker, PATIENCE, Setup};

fn broker() -> Broker {
    let config = format!("[rates]\nover = \"wait\"\nclient_publish_messages_per_s = {PER_S}\n");
    let setup = Setup::new("held").shards(1).config(&config);
    let data = setup.folder().join("data");
    setup.args([OsString::from("--data-dir"), data.into()]).start()
}

/// Has said at once what takes `HELD` and the burst at its rate, and this behind it.
fn flooder(broker: &Broker, client_id: &str, last: &[u8]) -> (Socket, Instant) {
    let mut socket = Socket::open(broker.port);
    socket.send(&socket::encoded(&Connect { keep_alive_s: KEEP_ALIVE_S, ..socket::plain(client_id) }));
    assert_eq!(socket.read(4), [0x20, 2, 0, 0]);
    let count = PER_S * (1 + HELD.as_secs());
    let mut bytes: Vec<u8> = (0..count).flat_map(|n| socket::publish("a", &n.to_be_bytes())).collect();
    bytes.extend(last);
    let begun = Instant::now();
    socket.send(&bytes);
    (socket, begun)
}

#[test]
fn who_is_held_at_its_rate_is_told_so_and_answered_when_its_turn_comes() {
    let broker = broker();
    let (mut socket, begun) = flooder(&broker, "pinger", &[0xC0, 0]);
    broker.await_counter("waited_client_publish_messages", 1);
    let control = broker.folder().join("data/control.sock");
    let whole = api::ask_control(&control, "GET", "/v1/clients/pinger", None).expect(200);
    let connection = &whole["client"]["connection"];
    assert_eq!(connection["is_paused"], true, "{connection}");
    assert_eq!(connection["paused_by"], "rates.client_publish_messages_per_s");
    let why = connection["paused_why"].as_str().unwrap();
    assert!(why.starts_with(&format!("it sent more than {PER_S} messages a second")), "{why}");
    assert_eq!(socket.read(2), [0xD0, 0], "a PINGRESP, so that its keep-alive has not ended it");
    assert!(begun.elapsed() > SILENT, "it had to wait for longer than its keep-alive allows");
}

#[test]
fn who_falls_silent_while_it_is_held_has_its_keep_alive_from_then_on_that_its_last_packet_is_handled() {
    let broker = broker();
    let (mut socket, begun) = flooder(&broker, "sleeper", &[]);
    assert!(socket.read_to_end(PATIENCE).is_empty());
    let took = begun.elapsed();
    assert!(took > HELD - Duration::from_secs(1) + SILENT, "{took:?}");
    assert_eq!(broker.counter("keep_alive_timeouts"), 1);
    assert_eq!(broker.counter("publish_received"), PER_S * (1 + HELD.as_secs()), "nothing is lost");
}

#[test]
fn who_closes_its_socket_while_it_is_held_is_gone_at_once() {
    let broker = broker();
    let (socket, begun) = flooder(&broker, "leaver", &[]);
    broker.await_counter("waited_client_publish_messages", 1);
    drop(socket);
    broker.await_counter("connections_closed", 1);
    let took = begun.elapsed();
    let received = broker.counter("publish_received");
    assert!(received < PER_S * (1 + HELD.as_secs()), "its end was behind {received} messages, {took:?}");
}

const PER_S: u64 = 20;
const KEEP_ALIVE_S: u16 = 1;
/// One and a half times that.
const SILENT: Duration = Duration::from_millis(1500);
/// Far longer than it takes to ask about it, also where much else is done.
const HELD: Duration = Duration::from_secs(10);
