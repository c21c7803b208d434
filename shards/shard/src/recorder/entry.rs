//! One packet as a recorder keeps it: two words, made from what is at hand when the packet goes by.

use mqtt::{PacketId, PacketKind, QoS};

use super::{Detail, Direction, Recorded};
use crate::Instant;

/// Of a fixed size that two stores fill. All zeros is no packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Nanoseconds; the lowest bits make way for the place of the topic.
    at_and_place: u64,
    /// From the lowest bit on: bytes of the packet, whether its reason is not on the wire, whether it never went out, direction, packet id, first byte, and the reason code of an acknowledgement or
    /// the number of filters.
    packet: u64,
}

impl Entry {
    /// `first`: its first byte.
    #[inline(always)]
    pub fn publish(
        direction: Direction,
        at: Instant,
        bytes: usize,
        packet_id: Option<PacketId>,
        first: u8,
    ) -> Entry {
        let packet_id = packet_id.map_or(0, std::num::NonZero::get);
        Entry::new(direction, at, bytes, first, packet_id, 0)
    }

    /// Any other packet, as it is on the wire.
    #[inline(always)]
    pub fn other(direction: Direction, at: Instant, bytes: &[u8]) -> Entry {
        match *bytes {
            // Most are acknowledgements in their shortest form.
            [first, _, high, low] if has_packet_id(first >> 4) => {
                Entry::new(direction, at, 4, first, u16::from_be_bytes([high, low]), 0)
            }
            _ => Entry::longer(direction, at, bytes),
        }
    }

    #[cold]
    fn longer(direction: Direction, at: Instant, bytes: &[u8]) -> Entry {
        let first = bytes.first().copied().unwrap_or(0);
        if !has_packet_id(first >> 4) {
            return Entry::new(direction, at, bytes.len(), first, 0, 0);
        }
        // None of these is so long that its length takes more than one byte, but for those with many filters.
        let body = 1 + bytes[1..].iter().take(4).position(|byte| byte & 0x80 == 0).map_or(4, |at| at + 1);
        let byte = |at: usize| bytes.get(body + at).copied().unwrap_or(0);
        let reason = if is_acknowledgement(first >> 4) { byte(2) } else { 0 };
        Entry::new(direction, at, bytes.len(), first, u16::from_be_bytes([byte(0), byte(1)]), reason)
    }

    #[inline(always)]
    fn new(direction: Direction, at: Instant, bytes: usize, first: u8, packet_id: u16, reason: u8) -> Entry {
        let bytes = bytes as u64;
        debug_assert!(bytes <= BYTES_MAX, "a packet is not that large");
        let packet = bytes
            | (direction as u64) << DIRECTION_BIT
            | u64::from(packet_id) << PACKET_ID_BIT
            | u64::from(first) << FIRST_BIT
            | u64::from(reason) << REASON_BIT;
        Entry { at_and_place: at.as_nanos() & !PLACE_MASK, packet }
    }

    /// Of a SUBSCRIBE or UNSUBSCRIBE with so many filters, the first of which is at the place.
    pub fn with_filters(self, count: usize, place: u16) -> Entry {
        debug_assert!(self.has_filters(), "others have none");
        let at_and_place = self.at_and_place & !PLACE_MASK | u64::from(place);
        Entry { at_and_place, packet: self.packet | u64::from(count.min(255) as u8) << REASON_BIT }
    }

    fn has_filters(&self) -> bool {
        matches!(self.kind(), Some(PacketKind::Subscribe | PacketKind::Unsubscribe))
    }

    /// At its place is a topic, or a filter, of its own.
    pub fn is_named(&self) -> bool {
        match self.kind() {
            Some(PacketKind::Publish) => true,
            _ => self.has_filters() && self.packet >> REASON_BIT != 0,
        }
    }

    /// The recorder knows the topic by its place. A packet that has none is at any.
    #[inline(always)]
    pub fn at_place(mut self, place: u16) -> Entry {
        self.at_and_place |= u64::from(place);
        self
    }

