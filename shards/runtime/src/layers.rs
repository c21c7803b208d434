//! What lies between a socket and MQTT on one connection. Bytes in, bytes out: nothing here waits or knows a socket.
//!
//! From the outside in: the header of a proxy, TLS, a WebSocket. Which of them there are is said by the door, or, at a door for
//! everything, by the first bytes. All that the layers themselves say, and all that the shard says through them, is
//! appended to one output, which leaves in order. A plain connection has no layers.

mod failure;
mod tls;

use std::net::{IpAddr, SocketAddr};

use shard::{Instant, NotOpened, Outgoing, Spare};
use transport::{Answer, Close, CloseCode, Head, Kind, Side, Socket, proxy};

use crate::door::{Door, Speech};
use tls::{Streams, Tls};

pub(crate) struct Layers {
    outside: Outside,
    /// Boxed: a connection with nothing but a WebSocket does not pay for its size.
    tls: Option<Box<Tls>>,
    inside: Inside,
    /// As it came: the beginning of a header or a record.
    sealed: Vec<u8>,
    /// Out of TLS: the beginning of a request, or of whatever it will turn out to be.
    opened: Vec<u8>,
    /// For the socket. None while nothing is said: an idle connection keeps no memory for it.
    pub output: Option<Box<Outgoing>>,
    /// What the shard sends and is in `output` or under way. It goes back when the socket has taken everything.
    pub of_shard: Option<Box<Outgoing>>,
    /// What came out and the shard may not have yet.
    pub held: Vec<u8>,
    /// Came from the socket and waits for its turn: whatever comes before MQTT may take a while.
    pub due: Vec<u8>,
    /// Where the client is, when somebody in between is trusted to say so.
    pub source: Option<SocketAddr>,
    /// A proxy stands between, or a page from elsewhere: where the peer is says nothing of where the client is.
    pub is_relayed: bool,
    /// A proxy that is trusted has not said that it comes for somebody else.
    pub is_for_itself: bool,
    /// Of a proxy's connection: it counts among those of the listener.
    pub is_counted: bool,
    /// When the connection was accepted.
    pub since: Instant,
    /// The peer has ended its WebSocket, or broken the rules of it.
    farewell: Option<Box<Farewell>>,
}

/// How it ends once the shard has had everything that came before.
struct Farewell {
    refusal: Refusal,
    /// It did not end in order.
    is_violation: bool,
    /// What the WebSocket says to it.
    words: Vec<u8>,
}

/// What is expected before TLS or in its place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outside {
    /// The header of a proxy. At a door for everything it need not come.
    Proxy,
    /// Whatever the first bytes say.
    Unknown,
    /// Nothing more: what comes is sealed if there is TLS, and open otherwise.
    Passed,
}

/// What is expected within TLS, or where there is none.
enum Inside {
    Unknown,
    Upgrade,
    WebSocket(Socket),
    Mqtt,
}

/// Why a connection ends before its peer has said anything that is MQTT, or in the middle of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub why: NotOpened,
    pub what: String,
}

/// Where a connection comes in, and from where.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub door: &'a Door,
    /// None for who comes by a socket in the file system.
    pub peer: Option<IpAddr>,
}

/// Memory that one call needs and the next can use again: one for all connections of a shard.
#[derive(Default)]
pub(crate) struct Scratch {
    /// What came out of the layers.
    pub plain: Vec<u8>,
    /// What came from the socket.
    pub received: Vec<u8>,
    /// What came out of TLS and goes into the next layer.
    opened: Vec<u8>,
    /// What one layer says, on its way through the others.
    said: Vec<u8>,
    /// For the output of the next connection that says something.
    pub spare: Spare,
}

