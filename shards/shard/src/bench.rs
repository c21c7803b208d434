//! The shard's inner structures as the benches see them. No interface of the broker: it exists with the feature
//! `bench` alone.

use std::hint::black_box;

use mqtt::{QoS, SubscriptionOptions};

use crate::{
    Bundle, Bundled, Errand, Instant, Message, Placement, ShardId,
    keys::SessionKey,
    message::Parts,
    retained, routes,
    trie::{self, Matches, Subscription},
};

/// A subscription trie and room for what a topic matches.
pub struct Trie {
    trie: trie::Trie,
    found: Matches,
}

impl Trie {
    #[must_use]
    pub fn new(seed: u64) -> Trie {
        Trie { trie: trie::Trie::new(seed), found: Matches::default() }
    }

    pub fn subscribe(&mut self, filter: &str, session: u32) {
        let options = SubscriptionOptions::default();
        let subscription = Subscription { session: SessionKey(session), options, subscription_id: 0 };
        self.trie.subscribe(filter, subscription);
    }

    pub fn unsubscribe(&mut self, filter: &str, session: u32) {
        self.trie.unsubscribe(filter, SessionKey(session));
    }

    /// Another shard has a subscriber to the filter.
    pub fn add_peer(&mut self, filter: &str) {
        self.trie.add_peer(filter, ShardId(1));
    }

    /// How many subscriptions match.
    pub fn matches(&mut self, topic: &str) -> usize {
        self.trie.matches(topic, &mut self.found);
        self.found.local.len()
    }
}

/// A trie and what is remembered of the topics of late.
pub struct Routes {
    trie: Trie,
    routes: routes::Routes,
    placement: Placement,
}

impl Routes {
    #[must_use]
    pub fn new(trie: Trie) -> Routes {
        Routes { trie, routes: routes::Routes::new(), placement: Placement::new(1, 1) }
    }

    /// How many subscriptions match, found as the shard does it for each publication.
    pub fn matches(&mut self, topic: &str) -> usize {
        let trie = &self.trie.trie;
        if let Some(recent) = self.routes.recent(trie).filter(|recent| *recent.topic == *topic) {
            return routes::Route::Known(recent).local.len();
        }
        let route = self.routes.find(topic, self.placement.hash(topic), trie);
        let count = route.local.len();
        self.routes.put_back(route);
        count
    }
}

/// A store of retained messages without limits.
pub struct Retained(retained::Retained);

impl Retained {
    #[must_use]
    pub fn new() -> Retained {
        Retained(retained::Retained::new(usize::MAX, usize::MAX))
    }

    pub fn set(&mut self, topic: &str, payload: &[u8]) {
        self.0.set(Message::new(&Parts { retain: true, ..parts(topic, payload) }));
    }

    pub fn contains(&self, topic: &str) -> bool {
        self.0.get(topic).is_some()
    }

    /// How many messages the first page has.
    pub fn count(&self, filter: &str) -> usize {
        self.0.page(filter, None, usize::MAX, Instant::START).messages.len()
    }
}

impl Default for Retained {
    fn default() -> Retained {
        Retained::new()
    }
}

/// So many publications of one topic, as a shard sends them to another.
#[must_use]
pub fn bundle(topic: &str, payload: &[u8], count: usize) -> Bundle {
    let mut bundle = Bundle::default();
    (0..count).for_each(|_| {
        bundle.push(&Bundled::new(Errand::Deliver, parts(topic, payload)));
    });
    bundle
}

/// Takes the publications out as the other shard does, which knows their topic from the last bundle. How many there are.
pub fn unbundle(bundle: &Bundle, topic: &str) -> usize {
    let mut at = 0;
    std::iter::from_fn(|| bundle.next(&mut at, Some(topic)).map(black_box)).count()
}

fn parts<'a>(topic: &'a str, payload: &'a [u8]) -> Parts<'a> {
    Parts {
        topic,
        qos: QoS::AtMostOnce,
        retain: false,
        expires_at: None,
        retained_id: None,
        forwarded: &[],
        payload,
    }
}
