//! From files to a log: which segments belong to it, where it ends, and all its records in order.
//!
//! The caller gives the first two blocks of each file and then reads what `wants` says, one segment at a time. First the
//! end is looked for, from the newest segment backwards, until some commit proves that everything before was on disk;
//! then the segments are read in order.

mod chain;
mod ending;

use std::collections::BTreeMap;

use self::{chain::Link, ending::Ending};
use super::{
    BLOCK_BYTES, Config, Damage, Fault, FileId, Log, Refusal,
    commit::Commit,
    contents::{Contents, Gap},
    groups::Groups,
    header::{HEADER_BYTES, Head, Header},
    segment::{Segment, Spare},
};
use crate::store::Record;

/// A file as it was found.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    pub file: FileId,
    /// Its length.
    pub bytes: u32,
    /// Its first `LOOK_BYTES`, or all of it.
    pub start: &'a [u8],
}

/// What a walk over a log comes to.
#[derive(Debug)]
pub enum Step<'a> {
    Record(Record<'a>),
    /// What stands here is passed over.
    Damage(&'a Damage),
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// Records handed out.
    pub records: u64,
    pub commits: u64,
    pub segments: u64,
    /// Records at the log's end whose group was not stored whole, and such as damage has cut off.
    pub dropped: u64,
    /// Of the records: from commits that are not whole, which a tolerant recovery looks into.
    pub salvaged: u64,
    pub torn: Option<Torn>,
    pub strange: Option<Strange>,
    /// What a tolerant recovery passed over.
    pub damages: Vec<Damage>,
    /// Generations that a tolerant recovery did without.
    pub missing: Vec<u32>,
    /// A tolerant recovery found nothing where something was stored for certain.
    pub is_lost: bool,
}

/// The end of the log was being written when the machine stopped: nothing there was acknowledged as being on disk, unless
/// the file was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    pub file: FileId,
    /// Where the first commit begins that is not whole, and how many bytes are void from there on in this file.
    pub offset: u32,
    pub bytes: u32,
    /// Whole commits behind it, in this file and in later ones, which are void with it.
    pub commits: u64,
    /// The file is shorter than it was made. No crash does that: what is missing may have been acknowledged.
    pub is_cut: bool,
}

/// Behind the last commit stands what no broker leaves there: neither zeros, nor the beginning of a commit, nor what the file
/// held before, as far as that can be told. A commit was torn so that nothing of its beginning is left, or commits that
/// were stored came to harm. Or, at offset 0, it is a file of which the same is true from its beginning on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strange {
    pub file: FileId,
    pub offset: u32,
    pub bytes: u32,
}

/// A log that is ready to go on, in a fresh segment.
#[derive(Debug)]
pub struct Recovered {
    pub log: Log,
    pub report: Report,
    /// To be synced before the first commit is written and before any file is deleted: what was read may be in memory only.
    pub sync: Vec<FileId>,
    /// Files without use: to be deleted.
    pub discarded: Vec<FileId>,
}

/// A recovery on its way.
#[derive(Debug)]
pub struct Recovery {
    config: Config,
    tolerant: bool,
    files: Vec<Spare>,
    /// Files that have a valid header, by generation.
    known: BTreeMap<u32, Known>,
    /// Files without one, or with an earlier one, whose first commit is there nevertheless.
    doubtful: Vec<Doubtful>,
    /// Files that have neither a header nor zeros.
    suspects: Vec<FileId>,
    /// What stands at the beginning of files that have no header, and no first commit either.
    beginnings: Vec<Strange>,
    phase: Phase,
    last_generation: u32,
    ending: Ending,
    groups: Groups,
    /// What the next segment of the log begins with.
    next_commit: Option<u64>,
    report: Report,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    file: FileId,
    /// As far as the file and its header agree.
    bytes: u32,
    header: Header,
}

impl Known {
    fn is_cut(&self) -> bool {
        self.bytes < self.header.segment_bytes
    }
}

#[derive(Debug, Clone, Copy)]
struct Doubtful {
    file: FileId,
    bytes: u32,
    first: Commit,
}

#[derive(Debug)]
enum Phase {
    /// Is a file without its header a segment?
    Doubt {
        next: usize,
    },
    /// Where does the log end?
    End {
        generation: u32,
        bound: Option<u32>,
    },
    /// The segments in order.
    Replay {
        chain: Vec<Link>,
        next: usize,
    },
    Done {
        chain: Vec<Link>,
    },
}

