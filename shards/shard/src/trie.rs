//! The subscription trie: which sessions, groups and other shards want a given topic.

use std::collections::BTreeMap;

use crate::{
    ShardId, ShardSet,
    keys::{GroupKey, SessionKey},
};

/// A session's interest in one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub session: SessionKey,
    pub options: mqtt::SubscriptionOptions,
    /// 0: none.
    pub subscription_id: u32,
}

pub(crate) struct Trie {
    filters: BTreeMap<Box<str>, Entry>,
    generation: u64,
}

#[derive(Default)]
struct Entry {
    local: Vec<Subscription>,
    peers: ShardSet,
    groups: Vec<GroupKey>,
}

/// What a topic matches.
#[derive(Debug, Default)]
pub(crate) struct Matches {
    pub local: Vec<Subscription>,
    /// With 0 or 1 no session can stand in `local` twice.
    pub filters_with_local: usize,
    pub peers: ShardSet,
    pub groups: Vec<GroupKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscribed {
    pub replaced: Option<Subscription>,
    /// Nobody here had this filter: other shards are to be told.
    pub first_local: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unsubscribed {
    /// Nobody here has this filter any more: other shards are to be told.
    pub last_local: bool,
}

impl Trie {
    pub fn new(_seed: u64) -> Trie {
        Trie { filters: BTreeMap::new(), generation: 0 }
    }

    /// Adds or replaces the session's subscription to this filter, which is never a shared one.
    pub fn subscribe(&mut self, filter: &str, subscription: Subscription) -> Subscribed {
        self.generation += 1;
        let entry = self.filters.entry(filter.into()).or_default();
        let first_local = entry.local.is_empty();
        match entry.local.iter_mut().find(|held| held.session == subscription.session) {
            Some(held) => {
                Subscribed { replaced: Some(std::mem::replace(held, subscription)), first_local: false }
            }
            None => {
                entry.local.push(subscription);
                Subscribed { replaced: None, first_local }
            }
        }
    }

    /// `None`: the session had no such subscription.
    pub fn unsubscribe(&mut self, filter: &str, session: SessionKey) -> Option<Unsubscribed> {
        let entry = self.filters.get_mut(filter)?;
        let at = entry.local.iter().position(|held| held.session == session)?;
        entry.local.swap_remove(at);
        let last_local = entry.local.is_empty();
        self.changed(filter);
        Some(Unsubscribed { last_local })
    }

    pub fn add_peer(&mut self, filter: &str, peer: ShardId) {
        self.filters.entry(filter.into()).or_default().peers.insert(peer);
        self.changed(filter);
    }

    pub fn remove_peer(&mut self, filter: &str, peer: ShardId) {
        if let Some(entry) = self.filters.get_mut(filter) {
            entry.peers.remove(peer);
        }
        self.changed(filter);
    }

    pub fn add_group(&mut self, filter: &str, group: GroupKey) {
        let entry = self.filters.entry(filter.into()).or_default();
        if !entry.groups.contains(&group) {
            entry.groups.push(group);
        }
        self.changed(filter);
    }

    pub fn remove_group(&mut self, filter: &str, group: GroupKey) {
        if let Some(entry) = self.filters.get_mut(filter) {
            entry.groups.retain(|held| *held != group);
        }
        self.changed(filter);
    }

    /// Everything that matches; clears `found` first.
    pub fn matches(&self, topic: &str, found: &mut Matches) {
        found.clear();
        for (filter, entry) in &self.filters {
            if mqtt::matches(filter, topic) {
                found.local.extend_from_slice(&entry.local);
                found.filters_with_local += usize::from(!entry.local.is_empty());
                found.peers = found.peers.union(entry.peers);
                found.groups.extend_from_slice(&entry.groups);
            }
        }
    }

    pub fn subscription(&self, filter: &str, session: SessionKey) -> Option<Subscription> {
        self.filters.get(filter)?.local.iter().find(|held| held.session == session).copied()
    }

    pub fn has_local(&self, filter: &str) -> bool {
        self.filters.get(filter).is_some_and(|entry| !entry.local.is_empty())
    }

    /// Changes with every change of any kind: a cache of match results is valid for one generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn filter_count(&self) -> usize {
        self.filters.len()
    }

    pub fn subscription_count(&self) -> usize {
        self.filters.values().map(|entry| entry.local.len()).sum()
    }

    fn changed(&mut self, filter: &str) {
        self.generation += 1;
        let empty =
            |entry: &Entry| entry.local.is_empty() && entry.peers.is_empty() && entry.groups.is_empty();
        if self.filters.get(filter).is_some_and(empty) {
            self.filters.remove(filter);
        }
    }
}

impl Matches {
    pub fn clear(&mut self) {
        self.local.clear();
        self.filters_with_local = 0;
        self.peers = ShardSet::EMPTY;
        self.groups.clear();
    }

    pub fn is_empty(&self) -> bool {
        self.local.is_empty() && self.peers.is_empty() && self.groups.is_empty()
    }
}
