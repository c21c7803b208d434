//! The subscriptions of many sessions to one thing, be it a filter or a shared subscription's group. At most one each.

use hashbrown::HashTable;

use crate::{keys::SessionKey, trie::Subscription};

/// A list, because delivery walks all of it. A long one gets an index beside it: a hundred thousand sessions that leave
/// one filter would otherwise each walk the rest of it.
#[derive(Default)]
pub(crate) struct Subscribers {
    list: Vec<Subscription>,
    /// Positions in `list`, found by session.
    index: Option<Box<HashTable<u32>>>,
}

impl Subscribers {
    /// Adds the subscription, or replaces and returns the one that the session had.
    pub fn insert(&mut self, subscription: Subscription) -> Option<Subscription> {
        if let Some(at) = self.position(subscription.session) {
            return Some(std::mem::replace(&mut self.list[at], subscription));
        }
        let at = u32::try_from(self.list.len()).expect("no more subscribers than session keys, of 32 bits");
        self.list.push(subscription);
        match &mut self.index {
            Some(index) => {
                index.insert_unique(hash(subscription.session), at, |&at| {
                    hash(self.list[at as usize].session)
                });
            }
            None if self.list.len() > LIST_MAX => self.build_index(),
            None => {}
        }
        None
    }

    /// Removes the session's subscription. The last of the list takes its place.
    pub fn remove(&mut self, session: SessionKey) -> Option<Subscription> {
        let at = self.position(session)?;
        let last = self.list.len() - 1;
        if let Some(index) = &mut self.index {
            let position_of = |position: usize| move |&at: &u32| at as usize == position;
            let entry = index.find_entry(hash(session), position_of(at));
            entry.expect("everyone in the list is in the index").remove();
            if at != last {
                let moved = index.find_mut(hash(self.list[last].session), position_of(last));
                *moved.expect("everyone in the list is in the index") = at as u32;
            }
        }
        let removed = self.list.swap_remove(at);
        self.give_back_memory();
        Some(removed)
    }

    pub fn get(&self, session: SessionKey) -> Option<&Subscription> {
        self.position(session).map(|at| &self.list[at])
    }

    pub fn as_slice(&self) -> &[Subscription] {
        &self.list
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn position(&self, session: SessionKey) -> Option<usize> {
        match &self.index {
            Some(index) => {
                let found = index.find(hash(session), |&at| self.list[at as usize].session == session);
                found.map(|&at| at as usize)
            }
            None => self.list.iter().position(|held| held.session == session),
        }
    }

    fn build_index(&mut self) {
        let hash_at = |at: &u32| hash(self.list[*at as usize].session);
        let mut index = HashTable::with_capacity(self.list.len() * 2);
        for at in 0..self.list.len() as u32 {
            index.insert_unique(hash_at(&at), at, hash_at);
        }
        self.index = Some(Box::new(index));
    }

    /// A filter that was popular once does not keep the memory of that time.
    fn give_back_memory(&mut self) {
        // Half the length at which the index was made, so that one session that comes and goes does not make and drop it.
        if self.list.len() <= LIST_MAX / 2 {
            self.index = None;
        }
        if self.list.len() >= LIST_MAX / 4 && self.list.len() <= self.list.capacity() / 4 {
            self.list.shrink_to(self.list.len() * 2);
            if let Some(index) = &mut self.index {
                index.shrink_to(self.list.len() * 2, |&at| hash(self.list[at as usize].session));
            }
        }
    }
}

/// Session keys are slab indexes that no client chooses, so that spreading their bits is enough.
fn hash(session: SessionKey) -> u64 {
    u64::from(session.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Up to this length a walk over the list is as fast as a look into an index.
const LIST_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn subscription(session: u32, subscription_id: u32) -> Subscription {
        let options = mqtt::SubscriptionOptions::default();
        Subscription { session: SessionKey(session), options, subscription_id }
    }

    #[test]
    fn memory_is_given_back_when_the_crowd_has_left() {
        let mut subscribers = Subscribers::default();
        for session in 0..10_000 {
            subscribers.insert(subscription(session, 0));
        }
        for session in 0..9_999 {
            subscribers.remove(SessionKey(session));
        }
        assert!(subscribers.list.capacity() <= LIST_MAX, "{}", subscribers.list.capacity());
        assert!(subscribers.index.is_none());
        assert_eq!(subscribers.as_slice(), [subscription(9_999, 0)]);
    }

    proptest! {
        // Enough sessions that the index comes and goes.
        #[test]
        fn a_list_with_an_index_behaves_like_a_map(steps in prop::collection::vec((0..80u32, 0..9u32), 1..600)) {
            let mut subscribers = Subscribers::default();
            let mut map = BTreeMap::new();
            for (at, &(session, id)) in steps.iter().enumerate() {
                // Waves of coming and going.
                let comes = id < if at / 150 % 2 == 0 { 8 } else { 1 };
                if comes {
                    let before = map.insert(session, subscription(session, id));
                    assert_eq!(subscribers.insert(subscription(session, id)), before);
                } else {
                    assert_eq!(subscribers.remove(SessionKey(session)), map.remove(&session));
                }
                assert_eq!(subscribers.get(SessionKey(session)), map.get(&session));
                assert_eq!(subscribers.len(), map.len());
                assert_eq!(subscribers.is_empty(), map.is_empty());
            }
            let mut list = subscribers.as_slice().to_vec();
            list.sort_unstable_by_key(|held| held.session);
            assert_eq!(list, map.into_values().collect::<Vec<_>>());
        }
    }
}
