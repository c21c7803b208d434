//! Packet identifiers: which are in use, and which comes next.

use std::collections::BTreeSet;

use mqtt::PacketId;

/// One space for PUBLISH, SUBSCRIBE and UNSUBSCRIBE, as [MQTT-2.2.1-3] wants it.
#[derive(Debug, Default)]
pub(crate) struct PacketIds {
    last: u16,
    taken: BTreeSet<PacketId>,
}

impl PacketIds {
    /// The next free id, in rotation, so that an id rests as long as possible before it means something else.
    /// `None` when all 65,535 are in use.
    pub(crate) fn take(&mut self) -> Option<PacketId> {
        if self.taken.len() == usize::from(u16::MAX) {
            return None;
        }
        loop {
            self.last = self.last.wrapping_add(1);
            let free = PacketId::new(self.last).filter(|packet_id| self.taken.insert(*packet_id));
            if free.is_some() {
                return free;
            }
        }
    }

    pub(crate) fn release(&mut self, packet_id: PacketId) {
        let was_taken = self.taken.remove(&packet_id);
        assert!(was_taken, "only an id in use is released");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ids_start_at_one_and_rotate_past_those_in_use() {
        let mut packet_ids = PacketIds::default();
        assert_eq!(packet_ids.take().unwrap().get(), 1);
        let second = packet_ids.take().unwrap();
        assert_eq!(second.get(), 2);
        packet_ids.release(second);
        assert_eq!(packet_ids.take().unwrap().get(), 3, "a released id rests");
    }

    #[test]
    fn zero_is_skipped_and_the_last_free_id_is_found() {
        let mut packet_ids = PacketIds::default();
        let all: BTreeSet<u16> = (0..65_535).map(|_| packet_ids.take().unwrap().get()).collect();
        assert_eq!(all.len(), 65_535);
        assert!(!all.contains(&0));
        assert_eq!(packet_ids.take(), None);
        packet_ids.release(PacketId::new(40_000).unwrap());
        assert_eq!(packet_ids.take().unwrap().get(), 40_000);
    }
}
