//! The layout of a frame: its head, read and written, and control frames.

use super::mask::Mask;
use super::{Close, CloseCode, FINAL, MASKED, Side, protocol};

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    pub fn of(number: u8) -> Option<Opcode> {
        match number {
            0 => Some(Opcode::Continuation),
            1 => Some(Opcode::Text),
            2 => Some(Opcode::Binary),
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => None,
        }
    }

    pub fn is_control(self) -> bool {
        self as u8 & 0x08 != 0
    }
}

/// The head of an outgoing frame, to be sent before its payload.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Head {
    bytes: [u8; 10],
    len: u8,
}

impl Head {
    /// Of a whole binary message that is not masked: what a server sends.
    pub fn binary(payload_bytes: usize) -> Head {
        Head::of(Opcode::Binary, 0, payload_bytes)
    }

    #[inline]
    fn of(opcode: Opcode, masked: u8, payload_bytes: usize) -> Head {
        let mut bytes = [0; 10];
        bytes[0] = FINAL | opcode as u8;
        let len = if payload_bytes <= CONTROL_BYTES_MAX {
            bytes[1] = masked | payload_bytes as u8;
            2
        } else if let Ok(short) = u16::try_from(payload_bytes) {
            bytes[1] = masked | LENGTH_16;
            bytes[2..4].copy_from_slice(&short.to_be_bytes());
            4
        } else {
            bytes[1] = masked | LENGTH_64;
            bytes[2..].copy_from_slice(&(payload_bytes as u64).to_be_bytes());
            10
        };
        Head { bytes, len }
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

impl super::Socket {
    /// Appends a binary message of a client. The key has to be chance to whoever chose the payload.
    pub fn put_masked(payload: &[u8], key: [u8; 4], out: &mut Vec<u8>) {
        out.reserve(HEAD_BYTES_MAX + payload.len());
        out.extend_from_slice(Head::of(Opcode::Binary, MASKED, payload.len()).as_bytes());
        out.extend_from_slice(&key);
        let begin = out.len();
        out.extend_from_slice(payload);
        Mask::of(&key).apply(&mut out[begin..]);
    }

    /// Appends a close frame, whose reason is cut to what such a frame holds.
    pub fn put_close(side: Side, code: CloseCode, reason: &str, out: &mut Vec<u8>) {
        let fits = (0..=REASON_BYTES_MAX.min(reason.len())).rev().find(|end| reason.is_char_boundary(*end));
        let reason = &reason[..fits.unwrap_or_default()];
        super::put_close(side, Some(code), reason.as_bytes(), out);
    }

    /// Appends a ping, which the peer has to answer.
    pub fn put_ping(side: Side, out: &mut Vec<u8>) {
        put_control(side, Opcode::Ping, &[], out);
    }
}

/// Appends a control frame. That the payload fits is the sender's to know.
pub fn put_control(side: Side, opcode: Opcode, payload: &[u8], out: &mut Vec<u8>) {
    assert!(payload.len() <= CONTROL_BYTES_MAX, "a control frame has at most 125 bytes");
    let masked = if side == Side::Client { MASKED } else { 0 };
    out.extend_from_slice(Head::of(opcode, masked, payload.len()).as_bytes());
    if side == Side::Client {
        out.extend_from_slice(&[0; 4]);
    }
    out.extend_from_slice(payload);
}

/// How long a head is by its second byte, the mask's key included.
pub fn head_bytes(second: u8) -> usize {
    let key = if second & MASKED != 0 { 4 } else { 0 };
    key + match second & !MASKED {
        LENGTH_64 => 10,
        LENGTH_16 => 4,
        _ => 2,
    }
}

/// The length of the payload, which is written as short as it can be.
pub fn payload_bytes(head: &[u8]) -> Result<u32, Close> {
    let (len, least) = match head[1] & !MASKED {
        LENGTH_16 => (u64::from(u16::from_be_bytes([head[2], head[3]])), CONTROL_BYTES_MAX as u64 + 1),
        LENGTH_64 => {
            let bytes = head[2..10].try_into().expect("a long head has eight bytes of length");
            (u64::from_be_bytes(bytes), 1 << 16)
        }
        short => (u64::from(short), 0),
    };
    if len < least {
        return Err(protocol("a length has more bytes than it needs"));
    }
    if len >> 63 != 0 {
        return Err(protocol("the first bit of a length is set"));
    }
    let fits = u32::try_from(len).ok().filter(|len| *len <= FRAME_BYTES_MAX);
    fits.ok_or(Close::Violation { code: CloseCode::TOO_BIG, what: "a frame has more than 1 GiB" })
}

/// The most payload of one frame. Frames are not buffered: this only tells madness from traffic, as several of the
/// largest packets fit into one.
pub const FRAME_BYTES_MAX: u32 = 1 << 30;
pub const CONTROL_BYTES_MAX: usize = 125;
pub const HEAD_BYTES_MAX: usize = 14;
const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

// What stands for a length in two bytes and in eight.
const LENGTH_16: u8 = 126;
const LENGTH_64: u8 = 127;
