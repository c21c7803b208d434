//! Keys that their issuer publishes at a URL, and changes.
//!
//! Fetched on the thread that needs them, by one at a time: at the first token, when what is known has become old, and when a
//! token names a key that is not known, though not at any rate. While they cannot be fetched those that are known go on.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::TokenKeys;

/// Brings what stands at the URL.
pub type Fetch = Box<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>;

pub struct PublishedKeys {
    fetch: Fetch,
    refresh_ms: u64,
    keys: RwLock<Option<Arc<TokenKeys>>>,
    /// When they were last asked for, whether they came or not. Whoever fetches holds it.
    asked_unix_ms: Mutex<Option<u64>>,
}

impl PublishedKeys {
    pub fn new(fetch: Fetch, refresh_ms: u64) -> PublishedKeys {
        PublishedKeys { fetch, refresh_ms, keys: RwLock::default(), asked_unix_ms: Mutex::default() }
    }

    /// What is known, fetched before if it is time. An error says why there is nothing.
    pub fn current(&self, unix_ms: u64) -> Result<Arc<TokenKeys>, String> {
        self.fetched(unix_ms, self.refresh_ms)
    }

    /// The same for a token whose key is not known: fetched again unless that was a moment ago.
    pub fn renewed(&self, unix_ms: u64) -> Result<Arc<TokenKeys>, String> {
        self.fetched(unix_ms, RETRY_MS)
    }

    fn fetched(&self, unix_ms: u64, age_ms: u64) -> Result<Arc<TokenKeys>, String> {
        let known = self.known();
        let asked = match &known {
            // Somebody else is at it: what is known will do meanwhile.
            Some(keys) => match self.asked_unix_ms.try_lock() {
                Ok(asked) => asked,
                Err(_) => return Ok(keys.clone()),
            },
            None => self.asked_unix_ms.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let mut asked = asked;
        let age_ms = if known.is_some() { age_ms } else { RETRY_MS };
        if asked.is_some_and(|before| unix_ms < before.saturating_add(age_ms)) {
            return self.known().ok_or_else(|| "the keys could not be fetched a moment ago".to_owned());
        }
        *asked = Some(unix_ms);
        let fetched =
            (self.fetch)().and_then(|bytes| TokenKeys::of_set(&bytes).map_err(|error| error.to_string()));
        match fetched {
            Ok(keys) => {
                let keys = Arc::new(keys);
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(keys.clone());
                Ok(keys)
            }
            Err(error) => known.ok_or(error),
        }
    }

    fn known(&self) -> Option<Arc<TokenKeys>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl std::fmt::Debug for PublishedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublishedKeys").field("keys", &self.known()).finish_non_exhaustive()
    }
}

/// Tokens that name keys which there are not make us ask no oftener.
const RETRY_MS: u64 = 10_000;