impl Recovery {
    /// Refuses whatever is not as it was stored.
    pub fn new<'a>(config: Config, found: impl IntoIterator<Item = Found<'a>>) -> Result<Recovery, Refusal> {
        Recovery::start(config, found, false)
    }

    /// Passes over damage and reports it: to look at a log, or to save what is left of it.
    pub fn tolerant<'a>(
        config: Config,
        found: impl IntoIterator<Item = Found<'a>>,
    ) -> Result<Recovery, Refusal> {
        Recovery::start(config, found, true)
    }

    fn start<'a>(
        config: Config,
        found: impl IntoIterator<Item = Found<'a>>,
        tolerant: bool,
    ) -> Result<Recovery, Refusal> {
        config.check();
        let mut recovery = Recovery {
            config,
            tolerant,
            files: Vec::new(),
            known: BTreeMap::new(),
            doubtful: Vec::new(),
            suspects: Vec::new(),
            beginnings: Vec::new(),
            phase: Phase::Doubt { next: 0 },
            last_generation: 0,
            ending: Ending::default(),
            groups: Groups::default(),
            next_commit: None,
            report: Report::default(),
        };
        for found in found {
            recovery.take(found)?;
        }
        let newest = recovery.known.keys().next_back().copied().unwrap_or(0);
        let first = |doubtful: &Doubtful| doubtful.first.generation;
        recovery.last_generation = recovery.doubtful.iter().map(first).max().unwrap_or(0).max(newest);
        // Those of known generations were written again elsewhere; those between matter only if one is missing.
        recovery.doubtful.sort_by_key(first);
        let next = recovery.doubtful.partition_point(|doubtful| first(doubtful) <= newest);
        recovery.phase = Phase::Doubt { next };
        recovery.leave_doubt()?;
        Ok(recovery)
    }

    /// Before anything is read: the first commit of this log was on disk for certain. Without that, nothing at all is a log
    /// in which nothing was stored yet.
    pub fn expecting_some(mut self) -> Result<Recovery, Refusal> {
        self.ending.durable = self.ending.durable.max(FIRST_COMMIT);
        if matches!(self.phase, Phase::Done { .. }) {
            self.lose()?;
        }
        Ok(self)
    }

    fn take(&mut self, found: Found<'_>) -> Result<(), Refusal> {
        let Found { file, bytes, start } = found;
        if bytes < HEADER_BYTES as u32 {
            return Err(Refusal::Emptied { file, bytes });
        }
        self.files.push(Spare { file, bytes });
        let mut generation = 0;
        match Head::read(start) {
            Head::Blank => {}
            Head::Unknown => self.suspects.push(file),
            Head::Newer(format) => return Err(Refusal::Newer { file, format }),
            Head::Whole(header) => {
                let (shard, shards) = (header.shard, header.shards);
                if (shard, shards) != (self.config.shard, self.config.shards) {
                    return Err(Refusal::Foreign { file, shard, shards });
                }
                generation = header.generation;
                let bytes = bytes.min(header.segment_bytes);
                if let Some(twin) = self.known.insert(generation, Known { file, bytes, header }) {
                    return Err(Refusal::Twice { generation, files: [twin.file, file] });
                }
            }
        }
        // The first commit of a segment is always here: no payload can be.
        let first = start.get(BLOCK_BYTES as usize..).and_then(Commit::decode);
        if let Some(first) = first.filter(|first| first.generation > generation) {
            self.doubtful.push(Doubtful { file, bytes, first });
        } else if generation == 0 {
            self.beginnings.extend(Strange::beginning(file, start));
        }
        Ok(())
    }

    /// Which file to read next, and how many bytes from its beginning. `None`: that was all.
    pub fn wants(&self) -> Option<(FileId, u32)> {
        match &self.phase {
            Phase::Doubt { next } => self.doubtful.get(*next).map(|doubtful| (doubtful.file, doubtful.bytes)),
            Phase::End { generation, bound } => {
                let known = &self.known[generation];
                Some((known.file, bound.map_or(known.bytes, |bound| bound.min(known.bytes))))
            }
            Phase::Replay { chain, next } => chain.get(*next).map(Link::wanted),
            Phase::Done { .. } => None,
        }
    }

    /// What `wants` will say after that, as far as it is known: whoever reads can have it fetched meanwhile.
    pub fn wants_later(&self) -> impl Iterator<Item = (FileId, u32)> {
        let rest = match &self.phase {
            Phase::Replay { chain, next } => chain.get(*next + 1..).unwrap_or_default(),
            Phase::Doubt { .. } | Phase::End { .. } | Phase::Done { .. } => &[],
        };
        rest.iter().map(Link::wanted)
    }

    /// Takes what `wants` said. Records come in the order in which they were stored, whole groups only. After an error
    /// nothing more is wanted.
    pub fn read(&mut self, bytes: &[u8], mut each: impl FnMut(Record<'_>)) -> Result<(), Refusal> {
        self.walk(bytes, |found| {
            if let Step::Record(record) = found {
                each(record);
            }
        })
    }

    /// The same, with the damage that a tolerant recovery passes over, where it stands between the records.
    pub fn walk(&mut self, bytes: &[u8], mut each: impl FnMut(Step<'_>)) -> Result<(), Refusal> {
        let damages = self.report.damages.len();
        match &self.phase {
            Phase::Doubt { .. } => self.doubt(bytes)?,
            Phase::End { .. } => self.find_end(bytes)?,
            Phase::Replay { .. } => return self.replay(bytes, &mut each),
            Phase::Done { .. } => panic!("nothing is wanted any more"),
        }
        self.report.damages[damages..].iter().for_each(|damage| each(Step::Damage(damage)));
        Ok(())
    }

    /// Generations, and the files that have their segments, as far as they are known.
    pub fn files(&self) -> impl ExactSizeIterator<Item = (u32, FileId)> {
        self.known.iter().map(|(generation, known)| (*generation, known.file))
    }

    /// What was found so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// A file whose header is lost although a commit after its first one says that the first was on disk.
    fn doubt(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Phase::Doubt { next } = &mut self.phase else { unreachable!("the phase was looked at") };
        let doubtful = self.doubtful[*next];
        *next += 1;
        let Commit { generation, salt, number, .. } = doubtful.first;
        let contents = Contents { bytes, generation, salt };
        let (mut commits, mut durable) = (0, self.ending.durable);
        for commit in contents.commit_records() {
            commits += 1;
            durable = durable.max(commit.durable);
        }
        if durable >= number {
            self.headless(&doubtful)?;
        } else {
            let Doubtful { file, bytes, .. } = doubtful;
            self.report.torn = Some(Torn { file, offset: 0, bytes, commits, is_cut: false });
        }
        self.leave_doubt()
    }

    fn leave_doubt(&mut self) -> Result<(), Refusal> {
        let Phase::Doubt { next } = self.phase else { return Ok(()) };
        if next < self.doubtful.len() {
            return Ok(());
        }
        self.phase = match self.known.keys().next_back() {
            Some(generation) => Phase::End { generation: *generation, bound: None },
            None => Phase::Done { chain: Vec::new() },
        };
        let is_empty = self.known.is_empty() && self.ending.durable > 0;
        if is_empty { self.lose() } else { Ok(()) }
    }

    /// There is not one segment, and something was stored for certain.
    fn lose(&mut self) -> Result<(), Refusal> {
        self.report.is_lost = true;
        if self.tolerant { Ok(()) } else { Err(Refusal::Lost) }
    }

    fn replay(&mut self, bytes: &[u8], each: &mut impl FnMut(Step<'_>)) -> Result<(), Refusal> {
        let Phase::Replay { chain, next } = &mut self.phase else { unreachable!("the phase was looked at") };
        let link = chain[*next];
        *next += 1;
        let whole = chain.get(*next).map(|link| link.known.header.first_commit);
        if *next == chain.len() {
            self.phase = Phase::Done { chain: std::mem::take(chain) };
        }
        let Known { header, .. } = link.known;
        let contents = Contents::new(bytes, &header, link.bound);
        if let Some(damage) = self.check_order(&link.known) {
            each(Step::Damage(&damage));
            self.damage(damage)?;
        }
        let (groups, tolerant) = (&mut self.groups, self.tolerant);
        let mut told = 0;
        let survey = contents.survey(header.first_commit, link.bound, |contents, at, commit, gaps| {
            for gap in gaps.iter().filter(|_| tolerant) {
                each(Step::Damage(&link.known.damage(gap, whole)));
                groups.salvage(&contents, gap, &mut |record| each(Step::Record(record)));
            }
            told += gaps.len();
            groups.commit(contents, at, commit, &mut |record| each(Step::Record(record)));
        });
        for gap in survey.gaps[told..].iter().filter(|_| tolerant) {
            each(Step::Damage(&link.known.damage(gap, whole)));
            groups.salvage(&contents, gap, &mut |record| each(Step::Record(record)));
        }
        self.report.segments += 1;
        self.report.commits += survey.commits;
        for gap in &survey.gaps {
            self.damage(link.known.damage(gap, whole))?;
        }
        self.next_commit = survey.last.map(|commit| commit.number + 1);
        if survey.gaps.last().is_some_and(|gap| gap.behind.is_none()) {
            self.next_commit = None;
        }
        Ok(())
    }

    /// The commits of a segment go on where those of the one before it end.
    fn check_order(&mut self, known: &Known) -> Option<Damage> {
        let first = known.header.first_commit;
        let expected = self.next_commit.filter(|expected| *expected != first)?;
        self.groups.end();
        // That a segment is missing was said already.
        self.report.missing.is_empty().then(|| known.out_of_order(expected))
    }

    fn damage(&mut self, damage: Damage) -> Result<(), Refusal> {
        if !self.tolerant {
            return Err(damage.into());
        }
        self.report.damages.push(damage);
        Ok(())
    }

    /// What was found, when nothing is wanted any more.
    #[must_use]
    pub fn finish(mut self) -> Recovered {
        assert!(self.wants().is_none(), "everything was read");
        self.groups.end();
        self.report.records = self.groups.records;
        self.report.dropped = self.groups.dropped;
        self.report.salvaged = self.groups.salvaged;
        let Phase::Done { chain } = self.phase else { unreachable!("everything was read") };
        let mut log = Log::new(self.config);
        log.last_generation = self.last_generation;
        for link in &chain {
            let Known { file, header, .. } = link.known;
            let end = link.bound.unwrap_or(link.known.bytes);
            log.previous = (header.generation, end);
            log.segments.push_back(Segment { file, header, end, last_commit: 0 });
        }
        let last = self.ending.end.map_or(0, |end| end.commit.number);
        (log.placed, log.stored, log.durable) = (last, last, last);
        let sync: Vec<FileId> = log.segments.iter().map(|segment| segment.file).collect();
        for spare in self.files.into_iter().filter(|spare| !sync.contains(&spare.file)) {
            log.keep_or_discard(spare);
        }
        let discarded = std::mem::take(&mut log.discarded);
        // That a segment is missing was said already.
        if self.report.missing.is_empty() && !self.report.is_lost {
            self.report.strange = self.report.strange.or(self.beginnings.first().copied());
        }
        Recovered { log, report: self.report, sync, discarded }
    }
}

impl Known {
    fn out_of_order(&self, commit: u64) -> Damage {
        Damage {
            file: self.file,
            generation: self.header.generation,
            offset: 0,
            from: 0,
            until: 0,
            fault: Fault::Order,
            commit,
            behind: Some(self.header.first_commit),
        }
    }

    /// Nothing stands where its first commit should.
    fn beginning_lost(&self) -> Damage {
        let Header { generation, first_commit, .. } = self.header;
        Damage {
            file: self.file,
            generation,
            offset: BLOCK_BYTES,
            from: BLOCK_BYTES,
            until: 2 * BLOCK_BYTES,
            fault: Fault::Commit,
            commit: first_commit,
            behind: None,
        }
    }

    fn damage(&self, gap: &Gap, behind: Option<u64>) -> Damage {
        Damage {
            file: self.file,
            generation: self.header.generation,
            offset: gap.at as u32,
            from: gap.from as u32,
            until: gap.until as u32,
            fault: gap.fault,
            commit: gap.number,
            behind: gap.behind.or(behind),
        }
    }
}

/// The number of a log's first commit.
const FIRST_COMMIT: u64 = 1;

/// The header of a segment, and the first block of its first commit.
pub const START_BYTES: u32 = 2 * BLOCK_BYTES;

/// How much of each file is wanted at first: also of what is behind a header and a first commit that came to harm.
pub const LOOK_BYTES: u32 = 16 * BLOCK_BYTES;

const _: () = assert!(LOOK_BYTES >= START_BYTES, "the header and the first commit are looked at");
