//! The retained messages of this shard, by topic. Which shard keeps a topic is not decided here.

mod entry;
mod scan;

use std::{
    collections::{BTreeSet, btree_set::Range},
    ops::Bound,
    sync::Arc,
};

use hashbrown::HashMap;

use crate::{Cause, Instant, Message, source::Source};
use entry::{ByExpiry, ByTopic};
use scan::{Filter, Verdict};

/// Sorted by topic, so that a filter finds its matches by leaping from one possible topic to the next. An entry is a
/// pointer to the message, which holds its topic: the index costs some twelve bytes a message, whatever the topic.
pub(crate) struct Retained {
    by_topic: BTreeSet<ByTopic>,
    /// Those that expire.
    by_expiry: BTreeSet<ByExpiry>,
    messages_max: usize,
    bytes_max: usize,
    /// The weight of all messages.
    bytes: usize,
    /// The weight of all sources.
    source_bytes: usize,
    /// Of those by topic, the ones in which the server speaks of itself: no limit is for them, and they are not counted.
    own: usize,
    /// By the id of the message: who published it, where that is asked for.
    sources: HashMap<u64, Arc<Source>, ahash::RandomState>,
}

/// What became of a message with the RETAIN flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    Stored,
    Replaced,
    /// Its payload was empty, and a message was there.
    Cleared,
    /// Its payload was empty, and no message was there.
    Nothing,
    /// A limit forbids it. An older message of the topic is gone as well, since it is not the last one.
    Refused(Cause),
}

/// Some of the messages that match a filter.
#[derive(Debug)]
pub(crate) struct Page {
    pub messages: Vec<Message>,
    /// Where the next page begins: after this topic. `None`: there is none.
    pub next: Option<Box<str>>,
}

impl Retained {
    pub fn new(messages_max: usize, bytes_max: usize) -> Retained {
        Retained {
            by_topic: BTreeSet::new(),
            by_expiry: BTreeSet::new(),
            messages_max,
            bytes_max,
            bytes: 0,
            source_bytes: 0,
            own: 0,
            sources: HashMap::default(),
        }
    }

    /// What is beyond them stays, and nothing is added until there is room.
    pub fn set_limits(&mut self, messages_max: usize, bytes_max: usize) {
        (self.messages_max, self.bytes_max) = (messages_max, bytes_max);
    }

    pub fn has_sources(&self) -> bool {
        !self.sources.is_empty()
    }

    pub fn source(&self, message: &Message) -> Option<&Arc<Source>> {
        self.sources.get(&message.retained_id()?.get())
    }

    /// A message that has a publisher whose rights may be looked at again.
    pub fn set_of(&mut self, message: Message, source: Arc<Source>) -> Set {
        let id = message.retained_id();
        let set = self.set(message);
        if let (Set::Stored | Set::Replaced, Some(id)) = (set, id) {
            self.source_bytes += source.weight();
            let replaced = self.sources.insert(id.get(), source);
            self.source_bytes -= replaced.map_or(0, |source| source.weight());
        }
        set
    }

    /// Of the server itself: an empty one removes it.
    pub fn set_own(&mut self, message: Message) {
        if message.payload().is_empty() {
            self.own -= usize::from(self.by_topic.take(message.topic_bytes()).is_some());
        } else {
            self.own += usize::from(self.by_topic.replace(ByTopic(message)).is_none());
        }
    }

    pub fn set(&mut self, message: Message) -> Set {
        // [MQTT-3.3.1-6] An empty payload removes the retained message. [MQTT-3.3.1-7] It is not stored itself.
        if message.payload().is_empty() {
            return if self.remove(message.topic_bytes()) { Set::Cleared } else { Set::Nothing };
        }
        // [MQTT-3.3.1-5] The message replaces an older one of its topic.
        let before = self.by_topic.replace(ByTopic(message.clone()));
        if let Some(ByTopic(before)) = &before {
            self.forget(before);
        }
        self.take_in(&message);
        let before_bytes = before.as_ref().map(|ByTopic(before)| before.weight());
        if let Err(cause) = self.check_room(&message, before_bytes) {
            self.remove(message.topic_bytes());
            return Set::Refused(cause);
        }
        if before.is_some() { Set::Replaced } else { Set::Stored }
    }

    /// What was kept before a start stays, whatever the limits are now. Its topic has no other.
    pub fn restore(&mut self, message: Message) {
        self.take_in(&message);
        let before = self.by_topic.replace(ByTopic(message));
        assert!(before.is_none(), "a topic has one retained message");
    }

    pub fn is_beyond_limits(&self) -> bool {
        self.len() > self.messages_max || self.is_beyond_bytes()
    }

    /// What is known of publishers shares the room of the messages.
    fn is_beyond_bytes(&self) -> bool {
        self.bytes + self.source_bytes > self.bytes_max
    }

