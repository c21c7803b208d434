//! Live messages that overtake the retained ones of their topics: a session does not get a message twice, nor an older one
//! after the one that has replaced it.

use super::LIVE_TOPIC_BYTES;
use crate::{
    Message, Shard, ShardId,
    keys::SessionKey,
    message::RetainedId,
    router::{Carried, Origin},
};

#[derive(Clone, Copy)]
pub(super) struct Live {
    message: RetainedId,
    /// Which of the retained messages that its shard sent to the store, or put there itself, it is.
    number: u64,
    /// When it came, as the shard counts.
    moment: u64,
}

impl Shard {
    /// The session has got this message live, or one that the store had not got when it gave this one; or it is its own.
    pub(super) fn is_superfluous(&self, key: SessionKey, message: &Message) -> bool {
        let session = &self.sessions[key];
        let Some(replays) = session.replays.as_ref() else { return false };
        let Some(owed) = replays.owed.front() else { return false };
        // [MQTT-3.8.3-3]
        let no_local = owed.wanted.subscription.options.no_local;
        let publisher = self.placement.publisher(&session.client_id);
        if no_local && message.retained_id().is_some_and(|id| id.publisher() == publisher) {
            return true;
        }
        if replays.live.is_empty() {
            return false;
        }
        let hash = self.placement.hash(message.topic());
        let mut received = (0..).map(ShardId).zip(&owed.ready_received);
        received.any(|(shard, received)| match replays.live.get(&(hash, shard)) {
            Some(live) => {
                let is_it = Some(live.message) == message.retained_id() && live.moment > owed.since;
                is_it || live.number > *received
            }
            None => false,
        })
    }

    /// A message that replaces the retained one of its topic goes to this session live.
    pub(crate) fn note_for_replays(&mut self, key: SessionKey, carried: &Carried<'_>) {
        if self.sessions[key].replays.is_none() {
            return;
        }
        let Some(message) = carried.parts.retained_id else { return };
        let hash = self.placement.hash(carried.parts.topic);
        let (shard, number) = match carried.origin {
            Some(Origin { shard, number }) => (shard, number),
            None => (self.id, 0),
        };
        let moment = self.next_request();
        let Some(replays) = self.sessions[key].replays.as_mut() else { return };
        let is_full = replays.live.len() >= LIVE_TOPICS_MAX && !replays.live.contains_key(&(hash, shard));
        if !is_full && replays.live.insert((hash, shard), Live { message, number, moment }).is_none() {
            self.totals.session_bytes += LIVE_TOPIC_BYTES;
        }
    }
}

/// Bounds what a session remembers of the topics that change while it gets their retained messages.
const LIVE_TOPICS_MAX: usize = 1 << 12;
