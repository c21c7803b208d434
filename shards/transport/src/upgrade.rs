//! The server's side of the HTTP upgrade: a request is answered with 101 or turned away with a page that says why.
//!
//! [MQTT-6.0.0-3] obliges the client to offer the subprotocol `mqtt`. One that offers none at all is let in and gets none,
//! as small clients expect it; one that offers only others is turned away, because it would hear nothing that it knows.
//! No extension is ever agreed on: a compressed stream costs memory for each connection and MQTT gains little.

mod forwarded;
mod page;

use core::net::IpAddr;

use httparse::{EMPTY_HEADER, Header, Request, Status};

use crate::Prefix;
use crate::http::{Repeated, accept_of, key_bytes, members, names_member, single};

/// Who may come in over WebSocket at one listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Door {
    /// The path of the URL, beginning with `/`. `None`: any.
    pub path: Option<String>,
    /// Pages that may connect, as `scheme://host:port`. None in the list: all may. What is no browser names no page and is let
    /// in.
    pub origins: Vec<String>,
    /// Proxies whose word about the address of a client counts.
    pub trusted_proxies: Vec<Prefix>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    Accept(Accepted),
    /// Send the response, then close.
    Refuse(Turned),
}

/// A request that becomes a WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// How many bytes the request takes; behind them are frames.
    pub size: usize,
    /// To be sent before anything else.
    pub response: Vec<u8>,
    pub subprotocol: Option<Subprotocol>,
    /// Where the client is, by the word of trusted proxies.
    pub forwarded_for: Option<IpAddr>,
    /// A proxy stands between, trusted or not, or a page from elsewhere has a browser speak for it: where the peer is says
    /// nothing of where the client is.
    pub is_relayed: bool,
}

/// A request that does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turned {
    pub status: u16,
    pub what: &'static str,
    pub response: Vec<u8>,
}

/// What is spoken inside, by the names that IANA has for it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Subprotocol {
    Mqtt,
    /// The name from the time of MQTT 3.1; what is spoken is up to CONNECT all the same.
    MqttV31,
}

impl Subprotocol {
    pub fn name(self) -> &'static str {
        match self {
            Subprotocol::Mqtt => "mqtt",
            Subprotocol::MqttV31 => "mqttv3.1",
        }
    }

    pub(crate) fn of(name: &str) -> Option<Subprotocol> {
        [Subprotocol::Mqtt, Subprotocol::MqttV31].into_iter().find(|known| known.name() == name)
    }
}

impl Default for Door {
    fn default() -> Door {
        Door { path: Some("/mqtt".to_owned()), origins: Vec::new(), trusted_proxies: Vec::new() }
    }
}

impl Door {
    /// Answers the request at the head of `bytes`. `None`: need more bytes, at most `REQUEST_BYTES_MAX` in all.
    ///
    /// `peer` is the address from which the connection came, by the socket or by a PROXY header: only what a trusted
    /// proxy says about the client is believed.
    pub fn answer(&self, bytes: &[u8], peer: Option<IpAddr>) -> Option<Answer> {
        let within = &bytes[..bytes.len().min(REQUEST_BYTES_MAX)];
        let mut headers = [EMPTY_HEADER; HEADERS_MAX];
        let mut request = Request::new(&mut headers);
        let outcome = match request.parse(within) {
            Ok(Status::Complete(size)) => self.judge(&request, size, peer),
            Ok(Status::Partial) if bytes.len() < REQUEST_BYTES_MAX => return None,
            Ok(Status::Partial) => Err(TOO_LARGE),
            Err(httparse::Error::TooManyHeaders) => Err(TOO_MANY),
            Err(httparse::Error::Version) => Err(WRONG_HTTP),
            Err(_) => Err(MALFORMED),
        };
        Some(match outcome {
            Ok(accepted) => Answer::Accept(accepted),
            Err(refusal) => Answer::Refuse(self.turn_away(refusal, request.method == Some("HEAD"))),
        })
    }

