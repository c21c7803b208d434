//! A WebSocket written by hand: frames as no library would send them, and the broker's one by one.

use e2e::socket::{self, Socket};
use e2e::{Broker, PATIENCE, Setup};

/// A broker, and the port of its WebSockets.
pub fn broker(name: &str) -> (Broker, u16) {
    let setup = Setup::bare(name).shards(2);
    let broker =
        setup.config("[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"ws://127.0.0.1:0\"]\n").start();
    let port = broker.port_of("ws");
    (broker, port)
}

/// An open WebSocket to the broker.
pub struct Web {
    pub socket: Socket,
}

/// A frame of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    /// With its code, if it has one.
    Close(Option<u16>),
}

pub const CONTINUATION: u8 = 0;
pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;
/// The frame is the last one of its message.
pub const FIN: u8 = 0x80;

impl Web {
    pub fn open(port: u16) -> Web {
        let mut socket = Socket::open(port);
        let response = shake(&mut socket, "");
        assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
        Web { socket }
    }

    /// An MQTT client that gets what it publishes to `e`.
    pub fn echo(port: u16, client_id: &str) -> Web {
        let mut web = Web::open(port);
        web.send(&frame(FIN | BINARY, &socket::connect(client_id, true)));
        assert_eq!(web.bytes(4), [0x20, 2, 0, 0]);
        web.send(&frame(FIN | BINARY, &socket::frame(0x82, &[0, 1, 0, 1, b'e', 0])));
        assert_eq!(web.bytes(5), [0x90, 3, 0, 1, 0]);
        web
    }

    /// Whatever the broker has closed already cannot be sent, and then the close says so.
    pub fn send(&mut self, bytes: &[u8]) {
        use std::io::Write;
        let _ = self.socket.stream.write_all(bytes);
    }

    /// In pieces of so many bytes, each in a packet of its own.
    pub fn send_chopped(&mut self, bytes: &[u8], size: usize) {
        bytes.chunks(size).for_each(|piece| self.send(piece));
    }

    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        let head = self.socket.read(2);
        assert_eq!(head[1] & 0x80, 0, "a server masks nothing");
        let length = match head[1] {
            126 => number(&self.socket.read(2)),
            127 => number(&self.socket.read(8)),
            length => usize::from(length),
        };
        let payload = self.socket.read(length);
        match head[0] {
            0x82 => Frame::Binary(payload),
            0x8A => Frame::Pong(payload),
            0x88 => Frame::Close(payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]))),
            first => panic!("the broker sends no frame that begins with {first:#04x}"),
        }
    }

    /// So many bytes of MQTT, in whatever frames they come.
    #[track_caller]
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            match self.frame() {
                Frame::Binary(more) => bytes.extend(more),
                other => panic!("{length} bytes of MQTT were expected, not {other:?} behind {bytes:?}"),
            }
        }
        assert_eq!(bytes.len(), length);
        bytes
    }

    /// The broker closes: its close frame, if it sent one, and nothing behind it.
    #[track_caller]
    pub fn closed(&mut self) -> Option<u16> {
        let close = self.frame();
        let Frame::Close(code) = close else { panic!("a close was expected, not {close:?}") };
        let rest = self.socket.read_to_end(PATIENCE);
        assert!(rest.is_empty(), "nothing comes behind a close: {rest:?}");
        code
    }

    /// Still there, and in order.
    #[track_caller]
    pub fn assert_serves(&mut self) {
        self.send(&frame(FIN | BINARY, &[0xC0, 0]));
        assert_eq!(self.bytes(2), [0xD0, 0]);
    }
}

/// Sends the request with these lines besides, and gives the response.
#[track_caller]
pub fn shake(socket: &mut Socket, lines: &str) -> String {
    let request = format!(
        "GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: mqtt\r\n{lines}\r\n"
    );
    socket.send(request.as_bytes());
    let mut response = Vec::new();
    while !response.ends_with(b"\r\n\r\n") {
        response.extend(socket.read(1));
    }
    String::from_utf8(response).unwrap()
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// A client's frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x1B, 0xC4, 0x5E, 0x92];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xFFFF => frame.extend([&[0xFE_u8][..], &(len as u16).to_be_bytes()].concat()),
        len => frame.extend([&[0xFF_u8][..], &(len as u64).to_be_bytes()].concat()),
    }
    frame.extend(key);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    frame
}

/// A PUBLISH to `e` that has this size with all its headers. There is none of 130 bytes.
pub fn publish_of(size: usize) -> Vec<u8> {
    let head = if size < 130 {
        2
    } else if size < 16_387 {
        3
    } else {
        4
    };
    let payload: Vec<u8> = (0..size - head - 3).map(|at| (at * 7) as u8).collect();
    let publish = socket::publish("e", &payload);
    assert_eq!(publish.len(), size);
    publish
}
