//! Packets as a capture file has them: each connection is a TCP stream that was never on a wire, whose ends count its bytes as
//! if it had been.
//!
//! A stream begins with a handshake and a CONNECT of our own, which says the version and the client id and nothing else, so that
//! whoever reads the file knows how to take the rest apart.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

/// Of the file: magic number, version 2.4, no zone, 256 KiB for a packet, raw IP.
pub const HEADER: [u8; 24] =
    [0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 101, 0, 0, 0];

/// The streams of one capture.
#[derive(Default)]
pub struct Capture {
    /// By the hash of client id and connection: ids may be long.
    streams: HashMap<u64, Stream>,
    hasher: RandomState,
    /// Streams that were ever begun.
    begun: usize,
    packets: u64,
}

struct Stream {
    /// The number of its last packet.
    last: u64,
    client: SocketAddr,
    broker: SocketAddr,
    /// The next byte of the client, and of the broker.
    sequence: [u32; 2],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Client = 0,
    Broker = 1,
}

impl Capture {
    /// What a line of a trace adds to the file.
    pub fn records(&mut self, row: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        let text = |name: &str| row[name].as_str().unwrap_or_default();
        let bytes = STANDARD.decode(text("wire")).unwrap_or_default();
        let at = (row["at"].as_f64().unwrap_or_default() * 1e6) as u64;
        // A client whose session moved to another connection is another stream.
        let key = self.hasher.hash_one((text("client_id"), text("connection")));
        self.packets += 1;
        if !self.streams.contains_key(&key) {
            self.make_room();
            self.begun += 1;
        }
        let begun = self.begun;
        let stream = self.streams.entry(key).or_insert_with(|| {
            let mut stream = Stream::new(text("address"), begun);
            stream.open(at, text("version"), text("client_id"), &mut out);
            stream
        });
        stream.last = self.packets;
        let from = if text("direction") == "received" { From::Client } else { From::Broker };
        stream.say(at, from, &bytes, &mut out);
        // What is not here of a long packet is a gap.
        let len = row["bytes"].as_u64().unwrap_or_default();
        let missing = len.saturating_sub(bytes.len() as u64) as u32;
        stream.sequence[from as usize] = stream.sequence[from as usize].wrapping_add(missing);
        if text("kind") == "DISCONNECT" {
            self.streams.remove(&key);
        }
        out
    }

    /// A connection that fails says no DISCONNECT: the half that was silent for the longest time makes way.
    fn make_room(&mut self) {
        if self.streams.len() < STREAMS_MAX {
            return;
        }
        let mut last: Vec<u64> = self.streams.values().map(|stream| stream.last).collect();
        let (_, median, _) = last.select_nth_unstable(STREAMS_MAX / 2);
        let median = *median;
        self.streams.retain(|_, stream| stream.last >= median);
    }
}

impl Stream {
    /// Who came by no address gets one that nobody has, and who came by no port one of those.
    fn new(address: &str, number: usize) -> Stream {
        let port = 1024 + (number % 60_000) as u16;
        let client = address.parse().unwrap_or_else(|_| {
            let ip = address.parse().unwrap_or(Ipv4Addr::new(127, 0, 0, 2).into());
            SocketAddr::new(ip, port)
        });
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let broker: IpAddr = match client.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        Stream { last: 0, client, broker: SocketAddr::new(broker, BROKER_PORT), sequence: [0, 0] }
    }

    fn open(&mut self, at: u64, version: &str, client_id: &str, out: &mut Vec<u8>) {
        self.segment(at, From::Client, SYN, &[], out);
        self.sequence[0] = 1;
        self.segment(at, From::Broker, SYN | ACK, &[], out);
        self.sequence[1] = 1;
        self.segment(at, From::Client, ACK, &[], out);
        self.say(at, From::Client, &connect(version, client_id), out);
    }

    fn say(&mut self, at: u64, from: From, bytes: &[u8], out: &mut Vec<u8>) {
        for piece in bytes.chunks(SEGMENT_BYTES_MAX) {
            self.segment(at, from, PSH | ACK, piece, out);
            let sequence = &mut self.sequence[from as usize];
            *sequence = sequence.wrapping_add(piece.len() as u32);
        }
    }