    fn judge(
        &self,
        request: &Request<'_, '_>,
        size: usize,
        peer: Option<IpAddr>,
    ) -> Result<Accepted, Refusal> {
        let headers: &[Header<'_>] = request.headers;
        self.check_target(request)?;
        check_upgrade(headers)?;
        let key = single(headers, "sec-websocket-key")?.unwrap_or_default();
        if key_bytes(key).is_none() {
            return Err(NO_KEY);
        }
        self.check_origin(headers)?;
        let subprotocol = choose(headers)?;
        let forwarded_for = self.forwarded_for(headers, peer);
        let is_proxy = peer.is_some_and(|peer| forwarded::is_trusted(&self.trusted_proxies, peer));
        let is_relayed = is_proxy
            || headers.iter().any(|header| is_of_proxy(header.name))
            || !(self.lists_origins() || names_only_local_pages(headers));
        let mut response =
            String::from("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
        response.push_str(&format!("Sec-WebSocket-Accept: {}\r\n", accept_of(key)));
        if let Some(subprotocol) = subprotocol {
            response.push_str(&format!("Sec-WebSocket-Protocol: {}\r\n", subprotocol.name()));
        }
        response.push_str("\r\n");
        Ok(Accepted { size, response: response.into_bytes(), subprotocol, forwarded_for, is_relayed })
    }

    fn check_target(&self, request: &Request<'_, '_>) -> Result<(), Refusal> {
        if request.version != Some(1) {
            return Err(WRONG_HTTP);
        }
        if request.method != Some("GET") {
            return Err(WRONG_METHOD);
        }
        let hosts = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("host")).count();
        if hosts != 1 || has_body(request.headers) {
            return Err(MALFORMED);
        }
        let path = path_of(request.path.unwrap_or_default());
        if self.path.as_deref().is_some_and(|served| served != path) { Err(WRONG_PATH) } else { Ok(()) }
    }

    /// Whoever comes from a page comes from one of these then.
    fn lists_origins(&self) -> bool {
        !self.origins.is_empty()
    }

    fn check_origin(&self, headers: &[Header<'_>]) -> Result<(), Refusal> {
        if !self.lists_origins() {
            return Ok(());
        }
        let Some(origin) = single(headers, "origin")? else { return Ok(()) };
        let is_allowed = self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin));
        if is_allowed { Ok(()) } else { Err(WRONG_ORIGIN) }
    }

