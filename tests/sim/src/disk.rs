//! The disk of one shard: the real log and its recovery over a modelled medium, driven as the runtime drives them. When
//! things happen is decided in `world/disks.rs`.

use mqtt::PacketId;
use shard::{
    Batch, Fetch, Piece,
    store::{
        entry::Entry,
        fetching::{Fetching, Reading},
        log::{
            Cleaning, Config, FileId, Found, Full, LOOK_BYTES, Log, Placed, Purpose, Recovered, Recovery,
            Wanted,
        },
        record::Record,
        restoring::Restoring,
    },
};

mod medium;

use crate::{
    crash::{Crash, Landing},
    fault::Fault,
    random::Random,
};
use medium::Medium;

pub struct Disk {
    config: Config,
    medium: Medium,
    log: Log,
    /// The number of the next file, and how many were ordered and have not come.
    next_file: u32,
    pub coming: u32,
    writing: Option<(u64, Placed, usize)>,
    /// No file has room for it.
    blocked: Option<Batch>,
    /// The last file could not be made: the log makes do with those that it has.
    is_short: bool,
    /// And has not been asked for again.
    is_left_alone: bool,
    fetching: Fetching,
    /// Reads of single messages, with what stood there when they began.
    fetches: Vec<(Reading, Vec<u8>)>,
    /// What is not in the log any more where it was looked for.
    gone: Vec<Fetch>,
    walk: Option<Cleaning>,
    pub is_reading: bool,
    /// Everything was reviewed: the segment goes when this batch is stored.
    retire_after: Option<u64>,
    /// The last batch that is stored.
    stored: u64,
    /// Commits that the next recovery has to find, at least and at most.
    commits: (u64, u64),
    /// In this life it took no more room than it may.
    was_small: bool,
    /// Segments that were given up, in all lives.
    pub retired: u64,
    /// Messages that were read back one by one.
    pub fetched: u64,
}

/// A record that was read back.
pub struct ReadBack {
    record: Record<'static>,
    body: Vec<u8>,
}

impl ReadBack {
    fn of(record: &Record<'_>) -> ReadBack {
        ReadBack { record: Record { body: &[], ..*record }, body: record.body.to_vec() }
    }

    pub fn record(&self) -> Record<'_> {
        Record { body: &self.body, ..self.record }
    }
}

impl Disk {
    pub fn new(shard: u8, shards: u8, segment_bytes: u32, is_synced: bool) -> Disk {
        let config = Config {
            shard: shard.into(),
            shards: shards.into(),
            segment_bytes,
            record_bytes_max: RECORD_BYTES_MAX.min(segment_bytes - 2 * shard::store::log::BLOCK_BYTES),
            reserve: 1,
            spares_wanted: 2,
            spares_max: 4,
            files_max: u32::MAX,
            synced: is_synced,
            seed: u64::from(shard) + 1,
        };
        Disk {
            config,
            medium: Medium::default(),
            log: Log::new(config),
            next_file: 0,
            coming: 0,
            writing: None,
            blocked: None,
            is_short: false,
            is_left_alone: false,
            fetching: Fetching::default(),
            fetches: Vec::new(),
            gone: Vec::new(),
            walk: None,
            is_reading: false,
            retire_after: None,
            stored: 0,
            commits: (0, u64::MAX),
            was_small: false,
            retired: 0,
            fetched: 0,
        }
    }

    /// True: a write is under way. Otherwise the batch waits for a file.
    pub fn store(&mut self, batch: Batch) -> bool {
        assert!(self.blocked.is_none(), "one batch is stored at a time");
        if self.writing.is_some() {
            // A commit of our own is on its way.
            self.blocked = Some(batch);
            return false;
        }
        match self.log.commit(batch.records, Purpose::Free) {
            Ok(placed) => {
                self.writing = Some((batch.number, placed, 0));
                self.write();
                true
            }
            Err(Full { .. }) if batch.number == NO_BATCH => false,
            Err(Full { batch: records }) => {
                self.blocked = Some(Batch { number: batch.number, records });
                false
            }
        }
    }

