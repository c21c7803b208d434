//! A store without room: what would have to be stored is not taken in, everything else goes on, and when there is room
//! again, so does the rest.

use mqtt::{Frame, PacketKind, Version};

use crate::{Effect, Mail, Note, Shard, ShardId, ShardSet, What, connection::Connection, turn::Turn};

pub(crate) struct Fullness {
    /// Bytes of records that the store can take beyond what was given to it.
    room: usize,
    /// The other shards and the log were told that there is none.
    is_full: bool,
    /// Shards that have no room.
    others: ShardSet,
    /// Somebody has none.
    is_anywhere: bool,
}

impl Default for Fullness {
    fn default() -> Fullness {
        Fullness { room: usize::MAX, is_full: false, others: ShardSet::EMPTY, is_anywhere: false }
    }
}

impl Shard {
    pub(crate) fn handle_store_room(&mut self, bytes: usize, turn: &mut Turn<'_>) {
        self.fullness.room = bytes;
        self.look_for_room(turn);
    }

    /// Whether a publication would find no room, here or where it has to go.
    #[inline]
    pub(crate) fn is_store_full(&self) -> bool {
        self.fullness.is_anywhere
    }

    /// Tells everybody when there is no room any more, or some again.
    pub(crate) fn look_for_room(&mut self, turn: &mut Turn<'_>) {
        if !self.store.is_on() {
            return;
        }
        // Whatever is under way between shards has to find room as well.
        let needed = self.config.limits.packet_bytes_max as usize * PACKETS_MIN + ROOM_BYTES_MIN;
        let is_full = self.store.open_bytes().saturating_add(needed) > self.fullness.room;
        if is_full == self.fullness.is_full {
            return;
        }
        self.fullness.is_full = is_full;
        let what = if is_full { What::StoreFull } else { What::StoreHasRoom };
        turn.push(Effect::Note(Note { conn: None, client_id: None, what }));
        for peer in self.peers() {
            self.post_mail(peer, Mail::StoreFull(is_full), turn);
        }
        self.go_on_after_full(turn);
    }

    pub(crate) fn on_store_full_elsewhere(&mut self, from: ShardId, is_full: bool, turn: &mut Turn<'_>) {
        if is_full {
            self.fullness.others.insert(from);
        } else {
            self.fullness.others.remove(from);
        }
        self.go_on_after_full(turn);
    }

    fn go_on_after_full(&mut self, turn: &mut Turn<'_>) {
        self.fullness.is_anywhere = self.fullness.is_full || !self.fullness.others.is_empty();
        if !self.fullness.is_anywhere {
            self.resume_all(turn);
        }
    }

    /// Versions before 5.0 cannot be told that there is no room: their messages wait.
    #[inline]
    pub(crate) fn waits_for_room(&self, connection: &Connection, frame: &Frame<'_>) -> bool {
        self.is_store_full()
            && connection.version != Version::V5
            && frame.kind == PacketKind::Publish
            && frame.flags & PUBLISH_QOS != 0
    }
}

/// The QoS in the flags of a PUBLISH.
const PUBLISH_QOS: u8 = 0b0110;

/// So many of the largest packets must find room for a shard to take one more.
const PACKETS_MIN: usize = 2;

/// And so much for what else is written in between.
const ROOM_BYTES_MIN: usize = 1 << 20;
