//! Deadlines and what they are for. Not a clock: the caller says what time it is.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::Instant;

/// Whoever inserts a deadline cannot take it back: a deadline that lost its meaning is recognised when it is due.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Timer<K>>,
    inserted: u64,
}

#[derive(Debug)]
struct Timer<K> {
    at: Instant,
    /// Deadlines at the same instant are due in the order in which they were set, so that a run can be repeated.
    number: u64,
    key: K,
}

impl<K> Timers<K> {
    pub fn new() -> Timers<K> {
        Timers { heap: BinaryHeap::new(), inserted: 0 }
    }

    pub fn insert(&mut self, at: Instant, key: K) {
        self.heap.push(Timer { at, number: self.inserted, key });
        self.inserted += 1;
    }

    /// The earliest that is due.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.next_deadline()? > now {
            return None;
        }
        self.heap.pop().map(|timer| timer.key)
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.heap.peek().map(|timer| timer.at)
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Timers<K> {
        Timers::new()
    }
}

// The heap of the standard library gives the greatest first, so that the earliest has to be the greatest.
impl<K> Ord for Timer<K> {
    fn cmp(&self, other: &Timer<K>) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl<K> PartialOrd for Timer<K> {
    fn partial_cmp(&self, other: &Timer<K>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> PartialEq for Timer<K> {
    fn eq(&self, other: &Timer<K>) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K> Eq for Timer<K> {}