    fn write(&mut self) {
        let (_, placed, at) = self.writing.as_ref().expect("a batch is being written");
        let write = &placed.writes[*at];
        self.medium.begin(write.file, write.offset, write.slices(&placed.batch).concat());
    }

    /// A write is done. None: the next one is under way.
    pub fn on_written(&mut self, fault: Option<Fault>, random: &mut Random) -> Option<(u64, Vec<Piece>)> {
        let is_lie = fault == Some(Fault::LoseWrites) && random.percent(10);
        self.medium.finish(is_lie || !self.config.synced);
        let (_, placed, at) = self.writing.as_mut().expect("a batch is being written");
        *at += 1;
        if *at < placed.writes.len() {
            self.write();
            return None;
        }
        let (number, placed, _) = self.writing.take().expect("it was there a moment ago");
        self.log.stored();
        if number != NO_BATCH {
            self.stored = number;
        }
        Some((number, placed.pieces.to_vec()))
    }

    /// Where writes are not synced each by itself. True: a sync has begun.
    pub fn sync(&mut self) -> bool {
        if self.config.synced {
            return false;
        }
        let Some(file) = self.log.begin_sync() else { return false };
        self.medium.begin_sync(file);
        true
    }

    /// A sync is done. True: a batch that waited for room is being written.
    pub fn on_synced(&mut self, fault: Option<Fault>) -> bool {
        self.medium.finish_sync(fault == Some(Fault::LoseSyncs));
        self.log.synced();
        self.unblock()
    }

    pub fn unblock(&mut self) -> bool {
        self.writing.is_none() && self.blocked.take().is_some_and(|batch| self.store(batch))
    }

    /// One of the shard's batches is being stored.
    pub fn has_batch(&self) -> bool {
        let is_writing = self.writing.as_ref().is_some_and(|(number, ..)| *number != NO_BATCH);
        is_writing || self.blocked.is_some()
    }

    /// Of records, and whether more is on its way.
    pub fn room(&self) -> (usize, bool) {
        (self.log.room(Purpose::Add), !self.is_short)
    }

    /// True: it is to be asked again some time later.
    pub fn on_file_failed(&mut self) -> bool {
        self.coming -= 1;
        self.is_short = true;
        !std::mem::replace(&mut self.is_left_alone, true)
    }

    pub fn ask_again(&mut self) {
        self.is_left_alone = false;
    }

    /// The file of a segment that was given up is free when one more commit is on disk. True: one is being written.
    pub fn free_retired(&mut self) -> bool {
        let is_low = self.is_short || self.log.is_low();
        let is_idle = self.writing.is_none() && self.blocked.is_none();
        is_low
            && is_idle
            && self.log.retired() > 0
            && self.store(Batch { number: NO_BATCH, records: Vec::new() })
    }

    /// How many files to begin to make; what is of no use is deleted.
    pub fn order_files(&mut self) -> u32 {
        while let Some(file) = self.log.take_discarded() {
            self.medium.delete(file);
        }
        if self.is_left_alone {
            return 0;
        }
        let wanted = self.log.wants_spares().max(u32::from(self.blocked.is_some()));
        let wanted = wanted.saturating_sub(self.coming);
        self.coming += wanted;
        wanted
    }

    /// A file is made. True: a batch that waited for it is being written.
    pub fn on_file(&mut self) -> bool {
        self.coming -= 1;
        let file = FileId(self.next_file);
        self.next_file += 1;
        self.medium.make(file, self.config.segment_bytes);
        self.log.add_spare(file);
        self.is_short = false;
        self.unblock()
    }