    pub fn is_sent(&self) -> bool {
        self.kind().is_some() && self.packet >> DIRECTION_BIT & 1 == Direction::Sent as u64
    }

    /// It went out later than it was made.
    pub fn leave(&mut self, at: Instant) {
        self.at_and_place = at.as_nanos() & !PLACE_MASK | self.at_and_place & PLACE_MASK;
    }

    /// It never went out.
    pub fn give_up(&mut self) {
        self.packet |= 1 << UNSENT_BIT;
    }

    /// It acknowledges a PUBLISH that was refused for this reason, which its version has no room for.
    pub fn leave_unsaid(&mut self, reason: u8) {
        self.packet |= 1 << UNSAID_BIT | u64::from(reason) << REASON_BIT;
    }

    /// We have answered a PUBLISH with it.
    pub fn answers(&self, packet_id: PacketId) -> bool {
        matches!(self.kind(), Some(PacketKind::Puback | PacketKind::Pubrec))
            && self.is_sent()
            && self.packet_id() == packet_id.get()
    }

    fn packet_id(&self) -> u16 {
        (self.packet >> PACKET_ID_BIT) as u16
    }

    pub fn is_unsent(&self) -> bool {
        self.packet >> UNSENT_BIT & 1 != 0
    }

    pub fn place(&self) -> u16 {
        (self.at_and_place & PLACE_MASK) as u16
    }

    fn first(&self) -> u8 {
        (self.packet >> FIRST_BIT) as u8
    }

    /// None: no packet.
    pub fn kind(&self) -> Option<PacketKind> {
        PacketKind::from_u8(self.first() >> 4)
    }

    /// Part of being connected and no more.
    pub fn is_idle_talk(&self) -> bool {
        matches!(self.kind(), Some(PacketKind::Connack | PacketKind::Pingreq | PacketKind::Pingresp))
    }

    fn detail(&self, kind: PacketKind) -> Detail {
        let first = self.first();
        match kind {
            PacketKind::Publish => Detail::Publish {
                qos: QoS::try_from(first >> 1 & 3).unwrap_or(QoS::AtMostOnce),
                dup: first & 8 != 0,
                retain: first & 1 != 0,
            },
            _ if is_acknowledgement(kind as u8) => {
                let reason = (self.packet >> REASON_BIT) as u8;
                let is_said = self.packet >> UNSAID_BIT & 1 == 0;
                if is_said { Detail::Reason(reason) } else { Detail::Unsaid(reason) }
            }
            _ if self.is_named() => Detail::Filters { count: (self.packet >> REASON_BIT) as u8 },
            _ => Detail::Nothing,
        }
    }

    pub fn recorded(&self, now: Instant, topic: &str) -> Option<Recorded> {
        let kind = self.kind()?;
        let is_received = self.packet >> DIRECTION_BIT & 1 == Direction::Received as u64;
        Some(Recorded {
            ago: now.since(Instant::from_nanos(self.at_and_place & !PLACE_MASK)),
            latency: None,
            direction: if is_received { Direction::Received } else { Direction::Sent },
            kind,
            is_unsent: self.is_unsent(),
            bytes: (self.packet & BYTES_MAX) as u32,
            packet_id: self.packet_id(),
            detail: self.detail(kind),
            topic: topic.into(),
        })
    }
}

fn has_packet_id(kind: u8) -> bool {
    (PacketKind::Puback as u8..=PacketKind::Unsuback as u8).contains(&kind)
}

fn is_acknowledgement(kind: u8) -> bool {
    (PacketKind::Puback as u8..=PacketKind::Pubcomp as u8).contains(&kind)
}

/// As many places as a recorder can have entries; what is left tells times apart by a microsecond.
const PLACE_MASK: u64 = (1 << 10) - 1;
const BYTES_MAX: u64 = (1 << UNSAID_BIT) - 1;
const UNSAID_BIT: u32 = 29;
const UNSENT_BIT: u32 = 30;
const DIRECTION_BIT: u32 = 31;
const PACKET_ID_BIT: u32 = 32;
const FIRST_BIT: u32 = 48;
const REASON_BIT: u32 = 56;

