//! Who is it? Real shards behind real sockets, and a doorkeeper that takes his time, or says nothing at all.

use std::{
    io::Read,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
    server::WebPkiClientVerifier,
};
use shard::{Answer, DoorConfig, Grant, ReasonCode};

use super::{
    client::{HANGS, address, await_that, config, connect, connect_to},
    wire::{packet, push_string},
};
use crate::{Answering, Broker, Config, Doorkeeper, Place, Question};

/// Passes every question on to the test.
#[derive(Debug)]
struct Porter(Sender<(Question, Answering)>);

impl Doorkeeper for Porter {
    fn ask(&self, question: Question, answering: Answering) {
        // A test that has ended asks for nothing.
        let _ = self.0.send((question, answering));
    }
}

/// Answers before it returns.
#[derive(Debug)]
struct Prompt;

impl Doorkeeper for Prompt {
    fn ask(&self, question: Question, answering: Answering) {
        answering.give(judge(&question));
    }
}

fn judge(question: &Question) -> Answer {
    match question.ask.password.as_ref().map(|password| password.expose()) {
        Some(b"good") => accept(),
        _ => Answer::refuse(ReasonCode::BadUserNameOrPassword, "wrong password"),
    }
}

fn accept() -> Answer {
    Answer::Accept { grant: Arc::new(Grant::default()), lasts: None, data: None }
}

/// Everybody is asked about at the first door; a second one lets everybody in.
fn guarded(shards: u8, doorkeeper: impl Doorkeeper + 'static) -> Config {
    let mut config = config(shards);
    config.doors.push(config.doors[0].clone());
    config.core.doors = vec![DoorConfig { asks: true, ..DoorConfig::default() }, DoorConfig::default()];
    config.doorkeeper = Some(Arc::new(doorkeeper));
    config
}

fn with_porter(shards: u8) -> (Broker, Receiver<(Question, Answering)>) {
    let (sender, questions) = unbounded();
    (crate::start(guarded(shards, Porter(sender))).unwrap(), questions)
}

fn open_door(broker: &Broker) -> SocketAddr {
    let Place::Tcp(address) = broker.places()[1] else { unreachable!("it is of this kind") };
    address
}

fn say_connect(client_id: &str, password: &str) -> Vec<u8> {
    let mut body = b"\x00\x04MQTT\x04\xc2\x00\x00".to_vec();
    push_string(&mut body, client_id);
    push_string(&mut body, "ada");
    push_string(&mut body, password);
    packet(0x10, &body)
}

fn knock(stream: &mut impl std::io::Write, client_id: &str, password: &str) {
    stream.write_all(&say_connect(client_id, password)).unwrap();
    stream.flush().unwrap();
}

fn return_code(stream: &mut impl Read) -> u8 {
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).unwrap();
    assert_eq!(connack[..3], [0x20, 2, 0]);
    connack[3]
}

fn ping(stream: &mut TcpStream) {
    assert_eq!(super::client::ask(stream, &[0xc0, 0], 2), [0xd0, 0]);
}

#[test]
fn an_answer_on_the_spot_counts() {
    for shards in [1, 3] {
        let broker = crate::start(guarded(shards, Prompt)).unwrap();
        for n in 0..30 {
            let mut stream = connect(&broker);
            let password = if n % 3 == 0 { "good" } else { "bad" };
            knock(&mut stream, &format!("c{n}"), password);
            assert_eq!(return_code(&mut stream), if n % 3 == 0 { 0 } else { 4 });
            if n % 3 == 0 {
                ping(&mut stream);
            } else {
                assert!(matches!(stream.read(&mut [0]), Ok(0)), "it is closed");
            }
        }
        await_that("all connections are closed", || broker.connections() == 0);
    }
}

