//! What keeps the batches of one shard: the seam between the loop and a store. The loop knows no other name of it.
//!
//! A shard whose store is memory makes no batches, so that it has no backend at all. The log on files is `disk.rs`. A
//! store on a thread of its own, a database for example, gives its answers to a queue that the backend holds, and wakes
//! the shard: see `tests/database.rs`.

use shard::{
    Batch, Fetch, Instant, Piece, ShardId,
    store::{record::Record, restoring::Restoring},
};

use crate::{StoreError, breakdown::Breakdown, mesh::Waker, ring::Ring};

/// One shard's store, on the shard's own thread: nothing here waits. What takes its time ends with an operation on the ring
/// or with news.
pub(crate) trait Backend {
    /// `Outcome::Stored` follows; until then the shard has no other batch for it.
    fn store(&mut self, ring: &mut Ring, batch: Batch);

    /// An operation on the ring is done to which the backend gave this name (`Operation::Store`).
    fn on_completion(&mut self, ring: &mut Ring, name: u32, result: i32) -> Outcome;

    /// Something came by another way than the ring. Whoever brings it wakes the shard after that.
    fn has_news(&self) -> bool;

    /// Is asked until nothing is left.
    fn take_news(&mut self, ring: &mut Ring, now: Instant) -> Option<Outcome>;

    /// When `on_time` has something to do.
    fn next_deadline(&self) -> Option<Instant>;

    /// True: it is time to clean.
    fn on_time(&mut self, now: Instant) -> bool;

    fn room(&self) -> Room;

    /// What it takes of its disk.
    fn file_bytes(&self) -> u64;

    /// A message is to be brought back. `start_fetches` follows when all are known that are to be by now.
    fn fetch(&mut self, fetch: Fetch);

    fn start_fetches(&mut self, ring: &mut Ring);

    /// Hands out what `Outcome::Fetched` told of: each message with its record, or with none if it stands elsewhere by now.
    fn take_fetched(
        &mut self,
        ring: &mut Ring,
        each: &mut dyn FnMut(Fetch, Option<Record<'_>>),
    ) -> Result<(), Breakdown>;

    /// Begins to give up the oldest part if too little of all that is stored is alive, unless that is under way. `stored`:
    /// the last batch that is.
    fn clean(&mut self, ring: &mut Ring, live_bytes: usize, stored: u64);

    /// Hands out the records of the oldest part that `Outcome::ReadBack` told of. True: that was all of it.
    fn review(&mut self, each: &mut dyn FnMut(Record<'_>)) -> Result<bool, Breakdown>;

    /// Begins an orderly end: whatever was stored is to be on the disk, whatever `Outcome::Stored` means otherwise, and vouched
    /// for. Nothing is given to the backend after it.
    fn end(&mut self, ring: &mut Ring);

    /// Nothing is left to be done, or nothing can be.
    fn has_ended(&self) -> bool;

    /// Everything that is alive in the oldest part is in this batch or in an earlier one (`Shard::last_batch`).
    fn reviewed(&mut self, last_batch: u64);
}

/// What a completion, or news, brought about.
#[derive(Debug)]
pub(crate) enum Outcome {
    Nothing,
    Stored {
        batch: u64,
        /// Where the records stand from now on.
        pieces: Vec<Piece>,
    },
    /// There may be more room than there was, or no hope of more.
    Room,
    /// Messages that were to be brought back wait for `take_fetched`.
    Fetched,
    /// Records of the oldest part wait for `review`.
    ReadBack,
    /// What is stored from now on is unknown: nothing further is acknowledged.
    Failed(Breakdown),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Of records, with a reserve left for those that make room.
    pub bytes: usize,
    /// More is on its way.
    pub grows: bool,
}

/// Opens the backend of each shard, on the shard's thread.
pub(crate) trait Engine: Send + Sync {
    /// Recovers what is stored. `waker` is for threads that bring news.
    fn open(&self, shard: ShardId, waker: Waker) -> Result<Opened, StoreError>;
}

/// A store that can go on, and what it held.
pub(crate) struct Opened {
    pub backend: Box<dyn Backend>,
    pub restoring: Restoring,
}
