//! A write that fails. What the shard is told then is all that it will ever hear of its store.

use std::time::Duration;

use shard::{Event, Mail, StoreRoom};

use super::{Phase, World};
use crate::{agenda::Action, crash::Crash, fault::Fault};

impl World {
    pub(super) fn plan_failure(&mut self) {
        let failure_us_max = self.store_settings().failure_us_max;
        if failure_us_max > 0 {
            let after = Duration::from_micros(self.random.below(failure_us_max));
            self.agenda.plan(self.now + after, Action::Failure);
        }
    }

    /// True: the write that ends here has failed, and nobody knows what of it is on the disk.
    pub(super) fn fail_write(&mut self, core: usize) -> bool {
        if self.phase != Phase::Acting || !self.is_serving || !std::mem::take(&mut self.must_fail) {
            return false;
        }
        self.plan_failure();
        let serving_us_max = self.store_settings().serving_us_max;
        let goes_on = serving_us_max > 0;
        self.store_failures[usize::from(goes_on)] += 1;
        self.trace.record(self.now, format_args!("{core} fails to write"));
        if !goes_on {
            // What was not written is forgotten by the machine's cache, too, before it is read again.
            self.crash_by(Crash::Power);
            return true;
        }
        self.ledger.on_store_failed(core);
        if self.fault == Some(Fault::HideFailure) {
            return false;
        }
        self.handle(core, Event::StoreFailed);
        let after = Duration::from_micros(self.random.below(serving_us_max));
        self.agenda.plan(self.now + after, Action::Crash { again: false });
        true
    }

    /// A shard has heard that the store of another one has failed.
    pub(super) fn note_failure_elsewhere(&mut self, core: usize, mail: &Mail) {
        if matches!(mail, Mail::StoreRoom(StoreRoom::Failed)) {
            self.ledger.on_store_failed(core);
        }
    }

    /// The broker that goes on without its store is started again.
    pub fn end_failure(&mut self) {
        if self.ledger.has_store_failed() {
            self.crash();
        }
    }
}
