//! The log of one shard on its disk: batches are written through the shard's own ring, one at a time, and each is on disk
//! before the next begins.
//!
//! What is written where is decided by `shard::store::log`. Files are made, filled with zeros and deleted by the
//! `Keeper`, on a thread of its own: nothing here waits for a directory.

mod ahead;
pub(crate) mod backup;
mod batches;
pub(crate) mod check;
mod cleaner;
pub(crate) mod directory;
mod fetcher;
mod following;
pub(crate) mod keeper;
pub(crate) mod laid;
pub(crate) mod leftover;
mod lock;
mod moment;
mod open;
mod private;
pub(crate) mod problem;
pub(crate) mod reading;
pub(crate) mod regular;
mod relocation;
pub(crate) mod repair;
pub(crate) mod restore;
#[cfg(test)]
mod tests;
mod unused;
mod writer;

use std::{collections::HashMap, fs::File, io, rc::Rc, time::Duration};

use shard::{
    Batch, Fetch, Instant, ShardId,
    store::{
        log::{FileId, Full, Log, Purpose},
        record::Record,
    },
};

use crate::{
    backend::{Backend, Outcome, Room},
    breakdown::Breakdown,
    ring::Ring,
};
use batches::Writing;
use cleaner::Cleaner;
use fetcher::Fetcher;
use keeper::{Keeper, Made};
pub(crate) use open::Logs;
pub(crate) use relocation::settle;

pub(crate) struct Disk {
    shard: ShardId,
    log: Log,
    files: HashMap<FileId, Rc<File>>,
    keeper: Keeper,
    cleaner: Cleaner,
    fetcher: Fetcher,
    /// Every write is on disk before it counts.
    synced: bool,
    /// The number of the batch that is being written, or that waits for room.
    number: u64,
    writing: Option<Box<Writing>>,
    /// No file has room for it.
    blocked: Option<Batch>,
    /// What is synced, or was last.
    syncing: FileId,
    /// A write or a sync failed: what is on disk from then on is unknown.
    is_poisoned: bool,
    /// The last file could not be made, and that was logged: the log makes do with those that it has.
    is_short: bool,
    ending: Ending,
    /// When the keeper is asked again.
    retry_at: Option<Instant>,
    /// What is alive can become less without a batch: that is seen then.
    look_at: Option<Instant>,
}

/// How far an orderly end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// What was written is synced.
    Begun,
    /// The commit is on its way that vouches for it.
    Vouched,
    Done,
}

impl Disk {
    pub fn new(
        shard: ShardId,
        log: Log,
        files: HashMap<FileId, File>,
        keeper: Keeper,
        segment_bytes: u32,
        synced: bool,
    ) -> Disk {
        let mut disk = Disk {
            shard,
            log,
            files: files.into_iter().map(|(id, file)| (id, Rc::new(file))).collect(),
            keeper,
            cleaner: Cleaner::new(segment_bytes),
            fetcher: Fetcher::default(),
            synced,
            number: 0,
            writing: None,
            blocked: None,
            syncing: FileId(0),
            is_poisoned: false,
            is_short: false,
            ending: Ending::No,
            retry_at: None,
            look_at: None,
        };
        disk.order_files();
        disk
    }

    /// The keeper has made a file.
    fn on_file(&mut self, ring: &mut Ring, id: FileId, file: File) {
        self.files.insert(id, Rc::new(file));
        self.log.add_spare(id);
        self.is_short = false;
        self.unblock(ring);
    }

    /// There may be room for the batch that waits.
    fn unblock(&mut self, ring: &mut Ring) {
        if self.writing.is_none()
            && let Some(batch) = self.blocked.take()
        {
            self.store(ring, batch);
        }
    }

    /// The keeper could not make a file. It is asked again a little later: by then somebody may have made space.
    fn on_file_failed(&mut self, now: Instant, error: &io::Error) {
        self.retry_at = Some(now + RETRY_AFTER);
        if !std::mem::replace(&mut self.is_short, true) {
            tracing::error!(shard = self.shard.0, %error, "the store cannot grow");
        }
    }

    /// Lets the keeper make what is wanted and delete what is not.
    fn order_files(&mut self) {
        // What is free only after one more commit helps no batch that finds no room for itself.
        let wanted = self.log.wants_spares().max(u32::from(self.blocked.is_some()));
        while self.retry_at.is_none() && self.keeper.coming() < wanted {
            self.keeper.make();
        }
        while let Some(file) = self.log.take_discarded() {
            self.files.remove(&file);
            self.keeper.delete(file);
        }
    }
}

