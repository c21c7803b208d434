//! One side of a WebSocket: frames in, the bytes of the stream and answers out. MQTT packets need not end where frames
//! do, so that nothing of a frame is kept: payload streams through, and only a head or a control frame that is not whole
//! waits in a small allocation.

mod frame;
mod mask;

use frame::{CONTROL_BYTES_MAX, HEAD_BYTES_MAX, Opcode};
use mask::Mask;
use thiserror::Error;

pub use frame::{FRAME_BYTES_MAX, Head};

/// Who reads: clients mask what they send and servers do not.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Side {
    Server,
    Client,
}

/// The end of a WebSocket. What is to be sent about it is among the replies; then the connection is to be closed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
pub enum Close {
    #[error("the peer closed the WebSocket{}", .code.map(|code| format!(" with {}", code.0)).unwrap_or_default())]
    ByPeer { code: Option<CloseCode> },
    #[error("WebSocket: {what} (closed with {})", .code.0)]
    Violation { code: CloseCode, what: &'static str },
}

/// Why a WebSocket is closed, by the numbers of RFC 6455.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct CloseCode(pub u16);

impl CloseCode {
    pub const NORMAL: CloseCode = CloseCode(1000);
    /// The server stops.
    pub const GOING_AWAY: CloseCode = CloseCode(1001);
    pub const PROTOCOL_ERROR: CloseCode = CloseCode(1002);
    /// [MQTT-6.0.0-1] Text, where packets are binary.
    pub const UNSUPPORTED_DATA: CloseCode = CloseCode(1003);
    pub const INVALID_TEXT: CloseCode = CloseCode(1007);
    pub const POLICY_VIOLATION: CloseCode = CloseCode(1008);
    pub const TOO_BIG: CloseCode = CloseCode(1009);

    // 1004 is reserved; 1005, 1006 and 1015 stand for what was not said and never go over the wire.
    fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

/// The state between two receives.
#[derive(Debug)]
pub struct Socket {
    /// A head or a control frame that is not whole.
    partial: Option<Box<Partial>>,
    /// Payload of the data frame that is being read.
    left: u32,
    mask: Mask,
    side: Side,
    /// The frame that is being read is the last of its message.
    is_final: bool,
    /// A message has begun and more of its frames follow.
    is_fragmented: bool,
    is_closed: bool,
}

#[derive(Debug)]
struct Partial {
    len: u8,
    bytes: [u8; PARTIAL_BYTES_MAX],
}

impl Socket {
    pub fn new(side: Side) -> Socket {
        Socket {
            partial: None,
            left: 0,
            mask: Mask::NONE,
            side,
            is_final: true,
            is_fragmented: false,
            is_closed: false,
        }
    }

    /// Takes what has arrived. Appends the bytes of the stream to `plain` and what is to be sent back to `replies`. At the end
    /// of the WebSocket both hold what came before it; bytes behind it are not looked at, now or later.
    ///
    /// The server's replies are whole frames. Those of a client are masked with zeros: that protects proxies from
    /// chosen bytes, and replies carry only what the server chose.
    pub fn receive(&mut self, bytes: &[u8], plain: &mut Vec<u8>, replies: &mut Vec<u8>) -> Result<(), Close> {
        if self.is_closed {
            return Ok(());
        }
        let outcome = self.read(bytes, plain, replies);
        if let Err(close) = outcome {
            self.is_closed = true;
            self.partial = None;
            if let Close::Violation { code, what } = close {
                put_close(self.side, Some(code), what.as_bytes(), replies);
            }
        }
        outcome
    }

    /// Between two frames and two messages.
    pub fn is_idle(&self) -> bool {
        self.left == 0 && self.partial.is_none() && !self.is_fragmented
    }

    fn read(&mut self, mut bytes: &[u8], plain: &mut Vec<u8>, replies: &mut Vec<u8>) -> Result<(), Close> {
        loop {
            bytes = self.read_payload(bytes, plain);
            if bytes.is_empty() {
                return Ok(());
            }
            bytes = match self.partial.take() {
                None => self.read_head(bytes, replies)?,
                Some(partial) => self.complete(partial, bytes, replies)?,
            };
        }
    }

    /// Takes what belongs to the current data frame, and gives the rest.
    fn read_payload<'a>(&mut self, bytes: &'a [u8], plain: &mut Vec<u8>) -> &'a [u8] {
        let (payload, rest) = bytes.split_at(bytes.len().min(self.left as usize));
        if !payload.is_empty() {
            self.left -= payload.len() as u32;
            let begin = plain.len();
            plain.extend_from_slice(payload);
            self.mask.apply(&mut plain[begin..]);
        }
        rest
    }

