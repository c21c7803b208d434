//! The end of the whole broker, by chance or at a point of the disks that was asked for, and its beginning again.

use std::time::Duration;

use shard::{Instant, Shard, ShardId};

use super::{Core, Phase, World};
use crate::{
    agenda::Action,
    crash::{Crash, Landing, Schedule},
    ledger::Oracle,
    socket::Side,
};

impl World {
    pub(super) fn plan_first_crash(&mut self) {
        if self.schedule == Schedule::ByChance {
            self.plan_in(self.store_settings().crash_us_max, Action::Crash { again: true });
        }
    }

    /// A write that is to take so long has begun.
    pub(super) fn plan_crash_at_write(&mut self, took: Duration) {
        if self.schedule == Schedule::ByChance && self.random.percent(self.store_settings().crash_at_write) {
            let into = Duration::from_nanos(self.random.below(took.as_nanos() as u64 + 1));
            let moments = [Duration::ZERO, into, took];
            self.agenda.plan(self.now + *self.random.pick(&moments), Action::Crash { again: false });
        }
    }

    /// A disk has done something. True: everything ends here, with the end of this step.
    pub(super) fn pass_point(&mut self) -> bool {
        if self.is_judged {
            return false;
        }
        self.points += 1;
        if let Schedule::At(point) = self.schedule {
            self.is_crash_due |= point.number == self.points;
        }
        self.is_crash_due
    }

    pub(super) fn crash_at_point(&mut self) {
        if let Schedule::At(point) = self.schedule
            && std::mem::take(&mut self.is_crash_due)
        {
            self.crash_as(point.crash, point.landing);
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

    pub fn crash(&mut self) {
        if !self.is_down {
            let crash = Crash::draw(&mut self.random);
            self.crash_as(crash, Landing::Any);
        }
    }

    pub(super) fn crash_by(&mut self, crash: Crash) {
        self.crash_as(crash, Landing::Any);
    }

    /// Everything of the broker is gone but what is on its disks.
    fn crash_as(&mut self, crash: Crash, landing: Landing) {
        self.advance();
        let mut has_lost = false;
        for core in 0..self.cores.len() {
            let (said, lost) = self.disks[core].crash(crash, landing, self.fault, &mut self.random);
            has_lost |= lost && !self.store_settings().is_synced;
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
        // Without syncs, a loss of power is one of what was acknowledged.
        let unsure = if has_lost { self.ledger.on_loss() } else { self.ledger.on_crash(&durable) };
        for client in unsure {
            self.trace.explain(self.now, format_args!("    client {client} is to begin anew"));
            self.clients[client].begin_anew();
        }
        for (core, durable) in self.cores.iter_mut().zip(durable) {
            core.durable = durable;
        }
        self.make_cores();
        (self.is_down, self.is_serving) = (true, false);
        self.plan_in(self.store_settings().down_us_max, Action::Restart);
    }

    /// The client sees the end of its connection, after what the machine still had for it.
    fn break_socket(&mut self, socket: usize, crash: Crash) {
        // Nobody is left to be told of what the socket had still to take.
        self.sockets[socket].was = None;
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

    /// Fresh shards that nobody has said anything to. What was on their disks is still there.
    fn make_cores(&mut self) {
        let mut config = self.settings.config.clone();
        config.store_epoch_ms = Some(self.epoch_ms());
        let (now, seed) = (self.shard_now(), self.seed ^ self.lives << 32);
        let core = |(id, durable)| Core { durable, ..Core::new(Shard::new(ShardId(id), &config, now, seed)) };
        let before = self.cores.iter().map(|core| core.durable);
        self.cores = (0..config.shards).zip(before).map(core).collect();
    }

    pub(super) fn restart(&mut self) {
        self.lives += 1;
        self.is_down = false;
        self.start = Instant::from_nanos(self.now.as_nanos() / 1_000_000 * 1_000_000);
        self.make_cores();
        self.ledger.on_restart();
        let epoch_ms = self.epoch_ms();
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
        self.pass_point();
    }

    /// The unix time that the shards take for the beginning.
    pub(super) fn epoch_ms(&self) -> u64 {
        EPOCH_MS + self.start.as_nanos() / 1_000_000
    }

    pub(super) fn note_restored(&mut self, core: usize) {
        if std::mem::replace(&mut self.cores[core].is_restored, true) {
            return self.illegal(core, "it is restored a second time".to_owned());
        }
        self.is_room_due = true;
        if self.cores.iter().all(|core| core.is_restored) {
            self.is_serving = true;
            self.ledger.on_serving();
        }
    }
}

/// The unix time at which a run begins.
const EPOCH_MS: u64 = 1_700_000_000_000;
