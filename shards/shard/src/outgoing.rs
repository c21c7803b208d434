//! Bytes on their way to one socket: encoded packets, with large payloads by reference between them.

use crate::Message;

/// Payloads from this size on are not copied: they go out from the message itself.
pub const SHARED_PAYLOAD_BYTES_MIN: usize = 4096;

/// At most this many shared payloads in one, so that all slices fit one vectored write.
pub const SHARED_PAYLOADS_MAX: usize = 256;

#[derive(Debug, Default)]
pub struct Outgoing {
    pub bytes: Vec<u8>,
    /// Each payload stands before the byte at its position.
    shared: Vec<(usize, Message)>,
    shared_len: usize,
    /// How many there are in it.
    pub packets: u64,
}

/// How far somebody has come who looks at its packets, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Walk {
    at: usize,
    /// Shared payloads that lie behind.
    shared: usize,
    /// Where the last packet ends in all of it.
    pub end: usize,
}

impl Outgoing {
    pub fn of_bytes(bytes: Vec<u8>) -> Outgoing {
        Outgoing { bytes, ..Outgoing::default() }
    }

    /// Puts the payload of `message` behind the bytes written so far, without a copy.
    pub fn push_shared(&mut self, message: Message) {
        self.shared_len += message.payload().len();
        self.shared.push((self.bytes.len(), message));
    }

    pub fn len(&self) -> usize {
        self.bytes.len() + self.shared_len
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn shared_count(&self) -> usize {
        self.shared.len()
    }

    /// All of it as one slice, unless there are shared payloads.
    pub fn as_contiguous(&self) -> Option<&[u8]> {
        self.shared.is_empty().then_some(&self.bytes)
    }

    /// All of it, in order. No slice is empty.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut at = 0;
        let heads_and_payloads = self.shared.iter().flat_map(move |(position, message)| {
            let head = &self.bytes[at..*position];
            at = *position;
            [head, message.payload()]
        });
        let tail = &self.bytes[self.shared.last().map_or(0, |(position, _)| *position)..];
        heads_and_payloads.chain(std::iter::once(tail)).filter(|slice| !slice.is_empty())
    }

    /// The packet that `walk` has come to: what of it is not in a shared payload.
    #[inline]
    pub(crate) fn next_packet(&self, walk: &mut Walk) -> Option<&[u8]> {
        let rest = &self.bytes[walk.at..];
        let size = mqtt::frame_size(rest)?;
        let mut here = size;
        // The payload of another one stands behind the head of that.
        if let Some((position, message)) = self.shared.get(walk.shared)
            && *position < walk.at + size
        {
            here -= message.payload().len();
            walk.shared += 1;
        }
        walk.at += here;
        walk.end += size;
        Some(&rest[..here])
    }

    /// Keeps the capacity for bytes.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.shared = Vec::new();
        self.shared_len = 0;
        self.packets = 0;
    }

    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use mqtt::QoS;

    use super::*;
    use crate::message::Parts;

    fn message(payload: &[u8]) -> Message {
        Message::new(&Parts {
            topic: "t",
            qos: QoS::AtMostOnce,
            retain: false,
            expires_at: None,
            retained_id: None,
            forwarded: &[],
            payload,
        })
    }

    #[test]
    fn shared_payloads_stand_where_they_were_pushed() {
        let message = message(b"PAYLOAD");
        let mut outgoing = Outgoing::default();
        outgoing.bytes.extend_from_slice(b"one");
        assert_eq!(outgoing.as_contiguous(), Some(&b"one"[..]));
        outgoing.push_shared(message.clone());
        outgoing.push_shared(message);
        outgoing.bytes.extend_from_slice(b"two");
        assert_eq!(outgoing.slices().collect::<Vec<_>>(), [&b"one"[..], b"PAYLOAD", b"PAYLOAD", b"two"]);
        assert_eq!(outgoing.len(), 20);
        assert_eq!(outgoing.as_contiguous(), None);
    }

    #[test]
    fn packets_are_told_apart_wherever_their_payloads_stand() {
        let mut outgoing = Outgoing::default();
        outgoing.bytes.extend_from_slice(&[0xD0, 0]);
        for _ in 0..2 {
            outgoing.bytes.extend_from_slice(&[0x30, 10, 0, 1, b't']);
            outgoing.push_shared(message(b"PAYLOAD"));
        }
        outgoing.bytes.extend_from_slice(&[0x30, 5, 0, 1, b't', b'h', b'i']);
        outgoing.bytes.extend_from_slice(&[0x40, 2, 0, 1]);
        let mut walk = Walk::default();
        let next = || outgoing.next_packet(&mut walk).map(|packet| (packet, walk.end));
        let seen: Vec<(&[u8], usize)> = std::iter::from_fn(next).collect();
        let ends: Vec<(usize, usize)> = seen.iter().map(|(here, end)| (*end, here.len())).collect();
        assert_eq!(ends, [(2, 2), (14, 5), (26, 5), (33, 7), (37, 4)]);
        assert_eq!((seen[2].0[4], outgoing.len()), (b't', 37));
    }
}
