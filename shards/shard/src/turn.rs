//! One event's time and effects, handed through the core together.

use crate::{Effect, Effects, Instant};

pub(crate) struct Turn<'e> {
    pub now: Instant,
    pub effects: &'e mut Effects,
}

impl Turn<'_> {
    pub fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}
