//! A retained message as two sorted sets hold it.

use std::{borrow::Borrow, cmp::Ordering};

use crate::{Instant, Message};

/// Compared by topic alone.
pub(super) struct ByTopic(pub Message);

/// Compared by expiry; those of one instant by topic, so that the order is the same in every run.
pub(super) struct ByExpiry(pub Message);

impl ByExpiry {
    fn key(&self) -> (Option<Instant>, &[u8]) {
        (self.0.expires_at(), self.0.topic_bytes())
    }
}

impl Borrow<[u8]> for ByTopic {
    fn borrow(&self) -> &[u8] {
        self.0.topic_bytes()
    }
}

impl Ord for ByTopic {
    fn cmp(&self, other: &ByTopic) -> Ordering {
        self.0.topic_bytes().cmp(other.0.topic_bytes())
    }
}

impl PartialOrd for ByTopic {
    fn partial_cmp(&self, other: &ByTopic) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByTopic {
    fn eq(&self, other: &ByTopic) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByTopic {}

impl Ord for ByExpiry {
    fn cmp(&self, other: &ByExpiry) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for ByExpiry {
    fn partial_cmp(&self, other: &ByExpiry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByExpiry {
    fn eq(&self, other: &ByExpiry) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByExpiry {}
