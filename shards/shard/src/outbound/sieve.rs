//! A queue that can be gone through piece by piece, and what does not pass leaves it from wherever it stands. Who does not
//! pass, and when to go through it, is `queue.rs`.

use std::{
    collections::VecDeque,
    ops::{Index, IndexMut},
};

#[derive(Debug)]
pub(super) struct Sieve<T> {
    /// What has passed, and stands before all others. None: nobody is going through.
    passed: Option<VecDeque<T>>,
    others: VecDeque<T>,
}

/// What did not pass, with the place where each one stood.
pub(super) struct Sifted<T> {
    pub looks: usize,
    pub out: Vec<(usize, T)>,
}

impl<T> Sieve<T> {
    pub fn len(&self) -> usize {
        self.passed_len() + self.others.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn passed_len(&self) -> usize {
        self.passed.as_ref().map_or(0, |passed| passed.len())
    }

    pub fn get(&self, place: usize) -> Option<&T> {
        match &self.passed {
            Some(passed) if place < passed.len() => passed.get(place),
            passed => self.others.get(place - passed.as_ref().map_or(0, |passed| passed.len())),
        }
    }

    pub fn front(&self) -> Option<&T> {
        self.get(0)
    }

    pub fn push_back(&mut self, item: T) {
        self.others.push_back(item);
    }

    pub fn push_front(&mut self, item: T) {
        match &mut self.passed {
            Some(passed) => passed.push_front(item),
            None => self.others.push_front(item),
        }
    }

    pub fn pop_front(&mut self) -> Option<T> {
        let passed = self.passed.as_mut().and_then(|passed| passed.pop_front());
        passed.or_else(|| self.others.pop_front())
    }

    pub fn pop_back(&mut self) -> Option<T> {
        self.others.pop_back().or_else(|| self.passed.as_mut()?.pop_back())
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.passed.iter().flat_map(|passed| passed.iter()).chain(&self.others)
    }

    /// The first place that is not before the wanted one, where all that are before it come first.
    pub fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        match &self.passed {
            Some(passed) if passed.back().is_some_and(|last| !is_before(last)) => {
                passed.partition_point(is_before)
            }
            _ => self.passed_len() + self.others.partition_point(is_before),
        }
    }

    /// Somebody has begun to go through it, and has not come to the end.
    pub fn is_begun(&self) -> bool {
        self.passed.is_some()
    }

    /// With all the room that may be needed: to move what has passed once more would be no small piece.
    pub fn begin(&mut self) {
        let others = self.others.len();
        self.passed.get_or_insert_with(|| VecDeque::with_capacity(others));
    }

    /// Goes on where it was left, by so many at most.
    pub fn sift(&mut self, looks_max: usize, mut is_out: impl FnMut(&T) -> bool) -> Sifted<T> {
        let mut sifted = Sifted { looks: 0, out: Vec::new() };
        let Some(passed) = self.passed.as_mut() else { return sifted };
        while sifted.looks < looks_max
            && let Some(item) = self.others.pop_front()
        {
            sifted.looks += 1;
            if is_out(&item) {
                sifted.out.push((passed.len() + sifted.out.len(), item));
            } else {
                passed.push_back(item);
            }
        }
        if self.others.is_empty()
            && let Some(passed) = self.passed.take()
        {
            self.others = passed;
        }
        sifted
    }

    /// Goes through all of it at once; whoever was on the way begins anew.
    pub fn sift_all(&mut self, is_out: impl FnMut(&T) -> bool) -> Vec<T> {
        if let Some(passed) = self.passed.take() {
            let others = std::mem::replace(&mut self.others, passed);
            self.others.extend(others);
        }
        self.begin();
        self.sift(usize::MAX, is_out).out.into_iter().map(|(_, item)| item).collect()
    }
}

impl<T> Default for Sieve<T> {
    fn default() -> Sieve<T> {
        Sieve { passed: None, others: VecDeque::new() }
    }
}

impl<T> Index<usize> for Sieve<T> {
    type Output = T;

    fn index(&self, place: usize) -> &T {
        self.get(place).expect("the caller knows how many there are")
    }
}

