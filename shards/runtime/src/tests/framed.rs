//! Connections through WebSockets and behind proxies, and one door for everything.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, atomic::Ordering::SeqCst},
    thread,
};

use transport::{CloseCode, Offer, Side, Socket};

use super::{
    client::{ask, await_that, config, connect, start},
    layered::{Keys, ask_tls, over_tls},
    script::pattern,
};
use crate::{Config, Door, Speech};

/// The client's side of a WebSocket over anything that is a stream.
struct Framed<S> {
    stream: S,
    socket: Socket,
    plain: Vec<u8>,
}

impl<S: Read + Write> Framed<S> {
    fn new(mut stream: S) -> Framed<S> {
        let offer = Offer::new("localhost", "/mqtt", [7; 16]);
        stream.write_all(offer.request()).unwrap();
        stream.flush().unwrap();
        let mut response = Vec::new();
        let welcome = loop {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            response.push(byte[0]);
            if let Some(welcome) = offer.welcome(&response).unwrap() {
                break welcome;
            }
        };
        assert_eq!(welcome.size, response.len());
        Framed { stream, socket: Socket::new(Side::Client), plain: Vec::new() }
    }

    fn ask(&mut self, bytes: &[u8], answer_bytes: usize) -> Vec<u8> {
        let mut frame = Vec::new();
        Socket::put_masked(bytes, [1, 2, 3, 4], &mut frame);
        self.stream.write_all(&frame).unwrap();
        self.stream.flush().unwrap();
        self.read(answer_bytes)
    }

    fn read(&mut self, answer_bytes: usize) -> Vec<u8> {
        let mut buffer = [0; 4096];
        while self.plain.len() < answer_bytes {
            let len = match self.stream.read(&mut buffer) {
                // The end of the ring that `probe` made may interrupt this thread.
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                result => result.unwrap(),
            };
            assert!(len > 0, "the broker has closed the WebSocket");
            self.socket.receive(&buffer[..len], &mut self.plain, &mut Vec::new()).unwrap();
        }
        self.plain.drain(..answer_bytes).collect()
    }
}

fn speaking(speech: Speech, config: Config) -> Config {
    let doors = config.doors.into_iter().map(|door| Door { speech, ..door }).collect();
    Config { doors, ..config }
}

#[test]
fn what_goes_in_comes_back_through_frames_and_moves() {
    let (broker, _) = start(speaking(Speech::WebSocket, config(3)));
    for home in [0, 1, 2] {
        let mut framed = Framed::new(connect(&broker));
        assert_eq!(framed.ask(&[b'H', home, 1, 2, 3], 4), [home, 1, 2, 3]);
        for len in [1, 125, 126, 65_535, 65_536, 300_000] {
            let bytes = pattern(len);
            assert_eq!(framed.ask(&bytes, len), bytes, "{len}");
        }
    }
}

#[test]
fn the_first_packet_may_come_with_the_request() {
    let (broker, _) = start(speaking(Speech::WebSocket, config(2)));
    for home in [0, 1] {
        let mut stream = connect(&broker);
        let offer = Offer::new("localhost", "/mqtt", [7; 16]);
        let mut bytes = offer.request().to_vec();
        Socket::put_masked(&[b'H', home, 9], [5; 4], &mut bytes);
        stream.write_all(&bytes).unwrap();
        let mut response = Vec::new();
        while !response.ends_with(&[0x82, 2, home, 9]) {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            response.push(byte[0]);
        }
    }
}

#[test]
fn the_end_of_a_web_socket_is_said() {
    let (broker, _) = start(speaking(Speech::WebSocket, config(1)));
    let mut framed = Framed::new(connect(&broker));
    framed.ask(b"Q\x00\x00\x00\x05", 0);
    let mut answer = Vec::new();
    framed.stream.read_to_end(&mut answer).unwrap();
    let [high, low] = CloseCode::NORMAL.0.to_be_bytes();
    assert_eq!(answer, [&[0x82, 5], &*pattern(5), &[0x88, 2, high, low]].concat());
}

#[test]
fn a_page_that_asks_for_something_else_gets_an_answer_and_no_connection() {
    let (broker, observed) = start(speaking(Speech::WebSocket, config(1)));
    let mut stream = connect(&broker);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    await_that("it is counted", || observed.not_opened.load(SeqCst) == 1);
    await_that("its seat is free again", || broker.connections() == 0);
}

