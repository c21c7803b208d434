//! The driver and servers of WebSocket that answer in pieces, wrongly or not at all.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use client::{Driver, Error, Event, Options, Target, Version};
use transport::{Answer, Door, Head, Side, Socket};

use crate::PATIENCE;
use crate::server::Server;
use crate::transports::exchange;

/// Runs a server for one connection, which begins behind the upgrade.
fn serve(behave: impl FnOnce(TcpStream, Vec<u8>) + Send + 'static) -> (Target, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let answer = loop {
            if let Some(answer) = Door::default().answer(&request, None) {
                break answer;
            }
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        };
        match answer {
            Answer::Accept(accepted) => behave(stream, accepted.response),
            Answer::Refuse(turned) => stream.write_all(&turned.response).unwrap(),
        }
    });
    let target = Target { websocket: Some("/mqtt".to_owned()), ..Target::new("127.0.0.1", port) };
    (target, serving)
}

fn options() -> Options {
    Options { keep_alive_s: 0, ..Options::new(Version::V311, "ws") }
}

fn read_byte(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).unwrap();
    byte[0]
}

/// Reads the frames of a short CONNECT and no byte more.
fn read_connect(stream: &mut TcpStream) {
    let (mut socket, mut plain, mut replies) = (Socket::new(Side::Server), Vec::new(), Vec::new());
    while plain.len() < 2 || plain.len() < 2 + usize::from(plain[1]) {
        socket.receive(&[read_byte(stream)], &mut plain, &mut replies).unwrap();
    }
    assert_eq!((plain[0], socket.is_idle()), (0x10, true), "a CONNECT");
}

#[test]
fn what_comes_with_the_welcome_and_in_pieces_is_read() {
    let (target, serving) = serve(|mut stream, response| {
        // A CONNACK in two frames with a ping between them, the first half together with the welcome.
        let frames = b"\x02\x01\x20\x89\x02hi\x80\x03\x02\x00\x00";
        stream.write_all(&[&response[..], &frames[..2]].concat()).unwrap();
        read_connect(&mut stream);
        for byte in &frames[2..] {
            stream.write_all(&[*byte]).unwrap();
        }
        let pong = [(); 8].map(|()| read_byte(&mut stream));
        assert_eq!(pong, *b"\x8a\x82\0\0\0\0hi");
        // A PUBLISH, and a close at once.
        stream.write_all(b"\x82\x08\x30\x06\0\x01tabc\x88\x02\x03\xe9").unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let mut driver = Driver::connect(target, options(), 1).unwrap();
    let mut events = std::iter::from_fn(|| driver.next_event(PATIENCE).unwrap());
    assert!(matches!(events.next(), Some(Event::Connected { .. })));
    assert!(matches!(events.next(), Some(Event::Message(message)) if message.payload == b"abc"));
    assert!(matches!(events.next(), Some(Event::Disconnected { .. })));
    drop(driver);
    serving.join().unwrap();
}

#[test]
fn messages_of_any_size_cross_a_gateway() {
    let server = Server::start();
    let port = server.port;
    let (target, serving) = serve(move |mut outside, response| {
        outside.write_all(&response).unwrap();
        let mut inside = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut to_outside, mut from_inside) = (outside.try_clone().unwrap(), inside.try_clone().unwrap());
        let back = std::thread::spawn(move || {
            // Every read is a frame: packets end where they like.
            let mut buffer = [0; 50_000];
            while let Ok(len @ 1..) = from_inside.read(&mut buffer) {
                let frame = [Head::binary(len).as_bytes(), &buffer[..len]].concat();
                if to_outside.write_all(&frame).is_err() {
                    return;
                }
            }
        });
        let mut socket = Socket::new(Side::Server);
        let (mut buffer, mut plain, mut replies) = ([0; 50_000], Vec::new(), Vec::new());
        while let Ok(len @ 1..) = outside.read(&mut buffer) {
            let received = socket.receive(&buffer[..len], &mut plain, &mut replies);
            inside.write_all(&plain).unwrap();
            plain.clear();
            if received.is_err() {
                break;
            }
        }
        inside.shutdown(Shutdown::Both).unwrap();
        back.join().unwrap();
    });
    exchange(target);
    serving.join().unwrap();
}

#[test]
fn a_server_that_turns_away_is_quoted() {
    let (target, serving) = serve(|_, _| unreachable!("nothing is at this path"));
    let target = Target { websocket: Some("/elsewhere".to_owned()), ..target };
    let error = Driver::connect(target, options(), 1).err().unwrap();
    assert!(matches!(error, Error::Unreachable { .. }));
    assert!(error.to_string().ends_with(": the server answered 404 Not Found"), "{error}");
    serving.join().unwrap();
}

#[test]
fn frames_that_nobody_may_send_end_the_connection_and_are_named() {
    let (target, serving) = serve(|mut stream, response| {
        stream.write_all(&[&response[..], b"\x81\x02hi"].concat()).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.windows(2).any(|two| two == 1003u16.to_be_bytes()), "the client says why: {rest:?}");
    });
    let error = Driver::connect(target, options(), 1).err().unwrap();
    assert!(error.to_string().contains("text, where MQTT packets come in binary frames"), "{error}");
    serving.join().unwrap();
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect_timeout = Duration::from_millis(100);
    let websocket = Some("/mqtt".to_owned());
    let target = Target { websocket, connect_timeout, ..Target::new("127.0.0.1", port) };
    let begun = Instant::now();
    let error = Driver::connect(target, options(), 1).err().unwrap();
    assert!(
        matches!(&error, Error::Unreachable { source, .. } if source.kind() == std::io::ErrorKind::TimedOut)
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
}
