//! The filters that one session subscribes to, shared ones by their whole `$share/group/filter`.

use hashbrown::HashSet;

/// Most sessions hold a handful of filters, which a list serves best; a set takes over where a list would be slow.
pub(crate) enum Filters {
    Few(Vec<Box<str>>),
    Many(Box<HashSet<Box<str>, ahash::RandomState>>),
}

impl Default for Filters {
    fn default() -> Filters {
        Filters::Few(Vec::new())
    }
}

impl Filters {
    /// The caller knows that the filter is not there yet.
    pub fn insert(&mut self, filter: &str) {
        match self {
            Filters::Few(list) if list.len() < FEW_MAX => {
                list.reserve_exact(1);
                list.push(filter.into());
            }
            Filters::Few(list) => {
                let mut set = HashSet::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4));
                set.extend(list.drain(..));
                set.insert(filter.into());
                *self = Filters::Many(Box::new(set));
            }
            Filters::Many(set) => {
                set.insert(filter.into());
            }
        }
    }

    pub fn remove(&mut self, filter: &str) {
        match self {
            Filters::Few(list) => list.retain(|held| &**held != filter),
            Filters::Many(set) => {
                set.remove(filter);
            }
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Filters::Few(list) => list.len(),
            Filters::Many(set) => set.len(),
        }
    }

    /// In an order that depends on nothing but what was inserted.
    pub fn into_sorted(self) -> Vec<Box<str>> {
        let mut filters = match self {
            Filters::Few(list) => list,
            Filters::Many(set) => set.into_iter().collect(),
        };
        filters.sort_unstable();
        filters
    }
}

const FEW_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_come_and_go_in_a_list_and_in_a_set() {
        let mut filters = Filters::default();
        for n in 0..100 {
            filters.insert(&format!("f/{n}"));
            assert_eq!(filters.len(), n + 1);
        }
        filters.remove("f/7");
        filters.remove("absent");
        assert_eq!(filters.len(), 99);
        let sorted = filters.into_sorted();
        assert!(sorted.is_sorted());
        assert!(!sorted.contains(&"f/7".into()));
    }
}
