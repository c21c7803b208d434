//! One shard: takes an event, restores all invariants, and says what is to be done.

use crate::{Config, Counters, Effects, Event, Gauges, Instant, Limits, Placement, ShardId};

pub struct Shard {
    id: ShardId,
    limits: Limits,
    placement: Placement,
    counters: Counters,
}

impl Shard {
    /// `seed` feeds everything that looks random, assigned client ids for example.
    pub fn new(id: ShardId, config: &Config, now: Instant, seed: u64) -> Shard {
        let _ = (now, seed);
        Shard {
            id,
            limits: config.limits.of_one_shard(config.shards),
            placement: Placement::new(config.shards, config.placement_seed),
            counters: Counters::default(),
        }
    }

    /// Takes one event to completion. Never blocks, never awaits, never reads a clock.
    pub fn handle(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects) {
        let _ = (now, event, effects, self.id, &self.limits, &self.placement);
    }

    /// When `Event::Timer` is due, if ever.
    pub fn next_deadline(&self) -> Option<Instant> {
        None
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn gauges(&self) -> Gauges {
        Gauges::default()
    }
}
