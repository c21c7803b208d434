//! Other limits and listeners while the shard lives.

use std::sync::Arc;

use crate::{Config, Effect, Limits, Note, Shard, What, turn::Turn};

impl Shard {
    /// Nothing that is held already is given up for a limit that is smaller now: it goes as its time comes, and until then there
    /// is no room for more.
    pub(crate) fn handle_config(&mut self, config: Config, turn: &mut Turn<'_>) {
        let before = &self.config.limits;
        let limits = Limits {
            // CONNACK has told them to clients, who may use them to the full for as long as they are connected.
            packet_bytes_max: before.packet_bytes_max,
            receive_maximum: before.receive_maximum,
            topic_alias_max: before.topic_alias_max,
            // Rings that are there stay as they are.
            recorded_packets: before.recorded_packets,
            ..config.limits.of_one_shard(self.config.shards)
        };
        // Clients keep what they have come beneath.
        self.has_mounts |= config.has_mounts();
        self.retained.set_limits(limits.retained_messages_max, limits.retained_bytes_max);
        self.config = Config {
            // Where clients are at home, and what the store counts time from, holds for the whole life.
            shards: self.config.shards,
            placement_seed: self.config.placement_seed,
            store_epoch_ms: self.config.store_epoch_ms,
            sampling: self.config.sampling,
            // These come by events of their own.
            rules: self.config.rules.take(),
            rates: Arc::clone(&self.config.rates),
            bans: Arc::clone(&self.config.bans),
            limits,
            ..config
        };
        self.tell_of_retained_beyond_limits(turn);
    }

    /// They stay: a limit refuses what comes later.
    pub(crate) fn tell_of_retained_beyond_limits(&self, turn: &mut Turn<'_>) {
        if !self.retained.is_beyond_limits() {
            return;
        }
        let what = What::RetainedBeyondLimits {
            messages: self.retained.len(),
            messages_max: self.config.limits.retained_messages_max,
            bytes: self.retained.bytes(),
            bytes_max: self.config.limits.retained_bytes_max,
        };
        turn.push(Effect::Note(Note { conn: None, client_id: None, user: None, what }));
    }
}
