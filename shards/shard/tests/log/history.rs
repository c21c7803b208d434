//! A log on a disk in memory, with the naive account of what it must hold.

use shard::store::{
    Config, FileId, Log, Placed, Purpose, Recovered,
    record::{self, HEADER_BYTES},
};

use crate::disk::{Block, Chance, Disk, Entry, choices, writes};

/// Small segments, so that boundaries are everywhere.
pub const CONFIG: Config = Config {
    shard: 0,
    shards: 1,
    segment_bytes: 8 * 4096,
    record_bytes_max: 12_000,
    reserve: 1,
    spares_wanted: 3,
    spares_max: 4,
    files_max: 40,
    synced: true,
    seed: 1,
};

/// What a batch is made of: lengths of bodies, and whether the group goes on.
pub type Bodies = Vec<(usize, bool)>;

#[derive(Debug)]
pub struct History {
    pub log: Log,
    pub disk: Disk,
    pub config: Config,
    /// All records that were acknowledged, also those of retired segments.
    pub entries: Vec<Entry>,
    /// The records of each acknowledged commit begin here.
    pub commits: Vec<usize>,
    /// Segments up to this generation are retired, and the last acknowledged commit says so of those below `tail`.
    retired: u32,
    pub tail: u32,
    pub chance: Chance,
    /// Nothing was stored since the last crash.
    crashed: bool,
    lives: u32,
    /// A commit filled its last block, so that nothing marks its end where its beginning is written over.
    has_unmarked_end: bool,
}

/// A batch that is not acknowledged yet.
#[derive(Debug)]
pub struct UnderWay {
    pub writes: Vec<Vec<Block>>,
    pub entries: Vec<Entry>,
    tail: u32,
}

impl History {
    pub fn new(config: Config) -> History {
        let (disk, chance) = (Disk::default(), Chance(config.seed));
        let mut history = History {
            log: Log::new(config),
            disk,
            config,
            entries: Vec::new(),
            commits: Vec::new(),
            retired: 0,
            tail: 0,
            chance,
            crashed: false,
            lives: 1,
            has_unmarked_end: false,
        };
        history.add_spares();
        history
    }

    pub fn add_spares(&mut self) {
        for _ in 0..self.log.wants_spares() {
            let file = self.disk.create(self.config.segment_bytes);
            self.log.add_spare(file);
        }
    }

    pub fn batch(&mut self, bodies: &[(usize, bool)]) -> Vec<u8> {
        let mut batch = Vec::new();
        for (at, (length, more)) in bodies.iter().enumerate() {
            let body = self.chance.bytes(*length);
            let kind = 16 + (body.len() % 200) as u8;
            record::push(&mut batch, kind, 1, &body, *more && at + 1 < bodies.len());
        }
        batch
    }

    /// Places a batch and acknowledges nothing yet. `None`: there is no room.
    pub fn begin(&mut self, batch: Vec<u8>, purpose: Purpose) -> Option<UnderWay> {
        let before = batch.clone();
        let placed = match self.log.commit(batch, purpose) {
            Ok(placed) => placed,
            Err(full) => {
                assert_eq!(full.batch, before, "what is refused comes back as it was");
                return None;
            }
        };
        let mut rests = placed.writes.iter().map(|write| write.slices(&placed.batch)[2].len());
        self.has_unmarked_end |= rests.any(|rest| rest < HEADER_BYTES);
        let entries = entries(&placed, &before);
        Some(UnderWay { writes: writes(&placed), entries, tail: self.retired + 1 })
    }

    /// Everything is written and on disk.
    pub fn end(&mut self, under_way: UnderWay) {
        under_way.writes.iter().flatten().for_each(|block| self.disk.put(block));
        self.log.stored();
        self.crashed = false;
        self.commits.push(self.entries.len());
        self.entries.extend(under_way.entries);
        self.tail = under_way.tail;
        while let Some(FileId(file)) = self.log.take_discarded() {
            self.disk.0.remove(&file);
        }
        self.add_spares();
    }