    /// Where more is kept than a limit allows, what takes the place of something else still has room if it is no larger.
    fn check_room(&self, message: &Message, before_bytes: Option<usize>) -> Result<(), Cause> {
        if before_bytes.is_none() && self.len() > self.messages_max {
            return Err(Cause::PublishRetainMessages);
        }
        let is_no_larger = before_bytes.is_some_and(|bytes| message.weight() <= bytes);
        if !is_no_larger && self.is_beyond_bytes() {
            return Err(Cause::PublishRetainBytes);
        }
        Ok(())
    }

    fn take_in(&mut self, message: &Message) {
        self.bytes += message.weight();
        if message.expires_at().is_some() {
            self.by_expiry.insert(ByExpiry(message.clone()));
        }
    }

    pub fn get(&self, topic: &str) -> Option<&Message> {
        self.by_topic.get(topic.as_bytes()).map(|ByTopic(message)| message)
    }

    /// Up to `messages_max` messages that match `filter`, sorted by topic, from behind the topic `after`. Expired ones are
    /// left out. A page may be short and have a next one nevertheless, since each is a bounded piece of work.
    pub fn page(&self, filter: &str, after: Option<&str>, messages_max: usize, now: Instant) -> Page {
        let filter = Filter::new(filter);
        let mut page = Page { messages: Vec::new(), next: None };
        let mut walk = match after {
            Some(after) => self.walk(Bound::Excluded(after.as_bytes())),
            None => self.walk(Bound::Included(&*filter.first_topic())),
        };
        let mut work = 0;
        // No topic below the floor matches, apart from those already seen.
        let mut floor = Vec::new();
        let mut below_floor = 0;
        while let Some(ByTopic(message)) = walk.next() {
            let topic = message.topic_bytes();
            work += 1 + topic.len() / BYTES_OF_STEP;
            if *topic < *floor {
                below_floor += 1;
                if below_floor == WALK_MAX {
                    walk = self.walk(Bound::Included(&*floor));
                    work += LEAP_WORK;
                    below_floor = 0;
                }
            } else {
                below_floor = 0;
                match filter.judge(topic, &mut floor) {
                    Verdict::Match if message.is_expired(now) => {}
                    Verdict::Match => page.messages.push(message.clone()),
                    Verdict::NoMatch => {}
                    Verdict::End => return page,
                }
            }
            if page.messages.len() >= messages_max.max(1) || work >= PAGE_WORK_MAX {
                page.next = Some(message.topic().into());
                return page;
            }
        }
        page
    }

    /// All topics, sorted, from behind this one.
    pub fn topics(&self, after: Option<&str>) -> impl Iterator<Item = &str> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.as_bytes()));
        self.walk(from).map(|ByTopic(message)| message.topic())
    }

    /// Removes up to `max` expired messages and gives them back.
    pub fn expire(&mut self, now: Instant, max: usize) -> Vec<Message> {
        let mut expired = Vec::new();
        while expired.len() < max && self.next_expiry().is_some_and(|at| at <= now) {
            let ByExpiry(message) = self.by_expiry.pop_first().expect("the next expiry is that of the first");
            self.bytes -= message.weight();
            self.forget_source(&message);
            let removed = self.by_topic.remove(message.topic_bytes());
            assert!(removed, "a message that expires is found by its topic");
            expired.push(message);
        }
        expired
    }

    pub fn next_expiry(&self) -> Option<Instant> {
        self.by_expiry.first().and_then(|ByExpiry(message)| message.expires_at())
    }

    pub fn len(&self) -> usize {
        self.by_topic.len() - self.own
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.by_topic.is_empty()
    }

    /// The weight of all messages: the same after a start as before.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The weight of what is known of their publishers, which no store keeps.
    pub fn source_bytes(&self) -> usize {
        self.source_bytes
    }

    fn walk(&self, from: Bound<&[u8]>) -> Range<'_, ByTopic> {
        self.by_topic.range::<[u8], _>((from, Bound::Unbounded))
    }

    /// False: there was none.
    fn remove(&mut self, topic: &[u8]) -> bool {
        let removed = self.by_topic.take(topic);
        if let Some(ByTopic(message)) = &removed {
            self.forget(message);
        }
        removed.is_some()
    }

    fn forget_source(&mut self, message: &Message) {
        if self.sources.is_empty() {
            return;
        }
        let source = message.retained_id().and_then(|id| self.sources.remove(&id.get()));
        self.source_bytes -= source.map_or(0, |source| source.weight());
    }

    /// What is left to do for a message that is not found by its topic any more.
    fn forget(&mut self, message: &Message) {
        self.bytes -= message.weight();
        self.forget_source(message);
        if message.expires_at().is_some() {
            let removed = self.by_expiry.remove(&ByExpiry(message.clone()));
            assert!(removed, "a message that expires stands among those that do");
        }
    }
}

/// So many topics in a row are looked at one by one before a new descent leaps over the rest: near ones cost less that way.
const WALK_MAX: usize = 2;

/// What a descent costs, in steps from one topic to the next.
const LEAP_WORK: usize = 8;

/// What a page may cost, in steps from one topic to the next: less than a millisecond.
const PAGE_WORK_MAX: usize = 4096;

/// Bytes of a topic that are walked, compared and copied in the time of such a step.
const BYTES_OF_STEP: usize = 256;

#[cfg(test)]
mod tests;
