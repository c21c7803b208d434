//! Topics of messages that the store alone has, so that it can be told which were lost. A text is there once, however many messages
//! have it, and all of them together have a bound.

use hashbrown::HashTable;
use slab::Slab;

use crate::{
    hashing::{Table, hasher},
    losses::{TOPIC_BYTES_MAX, kept_name},
};

/// Names a topic; `NONE` where it is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct TopicId(u32);

impl TopicId {
    pub const NONE: TopicId = TopicId(0);

    fn of(index: usize) -> TopicId {
        TopicId(u32::try_from(index + 1).expect("the bound on their bytes keeps them few"))
    }

    fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

pub(crate) struct Topics {
    texts: Slab<Text>,
    by_text: HashTable<TopicId>,
    hasher: ahash::RandomState,
    bytes: usize,
    bytes_max: usize,
}

struct Text {
    /// As the ledger of losses writes it.
    text: Box<str>,
    /// Messages that have it.
    holders: u32,
}

impl Topics {
    pub fn new(seed: u64) -> Topics {
        let hasher = hasher(seed, Table::StoredTopics);
        let (texts, by_text) = (Slab::new(), HashTable::new());
        Topics { texts, by_text, hasher, bytes: 0, bytes_max: STORED_TOPICS_BYTES_MAX }
    }

    /// While a store is read: at each moment of it what was under way counts as well.
    pub fn of_read(seed: u64) -> Topics {
        Topics { bytes_max: READ_TOPICS_BYTES_MAX, ..Topics::new(seed) }
    }

    /// One more message has it. `NONE`: there is no room for another text.
    pub fn hold(&mut self, topic: &str) -> TopicId {
        let text = kept_name(topic, TOPIC_BYTES_MAX);
        let hash = self.hasher.hash_one(&*text);
        let known = self.by_text.find(hash, |id| *self.text(*id) == *text).copied();
        if let Some(id) = known {
            let text = id.index().and_then(|index| self.texts.get_mut(index));
            text.expect("what is found by its text is there").holders += 1;
            return id;
        }
        let bytes = bytes_of(&text);
        if self.bytes + bytes > self.bytes_max {
            return TopicId::NONE;
        }
        self.bytes += bytes;
        let id = TopicId::of(self.texts.insert(Text { text: text.into(), holders: 1 }));
        let Topics { texts, by_text, hasher, .. } = self;
        by_text.insert_unique(hash, id, |id| hasher.hash_one(text_of(texts, *id)));
        id
    }

    /// In place of its own, be they more than there is room for. They were looked for by another seed.
    pub fn take_over(&mut self, other: Topics) {
        let Topics { texts, by_text, bytes, .. } = other;
        let hash = |id: &TopicId| self.hasher.hash_one(text_of(&texts, *id));
        self.by_text.clear();
        by_text.into_iter().for_each(|id| {
            self.by_text.insert_unique(hash(&id), id, hash);
        });
        (self.texts, self.bytes) = (texts, bytes);
    }

    /// One message less has it.
    pub fn let_go(&mut self, id: TopicId) {
        let Some(index) = id.index() else { return };
        self.texts[index].holders -= 1;
        if self.texts[index].holders > 0 {
            return;
        }
        let Text { text, .. } = self.texts.remove(index);
        self.bytes -= bytes_of(&text);
        let hash = self.hasher.hash_one(&*text);
        if let Ok(entry) = self.by_text.find_entry(hash, |known| *known == id) {
            entry.remove();
        }
    }

    /// Empty where it is not known.
    pub fn text(&self, id: TopicId) -> &str {
        text_of(&self.texts, id)
    }

    pub fn has_room(&self) -> bool {
        self.bytes <= self.bytes_max
    }

    /// Of all texts, what is kept with each included.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

fn text_of(texts: &Slab<Text>, id: TopicId) -> &str {
    id.index().and_then(|index| texts.get(index)).map_or("", |text| &text.text)
}

fn bytes_of(text: &str) -> usize {
    text.len() + size_of::<Text>() + size_of::<TopicId>() + ALLOCATION_BYTES
}

/// What the allocator keeps with each text, and the table with each id.
const ALLOCATION_BYTES: usize = 24;

/// Of one shard: some forty thousand topics.
pub const STORED_TOPICS_BYTES_MAX: usize = 4 << 20;

/// Of one shard, until its store has been read.
const READ_TOPICS_BYTES_MAX: usize = 16 * STORED_TOPICS_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_there_as_long_as_a_message_has_it() {
        let mut topics = Topics::new(1);
        let one = topics.hold("a/b");
        assert_eq!(topics.hold("a/b"), one);
        let other = topics.hold("a/c");
        assert_eq!((topics.text(one), topics.text(other)), ("a/b", "a/c"));
        topics.let_go(one);
        assert_eq!(topics.text(one), "a/b", "one message has it still");
        topics.let_go(one);
        assert_eq!((topics.text(one), topics.by_text.len(), topics.texts.len()), ("", 1, 1));
        topics.let_go(other);
        assert_eq!((topics.bytes(), topics.by_text.len()), (0, 0));
        topics.let_go(TopicId::NONE);
        assert_eq!(topics.text(TopicId::NONE), "");
    }

    #[test]
    fn beyond_the_bound_none_is_known_until_there_is_room() {
        let mut topics = Topics::new(1);
        let held: Vec<TopicId> =
            (0..).map(|n| topics.hold(&format!("t/{n}"))).take_while(|id| *id != TopicId::NONE).collect();
        assert!(topics.bytes() <= STORED_TOPICS_BYTES_MAX && held.len() > 30_000, "{}", held.len());
        assert_eq!(topics.hold("t/1"), held[1], "one more message of a known topic takes no room");
        topics.let_go(held[0]);
        assert_ne!(topics.hold("t/x"), TopicId::NONE);
        assert_eq!(topics.hold("t/y"), TopicId::NONE);
    }

    #[test]
    fn those_of_another_table_are_known_in_this_one() {
        let (mut topics, mut read) = (Topics::new(1), Topics::new(2));
        let held: Vec<TopicId> = (0..100).map(|n| read.hold(&format!("t/{n}"))).collect();
        let bytes = read.bytes();
        topics.take_over(read);
        assert_eq!(topics.hold("t/7"), held[7]);
        assert_eq!((topics.bytes(), topics.text(held[7])), (bytes, "t/7"));
        topics.let_go(held[7]);
        held.into_iter().for_each(|id| topics.let_go(id));
        assert_eq!((topics.bytes(), topics.by_text.len()), (0, 0));
    }

    #[test]
    fn a_long_topic_is_known_as_the_ledger_writes_it() {
        let mut topics = Topics::new(1);
        let long = format!("a/{}", "b".repeat(1000));
        let id = topics.hold(&long);
        assert_eq!(topics.text(id), kept_name(&long, TOPIC_BYTES_MAX));
    }

    #[test]
    fn a_store_that_is_read_has_more_room_for_a_while() {
        let (mut topics, mut read) = (Topics::new(1), Topics::of_read(2));
        let held: Vec<TopicId> = (0..60_000).map(|n| read.hold(&format!("t/{n}/{:80}", ""))).collect();
        assert!(!held.contains(&TopicId::NONE));
        topics.take_over(read);
        assert!(!topics.has_room());
        assert_eq!(topics.hold("t/x"), TopicId::NONE);
        for id in held {
            if !topics.has_room() {
                topics.let_go(id);
            }
        }
        assert!(topics.bytes() > STORED_TOPICS_BYTES_MAX - 1000);
        assert!(topics.bytes() <= STORED_TOPICS_BYTES_MAX);
    }
}
