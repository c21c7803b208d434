//! The filters that one session subscribes to, shared ones by their whole `$share/group/filter`.

use std::{collections::BTreeSet, ops::Bound};

/// Most sessions hold a handful of filters, which a list serves best; a set takes over where a list would be slow.
pub(crate) enum Filters {
    Few(Vec<Box<str>>),
    Many(BTreeSet<Box<str>>),
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
                let mut set: BTreeSet<Box<str>> = list.drain(..).collect();
                set.insert(filter.into());
                *self = Filters::Many(set);
            }
            Filters::Many(set) => {
                set.insert(filter.into());
            }
        }
    }

    /// False: it was not there.
    pub fn remove(&mut self, filter: &str) -> bool {
        match self {
            Filters::Few(list) => {
                let before = list.len();
                list.retain(|held| &**held != filter);
                list.len() < before
            }
            Filters::Many(set) => set.remove(filter),
        }
    }

    pub fn contains(&self, filter: &str) -> bool {
        match self {
            Filters::Few(list) => list.iter().any(|held| **held == *filter),
            Filters::Many(set) => set.contains(filter),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Filters::Few(list) => list.len(),
            Filters::Many(set) => set.len(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let (list, set) = match self {
            Filters::Few(list) => (Some(list.iter()), None),
            Filters::Many(set) => (None, Some(set.iter())),
        };
        list.into_iter().flatten().chain(set.into_iter().flatten()).map(|filter| &**filter)
    }

    /// All behind this one, in the order of `iter`; behind an empty one, which no filter is, all of them.
    pub fn behind(&self, after: &str) -> impl Iterator<Item = &str> {
        let (list, set) = match self {
            Filters::Few(list) => {
                let at = list.iter().position(|held| **held == *after).map(|at| at + 1);
                let none = if after.is_empty() { 0 } else { list.len() };
                (Some(list[at.unwrap_or(none)..].iter()), None)
            }
            Filters::Many(set) => {
                (None, Some(set.range::<str, _>((Bound::Excluded(after), Bound::Unbounded))))
            }
        };
        list.into_iter().flatten().chain(set.into_iter().flatten()).map(|filter| &**filter)
    }

    /// Not more than so many of those behind this one, in their order; all of a list, which has no order and few.
    pub fn page(&self, after: Option<&str>, most: usize) -> Vec<Box<str>> {
        match self {
            Filters::Few(list) => list.clone(),
            Filters::Many(set) => {
                let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                set.range::<str, _>((from, Bound::Unbounded)).take(most).cloned().collect()
            }
        }
    }

    /// Those of shared subscriptions. In a set they stand together, so that the others cost nothing.
    pub fn shared(&self) -> impl Iterator<Item = &str> {
        let (list, set) = match self {
            Filters::Few(list) => (Some(list.iter().filter(|filter| is_shared(filter))), None),
            Filters::Many(set) => {
                let from = (Bound::Included(SHARED), Bound::Unbounded);
                (None, Some(set.range::<str, _>(from).take_while(|filter| is_shared(filter))))
            }
        };
        list.into_iter().flatten().chain(set.into_iter().flatten()).map(|filter| &**filter)
    }

    /// Takes one out, in an order that depends on nothing but what was inserted.
    pub fn pop_first(&mut self) -> Option<Box<str>> {
        match self {
            Filters::Few(list) => {
                let (first, _) = list.iter().enumerate().min_by_key(|(_, filter)| &**filter)?;
                Some(list.swap_remove(first))
            }
            Filters::Many(set) => set.pop_first(),
        }
    }
}

/// What the filter is about, without `$share/group/`.
pub(crate) fn inner(filter: &str) -> &str {
    if is_shared(filter) { filter.splitn(3, '/').nth(2).unwrap_or(filter) } else { filter }
}

/// Whether there is a topic that both match. A topic is a filter that matches nothing else. What follows `$share/group/` counts.
pub(crate) fn overlap(one: &str, other: &str) -> bool {
    let (one, other) = (inner(one), inner(other));
    let is_wild = |filter: &str| filter.starts_with(['+', '#']);
    // [MQTT-4.7.2-1]
    if one.starts_with('$') && is_wild(other) || other.starts_with('$') && is_wild(one) {
        return false;
    }
    let (mut ones, mut others) = (one.split('/'), other.split('/'));
    loop {
        match (ones.next(), others.next()) {
            (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
            (Some(one), Some(other)) if one == other || one == "+" || other == "+" => {}
            _ => return false,
        }
    }
}

pub(crate) fn is_shared(filter: &str) -> bool {
    filter.starts_with(SHARED)
}

/// The group of a shared subscription.
pub fn share_name(filter: &str) -> Option<&str> {
    Some(filter.strip_prefix(SHARED)?.split_once('/')?.0)
}

/// What the filter of a shared subscription begins with.
const SHARED: &str = "$share/";
const FEW_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_a_filter_is_all_that_was_not_seen_yet() {
        for count in [5, 100] {
            let mut filters = Filters::default();
            (0..count).for_each(|n| filters.insert(&format!("f/{n}")));
            let all: Vec<&str> = filters.behind("").collect();
            assert_eq!(all, filters.iter().collect::<Vec<_>>());
            assert_eq!(filters.behind(all[2]).collect::<Vec<_>>(), all[3..]);
            assert_eq!(filters.behind(all[count - 1]).next(), None);
        }
        assert_eq!((share_name("$share/g/a/b"), share_name("a/b")), (Some("g"), None));
        assert_eq!((inner("$share/g/a/b"), inner("a/b"), inner("$share/g")), ("a/b", "a/b", "$share/g"));
    }

    #[test]
    fn filters_come_and_go_in_a_list_and_in_a_set() {
        let mut filters = Filters::default();
        for n in 0..100 {
            filters.insert(&format!("f/{n}"));
            assert_eq!(filters.len(), n + 1);
        }
        assert!(filters.remove("f/7") && !filters.remove("f/7"));
        assert!(!filters.remove("absent"));
        assert_eq!(filters.len(), 99);
        let sorted: Vec<Box<str>> = std::iter::from_fn(|| filters.pop_first()).collect();
        assert!(sorted.is_sorted());
        assert!(!sorted.contains(&"f/7".into()));
    }

    #[test]
    fn pages_bring_all_of_a_set_once_and_a_list_as_a_whole() {
        let mut filters = Filters::default();
        filters.insert("b");
        filters.insert("a");
        assert_eq!(filters.page(None, 1), ["b".into(), "a".into()]);
        (0..98).for_each(|n| filters.insert(&format!("f/{n}")));
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let page = filters.page(after.as_deref(), 30);
            assert!(page.len() <= 30);
            let Some(last) = page.last().cloned() else { break };
            // What goes meanwhile leaves no gap.
            filters.remove(&last);
            after = Some(last);
            all.extend(page);
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!((all.len(), filters.len()), (100, 96));
    }

    #[test]
    fn filters_overlap_where_a_topic_matches_both() {
        for (one, other, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/+", "a/b", true),
            ("a/+/c", "a/b/+", true),
            ("a/#", "a", true),
            ("a/#", "+/b/c", true),
            ("a/b/#", "a/c/#", false),
            ("a", "a/b", false),
            ("+", "a/b", false),
            ("$SYS/#", "#", false),
            ("$SYS/#", "$SYS/broker", true),
            ("$share/g/a/+", "a/b", true),
        ] {
            assert_eq!((overlap(one, other), overlap(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn shared_filters_are_told_from_others_in_a_list_and_in_a_set() {
        let mut filters = Filters::default();
        for n in 0..50 {
            // Neighbours of the shared ones on both sides.
            for filter in
                [format!("$share/g/{n}"), format!("$shar{n}"), format!("$share0{n}"), format!("f/{n}")]
            {
                filters.insert(&filter);
            }
            let mut shared: Vec<&str> = filters.shared().collect();
            shared.sort_unstable();
            assert_eq!(shared.len(), n + 1);
            assert!(shared.iter().all(|filter| filter.starts_with("$share/g/")));
        }
    }
}
