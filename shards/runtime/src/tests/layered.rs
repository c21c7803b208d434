//! Connections through TLS: the same script behind it, and handshakes that fail, stop or never begin.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, LazyLock, atomic::Ordering::SeqCst},
    thread,
    time::Duration,
};

use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, StreamOwned,
    pki_types::{PrivateKeyDer, ServerName},
};

use super::{
    client::{ask, await_that, config, connect, start},
    renewal::try_renew,
    script::pattern,
};
use crate::{Broker, Config, Door, Hung};

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// What the two sides need, made for one test.
pub struct Keys {
    pub server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Keys {
    pub fn new() -> Keys {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let chain = vec![made.cert.der().clone()];
        let server =
            ServerConfig::builder().with_no_client_auth().with_single_cert(chain.clone(), key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(chain[0].clone()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Keys { server: Arc::new(server), client: Arc::new(client) }
    }

    /// The same for many cases of one test.
    pub fn shared() -> &'static Keys {
        static KEYS: LazyLock<Keys> = LazyLock::new(Keys::new);
        &KEYS
    }

    /// A client that has said nothing yet.
    pub fn begin(&self) -> ClientConnection {
        let name = ServerName::try_from("localhost").unwrap();
        ClientConnection::new(Arc::clone(&self.client), name).unwrap()
    }

    pub fn connect(&self, broker: &Broker) -> Stream {
        StreamOwned::new(self.begin(), connect(broker))
    }
}

pub fn over_tls(config: Config, keys: &Keys) -> Config {
    let doors = config.doors.into_iter();
    let doors = doors.map(|door| Door { tls: Some(Arc::clone(&keys.server)), ..door }).collect();
    Config { doors, ..config }
}

pub fn ask_tls(stream: &mut Stream, bytes: &[u8], answer_bytes: usize) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    let mut answer = vec![0; answer_bytes];
    stream.read_exact(&mut answer).unwrap();
    answer
}

#[test]
fn what_goes_in_comes_back_whatever_its_size_and_its_pieces() {
    let keys = Keys::new();
    for shards in [1, 3] {
        let (broker, _) = start(over_tls(config(shards), &keys));
        let mut stream = keys.connect(&broker);
        assert_eq!(ask_tls(&mut stream, b"E", 1), b"E");
        for len in [1, 16_383, 16_384, 16_385, 300_000] {
            let bytes = pattern(len);
            assert_eq!(ask_tls(&mut stream, &bytes, len), bytes, "{len}");
        }
        for byte in 0..100 {
            assert_eq!(ask_tls(&mut stream, &[byte], 1), [byte]);
        }
    }
}

#[test]
fn a_connection_moves_with_its_keys() {
    let keys = Keys::new();
    let (broker, observed) = start(over_tls(config(4), &keys));
    thread::scope(|scope| {
        for worker in 0..4_u8 {
            let (broker, keys) = (&broker, &keys);
            scope.spawn(move || {
                for n in 0..40_u8 {
                    let home = (worker + n) % 4;
                    let mut stream = keys.connect(broker);
                    assert_eq!(ask_tls(&mut stream, &[b'H', home, 1, 2, 3], 4), [home, 1, 2, 3]);
                    assert_eq!(ask_tls(&mut stream, &[4; 50_000], 50_000), [4; 50_000]);
                }
            });
        }
    });
    await_that("all connections are closed", || broker.connections() == 0);
    assert_eq!(observed.not_opened.load(SeqCst), 0);
}

#[test]
fn the_end_is_told_in_the_manner_of_tls() {
    let keys = Keys::new();
    let (broker, _) = start(over_tls(config(1), &keys));
    let mut stream = keys.connect(&broker);
    stream.write_all(b"Q\x00\x04\x00\x00").unwrap();
    let mut rest = Vec::new();
    // Without the alert this is an error: somebody could have cut the stream.
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, pattern(0x40000));
}

#[test]
fn a_client_that_comes_again_resumes_its_session_with_any_shard() {
    let keys = Keys::new();
    let (broker, _) = start(over_tls(config(3), &keys));
    assert_eq!(ask_tls(&mut keys.connect(&broker), b"E", 1), b"E");
    for _ in 0..9 {
        let mut stream = keys.connect(&broker);
        assert_eq!(ask_tls(&mut stream, b"E", 1), b"E");
        assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Resumed));
    }
}

#[test]
fn nonsense_is_answered_with_an_alert_and_counted() {
    let keys = Keys::new();
    let (broker, observed) = start(over_tls(config(1), &keys));
    let mut stream = connect(&broker);
    stream.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00").unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.first(), Some(&0x15), "an alert is a record of this type: {answer:?}");
    await_that("it is counted", || observed.not_opened.load(SeqCst) == 1);
    await_that("its seat is free again", || broker.connections() == 0);
    assert_eq!(observed.opened.load(SeqCst), 0);
}

