//! Says now and then how far a long move is.

use std::time::{Duration, Instant};

pub(super) struct Progress {
    what: &'static str,
    bytes: u64,
    /// Where that is known.
    all: Option<u64>,
    due: Instant,
}

impl Progress {
    pub fn new(what: &'static str, all: Option<u64>) -> Progress {
        Progress { what, bytes: 0, all, due: Instant::now() + PERIOD }
    }

    pub fn add(&mut self, bytes: usize) {
        let before = self.bytes / LOOK_BYTES;
        self.bytes += bytes as u64;
        if self.bytes / LOOK_BYTES != before && Instant::now() >= self.due {
            self.due = Instant::now() + PERIOD;
            let (bytes, all) = (self.bytes, self.all);
            tracing::info!(bytes, all, "moving to other homes: {}", self.what);
        }
    }
}

const PERIOD: Duration = Duration::from_secs(5);

/// Between two looks at the clock.
const LOOK_BYTES: u64 = 1 << 20;