    /// True: a part of the oldest segment is to be read, since too little of the log is alive.
    pub fn clean(&mut self, live_bytes: usize) -> bool {
        if self.retire_after.is_some_and(|batch| batch <= self.stored) {
            self.retire_after = None;
            self.walk = None;
            self.retired += 1;
            self.log.retire_oldest();
        }
        if self.is_reading || self.retire_after.is_some() {
            return false;
        }
        if self.walk.is_none() {
            if self.log.used_bytes() <= self.used_bytes_max(live_bytes) {
                self.was_small = true;
                return false;
            }
            self.walk = self.log.oldest();
        }
        self.is_reading = self.walk.as_ref().is_some_and(|walk| walk.wants().is_some());
        self.is_reading
    }

    fn used_bytes_max(&self, live_bytes: usize) -> u64 {
        // A log that can have no more files makes do with less.
        let times = if self.is_short { 1 } else { 2 };
        times * (live_bytes as u64 + u64::from(self.config.segment_bytes))
    }

    /// The log takes more room than it may with so much alive in it, and has had time to become smaller since the start.
    pub fn is_too_large(&self, live_bytes: usize) -> bool {
        self.was_small
            && self.log.used_bytes() > self.used_bytes_max(live_bytes) + u64::from(self.config.segment_bytes)
    }

    /// What was read; with it whether that was the end of the segment.
    pub fn on_read_back(&mut self, random: &mut Random) -> Result<(Vec<ReadBack>, bool), String> {
        self.is_reading = false;
        let walk = self.walk.as_mut().expect("a segment is read back");
        let Wanted { file, offset, bytes_min, bytes_max } = walk.wants().expect("it was not read to its end");
        let bytes = bytes_max.min(bytes_min.max(random.skewed(u64::from(bytes_max)) as u32));
        let bytes = self.medium.read(file, offset, bytes);
        let mut records = Vec::new();
        let read = walk.chunk(&bytes, |record| {
            records.push(ReadBack::of(&record));
        });
        read.map_err(|damage| format!("{damage}"))?;
        Ok((records, walk.wants().is_none()))
    }

    /// True: nothing was being fetched, so that somebody has to see to it.
    pub fn fetch(&mut self, fetch: Fetch) -> bool {
        let is_first = self.fetching.is_empty() && self.fetches.is_empty() && self.gone.is_empty();
        self.fetching.ask(fetch);
        is_first
    }

    /// A read begins, if one is wanted. False: nothing is left to do.
    pub fn begin_fetch(&mut self) -> bool {
        let mut gone = Vec::new();
        if let Some(reading) = self.fetching.next(&self.log, &mut gone) {
            let bytes = self.medium.read(reading.file, reading.offset, reading.bytes);
            self.fetches.push((reading, bytes));
        }
        self.gone.extend(gone);
        !self.fetches.is_empty() || !self.gone.is_empty()
    }

