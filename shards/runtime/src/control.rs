//! What the control thread and the shards say to each other.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use rustls::ServerConfig;
use shard::{Act, Acted, Counters, Gauges, Look, Rules, ShardId};

use crate::{
    StartError,
    desk::{Looked, Reply},
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
    Look(Box<Look>, Reply<Looked>),
    Act(Box<Act>, Reply<Acted>),
    /// For each door, by its number: what connections that come from now on are shown in TLS.
    Certificates(Arc<[Option<Arc<ServerConfig>>]>),
    /// What clients may do from now on.
    Rules(Option<Rules>),
}

/// From one shard.
#[derive(Debug)]
pub(crate) enum Report {
    Ready,
    NotReady(StartError),
    Drained(ShardId),
}

/// What one shard has counted and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub shard: ShardId,
    pub counters: Counters,
    pub gauges: Gauges,
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
