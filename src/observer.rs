//! Asks all shards for what they count, and the process for the rest, on behalf of whoever shows it. It waits, but not for long:
//! no shard calls it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use runtime::{Desk, Snapshot};

use crate::{
    doorkeeper::{self, Doorkeeper},
    metrics::OfBroker,
};

/// A clone asks the same broker.
#[derive(Clone)]
pub struct Observer {
    desk: Desk,
    doorkeeper: Arc<Doorkeeper>,
    began_at: Instant,
}

impl Observer {
    pub fn new(desk: Desk, doorkeeper: Arc<Doorkeeper>) -> Observer {
        Observer { desk, doorkeeper, began_at: Instant::now() }
    }

    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    pub fn uptime(&self) -> Duration {
        self.began_at.elapsed()
    }

    pub fn shards(&self) -> usize {
        self.desk.shards().count()
    }

    /// Each shard calls it once, on its own thread, or drops it.
    pub fn ask(&self, reply: impl Fn(Snapshot) + Clone + Send + 'static) {
        for shard in self.desk.shards() {
            // One that takes no orders does not answer either.
            let _ = self.desk.snapshot(shard, Box::new(reply.clone()));
        }
    }

    /// In the order of the shards; those that do not answer in time are left out.
    pub fn snapshots(&self, answer_max: Duration) -> Vec<Snapshot> {
        let (sender, answers) = bounded(self.shards());
        self.ask(move |snapshot| drop(sender.try_send(snapshot)));
        let deadline = Instant::now() + answer_max;
        let mut snapshots: Vec<Snapshot> =
            std::iter::from_fn(|| answers.recv_deadline(deadline).ok()).collect();
        snapshots.sort_by_key(|snapshot| snapshot.shard);
        snapshots
    }

    pub fn facts(&self) -> OfBroker {
        OfBroker {
            shards: self.shards(),
            connections: self.desk.connections(),
            connections_max: self.desk.connections_max(),
            figures: self.doorkeeper.figures(),
            questions: doorkeeper::questions(),
            doors: self.desk.doors(),
            banned: self.desk.banned(),
        }
    }
}
