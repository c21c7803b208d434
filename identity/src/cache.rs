//! Decisions that were made, for as long as they may be repeated.
//!
//! The key is a keyed hash of whatever the chain looks at, with a key that lives as long as the process: neither a password
//! nor anything that could be tried against one is kept.

use std::sync::Arc;

use aws_lc_rs::hmac;

use crate::{
    Answer, Ask,
    ages::Ages,
    chain::Aspects,
    judgement::{Identity, Rejection},
    password::random,
};

/// How long what is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheLimits {
    /// 0 repeats nothing.
    pub accepted_ms: u64,
    pub rejected_ms: u64,
    pub entries_max: usize,
}

pub(crate) struct Cache {
    limits: CacheLimits,
    entries: Ages<CacheKey, Entry>,
}

/// Makes the keys; needs no lock.
pub(crate) struct KeyMaker(hmac::Key);

pub(crate) type CacheKey = [u8; 16];

struct Entry {
    until_ms: u64,
    decision: Decision,
}

#[derive(Clone)]
enum Decision {
    Accept(Arc<Identity>),
    Reject(Rejection),
}

impl KeyMaker {
    pub fn new() -> KeyMaker {
        KeyMaker(hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()))
    }

    /// None for what is never repeated: an exchange is fresh each time. `generation` parts what was decided by other chains, or by
    /// these when they knew something else.
    pub fn key(&self, ask: &Ask, aspects: Aspects, generation: (u64, u64)) -> Option<CacheKey> {
        if ask.enhanced.is_some() {
            return None;
        }
        let mut text = hmac::Context::with_key(&self.0);
        // Each part with its length: what ends one cannot begin the next.
        let mut part = |bytes: Option<&[u8]>| {
            let length = bytes.map_or(u64::MAX, |bytes| bytes.len() as u64);
            text.update(&length.to_le_bytes());
            text.update(bytes.unwrap_or_default());
        };
        part(Some(&generation.0.to_le_bytes()));
        part(Some(&generation.1.to_le_bytes()));
        part(Some(ask.listener.as_bytes()));
        if aspects.login {
            part(ask.user.as_deref().map(str::as_bytes));
            part(ask.password.as_ref().map(|password| password.expose()));
        }
        if aspects.client_id {
            part(Some(ask.client_id.as_bytes()));
        }
        if aspects.certificate {
            part(ask.certificate.as_ref().map(|certificate| &certificate.fingerprint[..]));
        }
        if aspects.address {
            let ip = ask.ip().map(|ip| ip.to_string());
            part(ip.as_deref().map(str::as_bytes));
        }
        if aspects.version {
            part(Some(&[ask.version]));
        }
        Some(text.sign().as_ref()[..16].try_into().expect("HMAC-SHA256 has 32 bytes"))
    }
}

impl Cache {
    pub fn new(limits: CacheLimits) -> Cache {
        Cache { limits, entries: Ages::new(limits.entries_max) }
    }

    pub fn get(&self, key: &CacheKey, now_ms: u64, unix_ms: u64) -> Option<Answer> {
        let entry = self.entries.get(key).filter(|entry| now_ms < entry.until_ms)?;
        match entry.decision.clone() {
            Decision::Accept(identity) => {
                let is_over = identity.expires_at_unix_ms.is_some_and(|expiry| expiry <= unix_ms);
                (!is_over).then_some(Answer::Accept { identity, data: None })
            }
            Decision::Reject(rejection) => Some(Answer::Reject(rejection)),
        }
    }

    pub fn put(&mut self, key: CacheKey, now_ms: u64, answer: &Answer) {
        let (decision, ms) = match answer {
            Answer::Accept { identity, data: None } => {
                (Decision::Accept(identity.clone()), self.limits.accepted_ms)
            }
            Answer::Reject(rejection) if rejection.reason.is_failed_attempt() => {
                (Decision::Reject(rejection.clone()), self.limits.rejected_ms)
            }
            _ => return,
        };
        if ms > 0 {
            self.entries.insert(key, Entry { until_ms: now_ms + ms, decision });
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

impl Default for CacheLimits {
    fn default() -> CacheLimits {
        CacheLimits { accepted_ms: 60_000, rejected_ms: 5_000, entries_max: 65_536 }
    }
}

#[cfg(test)]
mod tests;
