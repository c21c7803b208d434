//! The client's side of the HTTP upgrade: the request, and whether the response accepts it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::{EMPTY_HEADER, Header, Response, Status};
use thiserror::Error;

use crate::Subprotocol;
use crate::http::{Repeated, accept_of, members, names_member, single};
use crate::upgrade::HEADERS_MAX;

/// What a client asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    key: String,
    request: Vec<u8>,
}

/// The server speaks WebSocket from here on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// How many bytes the response takes; behind them are frames.
    pub size: usize,
    pub subprotocol: Option<Subprotocol>,
}

/// The server does not.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    #[error("the server answered {status} {reason}")]
    Status { status: u16, reason: String },
    #[error("the server's answer is no WebSocket: {0}")]
    Strange(&'static str),
}

impl Offer {
    /// `authority` is the host as the URL writes it, with its port if that is not the usual one; `path` begins with `/`.
    /// `chance` is different for each offer. Neither text may hold what ends a line.
    pub fn new(authority: &str, path: &str, chance: [u8; 16]) -> Offer {
        let is_line = |text: &str| !text.contains(|c: char| c.is_ascii_control() || c == ' ');
        assert!(
            is_line(authority) && is_line(path),
            "what goes into a request has no spaces and ends no line"
        );
        let key = STANDARD.encode(chance);
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        Offer { key, request: request.into_bytes() }
    }

    /// To be sent before anything else.
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Reads the response at the head of `bytes`. `Ok(None)`: need more bytes.
    pub fn welcome(&self, bytes: &[u8]) -> Result<Option<Welcome>, Refused> {
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut response = Response::new(&mut headers);
        let size = match response.parse(bytes) {
            Ok(Status::Complete(size)) => size,
            Ok(Status::Partial) if bytes.len() < RESPONSE_BYTES_MAX => return Ok(None),
            Ok(Status::Partial) => return Err(Refused::Strange("it is larger than 16 KiB")),
            Err(_) => return Err(Refused::Strange("it is no response of HTTP/1.1")),
        };
        if response.code != Some(101) {
            let status = response.code.unwrap_or_default();
            return Err(Refused::Status { status, reason: response.reason.unwrap_or_default().to_owned() });
        }
        let subprotocol = self.check(response.headers)?;
        Ok(Some(Welcome { size, subprotocol }))
    }

    fn check(&self, headers: &[Header<'_>]) -> Result<Option<Subprotocol>, Refused> {
        if !names_member(headers, "upgrade", "websocket") || !names_member(headers, "connection", "upgrade") {
            return Err(Refused::Strange("it names no upgrade to websocket"));
        }
        if single(headers, "sec-websocket-accept")? != Some(&accept_of(&self.key)) {
            return Err(Refused::Strange("Sec-WebSocket-Accept does not belong to the key"));
        }
        if members(headers, "sec-websocket-extensions").next().is_some() {
            return Err(Refused::Strange("it names an extension that nobody offered"));
        }
        match single(headers, "sec-websocket-protocol")? {
            None => Ok(None),
            Some("mqtt") => Ok(Some(Subprotocol::Mqtt)),
            Some(_) => Err(Refused::Strange("it names a subprotocol that nobody offered")),
        }
    }
}

impl From<Repeated> for Refused {
    fn from(_: Repeated) -> Refused {
        Refused::Strange("a header that may stand once stands there twice")
    }
}

/// Servers say more about themselves than clients.
const RESPONSE_BYTES_MAX: usize = 16 * 1024;
