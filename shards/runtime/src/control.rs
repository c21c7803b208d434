//! What the control thread and the shards say to each other.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use shard::{
    Act, Acted, Bans, Counters, DoorRates, FreshLoss, Gauges, Limits, Look, Revision, Rules, ShardId,
    TapOrder, TapRead,
};

use crate::{
    StartError, Timings,
    desk::{Looked, Reply},
    door::OpenDoor,
    listener::Listener,
};

/// To one shard. Its bell is rung after it was sent.
pub(crate) enum Command {
    /// All shards are ready: let connections in.
    Listen(Vec<Listener>),
    /// End gracefully: no further connections, what is under way goes out.
    Drain,
    /// End now.
    Stop,
    Snapshot(Reply<Snapshot>),
    Look(Box<Look>, Weak<()>, Reply<Looked>),
    Act(Box<Act>, Reply<Acted>),
    Tap(Box<TapOrder>, Reply<TapRead>),
    FreshLosses(Reply<Vec<FreshLoss>>),
    /// Users who are known otherwise than before.
    Revised(Arc<Revision>),
    /// Other limits and listeners, for the shard itself. It answers when it knows them.
    Config(Box<shard::Config>, Sender<()>),
    /// All doors from now on; one that is not among them is closed to those who come.
    Doors(Vec<Hanging>),
    Delays(Delays),
    /// What clients may do from now on.
    Rules(Option<Rules>),
    /// How fast clients may be from now on, for each door by its number.
    Rates(Arc<[DoorRates]>),
    /// Who may not come in, and not stay, from now on.
    Bans(Arc<Bans>),
}

/// How a door comes to a shard that runs.
pub(crate) enum Hanging {
    /// With the socket of the door of this number, which is there.
    There {
        from: u16,
        door: Arc<OpenDoor>,
    },
    Added(Listener),
}

/// How long connections may take that begin or end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delays {
    pub handshake_max: Duration,
    pub linger: Duration,
}

/// From one shard.
#[derive(Debug)]
pub(crate) enum Report {
    Ready,
    NotReady(StartError),
    Drained(ShardId),
}

/// What one shard has counted and holds.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub shard: ShardId,
    pub counters: Counters,
    pub gauges: Gauges,
    /// What its store takes of the disk.
    pub store_file_bytes: u64,
    /// What it may hold at most.
    pub limits: Limits,
    pub timings: Box<Timings>,
    /// Of the ring to each other shard.
    pub mesh: Vec<Depth>,
}

impl Snapshot {
    /// Of a shard that has done nothing.
    pub fn empty(shard: ShardId) -> Snapshot {
        Snapshot {
            shard,
            counters: Counters::default(),
            gauges: Gauges::default(),
            store_file_bytes: 0,
            limits: Limits::default(),
            timings: Box::default(),
            mesh: Vec::new(),
        }
    }
}

/// What waits in the ring from one shard to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub to: ShardId,
    pub letters: usize,
    /// There is room for so many.
    pub slots: usize,
}

/// A shard ended that should not have, or its store failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub shard: ShardId,
    pub what: String,
    /// The shard goes on without its store. If not, its clients are gone, and the process should end.
    pub serves: bool,
}

/// A shard's side.
pub(crate) struct Line {
    pub commands: Receiver<Command>,
    pub reports: Sender<Report>,
    pub failures: Sender<Failure>,
}

impl Line {
    pub fn fail(&self, failure: Failure) {
        // As below.
        let _ = self.failures.send(failure);
    }

    pub fn report(&self, report: Report) {
        // Nobody listens any more only while the process ends.
        let _ = self.reports.send(report);
    }
}

/// Commands that one shard has not taken yet.
pub(crate) const COMMANDS_MAX: usize = 64;
