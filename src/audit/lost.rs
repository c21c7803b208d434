//! Lines of one file that were lost: on their way, because there was no room, or because the file could not be written.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug, Default)]
pub struct Lost {
    /// Since the start.
    all: AtomicU64,
    /// Of these the file does not tell yet.
    untold: AtomicU64,
}

impl Lost {
    pub fn add(&self, lines: u64) {
        self.all.fetch_add(lines, Ordering::Relaxed);
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    /// Whoever takes them tells of them.
    pub fn take_untold(&self) -> u64 {
        self.untold.swap(0, Ordering::Relaxed)
    }

    /// It could not be told of so many: the next who takes them does.
    pub fn tell_again(&self, lines: u64) {
        self.untold.fetch_add(lines, Ordering::Relaxed);
    }

    pub fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }
}
