//! The filters of sessions that have ended leave the indexes, a piece at a time. All the rest of a session goes at once (`ending.rs`).
//!
//! The indexes know a session by its slot: it stays taken, and nobody's, until the last filter is out.

use std::collections::VecDeque;

use crate::{
    Shard, filters::Filters, keys::SessionKey, shard::Deadline, subscribe::filter_weight, turn::Turn,
};

#[derive(Default)]
pub(crate) struct Clearing {
    ended: VecDeque<(SessionKey, Filters)>,
    /// `Deadline::Clearing` is set.
    is_armed: bool,
    /// What this tick may still cost, in bytes of filters.
    left: usize,
}

impl Clearing {
    pub fn begin_tick(&mut self, bytes: usize) {
        self.left = bytes;
    }

    pub fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Who can wait for the next tick has to.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }
}

impl Shard {
    /// Takes out the filters of a session that has just ended: as many as this tick can, and the others in the next ones.
    pub(crate) fn clear(&mut self, key: SessionKey, filters: Filters, turn: &mut Turn<'_>) {
        self.clearing.ended.push_back((key, filters));
        self.clear_on(turn);
    }

    fn clear_on(&mut self, turn: &mut Turn<'_>) {
        while let Some((key, filters)) = self.clearing.ended.front_mut() {
            let key = *key;
            if filters.len() == 0 {
                self.sessions.free(key);
                self.clearing.ended.pop_front();
                continue;
            }
            if self.clearing.left == 0 {
                self.arm_clearing(turn);
                return;
            }
            if let Some(filter) = filters.pop_first() {
                self.clearing.spend(filter_weight(&filter));
                self.remove_subscription(key, &filter, turn);
            }
        }
    }

    pub(crate) fn arm_clearing(&mut self, turn: &Turn<'_>) {
        if !std::mem::replace(&mut self.clearing.is_armed, true) {
            self.timers.insert(turn.next_instant(), Deadline::Clearing);
        }
    }

    pub(crate) fn on_clearing_deadline(&mut self, turn: &mut Turn<'_>) {
        self.clearing.is_armed = false;
        self.count_on(turn);
        self.clear_on(turn);
    }
}
