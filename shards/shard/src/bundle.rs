//! Publications that one shard has for another, and what else it has to be told of them in that order, one behind the other in one block of memory.
//!
//! Few blocks cross from core to core, however many messages do: each would be allocated on one core and freed on another. A message
//! in a bundle is a copy, and becomes a `Message` where somebody has to keep it.

use mqtt::{PacketId, QoS, Received};

use crate::{
    Handshake, Instant, ShardId,
    message::{Parts, RetainedId},
    store::entry::SessionId,
};

/// What `push` was given, in that order.
#[derive(Clone, Default)]
pub struct Bundle {
    /// At the beginning the time at which it was begun: beside the bytes it would make every slot of a ring larger.
    bytes: Vec<u8>,
}

/// A publication on its way to another shard, or a word about one.
#[derive(Debug, Clone, Copy)]
pub struct Bundled<'a> {
    pub errand: Errand,
    pub parts: Parts<'a>,
    /// Its number among the retained messages that the sender mailed to the shard of its topic.
    pub number: Option<u64>,
    /// Of a QoS 2 publication that others may have to know again.
    pub handshake: Option<Handshake>,
    /// As it came from its publisher, where that is a form for receivers. Topic and payload lie within.
    pub received: Option<Received<'a>>,
    /// The client id of whoever published what is to be retained, or was not. Empty: no client has, or nobody asks.
    pub author: &'a str,
}

/// What the other shard is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// Deliver it to its own subscribers, never onward.
    Deliver,
    /// Put it into the retained store, of which it is the home. An empty payload clears.
    Retain,
    /// Count it as lost, for its author: it is not retained. The payload is the cause alone.
    NotRetained,
    /// Forget the handshake: its publisher has released the publication, which may be stored there. There is no message.
    Release,
    /// The same for all handshakes of its session, which has ended.
    ReleaseAll,
}

impl Bundle {
    pub fn new(begun_at: Instant, capacity_bytes: usize) -> Bundle {
        let mut bytes = Vec::with_capacity(capacity_bytes.max(BEGUN_BYTES));
        bytes.extend_from_slice(&begun_at.as_nanos().to_le_bytes());
        Bundle { bytes }
    }

    pub fn begun_at(&self) -> Instant {
        let begun_at = self.bytes.first_chunk().copied().map(u64::from_le_bytes);
        begun_at.map_or(Instant::START, Instant::from_nanos)
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= BEGUN_BYTES
    }

    /// Whether this publication may join. One that is too large for every bundle travels alone.
    #[inline]
    pub fn has_room_for(&self, publication: &Bundled<'_>) -> bool {
        self.bytes.len().max(BEGUN_BYTES) + publication.size_max() <= BUNDLE_BYTES_MAX
    }