impl Layers {
    pub fn new(at: At<'_>) -> Result<Layers, Refusal> {
        let At { door, peer } = at;
        let outside = match (&door.proxies, door.speech) {
            (None, Speech::Any) => Outside::Unknown,
            (None, _) => Outside::Passed,
            // A proxy on this machine may come by a socket in the file system.
            (Some(trusted), speech) => match peer {
                Some(peer) if !trusted.iter().any(|prefix| prefix.contains(peer)) => {
                    // At a door for everything the others come without a header.
                    if speech != Speech::Any {
                        let what = format!("{peer} is no proxy that may connect here");
                        return Err(Refusal { why: NotOpened::Proxy, what });
                    }
                    Outside::Unknown
                }
                _ => Outside::Proxy,
            },
        };
        let mut layers = Layers {
            outside,
            tls: None,
            inside: Inside::of(door.speech),
            sealed: Vec::new(),
            opened: Vec::new(),
            output: None,
            of_shard: None,
            held: Vec::new(),
            due: Vec::new(),
            source: None,
            is_relayed: false,
            is_for_itself: false,
            is_counted: false,
            since: Instant::START,
            farewell: None,
        };
        if outside != Outside::Unknown && door.speech != Speech::Any {
            layers.begin_tls(door)?;
        }
        Ok(layers)
    }

    /// Takes bytes of the socket; what is MQTT in them is appended to `scratch.plain`. After a refusal `output` holds what the
    /// peer is to be told of it, and then it is over. That of a WebSocket waits for `leave`.
    ///
    /// Records are opened where they are, so that nothing is left in `bytes` that means anything.
    pub fn receive(&mut self, bytes: &mut [u8], at: At<'_>, scratch: &mut Scratch) -> Result<(), Refusal> {
        if self.is_leaving() {
            return Ok(());
        }
        let answers = self.output_bytes();
        let result = self.take(bytes, at, scratch);
        if result.is_ok()
            && self.output_bytes() > answers
            && self.output_bytes() > OUTPUT_BYTES_MAX + self.of_shard_bytes()
        {
            return Err(Refusal::new(NotOpened::Unknown, "the peer makes us answer and does not read"));
        }
        result
    }

    fn take(&mut self, bytes: &mut [u8], at: At<'_>, scratch: &mut Scratch) -> Result<(), Refusal> {
        if self.outside != Outside::Passed {
            self.sealed.extend_from_slice(bytes);
            if !self.pass_outside(at.door)? {
                return Ok(());
            }
            let mut bytes = std::mem::take(&mut self.sealed);
            return self.unseal(&mut bytes, at, scratch);
        }
        self.unseal(bytes, at, scratch)
    }

    /// What comes before TLS. Says whether it is over.
    fn pass_outside(&mut self, door: &Door) -> Result<bool, Refusal> {
        if self.outside == Outside::Proxy && door.speech == Speech::Any {
            let Some(kind) = transport::tell(&self.sealed) else { return Ok(false) };
            if kind != Ok(Kind::Proxy) {
                // It may have forgotten its header: its clients are not on its machine.
                (self.is_for_itself, self.is_relayed) = (true, true);
                self.outside = Outside::Unknown;
            }
        }
        if self.outside == Outside::Proxy {
            let header = proxy::decode(&self.sealed)
                .map_err(|fault| Refusal { why: NotOpened::Proxy, what: fault.to_string() })?;
            let Some(header) = header else { return Ok(false) };
            (self.source, self.is_relayed) = (header.source, true);
            self.sealed.drain(..header.size);
            self.outside = if door.speech == Speech::Any { Outside::Unknown } else { Outside::Passed };
        }
        if self.outside == Outside::Unknown {
            if self.sealed.is_empty() {
                return Ok(false);
            }
            let Some(kind) = transport::tell(&self.sealed) else { return Ok(false) };
            match kind {
                Ok(Kind::Tls) => self.begin_tls(door)?,
                Ok(Kind::Mqtt) => self.inside = Inside::Mqtt,
                Ok(Kind::Http) => self.inside = Inside::Upgrade,
                Ok(Kind::Proxy) if self.is_relayed => {
                    return Err(Refusal::new(NotOpened::Proxy, SECOND_HEADER));
                }
                Ok(Kind::Proxy) => return Err(Refusal::new(NotOpened::Proxy, STRANGE_HEADER)),
                Err(strange) => {
                    return Err(Refusal { why: NotOpened::Unknown, what: strange.to_string() });
                }
            }
            self.outside = Outside::Passed;
        }
        Ok(true)
    }

