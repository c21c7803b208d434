//! The lives of one broker, as its clients see them: when it is there, when it is gone, and when it stays.

use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use e2e::PATIENCE;

/// Shared by whoever kills the broker and all its clients.
#[derive(Default)]
pub struct Lives {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the life that goes on or was the last.
    life: u64,
    is_up: bool,
    /// Nobody kills it any more, and everybody comes to an end.
    is_settling: bool,
    /// Clients that have what they need before traffic begins.
    ready: usize,
    has_failed: bool,
    /// Clients that have come to their end.
    done: usize,
}

/// Some other client has failed: what happens from here on says nothing.
#[derive(Debug)]
pub struct Over;

impl Lives {
    pub fn begin(&self) {
        self.change(|state| {
            state.life += 1;
            state.is_up = true;
        });
    }

    pub fn end(&self) {
        self.change(|state| state.is_up = false);
    }

    /// The life that begins, or goes on, is the last.
    pub fn settle(&self) {
        self.change(|state| state.is_settling = true);
    }

    pub fn is_settling(&self) -> bool {
        self.state.lock().unwrap().is_settling
    }

    pub fn is_over(&self) -> bool {
        self.state.lock().unwrap().has_failed
    }

    pub fn report_ready(&self) {
        self.change(|state| state.ready += 1);
    }

    pub fn await_ready(&self, clients: usize) -> Result<(), Over> {
        self.wait("all clients are ready", |state| (state.ready >= clients).then_some(()))
    }

    /// Waits until it is there and gives the number of this life.
    pub fn await_up(&self) -> Result<u64, Over> {
        self.wait("the broker is there", |state| state.is_up.then_some(state.life))
    }

    /// Waits for this life or a later one, or for the last one.
    pub fn await_life(&self, life: u64) -> Result<(), Over> {
        self.wait("a later life", |state| (state.life >= life || state.is_settling).then_some(()))
    }

    /// Waits as long as a life is to last, or until a client has failed.
    pub fn let_live(&self, time: Duration) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_timeout_while(state, time, |state| !state.has_failed).unwrap());
    }

    /// Waits until so many clients have come to their end, or one has failed.
    pub fn await_done(&self, clients: usize) {
        let state = self.state.lock().unwrap();
        let goes_on = |state: &mut State| state.done < clients && !state.has_failed;
        drop(self.changed.wait_while(state, goes_on).unwrap());
    }

    /// Runs a client to its end; if it fails, so do all.
    pub fn run<T>(&self, client: impl FnOnce() -> Result<T, Over>) -> Option<T> {
        let watch = Watch(self);
        let outcome = client().ok();
        drop(watch);
        self.change(|state| state.done += 1);
        outcome
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait<T>(&self, what: &str, wanted: impl Fn(&State) -> Option<T>) -> Result<T, Over> {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.state.lock().unwrap();
        loop {
            if state.has_failed {
                return Err(Over);
            }
            if let Some(found) = wanted(&state) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // A panic with the lock held would hide what went wrong from everybody else.
                drop(state);
                panic!("waited for {PATIENCE:?} until {what}");
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

struct Watch<'a>(&'a Lives);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.change(|state| state.has_failed = true);
        }
    }
}
