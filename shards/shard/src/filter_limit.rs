//! Whether there is room for one more filter, and which limit says that there is none.

use mqtt::ReasonCode;

use crate::{Counters, Shard, fullness::StoreLack, keys::SessionKey, subscribe::filter_weight};

/// Why this server does not take a filter although it is well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterLimit {
    Levels,
    Number,
    Bytes,
    Memory,
    StoreFull,
    StoreFailed,
}

impl FilterLimit {
    pub fn reason(self) -> ReasonCode {
        match self {
            FilterLimit::Levels => ReasonCode::TopicFilterInvalid,
            FilterLimit::Number
            | FilterLimit::Bytes
            | FilterLimit::Memory
            | FilterLimit::StoreFull
            | FilterLimit::StoreFailed => ReasonCode::QuotaExceeded,
        }
    }

    /// For the log, and for a 5.0 client that wants to know.
    pub fn text(self) -> &'static str {
        match self {
            FilterLimit::Levels => "more levels than router.max_topic_levels",
            FilterLimit::Number => "the client has session.max_subscriptions",
            FilterLimit::Bytes => {
                "the filters of the client would be larger than session.max_subscription_bytes"
            }
            FilterLimit::Memory => {
                "client ids and filters fill limits.max_session_memory, or the part of it that a shard has"
            }
            FilterLimit::StoreFull => "the store is full",
            FilterLimit::StoreFailed => "the store has failed",
        }
    }

    fn count_mut(self, counters: &mut Counters) -> &mut u64 {
        match self {
            FilterLimit::Levels => &mut counters.topic_levels_exceeded,
            FilterLimit::Number => &mut counters.refused_max_subscriptions,
            FilterLimit::Bytes => &mut counters.refused_max_subscription_bytes,
            FilterLimit::Memory => &mut counters.refused_subscription_memory,
            FilterLimit::StoreFull => &mut counters.refused_subscription_store_full,
            FilterLimit::StoreFailed => &mut counters.refused_subscription_store_failed,
        }
    }
}

impl Shard {
    /// What is subscribed to already needs no further room.
    pub(crate) fn check_subscription(
        &mut self,
        session: SessionKey,
        filter: &str,
    ) -> Result<(), FilterLimit> {
        let Some(limit) = self.filter_limit(session, filter) else { return Ok(()) };
        if limit != FilterLimit::Levels && self.sessions[session].filters.contains(filter) {
            return Ok(());
        }
        *limit.count_mut(&mut self.counters) += 1;
        Err(limit)
    }

    /// Of a filter that the session does not have.
    pub(crate) fn filter_limit(&self, session: SessionKey, filter: &str) -> Option<FilterLimit> {
        let limits = &self.config.limits;
        if mqtt::level_count(filter) > usize::from(limits.topic_levels_max) {
            return Some(FilterLimit::Levels);
        }
        let (weight, held) = (filter_weight(filter), &self.sessions[session]);
        if held.filters.len() >= limits.subscriptions_max as usize {
            return Some(FilterLimit::Number);
        }
        if held.filter_bytes as usize + weight > limits.subscription_bytes_max {
            return Some(FilterLimit::Bytes);
        }
        if self.totals.session_bytes + weight > limits.session_memory_max {
            return Some(FilterLimit::Memory);
        }
        let lack = self.store_lack().filter(|_| self.is_kept(session))?;
        Some(match lack {
            StoreLack::Full => FilterLimit::StoreFull,
            StoreLack::Failed => FilterLimit::StoreFailed,
        })
    }
}
