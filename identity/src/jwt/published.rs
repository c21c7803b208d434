//! Keys that their issuer publishes at a URL, and changes.
//!
//! One thread at a time fetches them: at the first token, when a token names a key that is not known, though not at any rate, and in
//! the background before they are too old. Only who has no use for what is known waits for it. While they cannot be fetched those
//! that are known go on.

use std::{
    mem::replace,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::TokenKeys;
use crate::priority;

/// Brings what stands at the URL, within a time of its own.
pub type Fetch = Box<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>;

/// Told why a fetch brings nothing, once until one does again, and then that it does (None).
pub type Report = Box<dyn Fn(Option<&str>) + Send + Sync>;

pub struct PublishedKeys {
    shared: Arc<Shared>,
}

struct Shared {
    fetch: Fetch,
    report: Report,
    refresh_ms: u64,
    state: Mutex<State>,
    /// Rung when a fetch is over.
    bell: Condvar,
}

#[derive(Default)]
struct State {
    known: Option<Arc<TokenKeys>>,
    fetched_unix_ms: u64,
    /// When they were last asked for, whether they came or not.
    asked_unix_ms: Option<u64>,
    is_fetching: bool,
    /// The last fetch brought nothing.
    is_failing: bool,
    /// Why the last fetch brought nothing.
    trouble: String,
}

impl PublishedKeys {
    pub fn new(fetch: Fetch, report: Report, refresh_ms: u64) -> PublishedKeys {
        let shared = Shared { fetch, report, refresh_ms, state: Mutex::default(), bell: Condvar::new() };
        PublishedKeys { shared: Arc::new(shared) }
    }

    /// What is known, without waiting. An error says why there is nothing. None: it has to be fetched before.
    pub fn at_hand(&self, unix_ms: u64) -> Option<Result<Arc<TokenKeys>, String>> {
        let mut state = self.shared.lock();
        let Some(known) = state.known.clone() else {
            let is_refused = !state.is_fetching && state.was_asked_within(RETRY_MS, unix_ms);
            return is_refused.then(|| Err(state.trouble.clone()));
        };
        if !state.is_fetching && !state.was_asked_within(self.shared.refresh_ms, unix_ms) {
            return None;
        }
        if self.shared.is_refresh_due(&state, unix_ms) {
            state.begin_fetch(unix_ms);
            drop(state);
            self.fetch_in_background();
        }
        Some(Ok(known))
    }

    /// Whether a key that is not among these may be known after a fetch: one is over since they were at hand, is under way, or may begin.
    pub fn may_know_more(&self, than: &Arc<TokenKeys>, unix_ms: u64) -> bool {
        let state = self.shared.lock();
        let is_latest = state.known.as_ref().is_some_and(|known| Arc::ptr_eq(known, than));
        !is_latest || state.is_fetching || !state.was_asked_within(RETRY_MS, unix_ms)
    }

    /// What is known after the fetch that is under way, or after one of our own, unless there was one a moment ago.
    pub fn fetched(&self, unix_ms: u64) -> Result<Arc<TokenKeys>, String> {
        let mut state = self.shared.lock();
        if state.is_fetching {
            let is_over = self.shared.bell.wait_while(state, |state| state.is_fetching);
            state = is_over.unwrap_or_else(PoisonError::into_inner);
        } else if !state.was_asked_within(RETRY_MS, unix_ms) {
            state.begin_fetch(unix_ms);
            drop(state);
            self.shared.fetch();
            state = self.shared.lock();
        }
        state.known.clone().ok_or_else(|| state.trouble.clone())
    }

    fn fetch_in_background(&self) {
        let shared = Arc::clone(&self.shared);
        let thread = thread::Builder::new().name("identity-keys".to_owned());
        let spawned = thread.spawn(move || {
            priority::give_way();
            shared.fetch();
        });
        if let Err(error) = spawned {
            self.shared.end_fetch(Err(format!("no thread can be started: {error}")));
        }
    }
}

impl Shared {
    /// Near their end, and not tried a moment ago.
    fn is_refresh_due(&self, state: &State, unix_ms: u64) -> bool {
        let age_ms = unix_ms.abs_diff(state.fetched_unix_ms);
        let is_near_end = age_ms >= self.refresh_ms - self.refresh_ms / REFRESH_AHEAD_PART;
        is_near_end && !state.is_fetching && !state.was_asked_within(RETRY_MS, unix_ms)
    }

    /// By whoever has begun it.
    fn fetch(&self) {
        let fetched = (self.fetch)();
        self.end_fetch(
            fetched.and_then(|bytes| TokenKeys::of_set(&bytes).map_err(|error| error.to_string())),
        );
    }

    fn end_fetch(&self, fetched: Result<TokenKeys, String>) {
        let trouble = fetched.as_ref().err().cloned();
        let mut state = self.lock();
        state.is_fetching = false;
        let is_change = replace(&mut state.is_failing, trouble.is_some()) != trouble.is_some();
        match fetched {
            Ok(keys) => {
                state.known = Some(Arc::new(keys));
                state.fetched_unix_ms = state.asked_unix_ms.unwrap_or_default();
            }
            Err(trouble) => state.trouble = trouble,
        }
        drop(state);
        self.bell.notify_all();
        if is_change {
            (self.report)(trouble.as_deref());
        }
    }

    /// Nothing is done under the lock that could leave half a change behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin_fetch(&mut self, unix_ms: u64) {
        self.is_fetching = true;
        self.asked_unix_ms = Some(unix_ms);
    }

    /// A clock that was set back by more counts as time that has passed.
    fn was_asked_within(&self, ms: u64, unix_ms: u64) -> bool {
        self.asked_unix_ms.is_some_and(|asked| unix_ms.abs_diff(asked) < ms)
    }
}

impl std::fmt::Debug for PublishedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PublishedKeys").field("keys", &self.shared.lock().known).finish_non_exhaustive()
    }
}

/// Tokens that name keys which there are not make us ask no oftener, nor do keys that cannot be fetched.
const RETRY_MS: u64 = 10_000;

/// The last part of their time, in which they are fetched again in the background.
const REFRESH_AHEAD_PART: u64 = 5;