    pub fn push(&mut self, publication: &Bundled<'_>) {
        assert!(self.has_room_for(publication), "who does not fit travels alone");
        if self.bytes.is_empty() {
            *self = Bundle::new(Instant::START, 0);
        }
        let Bundled { errand, parts, number, handshake, received, author } = publication;
        let (split, body_len) = match received {
            Some(received) => (received.topic_end(), received.len()),
            None => (parts.forwarded.len(), parts.topic.len() + parts.forwarded.len() + parts.payload.len()),
        };
        let head = Head {
            body_len: narrow(body_len),
            topic_len: narrow(parts.topic.len()),
            split: narrow(split),
            errand: *errand as u8,
            flags: if handshake.is_some() { KNOWN } else { parts.qos as u8 }
                | flag(RETAIN, parts.retain)
                | flag(EXPIRES, parts.expires_at.is_some())
                | flag(RETAINED_ID, parts.retained_id.is_some())
                | flag(NUMBER, number.is_some())
                | flag(RECEIVED, received.is_some())
                | flag(PROPERTIES, received.is_some_and(|received| received.has_properties())),
        };
        self.bytes.extend_from_slice(&head.to_bytes());
        let expires_at = parts.expires_at.map(Instant::as_nanos);
        let retained_id = parts.retained_id.map(RetainedId::get);
        for word in [expires_at, retained_id, *number].into_iter().flatten() {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        if let Some(Handshake { home, session, packet_id }) = handshake {
            assert!(parts.qos != QoS::AtMostOnce || *errand == Errand::ReleaseAll, "nobody stores it");
            self.bytes.extend_from_slice(&session.0.to_le_bytes());
            self.bytes.extend_from_slice(&packet_id.get().to_le_bytes());
            self.bytes.extend_from_slice(&[home.0, parts.qos as u8]);
        }
        if errand.has_author() {
            self.bytes.extend_from_slice(&narrow(author.len()).to_le_bytes());
            self.bytes.extend_from_slice(author.as_bytes());
        }
        match received {
            Some(received) => self.bytes.extend_from_slice(received.bytes()),
            None => {
                for piece in [parts.topic.as_bytes(), parts.forwarded, parts.payload] {
                    self.bytes.extend_from_slice(piece);
                }
            }
        }
    }

    /// Takes the publications out one by one: each is read from `at` on, which goes to the next. `expected` is a topic
    /// that this one may have: then it needs no check, and the topic that is given back is `expected` itself.
    pub(crate) fn next<'a>(&'a self, at: &mut usize, expected: Option<&'a str>) -> Option<Bundled<'a>> {
        let (head, mut rest) = self.bytes.get((*at).max(BEGUN_BYTES)..)?.split_first_chunk::<HEAD_BYTES>()?;
        let Head { body_len, topic_len, split, errand, flags } = Head::from_bytes(*head);
        let mut word = |bit: u8| {
            (flags & bit != 0).then(|| {
                let (word, behind) = rest.split_first_chunk().expect("its flag is set");
                rest = behind;
                u64::from_le_bytes(*word)
            })
        };
        let (expires_at, retained_id, number) = (word(EXPIRES), word(RETAINED_ID), word(NUMBER));
        let (mut handshake, mut qos) = (None, flags & QOS);
        if qos == KNOWN {
            let ([a, b, c, d, e, f, g, h, i, j, home, known_qos], behind) =
                rest.split_first_chunk::<HANDSHAKE_BYTES>().expect("its flag is set");
            rest = behind;
            let packet_id =
                PacketId::new(u16::from_le_bytes([*i, *j])).expect("it was one when it was put in");
            let session = SessionId(u64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]));
            (handshake, qos) = (Some(Handshake { home: ShardId(*home), session, packet_id }), *known_qos);
        }
        let errand = Errand::of(errand);
        let mut author = "";
        if errand.has_author() {
            let (len, behind) = rest.split_first_chunk().expect("its errand has an author");
            let (name, behind) = behind.split_at(usize::from(u16::from_le_bytes(*len)));
            author = std::str::from_utf8(name).expect("it was a string when it was put in");
            rest = behind;
        }
        let body = &rest[..usize::from(body_len)];
        let (topic_len, split) = (usize::from(topic_len), usize::from(split));
        let qos = QoS::try_from(qos).expect("the bits are a QoS");
        let (topic, forwarded, payload, received) = if flags & RECEIVED != 0 {
            let received = Received::again(body, qos, flags & PROPERTIES != 0, split);
            (&body[split - topic_len..split], &[][..], received.payload(), Some(received))
        } else {
            let (topic, rest) = body.split_at(topic_len);
            let (forwarded, payload) = rest.split_at(split);
            (topic, forwarded, payload, None)
        };
        *at = self.bytes.len() - (rest.len() - body.len());
        let topic = match expected {
            Some(expected) if expected.as_bytes() == topic => expected,
            _ => std::str::from_utf8(topic).expect("the topic was a string when it was put in"),
        };
        let retain = flags & RETAIN != 0;
        let expires_at = expires_at.map(Instant::from_nanos);
        let retained_id = retained_id.and_then(RetainedId::again);
        let parts = Parts { topic, qos, retain, expires_at, retained_id, forwarded, payload };
        Some(Bundled { errand, parts, number, handshake, received, author })
    }

    pub fn iter(&self) -> impl Iterator<Item = Bundled<'_>> {
        let mut at = 0;
        std::iter::from_fn(move || self.next(&mut at, None))
    }
}

