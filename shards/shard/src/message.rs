//! An application message as the broker keeps it: one reference-counted block, however many queues hold it.

use std::{fmt, num::NonZeroU64};

use mqtt::QoS;
use triomphe::ThinArc;

use crate::{Instant, store::bodies::BodyId};

/// Topic, forwarded properties and payload stand behind the header in one allocation; a clone is one increment.
#[derive(Clone)]
pub struct Message(ThinArc<Header, u8>);

#[derive(Clone, Copy)]
struct Header {
    expires_at: Option<Instant>,
    retained_id: Option<RetainedId>,
    /// Under which the store of the shard that made it knows it.
    body: BodyId,
    forwarded_len: u32,
    topic_len: u16,
    qos: QoS,
    retain: bool,
}

/// Tells a message that may come live and from a retained store from all others, and says who published it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainedId(NonZeroU64);

impl RetainedId {
    /// `publisher` is a hash of the client id. A count that comes round again after four billion messages does no harm.
    pub fn new(publisher: u32, count: u64) -> RetainedId {
        let low = (count & u64::from(u32::MAX)).max(1);
        RetainedId(NonZeroU64::new(u64::from(publisher) << 32 | low).expect("the count is not zero"))
    }

    /// `None`: no id has this value.
    pub(crate) fn again(value: u64) -> Option<RetainedId> {
        NonZeroU64::new(value).map(RetainedId)
    }

    pub(crate) fn get(self) -> u64 {
        self.0.get()
    }

    pub fn publisher(self) -> u32 {
        (self.0.get() >> 32) as u32
    }
}

/// The parts of a message on its way into the broker.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    pub topic: &'a str,
    pub qos: QoS,
    /// As the publisher set it.
    pub retain: bool,
    pub expires_at: Option<Instant>,
    /// Of a message that goes to a retained store.
    pub retained_id: Option<RetainedId>,
    /// Properties that travel with the message unaltered, in wire form.
    pub forwarded: &'a [u8],
    pub payload: &'a [u8],
}

impl Parts<'_> {
    /// Of what is no message.
    pub(crate) const NONE: Parts<'static> = Parts {
        topic: "",
        qos: QoS::AtMostOnce,
        retain: false,
        expires_at: None,
        retained_id: None,
        forwarded: &[],
        payload: &[],
    };
}

impl Message {
    pub fn new(parts: &Parts<'_>) -> Message {
        Message::with_body(parts, BodyId::NONE)
    }

    pub(crate) fn with_body(parts: &Parts<'_>, body: BodyId) -> Message {
        let header = Header {
            expires_at: parts.expires_at,
            retained_id: parts.retained_id,
            body,
            forwarded_len: u32::try_from(parts.forwarded.len())
                .expect("a property block is shorter than a packet"),
            topic_len: u16::try_from(parts.topic.len()).expect("a topic has a 16-bit length on the wire"),
            qos: parts.qos,
            retain: parts.retain,
        };
        let pieces = [parts.topic.as_bytes(), parts.forwarded, parts.payload];
        let len = pieces.iter().map(|piece| piece.len()).sum();
        // Zeroed first, then filled: the block is allocated once at its full size, without unsafe code.
        let mut block = ThinArc::from_header_and_iter(header, std::iter::repeat_n(0, len));
        block.with_arc_mut(|block| {
            let mut rest =
                triomphe::Arc::get_mut(block).expect("nobody else has seen the block yet").slice_mut();
            for piece in pieces {
                let (target, behind) = rest.split_at_mut(piece.len());
                target.copy_from_slice(piece);
                rest = behind;
            }
        });
        Message(block)
    }

    pub fn parts(&self) -> Parts<'_> {
        Parts {
            topic: self.topic(),
            qos: self.qos(),
            retain: self.retain(),
            expires_at: self.expires_at(),
            retained_id: self.retained_id(),
            forwarded: self.forwarded(),
            payload: self.payload(),
        }
    }

    /// Checks the whole topic: what only compares or hashes it asks for its bytes.
    pub fn topic(&self) -> &str {
        std::str::from_utf8(self.topic_bytes()).expect("the topic was a string when the message was made")
    }

    pub fn topic_bytes(&self) -> &[u8] {
        &self.0.slice[..self.topic_len()]
    }

    pub fn forwarded(&self) -> &[u8] {
        &self.0.slice[self.topic_len()..self.payload_at()]
    }

    pub fn payload(&self) -> &[u8] {
        &self.0.slice[self.payload_at()..]
    }

    pub fn qos(&self) -> QoS {
        self.0.header.header.qos
    }

    pub fn retain(&self) -> bool {
        self.0.header.header.retain
    }

    pub fn expires_at(&self) -> Option<Instant> {
        self.0.header.header.expires_at
    }

    pub fn retained_id(&self) -> Option<RetainedId> {
        self.0.header.header.retained_id
    }

    pub fn is_expired(&self, now: Instant) -> bool {
        self.expires_at().is_some_and(|at| at <= now)
    }

    pub(crate) fn body(&self) -> BodyId {
        self.0.header.header.body
    }

    /// Topic, forwarded properties and payload.
    pub(crate) fn bytes(&self) -> usize {
        self.0.slice.len()
    }

    /// What this message weighs in a budget.
    pub fn weight(&self) -> usize {
        self.0.slice.len() + OVERHEAD
    }

    fn topic_len(&self) -> usize {
        usize::from(self.0.header.header.topic_len)
    }

    fn payload_at(&self) -> usize {
        self.topic_len() + self.0.header.header.forwarded_len as usize
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("topic", &self.topic())
            .field("qos", &self.qos())
            .field("retain", &self.retain())
            .field("payload_bytes", &self.payload().len())
            .finish()
    }
}

/// Header, reference count, length and the allocator's own share.
const OVERHEAD: usize = size_of::<Header>() + 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_gives_back_its_parts() {
        let parts = Parts {
            topic: "a/b",
            qos: QoS::AtLeastOnce,
            retain: true,
            expires_at: Some(Instant::from_nanos(7)),
            retained_id: Some(RetainedId::new(7, 9)),
            forwarded: &[1, 1],
            payload: b"payload",
        };
        let message = Message::new(&parts);
        let again = message.clone();
        assert_eq!(again.topic(), "a/b");
        assert_eq!(again.forwarded(), &[1, 1]);
        assert_eq!(again.payload(), b"payload");
        assert_eq!(again.qos(), QoS::AtLeastOnce);
        assert!(again.retain());
        assert!(again.is_expired(Instant::from_nanos(7)));
        assert!(!again.is_expired(Instant::from_nanos(6)));
        assert_eq!(again.retained_id().map(RetainedId::publisher), Some(7));
        assert_eq!(again.weight(), 12 + OVERHEAD);
    }
}
