//! The log of one shard: which segments are in use, which are free, and how much room there is.
//!
//! No I/O: `commit`, in `placing.rs`, says what is to be written, `stored` is told when that was done. `recovery.rs`
//! makes a `Log` from what files hold.

mod cleaning;
mod commit;
mod contents;
mod groups;
mod header;
mod placed;
mod placing;
mod recovery;
mod refusal;
mod salvage;
mod segment;
mod strange;
mod whole;

use std::collections::VecDeque;

pub use cleaning::{Cleaning, Wanted};
pub use header::FORMAT;
pub use placed::{Full, Piece, Placed, Position, Write};
pub use recovery::{Found, LOOK_BYTES, Recovered, Recovery, Report, START_BYTES, Step, Strange, Torn};
pub use refusal::{Damage, Fault, Refusal};
pub use whole::Whole;

use self::{
    commit::COMMIT_BYTES,
    contents::whole_record,
    segment::{Segment, Spare},
};
use super::record::{HEADER_BYTES, Header, Record};

/// A file, by the number in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    pub shard: u16,
    pub shards: u16,
    /// Size of the files, in whole blocks.
    pub segment_bytes: u32,
    /// Largest record, header included. A record never spans segments.
    pub record_bytes_max: u32,
    /// Spare files that only batches may use which help to free space.
    pub reserve: u32,
    /// How many spare files to have, and to keep, the reserve included.
    pub spares_wanted: u32,
    pub spares_max: u32,
    /// Files in all.
    pub files_max: u32,
    /// Each write is on disk before it counts as stored.
    pub synced: bool,
    /// Different at each start: what an interrupted start has written must not pass for something else.
    pub seed: u64,
}

/// What a batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It adds something that may as well be refused.
    Add,
    /// It helps to free space, and may use the reserve.
    Free,
}

/// A segment that left the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    pub file: FileId,
    pub generation: u32,
}

#[derive(Debug)]
pub struct Log {
    config: Config,
    /// In the order of their generations, the oldest first.
    segments: VecDeque<Segment>,
    /// Each with the first commit that does not count on it: when that is on disk, the file is free.
    retired: VecDeque<(Segment, u64)>,
    spares: VecDeque<Spare>,
    discarded: Vec<FileId>,
    /// The last segment takes further commits.
    open: bool,
    /// The last commit that was placed, that was stored, and up to which all are on disk.
    placed: u64,
    stored: u64,
    durable: u64,
    /// The commit through which all are on disk when the sync ends that is on its way.
    syncing: Option<u64>,
    /// Everything is to be synced, the segment that commits go to as well.
    is_ending: bool,
    last_generation: u32,
    /// Generation of the last segment with commits, and where these end.
    previous: (u32, u32),
}

impl Log {
    /// An empty log without files.
    #[must_use]
    pub fn new(config: Config) -> Log {
        config.check();
        Log {
            config,
            segments: VecDeque::new(),
            retired: VecDeque::new(),
            spares: VecDeque::new(),
            discarded: Vec::new(),
            open: false,
            placed: 0,
            stored: 0,
            durable: 0,
            syncing: None,
            is_ending: false,
            last_generation: 0,
            previous: (0, 0),
        }
    }

    /// All writes of the batch under way are done; on disk, if commits are synced.
    pub fn stored(&mut self) {
        assert!(self.stored < self.placed, "a batch is under way");
        self.stored = self.placed;
        if self.config.synced {
            self.durable = self.stored;
            self.free_retired();
        }
    }

    pub fn is_under_way(&self) -> bool {
        self.stored < self.placed
    }

    /// Which file to sync next where commits are not synced: finished segments, oldest first, so that a loss of power
    /// costs recent commits only, and whatever a retired file waits for. `synced` ends it; commits may go on meanwhile.
    pub fn begin_sync(&mut self) -> Option<FileId> {
        if self.syncing.is_some() || self.durable == self.stored {
            return None;
        }
        let is_left_out = self.open && self.retired.is_empty() && !self.is_ending;
        let finished = self.segments.len() - usize::from(is_left_out);
        let in_order = self.retired.iter().map(|(segment, _)| segment);
        let mut in_order = in_order.chain(self.segments.iter().take(finished));
        let segment = in_order.find(|segment| segment.last_commit > self.durable)?;
        // What is under way may be only partly written: the sync says nothing about it.
        self.syncing = Some(segment.last_commit.min(self.stored));
        Some(segment.file)
    }

