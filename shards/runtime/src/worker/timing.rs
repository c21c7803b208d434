//! How long a turn took, and the messages in it.

use shard::IS_WATCHED;

use super::Worker;
use crate::brain::Brain;

impl<B: Brain> Worker<B> {
    /// One look at the clock for all messages of the turn.
    pub(super) fn time_turn(&mut self) {
        self.ended_at = self.clock.now();
        if !IS_WATCHED {
            return;
        }
        let took = self.ended_at.since(self.now);
        self.timings.turn.record(took, 1);
        self.spans.end_turn(self.id, self.ended_at);
        self.brain.end_turn(self.ended_at);
        let publish_received = self.brain.counters().publish_received;
        let before = std::mem::replace(&mut self.publish_received, publish_received);
        if publish_received > before {
            self.timings.routing.record(took, publish_received - before);
        }
    }
}
