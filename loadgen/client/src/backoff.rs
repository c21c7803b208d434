//! How long to wait before the next attempt to connect: exponential, with jitter from a seeded generator.

use std::time::Duration;

/// The bounds of the waits between attempts.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Reconnect {
    /// The first wait is at most this long; each further one at most twice as long as the one before.
    pub first: Duration,
    /// No wait is longer than this. A connection that lived this long starts the sequence anew.
    pub max: Duration,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect { first: Duration::from_millis(500), max: Duration::from_secs(30) }
    }
}

/// The state of the sequence.
#[derive(Debug)]
pub(crate) struct Backoff {
    attempts: u32,
    generator: Generator,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Backoff {
        Backoff { attempts: 0, generator: Generator { state: seed } }
    }

    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next wait: between half of the exponential value and all of it, so that a thousand clients which lost
    /// the same server do not come back in the same instant.
    pub(crate) fn next(&mut self, policy: &Reconnect) -> Duration {
        let doubled = policy.first.saturating_mul(1u32 << self.attempts.min(DOUBLINGS_MAX));
        self.attempts = self.attempts.saturating_add(1);
        let ceiling = u64::try_from(doubled.min(policy.max).as_nanos()).unwrap_or(u64::MAX);
        let floor = ceiling / 2;
        Duration::from_nanos(floor + self.generator.next() % (ceiling - floor + 1).max(1))
    }
}

/// SplitMix64: small, seeded, and good enough to spread attempts.
#[derive(Debug)]
struct Generator {
    state: u64,
}

impl Generator {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

// More doublings than any useful `max` needs, and few enough that the shift cannot overflow.
const DOUBLINGS_MAX: u32 = 30;
const _: () = assert!(DOUBLINGS_MAX < u32::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Reconnect = Reconnect { first: Duration::from_millis(100), max: Duration::from_secs(5) };

    #[test]
    fn waits_double_up_to_the_maximum_with_jitter_below() {
        let mut backoff = Backoff::new(7);
        for attempt in 0..100u32 {
            let ceiling = (POLICY.first * (1 << attempt.min(20))).min(POLICY.max);
            let wait = backoff.next(&POLICY);
            assert!(wait <= ceiling, "attempt {attempt} waits {wait:?}");
            assert!(wait >= ceiling / 2, "attempt {attempt} waits {wait:?}");
        }
    }

    #[test]
    fn same_seed_gives_the_same_waits_and_another_seed_others() {
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..8).map(|_| backoff.next(&POLICY)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    #[test]
    fn reset_starts_with_the_first_wait_again() {
        let mut backoff = Backoff::new(3);
        for _ in 0..10 {
            backoff.next(&POLICY);
        }
        backoff.reset();
        assert!(backoff.next(&POLICY) <= POLICY.first);
    }

    #[test]
    fn zero_and_endless_bounds_do_not_overflow() {
        let mut backoff = Backoff::new(3);
        let zero = Reconnect { first: Duration::ZERO, max: Duration::ZERO };
        let endless = Reconnect { first: Duration::MAX, max: Duration::MAX };
        for _ in 0..70 {
            assert_eq!(backoff.next(&zero), Duration::ZERO);
            assert!(backoff.next(&endless) > Duration::from_secs(1));
        }
    }
}
