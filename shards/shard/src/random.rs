//! Numbers that come from one seed, so that a run can be repeated, and that nobody guesses who does not know it.

use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// Clients are told some of them, as client ids: whoever has seen a few knows nothing of the others, nor of the seed.
pub(crate) struct Random {
    keyed: SipHasher24,
    drawn: u64,
}

impl Random {
    pub fn new(seed: u64) -> Random {
        Random { keyed: SipHasher24::new_with_keys(seed, SECOND_KEY), drawn: 0 }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = self.keyed;
        hasher.write_u64(self.drawn);
        hasher.finish()
    }
}

/// Where one is drawn for each message, and who guesses it gains nothing: SplitMix64, an addition and two multiplications.
pub(crate) struct Quick {
    state: u64,
}

impl Quick {
    pub fn new(seed: u64) -> Quick {
        Quick { state: seed }
    }

    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

/// No secret: the seed is.
const SECOND_KEY: u64 = 0x1071_4b0b;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers_and_another_one_others() {
        let drawn = |seed| {
            let mut random = Random::new(seed);
            [random.next_u64(), random.next_u64(), random.next_u64()]
        };
        assert_eq!(drawn(1), drawn(1));
        let mut all = [drawn(1), drawn(2), drawn(u64::MAX)].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 9, "{all:x?}");
    }

    /// Undoes the finalizer of SplitMix64, by which a number tells all that come behind it.
    fn undone(number: u64) -> u64 {
        let unshifted = |z: u64, by: u32| (0..64 / by).fold(z, |known, _| z ^ known >> by);
        let z = unshifted(number, 31).wrapping_mul(0x3196_42b2_d24d_8ec3);
        let z = unshifted(z, 27).wrapping_mul(0x96de_1b17_3f11_9089);
        unshifted(z, 30)
    }

    #[test]
    fn quick_ones_are_evenly_spread() {
        let mut quick = Quick::new(1);
        let mut counts = [0; 10];
        (0..10_000).for_each(|_| counts[(quick.next_u64() % 10) as usize] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_number_does_not_tell_the_next() {
        let mut random = Random::new(7);
        let states: Vec<u64> = (0..100).map(|_| undone(random.next_u64())).collect();
        let steps: std::collections::BTreeSet<u64> =
            states.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
        assert_eq!(steps.len(), 99, "numbers that are steps of one sequence tell each other");
    }
}