    /// One of the reads ends.
    pub fn on_fetched(&mut self, random: &mut Random) -> Result<Vec<(Fetch, Option<ReadBack>)>, String> {
        let mut fetched: Vec<_> = self.gone.drain(..).map(|fetch| (fetch, None)).collect();
        if self.fetches.is_empty() {
            return Ok(fetched);
        }
        let (reading, bytes) = self.fetches.swap_remove(random.index(self.fetches.len()));
        let each = |fetch: Fetch, record: Option<Record<'_>>| {
            fetched.push((fetch, record.map(|record| ReadBack::of(&record))));
        };
        let taken = self.fetching.take(&self.log, reading, &bytes, each);
        taken.map_err(|position| format!("no record at {position:?}"))?;
        self.fetched += fetched.len() as u64;
        Ok(fetched)
    }

    pub fn reviewed(&mut self, last_batch: u64) {
        self.retire_after = Some(last_batch);
    }

    pub fn describe(&self, live_bytes: usize) -> String {
        format!("{} bytes of log for {live_bytes} that are alive", self.log.used_bytes())
    }

    pub fn crash(
        &mut self,
        crash: Crash,
        landing: Landing,
        fault: Option<Fault>,
        random: &mut Random,
    ) -> (String, bool) {
        let least = if crash == Crash::Kill { self.log.last_commit() } else { self.log.durable_commit() };
        self.commits = (least, self.log.placed_commit());
        if fault == Some(Fault::LoseLastWrite) {
            self.medium.lose_last();
        }
        let making = (self.coming > 0).then_some((FileId(self.next_file), self.config.segment_bytes));
        (self.fetching, self.fetches, self.gone) = (Fetching::default(), Vec::new(), Vec::new());
        (self.coming, self.writing, self.blocked, self.walk) = (0, None, None, None);
        (self.is_reading, self.retire_after, self.stored) = (false, None, 0);
        self.was_small = false;
        (self.is_short, self.is_left_alone) = (false, false);
        self.medium.crash(crash, landing, making, random)
    }

    /// Reads everything that is there, and goes on in a fresh segment.
    pub fn recover(
        &mut self,
        epoch_ms: u64,
        fault: Option<Fault>,
        random: &mut Random,
    ) -> Result<(Restoring, String), String> {
        self.config.seed = random.next();
        let files: Vec<(FileId, u32, Vec<u8>)> = self
            .medium
            .files()
            .map(|(file, bytes)| (file, bytes, self.medium.read(file, 0, LOOK_BYTES)))
            .collect();
        let found = files.iter().map(|(file, bytes, start)| Found { file: *file, bytes: *bytes, start });
        let refused = |refusal| format!("refused: {refusal}");
        let mut recovery = Recovery::new(self.config, found).map_err(refused)?;
        let (least, most) = self.commits;
        let is_lied_to = matches!(fault, Some(Fault::LoseWrites | Fault::LoseLastWrite));
        if least > 0 && !is_lied_to {
            recovery = recovery.expecting_some().map_err(refused)?;
        }
        let mut restoring = Restoring::new(epoch_ms);
        let mut malformed = None;
        while let Some((file, bytes)) = recovery.wants() {
            let contents = self.medium.read(file, 0, bytes);
            let each = |record: Record<'_>| {
                if !is_dropped(&record, fault, random) && restoring.take(&record).is_err() {
                    malformed.get_or_insert((file, record.position));
                }
            };
            recovery.read(&contents, each).map_err(refused)?;
        }
        if let Some((file, position)) = malformed {
            return Err(format!("a record that cannot be read in {file:?} at {position:?}"));
        }
        let Recovered { log, report, sync, discarded } = recovery.finish();
        for file in sync {
            self.medium.sync(file);
        }
        for file in discarded {
            self.medium.delete(file);
        }
        self.next_file = self.medium.files().map(|(file, _)| file.0 + 1).max().unwrap_or(0);
        if !self.config.synced && !(least..=most).contains(&log.last_commit()) {
            return Err(format!("it ends with commit {}, not {least} to {most}", log.last_commit()));
        }
        self.log = log;
        Ok((restoring, format!("{report:?}")))
    }
}

/// Stored for the sake of the commit itself.
pub const NO_BATCH: u64 = 0;

/// No record of a run is longer.
const RECORD_BYTES_MAX: u32 = 64 << 10;

/// What a recovery that is broken on purpose passes over.
fn is_dropped(record: &Record<'_>, fault: Option<Fault>, random: &mut Random) -> bool {
    let Ok(entry) = Entry::decode(record) else { return false };
    match fault {
        Some(Fault::DropMessages) => matches!(entry, Entry::Message(_)) && random.percent(30),
        Some(Fault::DropSessions) => matches!(entry, Entry::Session(_)) && random.percent(30),
        Some(Fault::DropSubscriptions) => matches!(entry, Entry::Subscribed { .. }) && random.percent(30),
        Some(Fault::DropDone) => matches!(entry, Entry::Done { .. }),
        Some(Fault::DropReceived) => matches!(entry, Entry::Received { .. } | Entry::Handshake { .. }),
        Some(Fault::DropWillNames) => {
            matches!(entry, Entry::Handshake { handshake, .. } if handshake.packet_id == PacketId::MIN)
        }
        _ => false,
    }
}
