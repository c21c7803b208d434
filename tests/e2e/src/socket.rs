//! A bare socket, for what no proper client does: silence, half a packet, a reader that stops.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use client::QoS;
use client::wire::{Connect, ConnectProperties, Version};
use socket2::{Domain, Type};

use crate::PATIENCE;

/// A connection whose bytes the test writes and reads itself.
pub struct Socket {
    pub stream: TcpStream,
}

impl Socket {
    /// Opens the connection and sends nothing.
    #[track_caller]
    pub fn open(port: u16) -> Socket {
        Socket::open_from([127, 0, 0, 1], port)
    }

    /// From one of the addresses that this machine has for itself.
    #[track_caller]
    pub fn open_from(address: [u8; 4], port: u16) -> Socket {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if address != [127, 0, 0, 1] {
            socket.bind(&SocketAddr::new(address.into(), 0).into()).unwrap();
        }
        socket.connect(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port).into()).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Socket { stream }
    }

    /// Connects as a 3.1.1 client without keep-alive.
    #[track_caller]
    pub fn connect(port: u16, client_id: &str, clean_session: bool) -> Socket {
        let mut socket = Socket::open(port);
        socket.send(&connect(client_id, clean_session));
        let connack = socket.read(4);
        assert_eq!([connack[0], connack[3]], [0x20, 0], "a CONNACK that accepts");
        socket
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    #[track_caller]
    pub fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Subscribes as packet 1 and waits for the SUBACK.
    #[track_caller]
    pub fn subscribe(&mut self, filter: &str, qos: QoS) {
        let mut body = vec![0, 1];
        body.extend(string(filter));
        body.push(qos as u8);
        self.send(&frame(0x82, &body));
        assert_eq!(self.read(5), [0x90, 3, 0, 1, qos as u8], "a SUBACK that grants");
    }

    /// Waits until the broker has taken all that was sent before.
    #[track_caller]
    pub fn ping(&mut self) {
        self.send(&[0xC0, 0]);
        assert_eq!(self.read(2), [0xD0, 0], "a PINGRESP");
    }

    /// The next packet: its first byte and its body.
    #[track_caller]
    pub fn packet(&mut self) -> (u8, Vec<u8>) {
        let first = self.read(1)[0];
        let (mut length, mut shift) = (0, 0);
        loop {
            let digit = self.read(1)[0];
            length |= usize::from(digit & 0x7F) << shift;
            shift += 7;
            if digit & 0x80 == 0 {
                return (first, self.read(length));
            }
        }
    }

    /// Reads until the broker closes, and gives the bytes that came before. A reset is an end as well.
    #[track_caller]
    pub fn read_to_end(&mut self, patience: Duration) -> Vec<u8> {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => {
                panic!("the broker did not close the connection within {patience:?}: {error}")
            }
            _ => bytes,
        }
    }
}

/// So many clients `idle-0` and so on, in batches: all of a batch are on their way before the first is waited for.
#[track_caller]
pub fn connect_idle(port: u16, count: usize) -> Vec<Socket> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let first = all.len();
        for number in first..count.min(first + BATCH) {
            let mut idle = Socket::open(port);
            idle.send(&connect(&format!("idle-{number}"), true));
            all.push(idle);
        }
        for idle in &mut all[first..] {
            assert_eq!(idle.read(4), [0x20, 2, 0, 0]);
        }
    }
    all
}

/// The CONNECT of a 3.1.1 client without keep-alive.
pub fn connect(client_id: &str, clean_session: bool) -> Vec<u8> {
    encoded(&Connect { clean_start: clean_session, ..plain(client_id) })
}

/// The same with a clean session, for whoever wants more in it.
pub fn plain(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V311,
        clean_start: true,
        keep_alive_s: 0,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

pub fn encoded(connect: &Connect<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    connect.encode(connect.version, &mut bytes);
    bytes
}

/// A PUBLISH of 3.1.1 at QoS 0.
pub fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    frame(0x30, &[string(topic), payload.to_vec()].concat())
}

/// A PUBLISH of 3.1.1 at QoS 1 or 2.
pub fn publish_acknowledged(topic: &str, payload: &[u8], qos: QoS, packet_id: u16) -> Vec<u8> {
    let body = [string(topic), packet_id.to_be_bytes().to_vec(), payload.to_vec()].concat();
    frame(0x30 | (qos as u8) << 1, &body)
}

/// A packet: its first byte, its remaining length and its body.
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut length = body.len();
    while length >= 0x80 {
        bytes.push((length & 0x7F) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(body);
    bytes
}

/// A UTF-8 encoded string.
pub fn string(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    [&length.to_be_bytes(), text.as_bytes()].concat()
}

const BATCH: usize = 500;
