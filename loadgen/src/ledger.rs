//! What became of one publisher's messages on one topic: lost, duplicated, reordered.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

#[derive(Debug, Default)]
pub struct Ledger {
    next: u64,
    delivered: u64,
    duplicated: u64,
    reordered: u64,
    /// Skipped and not seen since. Bounded: beyond the limit a late message counts as a duplicate.
    missing: BTreeSet<u64>,
}

/// The sum over many ledgers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    pub reordered: u64,
}

impl Faults {
    pub fn any(self) -> bool {
        self != Faults::default()
    }
}

impl Ledger {
    /// Notes a delivery; true if it is the first one of this message.
    #[inline]
    pub fn on_delivery(&mut self, sequence: u64) -> bool {
        if sequence == self.next {
            self.next = self.next.saturating_add(1);
            self.delivered += 1;
            return true;
        }
        self.on_leap(sequence)
    }

    fn on_leap(&mut self, sequence: u64) -> bool {
        if sequence >= self.next {
            let room = MISSING_MAX.saturating_sub(self.missing.len());
            self.missing.extend((self.next..sequence).take(room));
            self.next = sequence.saturating_add(1);
        } else if self.missing.remove(&sequence) {
            self.reordered += 1;
        } else {
            self.duplicated += 1;
            return false;
        }
        self.delivered += 1;
        true
    }

    pub fn faults(&self, published: u64) -> Faults {
        // Whatever came with a number that was never sent is one too many, and makes up for none that is missing.
        let beyond = self.next.saturating_sub(published);
        let missing = self.missing.range(published..).count() as u64;
        let invented = beyond.saturating_sub(missing).min(self.delivered);
        Faults {
            lost: published.saturating_sub(self.delivered - invented),
            duplicated: self.duplicated + invented,
            reordered: self.reordered,
        }
    }
}

impl std::ops::AddAssign for Faults {
    fn add_assign(&mut self, other: Faults) {
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
    }
}

const MISSING_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(deliveries: &[u64], published: u64) -> (u64, u64, u64) {
        let mut ledger = Ledger::default();
        for sequence in deliveries {
            ledger.on_delivery(*sequence);
        }
        let Faults { lost, duplicated, reordered } = ledger.faults(published);
        (lost, duplicated, reordered)
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        assert_eq!(faults(&[0, 1, 2, 3], 4), (0, 0, 0));
        assert_eq!(faults(&[0, 1, 3], 4), (1, 0, 0), "lost in the middle");
        assert_eq!(faults(&[0, 1], 4), (2, 0, 0), "lost at the end");
        assert_eq!(faults(&[0, 0, 1, 2, 1, 3], 4), (0, 2, 0));
        assert_eq!(faults(&[0, 2, 3, 1], 4), (0, 0, 1));
        assert_eq!(faults(&[3, 0, 0], 4), (2, 1, 1));
        assert_eq!(faults(&[], 4), (4, 0, 0));
    }

    #[test]
    fn a_message_that_was_never_sent_hides_none_that_was() {
        assert_eq!(faults(&[0, 2, 4, 6], 4), (2, 2, 0), "half of it invented");
        assert_eq!(faults(&[0, 1, 2, 3, 4], 4), (0, 1, 0), "one more than there were");
        assert!(faults(&[u64::MAX, u64::MAX, 0], 1).1 > 0, "at the end of all numbers");
    }

    #[test]
    fn a_large_gap_does_not_cost_large_memory() {
        let mut ledger = Ledger::default();
        ledger.on_delivery(u64::MAX / 2);
        assert!(ledger.missing.len() <= MISSING_MAX);
    }
}
