//! What became of the questions to another program: three counters that outlive whoever asks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Of one program, however often it is configured anew.
#[derive(Debug, Default)]
pub struct Questions {
    answered: AtomicU64,
    unanswered: AtomicU64,
    failed: AtomicU64,
}

/// The same at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// With what says something: yes, no, or keys.
    pub answered: u64,
    /// Not within their time.
    pub unanswered: u64,
    /// There was no connection, it broke, or the status says that the program cannot answer.
    pub failed: u64,
}

/// What became of one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Answered,
    Unanswered,
    Failed,
}

impl Questions {
    pub const fn new() -> Questions {
        Questions { answered: AtomicU64::new(0), unanswered: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Answered => &self.answered,
            Outcome::Unanswered => &self.unanswered,
            Outcome::Failed => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn asked(&self) -> Asked {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Asked {
            answered: read(&self.answered),
            unanswered: read(&self.unanswered),
            failed: read(&self.failed),
        }
    }
}
