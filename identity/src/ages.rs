//! A table that forgets: bounded, without a list of who was used when.
//!
//! Entries are in one of two ages. When the younger is half of what may be, the elder is forgotten and the younger takes its
//! place; whatever is written meanwhile is young again. So an entry lives through at least half a table of others.

use std::{collections::HashMap, hash::Hash, mem};

pub(crate) struct Ages<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    entries_max: usize,
    turns: u64,
}

impl<K: Hash + Eq, V> Ages<K, V> {
    pub fn new(entries_max: usize) -> Ages<K, V> {
        Ages { young: HashMap::new(), old: HashMap::new(), entries_max: entries_max.max(2), turns: 0 }
    }

    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.entries_max / 2 && !self.young.contains_key(&key) {
            self.old = mem::take(&mut self.young);
            self.turns += 1;
        }
        self.young.insert(key, value);
    }

    /// In its age.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.young.get_mut(key).or_else(|| self.old.get_mut(key))
    }

    /// Whether it is among the young ones. None: it is not there.
    pub fn is_young(&self, key: &K) -> Option<bool> {
        let is_young = self.young.contains_key(key);
        (is_young || self.old.contains_key(key)).then_some(is_young)
    }

    /// How often the elder age was forgotten.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    pub fn clear(&mut self) {
        self.young = HashMap::new();
        self.old = HashMap::new();
    }
}

#[cfg(test)]
impl<K, V> Ages<K, V> {
    pub fn iter(&self) -> impl Iterator<Item = &V> {
        self.young.values().chain(self.old.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_never_exceeds_its_bound_and_keeps_what_is_written_again() {
        let mut ages = Ages::new(100);
        for number in 0..10_000 {
            ages.insert(number, number);
            ages.insert(-1, number);
            assert!(ages.len() <= 100);
            assert_eq!(ages.get(&-1), Some(&number));
            assert_eq!(ages.get(&(number - 40).max(0)), Some(&(number - 40).max(0)));
        }
        for number in [9_999, 9_960] {
            assert!(ages.is_young(&number).is_some());
            assert_eq!(ages.remove(&number), Some(number));
            assert_eq!(ages.get(&number), None);
        }
        ages.clear();
        assert_eq!(ages.len(), 0);
    }
}
