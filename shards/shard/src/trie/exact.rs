//! The filters without a wildcard, found by the whole topic at once. Most filters are of this kind.

use hashbrown::HashTable;
use slab::Slab;

use super::{tag::Tag, takers::Takers};

pub(super) struct Exact {
    /// Indexes into `filters`, found by text.
    by_text: HashTable<Tag>,
    filters: Slab<Filter>,
    hasher: ahash::RandomState,
}

struct Filter {
    text: Box<str>,
    takers: Takers,
}

impl Exact {
    pub fn new(seed: u64) -> Exact {
        let hasher = ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(32), 0xe8ac_70f1);
        Exact { by_text: HashTable::new(), filters: Slab::new(), hasher }
    }

    pub fn find(&self, text: &str) -> Option<u32> {
        self.find_hashed(Tag::hash(&self.hasher, text.as_bytes()), text)
    }

    pub fn find_or_insert(&mut self, text: &str) -> u32 {
        let hash = Tag::hash(&self.hasher, text.as_bytes());
        if let Some(index) = self.find_hashed(hash, text) {
            return index;
        }
        let filter = Filter { text: text.into(), takers: Takers::Nobody };
        let index = u32::try_from(self.filters.insert(filter)).expect("memory ends before 32-bit indexes do");
        let tag = Tag { hash, index };
        self.by_text.insert_unique(tag.spread(), tag, Tag::spread);
        index
    }

    pub fn takers(&self, index: u32) -> &Takers {
        &self.filters[index as usize].takers
    }

    pub fn takers_mut(&mut self, index: u32) -> &mut Takers {
        &mut self.filters[index as usize].takers
    }

    pub fn remove(&mut self, index: u32) {
        let filter = self.filters.remove(index as usize);
        let tag = Tag { hash: Tag::hash(&self.hasher, filter.text.as_bytes()), index };
        let entry = self.by_text.find_entry(tag.spread(), |held| held.index == index);
        entry.expect("every filter is found by its text").remove();
    }

    pub fn len(&self) -> usize {
        self.filters.len()
    }

    fn find_hashed(&self, hash: u32, text: &str) -> Option<u32> {
        let same = |held: &Tag| held.hash == hash && *self.filters[held.index as usize].text == *text;
        self.by_text.find(Tag { hash, index: 0 }.spread(), same).map(|held| held.index)
    }
}

const _: () = assert!(size_of::<Option<Filter>>() == 32, "a filter's slot stays small");