    fn segment(&self, at: u64, from: From, flags: u8, payload: &[u8], out: &mut Vec<u8>) {
        let (source, target) = match from {
            From::Client => (self.client, self.broker),
            From::Broker => (self.broker, self.client),
        };
        let [own, other] = match from {
            From::Client => self.sequence,
            From::Broker => [self.sequence[1], self.sequence[0]],
        };
        let acknowledged = if flags & ACK == 0 { 0 } else { other };
        let mut tcp = Vec::with_capacity(TCP_BYTES + payload.len());
        tcp.extend_from_slice(&source.port().to_be_bytes());
        tcp.extend_from_slice(&target.port().to_be_bytes());
        tcp.extend_from_slice(&own.to_be_bytes());
        tcp.extend_from_slice(&acknowledged.to_be_bytes());
        tcp.extend_from_slice(&[(TCP_BYTES as u8 / 4) << 4, flags, 0xFF, 0xFF, 0, 0, 0, 0]);
        tcp.extend_from_slice(payload);
        let packet = in_ip(source.ip(), target.ip(), tcp);
        let len = (packet.len() as u32).to_le_bytes();
        out.extend_from_slice(&((at / 1_000_000) as u32).to_le_bytes());
        out.extend_from_slice(&((at % 1_000_000) as u32).to_le_bytes());
        out.extend_from_slice(&len);
        out.extend_from_slice(&len);
        out.extend_from_slice(&packet);
    }
}

fn in_ip(source: IpAddr, target: IpAddr, mut tcp: Vec<u8>) -> Vec<u8> {
    let len = tcp.len() as u16;
    let addresses = match (source, target) {
        (IpAddr::V4(source), IpAddr::V4(target)) => [source.octets().to_vec(), target.octets().to_vec()],
        (IpAddr::V6(source), IpAddr::V6(target)) => [source.octets().to_vec(), target.octets().to_vec()],
        _ => unreachable!("both ends are of one kind"),
    }
    .concat();
    let pseudo = [&addresses[..], &[0, 6], &len.to_be_bytes()].concat();
    let sum = checksum(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut packet = match source {
        IpAddr::V4(_) => {
            let total = (len + 20).to_be_bytes();
            let mut head = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 6, 0, 0];
            head.extend_from_slice(&addresses);
            let sum = checksum(&[&head]);
            head[10..12].copy_from_slice(&sum.to_be_bytes());
            head
        }
        IpAddr::V6(_) => {
            let len = len.to_be_bytes();
            let mut head = vec![0x60, 0, 0, 0, len[0], len[1], 6, 64];
            head.extend_from_slice(&addresses);
            head
        }
    };
    packet.extend_from_slice(&tcp);
    packet
}

/// As IP and TCP have it. All parts but the last have an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let word = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[0], bytes.get(1).copied().unwrap_or(0)]));
    let mut sum: u64 = words.map(|bytes| u64::from(word(bytes))).sum();
    while sum > 0xFFFF {
        sum = (sum >> 16) + (sum & 0xFFFF);
    }
    !(sum as u16)
}

/// A CONNECT with a clean session, the client id and nothing else.
fn connect(version: &str, client_id: &str) -> Vec<u8> {
    let (name, level) = match version {
        "3.1" => ("MQIsdp", 3),
        "3.1.1" => ("MQTT", 4),
        _ => ("MQTT", 5),
    };
    let mut body = vec![0, name.len() as u8];
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(&[level, 2, 0, 0]);
    if level == 5 {
        body.push(0);
    }
    let client_id = &client_id.as_bytes()[..client_id.len().min(usize::from(u16::MAX))];
    body.extend_from_slice(&(client_id.len() as u16).to_be_bytes());
    body.extend_from_slice(client_id);
    let mut packet = vec![0x10];
    let mut left = body.len();
    loop {
        let more = if left > 127 { 0x80 } else { 0 };
        packet.push((left % 128) as u8 | more);
        left /= 128;
        if left == 0 {
            break;
        }
    }
    packet.extend_from_slice(&body);
    packet
}

const BROKER_PORT: u16 = 1883;
const TCP_BYTES: usize = 20;
/// With its heads it fits an IP packet.
const SEGMENT_BYTES_MAX: usize = 60_000;

/// Those that are remembered; a hundred bytes each.
const STREAMS_MAX: usize = 16_384;

