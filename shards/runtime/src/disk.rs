//! The log of one shard on its disk: batches are written through the shard's own ring, one at a time, and each is on disk
//! before the next begins.
//!
//! What is written where is decided by `shard::store::log`. Files are made, filled with zeros and deleted by the
//! `Keeper`, on a thread of its own: nothing here waits for a directory.

pub(crate) mod check;
mod cleaner;
pub(crate) mod directory;
mod fetcher;
pub(crate) mod keeper;
pub(crate) mod laid;
mod open;
pub(crate) mod problem;
pub(crate) mod reading;
#[cfg(test)]
mod tests;

use std::{collections::HashMap, fs::File, io, os::fd::AsRawFd, rc::Rc, time::Duration};

use io_uring::{
    opcode,
    types::{Fd, FsyncFlags},
};
use shard::{
    Batch, Fetch, Instant,
    store::{
        log::{FileId, Full, Log, Piece, Placed, Purpose},
        record::Record,
    },
};

use crate::{operation::Operation, ring::Ring};
use cleaner::Cleaner;
use fetcher::Fetcher;
use keeper::Keeper;
pub(crate) use open::{Opened, open};

pub(crate) struct Disk {
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
    /// A write or a sync failed: what is on disk from then on is unknown.
    is_poisoned: bool,
    /// The last file could not be made: the log makes do with those that it has.
    is_short: bool,
    /// When the keeper is asked again.
    retry_at: Option<Instant>,
}

/// A batch on its way. The kernel reads it, so it stays where it is until the last write is done.
struct Writing {
    placed: Placed,
    /// The write that is under way.
    at: usize,
    slices: [libc::iovec; 3],
}

/// What a completion, or a file that came, brought about.
#[derive(Debug)]
pub(crate) enum Outcome {
    Nothing,
    Stored {
        batch: u64,
        pieces: Vec<Piece>,
    },
    /// There may be more room than there was.
    Made,
    Failed(io::Error),
}

impl Disk {
    pub fn new(
        log: Log,
        files: HashMap<FileId, File>,
        keeper: Keeper,
        segment_bytes: u32,
        synced: bool,
    ) -> Disk {
        let mut disk = Disk {
            log,
            files: files.into_iter().map(|(id, file)| (id, Rc::new(file))).collect(),
            keeper,
            cleaner: Cleaner::new(segment_bytes),
            fetcher: Fetcher::default(),
            synced,
            number: 0,
            writing: None,
            blocked: None,
            is_poisoned: false,
            is_short: false,
            retry_at: None,
        };
        disk.order_files();
        disk
    }

    /// `Outcome::Stored` follows with a completion, if need be of a write that room came for later. The shard has no other
    /// batch under way.
    pub fn store(&mut self, ring: &mut Ring, batch: Batch) {
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

    fn begin(&mut self, ring: &mut Ring, placed: Placed) {
        const NOTHING: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        self.writing = Some(Box::new(Writing { placed, at: 0, slices: [NOTHING; 3] }));
        self.write(ring);
    }

    fn write(&mut self, ring: &mut Ring) {
        let writing = self.writing.as_mut().expect("a batch is being written");
        let write = &writing.placed.writes[writing.at];
        let slices = write.slices(&writing.placed.batch);
        for (place, slice) in writing.slices.iter_mut().zip(slices) {
            *place = libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() };
        }
        let file = &self.files[&write.file];
        let flags = if self.synced { libc::RWF_DSYNC } else { 0 };
        let entry = opcode::Writev::new(Fd(file.as_raw_fd()), writing.slices.as_ptr(), 3)
            .offset(u64::from(write.offset))
            .rw_flags(flags)
            .build()
            .user_data(Operation::Write.pack());
        // SAFETY: the slices and what they point to stand in boxes that are kept until the write is done, and the file is
        // closed only after its segment is retired, when no write goes there any more.
        unsafe { ring.push(entry) };
    }

    /// A write is done.
    pub fn on_written(&mut self, ring: &mut Ring, result: i32) -> Outcome {
        let writing = self.writing.as_mut().expect("a write was under way");
        let bytes = writing.placed.writes[writing.at].bytes();
        if let Err(error) = whole(result, bytes) {
            self.is_poisoned = true;
            return Outcome::Failed(error);
        }
        writing.at += 1;
        if writing.at < writing.placed.writes.len() {
            self.write(ring);
            return Outcome::Nothing;
        }
        let writing = self.writing.take().expect("it was there a moment ago");
        self.log.stored();
        if !self.synced {
            self.sync(ring);
        }
        self.order_files();
        let number = self.number;
        self.unblock(ring);
        if number == NO_BATCH {
            return Outcome::Made;
        }
        Outcome::Stored { batch: number, pieces: writing.placed.pieces.to_vec() }
    }

