//! Taps: somebody looks on while packets come and go. A tap is a ring with limits that is asked again and again; a reader who is
//! slow loses packets and is told how many, one who is gone loses the tap. A shard without taps pays one look at a flag for each
//! packet.

use core::net::{IpAddr, SocketAddr};
use std::{collections::VecDeque, sync::Arc, time::Duration};

use mqtt::{PacketId, PacketKind, Version};

use crate::{
    ConnId, Detail, Direction, Instant, Recorded, TopicCount, connection::Connections, filters::overlap,
    recorder::Entry,
};

/// An order about one tap, whose number whoever orders has chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TapOrder {
    /// Without effect where there are too many already.
    Begin {
        tap: u64,
        filter: TapFilter,
    },
    /// Begins one that counts the messages that clients publish, and takes no packets. Without effect where there are too many already.
    Count {
        tap: u64,
        /// Those on topics that match, and no others.
        topic_filter: Option<Box<str>>,
    },
    /// What has come since it was read last.
    Read {
        tap: u64,
    },
    End {
        tap: u64,
    },
}

/// Which packets. What is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TapFilter {
    /// The whole client id.
    pub client_id: Option<Box<str>>,
    /// PUBLISH packets whose topic matches, SUBSCRIBE and UNSUBSCRIBE with a filter that matches a topic which this one matches as well,
    /// and no others.
    pub topic_filter: Option<Box<str>>,
    /// Clients that come from there.
    pub address: Option<IpAddr>,
    /// The bytes of the packets as well.
    pub wants_bytes: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TapRead {
    /// False: there is no such tap, or none any more.
    pub is_there: bool,
    pub packets: Vec<Tapped>,
    /// Each topic once, in no order.
    pub counts: Vec<TopicCount>,
    /// Packets, or messages that were counted on no topic, since it was read last, for want of room.
    pub dropped: u64,
    /// More is there to be read.
    pub has_more: bool,
}

/// A packet that went by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    pub conn: ConnId,
    /// None: it came by a socket in the file system.
    pub address: Option<SocketAddr>,
    pub client_id: Arc<str>,
    pub version: Version,
    /// With the whole topic, or the whole first filter.
    pub packet: Recorded,
    /// As on the wire, the first `RAW_BYTES_MAX`. Empty: they were not asked for.
    pub bytes: Box<[u8]>,
}

/// A packet as it goes by.
pub(crate) struct Passing<'a> {
    pub conn: ConnId,
    pub client_id: &'a Arc<str>,
    pub version: Version,
    pub direction: Direction,
    pub topic: &'a str,
    /// Of a SUBSCRIBE or UNSUBSCRIBE.
    pub filters: &'a [&'a str],
    /// In pieces that follow each other.
    pub bytes: [&'a [u8]; 2],
}

/// All taps of a shard. There is at least one.
#[derive(Default)]
pub(crate) struct Taps(Vec<Tap>);

struct Tap {
    number: u64,
    filter: TapFilter,
    ring: VecDeque<Held>,
    /// Those at the end of the ring whose addresses nobody has told yet.
    unnamed: usize,
    /// Where only one address is wanted.
    origins: Option<Origins>,
    /// Of all in the ring.
    ring_bytes: usize,
    dropped: u64,
    read_at: Instant,
}

/// Which connections come from the wanted address, as far as it was looked up.
#[derive(Default)]
struct Origins {
    /// By slot: the generation, and whether it comes from there.
    known: Vec<Option<(u32, bool)>>,
    /// Connections that were there before the tap are looked up from this slot on.
    next_slot: usize,
    /// Whose packets had no room while nobody knew whether they are wanted.
    left_out: Vec<ConnId>,
}

struct Held {
    at: Instant,
    tapped: Tapped,
}

impl Taps {
    pub fn begin(&mut self, number: u64, filter: TapFilter, now: Instant) {
        if self.0.len() < TAPS_MAX && !self.0.iter().any(|tap| tap.number == number) {
            self.0.push(Tap::new(number, filter, now));
        }
    }

    pub fn end(&mut self, number: u64) {
        self.0.retain(|tap| tap.number != number);
    }

