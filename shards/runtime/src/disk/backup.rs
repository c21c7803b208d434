//! A copy of a whole store, which can be looked at and brought back as any data directory can.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    check::{Checked, check_folder},
    directory::LAYOUT,
    following::Following,
    laid::Laid,
    leftover::PART,
    lock::{LOCK, lock},
    moment, private, regular,
};
use crate::StoreError;

/// What a backup says of itself, in a file beside the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// In UTC, for example 20260131-235959.
    pub taken: String,
    /// Of each shard. A copy that ends earlier is not whole.
    last_commits: Vec<u64>,
}

impl Laid {
    /// Copies everything that was stored before this is called, and some of what comes meanwhile. `target` is there when it
    /// is whole, and not before; it must not be there, or be empty.
    pub fn back_up(&self, target: &Path) -> Result<Vec<Checked>, StoreError> {
        check_target(target)?;
        self.check_outside(target)?;
        let scratch = scratch_of(target)?;
        // As long as it is made, it is nobody's leftover. Where files cannot be locked, a copy can be made all the same.
        let held = lock(&scratch).ok();
        let outcome = self.copy_to(&scratch).and_then(|checked| {
            fs::rename(&scratch, target).map_err(|error| StoreError::io(target, error))?;
            let parent = scratch.parent().unwrap_or(Path::new("/"));
            File::open(parent)
                .and_then(|parent| parent.sync_all())
                .map_err(|error| StoreError::io(parent, error))?;
            Ok(checked)
        });
        if outcome.is_err() {
            // It was made a moment ago, and half a copy is of no use.
            let _ = fs::remove_dir_all(&scratch);
        }
        drop(held);
        outcome
    }

    /// What is within the data directory goes with it, and a broker may take it for its own.
    fn check_outside(&self, target: &Path) -> Result<(), StoreError> {
        let io_error = |error| StoreError::io(target, error);
        let dir = self.path().canonicalize().map_err(|error| StoreError::io(self.path(), error))?;
        let absolute = std::path::absolute(target).map_err(io_error)?;
        let mut existing = absolute.ancestors().filter_map(|ancestor| ancestor.canonicalize().ok());
        match existing.next() {
            Some(existing) if existing.starts_with(&dir) => {
                Err(StoreError::Within { path: target.to_owned() })
            }
            _ => Ok(()),
        }
    }

    fn copy_to(&self, scratch: &Path) -> Result<Vec<Checked>, StoreError> {
        self.check_present()?;
        let copy = |folder: String| Following::begin(&self.path().join(&folder), &scratch.join(&folder));
        let mut copies: Vec<Following> = self.folders().map(copy).collect::<Result<_, _>>()?;
        let mut last_commits = Vec::new();
        // Shards are copied one behind the other: rounds in which little is left to do bring them close together.
        for _ in 0..ROUNDS_MAX {
            let caught_up = (0..=u8::MAX).zip(&mut copies).map(|(shard, copy)| self.catch_up(shard, copy));
            let round: Vec<u64> = caught_up.collect::<Result<_, _>>()?;
            let is_still = round == last_commits;
            last_commits = round;
            if is_still {
                break;
            }
        }
        let mut checked = Vec::new();
        for (shard, copy) in (0..=u8::MAX).zip(&mut copies) {
            let (one, last_commit) = self.verify(shard, copy)?;
            last_commits[usize::from(shard)] = last_commit;
            copy.sync()?;
            checked.push(one);
        }
        self.check_present()?;
        let label = Label { taken: moment::stamp(), last_commits };
        let io_error = |error| StoreError::io(scratch, error);
        match fs::remove_file(scratch.join(LOCK)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(error)),
            _ => {}
        }
        write(&scratch.join(LABEL), &label.text()).map_err(io_error)?;
        write(&scratch.join(LAYOUT), self.text()).map_err(io_error)?;
        File::open(scratch).and_then(|folder| folder.sync_all()).map_err(io_error)?;
        Ok(checked)
    }

    /// It is laid out as it was, and has all its folders.
    fn check_present(&self) -> Result<(), StoreError> {
        let folders = self.check_folders();
        // A broker that starts with another number of shards moves everything to other folders.
        if Laid::read(self.path())? != *self {
            return Err(StoreError::Moved { path: self.path().to_owned() });
        }
        folders
    }

    fn catch_up(&self, shard: u8, copy: &mut Following) -> Result<u64, StoreError> {
        for _ in 0..CHANGES_MAX {
            if let Some(last_commit) = copy.catch_up()? {
                return Ok(last_commit);
            }
        }
        let is_torn = self.check(shard)?.torn.is_some();
        if is_torn && !std::mem::replace(&mut copy.takes_torn, true) {
            return self.catch_up(shard, copy);
        }
        Err(self.refused(shard, copy)?)
    }

    /// A log that is whole, as a broker would take it.
    fn verify(&self, shard: u8, copy: &mut Following) -> Result<(Checked, u64), StoreError> {
        for _ in 0..TRIES_MAX {
            let last_commit = self.catch_up(shard, copy)?;
            let checked = check_folder(copy.folder(), shard, self.shards())?;
            if checked.is_whole() {
                return Ok((checked, last_commit));
            }
            copy.start_again()?;
        }
        Err(self.refused(shard, copy)?)
    }

    /// Why a shard cannot be copied.
    fn refused(&self, shard: u8, copy: &Following) -> Result<StoreError, StoreError> {
        let dir = self.path().to_owned();
        Ok(match self.check(shard)?.problems.first() {
            Some(problem) => StoreError::NotWhole { dir, what: problem.to_string() },
            None => StoreError::Restless { path: dir.join(copy.folder().file_name().unwrap_or_default()) },
        })
    }
}

