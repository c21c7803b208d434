//! The retained messages of this shard, by topic. Which shard keeps a topic is not decided here.

use std::collections::BTreeMap;

use crate::{Instant, Message};

pub(crate) struct Retained {
    messages: BTreeMap<Box<str>, Message>,
    messages_max: usize,
    bytes_max: usize,
    bytes: usize,
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
    Refused,
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
        Retained { messages: BTreeMap::new(), messages_max, bytes_max, bytes: 0 }
    }

    pub fn set(&mut self, message: Message) -> Set {
        let before = self.messages.remove(message.topic());
        self.bytes -= before.as_ref().map_or(0, Message::weight);
        if message.payload().is_empty() {
            return if before.is_some() { Set::Cleared } else { Set::Nothing };
        }
        if self.messages.len() >= self.messages_max || self.bytes + message.weight() > self.bytes_max {
            return Set::Refused;
        }
        self.bytes += message.weight();
        self.messages.insert(message.topic().into(), message);
        if before.is_some() { Set::Replaced } else { Set::Stored }
    }

    pub fn get(&self, topic: &str) -> Option<&Message> {
        self.messages.get(topic)
    }

    /// Up to `messages_max` messages that match `filter`, in a fixed order of topics, from behind the topic `after`.
    pub fn page(&self, filter: &str, after: Option<&str>, messages_max: usize, now: Instant) -> Page {
        let mut page = Page { messages: Vec::new(), next: None };
        for (topic, message) in &self.messages {
            if after.is_some_and(|after| **topic <= *after)
                || message.is_expired(now)
                || !mqtt::matches(filter, topic)
            {
                continue;
            }
            if page.messages.len() == messages_max {
                page.next = page.messages.last().map(|last| last.topic().into());
                break;
            }
            page.messages.push(message.clone());
        }
        page
    }

    /// Removes up to `max` expired messages and says how many.
    pub fn expire(&mut self, now: Instant, max: usize) -> usize {
        let expired: Vec<Message> =
            self.messages.values().filter(|message| message.is_expired(now)).take(max).cloned().collect();
        for message in &expired {
            self.messages.remove(message.topic());
            self.bytes -= message.weight();
        }
        expired.len()
    }

    /// When `expire` is worth a call: exact or early.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.messages.values().filter_map(Message::expires_at).min()
    }

    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The weight of all messages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