const SYN: u8 = 2;
const PSH: u8 = 8;
const ACK: u8 = 16;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct Seen {
        ip: Vec<u8>,
        ports: (u16, u16),
        sequence: u32,
        flags: u8,
        payload: Vec<u8>,
    }

    /// Takes the records apart again, and checks lengths and sums.
    fn read(mut file: &[u8]) -> Vec<Seen> {
        let mut seen = Vec::new();
        while !file.is_empty() {
            let len = u32::from_le_bytes(file[8..12].try_into().expect("four bytes")) as usize;
            let packet = &file[16..16 + len];
            let head = if packet[0] >> 4 == 4 { 20 } else { 40 };
            if head == 20 {
                assert_eq!(checksum(&[&packet[..20]]), 0, "a right sum makes zero");
                assert_eq!(usize::from(u16::from_be_bytes([packet[2], packet[3]])), len);
            }
            let addresses = if head == 20 { &packet[12..20] } else { &packet[8..40] };
            let tcp = &packet[head..];
            let pseudo = [addresses, &[0, 6], &(tcp.len() as u16).to_be_bytes()].concat();
            assert_eq!(checksum(&[&pseudo, tcp]), 0);
            seen.push(Seen {
                ip: addresses.to_vec(),
                ports: (u16::from_be_bytes([tcp[0], tcp[1]]), u16::from_be_bytes([tcp[2], tcp[3]])),
                sequence: u32::from_be_bytes(tcp[4..8].try_into().expect("four bytes")),
                flags: tcp[13],
                payload: tcp[20..].to_vec(),
            });
            file = &file[16 + len..];
        }
        seen
    }

    fn row(direction: &str, address: Option<&str>, wire: &[u8], bytes: usize) -> Value {
        json!({ "at": 1.5, "client_id": "c", "connection": "0-3-7", "address": address, "version": "5.0",
            "direction": direction, "bytes": bytes, "wire": STANDARD.encode(wire) })
    }

    #[test]
    fn a_stream_begins_with_a_handshake_and_a_connect_and_counts_its_bytes() {
        let mut capture = Capture::default();
        let address = Some("192.0.2.7:5000");
        let first = read(&capture.records(&row("received", address, &[0xC0, 0], 2)));
        assert_eq!(
            first.iter().map(|seen| seen.flags).collect::<Vec<_>>(),
            [SYN, SYN | ACK, ACK, PSH | ACK, PSH | ACK]
        );
        let connect = &first[3];
        assert_eq!(connect.payload, [0x10, 14, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 0, 0, 1, b'c']);
        assert_eq!((connect.ports, connect.sequence), ((5000, 1883), 1));
        assert_eq!((&first[4].payload[..], first[4].sequence), (&[0xC0, 0][..], 17));
        assert_eq!(first[4].ip, [192, 0, 2, 7, 127, 0, 0, 1]);
        let answer = read(&capture.records(&row("sent", address, &[0xD0, 0], 2)));
        assert_eq!((answer.len(), answer[0].ports, answer[0].sequence), (1, (1883, 5000), 1));
    }

    #[test]
    fn long_packets_are_several_segments_and_what_is_missing_is_a_gap() {
        let mut capture = Capture::default();
        let seen = read(&capture.records(&row("sent", Some("[2001:db8::1]:9"), &[7; 65_536], 100_000)));
        let sent: Vec<_> = seen[4..].iter().map(|seen| (seen.payload.len(), seen.sequence)).collect();
        assert_eq!(sent, [(60_000, 1), (5536, 60_001)]);
        let next = read(&capture.records(&row("sent", Some("[2001:db8::1]:9"), &[1], 1)));
        assert_eq!(next[0].sequence, 100_001);
    }

    #[test]
    fn who_came_by_no_address_gets_one() {
        let mut capture = Capture::default();
        let seen = read(&capture.records(&row("received", None, &[0xC0, 0], 2)));
        assert_eq!(seen[0].ip, [127, 0, 0, 2, 127, 0, 0, 1]);
        let seen = read(&Capture::default().records(&row("received", Some("192.0.2.7"), &[0xC0, 0], 2)));
        assert_eq!((&seen[0].ip[..4], seen[0].ports.0), (&[192, 0, 2, 7][..], 1025), "a proxy told no port");
        assert_eq!(HEADER.len(), 24);
    }
    #[test]
    fn streams_that_have_ended_are_forgotten_and_of_the_others_the_last_are_remembered() {
        let mut capture = Capture::default();
        let of = |connection: usize, kind: &str| {
            let mut row = row("received", None, &[0xC0, 0], 2);
            row["connection"] = json!(connection.to_string());
            row["kind"] = json!(kind);
            row
        };
        for connection in 0..100 {
            capture.records(&of(connection, "PINGREQ"));
            capture.records(&of(connection, "DISCONNECT"));
        }
        assert!(capture.streams.is_empty());
        (0..3 * STREAMS_MAX).for_each(|connection| drop(capture.records(&of(connection, "PINGREQ"))));
        assert!(capture.streams.len() <= STREAMS_MAX);
        let last = capture.records(&of(3 * STREAMS_MAX - 1, "PINGREQ"));
        assert_eq!(read(&last).len(), 1, "it goes on");
    }
}