    fn begin_tls(&mut self, door: &Door) -> Result<(), Refusal> {
        match &door.tls {
            Some(config) => self.tls = Some(Box::new(Tls::new(config).map_err(Refusal::of_tls)?)),
            None if self.outside == Outside::Unknown => {
                return Err(Refusal::new(NotOpened::Tls, "this listener has no certificate for TLS"));
            }
            None => {}
        }
        Ok(())
    }

    fn unseal(&mut self, bytes: &mut [u8], at: At<'_>, scratch: &mut Scratch) -> Result<(), Refusal> {
        if self.tls.is_none() {
            return self.enter(bytes, at, scratch);
        }
        if let Inside::Mqtt = self.inside {
            let Scratch { plain, spare, .. } = scratch;
            return self.open_records(bytes, plain, spare);
        }
        let mut opened = std::mem::take(&mut scratch.opened);
        opened.clear();
        let mut result = self.open_records(bytes, &mut opened, &mut scratch.spare);
        if result.is_ok() && !opened.is_empty() {
            result = self.enter(&opened, at, scratch);
        }
        opened.shrink_to(SCRATCH_BYTES_KEPT);
        scratch.opened = opened;
        result
    }

    /// Appends to `opened` what the records hold that are whole now.
    fn open_records(
        &mut self,
        bytes: &mut [u8],
        opened: &mut Vec<u8>,
        spare: &mut Spare,
    ) -> Result<(), Refusal> {
        let output = &mut self.output.get_or_insert_with(|| spare.outgoing()).bytes;
        let tls = self.tls.as_mut().expect("the caller looked");
        let mut streams = Streams { opened, output };
        let result = if self.sealed.is_empty() {
            let (taken, result) = tls.open(bytes, &mut streams);
            // Nothing, unless a record is in pieces.
            self.sealed.extend_from_slice(&bytes[taken..]);
            result
        } else {
            self.sealed.extend_from_slice(bytes);
            let (taken, result) = tls.open(&mut self.sealed, &mut streams);
            discard(&mut self.sealed, taken);
            result
        };
        result.map_err(Refusal::of_tls)?;
        if self.sealed.len() > SEALED_BYTES_MAX {
            return Err(Refusal::new(NotOpened::Tls, "TLS: a handshake message is too long"));
        }
        Ok(())
    }

    /// What is within TLS, or comes as it is.
    fn enter(&mut self, bytes: &[u8], at: At<'_>, scratch: &mut Scratch) -> Result<(), Refusal> {
        match &mut self.inside {
            Inside::Mqtt => scratch.plain.extend_from_slice(bytes),
            Inside::WebSocket(_) => return self.unframe(bytes, scratch),
            Inside::Unknown | Inside::Upgrade => {
                self.opened.extend_from_slice(bytes);
                if matches!(self.inside, Inside::Unknown) && !self.tell_inside()? {
                    return Ok(());
                }
                if matches!(self.inside, Inside::Upgrade) && !self.upgrade(at, scratch)? {
                    return Ok(());
                }
                let opened = std::mem::take(&mut self.opened);
                if !opened.is_empty() {
                    return self.enter(&opened, at, scratch);
                }
            }
        }
        Ok(())
    }

    /// Says whether the first bytes were enough.
    fn tell_inside(&mut self) -> Result<bool, Refusal> {
        self.inside = match transport::tell(&self.opened) {
            None => return Ok(false),
            Some(Ok(Kind::Mqtt)) => Inside::Mqtt,
            Some(Ok(Kind::Http)) => Inside::Upgrade,
            Some(Ok(_)) => {
                return Err(Refusal::new(NotOpened::Unknown, "TLS within TLS, or a proxy within it"));
            }
            Some(Err(strange)) => {
                return Err(Refusal { why: NotOpened::Unknown, what: strange.to_string() });
            }
        };
        Ok(true)
    }

