//! The ids of QoS 2 messages that a client has sent and not yet released.

use mqtt::PacketId;

/// A client decides how many there are, up to our Receive Maximum, and in which order they come and go: a step costs the
/// same whatever it does.
#[derive(Debug, Default)]
pub(crate) struct PacketIds {
    ids: Ids,
}

#[derive(Debug)]
enum Ids {
    /// Sorted, at most `LIST_MAX`. Most sessions never have any, and an empty list is no allocation.
    List(Vec<PacketId>),
    Bits {
        bits: Box<[u64; WORDS]>,
        len: usize,
    },
}

impl Default for Ids {
    fn default() -> Ids {
        Ids::List(Vec::new())
    }
}

impl PacketIds {
    /// False: it was there.
    pub fn insert(&mut self, id: PacketId) -> bool {
        if let Ids::List(list) = &mut self.ids {
            let Err(at) = list.binary_search(&id) else { return false };
            if list.len() < LIST_MAX {
                list.insert(at, id);
                return true;
            }
            self.ids = bits_of(list);
        }
        let Ids::Bits { bits, len } = &mut self.ids else { unreachable!("a full list has become bits") };
        let (word, bit) = place(id);
        let is_new = bits[word] & bit == 0;
        bits[word] |= bit;
        *len += usize::from(is_new);
        is_new
    }

    /// False: it was not there.
    pub fn remove(&mut self, id: PacketId) -> bool {
        match &mut self.ids {
            Ids::List(list) => {
                let Ok(at) = list.binary_search(&id) else { return false };
                list.remove(at);
                if list.is_empty() {
                    *list = Vec::new();
                }
                true
            }
            Ids::Bits { bits, len } => {
                let (word, bit) = place(id);
                let was_there = bits[word] & bit != 0;
                bits[word] &= !bit;
                *len -= usize::from(was_there);
                // Only the empty set goes back to a list: so nobody makes us convert again and again.
                if *len == 0 {
                    self.ids = Ids::default();
                }
                was_there
            }
        }
    }

    pub fn contains(&self, id: PacketId) -> bool {
        match &self.ids {
            Ids::List(list) => list.binary_search(&id).is_ok(),
            Ids::Bits { bits, .. } => {
                let (word, bit) = place(id);
                bits[word] & bit != 0
            }
        }
    }

    /// From the lowest to the highest.
    pub fn iter(&self) -> impl Iterator<Item = PacketId> {
        let (list, bits) = match &self.ids {
            Ids::List(list) => (Some(list.iter().copied()), None),
            Ids::Bits { bits, .. } => (None, Some(bits)),
        };
        let is_set = |bits: &[u64; WORDS], id: PacketId| {
            let (word, bit) = place(id);
            bits[word] & bit != 0
        };
        let set = bits.into_iter().flat_map(move |bits| {
            (1..=u16::MAX).filter_map(PacketId::new).filter(move |id| is_set(bits, *id))
        });
        list.into_iter().flatten().chain(set)
    }

    pub fn len(&self) -> usize {
        match &self.ids {
            Ids::List(list) => list.len(),
            Ids::Bits { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn bits_of(list: &[PacketId]) -> Ids {
    let mut bits = Box::new([0; WORDS]);
    for &id in list {
        let (word, bit) = place(id);
        bits[word] |= bit;
    }
    Ids::Bits { bits, len: list.len() }
}

fn place(id: PacketId) -> (usize, u64) {
    let id = usize::from(id.get());
    (id / 64, 1 << (id % 64))
}

/// Beyond this a sorted list would cost more than 8 KiB of bits do.
const LIST_MAX: usize = 64;

/// One bit for every 16-bit number.
const WORDS: usize = (1 << 16) / 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn id(id: u16) -> PacketId {
        PacketId::new(id).expect("the test asks for no zero")
    }

    #[test]
    fn all_ids_fit_and_all_memory_goes_with_the_last() {
        let mut ids = PacketIds::default();
        for n in 1..=u16::MAX {
            assert!(ids.insert(id(n)));
        }
        assert_eq!(ids.len(), 65_535);
        for n in 1..=u16::MAX {
            assert!(ids.contains(id(n)) && ids.remove(id(n)) && !ids.contains(id(n)));
        }
        assert!(ids.is_empty());
        assert!(matches!(ids.ids, Ids::List(list) if list.capacity() == 0));
    }

    proptest! {
        #[test]
        fn they_behave_like_a_set(steps in prop::collection::vec((1..200u16, 0..8u8), 1..800)) {
            let mut ids = PacketIds::default();
            let mut set = BTreeSet::new();
            for (at, &(n, kind)) in steps.iter().enumerate() {
                // Waves, so that the set grows beyond the list and empties again.
                let inserts = kind < if at / 200 % 2 == 0 { 7 } else { 1 };
                let n = id(n);
                if inserts {
                    assert_eq!(ids.insert(n), set.insert(n));
                } else {
                    assert_eq!(ids.remove(n), set.remove(&n));
                }
                assert_eq!(ids.contains(n), set.contains(&n));
                assert_eq!((ids.len(), ids.is_empty()), (set.len(), set.is_empty()));
            }
        }
    }
}
