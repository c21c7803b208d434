//! What shards store: writes, files and the reading back of old segments, each in its time.

use std::time::Duration;

use shard::{Batch, Event, Fetch};

use super::{Phase, World};
use crate::{
    agenda::Action,
    disk::{Disk, NO_BATCH, ReadBack},
    fault::Fault,
    ledger::Oracle,
    settings::StoreSettings,
};

impl World {
    pub(super) fn install_disks(&mut self) {
        let StoreSettings { segment_bytes, is_synced, .. } = self.store_settings();
        let shards = self.cores.len() as u8;
        self.disks = (0..shards).map(|shard| Disk::new(shard, shards, segment_bytes, is_synced)).collect();
        self.is_down = true;
        self.plan_in(1_000, Action::Restart);
        self.plan_first_crash();
        self.plan_failure();
        let space_us_max = self.store_settings().space_us_max;
        if space_us_max > 0 {
            self.plan_in(space_us_max, Action::Space);
        }
    }

    pub(super) fn store_settings(&self) -> StoreSettings {
        self.settings.store.expect("this world has a store")
    }

    fn plan_disk(&mut self, action: Action) {
        self.plan_in(self.store_settings().disk_us_max, action);
    }

    pub(super) fn store(&mut self, core: usize, batch: Batch) {
        if self.disks.is_empty() {
            return self.illegal(core, "there is no store in this world".to_owned());
        }
        if self.disks[core].has_batch() {
            return self.illegal(core, "a second batch before the first is stored".to_owned());
        }
        self.cores[core].storing = self.ledger.step;
        let before = std::mem::replace(&mut self.cores[core].storing_at, self.now);
        if self.cores.len() == 1 {
            // The batch before is stored, and this one has what came since then.
            self.ledger.held_since = self.ledger.held_since.max(before);
        }
        if self.disks[core].store(batch) {
            self.begin_write(core);
        }
        self.order_files(core);
    }

    fn begin_write(&mut self, core: usize) {
        let took = Duration::from_nanos(self.random.skewed(self.store_settings().disk_us_max * 1000));
        self.agenda.plan(self.now + took, Action::Written(core));
        self.plan_crash_at_write(took);
        self.pass_point();
    }

    pub(super) fn finish_write(&mut self, core: usize) {
        if self.disks[core].has_batch() && self.fail_write(core) {
            return;
        }
        let written = self.disks[core].on_written(self.fault, &mut self.random);
        if self.pass_point() {
            return;
        }
        let Some((batch, pieces)) = written else { return self.begin_write(core) };
        if batch == NO_BATCH {
            if self.disks[core].unblock() {
                self.begin_write(core);
            }
            self.order_files(core);
            return self.tell_store_room(core);
        }
        self.cores[core].durable = self.cores[core].storing;
        self.order_files(core);
        self.sync(core);
        self.handle(core, Event::Stored { batch, pieces: &pieces });
        self.tell_store_room(core);
        self.clean(core);
    }

    fn sync(&mut self, core: usize) {
        if self.disks[core].sync() {
            self.plan_disk(Action::Synced(core));
            self.pass_point();
        }
    }

    pub(super) fn finish_sync(&mut self, core: usize) {
        if self.disks[core].on_synced(self.fault) {
            self.begin_write(core);
        }
        self.tell_store_room(core);
        self.pass_point();
        self.order_files(core);
        self.sync(core);
    }

    pub(super) fn order_files(&mut self, core: usize) {
        for _ in 0..self.disks[core].order_files() {
            self.plan_disk(Action::Made(core));
        }
    }

    pub(super) fn take_file(&mut self, core: usize) {
        self.pass_point();
        if !self.has_space {
            if self.disks[core].on_file_failed() {
                self.agenda.plan(self.now + ASK_AGAIN_AFTER, Action::AskAgain(core));
            }
        } else if self.disks[core].on_file() {
            self.begin_write(core);
        }
        self.order_files(core);
        self.tell_store_room(core);
    }

    pub(super) fn ask_again(&mut self, core: usize) {
        self.disks[core].ask_again();
        self.clean(core);
    }

    pub(super) fn change_space(&mut self) {
        if self.phase == Phase::Acting {
            self.has_space = !self.has_space;
            self.plan_in(self.store_settings().space_us_max, Action::Space);
        }
    }

    pub(super) fn tell_store_room(&mut self, core: usize) {
        // Small segments never have the room that a shard asks for.
        if self.ledger.store_gets_full && self.cores[core].is_restored {
            let (bytes, grows) = self.disks[core].room();
            self.handle(core, Event::StoreRoom { bytes, grows });
        }
    }

    fn clean(&mut self, core: usize) {
        // What would be written again goes nowhere.
        if self.ledger.is_store_failed(core) {
            return;
        }
        let live_bytes = self.cores[core].shard.gauges().stored_live_bytes;
        let retired = self.disks[core].retired;
        if self.disks[core].clean(live_bytes) {
            self.plan_disk(Action::ReadBack(core));
        }
        if self.disks[core].retired > retired {
            self.pass_point();
        }
        if self.disks[core].free_retired() {
            self.begin_write(core);
        }
        self.order_files(core);
    }

    pub(super) fn read_back(&mut self, core: usize) {
        let (records, is_whole) = match self.disks[core].on_read_back(&mut self.random) {
            Ok(read) => read,
            Err(what) => {
                return self.ledger.fail(Oracle::Recovery, format!("shard {core} reads back: {what}"));
            }
        };
        let reviewed = if self.fault == Some(Fault::RetireEarly) { &[] } else { &records[..] };
        for read in reviewed {
            self.handle(core, Event::Review { record: read.record() });
        }
        if is_whole {
            let last_batch = self.cores[core].shard.last_batch();
            self.disks[core].reviewed(last_batch);
        }
        self.clean(core);
    }

    pub(super) fn fetch(&mut self, core: usize, fetch: Fetch) {
        if self.disks.is_empty() {
            return self.illegal(core, "there is no store in this world".to_owned());
        }
        if self.disks[core].fetch(fetch) {
            self.plan_disk(Action::Fetched(core));
        }
    }

    /// One read ends, and the next begins.
    pub(super) fn read_fetched(&mut self, core: usize) {
        let fetched = match self.disks[core].on_fetched(&mut self.random) {
            Ok(fetched) => fetched,
            Err(what) => return self.ledger.fail(Oracle::Recovery, format!("shard {core} fetches: {what}")),
        };
        for (fetch, record) in &fetched {
            let record = record.as_ref().map(ReadBack::record);
            self.handle(core, Event::Fetched { fetch: *fetch, record });
        }
        if self.disks[core].begin_fetch() {
            self.plan_disk(Action::Fetched(core));
        }
    }

    /// At rest every log has become as small as it should be.
    pub fn check_space(&mut self) {
        for core in 0..self.disks.len() {
            let live_bytes = self.cores[core].shard.gauges().stored_live_bytes;
            if self.disks[core].is_too_large(live_bytes) {
                let what = format!("shard {core}: {}", self.disks[core].describe(live_bytes));
                self.ledger.fail(Oracle::Space, what);
            }
        }
    }
}

/// How long a full disk is left alone.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);