    /// Reads a head, or a whole control frame, or keeps what there is of it. `bytes` is not empty.
    fn read_head<'a>(&mut self, bytes: &'a [u8], replies: &mut Vec<u8>) -> Result<&'a [u8], Close> {
        let (opcode, size) = self.needed(bytes)?;
        let Some((whole, rest)) = bytes.split_at_checked(size) else {
            let mut partial = Box::new(Partial { len: bytes.len() as u8, bytes: [0; PARTIAL_BYTES_MAX] });
            partial.bytes[..bytes.len()].copy_from_slice(bytes);
            self.partial = Some(partial);
            return Ok(&[]);
        };
        self.on_head(opcode, whole, replies)?;
        Ok(rest)
    }

    /// Adds to what was kept until it is whole.
    fn complete<'a>(
        &mut self,
        mut partial: Box<Partial>,
        mut bytes: &'a [u8],
        replies: &mut Vec<u8>,
    ) -> Result<&'a [u8], Close> {
        loop {
            let len = usize::from(partial.len);
            let (opcode, size) = self.needed(&partial.bytes[..len])?;
            if len == size {
                self.on_head(opcode, &partial.bytes[..size], replies)?;
                return Ok(bytes);
            }
            let (more, rest) = bytes.split_at(bytes.len().min(size - len));
            if more.is_empty() {
                self.partial = Some(partial);
                return Ok(&[]);
            }
            partial.bytes[len..len + more.len()].copy_from_slice(more);
            partial.len += more.len() as u8;
            bytes = rest;
        }
    }

    /// How many bytes a head, or a whole control frame, takes in all, as far as its first bytes tell. What is wrong with
    /// them is said at once.
    #[inline]
    fn needed(&self, bytes: &[u8]) -> Result<(Opcode, usize), Close> {
        let opcode = self.check_first(bytes[0])?;
        let Some(second) = bytes.get(1) else { return Ok((opcode, 2)) };
        let is_masked = second & MASKED != 0;
        if is_masked != (self.side == Side::Server) {
            return Err(protocol(if is_masked {
                "a server's frame is masked"
            } else {
                "a client's frame is not masked"
            }));
        }
        let head = frame::head_bytes(*second);
        if !opcode.is_control() {
            return Ok((opcode, head));
        }
        match usize::from(second & !MASKED) {
            len @ 0..=CONTROL_BYTES_MAX => Ok((opcode, head + len)),
            _ => Err(protocol("a control frame has more than 125 bytes")),
        }
    }

    fn check_first(&self, first: u8) -> Result<Opcode, Close> {
        if first & RESERVED != 0 {
            return Err(protocol("a reserved bit is set: no extension was agreed on"));
        }
        let is_final = first & FINAL != 0;
        let opcode = Opcode::of(first & 0x0F).ok_or(protocol("an opcode is reserved"))?;
        match opcode {
            Opcode::Continuation if !self.is_fragmented => Err(protocol("a continuation of nothing")),
            Opcode::Text | Opcode::Binary if self.is_fragmented => {
                Err(protocol("a message begins within another"))
            }
            // [MQTT-6.0.0-1]
            Opcode::Text => {
                let what = "text, where MQTT packets come in binary frames";
                Err(Close::Violation { code: CloseCode::UNSUPPORTED_DATA, what })
            }
            _ if opcode.is_control() && !is_final => Err(protocol("a control frame is fragmented")),
            _ => Ok(opcode),
        }
    }

    /// Takes a whole head, or a whole control frame, which `needed` has checked.
    fn on_head(&mut self, opcode: Opcode, whole: &[u8], replies: &mut Vec<u8>) -> Result<(), Close> {
        let head = frame::head_bytes(whole[1]);
        let mut mask = match self.side {
            Side::Server => Mask::of(&whole[head - 4..head]),
            Side::Client => Mask::NONE,
        };
        if opcode.is_control() {
            let mut payload = [0; CONTROL_BYTES_MAX];
            let payload = &mut payload[..whole.len() - head];
            payload.copy_from_slice(&whole[head..]);
            mask.apply(payload);
            return self.on_control(opcode, payload, replies);
        }
        self.left = frame::payload_bytes(whole)?;
        self.mask = mask;
        self.is_final = whole[0] & FINAL != 0;
        self.is_fragmented = !self.is_final;
        Ok(())
    }

    fn on_control(&mut self, opcode: Opcode, payload: &[u8], replies: &mut Vec<u8>) -> Result<(), Close> {
        match opcode {
            Opcode::Ping => frame::put_control(self.side, Opcode::Pong, payload, replies),
            // Unasked-for or not, it means nothing but that the peer is there.
            Opcode::Pong => {}
            _ => {
                let code = close_code(payload)?;
                put_close(self.side, code, &[], replies);
                return Err(Close::ByPeer { code });
            }
        }
        Ok(())
    }
}

/// Appends a close frame of this side, with a reason for whoever debugs the other one.
pub(crate) fn put_close(side: Side, code: Option<CloseCode>, reason: &[u8], out: &mut Vec<u8>) {
    let Some(code) = code else { return frame::put_control(side, Opcode::Close, &[], out) };
    let mut payload = [0; CONTROL_BYTES_MAX];
    let len = 2 + reason.len();
    assert!(len <= CONTROL_BYTES_MAX, "the reason for a close fits into a control frame");
    payload[..2].copy_from_slice(&code.0.to_be_bytes());
    payload[2..len].copy_from_slice(reason);
    frame::put_control(side, Opcode::Close, &payload[..len], out);
}

fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, Close> {
    let (code, reason) = match payload {
        [] => return Ok(None),
        [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
        [_] => return Err(protocol("a close has half a code")),
    };
    if !code.is_sendable() {
        return Err(protocol("a close has a code that nobody may send"));
    }
    match str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Close::Violation {
            code: CloseCode::INVALID_TEXT,
            what: "the reason of a close is not UTF-8",
        }),
    }
}

fn protocol(what: &'static str) -> Close {
    Close::Violation { code: CloseCode::PROTOCOL_ERROR, what }
}

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const PARTIAL_BYTES_MAX: usize = 2 + 4 + CONTROL_BYTES_MAX;

const _: () = assert!(HEAD_BYTES_MAX <= PARTIAL_BYTES_MAX && PARTIAL_BYTES_MAX <= u8::MAX as usize);
// Idle connections are many.
const _: () = assert!(size_of::<Socket>() <= 24);