    /// Those that nobody reads.
    pub fn end_unread(&mut self, now: Instant) {
        self.0.retain(|tap| now.since(tap.read_at) < UNREAD_MAX);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn read(&mut self, number: u64, now: Instant) -> TapRead {
        let tap = self.0.iter_mut().find(|tap| tap.number == number);
        tap.map_or_else(TapRead::default, |tap| tap.read(now))
    }

    /// Only what has its address is read.
    pub fn name(&mut self, connections: &Connections, address: &mut dyn FnMut(ConnId) -> Option<SocketAddr>) {
        for tap in &mut self.0 {
            tap.name(address);
            tap.look_up(connections, address);
        }
    }

    /// What went by last acknowledges a PUBLISH that was refused, and cannot say why.
    pub fn leave_last_unsaid(&mut self, conn: ConnId, packet_id: PacketId, reason: u8) {
        for last in self.0.iter_mut().filter_map(|tap| tap.ring.back_mut()) {
            let Tapped { conn: of, packet, .. } = &mut last.tapped;
            let is_answer = matches!(packet.kind, PacketKind::Puback | PacketKind::Pubrec);
            let is_sent = packet.direction == Direction::Sent;
            if *of == conn && is_answer && is_sent && packet.packet_id == packet_id.get() {
                packet.detail = Detail::Unsaid(reason);
            }
        }
    }

    pub fn take(&mut self, now: Instant, passing: &Passing<'_>) {
        for tap in self.0.iter_mut().filter(|tap| tap.filter.wants(passing)) {
            let wants_bytes = tap.filter.wants_bytes;
            let weight = passing.weight(wants_bytes);
            tap.take(now, passing.conn, weight, || passing.tapped(now, wants_bytes));
        }
    }
}

impl TapFilter {
    fn wants(&self, passing: &Passing<'_>) -> bool {
        let is_client = self.client_id.as_deref().is_none_or(|client_id| *client_id == **passing.client_id);
        is_client && self.topic_filter.as_deref().is_none_or(|filter| passing.is_about(filter))
    }

    fn wants_address(&self, address: Option<SocketAddr>) -> bool {
        self.address.is_none_or(|wanted| {
            address.is_some_and(|address| address.ip().to_canonical() == wanted.to_canonical())
        })
    }
}

impl Tap {
    fn new(number: u64, filter: TapFilter, now: Instant) -> Tap {
        let ring = VecDeque::new();
        let origins = filter.address.map(|_| Origins::default());
        Tap { number, filter, ring, unnamed: 0, origins, ring_bytes: 0, dropped: 0, read_at: now }
    }

    fn read(&mut self, now: Instant) -> TapRead {
        self.read_at = now;
        let (mut packets, mut bytes) = (Vec::new(), 0);
        while packets.len() < PACKETS_PER_READ
            && bytes < BYTES_PER_READ
            && self.ring.len() > self.unnamed
            && let Some(Held { at, mut tapped }) = self.ring.pop_front()
        {
            bytes += weight(&tapped);
            tapped.packet.ago = now.since(at);
            packets.push(tapped);
        }
        self.ring_bytes -= bytes;
        let dropped = std::mem::take(&mut self.dropped);
        TapRead { is_there: true, packets, counts: Vec::new(), dropped, has_more: !self.ring.is_empty() }
    }

    /// Those from elsewhere make way.
    fn name(&mut self, address: &mut dyn FnMut(ConnId) -> Option<SocketAddr>) {
        let named = self.ring.len() - std::mem::take(&mut self.unnamed);
        let mut kept = named;
        for at in named..self.ring.len() {
            let tapped = &mut self.ring[at].tapped;
            tapped.address = address(tapped.conn);
            let is_wanted = self.filter.wants_address(tapped.address);
            if let Some(origins) = &mut self.origins {
                origins.learn(tapped.conn, is_wanted);
            }
            if is_wanted {
                self.ring.swap(kept, at);
                kept += 1;
            } else {
                self.ring_bytes -= weight(tapped);
            }
        }
        self.ring.truncate(kept);
    }

    /// Goes on with the connections that were there before: so many at a time that nobody waits for it.
    fn look_up(&mut self, connections: &Connections, address: &mut dyn FnMut(ConnId) -> Option<SocketAddr>) {
        let Some(origins) = &mut self.origins else { return };
        for conn in std::mem::take(&mut origins.left_out) {
            let is_wanted = self.filter.wants_address(address(conn));
            self.dropped += u64::from(is_wanted);
            origins.learn(conn, is_wanted);
        }
        let end = (origins.next_slot + LOOKS_PER_TURN).min(connections.slots());
        for slot in std::mem::replace(&mut origins.next_slot, end)..end {
            if let Some(conn) = connections.connected_at(slot) {
                origins.learn(conn, self.filter.wants_address(address(conn)));
            }
        }
    }

    /// What has no room is not copied first. As long as nobody knows where it comes from, half of the room is not for it.
    fn take(&mut self, now: Instant, conn: ConnId, bytes: usize, tapped: impl FnOnce() -> Option<Tapped>) {
        let origin = self.origins.as_ref().map_or(Some(true), |origins| origins.of(conn));
        let divisor = match origin {
            Some(false) => return,
            Some(true) => 1,
            None => 2,
        };
        if self.ring.len() >= RING_PACKETS / divisor || self.ring_bytes + bytes > RING_BYTES / divisor {
            match &mut self.origins {
                Some(origins) if origin.is_none() && origins.left_out.len() < RING_PACKETS => {
                    origins.left_out.push(conn);
                }
                _ => self.dropped += 1,
            }
            return;
        }
        let Some(tapped) = tapped() else { return };
        assert!(bytes == weight(&tapped), "a packet weighs what was said before");
        self.ring_bytes += bytes;
        self.ring.push_back(Held { at: now, tapped });
        self.unnamed += 1;
    }
}

impl Origins {
    /// None: nobody has looked yet.
    fn of(&self, conn: ConnId) -> Option<bool> {
        let (generation, is_wanted) = (*self.known.get(conn.slot as usize)?)?;
        (generation == conn.generation).then_some(is_wanted)
    }