    /// The log is about to be closed: `begin_sync` leaves nothing out from now on. An empty commit after that vouches for all
    /// before it, and is synced as well.
    pub fn end(&mut self) {
        self.is_ending = true;
    }

    /// Something was committed since the log was opened.
    pub fn is_open(&self) -> bool {
        self.open
    }

    pub fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    pub fn synced(&mut self) {
        self.durable = self.syncing.take().expect("a sync is on its way");
        self.free_retired();
    }

    fn free_retired(&mut self) {
        while self.retired.front().is_some_and(|(_, after)| *after <= self.durable) {
            let (segment, _) = self.retired.pop_front().expect("there is a first one");
            self.keep_or_discard(Spare { file: segment.file, bytes: segment.header.segment_bytes });
        }
    }

    fn keep_or_discard(&mut self, spare: Spare) {
        let wanted = self.spares.len() < self.config.spares_max as usize;
        if wanted && spare.bytes == self.config.segment_bytes {
            self.spares.push_back(spare);
        } else {
            self.discarded.push(spare.file);
        }
    }

    /// Only what is reserved for batches that help to free space is left.
    pub fn is_low(&self) -> bool {
        self.spares.len() <= self.config.reserve as usize
    }

    /// How many files to make, of `segment_bytes` each.
    pub fn wants_spares(&self) -> u32 {
        let coming = self.spares.len() + self.retired.len();
        let missing = self.config.spares_wanted.saturating_sub(coming as u32);
        missing.min(self.config.files_max.saturating_sub((coming + self.segments.len()) as u32))
    }

    /// The file is as long as a segment. What it holds does not matter, but filled with zeros it is written faster.
    pub fn add_spare(&mut self, file: FileId) {
        let known = self.segments.iter().chain(self.retired.iter().map(|(segment, _)| segment));
        debug_assert!(known.map(|segment| segment.file).all(|known| known != file), "the file is in use");
        self.spares.push_back(Spare { file, bytes: self.config.segment_bytes });
    }

    /// A file that the log has no use for any more: to be deleted.
    pub fn take_discarded(&mut self) -> Option<FileId> {
        self.discarded.pop()
    }

    /// A batch of so many bytes is not refused, whatever its records are.
    pub fn room(&self, purpose: Purpose) -> usize {
        // At each change of segment a record may just not fit.
        let waste = self.config.record_bytes_max as usize - 1;
        let (mut room, mut last) = (0, 0_usize);
        for segment in self.open_room(purpose).into_iter().chain(self.spare_rooms(purpose)) {
            room += last.saturating_sub(waste);
            last = segment;
        }
        room + last
    }

    /// Room in the segment that commits go to. If it was begun with a spare of the reserve, it belongs to the reserve.
    fn open_room(&self, purpose: Purpose) -> Option<usize> {
        let reserved = purpose == Purpose::Add && self.spares.len() < self.config.reserve as usize;
        if self.open && !reserved { self.segments.back()?.room() } else { None }
    }

    fn spare_rooms(&self, purpose: Purpose) -> impl Iterator<Item = usize> {
        let kept = match purpose {
            Purpose::Add => self.config.reserve as usize,
            Purpose::Free => 0,
        };
        self.spares.iter().take(self.spares.len().saturating_sub(kept)).map(Spare::room)
    }

    /// Bytes on disk in use: whole segments, except for the one that commits go to.
    pub fn used_bytes(&self) -> u64 {
        let all = self.segments.iter().map(|segment| u64::from(segment.header.segment_bytes)).sum::<u64>();
        let open = self.segments.back().filter(|_| self.open);
        all - open.map_or(0, |segment| u64::from(segment.header.segment_bytes - segment.end))
    }