    /// Says whether the request was there, and good.
    fn upgrade(&mut self, at: At<'_>, scratch: &mut Scratch) -> Result<bool, Refusal> {
        let client = self.source.map(|source| source.ip()).or(at.peer);
        match at.door.websocket.answer(&self.opened, client) {
            None => Ok(false),
            Some(Answer::Accept(accepted)) => {
                self.say(&accepted.response, scratch)?;
                self.opened.drain(..accepted.size);
                self.is_relayed |= accepted.is_relayed;
                if let Some(address) = accepted.forwarded_for {
                    self.source = Some(SocketAddr::new(address, 0));
                }
                self.inside = Inside::WebSocket(Socket::new(Side::Server));
                Ok(true)
            }
            Some(Answer::Refuse(turned)) => {
                self.say(&turned.response, scratch)?;
                let what = format!("WebSocket: answered with {}: {}", turned.status, turned.what);
                Err(Refusal { why: NotOpened::WebSocket, what })
            }
        }
    }

    fn unframe(&mut self, bytes: &[u8], scratch: &mut Scratch) -> Result<(), Refusal> {
        let Inside::WebSocket(socket) = &mut self.inside else { unreachable!("the caller looked") };
        let mut said = std::mem::take(&mut scratch.said);
        said.clear();
        let result = socket.receive(bytes, &mut scratch.plain, &mut said);
        if let Err(close) = result {
            // A DISCONNECT and the close of the WebSocket come together, and both count. Behind our close nothing may be
            // said, and the shard may have answers.
            let refusal = Refusal { why: NotOpened::WebSocket, what: close.to_string() };
            let is_violation = matches!(close, Close::Violation { .. });
            self.farewell = Some(Box::new(Farewell { refusal, is_violation, words: said }));
            return Ok(());
        }
        if !said.is_empty() {
            self.say(&said, scratch)?;
        }
        scratch.said = said;
        Ok(())
    }

    /// Nothing more is taken from the socket.
    pub fn is_leaving(&self) -> bool {
        self.farewell.is_some()
    }

    /// The shard has had what came before the end: says the last words, why it is one, and whether by a violation.
    pub fn leave(&mut self, scratch: &mut Scratch) -> Option<(Refusal, bool)> {
        let Farewell { refusal, is_violation, words } = *self.farewell.take()?;
        // Whoever cannot be told any more is not told.
        let _ = self.say(&words, scratch);
        Some((refusal, is_violation))
    }

    /// Says whether MQTT can come, so that the shard can be told of the connection.
    pub fn is_established(&self) -> bool {
        self.outside == Outside::Passed
            && self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
            && matches!(self.inside, Inside::Mqtt | Inside::WebSocket(_))
    }

    /// Appends what the shard sends to the output.
    pub fn send(&mut self, outgoing: Box<Outgoing>, scratch: &mut Scratch) -> Result<(), Refusal> {
        assert!(self.of_shard.is_none(), "one send is under way per connection");
        let head = matches!(self.inside, Inside::WebSocket(_)).then(|| Head::binary(outgoing.len()));
        let result = match (outgoing.as_contiguous(), head) {
            (Some(bytes), None) => self.say(bytes, scratch),
            (_, head) if self.tls.is_none() => {
                let output = &mut self.output.get_or_insert_with(|| scratch.spare.outgoing()).bytes;
                output.extend_from_slice(head.as_ref().map_or(&[], Head::as_bytes));
                outgoing.slices().for_each(|slice| output.extend_from_slice(slice));
                Ok(())
            }
            (_, head) => {
                // One record for all of it, where there is TLS.
                let mut said = std::mem::take(&mut scratch.said);
                said.clear();
                said.extend_from_slice(head.as_ref().map_or(&[], Head::as_bytes));
                outgoing.slices().for_each(|slice| said.extend_from_slice(slice));
                let result = self.say(&said, scratch);
                said.shrink_to(SCRATCH_BYTES_KEPT);
                scratch.said = said;
                result
            }
        };
        self.of_shard = Some(outgoing);
        result
    }