#[test]
fn who_never_finishes_the_handshake_is_closed_in_time_and_holds_nobody_up() {
    let keys = Keys::new();
    let mut slow = over_tls(config(1), &keys);
    slow.core.limits.connect_timeout = Duration::from_millis(500);
    let (broker, observed) = start(slow);
    let mut silent: Vec<TcpStream> = (0..200).map(|_| connect(&broker)).collect();
    for (n, stream) in silent.iter_mut().enumerate() {
        // The beginning of a record that is never finished, or nothing at all.
        stream.write_all(&b"\x16\x03\x01\x02\x00\x01"[..n % 7]).unwrap();
    }
    assert_eq!(ask_tls(&mut keys.connect(&broker), b"E", 1), b"E");
    await_that("all of them are counted", || observed.not_opened.load(SeqCst) == 200);
    for stream in &mut silent {
        let end = stream.read(&mut [0; 1]);
        let is_over =
            matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset);
        assert!(is_over, "the broker has closed it");
    }
    await_that("their seats are free again", || broker.connections() == 0);
}

#[test]
fn plain_and_tls_live_side_by_side_and_each_door_has_its_own_seats() {
    let keys = Keys::new();
    let mut both = config(2);
    let plain = both.doors[0].clone();
    both.doors =
        vec![plain.clone(), Door { tls: Some(Arc::clone(&keys.server)), connections_max: 1, ..plain }];
    both.doors.swap(0, 1);
    let (broker, observed) = start(both);
    let mut sealed = keys.connect(&broker);
    assert_eq!(ask_tls(&mut sealed, b"E", 1), b"E");
    let crate::Place::Tcp(address) = broker.places()[1] else { unreachable!("both are of this kind") };
    let mut open: Vec<TcpStream> = (0..5).map(|_| super::client::connect_to(address)).collect();
    for stream in &mut open {
        assert_eq!(ask(stream, b"E", 1), b"E");
    }
    assert_eq!(observed.refused.load(SeqCst), 0);
    // One more than the door has seats for: it is let in to be told so.
    assert_eq!(ask_tls(&mut keys.connect(&broker), b"E", 1), b"E");
    await_that("it is counted", || observed.refused.load(SeqCst) == 1);
}

#[test]
fn other_certificates_are_shown_to_those_who_come_and_nobody_is_cut_off() {
    let (first, second) = (Keys::new(), Keys::new());
    let (broker, _) = start(over_tls(config(2), &first));
    let mut early = first.connect(&broker);
    assert_eq!(ask_tls(&mut early, b"E", 1), b"E");
    let door = Door { tls: Some(Arc::clone(&second.server)), ..Door::plain(broker.places()[0].clone()) };
    try_renew(&broker, vec![Some(Hung::There { from: 0, door })]).unwrap();
    await_that("every shard shows the other one", || {
        let mut tries = (0..8).map(|_| second.connect(&broker));
        tries.all(|mut stream| stream.conn.complete_io(&mut stream.sock).is_ok())
    });
    assert_eq!(ask_tls(&mut second.connect(&broker), b"E", 1), b"E");
    assert_eq!(ask_tls(&mut early, b"x", 1), b"x");
}

#[test]
fn a_client_that_leaves_in_the_middle_leaves_nothing() {
    let keys = Keys::new();
    let (broker, _) = start(over_tls(config(2), &keys));
    for n in 0..100 {
        let mut stream = keys.connect(&broker);
        match n % 4 {
            0 => drop(stream.conn.complete_io(&mut stream.sock).unwrap()),
            1 => stream.write_all(b"E").unwrap(),
            2 => stream.write_all(b"B\x00\x10\x00\x00").unwrap(),
            _ => {}
        }
    }
    await_that("all connections are closed", || broker.connections() == 0);
    assert_eq!(ask_tls(&mut keys.connect(&broker), b"E", 1), b"E");
}

#[test]
fn a_reader_that_vanishes_during_a_send_has_not_taken_it() {
    let keys = Keys::shared();
    let (broker, observed) = start(over_tls(config(1), keys));
    for n in 1..=5 {
        let mut stream = keys.connect(&broker);
        stream.write_all(&[b'B', 0, 0x98, 0x96, 0x80]).unwrap();
        stream.flush().unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        drop(stream);
        await_that("it is told", || observed.unsent.load(SeqCst) == n);
    }
    await_that("the connections are gone", || broker.connections() == 0);
    // Which of its bytes were taken is not known behind TLS.
    assert_eq!((observed.sent.load(SeqCst), observed.taken_bytes.load(SeqCst)), (0, 0));
}
