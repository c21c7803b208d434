//! The subscription trie: which sessions, groups and other shards want a given topic. What becomes of a message that
//! they want is the router's business.

mod chains;
mod cut;
mod levels;
mod node;
mod shaped;
mod tag;
mod takers;
mod text;
mod tree;

use crate::{
    ShardId, ShardSet,
    keys::{GroupKey, SessionKey},
};
use chains::Chains;
use cut::{Cut, Keys};
use shaped::{Shape, Shaped};
use takers::Takers;
use tree::Tree;

/// A session's interest in one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub session: SessionKey,
    pub options: mqtt::SubscriptionOptions,
    /// 0: none.
    pub subscription_id: u32,
}

pub(crate) struct Trie {
    /// Filters without a wildcard.
    exact: Chains,
    /// Filters with wildcards.
    shaped: Shaped,
    /// Those for which `shaped` has no room.
    tree: Tree,
    keys: Keys,
    subscription_count: usize,
    generation: u64,
}

/// What a topic matches.
#[derive(Debug, Default, Clone)]
pub(crate) struct Matches {
    pub local: Vec<Subscription>,
    /// With 0 or 1 no session can stand in `local` twice.
    pub filters_with_local: usize,
    pub peers: ShardSet,
    pub groups: Vec<GroupKey>,
    /// The nodes that the topic reached, kept for the next topic's sake.
    here: Vec<u32>,
    next: Vec<u32>,
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

/// Where a filter's takers are.
#[derive(Debug, Clone, Copy)]
enum Place {
    Exact(u32),
    Shaped(u32, Shape),
    Tree(tree::Place),
}

impl Trie {
    pub fn new(seed: u64) -> Trie {
        Trie {
            exact: Chains::new(),
            shaped: Shaped::new(),
            tree: Tree::new(seed),
            keys: Keys::new(seed),
            subscription_count: 0,
            generation: 0,
        }
    }

    /// Adds or replaces the session's subscription to this filter, which is never a shared one.
    pub fn subscribe(&mut self, filter: &str, subscription: Subscription) -> Subscribed {
        let place = self.find_or_insert(filter);
        let subscribed = self.takers_mut(place).subscribe(subscription);
        self.subscription_count += usize::from(subscribed.replaced.is_none());
        self.generation += 1;
        subscribed
    }

    /// `None`: the session had no such subscription.
    pub fn unsubscribe(&mut self, filter: &str, session: SessionKey) -> Option<Unsubscribed> {
        let place = self.find(filter)?;
        let unsubscribed = self.takers_mut(place).unsubscribe(session)?;
        self.subscription_count -= 1;
        self.after_removal(place);
        Some(unsubscribed)
    }

    pub fn add_peer(&mut self, filter: &str, peer: ShardId) {
        let place = self.find_or_insert(filter);
        self.generation += u64::from(self.takers_mut(place).add_peer(peer));
    }

    pub fn remove_peer(&mut self, filter: &str, peer: ShardId) {
        if let Some(place) = self.find(filter)
            && self.takers_mut(place).remove_peer(peer)
        {
            self.after_removal(place);
        }
    }

    pub fn add_group(&mut self, filter: &str, group: GroupKey) {
        let place = self.find_or_insert(filter);
        self.generation += u64::from(self.takers_mut(place).add_group(group));
    }

    pub fn remove_group(&mut self, filter: &str, group: GroupKey) {
        if let Some(place) = self.find(filter)
            && self.takers_mut(place).remove_group(group)
        {
            self.after_removal(place);
        }
    }

    /// Everything that matches; clears `found` first, and allocates nothing once `found` has grown.
    pub fn matches(&self, topic: &str, found: &mut Matches) {
        found.clear();
        let mut cut = Cut::new(topic);
        self.keys.fill(&mut cut);
        // Asked before the shapes and used after them, so that memory has time to answer.
        let is_likely_exact = self.exact.may_have(cut.hash);
        self.shaped.matches(&cut, found);
        if is_likely_exact && let Some(index) = self.exact.find(cut.hash, |filter| filter == topic.as_bytes())
        {
            self.exact.entry(index).takers.add_to(found);
        }
        if self.tree.filter_count() > 0 {
            self.tree.matches(topic, found);
        }
    }

    pub fn subscription(&self, filter: &str, session: SessionKey) -> Option<Subscription> {
        self.takers(self.find(filter)?).subscription(session)
    }

    #[cfg(test)]
    pub fn has_local(&self, filter: &str) -> bool {
        self.find(filter).is_some_and(|place| self.takers(place).has_local())
    }

    /// Changes with every change of any kind: a cache of match results is valid for one generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn filter_count(&self) -> usize {
        self.exact.len() + self.shaped.len() + self.tree.filter_count()
    }

    #[cfg(test)]
    pub fn subscription_count(&self) -> usize {
        self.subscription_count
    }

    fn find(&self, filter: &str) -> Option<Place> {
        self.find_cut(&self.keys.cut(filter))
    }

    fn find_cut(&self, filter: &Cut<'_>) -> Option<Place> {
        if !has_wildcard(filter.text) {
            return self.exact.find(filter.hash, |held| held == filter.text.as_bytes()).map(Place::Exact);
        }
        if let Some(shape) = Shape::of(filter)
            && let Some(index) = self.shaped.find(&self.keys, shape, filter)
        {
            return Some(Place::Shaped(index, shape));
        }
        // A filter stays where it is, also when its shape has got room since. A prefix of filters is no filter itself unless
        // somebody takes it.
        self.tree.find(filter.text).filter(|&place| !self.tree.takers(place).is_nobody()).map(Place::Tree)
    }

    fn find_or_insert(&mut self, filter: &str) -> Place {
        let filter = self.keys.cut(filter);
        if let Some(place) = self.find_cut(&filter) {
            return place;
        }
        if !has_wildcard(filter.text) {
            return Place::Exact(self.exact.insert(filter.hash, filter.text));
        }
        match Shape::of(&filter).filter(|&shape| self.shaped.admits(shape)) {
            Some(shape) => Place::Shaped(self.shaped.insert(&self.keys, shape, &filter), shape),
            None => Place::Tree(self.tree.find_or_insert(filter.text)),
        }
    }

    fn takers(&self, place: Place) -> &Takers {
        match place {
            Place::Exact(index) => &self.exact.entry(index).takers,
            Place::Shaped(index, _) => self.shaped.takers(index),
            Place::Tree(place) => self.tree.takers(place),
        }
    }

    fn takers_mut(&mut self, place: Place) -> &mut Takers {
        match place {
            Place::Exact(index) => &mut self.exact.entry_mut(index).takers,
            Place::Shaped(index, _) => self.shaped.takers_mut(index),
            Place::Tree(place) => self.tree.takers_mut(place),
        }
    }

    fn after_removal(&mut self, place: Place) {
        self.generation += 1;
        if self.takers(place).is_nobody() {
            match place {
                Place::Exact(index) => self.exact.remove(index),
                Place::Shaped(index, shape) => self.shaped.remove(&self.keys, shape, index),
                Place::Tree(place) => self.tree.remove(place),
            }
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

fn has_wildcard(filter: &str) -> bool {
    filter.as_bytes().contains(&b'+') || filter.as_bytes().contains(&b'#')
}

#[cfg(test)]
mod tests;
