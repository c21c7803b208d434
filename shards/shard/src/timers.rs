//! Deadlines and what they are for. Not a clock: the caller says what time it is.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::Instant;

/// Whoever inserts a deadline cannot take it back: a deadline that lost its meaning is recognised when it is due, or when
/// there are so many that it is worth looking at all of them.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Timer<K>>,
    inserted: u64,
    /// At least half of these have been inserted since all were looked at.
    crowded_at: usize,
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
        Timers { heap: BinaryHeap::new(), inserted: 0, crowded_at: CROWD_MIN }
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

    /// Whether it is time to sort out what has lost its meaning.
    pub fn are_crowded(&self) -> bool {
        self.heap.len() >= self.crowded_at
    }

    /// Forgets all deadlines but those that still mean something. Each look at one is paid for by an insertion, since the
    /// crowd has to double before the next time.
    pub fn retain(&mut self, mut has_meaning: impl FnMut(&K) -> bool) {
        self.heap.retain(|timer| has_meaning(&timer.key));
        self.crowded_at = CROWD_MIN.max(self.heap.len() * 2);
        self.heap.shrink_to(self.crowded_at);
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        self.heap.peek().map(|timer| timer.at)
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

const CROWD_MIN: usize = 1024;

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_due_before_its_time() {
        let mut timers = Timers::new();
        timers.insert(Instant::from_nanos(5), 'a');
        assert_eq!(timers.next_deadline(), Some(Instant::from_nanos(5)));
        assert_eq!(timers.pop_due(Instant::from_nanos(4)), None);
        assert_eq!(timers.pop_due(Instant::from_nanos(5)), Some('a'));
        assert_eq!(timers.pop_due(Instant::from_nanos(5)), None);
        assert_eq!((timers.len(), timers.next_deadline()), (0, None));
    }

    #[test]
    fn a_crowd_is_sorted_out_and_what_stays_keeps_its_order() {
        let mut timers = Timers::new();
        let instant = |number: usize| Instant::from_nanos((number as u64 * 7919) % 100);
        for number in 0..CROWD_MIN {
            assert!(!timers.are_crowded());
            timers.insert(instant(number), number);
        }
        assert!(timers.are_crowded());
        timers.retain(|number| number % 3 == 0);
        assert!(!timers.are_crowded());
        let mut expected: Vec<usize> = (0..CROWD_MIN).step_by(3).collect();
        expected.sort_by_key(|number| instant(*number));
        let due: Vec<usize> = std::iter::from_fn(|| timers.pop_due(Instant::from_nanos(100))).collect();
        assert_eq!(due, expected);
    }

    #[test]
    fn a_crowd_that_stays_is_not_looked_at_again_before_it_has_doubled() {
        let mut timers = Timers::new();
        let mut looks = 0;
        for number in 0..100 * CROWD_MIN {
            timers.insert(Instant::START, number);
            if timers.are_crowded() {
                timers.retain(|_| {
                    looks += 1;
                    true
                });
            }
        }
        assert!(looks < 2 * 100 * CROWD_MIN, "{looks}");
    }

    proptest! {
        #[test]
        fn deadlines_are_due_in_order_and_those_of_one_instant_as_they_were_set(
            steps in prop::collection::vec((0..20u64, any::<bool>()), 1..200),
        ) {
            let mut timers = Timers::new();
            // Sorted, and stable: what a heap has to be as good as.
            let mut list: Vec<(Instant, usize)> = Vec::new();
            for (number, &(nanos, inserts)) in steps.iter().enumerate() {
                let at = Instant::from_nanos(nanos);
                if inserts {
                    timers.insert(at, number);
                    list.push((at, number));
                    list.sort_by_key(|(at, _)| *at);
                } else {
                    let due = list.first().is_some_and(|(first, _)| *first <= at);
                    let expected = due.then(|| list.remove(0).1);
                    assert_eq!(timers.pop_due(at), expected);
                }
                assert_eq!(timers.next_deadline(), list.first().map(|(at, _)| *at));
                assert_eq!((timers.len(), timers.is_empty()), (list.len(), list.is_empty()));
            }
        }
    }
}