/// A recorder has at most so many entries.
pub(crate) const ENTRIES_MAX: u16 = PLACE_MASK as u16 + 1;

const _: () = assert!(size_of::<Entry>() == 16);
const _: () = assert!(mqtt::MAX_PACKET_SIZE as u64 <= BYTES_MAX, "the largest packet has room");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_from_their_bytes() {
        let seen = |bytes: &[u8]| {
            Entry::other(Direction::Received, Instant::START, bytes)
                .recorded(Instant::START, "")
                .expect("it has a kind")
        };
        let puback = seen(&[0x40, 3, 1, 2, 0x87]);
        assert_eq!((puback.kind, puback.packet_id), (PacketKind::Puback, 0x102));
        assert_eq!((puback.detail, puback.bytes), (Detail::Reason(0x87), 5));
        let pubrel = seen(&[0x62, 2, 1, 3]);
        assert_eq!((pubrel.kind, pubrel.packet_id, pubrel.bytes), (PacketKind::Pubrel, 0x103, 4));
        assert_eq!(pubrel.detail, Detail::Reason(0));
        let mut subscribe = vec![0x82, 0x80, 0x01, 0, 7];
        subscribe.resize(131, 0);
        let subscribe = seen(&subscribe);
        assert_eq!((subscribe.kind, subscribe.packet_id), (PacketKind::Subscribe, 7));
        assert_eq!(subscribe.detail, Detail::Nothing);
        assert_eq!(seen(&[0xE0, 0]).packet_id, 0);
        assert_eq!(seen(&[0xE0, 2, 1, 2]).packet_id, 0, "a DISCONNECT with a reason has none");
        assert_eq!(seen(&[0x40]).packet_id, 0, "cut short");
    }

    #[test]
    fn a_publish_keeps_its_flags_and_its_time_within_a_microsecond() {
        let at = Instant::from_nanos(5_000_001_999);
        let id = PacketId::new(9);
        let bytes = mqtt::MAX_PACKET_SIZE as usize;
        let entry = Entry::publish(Direction::Sent, at, bytes, id, 0x3D).at_place(ENTRIES_MAX - 1);
        let recorded = entry.recorded(Instant::from_nanos(8_000_001_999), "a/b").expect("it has a kind");
        assert_eq!(recorded.detail, Detail::Publish { qos: QoS::ExactlyOnce, dup: true, retain: true });
        assert_eq!((&*recorded.topic, recorded.packet_id), ("a/b", 9));
        assert_eq!((recorded.bytes as usize, recorded.direction), (bytes, Direction::Sent));
        assert_eq!((recorded.ago.as_micros() / 2, entry.place()), (1_500_000, ENTRIES_MAX - 1));
    }

    #[test]
    fn an_acknowledgement_keeps_the_reason_that_it_could_not_say() {
        let id = PacketId::new(0x102).expect("it is not 0");
        let mut puback = Entry::other(Direction::Sent, Instant::START, &[0x40, 2, 1, 2]);
        assert!(puback.answers(id));
        puback.leave_unsaid(0x87);
        let recorded = puback.recorded(Instant::START, "").expect("it has a kind");
        assert_eq!((recorded.detail, recorded.bytes, recorded.packet_id), (Detail::Unsaid(0x87), 4, 0x102));
        assert_eq!((recorded.is_unsent, recorded.direction), (false, Direction::Sent));
        let of_client = Entry::other(Direction::Received, Instant::START, &[0x40, 2, 1, 2]);
        let another = Entry::other(Direction::Sent, Instant::START, &[0x40, 2, 1, 3]);
        let other_kind = Entry::other(Direction::Sent, Instant::START, &[0x62, 2, 1, 2]);
        assert!([of_client, another, other_kind].iter().all(|entry| !entry.answers(id)));
    }

    #[test]
    fn what_is_no_entry_is_no_packet() {
        assert_eq!(Entry::default().recorded(Instant::START, ""), None);
    }
}
