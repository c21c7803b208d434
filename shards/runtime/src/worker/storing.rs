//! The loop's dealings with the store: what it is given, and what it has to say.

use std::time::Duration;

use super::Worker;
use crate::{
    backend::{Outcome, Room},
    brain::Brain,
    breakdown::Breakdown,
    control::{Failure, Report},
    port::Happened,
};
use shard::{Batch, Event, Fetch, store::record::Record};

impl<B: Brain> Worker<B> {
    pub(super) fn store(&mut self, batch: Batch) {
        let backend = self.backend.as_mut().expect("a shard stores only where there is a store");
        backend.store(&mut self.port.ring, batch);
        self.committing_since = Some(self.clock.now());
    }

    pub(super) fn fetch(&mut self, fetch: Fetch) {
        let backend = self.backend.as_mut().expect("what is fetched was stored");
        backend.fetch(fetch);
        self.has_fetches = true;
    }

    /// All that is to be brought back by now, together.
    pub(super) fn start_fetches(&mut self) {
        if let Some(backend) = self.backend.as_mut() {
            backend.start_fetches(&mut self.port.ring);
        }
    }

    pub(super) fn on_store_operation(&mut self, name: u32, result: i32) -> Result<(), Breakdown> {
        let backend = self.backend.as_mut().expect("only a store has operations of its own");
        let outcome = backend.on_completion(&mut self.port.ring, name, result);
        self.on_outcome(outcome)
    }

    /// What came from other threads.
    pub(super) fn take_store_news(&mut self) -> Result<(), Breakdown> {
        while let Some(backend) = self.backend.as_mut()
            && let Some(outcome) = backend.take_news(&mut self.port.ring, self.now)
        {
            self.on_outcome(outcome)?;
        }
        Ok(())
    }

    pub(super) fn take_store_time(&mut self) {
        if self.backend.as_mut().is_some_and(|backend| backend.on_time(self.now)) {
            self.clean();
        }
    }

    pub(super) fn has_store_news(&self) -> bool {
        self.backend.as_ref().is_some_and(|backend| backend.has_news())
    }

    fn on_outcome(&mut self, outcome: Outcome) -> Result<(), Breakdown> {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Room => self.tell_store_room(),
            Outcome::Stored { batch, pieces } => {
                self.stored = batch;
                if let Some(since) = self.committing_since.take() {
                    self.timings.store_commit.record(self.clock.now().since(since), 1);
                }
                self.tell(Event::Stored { batch, pieces: &pieces });
                self.tell_store_room();
                self.clean();
            }
            Outcome::Fetched => self.take_fetched()?,
            Outcome::ReadBack => self.review()?,
            Outcome::Failed(breakdown) => self.on_store_failed(breakdown)?,
        }
        Ok(())
    }

    fn on_store_failed(&mut self, breakdown: Breakdown) -> Result<(), Breakdown> {
        if !self.serves_without_store {
            return Err(breakdown);
        }
        if !std::mem::replace(&mut self.has_store_failed, true) {
            self.line.fail(Failure { shard: self.id, what: breakdown.to_string(), serves: true });
            self.tell(Event::StoreFailed);
        }
        Ok(())
    }

    /// Clients may still have connections: what comes of those is of no interest any more.
    pub(super) fn end_store(&mut self) {
        let give_up_at = self.clock.now() + STORE_END_MAX;
        let Some(backend) = self.backend.as_mut().filter(|_| !self.has_store_failed) else { return };
        self.port.stop_accepting();
        backend.end(&mut self.port.ring);
        while !backend.has_ended() {
            let left = give_up_at.since(self.clock.now());
            if left.is_zero() || self.port.ring.wait(Some(left)).is_err() {
                tracing::warn!(
                    shard = self.id.0,
                    "the end of the store took too long: the disk may not have it yet"
                );
                return;
            }
            while let Some(completion) = self.port.ring.next() {
                match self.port.on_completion(self.now, completion) {
                    Happened::Bytes { filled, .. } => self.port.buffers.recycle(filled),
                    Happened::OfStore { name, result } => {
                        let outcome = backend.on_completion(&mut self.port.ring, name, result);
                        if let Outcome::Failed(breakdown) = outcome {
                            tracing::error!(shard = self.id.0, "while ending: {breakdown}");
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn take_fetched(&mut self) -> Result<(), Breakdown> {
        let Some(backend) = self.backend.as_mut() else { return Ok(()) };
        let (brain, effects, now) = (&mut self.brain, &mut self.effects, self.now);
        let mut each = |fetch: Fetch, record: Option<Record<'_>>| {
            brain.handle(now, Event::Fetched { fetch, record }, effects);
        };
        let outcome = backend.take_fetched(&mut self.port.ring, &mut each);
        self.carry_out();
        outcome.or_else(|breakdown| self.on_store_failed(breakdown))
    }

    fn review(&mut self) -> Result<(), Breakdown> {
        let Some(backend) = self.backend.as_mut() else { return Ok(()) };
        let (brain, effects, now) = (&mut self.brain, &mut self.effects, self.now);
        match backend.review(&mut |record| brain.handle(now, Event::Review { record }, effects)) {
            Ok(true) => backend.reviewed(self.brain.last_batch()),
            Ok(false) => {}
            Err(breakdown) => return self.on_store_failed(breakdown),
        }
        self.carry_out();
        self.clean();
        Ok(())
    }

    fn clean(&mut self) {
        let live_bytes = self.brain.gauges().stored_live_bytes;
        if let Some(backend) = self.backend.as_mut().filter(|_| !self.has_store_failed) {
            backend.clean(&mut self.port.ring, live_bytes, self.stored);
        }
    }

    pub(super) fn tell_store_room(&mut self) {
        let room = self.backend.as_ref().filter(|_| self.is_ready).map(|backend| backend.room());
        if let Some(Room { bytes, grows }) = room {
            self.tell(Event::StoreRoom { bytes, grows });
        }
    }

    /// Everybody knows what was restored. Who has something to be stored before there is room for it waits.
    pub(super) fn report_ready(&mut self) {
        if self.is_restored && !std::mem::replace(&mut self.is_ready, true) {
            self.line.report(Report::Ready);
        }
    }
}

/// How long a disk may take for what it has in memory. Whoever ends the process waits a little longer.
const STORE_END_MAX: Duration = Duration::from_secs(5);