impl std::fmt::Debug for Bundle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter().map(|publication| publication.parts)).finish()
    }
}

impl Errand {
    fn of(byte: u8) -> Errand {
        let all = [Errand::Deliver, Errand::Retain, Errand::NotRetained, Errand::Release, Errand::ReleaseAll];
        all[usize::from(byte)]
    }

    fn has_author(self) -> bool {
        matches!(self, Errand::Retain | Errand::NotRetained)
    }
}

impl<'a> Bundled<'a> {
    /// What has nothing but its errand and these parts.
    pub fn new(errand: Errand, parts: Parts<'a>) -> Bundled<'a> {
        Bundled { errand, parts, number: None, handshake: None, received: None, author: "" }
    }

    /// For the retained store.
    pub fn to_retain(author: &'a str, parts: Parts<'a>) -> Bundled<'a> {
        Bundled { author, ..Bundled::new(Errand::Retain, parts) }
    }

    /// `cause` is one byte.
    pub fn not_retained(author: &'a str, topic: &'a str, cause: &'a [u8; 1]) -> Bundled<'a> {
        let parts = Parts { topic, payload: cause, ..Parts::NONE };
        Bundled { author, ..Bundled::new(Errand::NotRetained, parts) }
    }

    /// The handshake is over, at which other publications may begin.
    pub fn release(handshake: Handshake) -> Bundled<'a> {
        let parts = Parts { qos: QoS::ExactlyOnce, ..Parts::NONE };
        let handshake = Some(handshake);
        Bundled { handshake, ..Bundled::new(Errand::Release, parts) }
    }

    /// All handshakes of a session are over.
    pub fn release_all(home: ShardId, session: SessionId) -> Bundled<'a> {
        let handshake = Some(Handshake { home, session, packet_id: PacketId::MIN });
        Bundled { handshake, ..Bundled::new(Errand::ReleaseAll, Parts::NONE) }
    }

    /// What it takes in a bundle, at most.
    #[inline]
    fn size_max(&self) -> usize {
        let body = match self.received {
            Some(received) => received.len(),
            None => self.parts.topic.len() + self.parts.forwarded.len() + self.parts.payload.len(),
        };
        let author = if self.errand.has_author() { size_of::<u16>() + self.author.len() } else { 0 };
        HEAD_BYTES + WORDS_BYTES + author + body
    }

    /// May be dropped, and counted, when the ring is full.
    pub fn is_droppable(&self) -> bool {
        self.errand == Errand::Deliver && self.parts.qos == QoS::AtMostOnce
    }
}

struct Head {
    body_len: u16,
    topic_len: u16,
    /// Where the topic ends in a received packet, or else the length of the forwarded properties.
    split: u16,
    errand: u8,
    flags: u8,
}

impl Head {
    fn to_bytes(&self) -> [u8; HEAD_BYTES] {
        let ([a, b], [c, d], [e, f]) =
            (self.body_len.to_le_bytes(), self.topic_len.to_le_bytes(), self.split.to_le_bytes());
        [a, b, c, d, e, f, self.errand, self.flags]
    }

    fn from_bytes([a, b, c, d, e, f, errand, flags]: [u8; HEAD_BYTES]) -> Head {
        let [body_len, topic_len, split] = [[a, b], [c, d], [e, f]].map(u16::from_le_bytes);
        Head { body_len, topic_len, split, errand, flags }
    }
}