#[test]
fn a_slow_doorkeeper_keeps_nobody_else() {
    let (broker, questions) = with_porter(2);
    let mut waiting: Vec<TcpStream> = (0..50).map(|_| connect(&broker)).collect();
    for (n, stream) in waiting.iter_mut().enumerate() {
        knock(stream, &format!("slow{n}"), "good");
    }
    let mut asked: Vec<(Question, Answering)> =
        (0..50).map(|_| questions.recv_timeout(HANGS).unwrap()).collect();
    let mut other = connect_to(open_door(&broker));
    knock(&mut other, "other", "");
    assert_eq!(return_code(&mut other), 0);
    ping(&mut other);
    // They wait asleep, and each answer wakes its shard.
    thread::sleep(Duration::from_millis(100));
    while let Some((question, answering)) = asked.pop() {
        assert_eq!(question.address.unwrap().ip().to_string(), "127.0.0.1");
        assert_eq!(question.certificate, None);
        let n: usize = question.ask.client_id["slow".len()..].parse().unwrap();
        thread::spawn(move || answering.give(accept()));
        assert_eq!(return_code(&mut waiting[n]), 0);
        ping(&mut waiting[n]);
    }
}

#[test]
fn a_question_that_is_dropped_lets_nobody_in() {
    let (broker, questions) = with_porter(1);
    let mut stream = connect(&broker);
    knock(&mut stream, "c", "good");
    drop(questions.recv_timeout(HANGS).unwrap());
    assert_eq!(return_code(&mut stream), 3);
    let mut no_doorkeeper = guarded(1, Prompt);
    no_doorkeeper.doorkeeper = None;
    let broker = crate::start(no_doorkeeper).unwrap();
    let mut stream = connect(&broker);
    knock(&mut stream, "c", "good");
    assert_eq!(return_code(&mut stream), 3);
}

#[test]
fn a_doorkeeper_that_never_answers_is_given_up_and_does_not_hold_up_the_end() {
    let (sender, questions) = unbounded();
    let mut config = guarded(1, Porter(sender));
    config.core.limits.answer_timeout = Duration::from_millis(200);
    let broker = crate::start(config).unwrap();
    let mut stream = connect(&broker);
    let start = Instant::now();
    knock(&mut stream, "c", "good");
    let (_, late) = questions.recv_timeout(HANGS).unwrap();
    assert_eq!(return_code(&mut stream), 3);
    assert!(start.elapsed() >= Duration::from_millis(200));
    late.give(accept());
    let mut stream = connect(&broker);
    knock(&mut stream, "c", "good");
    let (_, never) = questions.recv_timeout(HANGS).unwrap();
    assert!(broker.drain(HANGS), "who waits is let go");
    broker.stop();
    broker.join().unwrap();
    never.give(accept());
}

#[test]
fn an_answer_for_a_client_that_has_left_comes_to_nothing() {
    let (broker, questions) = with_porter(2);
    for n in 0..40 {
        let mut stream = connect(&broker);
        knock(&mut stream, &format!("c{n}"), "good");
        let (_, answering) = questions.recv_timeout(HANGS).unwrap();
        drop(stream);
        answering.give(accept());
    }
    await_that("all connections are closed", || broker.connections() == 0);
    await_that("their sessions are over", || {
        broker.snapshot().iter().map(|one| one.gauges.sessions).sum::<usize>() == 0
    });
    assert!(broker.failures().try_recv().is_err());
}

/// A certificate for localhost that signs itself.
struct Made {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

fn make() -> Made {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![made.cert.der().clone()];
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    Made { chain, key, roots: Arc::new(roots) }
}

#[test]
fn the_certificate_of_a_client_comes_with_the_question_whichever_shard_asks() {
    let (server, client) = (make(), make());
    let verifier = WebPkiClientVerifier::builder(client.roots).build().unwrap();
    let of_server = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(server.chain, server.key)
        .unwrap();
    let of_client = ClientConfig::builder()
        .with_root_certificates(server.roots)
        .with_client_auth_cert(client.chain.clone(), client.key)
        .unwrap();
    let (sender, questions) = unbounded();
    let mut config = guarded(3, Porter(sender));
    config.doors[0].tls = Some(Arc::new(of_server));
    let broker = crate::start(config).unwrap();
    let of_client = Arc::new(of_client);
    for n in 0..12 {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = ClientConnection::new(Arc::clone(&of_client), name).unwrap();
        let mut stream = StreamOwned::new(connection, connect_to(address(&broker)));
        knock(&mut stream, &format!("c{n}"), "good");
        let (question, answering) = questions.recv_timeout(HANGS).unwrap();
        assert_eq!(question.certificate.as_deref(), Some(&*client.chain[0]));
        answering.give(judge(&question));
        assert_eq!(return_code(&mut stream), 0);
    }
}
