//! The clock of all shards: nanoseconds since the broker's start. The only place that asks for the time.

use std::time;

use shard::Instant;

/// A copy for each shard; all of them count from the same start, because deadlines travel in messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: time::Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { start: time::Instant::now() }
    }

    pub fn now(&self) -> Instant {
        // 64 bits of nanoseconds last for 584 years.
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        Instant::from_nanos(nanos)
    }
}
