//! Choices that a seed decides.

use std::env;
use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::time::Duration;

/// One sequence of choices.
pub struct Dice {
    state: u64,
}

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice { state: seed }
    }

    /// The seed of a whole run: drawn, unless the environment sets it.
    pub fn seed_of_run() -> u64 {
        match env::var("IOTHUB_E2E_SEED") {
            Ok(text) => text.parse().expect("IOTHUB_E2E_SEED is a number"),
            Err(_) => RandomState::new().hash_one("seed"),
        }
    }

    /// Another sequence, which does not depend on how far this one goes.
    pub fn another(&mut self) -> Dice {
        Dice::new(self.next())
    }

    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }

    pub fn time(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let micros = |time: &Duration| time.as_micros() as u64;
        Duration::from_micros(self.within(micros(range.start())..=micros(range.end())))
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