    fn forwarded_for(&self, headers: &[Header<'_>], peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.filter(|peer| forwarded::is_trusted(&self.trusted_proxies, *peer))?;
        let chain: Vec<&str> = members(headers, "x-forwarded-for").collect();
        forwarded::client(&chain, &self.trusted_proxies)
    }

    fn turn_away(&self, refusal: Refusal, is_head: bool) -> Turned {
        Turned {
            status: refusal.status,
            what: refusal.what,
            response: page::of(&refusal, self.path.as_deref(), is_head),
        }
    }
}

/// A request that asks for no WebSocket, or for another than is spoken here.
fn check_upgrade(headers: &[Header<'_>]) -> Result<(), Refusal> {
    if !names_member(headers, "upgrade", "websocket") || !names_member(headers, "connection", "upgrade") {
        return Err(NO_UPGRADE);
    }
    match single(headers, "sec-websocket-version")? {
        Some("13") => Ok(()),
        _ => Err(WRONG_VERSION),
    }
}

/// [MQTT-6.0.0-4] `mqtt` where it is offered, wherever it stands in the list.
fn choose(headers: &[Header<'_>]) -> Result<Option<Subprotocol>, Refusal> {
    let mut offered = members(headers, "sec-websocket-protocol").peekable();
    if offered.peek().is_none() {
        return Ok(None);
    }
    let known: Vec<Subprotocol> = offered.filter_map(Subprotocol::of).collect();
    let chosen = known.iter().find(|name| **name == Subprotocol::Mqtt).or(known.first());
    chosen.copied().map(Some).ok_or(WRONG_SUBPROTOCOL)
}

// Bytes of a body would be read as frames.
fn has_body(headers: &[Header<'_>]) -> bool {
    let is = |header: &Header<'_>, name: &str| header.name.eq_ignore_ascii_case(name);
    headers.iter().any(|header| {
        is(header, "transfer-encoding") || (is(header, "content-length") && header.value.trim_ascii() != b"0")
    })
}

/// What proxies add to requests that they pass on, and browsers do not.
fn is_of_proxy(name: &str) -> bool {
    let begins = |start: &str| name.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    begins("x-forwarded") || PROXY_HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Any page of the web can have a browser connect to the machine that it runs on. Names that only look local are not.
fn names_only_local_pages(headers: &[Header<'_>]) -> bool {
    let origins = headers.iter().filter(|header| header.name.eq_ignore_ascii_case("origin"));
    origins.into_iter().all(|header| core::str::from_utf8(header.value).is_ok_and(is_local_page))
}

fn is_local_page(origin: &str) -> bool {
    let Some((_, authority)) = origin.trim_ascii().split_once("://") else { return false };
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let has_port = port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    let is_loopback = || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    (port.is_empty() || has_port) && (host.eq_ignore_ascii_case("localhost") || is_loopback())
}

/// The path of a target, which has a scheme and a host before it when a proxy was asked, and a query behind it.
fn path_of(target: &str) -> &str {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    match target.split_once("://") {
        Some((_, rest)) if !target.starts_with('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => target,
    }
}

/// Why a request is turned away.
pub(crate) struct Refusal {
    status: u16,
    title: &'static str,
    what: &'static str,
    /// A header line that belongs to this status, with its end.
    header: &'static str,
}

impl Refusal {
    const fn new(status: u16, title: &'static str, what: &'static str) -> Refusal {
        Refusal { status, title, what, header: "" }
    }
}

impl From<Repeated> for Refusal {
    fn from(_: Repeated) -> Refusal {
        REPEATED
    }
}

/// The largest request that is read, its empty line included.
pub const REQUEST_BYTES_MAX: usize = 8192;
/// The most header lines of a request.
pub const HEADERS_MAX: usize = 64;

/// Beside those that begin with `X-Forwarded`.
const PROXY_HEADERS: [&str; 9] = [
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-real-ip",
];

const MALFORMED: Refusal =
    Refusal::new(400, "Bad Request", "this is no request of HTTP/1.1 that upgrades to WebSocket");
const REPEATED: Refusal = Refusal::new(400, "Bad Request", "a header that may stand once stands there twice");
const NO_KEY: Refusal = Refusal::new(400, "Bad Request", "Sec-WebSocket-Key is not 16 bytes in base64");
const WRONG_SUBPROTOCOL: Refusal =
    Refusal::new(400, "Bad Request", "no offered subprotocol is known: offer mqtt in Sec-WebSocket-Protocol");
const WRONG_ORIGIN: Refusal = Refusal::new(403, "Forbidden", "pages of this origin may not connect");
const WRONG_PATH: Refusal = Refusal::new(404, "Not Found", "MQTT over WebSocket is at another path");
const WRONG_METHOD: Refusal = Refusal {
    header: "Allow: GET\r\n",
    ..Refusal::new(405, "Method Not Allowed", "WebSocket begins with a GET")
};
const NO_UPGRADE: Refusal = Refusal {
    header: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    ..Refusal::new(
        426,
        "Upgrade Required",
        "this is an MQTT broker: connect with an MQTT client over WebSocket",
    )
};
const WRONG_VERSION: Refusal = Refusal {
    header: "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    ..Refusal::new(426, "Upgrade Required", "only version 13 of WebSocket is spoken here")
};
const TOO_LARGE: Refusal =
    Refusal::new(431, "Request Header Fields Too Large", "the request is larger than 8,192 bytes");
const TOO_MANY: Refusal =
    Refusal::new(431, "Request Header Fields Too Large", "the request has more than 64 header lines");
const WRONG_HTTP: Refusal =
    Refusal::new(505, "HTTP Version Not Supported", "only HTTP/1.1 can be upgraded to WebSocket here");
