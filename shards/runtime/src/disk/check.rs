//! Looks at all shards of a data directory: what they hold, and what is wrong with it. It changes nothing.

use std::path::{Path, PathBuf};

use shard::{
    ShardId,
    store::{
        log::{Report, Strange, Torn},
        sums::{Sums, Totals},
    },
};

use super::{
    keeper::name_of,
    laid::{Laid, folder_of},
    problem::Problem,
    reading::{Outcome, Reading, Walked},
};
use crate::StoreError;

/// What one shard has.
pub struct Checked {
    pub shard: u8,
    pub files: u64,
    pub file_bytes: u64,
    pub segments: u64,
    pub commits: u64,
    pub(crate) last_commit: u64,
    pub records: u64,
    pub sums: Sums,
    pub problems: Vec<Problem>,
    /// Records of groups whose other records are damaged.
    pub dropped: u64,
    /// Of the records: from commits that are damaged.
    pub salvaged: u64,
    pub torn: Option<Incomplete>,
    pub strange: Option<Behind>,
}

/// What stands behind the end of a log, or at offset 0 at the beginning of a file, and no broker leaves there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    pub path: PathBuf,
    pub offset: u32,
    pub bytes: u32,
}

/// The end of a log that was being written when its broker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incomplete {
    pub file: String,
    pub offset: u32,
    pub bytes: u32,
    pub commits: u64,
    /// The file is shorter than it was made, which no crash does.
    pub is_cut: bool,
}

impl Laid {
    /// Looks at one shard. Where a broker uses the directory, what it changes meanwhile can look like damage: only what is
    /// seen again and again is taken for it.
    pub fn check(&self, shard: u8) -> Result<Checked, StoreError> {
        for _ in 0..if self.is_in_use() { LOOKS_AT_CHANGES } else { 1 } {
            let reading = self.reading(shard)?;
            let mut sums = Sums::default();
            let mut malformed = false;
            let outcome = reading.walk_strictly(|record| malformed |= sums.take(&record).is_err());
            if let Ok(outcome) = outcome
                && !malformed
            {
                return Ok(checked(shard, &reading, sums, outcome));
            }
        }
        let reading = self.reading(shard)?;
        let mut sums = Sums::default();
        let mut malformed = Vec::new();
        let mut outcome = reading.walk(|walked| {
            if let Walked::Record { file, record } = walked
                && sums.take(&record).is_err()
            {
                let path = reading.folder().join(file);
                let offset = record.position.offset;
                malformed.push(Problem::Malformed {
                    path,
                    offset,
                    kind: record.kind,
                    version: record.version,
                });
            }
        });
        outcome.problems.append(&mut malformed);
        if outcome.problems.is_empty()
            && let Err(problem) = reading.walk_strictly(|_| {})
        {
            outcome.problems.push(problem);
        }
        Ok(checked(shard, &reading, sums, outcome))
    }

    /// Every record of a shard that can be read, in the order of the log, and what is wrong where it is.
    pub fn walk(&self, shard: u8, each: impl FnMut(Walked<'_>)) -> Result<Vec<Problem>, StoreError> {
        Ok(self.reading(shard)?.walk(each).problems)
    }

    pub(crate) fn reading(&self, shard: u8) -> Result<Reading, StoreError> {
        let folder = folder_of(ShardId(shard), self.shards());
        Reading::open(&self.path().join(folder), shard, self.shards())
    }

    /// All folders are made before the layout.
    pub(crate) fn check_folders(&self) -> Result<(), StoreError> {
        let mut folders = self.folders().map(|folder| self.path().join(folder));
        match folders.find(|folder| !folder.is_dir()) {
            Some(folder) => {
                let what = Problem::lost(&folder).to_string();
                Err(StoreError::NotWhole { dir: self.path().to_owned(), what })
            }
            None => Ok(()),
        }
    }
}

/// A log that nobody else writes to.
pub(crate) fn check_folder(folder: &Path, shard: u8, shards: u8) -> Result<Checked, StoreError> {
    let reading = Reading::open(folder, shard, shards)?;
    let mut sums = Sums::default();
    let mut malformed = None;
    let outcome = reading.walk_strictly(|record| {
        if sums.take(&record).is_err() {
            malformed.get_or_insert((record.position.offset, record.kind, record.version));
        }
    });
    let outcome = match (outcome, malformed) {
        (Ok(outcome), None) => outcome,
        (Ok(outcome), Some((offset, kind, version))) => {
            let path = folder.to_owned();
            Outcome { problems: vec![Problem::Malformed { path, offset, kind, version }], ..outcome }
        }
        (Err(problem), _) => Outcome { report: Report::default(), last_commit: 0, problems: vec![problem] },
    };
    Ok(checked(shard, &reading, sums, outcome))
}

fn checked(shard: u8, reading: &Reading, sums: Sums, outcome: Outcome) -> Checked {
    let Outcome { report, last_commit, problems } = outcome;
    let strange = report.strange.map(|Strange { file, offset, bytes }| Behind {
        path: reading.folder().join(name_of(file)),
        offset,
        bytes,
    });
    let torn = report.torn.map(|Torn { file, offset, bytes, commits, is_cut }| Incomplete {
        file: name_of(file),
        offset,
        bytes,
        commits,
        is_cut,
    });
    Checked {
        shard,
        files: reading.files() as u64,
        file_bytes: reading.bytes(),
        segments: report.segments,
        commits: report.commits,
        last_commit,
        records: report.records,
        sums,
        problems,
        dropped: report.dropped,
        salvaged: report.salvaged,
        torn,
        strange,
    }
}

impl Checked {
    pub fn is_whole(&self) -> bool {
        self.problems.is_empty()
    }

    pub fn totals(&self) -> Totals {
        self.sums.totals()
    }
}

/// Each look takes a while, in which a broker has finished what it was at.
const LOOKS_AT_CHANGES: u32 = 5;
