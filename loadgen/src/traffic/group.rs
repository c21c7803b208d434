//! A group that shares a subscription: the account of what reached any of its members.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cast::Streams;
use crate::ledger::Faults;

pub struct Group {
    pub streams: Arc<Streams>,
    tallies: Mutex<Vec<Tally>>,
}

/// Which messages of one stream have arrived, in whatever order: neighbours go to different members, which are not
/// read at the same time.
#[derive(Debug, Default)]
pub struct Tally {
    /// One bit for each message from `first` on.
    seen: VecDeque<u64>,
    /// A multiple of 64: all before it have arrived or are given up.
    first: u64,
    delivered: u64,
    duplicated: u64,
}

impl Group {
    pub fn new(streams: Arc<Streams>) -> Group {
        let tallies = Mutex::new((0..streams.len()).map(|_| Tally::default()).collect());
        Group { streams, tallies }
    }

    /// By position in `streams`.
    pub fn tallies(&self) -> MutexGuard<'_, Vec<Tally>> {
        // A thread that panicked ends the run; the numbers are whole all the same.
        self.tallies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `sent` gives what was published by stream.
    pub fn faults(&self, sent: impl Fn(u32) -> u64) -> Faults {
        let mut faults = Faults::default();
        for (stream, tally) in self.streams.iter().zip(self.tallies().iter()) {
            faults += tally.faults(sent(stream));
        }
        faults
    }
}

impl Tally {
    /// Notes a delivery; true if it is the first one of this message.
    pub fn on_delivery(&mut self, sequence: u64) -> bool {
        let Some(offset) = sequence.checked_sub(self.first) else {
            self.duplicated += 1;
            return false;
        };
        let (mut word, bit) = (offset / BITS, 1 << (offset % BITS));
        if word >= WORDS_MAX {
            // Whatever is missing this far back is lost; if it comes after all it counts as a duplicate too.
            let gap = word - (WORDS_MAX - 1);
            self.seen.drain(..self.seen.len().min(usize::try_from(gap).unwrap_or(usize::MAX)));
            self.first += gap * BITS;
            word -= gap;
        }
        if self.seen.len() as u64 <= word {
            self.seen.resize(word as usize + 1, 0);
        }
        let seen = &mut self.seen[word as usize];
        if *seen & bit != 0 {
            self.duplicated += 1;
            return false;
        }
        *seen |= bit;
        self.delivered += 1;
        while self.seen.front() == Some(&u64::MAX) {
            self.seen.pop_front();
            self.first += BITS;
        }
        true
    }

    fn faults(&self, published: u64) -> Faults {
        // Whatever came with a number that was never sent is one too many, and makes up for none that is missing.
        let invented = self.seen_from(published).min(self.delivered);
        let lost = published.saturating_sub(self.delivered - invented);
        Faults { lost, duplicated: self.duplicated + invented, reordered: 0 }
    }

    /// How many have arrived from this message on; those that are given up count as well.
    fn seen_from(&self, sequence: u64) -> u64 {
        let offset = sequence.saturating_sub(self.first);
        let first_word = usize::try_from(offset / BITS).unwrap_or(usize::MAX);
        let mut mask = u64::MAX << (offset % BITS);
        let mut seen = self.first.saturating_sub(sequence);
        for word in self.seen.iter().skip(first_word) {
            seen += u64::from((word & mask).count_ones());
            mask = u64::MAX;
        }
        seen
    }
}

const BITS: u64 = u64::BITS as u64;
/// 8 MiB for each stream at worst.
const WORDS_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_is_whole_and_faults_are_told_apart() {
        let mut tally = Tally::default();
        for sequence in [3, 1, 0, 2].into_iter().chain((4..1000).rev()) {
            assert!(tally.on_delivery(sequence));
        }
        assert_eq!(tally.faults(1000), Faults::default());
        assert!(!tally.on_delivery(5));
        assert!(!tally.on_delivery(999));
        assert!(tally.on_delivery(1002));
        assert_eq!(tally.faults(1003), Faults { lost: 2, duplicated: 2, reordered: 0 });
        assert!(tally.seen.len() <= 2, "what is complete takes no memory");
    }

    #[test]
    fn a_message_that_was_never_sent_hides_none_that_was() {
        for (arrived, published, lost, invented) in
            [(&[0, 2, 4, 6][..], 4, 2, 2), (&[0, 1, 70, 130], 65, 63, 2), (&[0, 1, 2], 2, 0, 1)]
        {
            let mut tally = Tally::default();
            arrived.iter().for_each(|sequence| assert!(tally.on_delivery(*sequence)));
            assert_eq!(tally.faults(published), Faults { lost, duplicated: invented, reordered: 0 });
        }
        let mut tally = Tally::default();
        (0..640).for_each(|sequence| assert!(tally.on_delivery(sequence)));
        assert_eq!(tally.faults(600), Faults { lost: 0, duplicated: 40, reordered: 0 });
    }

    #[test]
    fn a_large_gap_does_not_cost_large_memory() {
        let mut tally = Tally::default();
        tally.on_delivery(0);
        tally.on_delivery(u64::MAX / 2);
        tally.on_delivery(u64::MAX / 2 + BITS * WORDS_MAX);
        assert!(tally.seen.len() as u64 <= WORDS_MAX);
        assert!(tally.faults(3).any(), "two of the three were never sent");
        assert!(!tally.on_delivery(1), "too late");
    }
}
