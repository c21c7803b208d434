//! Filters in a hash table that says quickly what it does not have: the usual answer where one topic is looked up in many
//! ways. The entries of one bucket are a chain, and the bucket knows a bit of the hash of each.

use slab::Slab;

use super::{takers::Takers, text::Text};

pub(super) struct Chains {
    /// A power of two of them.
    heads: Vec<Head>,
    entries: Slab<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    first: u32,
    /// The bits of the entries in the chain.
    bits: u32,
}

/// One cache line, which is all that a match reads of it.
#[repr(align(64))]
pub(super) struct Entry {
    hash: u32,
    next: u32,
    pub text: Text,
    pub takers: Takers,
}

impl Chains {
    pub fn new() -> Chains {
        Chains { heads: vec![Head::EMPTY], entries: Slab::new() }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn entry(&self, index: u32) -> &Entry {
        &self.entries[index as usize]
    }

    pub fn entry_mut(&mut self, index: u32) -> &mut Entry {
        &mut self.entries[index as usize]
    }

    /// Whether there can be an entry with this hash: false is certain.
    #[inline]
    pub fn may_have(&self, hash: u32) -> bool {
        self.head(hash).bits >> (hash >> 27) & 1 != 0
    }

    /// The first entry with this hash and a text that passes.
    #[inline]
    pub fn find(&self, hash: u32, is_wanted: impl Fn(&[u8]) -> bool) -> Option<u32> {
        let mut index = self.head(hash).first;
        while index != NONE {
            let entry = self.entry(index);
            if entry.hash == hash && is_wanted(&entry.text) {
                return Some(index);
            }
            index = entry.next;
        }
        None
    }

    /// The caller knows that the filter is not there, and adds a taker.
    pub fn insert(&mut self, hash: u32, text: &str) -> u32 {
        if self.entries.len() == self.entries.capacity() {
            // Less at a time than a vector takes by itself: what is not used yet is memory all the same.
            self.entries.reserve_exact(self.entries.len() / 8 + ENTRIES_MIN);
        }
        let text = Text::new(text);
        let entry = Entry { hash, next: NONE, text, takers: Takers::Nobody };
        let index = u32::try_from(self.entries.insert(entry)).expect("memory ends before 32-bit indexes do");
        if self.entries.len() > self.heads.len() {
            self.grow();
        } else {
            self.link(index);
        }
        index
    }

    pub fn remove(&mut self, index: u32) {
        let removed = self.entries.remove(index as usize);
        let bucket = removed.hash as usize & (self.heads.len() - 1);
        let mut head = Head { first: self.heads[bucket].first, ..Head::EMPTY };
        if head.first == index {
            head.first = removed.next;
        }
        let mut at = head.first;
        while at != NONE {
            let entry = &mut self.entries[at as usize];
            head.bits |= bit(entry.hash);
            if entry.next == index {
                entry.next = removed.next;
            }
            at = entry.next;
        }
        self.heads[bucket] = head;
    }

    #[inline]
    fn head(&self, hash: u32) -> Head {
        self.heads[hash as usize & (self.heads.len() - 1)]
    }

    fn grow(&mut self) {
        let buckets = self.entries.len().next_power_of_two().max(BUCKETS_MIN);
        self.heads = vec![Head::EMPTY; buckets];
        let heads = &mut self.heads;
        for (index, entry) in &mut self.entries {
            link(heads, index as u32, entry);
        }
    }

    fn link(&mut self, index: u32) {
        link(&mut self.heads, index, &mut self.entries[index as usize]);
    }
}

impl Head {
    const EMPTY: Head = Head { first: NONE, bits: 0 };
}

fn link(heads: &mut [Head], index: u32, entry: &mut Entry) {
    let head = &mut heads[entry.hash as usize & (heads.len() - 1)];
    entry.next = head.first;
    *head = Head { first: index, bits: head.bits | bit(entry.hash) };
}

/// From the other end of the hash than the bucket.
fn bit(hash: u32) -> u32 {
    1 << (hash >> 27)
}

/// Where no entry is.
const NONE: u32 = u32::MAX;

const BUCKETS_MIN: usize = 8;

const ENTRIES_MIN: usize = 4;

const _: () = assert!(size_of::<Option<Entry>>() == 64, "a filter's slot stays one cache line");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Few hashes, so that chains are long and all of one bucket, bit or both.
        #[test]
        fn chains_behave_like_a_map(steps in prop::collection::vec((0..40u32, 0..4u32, 0..3u32, any::<bool>()), 1..300)) {
            let mut chains = Chains::new();
            let mut map = BTreeMap::new();
            for (text, low, high, comes) in steps {
                let key = (format!("text{text}"), (low * 64) | (high << 27));
                let (name, hash) = (&key.0, key.1);
                let found = chains.find(hash, |held| held == name.as_bytes());
                assert_eq!(found, map.get(&key).copied());
                assert!(found.is_none() || chains.may_have(hash));
                match (found, comes) {
                    (None, true) => {
                        let index = chains.insert(hash, name);
                        map.insert(key, index);
                    }
                    (Some(index), false) => {
                        chains.remove(index);
                        map.remove(&key);
                    }
                    _ => {}
                }
                assert_eq!(chains.len(), map.len());
            }
            for ((name, hash), index) in &map {
                assert_eq!(chains.find(*hash, |held| held == name.as_bytes()), Some(*index));
            }
            for index in map.into_values() {
                chains.remove(index);
            }
            assert!(chains.heads.iter().all(|head| head.bits == 0 && head.first == NONE));
        }
    }
}
