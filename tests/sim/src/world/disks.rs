//! What shards store, and how the broker ends and begins again.

use std::time::Duration;

use shard::{Batch, Event, Fetch, Instant, Shard, ShardId};

use super::{Core, Phase, World};
use crate::{
    agenda::Action,
    disk::{Crash, Disk, ReadBack},
    fault::Fault,
    ledger::Oracle,
    settings::StoreSettings,
    socket::Side,
};

impl World {
    pub(super) fn install_disks(&mut self) {
        let StoreSettings { segment_bytes, crash_us_max, .. } = self.store_settings();
        let shards = self.cores.len() as u8;
        self.disks = (0..shards).map(|shard| Disk::new(shard, shards, segment_bytes)).collect();
        self.is_down = true;
        self.plan_in(1_000, Action::Restart);
        self.plan_in(crash_us_max, Action::Crash { again: true });
    }

    fn store_settings(&self) -> StoreSettings {
        self.settings.store.expect("this world has a store")
    }

    fn plan_disk(&mut self, action: Action) {
        self.plan_in(self.store_settings().disk_us_max, action);
    }

    pub(super) fn store(&mut self, core: usize, batch: Batch) {
        if self.disks.is_empty() {
            return self.illegal(core, "there is no store in this world".to_owned());
        }
        if !self.disks[core].is_idle() {
            return self.illegal(core, "a second batch before the first is stored".to_owned());
        }
        self.cores[core].storing = self.ledger.step;
        if self.disks[core].store(batch) {
            self.begin_write(core);
        }
        self.order_files(core);
    }

    fn begin_write(&mut self, core: usize) {
        let StoreSettings { disk_us_max, crash_at_write, .. } = self.store_settings();
        let took = Duration::from_nanos(self.random.skewed(disk_us_max * 1000));
        self.agenda.plan(self.now + took, Action::Written(core));
        if self.random.percent(crash_at_write) {
            let into = Duration::from_nanos(self.random.below(took.as_nanos() as u64 + 1));
            let moments = [Duration::ZERO, into, took];
            self.agenda.plan(self.now + *self.random.pick(&moments), Action::Crash { again: false });
        }
    }

    pub(super) fn finish_write(&mut self, core: usize) {
        let Some((batch, pieces)) = self.disks[core].on_written(self.fault, &mut self.random) else {
            return self.begin_write(core);
        };
        self.cores[core].durable = self.cores[core].storing;
        self.order_files(core);
        self.handle(core, Event::Stored { batch, pieces: &pieces });
        self.clean(core);
    }

    fn order_files(&mut self, core: usize) {
        for _ in 0..self.disks[core].order_files() {
            self.plan_disk(Action::Made(core));
        }
    }

    pub(super) fn take_file(&mut self, core: usize) {
        if self.disks[core].on_file() {
            self.begin_write(core);
        }
        self.order_files(core);
    }

    fn clean(&mut self, core: usize) {
        let live_bytes = self.cores[core].shard.gauges().stored_live_bytes;
        if self.disks[core].clean(live_bytes) {
            self.plan_disk(Action::ReadBack(core));
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

    pub(super) fn crash_while_acting(&mut self, again: bool) {
        if self.phase != Phase::Acting {
            return;
        }
        self.crash();
        if again {
            let crash_us_max = self.store_settings().crash_us_max;
            let after = Duration::from_micros(self.random.below(crash_us_max));
            self.agenda.plan(self.now + after, Action::Crash { again });
        }
    }

    /// Everything of the broker is gone but what is on its disks.
    pub fn crash(&mut self) {
        if self.is_down {
            return;
        }
        self.advance();
        let crash = *self.random.pick(&[Crash::Kill, Crash::Power]);
        for core in 0..self.cores.len() {
            let said = self.disks[core].crash(crash, self.fault, &mut self.random);
            self.trace.record(self.now, format_args!("{core} crashes: {said}"));
        }
        let step = self.ledger.step;
        let durable = |core: &Core| if core.shard.last_batch() == 0 { step } else { core.durable };
        let durable: Vec<u64> = self.cores.iter().map(durable).collect();
        self.past = self.counters();
        self.agenda.lose_broker();
        self.mesh.clear();
        for socket in 0..self.sockets.len() {
            self.break_socket(socket, crash);
        }
        for client in self.ledger.on_crash(&durable) {
            self.trace.explain(self.now, format_args!("    client {client} is to begin anew"));
            self.clients[client].must_clean = true;
        }
        self.make_cores();
        (self.is_down, self.is_serving) = (true, false);
        self.plan_in(self.store_settings().down_us_max, Action::Restart);
    }

    /// The client sees the end of its connection, after what the machine still had for it.
    fn break_socket(&mut self, socket: usize, crash: Crash) {
        if self.sockets[socket].side == Side::Gone {
            return;
        }
        let keep = match crash {
            Crash::Kill => self.random.index(self.sockets[socket].down.len() + 1),
            Crash::Power => 0,
        };
        let it = &mut self.sockets[socket];
        it.lose_up(0);
        it.held.clear();
        it.lose_down(keep);
        it.side = Side::Gone;
        self.plan_read(socket);
    }

    /// Fresh shards that nobody has said anything to.
    fn make_cores(&mut self) {
        let mut config = self.settings.config.clone();
        config.store_epoch_ms = Some(EPOCH_MS + self.start.as_nanos() / 1_000_000);
        let (now, seed) = (self.shard_now(), self.seed ^ self.lives << 32);
        let core = |id| Core::new(Shard::new(ShardId(id), &config, now, seed));
        self.cores = (0..config.shards).map(core).collect();
    }

    pub(super) fn restart(&mut self) {
        self.lives += 1;
        self.is_down = false;
        self.start = Instant::from_nanos(self.now.as_nanos() / 1_000_000 * 1_000_000);
        self.make_cores();
        self.ledger.on_restart();
        let epoch_ms = EPOCH_MS + self.start.as_nanos() / 1_000_000;
        for core in 0..self.cores.len() {
            let recovered = self.disks[core].recover(epoch_ms, self.fault, &mut self.random);
            let (restoring, report) = match recovered {
                Ok(recovered) => recovered,
                Err(what) => {
                    return self.ledger.fail(Oracle::Recovery, format!("the log of shard {core}: {what}"));
                }
            };
            self.trace.record(self.now, format_args!("{core} recovers: {report}"));
            let mut effects = std::mem::take(&mut self.cores[core].effects);
            let now = self.shard_now();
            self.cores[core].shard.restore(restoring, now, &mut effects);
            for effect in std::mem::take(&mut effects.queue) {
                self.carry_out(core, effect, &mut effects);
            }
            self.cores[core].effects = effects;
            self.order_files(core);
            self.plan_flush(core);
            self.arm(core);
        }
        self.tell_all_room();
    }

    pub(super) fn note_restored(&mut self, core: usize) {
        if std::mem::replace(&mut self.cores[core].is_restored, true) {
            return self.illegal(core, "it is restored a second time".to_owned());
        }
        if self.cores.iter().all(|core| core.is_restored) {
            self.is_serving = true;
            self.ledger.on_serving();
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

/// The unix time at which a run begins.
const EPOCH_MS: u64 = 1_700_000_000_000;
