//! A store without room: what would have to be stored is not taken in, everything else goes on, and when there is room
//! again, so does the rest.
//!
//! While more room is on its way, whoever publishes what may have to be stored is not read. Without hope of more, 5.0
//! clients are refused, and the others wait.

use mqtt::{Frame, PacketKind, Version};

use crate::{
    Cause, Effect, Limits, Mail, Note, Shard, ShardId, ShardSet, What, connection::Connection, turn::Turn,
};

/// What a shard's store has left, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum StoreRoom {
    #[default]
    Enough,
    /// Too little for now.
    Coming,
    Full,
    /// Nothing is stored any more.
    Failed,
}

/// Why nothing more is taken in that would have to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreLack {
    Full,
    Failed,
}

impl StoreLack {
    /// What a message at QoS 1 or 2 is lost by.
    pub fn of_publish(self) -> Cause {
        match self {
            StoreLack::Full => Cause::PublishStoreFull,
            StoreLack::Failed => Cause::PublishStoreFailed,
        }
    }

    /// The same of one at QoS 0 that was to be retained.
    pub fn of_retained(self) -> Cause {
        match self {
            StoreLack::Full => Cause::PublishRetainStoreFull,
            StoreLack::Failed => Cause::PublishRetainStoreFailed,
        }
    }

    /// The same of a will at QoS 1 or 2.
    pub fn of_will(self) -> Cause {
        match self {
            StoreLack::Full => Cause::PublishWillStoreFull,
            StoreLack::Failed => Cause::PublishWillStoreFailed,
        }
    }

    /// For who asks, or would have it stored.
    pub fn text(self) -> &'static str {
        match self {
            StoreLack::Full => "the store is full: only QoS 0 is taken in until there is room on its disk",
            StoreLack::Failed => {
                "the store has failed: only QoS 0 is taken in until the broker is started again"
            }
        }
    }
}

#[derive(Default)]
pub(crate) struct Fullness {
    /// Bytes of records that the store can take beyond what was given to it, and whether more is on its way; none where
    /// nothing was said.
    left: Option<(usize, bool)>,
    /// What the other shards and the log were told.
    told: StoreRoom,
    /// Other shards that have too little.
    coming: ShardSet,
    full: ShardSet,
    /// The worst of all shards.
    anywhere: StoreRoom,
}

impl Shard {
    pub(crate) fn handle_store_room(&mut self, bytes: usize, grows: bool, turn: &mut Turn<'_>) {
        self.fullness.left = Some((bytes, grows));
        self.look_for_room(turn);
    }

    /// Why a publication that has to be stored cannot be, here or where it has to go.
    #[inline]
    pub(crate) fn store_lack(&self) -> Option<StoreLack> {
        match self.fullness.anywhere {
            StoreRoom::Enough | StoreRoom::Coming => None,
            StoreRoom::Full => Some(StoreLack::Full),
            StoreRoom::Failed => Some(StoreLack::Failed),
        }
    }

    /// That of this shard, whatever those of others have.
    pub(crate) fn is_store_full(&self) -> bool {
        self.fullness.told == StoreRoom::Full && !self.has_store_failed()
    }

    /// Tells everybody when there is no room any more, or some again.
    pub(crate) fn look_for_room(&mut self, turn: &mut Turn<'_>) {
        if !self.store.is_on() || self.has_store_failed() {
            return;
        }
        let room = self.room();
        let told = std::mem::replace(&mut self.fullness.told, room);
        if room == told {
            return;
        }
        let what = match (told, room) {
            (_, StoreRoom::Full) => Some(What::StoreFull),
            (StoreRoom::Full, _) => Some(What::StoreHasRoom),
            _ => None,
        };
        if let Some(what) = what {
            turn.push(Effect::Note(Note { conn: None, client_id: None, user: None, what }));
        }
        for peer in self.peers() {
            self.post_mail(peer, Mail::StoreRoom(room), turn);
        }
        self.look_everywhere(turn);
    }

    fn room(&self) -> StoreRoom {
        // Whatever is under way between shards has to find room as well.
        let needed = self.store.open_bytes().saturating_add(self.config.limits.store_room_bytes());
        match self.fullness.left {
            Some((bytes, true)) if bytes < needed => StoreRoom::Coming,
            Some((bytes, false)) if bytes < needed => StoreRoom::Full,
            _ => StoreRoom::Enough,
        }
    }

    pub(crate) fn on_store_room_elsewhere(&mut self, from: ShardId, room: StoreRoom, turn: &mut Turn<'_>) {
        self.fullness.coming.remove(from);
        self.fullness.full.remove(from);
        match room {
            StoreRoom::Enough => {}
            StoreRoom::Coming => self.fullness.coming.insert(from),
            StoreRoom::Full => self.fullness.full.insert(from),
            StoreRoom::Failed => return self.handle_store_failed(turn),
        }
        self.look_everywhere(turn);
    }

    pub(crate) fn look_everywhere(&mut self, turn: &mut Turn<'_>) {
        let Fullness { told, coming, full, .. } = &self.fullness;
        let others = match (full.is_empty(), coming.is_empty()) {
            (false, _) => StoreRoom::Full,
            (true, false) => StoreRoom::Coming,
            (true, true) => StoreRoom::Enough,
        };
        let own = if self.has_store_failed() { StoreRoom::Failed } else { *told };
        let anywhere = others.max(own);
        let before = std::mem::replace(&mut self.fullness.anywhere, anywhere);
        // Who can be told that there is none does not wait any more either.
        if anywhere != before && anywhere != StoreRoom::Coming {
            self.resume_for_store(turn);
        }
    }

    /// Some packets of some clients have to wait.
    pub(crate) fn awaits_store(&self) -> bool {
        self.fullness.anywhere != StoreRoom::Enough
    }

    #[inline]
    pub(crate) fn waits_for_room(&self, connection: &Connection, frame: &Frame<'_>) -> bool {
        match self.fullness.anywhere {
            StoreRoom::Enough => false,
            StoreRoom::Coming => {
                frame.kind == PacketKind::Publish && frame.flags & (PUBLISH_QOS | PUBLISH_RETAIN) != 0
            }
            // Versions before 5.0 cannot be told that there is no room.
            StoreRoom::Full | StoreRoom::Failed => {
                frame.kind == PacketKind::Publish
                    && frame.flags & PUBLISH_QOS != 0
                    && connection.version != Version::V5
            }
        }
    }
}

impl Limits {
    /// What a shard's store must have room for, so that the shard takes one more message to be stored.
    pub fn store_room_bytes(&self) -> usize {
        self.packet_bytes_max as usize * PACKETS_MIN + ROOM_BYTES_MIN
    }
}

/// The QoS in the flags of a PUBLISH.
const PUBLISH_QOS: u8 = 0b0110;
const PUBLISH_RETAIN: u8 = 0b0001;

/// So many of the largest packets must find room for a shard to take one more.
const PACKETS_MIN: usize = 2;

/// And so much for what else is written in between.
const ROOM_BYTES_MIN: usize = 1 << 20;
