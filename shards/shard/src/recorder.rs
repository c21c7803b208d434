//! The last packets of a client, with their sizes and times: always on, so that who asks what just happened is answered.
//!
//! Written with every packet and read by nobody but an operator: an entry is one short copy, and the ring of an idle client
//! does not exist, that of a quiet one is small.

use std::time::Duration;

use mqtt::{PacketKind, QoS};

use crate::Instant;

/// One packet as it is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub ago: Duration,
    pub direction: Direction,
    pub kind: PacketKind,
    /// Of the whole packet.
    pub bytes: u32,
    /// 0: none.
    pub packet_id: u16,
    /// What it says in its first byte, or its reason code.
    pub detail: Detail,
    /// Of a PUBLISH. The middle of a long one is left out, and an ellipsis stands there.
    pub topic: Box<str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    Received,
    Sent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    Publish {
        qos: QoS,
        dup: bool,
        retain: bool,
    },
    /// Of an acknowledgement.
    Reason(u8),
    Nothing,
}

/// How much a session has said and heard, and its last packets.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub traffic: Traffic,
    /// Grows up to what the configuration says; then the oldest entry gives way.
    ring: Vec<Entry>,
    next: u16,
}

/// Since the session was made, or since the broker was started.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    pub packets_received: u64,
    pub bytes_received: u64,
    pub packets_sent: u64,
    pub bytes_sent: u64,
}

/// Of fixed size, so that nothing is allocated for a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    at: Instant,
    bytes: u32,
    packet_id: u16,
    /// The packet type in the upper half, as on the wire; of a PUBLISH its flags in the lower one.
    first: u8,
    /// Of an acknowledgement.
    reason: u8,
    direction: Direction,
    topic_len: u8,
    topic: [u8; TOPIC_BYTES_MAX],
}

impl Entry {
    pub fn publish(
        direction: Direction,
        at: Instant,
        bytes: usize,
        packet_id: Option<mqtt::PacketId>,
        flags: u8,
        topic: &str,
    ) -> Entry {
        let first = (PacketKind::Publish as u8) << 4 | flags;
        let packet_id = packet_id.map_or(0, std::num::NonZero::get);
        let mut entry = Entry { packet_id, ..Entry::new(direction, at, bytes, first) };
        entry.set_topic(topic.as_bytes());
        entry
    }

    /// Any other packet, as it is on the wire.
    pub fn other(direction: Direction, at: Instant, bytes: &[u8]) -> Entry {
        let first = bytes.first().copied().unwrap_or(0);
        let mut entry = Entry::new(direction, at, bytes.len(), first);
        if has_packet_id(first >> 4) {
            // None of these is so long that its length takes more than one byte, but for those with many filters.
            let body = 1 + bytes[1..].iter().take(4).position(|byte| byte & 0x80 == 0).map_or(4, |at| at + 1);
            let byte = |at: usize| bytes.get(body + at).copied().unwrap_or(0);
            entry.packet_id = u16::from_be_bytes([byte(0), byte(1)]);
            entry.reason = if is_acknowledgement(first >> 4) { byte(2) } else { 0 };
        }
        entry
    }

    fn new(direction: Direction, at: Instant, bytes: usize, first: u8) -> Entry {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let topic = [0; TOPIC_BYTES_MAX];
        Entry { at, bytes, packet_id: 0, first, reason: 0, direction, topic_len: 0, topic }
    }

    /// Of a long topic the ends tell most.
    fn set_topic(&mut self, topic: &[u8]) {
        self.topic_len = topic.len().min(TOPIC_BYTES_MAX + 1) as u8;
        if topic.len() <= TOPIC_BYTES_MAX {
            self.topic[..topic.len()].copy_from_slice(topic);
        } else {
            let (head, tail) = self.topic.split_at_mut(TOPIC_HEAD_BYTES);
            head.copy_from_slice(&topic[..TOPIC_HEAD_BYTES]);
            tail.copy_from_slice(&topic[topic.len() - tail.len()..]);
        }
    }

    fn topic(&self) -> Box<str> {
        match self.topic.get(..usize::from(self.topic_len)) {
            Some(topic) => String::from_utf8_lossy(topic).into(),
            None => {
                let (head, tail) = self.topic.split_at(TOPIC_HEAD_BYTES);
                let is_whole = |text: &&char| **text != char::REPLACEMENT_CHARACTER;
                // A character that was cut in two is left out.
                let whole = |bytes: &[u8]| {
                    let text: Vec<char> = String::from_utf8_lossy(bytes).chars().collect();
                    text.iter().filter(is_whole).collect::<String>()
                };
                format!("{}…{}", whole(head), whole(tail)).into()
            }
        }
    }

    /// Part of being connected and no more.
    pub fn is_idle_talk(&self) -> bool {
        let kinds = [PacketKind::Connack, PacketKind::Pingreq, PacketKind::Pingresp];
        kinds.iter().any(|kind| *kind as u8 == self.first >> 4)
    }

    fn detail(&self) -> Detail {
        match self.first >> 4 {
            kind if kind == PacketKind::Publish as u8 => Detail::Publish {
                qos: QoS::try_from(self.first >> 1 & 3).unwrap_or(QoS::AtMostOnce),
                dup: self.first & 8 != 0,
                retain: self.first & 1 != 0,
            },
            kind if is_acknowledgement(kind) => Detail::Reason(self.reason),
            _ => Detail::Nothing,
        }
    }