impl Backend for Disk {
    fn store(&mut self, ring: &mut Ring, batch: Batch) {
        assert!(self.blocked.is_none(), "one batch is stored at a time");
        if self.is_poisoned {
            return;
        }
        if self.writing.is_some() {
            // A commit of our own is on its way.
            self.blocked = Some(batch);
            return;
        }
        self.number = batch.number;
        match self.log.commit(batch.records, Purpose::Free) {
            Ok(placed) => self.begin(ring, placed),
            // A commit for its own sake is tried again at the next cleaning.
            Err(Full { .. }) if batch.number == NO_BATCH => {}
            Err(Full { batch: records }) => self.blocked = Some(Batch { number: batch.number, records }),
        }
        self.order_files();
    }

    fn on_completion(&mut self, ring: &mut Ring, name: u32, result: i32) -> Outcome {
        let outcome = match name {
            WRITE => self.on_written(ring, result),
            SYNC => self.on_synced(ring, result),
            READ_BACK => {
                self.cleaner.on_read(result);
                Outcome::ReadBack
            }
            name => {
                self.fetcher.on_read(name - FETCH, result);
                Outcome::Fetched
            }
        };
        if self.ending != Ending::No && !self.is_poisoned {
            self.go_on_ending(ring);
        }
        outcome
    }

    fn has_news(&self) -> bool {
        self.keeper.has_made() || self.fetcher.has_gone()
    }

    fn take_news(&mut self, ring: &mut Ring, now: Instant) -> Option<Outcome> {
        let Some(Made { id, file }) = self.keeper.take_made() else {
            return self.fetcher.has_gone().then_some(Outcome::Fetched);
        };
        match file {
            Ok(file) => self.on_file(ring, id, file),
            Err(error) => self.on_file_failed(now, &error),
        }
        Some(Outcome::Room)
    }

    fn next_deadline(&self) -> Option<Instant> {
        [self.retry_at, self.look_at].into_iter().flatten().min()
    }

    /// Asks for files again, and has somebody see whether some can be had otherwise.
    fn on_time(&mut self, now: Instant) -> bool {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let (asks_again, looks) = (is_due(self.retry_at), is_due(self.look_at));
        if asks_again {
            self.retry_at = None;
            self.order_files();
        }
        if looks || self.look_at.is_none() {
            self.look_at = self.cleaner.may_have_work(&self.log).then_some(now + LOOK_AFTER);
        }
        asks_again || looks
    }

    fn room(&self) -> Room {
        Room { bytes: self.log.room(Purpose::Add), grows: !self.is_short }
    }

    fn file_bytes(&self) -> u64 {
        self.log.file_bytes()
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.fetcher.ask(fetch);
    }

    fn start_fetches(&mut self, ring: &mut Ring) {
        self.fetcher.start(&self.log, &self.files, ring);
    }

    fn take_fetched(
        &mut self,
        ring: &mut Ring,
        each: &mut dyn FnMut(Fetch, Option<Record<'_>>),
    ) -> Result<(), Breakdown> {
        let taken = self.fetcher.take(&self.log, each).map_err(Breakdown::Read);
        self.start_fetches(ring);
        taken
    }

    fn clean(&mut self, ring: &mut Ring, live_bytes: usize, stored: u64) {
        if self.is_poisoned {
            return;
        }
        let budget = self.cleaner.budget(live_bytes, self.is_short);
        self.cleaner.go_on(&mut self.log, &self.files, ring, budget, stored);
        // The file of a segment that was given up is free when one more commit is on disk. Those who wait for room make none.
        let is_low = self.is_short || self.log.is_low();
        if is_low && self.log.retired() > 0 && self.writing.is_none() && self.blocked.is_none() {
            self.store(ring, Batch { number: NO_BATCH, records: Vec::new() });
        }
        self.order_files();
    }

    fn review(&mut self, each: &mut dyn FnMut(Record<'_>)) -> Result<bool, Breakdown> {
        self.cleaner.review(each).map_err(Breakdown::Read)
    }

    fn end(&mut self, ring: &mut Ring) {
        // Nobody was told that it is stored.
        self.blocked = None;
        self.log.end();
        self.ending = Ending::Begun;
        self.go_on_ending(ring);
    }

    fn has_ended(&self) -> bool {
        self.is_poisoned || self.ending == Ending::Done
    }

    fn reviewed(&mut self, last_batch: u64) {
        self.cleaner.reviewed(last_batch);
    }
}

/// The names of its operations on the ring.
const WRITE: u32 = 0;
const SYNC: u32 = 1;
const READ_BACK: u32 = 2;
/// And, from this one on, one for each read of messages.
const FETCH: u32 = 3;

/// Stored for the sake of the commit itself.
const NO_BATCH: u64 = 0;

/// How long a full disk is left alone.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How long a log may lie with what is dead in it, while nothing is stored.
const LOOK_AFTER: Duration = Duration::from_secs(5);
