//! One event's time and effects, handed through the core together.

use crate::{Effect, Effects, Instant};

pub(crate) struct Turn<'e> {
    pub now: Instant,
    pub effects: &'e mut Effects,
}

impl Turn<'_> {
    /// For what has to wait until this event is over, but for nothing else.
    pub fn next_instant(&self) -> Instant {
        Instant::from_nanos(self.now.as_nanos().saturating_add(1))
    }

    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}
