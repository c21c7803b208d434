//! How long publications take that one shard takes in and another one hands over: measured by the turns of both.

use crate::{Histogram, IS_WATCHED, Instant, Shard};

/// Since the start. A message to a shared subscription that was passed on more than once counts each time.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    /// From the begin of the turn there that took a publication in to the begin of the one here that routes it.
    pub crossing: Histogram,
    /// And on to the end of the turn here, when what is sent at once is handed over.
    pub crossed: Histogram,
    /// Those of the turn at `now`: when the turn there began, and how many. Keeps its capacity.
    of_turn: Vec<(Instant, u64)>,
    now: Instant,
}

impl Arrivals {
    pub fn end_turn(&mut self, ended_at: Instant) {
        for (begun_at, count) in self.of_turn.drain(..) {
            self.crossed.record(ended_at.since(begun_at), count);
        }
    }
}

impl Shard {
    /// Publications of another shard are routed here.
    pub(crate) fn note_arrived(&mut self, begun_at: Instant, count: u64, now: Instant) {
        if !IS_WATCHED {
            return;
        }
        let Arrivals { crossing, of_turn, now: turn, .. } = &mut self.arrivals;
        crossing.record(now.since(begun_at), count);
        // Whoever does not tell the ends of turns has none of them timed.
        if std::mem::replace(turn, now) != now {
            of_turn.clear();
        }
        of_turn.push((begun_at, count));
    }
}