    pub fn recorded(&self, now: Instant) -> Option<Recorded> {
        Some(Recorded {
            ago: now.since(self.at),
            direction: self.direction,
            kind: PacketKind::from_u8(self.first >> 4)?,
            bytes: self.bytes,
            packet_id: self.packet_id,
            detail: self.detail(),
            topic: self.topic(),
        })
    }
}

impl Recorder {
    pub fn push(&mut self, entry: Entry, most: u16) {
        let bytes = u64::from(entry.bytes);
        match entry.direction {
            Direction::Received => {
                self.traffic.packets_received += 1;
                self.traffic.bytes_received += bytes;
            }
            Direction::Sent => {
                self.traffic.packets_sent += 1;
                self.traffic.bytes_sent += bytes;
            }
        }
        let at = usize::from(self.next);
        if at < self.ring.len() {
            self.ring[at] = entry;
        } else {
            if self.ring.len() == self.ring.capacity() {
                let more = self.ring.len().max(FIRST_ENTRIES).min(usize::from(most) - self.ring.len());
                self.ring.reserve_exact(more);
            }
            self.ring.push(entry);
        }
        self.next = if at + 1 >= usize::from(most) { 0 } else { self.next + 1 };
    }

    /// The oldest first.
    pub fn entries(&self, now: Instant) -> impl Iterator<Item = Recorded> {
        let (newer, older) = self.ring.split_at(usize::from(self.next).min(self.ring.len()));
        older.iter().chain(newer).filter_map(move |entry| entry.recorded(now))
    }
}

/// As [`Recorded`] has it.
pub(crate) fn shown(topic: &str) -> Box<str> {
    Entry::publish(Direction::Sent, Instant::START, 0, None, 0, topic).topic()
}

fn has_packet_id(kind: u8) -> bool {
    (PacketKind::Puback as u8..=PacketKind::Unsuback as u8).contains(&kind)
}

fn is_acknowledgement(kind: u8) -> bool {
    (PacketKind::Puback as u8..=PacketKind::Pubcomp as u8).contains(&kind)
}

/// What is remembered of a topic. With it an entry has 56 bytes.
const TOPIC_BYTES_MAX: usize = 38;
/// Of a longer topic: so much from its beginning, the rest from its end.
const TOPIC_HEAD_BYTES: usize = 16;

/// A client that has said only a little keeps only a little.
const FIRST_ENTRIES: usize = 4;

const _: () = assert!(size_of::<Entry>() == 56);

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(recorder: &Recorder) -> Vec<String> {
        recorder.entries(Instant::START).map(|entry| entry.topic.into_string()).collect()
    }

    #[test]
    fn the_oldest_gives_way_and_the_sums_go_on() {
        let mut recorder = Recorder::default();
        for n in 0..11_u64 {
            let entry =
                Entry::publish(Direction::Sent, Instant::from_nanos(n), 10, None, 0b0011, &format!("t{n}"));
            recorder.push(entry, 6);
        }
        assert_eq!(topics(&recorder), ["t5", "t6", "t7", "t8", "t9", "t10"]);
        assert_eq!((recorder.traffic.packets_sent, recorder.traffic.bytes_sent), (11, 110));
        assert_eq!(recorder.ring.capacity(), 6, "no more than asked for");
    }

    #[test]
    fn a_client_that_says_little_keeps_little() {
        let mut recorder = Recorder::default();
        recorder.push(Entry::other(Direction::Received, Instant::START, &[0xC0, 0]), 64);
        assert_eq!(recorder.ring.capacity(), FIRST_ENTRIES);
    }

    #[test]
    fn packets_are_told_from_their_bytes() {
        let seen = |bytes: &[u8]| {
            Entry::other(Direction::Received, Instant::START, bytes)
                .recorded(Instant::START)
                .expect("it has a kind")
        };
        let puback = seen(&[0x40, 3, 1, 2, 0x87]);
        assert_eq!((puback.kind, puback.packet_id), (PacketKind::Puback, 0x102));
        assert_eq!((puback.detail, puback.bytes), (Detail::Reason(0x87), 5));
        let mut subscribe = vec![0x82, 0x80, 0x01, 0, 7];
        subscribe.resize(131, 0);
        let subscribe = seen(&subscribe);
        assert_eq!((subscribe.kind, subscribe.packet_id), (PacketKind::Subscribe, 7));
        assert_eq!(subscribe.detail, Detail::Nothing);
        assert_eq!(seen(&[0xE0, 0]).packet_id, 0);
        assert_eq!(seen(&[0x40]).packet_id, 0, "cut short");
    }

    #[test]
    fn a_publish_keeps_its_flags_and_of_a_long_topic_the_ends() {
        let topic = format!("building/{}/temperature", "ä".repeat(40));
        let id = mqtt::PacketId::new(9);
        let entry = Entry::publish(Direction::Received, Instant::START, 99, id, 0b1101, &topic)
            .recorded(Instant::START)
            .expect("it has a kind");
        assert_eq!(entry.detail, Detail::Publish { qos: QoS::ExactlyOnce, dup: true, retain: true });
        assert_eq!((&*entry.topic, entry.packet_id), ("building/äää…äääää/temperature", 9));
        let whole = "a".repeat(TOPIC_BYTES_MAX);
        let entry = Entry::publish(Direction::Received, Instant::START, 1, None, 0, &whole)
            .recorded(Instant::START)
            .expect("it has a kind");
        assert_eq!(*entry.topic, *whole);
    }
}