fn flag(bit: u8, is_set: bool) -> u8 {
    if is_set { bit } else { 0 }
}

fn narrow(len: usize) -> u16 {
    u16::try_from(len).expect("a bundle is smaller than 64 KiB")
}

/// Enough messages that the block itself costs little, and so few bytes that a ring full of bundles is bounded.
pub const BUNDLE_BYTES_MAX: usize = 8 << 10;

const BEGUN_BYTES: usize = size_of::<u64>();
const HEAD_BYTES: usize = 8;
const HANDSHAKE_BYTES: usize = 12;
const WORDS_BYTES: usize = 3 * size_of::<u64>() + HANDSHAKE_BYTES;

const QOS: u8 = 0b11;
/// The handshake stands before the body, and with it the QoS.
const KNOWN: u8 = 0b11;
const RETAIN: u8 = 1 << 2;
const EXPIRES: u8 = 1 << 3;
const RETAINED_ID: u8 = 1 << 4;
const NUMBER: u8 = 1 << 5;
const RECEIVED: u8 = 1 << 6;
const PROPERTIES: u8 = 1 << 7;

const _: () = assert!(BUNDLE_BYTES_MAX <= u16::MAX as usize, "lengths inside have 16 bits");

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mqtt::{PacketId, Publish, PublishProperties, Version};

    use super::*;

    fn parts<'a>(topic: &'a str, payload: &'a [u8]) -> Parts<'a> {
        Parts {
            topic,
            qos: QoS::AtLeastOnce,
            retain: true,
            expires_at: Some(Instant::from_nanos(7)),
            retained_id: Some(RetainedId::new(7, 9)),
            forwarded: &[1, 1],
            payload,
        }
    }

    fn encode(topic: &str, version: Version, qos: QoS, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
        let properties = PublishProperties::default();
        let publish = Publish { dup: false, qos, retain: false, topic, packet_id, properties, payload };
        publish.encode(version, &mut bytes);
        bytes
    }

    #[test]
    fn a_bundle_knows_when_it_was_begun() {
        let publication = Bundled::new(Errand::Deliver, parts("a", b"x"));
        let mut bundle = Bundle::new(Instant::from_nanos(7), 0);
        assert!(bundle.is_empty() && bundle.iter().next().is_none());
        bundle.push(&publication);
        assert_eq!((bundle.begun_at(), bundle.iter().count()), (Instant::from_nanos(7), 1));
        let mut other = Bundle::default();
        assert!(other.is_empty() && other.iter().next().is_none());
        other.push(&publication);
        assert_eq!((other.begun_at(), other.iter().count()), (Instant::START, 1));
    }

    #[test]
    fn publications_come_out_as_they_went_in() {
        let all = parts("a/b", b"payload");
        let plain =
            Parts { retain: false, expires_at: None, retained_id: None, forwarded: &[], ..parts("", b"") };
        let mut bundle = Bundle::default();
        let known = [QoS::AtLeastOnce, QoS::ExactlyOnce].map(|qos| Parts { qos, ..plain });
        let handshake =
            Some(Handshake { home: ShardId(3), session: SessionId(u64::MAX - 1), packet_id: PacketId::MAX });
        bundle.push(&Bundled { number: Some(3), ..Bundled::new(Errand::Deliver, all) });
        for parts in known {
            bundle.push(&Bundled { handshake, ..Bundled::new(Errand::Deliver, parts) });
        }
        bundle.push(&Bundled::new(Errand::Deliver, plain));
        let found: Vec<_> = bundle
            .iter()
            .map(|found| (format!("{:?}", found.parts), found.number, found.handshake))
            .collect();
        let expected = [
            (format!("{all:?}"), Some(3), None),
            (format!("{:?}", known[0]), None, handshake),
            (format!("{:?}", known[1]), None, handshake),
            (format!("{plain:?}"), None, None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn errands_come_out_as_they_went_in() {
        let handshake =
            Handshake { home: ShardId(3), session: SessionId(u64::MAX - 1), packet_id: PacketId::MAX };
        let mut bundle = Bundle::default();
        let retained = Parts { qos: QoS::AtMostOnce, ..parts("a/b", b"payload") };
        bundle.push(&Bundled::to_retain("an author", retained));
        bundle.push(&Bundled::release(handshake));
        bundle.push(&Bundled::not_retained("another", "a/b", &[7]));
        bundle.push(&Bundled::release_all(ShardId(3), SessionId(7)));
        let found: Vec<_> = bundle.iter().collect();
        assert!(found.iter().all(|bundled| !bundled.is_droppable()));
        assert_eq!((found[0].errand, found[0].author), (Errand::Retain, "an author"));
        assert_eq!(format!("{:?}", found[0].parts), format!("{retained:?}"));
        assert_eq!((found[1].errand, found[1].handshake), (Errand::Release, Some(handshake)));
        assert_eq!((found[2].errand, found[2].author), (Errand::NotRetained, "another"));
        assert_eq!((found[2].parts.topic, found[2].parts.payload), ("a/b", &[7][..]));
        let gone = found[3].handshake.map(|handshake| (handshake.home, handshake.session));
        assert_eq!((found[3].errand, gone), (Errand::ReleaseAll, Some((ShardId(3), SessionId(7)))));
    }

    #[test]
    fn received_packets_come_out_as_they_went_in() {
        for version in [Version::V311, Version::V5] {
            for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                for payload_len in [0, 5, 200] {
                    let payload = vec![b'x'; payload_len];
                    let bytes = encode("some/topic", version, qos, &payload);
                    let frame = mqtt::split(&bytes, mqtt::MAX_PACKET_SIZE).unwrap().unwrap();
                    let publish = Publish::decode(&frame, version).unwrap();
                    let received = Received::of(&frame, &publish, version).unwrap();
                    let plain =
                        Parts { retain: false, expires_at: None, retained_id: None, ..parts("", b"") };
                    let parts =
                        Parts { topic: "some/topic", qos, forwarded: &[], payload: &payload, ..plain };
                    let mut bundle = Bundle::default();
                    bundle
                        .push(&Bundled { received: Some(received), ..Bundled::new(Errand::Deliver, parts) });
                    bundle.push(&Bundled::new(Errand::Deliver, parts));
                    let (mut at, expected) = (0, String::from("some/topic"));
                    for topic in [None, Some(&*expected)] {
                        let found = bundle.next(&mut at, topic).unwrap();
                        assert_eq!(format!("{:?}", found.parts), format!("{parts:?}"));
                        assert_eq!(found.received.is_some(), topic.is_none());
                        let mut out = Vec::new();
                        let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
                        if let Some(received) = found.received {
                            received.encode(packet_id, &mut out);
                            assert_eq!(out, bytes);
                        }
                    }
                    assert!(bundle.next(&mut at, None).is_none());
                }
            }
        }
    }

    #[test]
    fn a_bundle_is_bounded() {
        let publication =
            Bundled { number: Some(1), ..Bundled::new(Errand::Deliver, parts("a", &[0; 1000])) };
        let mut bundle = Bundle::default();
        let mut count = 0;
        while bundle.has_room_for(&publication) {
            bundle.push(&publication);
            count += 1;
        }
        assert!(bundle.len() <= BUNDLE_BYTES_MAX);
        assert_eq!((count, bundle.iter().count()), (7, 7));
        let large = Bundled::new(Errand::Deliver, parts("a", &[0; BUNDLE_BYTES_MAX]));
        assert!(!Bundle::default().has_room_for(&large));
        let author = "a".repeat(BUNDLE_BYTES_MAX);
        assert!(!Bundle::default().has_room_for(&Bundled::to_retain(&author, parts("a", b"x"))));
    }
}
