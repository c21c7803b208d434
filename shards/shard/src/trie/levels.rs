//! The names of levels that occur in filters with wildcards, each known by a number and kept once.

use crate::hashing::{Table, hasher};

use std::num::NonZeroU32;

use hashbrown::HashTable;
use slab::Slab;

use super::tag::Tag;

/// The number of a level's name: equal names, equal numbers. Never zero, so that an optional one is no larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LevelId(NonZeroU32);

impl LevelId {
    fn new(index: usize) -> LevelId {
        let number = u32::try_from(index + 1).ok().and_then(NonZeroU32::new);
        LevelId(number.expect("memory ends before 32-bit indexes do"))
    }

    fn index(self) -> usize {
        self.0.get() as usize - 1
    }

    pub fn number(self) -> u32 {
        self.0.get()
    }
}

pub(super) struct Levels {
    /// Indexes into `levels`, found by name.
    by_name: HashTable<Tag>,
    levels: Slab<Level>,
    hasher: ahash::RandomState,
}

struct Level {
    name: Box<[u8]>,
    uses: u32,
}

impl Levels {
    pub fn new(seed: u64) -> Levels {
        let hasher = hasher(seed, Table::Levels);
        Levels { by_name: HashTable::new(), levels: Slab::new(), hasher }
    }

    pub fn find(&self, name: &[u8]) -> Option<LevelId> {
        self.find_hashed(Tag::hash(&self.hasher, name), name)
    }

    /// Finds or adds the name, and counts one more use of it.
    pub fn acquire(&mut self, name: &[u8]) -> LevelId {
        let hash = Tag::hash(&self.hasher, name);
        if let Some(id) = self.find_hashed(hash, name) {
            self.levels[id.index()].uses += 1;
            return id;
        }
        let id = LevelId::new(self.levels.insert(Level { name: name.into(), uses: 1 }));
        let tag = Tag { hash, index: id.index() as u32 };
        self.by_name.insert_unique(tag.spread(), tag, Tag::spread);
        id
    }

    /// Counts one use less, and forgets the name with the last one.
    pub fn release(&mut self, id: LevelId) {
        let level = &mut self.levels[id.index()];
        level.uses -= 1;
        if level.uses > 0 {
            return;
        }
        let tag = Tag { hash: Tag::hash(&self.hasher, &level.name), index: id.index() as u32 };
        let entry = self.by_name.find_entry(tag.spread(), |held| held.index == tag.index);
        entry.expect("every level is found by its name").remove();
        self.levels.remove(id.index());
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    fn find_hashed(&self, hash: u32, name: &[u8]) -> Option<LevelId> {
        let same = |held: &Tag| held.hash == hash && *self.levels[held.index as usize].name == *name;
        self.by_name.find(Tag { hash, index: 0 }.spread(), same).map(|held| LevelId::new(held.index as usize))
    }
}