impl<T> IndexMut<usize> for Sieve<T> {
    fn index_mut(&mut self, place: usize) -> &mut T {
        let passed_len = self.passed_len();
        match &mut self.passed {
            Some(passed) if place < passed_len => &mut passed[place],
            _ => &mut self.others[place - passed_len],
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        PushBack,
        PushFront,
        PopFront,
        PopBack,
        Begin,
        /// So many looks, and multiples of this number do not pass.
        Sift(usize, u32),
        SiftAll(u32),
    }

    fn a_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => Just(Step::PushBack),
            1 => Just(Step::PushFront),
            2 => Just(Step::PopFront),
            1 => Just(Step::PopBack),
            2 => Just(Step::Begin),
            3 => (0..6usize, 2..5u32).prop_map(|(looks, out)| Step::Sift(looks, out)),
            1 => (2..5u32).prop_map(Step::SiftAll),
        ]
    }

    /// What goes through a plain list at the same pace.
    #[derive(Default)]
    struct Oracle {
        list: VecDeque<u32>,
        /// The next place to look at.
        at: Option<usize>,
    }

    impl Oracle {
        fn sift(&mut self, looks_max: usize, out: u32) -> Vec<(usize, u32)> {
            let Some(mut at) = self.at else { return Vec::new() };
            let mut sifted = Vec::new();
            for _ in 0..looks_max.min(self.list.len() - at) {
                if self.list[at].is_multiple_of(out) {
                    sifted.push((at + sifted.len(), self.list.remove(at).expect("it is there")));
                } else {
                    at += 1;
                }
            }
            self.at = (at < self.list.len()).then_some(at);
            sifted
        }
    }

    fn take(step: &Step, next: u32, sieve: &mut Sieve<u32>, oracle: &mut Oracle) {
        match *step {
            Step::PushBack => {
                sieve.push_back(next);
                oracle.list.push_back(next);
            }
            Step::PushFront => {
                sieve.push_front(next);
                oracle.list.push_front(next);
                oracle.at = oracle.at.map(|at| at + 1);
            }
            Step::PopFront => {
                assert_eq!(sieve.pop_front(), oracle.list.pop_front());
                oracle.at = oracle.at.map(|at| at.saturating_sub(1));
            }
            Step::PopBack => {
                assert_eq!(sieve.pop_back(), oracle.list.pop_back());
                oracle.at = oracle.at.map(|at| at.min(oracle.list.len()));
            }
            Step::Begin => {
                sieve.begin();
                oracle.at.get_or_insert(0);
            }
            Step::Sift(looks_max, out) => {
                let sifted = sieve.sift(looks_max, |item| item.is_multiple_of(out));
                assert!(sifted.looks <= looks_max);
                assert_eq!(sifted.out, oracle.sift(looks_max, out));
            }
            Step::SiftAll(out) => {
                oracle.at = Some(0);
                let expected: Vec<u32> =
                    oracle.sift(usize::MAX, out).into_iter().map(|(_, item)| item).collect();
                assert_eq!(sieve.sift_all(|item| item.is_multiple_of(out)), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn whoever_is_on_the_way_through_a_queue_does_not_change_it(
            steps in prop::collection::vec(a_step(), 1..200),
        ) {
            let (mut sieve, mut oracle) = (Sieve::default(), Oracle::default());
            for (next, step) in (1..).zip(&steps) {
                take(step, next, &mut sieve, &mut oracle);
                prop_assert_eq!(sieve.iter().copied().collect::<Vec<_>>(), Vec::from(oracle.list.clone()));
                prop_assert_eq!((sieve.len(), sieve.is_begun()), (oracle.list.len(), oracle.at.is_some()));
                prop_assert_eq!((sieve.front(), sieve.is_empty()), (oracle.list.front(), oracle.list.is_empty()));
                for place in 0..oracle.list.len() {
                    prop_assert_eq!(sieve[place], oracle.list[place]);
                }
                prop_assert_eq!(sieve.get(oracle.list.len()), None);
            }
        }

        #[test]
        fn a_place_is_found_on_both_sides_of_whoever_is_on_the_way(
            len in 0..20u32, looks in 0..25usize, wanted in 0..25u32,
        ) {
            let mut sieve = Sieve::default();
            (0..len).for_each(|item| sieve.push_back(item));
            sieve.begin();
            sieve.sift(looks, |_| false);
            prop_assert_eq!(sieve.partition_point(|item| *item < wanted), wanted.min(len) as usize);
            for place in 0..len as usize {
                sieve[place] += 1;
            }
            prop_assert_eq!(sieve.iter().copied().collect::<Vec<_>>(), (1..=len).collect::<Vec<_>>());
        }
    }
}