    /// Bytes of all its files, of those as well that nothing stands in yet, or any more.
    pub fn file_bytes(&self) -> u64 {
        let retired = self.retired.iter().map(|(segment, _)| segment);
        let of_segments = self.segments.iter().chain(retired).map(|segment| segment.header.segment_bytes);
        of_segments.chain(self.spares.iter().map(|spare| spare.bytes)).map(u64::from).sum()
    }

    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    pub fn spares(&self) -> usize {
        self.spares.len()
    }

    /// Retired segments whose files are not free yet: the next commit frees them when it is on disk, be it an empty one.
    pub fn retired(&self) -> usize {
        self.retired.len()
    }

    /// The last commit that was stored; 0: none.
    pub fn last_commit(&self) -> u64 {
        self.stored
    }

    /// The last commit of which anything can be on disk.
    pub fn placed_commit(&self) -> u64 {
        self.placed
    }

    /// Everything up to this commit is on disk.
    pub fn durable_commit(&self) -> u64 {
        self.durable
    }

    /// A walk over the oldest segment, for cleaning; none if commits still go there.
    pub fn oldest(&self) -> Option<Cleaning> {
        let segment = self.closed()?;
        Some(Cleaning::new(segment.file, &segment.header, segment.end))
    }

    /// The oldest segment, if everything in it was stored and nothing more comes to it.
    fn closed(&self) -> Option<&Segment> {
        let is_closed = self.segments.len() > usize::from(self.open);
        self.segments.front().filter(|segment| is_closed && segment.last_commit <= self.stored)
    }

    /// Takes the oldest segment out. The caller stands for it that everything in it that is alive was placed again; its
    /// file becomes a spare when a later commit is on disk.
    pub fn retire_oldest(&mut self) -> Retired {
        assert!(self.closed().is_some(), "commits still go to the oldest segment");
        let segment = self.segments.pop_front().expect("there is a closed segment");
        let retired = Retired { file: segment.file, generation: segment.header.generation };
        self.retired.push_back((segment, self.placed + 1));
        retired
    }

    /// Where to read what stands at a position, and how many bytes there are from there on. `None`: its segment is not in
    /// use, or ends before it.
    pub fn locate(&self, position: Position) -> Option<(FileId, u32)> {
        let segment = self.segment(position.generation)?;
        let left = segment.end.checked_sub(position.offset).filter(|left| *left > 0)?;
        Some((segment.file, left))
    }

    /// The record at a position from the bytes that were read there; `None` if they are not that record.
    pub fn record<'a>(&self, position: Position, bytes: &'a [u8]) -> Option<Record<'a>> {
        let segment = self.segment(position.generation)?;
        let length = whole_record(bytes, bytes.len(), position.generation, segment.header.seed()).ok()?;
        let header = Header::decode(bytes.first_chunk()?);
        Some(header.record(&bytes[HEADER_BYTES..length], position))
    }

    fn segment(&self, generation: u32) -> Option<&Segment> {
        let at = self.segments.binary_search_by_key(&generation, |segment| segment.header.generation);
        self.segments.get(at.ok()?)
    }
}

impl Config {
    fn check(&self) {
        assert!(self.segment_bytes.is_multiple_of(BLOCK_BYTES), "a segment has whole blocks");
        let overhead = BLOCK_BYTES + COMMIT_BYTES as u32;
        let fits = self.record_bytes_max.checked_add(overhead).is_some_and(|all| all <= self.segment_bytes);
        assert!(fits, "the largest record fits into an empty segment");
        assert!(self.record_bytes_max >= HEADER_BYTES as u32, "a record has a header");
        assert!(self.spares_wanted > self.reserve, "there is a spare beyond the reserve");
        assert!(self.spares_max >= self.spares_wanted, "spares that are wanted are kept");
        assert!(self.shard < self.shards, "the shard is one of all");
    }
}

/// What is written and torn as a whole: commits begin at its multiples.
pub const BLOCK_BYTES: u32 = 4096;