    fn learn(&mut self, conn: ConnId, is_wanted: bool) {
        let slot = conn.slot as usize;
        if self.known.len() <= slot {
            self.known.resize(slot + 1, None);
        }
        self.known[slot] = Some((conn.generation, is_wanted));
    }
}

impl<'a> Passing<'a> {
    fn kind(&self) -> Option<PacketKind> {
        PacketKind::from_u8(self.bytes[0].first()? >> 4)
    }

    fn is_about(&self, filter: &str) -> bool {
        match self.kind() {
            Some(PacketKind::Publish) => mqtt::matches(filter, self.topic),
            _ => self.filters.iter().any(|held| overlap(held, filter)),
        }
    }

    /// The topic, or the first filter.
    fn name(&self) -> &'a str {
        self.filters.first().copied().unwrap_or(self.topic)
    }

    /// Once it is tapped.
    fn weight(&self, wants_bytes: bool) -> usize {
        let len: usize = self.bytes.iter().map(|piece| piece.len()).sum();
        let kept = if wants_bytes { len.min(RAW_BYTES_MAX) } else { 0 };
        size_of::<Held>() + kept + self.name().len()
    }

    fn tapped(&self, now: Instant, wants_bytes: bool) -> Option<Tapped> {
        let [head, rest] = self.bytes;
        let len = head.len() + rest.len();
        let entry = match self.kind()? {
            PacketKind::Publish => Entry::publish(self.direction, now, len, packet_id(head), head[0]),
            _ if self.filters.is_empty() => Entry::other(self.direction, now, head),
            _ => Entry::other(self.direction, now, head).with_filters(self.filters.len(), 0),
        };
        let packet = entry.recorded(now, self.name())?;
        let most = if wants_bytes { RAW_BYTES_MAX } else { 0 };
        let head = &head[..head.len().min(most)];
        let bytes = [head, &rest[..rest.len().min(most - head.len())]].concat().into();
        let client_id = Arc::clone(self.client_id);
        let Passing { conn, version, .. } = *self;
        Some(Tapped { conn, address: None, client_id, version, packet, bytes })
    }
}

/// Of a PUBLISH: it stands behind the topic.
fn packet_id(publish: &[u8]) -> Option<PacketId> {
    let body = 2 + publish.get(1..5)?.iter().position(|byte| byte & 0x80 == 0)?;
    let number = |at: usize| Some(u16::from_be_bytes([*publish.get(at)?, *publish.get(at + 1)?]));
    let has_id = publish[0] & 6 != 0;
    let behind = body + 2 + usize::from(number(body)?);
    number(behind).filter(|_| has_id).and_then(PacketId::new)
}

fn weight(tapped: &Tapped) -> usize {
    size_of::<Held>() + tapped.bytes.len() + tapped.packet.topic.len()
}

/// Of one shard.
const TAPS_MAX: usize = 8;
/// Packets of one tap that nobody has read yet, and what they weigh.
const RING_PACKETS: usize = 8192;
const RING_BYTES: usize = 2 << 20;
/// Connections whose addresses are looked up for a tap in one turn.
const LOOKS_PER_TURN: usize = 1024;
/// What one answer brings.
const PACKETS_PER_READ: usize = 512;
const BYTES_PER_READ: usize = 256 << 10;
/// Of one packet.
pub const RAW_BYTES_MAX: usize = 64 << 10;
/// A tap that nobody reads for so long is gone.
pub(crate) const UNREAD_MAX: Duration = Duration::from_secs(10);

const _: () = assert!(RAW_BYTES_MAX * 2 < RING_BYTES, "a tap has room for the largest packet");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_not_copied() {
        let filter = TapFilter { wants_bytes: true, ..TapFilter::default() };
        let mut tap = Tap::new(1, filter, Instant::START);
        let payload = vec![0x30; 60_000];
        let passing = Passing {
            conn: ConnId { slot: 0, generation: 0 },
            client_id: &"c".into(),
            version: Version::V5,
            direction: Direction::Sent,
            topic: "t",
            filters: &[],
            bytes: [&payload[..10_000], &payload[10_000..]],
        };
        let weight = passing.weight(true);
        while tap.ring_bytes + weight <= RING_BYTES {
            tap.take(Instant::START, passing.conn, weight, || passing.tapped(Instant::START, true));
        }
        assert!(tap.ring.iter().all(|held| *held.tapped.bytes == *payload));
        tap.take(Instant::START, passing.conn, weight, || unreachable!("it has no room"));
        assert_eq!(tap.dropped, 1);
    }
}
