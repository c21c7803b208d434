//! What lies between a socket and MQTT on one connection. Bytes in, bytes out: nothing here waits or knows a socket.
//!
//! A plain connection has no layers. All that the layers themselves say, and all that the shard says through them, is
//! appended to one output, which leaves in order.

mod tls;

use shard::{NotOpened, Outgoing};

use crate::door::Door;
use tls::{Streams, Tls};

pub(crate) struct Layers {
    tls: Option<Tls>,
    /// Received, and not understood yet: the beginning of a record.
    sealed: Vec<u8>,
    /// For the socket.
    pub output: Vec<u8>,
    /// What the shard sends and is in `output` or under way. It goes back when the socket has taken everything.
    pub of_shard: Option<Box<Outgoing>>,
    /// What came out and the shard may not have yet.
    pub held: Vec<u8>,
    /// Has something to do that may take a while, and waits for its turn.
    pub is_due: bool,
}

/// Why a connection ends before its peer has said anything that is MQTT, or in the middle of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub why: NotOpened,
    pub what: String,
}

/// Memory that one call needs and the next can use again: one for all connections of a shard.
#[derive(Default)]
pub(crate) struct Scratch {
    /// What came out of the layers.
    pub plain: Vec<u8>,
    /// What the shard said, in one piece.
    gathered: Vec<u8>,
}

impl Layers {
    pub fn new(door: &Door) -> Result<Layers, Refusal> {
        let tls = door.tls.as_ref().map(Tls::new).transpose().map_err(Refusal::of_tls)?;
        Ok(Layers {
            tls,
            sealed: Vec::new(),
            output: Vec::new(),
            of_shard: None,
            held: Vec::new(),
            is_due: false,
        })
    }

    /// Takes bytes of the socket; what is MQTT in them is appended to `scratch.plain`. After a refusal `output` holds what the
    /// peer is to be told of it, and then it is over.
    pub fn receive(&mut self, bytes: &[u8], scratch: &mut Scratch) -> Result<(), Refusal> {
        let Some(tls) = &mut self.tls else {
            scratch.plain.extend_from_slice(bytes);
            return Ok(());
        };
        self.sealed.extend_from_slice(bytes);
        let mut streams =
            Streams { sealed: &mut self.sealed, opened: &mut scratch.plain, output: &mut self.output };
        tls.open(&mut streams).map_err(Refusal::of_tls)?;
        if self.sealed.len() > SEALED_BYTES_MAX {
            return Err(Refusal::new(NotOpened::Tls, "TLS: a handshake message is too long"));
        }
        if self.output.len() > OUTPUT_BYTES_MAX && self.of_shard.is_none() {
            return Err(Refusal::new(NotOpened::Tls, "the peer makes us answer and does not read"));
        }
        Ok(())
    }

    /// Says whether MQTT can come, so that the shard can be told of the connection.
    pub fn is_established(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Keeps bytes of the socket until `receive`.
    pub fn collect(&mut self, bytes: &[u8]) {
        self.sealed.extend_from_slice(bytes);
    }

    /// Appends what the shard sends to the output.
    pub fn send(&mut self, outgoing: Box<Outgoing>, scratch: &mut Scratch) -> Result<(), Refusal> {
        assert!(self.of_shard.is_none(), "one send is under way per connection");
        let bytes = match outgoing.as_contiguous() {
            Some(bytes) => bytes,
            None => {
                scratch.gathered.clear();
                outgoing.slices().for_each(|slice| scratch.gathered.extend_from_slice(slice));
                &scratch.gathered
            }
        };
        let result = match &mut self.tls {
            Some(tls) => {
                let mut streams = Streams {
                    sealed: &mut self.sealed,
                    opened: &mut scratch.plain,
                    output: &mut self.output,
                };
                tls.seal(bytes, &mut streams).map_err(Refusal::of_tls)
            }
            None => {
                self.output.extend_from_slice(bytes);
                Ok(())
            }
        };
        scratch.gathered.shrink_to(GATHERED_BYTES_KEPT);
        self.of_shard = Some(outgoing);
        result
    }

    /// Nothing more will be sent.
    pub fn finish(&mut self, scratch: &mut Scratch) {
        if let Some(tls) = &mut self.tls {
            let mut streams =
                Streams { sealed: &mut self.sealed, opened: &mut scratch.plain, output: &mut self.output };
            tls.finish(&mut streams);
        }
    }

    /// The client's certificate, where TLS asked for one and it is good.
    pub fn certificate(&self) -> Option<&[u8]> {
        self.tls.as_ref().and_then(Tls::certificate)
    }
}

impl Refusal {
    fn new(why: NotOpened, what: &str) -> Refusal {
        Refusal { why, what: what.to_owned() }
    }

    fn of_tls(error: rustls::Error) -> Refusal {
        Refusal { why: NotOpened::Tls, what: format!("TLS: {error}") }
    }
}

/// The longest handshake message with its records' headers; a record is shorter.
const SEALED_BYTES_MAX: usize = 80 << 10;

/// A peer that does not read has no claim on more answers of the layers than these.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// More than that is not kept for the next message of many parts.
const GATHERED_BYTES_KEPT: usize = 256 << 10;
