//! What the topics of late matched: a publication on a topic that comes again and again needs no walk through the trie.

use std::{ops::Deref, rc::Rc};

use crate::{
    recorder::Topic,
    trie::{Matches, Trie},
};

/// One slot per hash of a topic. A topic is remembered when it comes for the second time in a row to its slot, so that
/// topics that come once cost a comparison and no memory.
pub(crate) struct Routes {
    slots: Vec<Slot>,
    /// The route that was found last and the trie's generation then. Most publishers send many messages to one topic.
    recent: Option<(u64, Rc<Known>)>,
    /// Matches that are not remembered; kept for its capacity.
    scratch: Matches,
}

#[derive(Default)]
struct Slot {
    hash: u64,
    /// Of the trie, when this was found out.
    generation: u64,
    known: Option<Rc<Known>>,
}

/// A topic and where it leads. It was routed before: it is a topic name, and within the limits.
pub(crate) struct Known {
    pub topic: Box<str>,
    matches: Matches,
    shown: Topic,
}

impl Known {
    fn new(topic: &str, matches: Matches) -> Known {
        Known { topic: topic.into(), matches, shown: Topic::new(topic) }
    }

    /// The topic for whoever remembers it.
    #[inline(always)]
    pub fn shown(&self) -> &Topic {
        &self.shown
    }
}

/// Where a topic leads. Goes back with `put_back`.
pub(crate) enum Route {
    Known(Rc<Known>),
    Found { matches: Matches, shown: Option<Topic> },
}

impl Route {
    /// The topic for whoever remembers it, where there is a text.
    #[inline(always)]
    pub fn shown(&self) -> Option<&Topic> {
        match self {
            Route::Known(known) => Some(&known.shown),
            Route::Found { shown, .. } => shown.as_ref(),
        }
    }
}

impl Deref for Route {
    type Target = Matches;

    fn deref(&self) -> &Matches {
        match self {
            Route::Known(known) => &known.matches,
            Route::Found { matches, .. } => matches,
        }
    }
}

impl Routes {
    pub fn new() -> Routes {
        Routes { slots: Vec::new(), recent: None, scratch: Matches::default() }
    }

    /// The topic that was looked for last, if it is remembered and the trie is as it was.
    #[inline]
    pub fn recent(&self, trie: &Trie) -> Option<Rc<Known>> {
        let (generation, known) = self.recent.as_ref()?;
        (*generation == trie.generation()).then(|| known.clone())
    }

    /// `hash` is the topic's, and tells slots apart.
    pub fn find(&mut self, topic: &str, hash: u64, trie: &Trie) -> Route {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Slot::default);
        }
        let slot = &mut self.slots[hash as usize % SLOTS];
        let is_second = slot.hash == hash;
        if is_second
            && slot.generation == trie.generation()
            && let Some(known) = &slot.known
            && *known.topic == *topic
        {
            self.recent = Some((slot.generation, known.clone()));
            return Route::Known(known.clone());
        }
        let mut found = std::mem::take(&mut self.scratch);
        trie.matches(topic, &mut found);
        // The subscriptions of one session stand together.
        if found.filters_with_local > 1 {
            found.local.sort_unstable_by_key(|subscription| subscription.session);
        }
        slot.hash = hash;
        slot.generation = trie.generation();
        slot.known = None;
        if is_second && found.local.len() <= SUBSCRIBERS_MAX && topic.len() <= TOPIC_BYTES_MAX {
            slot.known = Some(Rc::new(Known::new(topic, found.clone())));
        }
        Route::Found { matches: found, shown: None }
    }

    pub fn put_back(&mut self, route: Route) {
        if let Route::Found { matches, .. } = route {
            self.scratch = matches;
        }
    }
}

/// Together with the next two a bound on the memory of all slots.
const SLOTS: usize = 1 << 12;

/// For more subscribers than that, finding them is little beside serving them.
const SUBSCRIBERS_MAX: usize = 64;

const TOPIC_BYTES_MAX: usize = 256;

const _: () = assert!(
    SLOTS * (SUBSCRIBERS_MAX * 12 + TOPIC_BYTES_MAX) <= 8 << 20,
    "remembered routes stay below 8 MiB"
);

#[cfg(test)]
mod tests {
    use mqtt::SubscriptionOptions;

    use super::*;
    use crate::{keys::SessionKey, trie::Subscription};

    fn subscription(session: u32) -> Subscription {
        Subscription {
            session: SessionKey(session),
            options: SubscriptionOptions::default(),
            subscription_id: 0,
        }
    }

    #[test]
    fn a_topic_that_comes_again_is_known_until_the_trie_changes() {
        let (mut trie, mut routes) = (Trie::new(1), Routes::new());
        trie.subscribe("a/+", subscription(1));
        let mut look = |trie: &Trie, topic: &str| {
            let route = routes.find(topic, 5, trie);
            let answer = (matches!(route, Route::Known(_)), route.local.len());
            routes.put_back(route);
            answer
        };
        assert_eq!(look(&trie, "a/b"), (false, 1));
        assert_eq!(look(&trie, "a/b"), (false, 1));
        assert_eq!(look(&trie, "a/b"), (true, 1));
        trie.subscribe("#", subscription(2));
        assert_eq!(look(&trie, "a/b"), (false, 2));
        assert_eq!(look(&trie, "a/b"), (true, 2));
        // Another topic with the same hash takes the slot and is not taken for the first.
        assert_eq!(look(&trie, "x"), (false, 1));
        assert_eq!(look(&trie, "a/b"), (false, 2));
    }

    #[test]
    fn the_recent_topic_is_known_until_the_trie_changes() {
        let (mut trie, mut routes) = (Trie::new(1), Routes::new());
        trie.subscribe("a/+", subscription(1));
        for _ in 0..3 {
            let route = routes.find("a/b", 5, &trie);
            routes.put_back(route);
        }
        assert!(routes.recent(&trie).is_some_and(|known| &*known.topic == "a/b"));
        trie.subscribe("#", subscription(2));
        assert!(routes.recent(&trie).is_none());
    }
}