    /// Where writes are not synced each by itself, segments are when they are full: a loss of power costs the end of the log
    /// and not its middle, and files that were given up are free again.
    fn sync(&mut self, ring: &mut Ring) {
        let Some(file) = self.log.begin_sync() else { return };
        let entry = opcode::Fsync::new(Fd(self.files[&file].as_raw_fd()))
            .flags(FsyncFlags::DATASYNC)
            .build()
            .user_data(Operation::Sync.pack());
        // SAFETY: a sync points to nothing, and the file is closed only when its segment is free, which waits for the sync.
        unsafe { ring.push(entry) };
    }

    pub fn on_synced(&mut self, ring: &mut Ring, result: i32) -> io::Result<()> {
        if result < 0 {
            self.is_poisoned = true;
            return Err(io::Error::from_raw_os_error(-result));
        }
        self.log.synced();
        self.order_files();
        self.sync(ring);
        self.unblock(ring);
        Ok(())
    }

    /// The keeper has made a file.
    pub fn on_file(&mut self, ring: &mut Ring, id: FileId, file: File) {
        self.keeper.arrived();
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
    pub fn on_file_failed(&mut self, now: Instant) {
        self.keeper.arrived();
        self.retry_at = Some(now + RETRY_AFTER);
        self.is_short = true;
    }

    /// When `on_time` has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// True: it is time to ask for files again, and to see whether some can be had otherwise.
    pub fn on_time(&mut self, now: Instant) -> bool {
        let is_due = self.retry_at.is_some_and(|at| at <= now);
        if is_due {
            self.retry_at = None;
            self.order_files();
        }
        is_due
    }

    /// A message is to be brought back. `start_fetches` begins the read.
    pub fn fetch(&mut self, fetch: Fetch) {
        self.fetcher.ask(fetch);
    }

    pub fn start_fetches(&mut self, ring: &mut Ring) {
        self.fetcher.start(&self.log, &self.files, ring);
    }

    /// What a read for messages brought; none for one that stands elsewhere by now.
    pub fn fetched(
        &mut self,
        ring: &mut Ring,
        slot: u32,
        result: i32,
        each: impl FnMut(Fetch, Option<Record<'_>>),
    ) -> Result<(), String> {
        self.fetcher.take(&self.log, slot, result, each)?;
        self.start_fetches(ring);
        Ok(())
    }

    /// Messages that stand elsewhere by now.
    pub fn take_gone(&mut self) -> Vec<Fetch> {
        self.fetcher.take_gone()
    }

    pub fn has_gone(&self) -> bool {
        self.fetcher.has_gone()
    }

    /// Bytes of records that find room, with a reserve left for those that make room.
    pub fn room(&self) -> usize {
        self.log.room(Purpose::Add)
    }

    /// Lets the keeper make what is wanted and delete what is not.
    fn order_files(&mut self) {
        while self.retry_at.is_none() && self.keeper.coming() < self.log.wants_spares() {
            self.keeper.make();
        }
        while let Some(file) = self.log.take_discarded() {
            self.files.remove(&file);
            self.keeper.delete(file);
        }
    }

    /// Begins to read back the oldest segment if too little of the log is alive. `last_batch`: see `Shard::last_batch`.
    pub fn clean(&mut self, ring: &mut Ring, live_bytes: usize, stored: u64) {
        if self.is_poisoned {
            return;
        }
        let budget = self.cleaner.budget(live_bytes, self.is_short);
        self.cleaner.go_on(&mut self.log, &self.files, ring, budget, stored);
        // The file of a segment that was given up is free when one more commit is on disk.
        if self.is_short && self.log.retired() > 0 && self.writing.is_none() && self.blocked.is_none() {
            self.store(ring, Batch { number: NO_BATCH, records: Vec::new() });
        }
        self.order_files();
    }

    /// What was read back, record by record; true: that was the whole segment.
    pub fn review(&mut self, result: i32, each: impl FnMut(Record<'_>)) -> Result<bool, String> {
        self.cleaner.review(result, each)
    }

    /// Everything that is alive in the oldest segment is in this batch or in an earlier one.
    pub fn reviewed(&mut self, last_batch: u64) {
        self.cleaner.reviewed(last_batch);
    }
}

/// Stored for the sake of the commit itself.
const NO_BATCH: u64 = 0;

/// How long a full disk is left alone.
const RETRY_AFTER: Duration = Duration::from_millis(500);

fn whole(result: i32, bytes: usize) -> io::Result<()> {
    match usize::try_from(result) {
        Ok(written) if written == bytes => Ok(()),
        // A file is as long as it has to be, so a write that stops in the middle has hit something worse.
        Ok(written) => {
            Err(io::Error::new(io::ErrorKind::WriteZero, format!("{written} of {bytes} bytes were written")))
        }
        Err(_) => Err(io::Error::from_raw_os_error(-result)),
    }
}
