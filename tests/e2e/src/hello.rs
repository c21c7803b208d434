//! A ClientHello written by hand, so that it can offer what no library offers any more, and what a server answers to it.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::PATIENCE;

/// What a client offers.
#[derive(Clone)]
pub struct Hello {
    /// Of the message itself: 0x0300 is SSL 3.0, 0x0303 is TLS 1.2.
    pub version: u16,
    /// Of the extension that TLS 1.3 is asked for by. Empty: it is not there.
    pub supported_versions: Vec<u16>,
    pub suites: Vec<u16>,
    pub compressions: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Hello(Chosen),
    /// A fatal alert with this description.
    Alert(u8),
    /// The end of the stream without a word.
    End,
}

/// What a ServerHello chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub version: u16,
    pub suite: u16,
    pub compression: u8,
    pub random: Vec<u8>,
    pub extensions: Vec<u16>,
}

pub const SSL_3_0: u16 = 0x0300;
pub const TLS_1_0: u16 = 0x0301;
pub const TLS_1_1: u16 = 0x0302;
pub const TLS_1_2: u16 = 0x0303;
pub const TLS_1_3: u16 = 0x0304;

pub const ALERT_HANDSHAKE_FAILURE: u8 = 40;
pub const ALERT_ILLEGAL_PARAMETER: u8 = 47;
pub const ALERT_PROTOCOL_VERSION: u8 = 70;

impl Hello {
    /// A good one of this version. Older ones than 1.2 are offered with suites of their time.
    pub fn of(version: u16) -> Hello {
        let supported_versions = if version == TLS_1_3 { vec![TLS_1_3] } else { Vec::new() };
        let suites = match version {
            TLS_1_3 => vec![0x1301, 0x1302, 0x1303],
            TLS_1_2 => vec![0xC02B, 0xC02C, 0xCCA9, 0xC02F, 0xC030, 0xCCA8],
            _ => vec![0xC009, 0xC00A, 0xC013, 0xC014, 0x002F, 0x0035, 0x000A, 0x0005],
        };
        Hello { version: version.min(TLS_1_2), supported_versions, suites, compressions: vec![0] }
    }

    /// Sends it on a connection of its own.
    #[track_caller]
    pub fn ask(&self, port: u16) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&self.records()).unwrap();
        answer(&mut stream)
    }

    /// In as many records as it takes.
    pub fn records(&self) -> Vec<u8> {
        let body = [
            &self.version.to_be_bytes()[..],
            &[0x5A; 32],
            &[0],
            &sized_16(&words(&self.suites)),
            &sized_8(&self.compressions),
            &sized_16(&self.extensions()),
        ]
        .concat();
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let message = [&[1], &length[1..], &body].concat();
        let record = |part: &[u8]| [&[22, 3, 1], &sized_16(part)[..]].concat();
        message.chunks(RECORD_BYTES_MAX).flat_map(record).collect()
    }

    fn extensions(&self) -> Vec<u8> {
        if self.version == SSL_3_0 {
            return Vec::new();
        }
        let mut extensions = [
            // Secure renegotiation, heartbeats, extended master secret, uncompressed points.
            extension(0xFF01, &[0]),
            extension(15, &[1]),
            extension(23, &[]),
            extension(11, &[1, 0]),
            extension(10, &sized_16(&words(&[29, 23, 24]))),
            extension(13, &sized_16(&words(&SIGNATURE_SCHEMES))),
        ]
        .concat();
        if !self.supported_versions.is_empty() {
            extensions.extend(extension(43, &sized_8(&words(&self.supported_versions))));
            // No share of a key: who speaks 1.3 asks for one, and names the suite.
            extensions.extend(extension(51, &sized_16(&[])));
        }
        extensions
    }
}

/// The first thing that a server says.
#[track_caller]
pub fn answer(stream: &mut TcpStream) -> Answer {
    let mut head = [0; 5];
    if stream.read_exact(&mut head).is_err() {
        return Answer::End;
    }
    let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
    stream.read_exact(&mut record).unwrap();
    match (head[0], record.as_slice()) {
        (21, [2, description]) => Answer::Alert(*description),
        (22, [2, _, _, _, hello @ ..]) => Answer::Hello(Chosen::read(hello)),
        _ => panic!("neither an alert nor a ServerHello: {head:?} {record:?}"),
    }
}

impl Chosen {
    fn read(hello: &[u8]) -> Chosen {
        let session_id = usize::from(hello[34]);
        let rest = &hello[35 + session_id..];
        let mut chosen = Chosen {
            version: u16::from_be_bytes([hello[0], hello[1]]),
            suite: u16::from_be_bytes([rest[0], rest[1]]),
            compression: rest[2],
            random: hello[2..34].to_vec(),
            extensions: Vec::new(),
        };
        // The length of all of them stands before the first.
        let mut left = rest.get(5..).unwrap_or_default();
        while let [a, b, c, d, more @ ..] = left {
            let (kind, length) = (u16::from_be_bytes([*a, *b]), usize::from(u16::from_be_bytes([*c, *d])));
            let Some(value) = more.get(..length) else { break };
            chosen.extensions.push(kind);
            if kind == 43 {
                chosen.version = u16::from_be_bytes([value[0], value[1]]);
            }
            left = &more[length..];
        }
        chosen
    }
}

fn extension(kind: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &sized_16(value)].concat()
}

fn words(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn sized_8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

fn sized_16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

const RECORD_BYTES_MAX: usize = 16 << 10;

/// ECDSA, RSA and Ed25519, each with the hashes that are in use.
const SIGNATURE_SCHEMES: [u16; 10] =
    [0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0807];
