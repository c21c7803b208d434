//! Reads the log of one shard for those who look at it: files are opened for reading only, and what a disk does not give
//! back is damage like any other.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use shard::store::{
    Record,
    log::{BLOCK_BYTES, Config, FileId, Found, LOOK_BYTES, Recovery, Refusal, Report, Step, Whole},
};

use super::{
    keeper::{id_of, name_of},
    problem::Problem,
    regular,
    unused::is_unused,
};
use crate::StoreError;

/// The files of one shard.
pub(crate) struct Reading {
    folder: PathBuf,
    files: BTreeMap<FileId, Source>,
    /// Which of how many.
    shard: u16,
    shards: u16,
    /// What the disk does not give back of the beginnings of files.
    unreadable: Vec<Problem>,
    /// Nothing was stored there yet.
    is_unused: bool,
}

struct Source {
    file: File,
    bytes: u32,
    start: Vec<u8>,
}

/// What comes in the order of the log.
pub enum Walked<'a> {
    Record { file: &'a str, record: Record<'a> },
    Problem(&'a Problem),
}

/// What a walk came to.
pub(crate) struct Outcome {
    pub report: Report,
    /// 0: there is none.
    pub last_commit: u64,
    pub problems: Vec<Problem>,
}

impl Outcome {
    fn of(recovery: Recovery, problems: Vec<Problem>) -> Outcome {
        let recovered = recovery.finish();
        Outcome { report: recovered.report, last_commit: recovered.log.last_commit(), problems }
    }
}

impl Reading {
    /// A folder that is not there is one without files.
    pub fn open(folder: &Path, shard: u8, shards: u8) -> Result<Reading, StoreError> {
        let mut reading = Reading {
            folder: folder.to_owned(),
            files: BTreeMap::new(),
            shard: shard.into(),
            shards: shards.into(),
            unreadable: Vec::new(),
            // A broker takes the mark away when there is a log: who finds neither must have looked for the mark first.
            is_unused: is_unused(folder),
        };
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(reading),
            Err(error) => return Err(StoreError::io(folder, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| StoreError::io(folder, error))?;
            let Some(id) = entry.file_name().to_str().and_then(id_of) else { continue };
            match reading.add(&entry.path(), id) {
                // A broker has deleted it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => outcome.map_err(|error| StoreError::io(&entry.path(), error))?,
            }
        }
        Ok(reading)
    }