    /// Nothing more will be sent.
    pub fn finish(&mut self, scratch: &mut Scratch) {
        if let Inside::WebSocket(_) = self.inside {
            let mut said = Vec::new();
            Socket::put_close(Side::Server, CloseCode::NORMAL, "", &mut said);
            // Whoever cannot be told any more is not told.
            let _ = self.say(&said, scratch);
        }
        let Scratch { opened, spare, .. } = scratch;
        let output = &mut self.output.get_or_insert_with(|| spare.outgoing()).bytes;
        if let Some(tls) = &mut self.tls {
            tls.finish(&mut self.sealed, &mut Streams { opened, output });
        }
    }

    /// What waits here, in whichever layer.
    #[cfg(any(test, feature = "fuzz"))]
    pub fn bytes_held(&self) -> usize {
        let held = [&self.sealed, &self.opened, &self.held, &self.due];
        let output = self.output.as_ref().map_or(0, |output| output.capacity());
        output + held.iter().map(|bytes| bytes.capacity()).sum::<usize>()
    }

    /// The client's certificate, where TLS asked for one and it is good.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.tls.as_ref().and_then(|tls| tls.certificate())
    }

    /// Through TLS, if there is any, to the output.
    fn say(&mut self, bytes: &[u8], scratch: &mut Scratch) -> Result<(), Refusal> {
        let Scratch { opened, spare, .. } = scratch;
        let output = &mut self.output.get_or_insert_with(|| spare.outgoing()).bytes;
        let Some(tls) = &mut self.tls else {
            output.extend_from_slice(bytes);
            return Ok(());
        };
        let (taken, result) = tls.seal(bytes, &mut self.sealed, &mut Streams { opened, output });
        discard(&mut self.sealed, taken);
        result.map_err(Refusal::of_tls)
    }

    fn output_bytes(&self) -> usize {
        self.output.as_ref().map_or(0, |output| output.len())
    }

    fn of_shard_bytes(&self) -> usize {
        self.of_shard.as_ref().map_or(0, |outgoing| outgoing.len() * 2)
    }
}

impl Inside {
    fn of(speech: Speech) -> Inside {
        match speech {
            Speech::Mqtt => Inside::Mqtt,
            Speech::WebSocket => Inside::Upgrade,
            Speech::Any => Inside::Unknown,
        }
    }
}

impl Refusal {
    fn new(why: NotOpened, what: &str) -> Refusal {
        Refusal { why, what: what.to_owned() }
    }

    fn of_tls(error: rustls::Error) -> Refusal {
        Refusal { why: NotOpened::Tls, what: format!("TLS: {}", failure::words(&error)) }
    }
}

/// Takes bytes from the front. An idle connection keeps no memory for what may come.
fn discard(sealed: &mut Vec<u8>, taken: usize) {
    if taken == sealed.len() {
        *sealed = Vec::new();
    } else {
        sealed.drain(..taken);
    }
}

/// The longest handshake message with its records' headers; a record is shorter.
const SEALED_BYTES_MAX: usize = 80 << 10;

/// A peer that does not read has no claim on more answers of the layers than these.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// From who may not say where a client comes from.
const STRANGE_HEADER: &str = "a PROXY header came from an address that may not send one: add it to proxy_protocol_from of this listener, or have its \
                              sender leave the header out";

/// From a proxy before the one that may.
const SECOND_HEADER: &str = "a second PROXY header came behind the first, where MQTT, TLS or HTTP was expected: have only one proxy on the way send one";

/// More than that is not kept for the next connection's message.
const SCRATCH_BYTES_KEPT: usize = 256 << 10;