impl Label {
    /// `None`: the directory is no backup, but a copy that was made otherwise.
    pub fn read(backup: &Path) -> Result<Option<Label>, StoreError> {
        let path = backup.join(LABEL);
        match regular::read_text(&path) {
            Ok(text) => match Label::parse(&text) {
                Some(label) => Ok(Some(label)),
                None => Err(StoreError::Label { path, text }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, error)),
        }
    }

    fn parse(text: &str) -> Option<Label> {
        let mut lines = text.lines();
        let mut value = |key: &str| lines.next()?.strip_prefix(key)?.strip_prefix(" = ").map(str::to_owned);
        let format: u32 = value("format")?.parse().ok()?;
        let taken = value("taken")?;
        let last_commits = value("last_commits")?;
        let last_commits =
            last_commits.split(' ').map(|number| number.parse().ok()).collect::<Option<_>>()?;
        let is_date = taken.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
        (format == FORMAT && is_date).then_some(Label { taken, last_commits })
    }

    fn text(&self) -> String {
        let numbers: Vec<String> = self.last_commits.iter().map(u64::to_string).collect();
        format!("format = {FORMAT}\ntaken = {}\nlast_commits = {}\n", self.taken, numbers.join(" "))
    }

    /// Through which commit the log of a shard must go.
    pub(crate) fn last_commit(&self, shard: u8) -> u64 {
        self.last_commits.get(usize::from(shard)).copied().unwrap_or(0)
    }
}

fn check_target(target: &Path) -> Result<(), StoreError> {
    // Of `..`, what is meant depends on what is there.
    if target.file_name().is_none() && target != Path::new(".") {
        return Err(StoreError::Nameless { path: target.to_owned() });
    }
    match fs::read_dir(target) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(StoreError::NotEmpty { path: target.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StoreError::io(target, error)),
    }
}

/// Beside the target, under a name that nobody takes for a backup.
fn scratch_of(target: &Path) -> Result<PathBuf, StoreError> {
    let io_error = |error| StoreError::io(target, error);
    let absolute = std::path::absolute(target).map_err(io_error)?;
    let parent = absolute.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).map_err(|error| StoreError::io(parent, error))?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy();
    moment::make_folder(parent, &format!("{name}{}", PART.trim_end_matches('-')))
        .map_err(|error| StoreError::io(parent, error))
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private::create_file(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

pub(crate) const LABEL: &str = "backup";
const FORMAT: u32 = 1;

const ROUNDS_MAX: u32 = 10;
/// How often the files of a shard may change while they are listed and read.
const CHANGES_MAX: u32 = 100;
/// What a broker changes does not look like damage every time.
const TRIES_MAX: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_survives_its_file() {
        let label = Label { taken: "20260131-235959".to_owned(), last_commits: vec![7, 0, u64::MAX] };
        assert_eq!(Label::parse(&label.text()), Some(label));
        for wrong in [
            "",
            "format = 1\ntaken = \u{fffd}\nlast_commits = 1\n",
            "format = 2\ntaken = x\nlast_commits = 1\n",
            "format = 1\ntaken = x\nlast_commits = x\n",
        ] {
            assert_eq!(Label::parse(wrong), None, "{wrong:?}");
        }
    }
}