#[test]
fn one_door_serves_whatever_begins_as_something() {
    let keys = Keys::new();
    let (broker, observed) = start(over_tls(speaking(Speech::Any, config(2)), &keys));
    thread::scope(|scope| {
        let (broker, keys) = (&broker, &keys);
        for home in [0, 1] {
            scope.spawn(move || {
                // The script's first bytes are no MQTT: a CONNECT's are, and it echoes what begins with them.
                let hello = [0x10, home, 7];
                assert_eq!(ask(&mut connect(broker), &hello, 3), hello);
                assert_eq!(ask_tls(&mut keys.connect(broker), &hello, 3), hello);
                assert_eq!(Framed::new(connect(broker)).ask(&[b'H', home, 7], 2), [home, 7]);
                assert_eq!(Framed::new(keys.connect(broker)).ask(&[b'H', home, 7], 2), [home, 7]);
            });
        }
    });
    let mut stream = connect(&broker);
    stream.write_all(b"SSH-2.0-OpenSSH\r\n").unwrap();
    assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0);
    await_that("it is counted", || observed.not_opened.load(SeqCst) == 1);
}

fn behind_proxies(trusted: &str, config: Config) -> Config {
    let proxies: Arc<[_]> = Arc::new([trusted.parse().unwrap()]);
    let doors =
        config.doors.into_iter().map(|door| Door { proxies: Some(Arc::clone(&proxies)), ..door }).collect();
    Config { doors, ..config }
}

#[test]
fn a_proxy_says_who_comes_before_everything_else() {
    let keys = Keys::new();
    for speech in [Speech::Mqtt, Speech::Any] {
        let (broker, _) = start(over_tls(speaking(speech, behind_proxies("127.0.0.0/8", config(2))), &keys));
        let mut stream = keys.connect(&broker);
        stream.sock.write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\r\n").unwrap();
        assert_eq!(ask_tls(&mut stream, &[0x10, 1, 7], 3), [0x10, 1, 7]);
    }
}

#[test]
fn who_is_no_proxy_or_sends_no_header_is_closed() {
    let refused = |trusted: &str, bytes: &[u8]| -> TcpStream {
        let (broker, observed) = start(behind_proxies(trusted, config(1)));
        let mut stream = connect(&broker);
        // It may be closed already.
        let _ = stream.write_all(bytes);
        let mut end = stream.try_clone().unwrap();
        assert!(matches!(end.read(&mut [0; 1]), Ok(0) | Err(_)));
        await_that("it is counted", || observed.not_opened.load(SeqCst) == 1);
        stream
    };
    refused("10.0.0.0/8", b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\r\nE");
    refused("127.0.0.1", b"EEEEEEEEEEEEEEEEEE");
    refused("127.0.0.1", b"PROXY TCP4 nonsense\r\nE");
}

#[test]
fn at_a_door_for_everything_the_header_of_a_proxy_is_one_more_beginning() {
    let keys = Keys::new();
    let header = b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 1883\r\n";
    let hello = [0x10, 1, 7];
    // A proxy that is trusted, and somebody who is none.
    for trusted in ["127.0.0.0/8", "10.0.0.0/8"] {
        let any = speaking(Speech::Any, behind_proxies(trusted, config(2)));
        let (broker, observed) = start(over_tls(any, &keys));
        assert_eq!(ask(&mut connect(&broker), &hello, 3), hello, "{trusted}");
        assert_eq!(ask_tls(&mut keys.connect(&broker), &hello, 3), hello, "{trusted}");
        assert_eq!(Framed::new(connect(&broker)).ask(&[b'H', 1, 7], 2), [1, 7], "{trusted}");
        assert_eq!(observed.not_opened.load(SeqCst), 0);
        let mut stream = connect(&broker);
        let mut said = [0; 3];
        stream.write_all(&[&header[..], &hello].concat()).unwrap();
        let is_let_in = stream.read_exact(&mut said).is_ok() && said == hello;
        assert_eq!(is_let_in, trusted == "127.0.0.0/8");
        await_that("it is counted", || observed.not_opened.load(SeqCst) == usize::from(!is_let_in));
    }
}
