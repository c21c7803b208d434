//! What one session is owed, by number. Numbers come in their order, but for what was written again, and what is done is
//! mostly the oldest.

use std::collections::{BTreeMap, VecDeque};

use mqtt::QoS;

use crate::{Instant, store::bodies::BodyId};

/// A message of a session's queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owed {
    /// Where it stands is known under its number.
    Message { body: BodyId, bytes: u32, qos: QoS, expires_at: Option<Instant> },
    /// The client has taken it over, and the end of the handshake is left.
    Released,
}

impl Owed {
    pub fn body(self) -> Option<BodyId> {
        match self {
            Owed::Message { body, .. } => Some(body),
            Owed::Released => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Owing {
    /// In the order of the numbers. None: it is done. The first is never done.
    entries: VecDeque<(u64, Option<Owed>)>,
    done: usize,
    /// What came after a higher number, and is not among the others.
    late: BTreeMap<u64, Owed>,
}

impl Owing {
    /// In place of what was known under this number, which is given back.
    pub fn insert(&mut self, number: u64, owed: Owed) -> Option<Owed> {
        if self.entries.back().is_none_or(|(last, _)| *last < number) {
            let before = self.late.remove(&number);
            self.entries.push_back((number, Some(owed)));
            return before;
        }
        match self.entries.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(at) => {
                let before = self.entries[at].1.replace(owed);
                self.done -= usize::from(before.is_none());
                before
            }
            Err(_) => self.late.insert(number, owed),
        }
    }

    pub fn remove(&mut self, number: u64) -> Option<Owed> {
        let Ok(at) = self.entries.binary_search_by_key(&number, |(number, _)| *number) else {
            return self.late.remove(&number);
        };
        let before = self.entries[at].1.take();
        self.done += usize::from(before.is_some());
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
            self.done -= 1;
        }
        if self.done > self.entries.len() / 2 {
            self.entries.retain(|(_, owed)| owed.is_some());
            self.done = 0;
        }
        before
    }

    /// All of it, in no order.
    pub fn all(&self) -> impl Iterator<Item = Owed> {
        self.entries.iter().filter_map(|(_, owed)| *owed).chain(self.late.values().copied())
    }

    /// All of it, in the order of the numbers.
    pub fn sorted(&self) -> Vec<(u64, Owed)> {
        let in_order = self.entries.iter().filter_map(|(number, owed)| Some((*number, (*owed)?)));
        let late = self.late.iter().map(|(number, owed)| (*number, *owed));
        let mut all: Vec<(u64, Owed)> = late.chain(in_order).collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_map_by_number(steps in prop::collection::vec((1..40_u64, any::<bool>()), 0..200)) {
            let (mut owing, mut map) = (Owing::default(), BTreeMap::new());
            for (at, (number, is_insert)) in steps.into_iter().enumerate() {
                if is_insert {
                    let owed = Owed::Message {
                        body: BodyId::NONE,
                        bytes: at as u32,
                        qos: QoS::AtLeastOnce,
                        expires_at: None,
                    };
                    prop_assert_eq!(owing.insert(number, owed), map.insert(number, owed));
                } else {
                    prop_assert_eq!(owing.remove(number), map.remove(&number));
                }
                prop_assert_eq!(owing.all().count(), map.len());
                prop_assert!(owing.sorted().into_iter().eq(map.iter().map(|(number, owed)| (*number, *owed))));
                prop_assert!(owing.entries.len() <= 2 * map.len() + 1);
            }
        }
    }
}
