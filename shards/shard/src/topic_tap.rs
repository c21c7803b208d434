//! Topic taps: on which topics clients publish, and how many messages each, while somebody asks again and again. Each read begins anew, and
//! what finds no room counts together. A shard without them pays one look at a pointer for each message of a client.

use hashbrown::HashTable;

use crate::{
    Instant,
    hashing::{Table, hasher},
    tap::{TapRead, UNREAD_MAX},
};

/// A topic, and the messages that came on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicCount {
    pub topic: Box<str>,
    pub messages: u64,
}

/// All of a shard. There is at least one.
pub(crate) struct TopicTaps {
    taps: Vec<TopicTap>,
    hasher: ahash::RandomState,
}

struct TopicTap {
    number: u64,
    /// None: all topics.
    topic_filter: Option<Box<str>>,
    counts: HashTable<TopicCount>,
    /// Of all topics that have a count.
    topic_bytes: usize,
    /// Messages on further topics.
    left_out: u64,
    read_at: Instant,
}

impl TopicTaps {
    pub fn new(seed: u64) -> TopicTaps {
        TopicTaps { taps: Vec::new(), hasher: hasher(seed, Table::TopicTaps) }
    }

    /// Without effect where there are too many already.
    pub fn begin(&mut self, number: u64, topic_filter: Option<Box<str>>, now: Instant) {
        if self.taps.len() < TOPIC_TAPS_MAX && !self.taps.iter().any(|tap| tap.number == number) {
            let counts = HashTable::new();
            let tap = TopicTap { number, topic_filter, counts, topic_bytes: 0, left_out: 0, read_at: now };
            self.taps.push(tap);
        }
    }

    pub fn end(&mut self, number: u64) {
        self.taps.retain(|tap| tap.number != number);
    }

    /// Those that nobody reads.
    pub fn end_unread(&mut self, now: Instant) {
        self.taps.retain(|tap| now.since(tap.read_at) < UNREAD_MAX);
    }

    pub fn is_empty(&self) -> bool {
        self.taps.is_empty()
    }

    /// A client has published a message.
    pub fn count(&mut self, topic: &str) {
        let hash = self.hasher.hash_one(topic);
        for tap in self.taps.iter_mut().filter(|tap| tap.wants(topic)) {
            tap.count(topic, hash, &self.hasher);
        }
    }

    /// None: there is no such tap, or none any more.
    pub fn read(&mut self, number: u64, now: Instant) -> Option<TapRead> {
        self.taps.iter_mut().find(|tap| tap.number == number).map(|tap| tap.read(now))
    }
}

impl TopicTap {
    fn wants(&self, topic: &str) -> bool {
        self.topic_filter.as_deref().is_none_or(|filter| mqtt::matches(filter, topic))
    }

    fn count(&mut self, topic: &str, hash: u64, hasher: &ahash::RandomState) {
        if let Some(known) = self.counts.find_mut(hash, |known| *known.topic == *topic) {
            known.messages += 1;
            return;
        }
        if self.counts.len() >= TOPICS_MAX || self.topic_bytes + topic.len() > TOPIC_BYTES_MAX {
            self.left_out += 1;
            return;
        }
        self.topic_bytes += topic.len();
        let first = TopicCount { topic: topic.into(), messages: 1 };
        self.counts.insert_unique(hash, first, |known| hasher.hash_one(&*known.topic));
    }

    fn read(&mut self, now: Instant) -> TapRead {
        self.read_at = now;
        self.topic_bytes = 0;
        TapRead {
            is_there: true,
            counts: std::mem::take(&mut self.counts).into_iter().collect(),
            dropped: std::mem::take(&mut self.left_out),
            ..TapRead::default()
        }
    }
}

/// Of one shard.
const TOPIC_TAPS_MAX: usize = 8;
/// Of one tap, between two reads.
const TOPICS_MAX: usize = 2048;
const TOPIC_BYTES_MAX: usize = 128 << 10;

const _: () = assert!(TOPIC_BYTES_MAX > u16::MAX as usize, "the longest topic finds room");