    pub fn commit(&mut self, bodies: &[(usize, bool)]) {
        let batch = self.batch(bodies);
        let under_way = self.begin(batch, Purpose::Add).expect("there is room");
        self.end(under_way);
    }

    pub fn retire_oldest(&mut self) {
        let retired = self.log.retire_oldest().generation;
        assert!(retired > self.retired, "the oldest comes first");
        self.retired = retired;
    }

    /// What a recovery must hand out if nothing was under way.
    pub fn expected(&self) -> Vec<Entry> {
        self.since(self.tail)
    }

    fn since(&self, tail: u32) -> Vec<Entry> {
        self.entries.iter().filter(|entry| entry.position.generation >= tail).cloned().collect()
    }

    /// Recovers from this image of the disk and judges what comes out: all that was acknowledged, and of what was
    /// under way the first so many whole groups.
    pub fn judge(&self, image: &Disk, under_way: Option<&UnderWay>) -> (Recovered, Vec<Entry>) {
        let config = Config { seed: self.config.seed + 1, ..self.config };
        // Whatever reaches the disk of a later commit, the first one is there.
        let is_some = !self.commits.is_empty() || self.log.last_commit() > 0;
        let recovery = if is_some { image.recover_some(config) } else { image.recover(config) };
        let (recovered, got) = recovery.expect("nothing that was acknowledged came to harm");
        let report = &recovered.report;
        assert_eq!(report.records, got.len() as u64);
        assert!(under_way.is_some() || self.crashed || (report.torn.is_none() && report.dropped == 0));
        // A file may hold the middle of a write that an earlier loss of power has torn, or that nothing marks.
        let may_be_strange = under_way.is_some() || self.lives > 1 || self.has_unmarked_end;
        assert!(may_be_strange || report.strange.is_none(), "{report:?}");
        let whole =
            got == self.expected() || under_way.is_some_and(|under_way| self.goes_on(under_way, &got));
        assert!(whole, "{} of {} records, {report:?}", got.len(), self.expected().len());
        (recovered, got)
    }

    fn goes_on(&self, under_way: &UnderWay, got: &[Entry]) -> bool {
        [self.tail, under_way.tail].into_iter().any(|tail| {
            let Some(rest) = got.strip_prefix(self.since(tail).as_slice()) else { return false };
            under_way.entries.starts_with(rest) && rest.last().is_none_or(|last| !last.more)
        })
    }

    /// Every image of the disk that a loss of power may leave while this batch is under way: each write may be torn in every
    /// way once those before it are on disk.
    pub fn images(&mut self, under_way: &UnderWay, mut each: impl FnMut(&History, &Disk)) {
        let mut image = self.disk.clone();
        for blocks in &under_way.writes {
            for choice in choices(blocks.len(), &mut self.chance) {
                let mut torn = image.clone();
                let reached = blocks.iter().zip(choice).filter(|(_, reached)| *reached);
                reached.for_each(|(block, _)| torn.put(block));
                each(self, &torn);
            }
            blocks.iter().for_each(|block| image.put(block));
        }
    }

    /// Goes on from what was recovered, as a broker does after a crash.
    pub fn resume(&self, image: &Disk, recovered: Recovered, got: Vec<Entry>) -> History {
        let mut disk = image.clone();
        for FileId(file) in &recovered.discarded {
            disk.0.remove(file);
        }
        let mut history = History {
            log: recovered.log,
            disk,
            config: Config { seed: self.config.seed + 1, ..self.config },
            entries: got,
            commits: Vec::new(),
            retired: 0,
            tail: 0,
            chance: self.chance.clone(),
            crashed: true,
            lives: self.lives + 1,
            has_unmarked_end: self.has_unmarked_end,
        };
        history.add_spares();
        history
    }
}

/// The records of a placed batch, where it says that they are.
fn entries(placed: &Placed, before: &[u8]) -> Vec<Entry> {
    let positions = record::records(before).map(|record| placed.position(record.position.offset as usize));
    record::records(before)
        .zip(positions)
        .map(|(record, position)| Entry { position, ..Entry::of(&record) })
        .collect()
}
