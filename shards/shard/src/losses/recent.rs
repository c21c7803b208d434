//! A table by name that has a limit: who was asked for least lately makes way.

use hashbrown::HashTable;

pub(crate) struct Recent<V> {
    entries: Vec<Entry<V>>,
    /// Positions in `entries`, found by name.
    by_name: HashTable<u32>,
    hasher: ahash::RandomState,
    newest: u32,
    oldest: u32,
    most: usize,
}

struct Entry<V> {
    name: Box<str>,
    value: V,
    /// Its neighbours in the order of use.
    newer: u32,
    older: u32,
}

impl<V> Recent<V> {
    pub fn new(most: usize, hasher: ahash::RandomState) -> Recent<V> {
        assert!(most > 0, "somebody has to have room");
        let by_name = HashTable::new();
        Recent { entries: Vec::new(), by_name, hasher, newest: NOBODY, oldest: NOBODY, most }
    }

    /// What stands under this name, made if there is nothing. `evicted` gets what had to make way for it.
    pub fn entry(&mut self, name: &str, make: impl FnOnce() -> V, evicted: impl FnOnce(V)) -> &mut V {
        let is_newest = self.newest != NOBODY && *self.entries[self.newest as usize].name == *name;
        let at = if is_newest { self.newest } else { self.find_or_make(name, make, evicted) };
        &mut self.entries[at as usize].value
    }

    pub fn get(&self, name: &str) -> Option<&V> {
        self.position(name).map(|at| &self.entries[at as usize].value)
    }

    /// By position: an entry keeps its own until it makes way.
    pub fn at(&self, at: usize) -> Option<(&str, &V)> {
        self.entries.get(at).map(|entry| (&*entry.name, &entry.value))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    fn position(&self, name: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(name);
        self.by_name.find(hash, |at| *self.entries[*at as usize].name == *name).copied()
    }

    fn find_or_make(&mut self, name: &str, make: impl FnOnce() -> V, evicted: impl FnOnce(V)) -> u32 {
        let at = match self.position(name) {
            Some(at) => {
                self.take_out(at);
                at
            }
            None if self.entries.len() < self.most => {
                let entry = Entry { name: name.into(), value: make(), newer: NOBODY, older: NOBODY };
                self.entries.push(entry);
                let at = u32::try_from(self.entries.len() - 1).expect("the limit is far lower");
                self.enter(at);
                at
            }
            None => {
                let at = self.oldest;
                self.take_out(at);
                self.leave(at);
                let entry = &mut self.entries[at as usize];
                entry.name = name.into();
                evicted(std::mem::replace(&mut entry.value, make()));
                self.enter(at);
                at
            }
        };
        self.put_first(at);
        at
    }

    fn enter(&mut self, at: u32) {
        let Recent { entries, by_name, hasher, .. } = self;
        let hash = |at: &u32| hasher.hash_one(&*entries[*at as usize].name);
        by_name.insert_unique(hash(&at), at, hash);
    }

    fn leave(&mut self, at: u32) {
        let hash = self.hasher.hash_one(&*self.entries[at as usize].name);
        let held = self.by_name.find_entry(hash, |held| *held == at);
        held.expect("every entry stands in the table").remove();
    }

    fn take_out(&mut self, at: u32) {
        let Entry { newer, older, .. } = self.entries[at as usize];
        match newer {
            NOBODY => self.newest = older,
            newer => self.entries[newer as usize].older = older,
        }
        match older {
            NOBODY => self.oldest = newer,
            older => self.entries[older as usize].newer = newer,
        }
    }

    fn put_first(&mut self, at: u32) {
        let older = std::mem::replace(&mut self.newest, at);
        let entry = &mut self.entries[at as usize];
        entry.newer = NOBODY;
        entry.older = older;
        match older {
            NOBODY => self.oldest = at,
            older => self.entries[older as usize].newer = at,
        }
    }
}

/// No position.
const NOBODY: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(most: usize) -> Recent<u64> {
        Recent::new(most, ahash::RandomState::with_seeds(1, 2, 3, 4))
    }

    #[test]
    fn who_was_asked_for_least_lately_makes_way() {
        let mut recent = recent(3);
        let mut gone = Vec::new();
        for (name, count) in [("a", 1), ("b", 2), ("c", 4), ("a", 8), ("d", 16), ("d", 32), ("b", 64)] {
            *recent.entry(name, || 0, |count| gone.push(count)) += count;
        }
        assert_eq!(gone, [2, 4], "b first, then c");
        let held = |name| recent.get(name).copied();
        assert_eq!([held("a"), held("b"), held("c"), held("d")], [Some(9), Some(64), None, Some(48)]);
    }

    #[test]
    fn nothing_is_lost_whatever_the_order() {
        let mut recent = recent(8);
        let (mut sum, mut gone) = (0, 0);
        let mut random = 7_u64;
        for n in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let name = format!("n{}", (random >> 33) % 23);
            *recent.entry(&name, || 0, |count| gone += count) += n;
            sum += n;
        }
        let held: u64 = (0..recent.len()).filter_map(|at| recent.at(at)).map(|(_, count)| count).sum();
        assert_eq!((held + gone, recent.len(), recent.by_name.len()), (sum, 8, 8));
    }

    #[test]
    fn one_entry_is_enough() {
        let mut recent = recent(1);
        let mut gone = Vec::new();
        for name in ["a", "a", "b", "a"] {
            *recent.entry(name, || 0, |count| gone.push(count)) += 1;
        }
        assert_eq!((gone, recent.get("a")), (vec![2, 1], Some(&1)));
    }
}