    fn add(&mut self, path: &Path, id: FileId) -> io::Result<()> {
        let (file, bytes) = regular::open_segment(path, id, OpenOptions::new().read(true))?;
        let (start, mut gaps) = self.read(&file, id, bytes.min(LOOK_BYTES));
        self.unreadable.append(&mut gaps);
        self.files.insert(id, Source { file, bytes, start });
        Ok(())
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn files(&self) -> usize {
        self.files.len()
    }

    pub fn bytes(&self) -> u64 {
        self.files.values().map(|source| u64::from(source.bytes)).sum()
    }

    /// The size of the largest file: whatever a log of these files holds fits into one as large.
    pub fn segment_bytes(&self) -> u32 {
        let largest = self.files.values().map(|source| source.bytes).max().unwrap_or(0);
        largest.next_multiple_of(BLOCK_BYTES).max(4 * BLOCK_BYTES)
    }

    /// Takes the log as a broker would. `Err`: a broker would refuse it.
    pub fn walk_strictly(&self, mut each: impl FnMut(Record<'_>)) -> Result<Outcome, Problem> {
        if let Some(problem) = self.unreadable.first() {
            return Err(problem.clone());
        }
        let refused = |refusal| Problem::of_refusal(&self.folder, &refusal);
        let mut recovery = Recovery::new(self.own_config(), self.found(&[])).map_err(refused)?;
        if !self.is_unused {
            recovery = recovery.expecting_some().map_err(refused)?;
        }
        while let Some((file, bytes)) = recovery.wants() {
            let (contents, gaps) = self.contents(file, bytes);
            if let Some(problem) = gaps.into_iter().next() {
                return Err(problem);
            }
            recovery.read(&contents, &mut each).map_err(refused)?;
        }
        Ok(Outcome::of(recovery, Vec::new()))
    }

    /// Passes over whatever came to harm, and tells of it where it stands.
    pub fn walk(&self, mut each: impl FnMut(Walked<'_>)) -> Outcome {
        let mut problems = self.unreadable.clone();
        let mut recovery = self.tolerant(&mut problems);
        let mut names = BTreeMap::new();
        let (mut told, mut missing) = (0, 0);
        let mut is_going = true;
        while is_going {
            for generation in recovery.report().missing.iter().skip(missing) {
                let generation = *generation;
                let folder = self.folder.clone();
                problems.push(Problem::Missing { folder, generation, suspect: None });
                missing += 1;
            }
            problems[told..].iter().for_each(|problem| each(Walked::Problem(problem)));
            told = problems.len();
            let Some((file, bytes)) = recovery.wants() else { break };
            let (contents, gaps) = self.contents(file, bytes);
            problems.extend(gaps.into_iter().filter(|gap| !self.unreadable.contains(gap)));
            problems[told..].iter().for_each(|problem| each(Walked::Problem(problem)));
            if names.len() != recovery.files().len() {
                names = recovery.files().map(|(generation, file)| (generation, name_of(file))).collect();
            }
            let outcome = recovery.walk(&contents, |step| match step {
                Step::Record(record) => {
                    let file = names.get(&record.position.generation).map_or("", String::as_str);
                    each(Walked::Record { file, record });
                }
                Step::Damage(damage) => {
                    let problem = Problem::Damaged { folder: self.folder.clone(), damage: damage.clone() };
                    each(Walked::Problem(&problem));
                    problems.push(problem);
                }
            });
            told = problems.len();
            is_going = outcome.is_ok();
        }
        if recovery.report().is_lost && problems.is_empty() {
            problems.push(Problem::lost(&self.folder));
            each(Walked::Problem(&problems[0]));
        }
        Outcome::of(recovery, problems)
    }

    /// A recovery of the files that can be one log; the others are problems.
    fn tolerant(&self, problems: &mut Vec<Problem>) -> Recovery {
        let mut left_out = Vec::new();
        loop {
            let recovery = Recovery::tolerant(self.own_config(), self.found(&left_out));
            let is_expected = |recovery: Recovery| match self.is_unused {
                true => Ok(recovery),
                false => recovery.expecting_some(),
            };
            let refusal = match recovery.and_then(is_expected) {
                Ok(recovery) => return recovery,
                Err(refusal) => refusal,
            };
            let file = match refusal {
                Refusal::Newer { file, .. }
                | Refusal::Foreign { file, .. }
                | Refusal::Emptied { file, .. } => file,
                Refusal::Twice { files, .. } => self.lesser(files),
                Refusal::Missing { .. } | Refusal::Lost | Refusal::Damage(_) => {
                    unreachable!("a tolerant recovery does without them")
                }
            };
            left_out.push(file);
            problems.push(match refusal {
                Refusal::Twice { generation, files } => Problem::Twice {
                    path: self.path(file),
                    other: self.path(files[usize::from(files[0] == file)]),
                    generation,
                },
                refusal => Problem::of_refusal(&self.folder, &refusal),
            });
        }
    }

    /// Of two files that say to be the same segment, the one that holds less of it.
    fn lesser(&self, files: [FileId; 2]) -> FileId {
        let ends = files.map(|file| {
            let (contents, _) = self.contents(file, self.files[&file].bytes);
            Whole::of(&contents).map(|whole| whole.end)
        });
        if ends[0] < ends[1] { files[0] } else { files[1] }
    }

    fn path(&self, file: FileId) -> PathBuf {
        self.folder.join(name_of(file))
    }

    fn found<'a>(&'a self, left_out: &'a [FileId]) -> impl Iterator<Item = Found<'a>> {
        let files = self.files.iter().filter(|(file, _)| !left_out.contains(file));
        files.map(|(file, source)| Found { file: *file, bytes: source.bytes, start: &source.start })
    }

    fn contents(&self, file: FileId, bytes: u32) -> (Vec<u8>, Vec<Problem>) {
        self.read(&self.files[&file].file, file, bytes)
    }

    fn read(&self, file: &File, id: FileId, bytes: u32) -> (Vec<u8>, Vec<Problem>) {
        let (contents, gaps) = read_all(bytes as usize, |buffer, at| file.read_at(buffer, at));
        let path = self.path(id);
        let problem = |Gap { offset, bytes, what }| {
            let path = path.clone();
            Problem::Unreadable { path, offset, bytes, what }
        };
        (contents, gaps.into_iter().map(problem).collect())
    }

    /// A log that is only read has no limits of its own, and what is made of it has room for its largest record.
    pub fn config(&self, segment_bytes: u32, seed: u64) -> Config {
        Config {
            shard: self.shard,
            shards: self.shards,
            segment_bytes,
            record_bytes_max: segment_bytes - 2 * BLOCK_BYTES,
            reserve: 0,
            spares_wanted: 1,
            spares_max: u32::MAX,
            files_max: u32::MAX,
            synced: true,
            seed,
        }
    }

    fn own_config(&self) -> Config {
        self.config(self.segment_bytes(), 0)
    }
}

/// A part of a file that the disk does not give back.
#[derive(Debug, PartialEq, Eq)]
struct Gap {
    offset: u64,
    bytes: u64,
    what: String,
}

/// As many bytes as there are. What cannot be read is zeros and a gap; a file that ends early is no gap.
fn read_all(
    bytes: usize,
    mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> (Vec<u8>, Vec<Gap>) {
    let mut contents = vec![0; bytes];
    let mut gaps: Vec<Gap> = Vec::new();
    let mut at = 0;
    let mut piece_bytes = PIECE_BYTES;
    while at < bytes {
        let end = bytes.min(at + piece_bytes - at % piece_bytes);
        match read_at(&mut contents[at..end], at as u64) {
            Ok(0) => break,
            Ok(read) => {
                at += read;
                piece_bytes = if at.is_multiple_of(PIECE_BYTES) { PIECE_BYTES } else { piece_bytes };
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Once more, a block at a time: most of it can still be read.
            Err(_) if piece_bytes > BLOCK_BYTES as usize => piece_bytes = BLOCK_BYTES as usize,
            Err(error) => {
                let (offset, bytes) = (at as u64, (end - at) as u64);
                match gaps.last_mut().filter(|gap| gap.offset + gap.bytes == offset) {
                    Some(gap) => gap.bytes += bytes,
                    None => gaps.push(Gap { offset, bytes, what: error.to_string() }),
                }
                at = end;
            }
        }
    }
    contents.truncate(at);
    (contents, gaps)
}

/// What is read at a time, as long as nothing fails.
const PIECE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(bad: &'static [usize]) -> impl FnMut(&mut [u8], u64) -> io::Result<usize> {
        let contents: Vec<u8> = (0..3 * PIECE_BYTES + 100).map(|at| (at / 4096) as u8 | 1).collect();
        move |buffer, at| {
            let at = at as usize;
            let end = contents.len().min(at + buffer.len());
            if bad.iter().any(|bad| (at..end).contains(&(bad * 4096))) {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            buffer[..end.saturating_sub(at)].copy_from_slice(&contents[at.min(end)..end]);
            Ok(end.saturating_sub(at))
        }
    }

    #[test]
    fn what_the_disk_does_not_give_back_is_zeros_and_a_gap() {
        let (whole, gaps) = read_all(3 * PIECE_BYTES + 100, disk(&[]));
        assert_eq!((whole.len(), gaps), (3 * PIECE_BYTES + 100, Vec::new()));
        let (contents, gaps) = read_all(3 * PIECE_BYTES + 100, disk(&[3, 4, 300]));
        let gap = |block: u64, blocks: u64| (block * 4096, blocks * 4096);
        let found: Vec<(u64, u64)> = gaps.iter().map(|gap| (gap.offset, gap.bytes)).collect();
        assert_eq!(found, [gap(3, 2), gap(300, 1)]);
        assert!(gaps[0].what.contains("Input/output error"));
        for (block, (read, whole)) in contents.chunks(4096).zip(whole.chunks(4096)).enumerate() {
            let is_gap = [3, 4, 300].contains(&block);
            assert_eq!(read == whole, !is_gap, "block {block}");
            assert!(!is_gap || read.iter().all(|byte| *byte == 0));
        }
    }

    #[test]
    fn a_file_that_ends_early_is_as_long_as_it_is() {
        let (contents, gaps) = read_all(4 * PIECE_BYTES, disk(&[]));
        assert_eq!((contents.len(), gaps.len()), (3 * PIECE_BYTES + 100, 0));
    }
}
