//! Connections that nobody lets in: looked at where they are accepted, or where a proxy has said whom it brings.

use std::{
    io::{ErrorKind, Read, Write},
    net::{IpAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

use super::client::{await_that, config, connect};
use crate::{Answering, Ban, Broker, Config, Doorkeeper, Question, Speech, Whom};

/// Lets so many in at each door, and nobody from one address.
#[derive(Debug)]
struct Turnstile {
    left: AtomicUsize,
    barred: IpAddr,
    asked: Arc<AtomicUsize>,
}

impl Doorkeeper for Turnstile {
    fn ask(&self, _question: Question, _answering: Answering) {}

    fn opens(&self, _door: u16) -> bool {
        self.left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn may_come_from(&self, _door: u16, address: IpAddr) -> bool {
        self.asked.fetch_add(1, SeqCst);
        address != self.barred
    }
}

fn guarded(left: usize, barred: &str) -> (Config, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let barred = barred.parse().unwrap();
    let turnstile = Turnstile { left: AtomicUsize::new(left), barred, asked: Arc::clone(&asked) };
    (Config { doorkeeper: Some(Arc::new(turnstile)), ..config(2) }, asked)
}

fn counted(broker: &Broker) -> u64 {
    broker.snapshot().iter().map(|snapshot| snapshot.counters.refused_connect_rate).sum()
}

fn is_closed(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c";

#[test]
fn beyond_its_rate_a_door_closes_without_a_word_and_without_a_seat() {
    let (config, asked) = guarded(2, "192.0.2.1");
    let broker = crate::start(config).unwrap();
    let mut streams: Vec<TcpStream> = (0..5).map(|_| connect(&broker)).collect();
    await_that("three are turned away", || counted(&broker) == 3);
    assert_eq!(broker.connections(), 2);
    assert_eq!(
        asked.load(SeqCst),
        5,
        "nobody uses up the rate of the door who may not come from his address"
    );
    let mut here = 0;
    for stream in &mut streams {
        if stream.write_all(CONNECT).is_ok() && stream.read_exact(&mut [0; 4]).is_ok() {
            here += 1;
        } else {
            assert!(is_closed(stream));
        }
    }
    assert_eq!(here, 2);
}

#[test]
fn whoever_comes_from_there_is_closed_before_anything_is_said() {
    let (config, _) = guarded(100, "127.0.0.1");
    let broker = crate::start(config).unwrap();
    assert!(is_closed(&mut connect(&broker)));
    await_that("it is counted", || counted(&broker) == 1);
    assert_eq!(broker.connections(), 0);
}

#[test]
fn behind_a_proxy_it_is_the_address_that_the_proxy_names() {
    for (barred, is_let_in) in [("192.0.2.1", false), ("127.0.0.1", true)] {
        let (mut config, asked) = guarded(100, barred);
        config.doors[0].proxies = Some(vec!["127.0.0.0/8".parse().unwrap()].into());
        let broker = crate::start(config).unwrap();
        let mut stream = connect(&broker);
        stream.write_all(b"PROXY TCP4 192.0.2.1 192.0.2.9 700 1883\r\n").unwrap();
        let _ = stream.write_all(CONNECT);
        if is_let_in {
            stream.read_exact(&mut [0; 4]).unwrap();
        } else {
            assert!(is_closed(&mut stream));
            await_that("it is counted", || counted(&broker) == 1);
        }
        assert_eq!(asked.load(SeqCst), 1);
    }
}

/// Who is no proxy is looked at when accepted, and who might be one when it has not brought anybody.
#[test]
fn at_a_door_for_everything_who_brings_nobody_comes_from_its_own_address() {
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.9 700 1883\r\n";
    for (trusted, barred, header, is_let_in) in [
        ("127.0.0.0/8", "127.0.0.1", &header[..], true),
        ("127.0.0.0/8", "192.0.2.1", header, false),
        ("127.0.0.0/8", "127.0.0.1", b"", false),
        ("127.0.0.0/8", "192.0.2.1", b"", true),
        ("10.0.0.0/8", "127.0.0.1", b"", false),
        ("10.0.0.0/8", "192.0.2.1", b"", true),
    ] {
        let (mut config, asked) = guarded(100, barred);
        config.doors[0].proxies = Some(vec![trusted.parse().unwrap()].into());
        config.doors[0].speech = Speech::Any;
        let broker = crate::start(config).unwrap();
        let mut stream = connect(&broker);
        let _ = stream.write_all(&[header, CONNECT].concat());
        if is_let_in {
            stream.read_exact(&mut [0; 4]).unwrap();
        } else {
            await_that("it is counted", || counted(&broker) == 1);
        }
        assert_eq!(asked.load(SeqCst), 1, "{trusted}, {barred}");
    }
}

#[test]
fn behind_a_proxy_of_websockets_it_is_the_address_in_its_header() {
    let (mut config, asked) = guarded(100, "192.0.2.1");
    config.doors[0].speech = Speech::WebSocket;
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    config.doors[0].websocket = Arc::new(transport::Door { trusted_proxies, ..transport::Door::default() });
    let broker = crate::start(config).unwrap();
    let mut stream = connect(&broker);
    let request = "GET /mqtt HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Protocol: mqtt\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    await_that("it is counted", || counted(&broker) == 1);
    assert_eq!(asked.load(SeqCst), 1);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    await_that("it is gone", || broker.connections() == 0);
}

fn said(stream: &mut TcpStream) -> Vec<u8> {
    stream.write_all(CONNECT).unwrap();
    let mut connack = vec![0; 4];
    stream.read_exact(&mut connack).unwrap();
    connack
}

#[test]
fn a_ban_closes_who_is_here_and_who_comes_until_it_is_lifted() {
    let broker = crate::start(config(2)).unwrap();
    let network = Whom::Network("127.0.0.0/8".parse().unwrap());
    let mut here = connect(&broker);
    assert_eq!(said(&mut here), [0x20, 2, 0, 0]);
    broker.ban(Ban { whom: network.clone(), until: None });
    assert!(is_closed(&mut here) && is_closed(&mut connect(&broker)));
    assert!(broker.lift_ban(&network) && broker.bans().is_empty());
    // A shard may hear of it a moment later.
    await_that("somebody comes in again", || {
        let mut stream = connect(&broker);
        stream.write_all(CONNECT).is_ok() && stream.read_exact(&mut [0; 4]).is_ok()
    });

    let client_id = Whom::ClientId("c".into());
    let until = SystemTime::now() + Duration::from_secs(3600);
    broker.ban(Ban { whom: client_id, until: Some(until) });
    await_that("the client id is refused", || said(&mut connect(&broker)) == [0x20, 2, 0, 5]);
    assert_eq!(broker.bans().len(), 1);
    broker.ban(Ban { whom: Whom::ClientId("c".into()), until: Some(SystemTime::UNIX_EPOCH) });
    await_that("it is over", || said(&mut connect(&broker)) == [0x20, 2, 0, 0]);
}

#[test]
fn bans_of_the_configuration_hold_from_the_first_connection_on() {
    let ban = |whom| Ban { whom, until: None };
    let bans = vec![ban(Whom::Network("127.0.0.1".parse().unwrap()))];
    let broker = crate::start(Config { bans, ..config(1) }).unwrap();
    assert!(is_closed(&mut connect(&broker)));
    broker.set_bans(vec![ban(Whom::ClientId("c".into()))]);
    await_that("another ban", || {
        let mut stream = connect(&broker);
        let mut connack = [0; 4];
        stream.write_all(CONNECT).is_ok() && stream.read_exact(&mut connack).is_ok() && connack[3] == 5
    });
}
