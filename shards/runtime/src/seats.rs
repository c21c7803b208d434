//! How many connections the process has: one number, touched at accept and at close only.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Shared by all shards. A connection keeps its seat when it moves to another shard.
#[derive(Debug)]
pub(crate) struct Seats {
    taken: AtomicUsize,
    max: AtomicUsize,
}

/// What a new connection gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seat {
    Free,
    /// One of the few beyond the limit, so that the client can be told.
    Reserve,
    None,
}

impl Seats {
    pub fn new(max: usize) -> Seats {
        Seats { taken: AtomicUsize::new(0), max: AtomicUsize::new(max) }
    }

    pub fn take(&self) -> Seat {
        // The number orders nothing else: no other memory depends on it.
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let max = self.max.load(Ordering::Relaxed);
        if before < max {
            Seat::Free
        } else if before < max.saturating_add(SEATS_RESERVE) {
            Seat::Reserve
        } else {
            self.give_back();
            Seat::None
        }
    }

    /// For those who come from now on: nobody loses a seat.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Ordering::Relaxed);
        assert!(before > 0, "a seat is given back once");
    }

    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

/// Connections beyond the limit that get an answer. A crowd that is refused must not become a second limit.
const SEATS_RESERVE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_there_is_a_reserve_and_then_nothing() {
        let seats = Seats::new(2);
        assert_eq!([seats.take(), seats.take(), seats.take()], [Seat::Free, Seat::Free, Seat::Reserve]);
        for _ in 1..SEATS_RESERVE {
            assert_eq!(seats.take(), Seat::Reserve);
        }
        assert_eq!(seats.take(), Seat::None);
        assert_eq!(seats.taken(), 2 + SEATS_RESERVE);
        seats.give_back();
        assert_eq!(seats.take(), Seat::Reserve);
        seats.set_max(100 + SEATS_RESERVE);
        assert_eq!(seats.take(), Seat::Free);
    }
}
