//! Brings a backup back. What is at its place is moved aside, never deleted.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::{
    backup::Label,
    check::{Checked, check_folder},
    directory::LAYOUT,
    laid::{Laid, RESTORING},
    lock::{LOCK, lock},
    moment,
    relocation::free_bytes,
};
use crate::StoreError;

/// What was brought back.
pub struct Restored {
    /// `None`: a copy that was not made by a backup.
    pub label: Option<Label>,
    pub shards: Vec<Checked>,
    /// Where everything is that was there before.
    pub replaced: Option<PathBuf>,
}

impl Laid {
    /// Makes `target` a data directory with what this one has. With `replace`, a store that is there already gives way.
    pub fn restore_to(&self, target: &Path, replace: bool) -> Result<Restored, StoreError> {
        let label = Label::read(self.path())?;
        let shards = self.verify_all(self.path(), label.as_ref())?;
        let io_error = |error| StoreError::io(target, error);
        fs::create_dir_all(target).map_err(io_error)?;
        if fs::canonicalize(target).ok() == fs::canonicalize(self.path()).ok() {
            return Err(StoreError::Itself { path: target.to_owned() });
        }
        let _lock = lock(target)?;
        let present = present(target, replace)?;
        let (needed, free) =
            (shards.iter().map(|shard| shard.file_bytes).sum(), free_bytes(target).map_err(io_error)?);
        if needed > free {
            return Err(StoreError::NoSpace { path: target.to_owned(), needed, free });
        }
        let scratch = moment::make_folder(target, RESTORING.trim_end_matches('-')).map_err(io_error)?;
        let copied = self.copy_all(&scratch, label.as_ref());
        if copied.is_err() {
            // It was made a moment ago.
            let _ = fs::remove_dir_all(&scratch);
        }
        let shards = copied?;
        let replaced = put_aside(target, &present).map_err(io_error)?;
        self.take_place(&scratch, target).map_err(io_error)?;
        Ok(Restored { label, shards, replaced })
    }

    /// As a broker would take it, and as far as the label says.
    fn verify_all(&self, root: &Path, label: Option<&Label>) -> Result<Vec<Checked>, StoreError> {
        let mut shards = Vec::new();
        for (shard, folder) in (0..=u8::MAX).zip(self.folders()) {
            let checked = check_folder(&root.join(&folder), shard, self.shards())?;
            let dir = self.path().to_owned();
            if let Some(problem) = checked.problems.first() {
                return Err(StoreError::NotWhole { dir, what: problem.to_string() });
            }
            let expected = label.map_or(0, |label| label.last_commit(shard));
            if checked.last_commit < expected {
                let last = checked.last_commit;
                let what = format!("{folder} ends with commit {last}, and had {expected} when it was made");
                return Err(StoreError::NotWhole { dir, what });
            }
            shards.push(checked);
        }
        Ok(shards)
    }

    fn copy_all(&self, scratch: &Path, label: Option<&Label>) -> Result<Vec<Checked>, StoreError> {
        for folder in self.folders() {
            let (from, to) = (self.path().join(&folder), scratch.join(&folder));
            copy_folder(&from, &to).map_err(|error| StoreError::io(&to, error))?;
        }
        self.verify_all(scratch, label)
    }

    /// The layout comes last: without it, nothing there is taken for a store.
    fn take_place(&self, scratch: &Path, target: &Path) -> io::Result<()> {
        for folder in self.folders() {
            fs::rename(scratch.join(&folder), target.join(&folder))?;
        }
        File::open(target)?.sync_all()?;
        let layout = scratch.join(LAYOUT);
        let mut file = File::create(&layout)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()?;
        fs::rename(&layout, target.join(LAYOUT))?;
        fs::remove_dir(scratch)?;
        File::open(target)?.sync_all()
    }
}

/// What of a store is there, the layout first.
fn present(target: &Path, replace: bool) -> Result<Vec<PathBuf>, StoreError> {
    let io_error = |error| StoreError::io(target, error);
    let (mut ours, mut others) = (Vec::new(), 0);
    for entry in fs::read_dir(target).map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_aside = ["damaged-", "replaced-", RESTORING].iter().any(|prefix| name.starts_with(prefix));
        if name == LAYOUT || name.starts_with("shard-") {
            ours.push(entry.path());
        } else if name != LOCK && name != "lost+found" && !is_aside {
            others += 1;
        }
    }
    let path = target.to_owned();
    match (ours.is_empty(), replace) {
        (true, _) if others > 0 => Err(StoreError::NotEmpty { path }),
        (false, false) => Err(StoreError::Occupied { path }),
        _ => {
            ours.sort();
            Ok(ours)
        }
    }
}

fn put_aside(target: &Path, present: &[PathBuf]) -> io::Result<Option<PathBuf>> {
    if present.is_empty() {
        return Ok(None);
    }
    let aside = moment::make_folder(target, "replaced")?;
    for path in present {
        fs::rename(path, aside.join(path.file_name().unwrap_or_default()))?;
    }
    File::open(&aside)?.sync_all()?;
    File::open(target)?.sync_all()?;
    Ok(Some(aside))
}

/// With all zeros written, so that no write finds the disk full when a file is used again.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    let mut buffer = vec![0; COPIED_BYTES];
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name().to_str().and_then(super::keeper::id_of).is_none() {
            continue;
        }
        let mut source = File::open(entry.path())?;
        let mut target = File::create(to.join(entry.file_name()))?;
        loop {
            match source.read(&mut buffer)? {
                0 => break,
                read => target.write_all(&buffer[..read])?,
            }
        }
        target.sync_all()?;
    }
    File::open(to)?.sync_all()
}

const COPIED_BYTES: usize = 1 << 20;
