//! Brings a backup back. What is at its place is moved aside, never deleted.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use super::{
    backup::Label,
    check::{Checked, check_folder},
    directory::LAYOUT,
    laid::{Laid, RESTORING},
    leftover::{Cause, Leftover, leftovers},
    lock::{LOCK, lock},
    moment, private,
    relocation::free_bytes,
    unused,
};
use crate::StoreError;

/// What was brought back.
pub struct Restored {
    /// `None`: a copy that was not made by a backup.
    pub label: Option<Label>,
    pub shards: Vec<Checked>,
    /// Of restores that did not get to their end. They are no more.
    pub cleared: Vec<Leftover>,
    /// Where everything is that was there before.
    pub replaced: Option<PathBuf>,
}

impl Laid {
    /// Makes `target` a data directory with what this one has. With `replace`, a store that is there already gives way.
    pub fn restore_to(&self, target: &Path, replace: bool) -> Result<Restored, StoreError> {
        let label = Label::read(self.path())?;
        let shards = self.verify_all(self.path(), label.as_ref())?;
        let needed = shards.iter().map(|shard| shard.file_bytes).sum();
        let made = make(target, needed)?;
        let outcome = self.restore_into(target, label, replace, needed);
        if outcome.is_err() && !made.is_empty() {
            // What is there else stays, and those above it with it.
            let _ = fs::remove_file(target.join(LOCK));
            let _ = made.iter().try_for_each(fs::remove_dir);
        }
        outcome
    }

    fn restore_into(
        &self,
        target: &Path,
        label: Option<Label>,
        replace: bool,
        needed: u64,
    ) -> Result<Restored, StoreError> {
        let io_error = |error| StoreError::io(target, error);
        if fs::canonicalize(target).ok() == fs::canonicalize(self.path()).ok() {
            return Err(StoreError::Itself { path: target.to_owned() });
        }
        let _lock = lock(target)?;
        let present = present(target, replace)?;
        let scratch = moment::make_folder(target, RESTORING.trim_end_matches('-')).map_err(io_error)?;
        let cleared = clear(target, &scratch).map_err(io_error)?;
        let room = check_room(target, target, needed);
        let copied = room.and_then(|()| self.copy_all(&scratch, label.as_ref()));
        if copied.is_err() {
            // It was made a moment ago. With one that was cut short before it, nobody may begin with nothing there.
            let _ = empty(&scratch);
            let _ = if cleared.is_empty() { fs::remove_dir(&scratch) } else { Ok(()) };
        }
        let shards = copied?;
        let replaced = put_aside(target, &present).map_err(io_error)?;
        self.take_place(&scratch, target).map_err(io_error)?;
        Ok(Restored { label, shards, cleared, replaced })
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
        let shards = self.verify_all(scratch, label)?;
        // Before anything goes to its place: this may be what the room is not enough for.
        self.write_layout(&scratch.join(LAYOUT)).map_err(|error| StoreError::io(scratch, error))?;
        Ok(shards)
    }

    fn write_layout(&self, path: &Path) -> io::Result<()> {
        let mut file = private::create_file(path)?;
        file.write_all(self.text().as_bytes())?;
        file.sync_all()
    }

    /// The layout comes last: without it, nothing there is taken for a store.
    fn take_place(&self, scratch: &Path, target: &Path) -> io::Result<()> {
        for folder in self.folders() {
            fs::rename(scratch.join(&folder), target.join(&folder))?;
        }
        File::open(target)?.sync_all()?;
        fs::rename(scratch.join(LAYOUT), target.join(LAYOUT))?;
        fs::remove_dir(scratch)?;
        File::open(target)?.sync_all()
    }
}

/// Makes the directory, and tells which folders that took, the innermost first. Where there is no room, none is made.
fn make(target: &Path, needed: u64) -> Result<Vec<PathBuf>, StoreError> {
    let io_error = |error| StoreError::io(target, error);
    let absolute = std::path::absolute(target).map_err(io_error)?;
    let missing = absolute.ancestors().take_while(|ancestor| !ancestor.exists());
    let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
    if let Some(existing) = missing.last().and_then(|outermost| outermost.parent()) {
        check_room(existing, target, needed)?;
    }
    private::create_folders(target).map_err(io_error)?;
    Ok(missing)
}

fn check_room(existing: &Path, target: &Path, needed: u64) -> Result<(), StoreError> {
    let free = free_bytes(existing).map_err(|error| StoreError::io(existing, error))?;
    if needed > free {
        return Err(StoreError::NoSpace { path: target.to_owned(), needed, free });
    }
    Ok(())
}

/// What restores that were cut short have left: copies of backups, and the lock says that no restore goes on.
fn clear(target: &Path, own: &Path) -> io::Result<Vec<Leftover>> {
    let mut found = leftovers(target)?;
    found.retain(|leftover| leftover.cause == Cause::Restore && leftover.path != own);
    found.iter().try_for_each(|leftover| fs::remove_dir_all(&leftover.path))?;
    Ok(found)
}

fn empty(scratch: &Path) -> io::Result<()> {
    for entry in fs::read_dir(scratch)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// What a broker, or the file system, has in a data directory that is no part of the store.
fn is_beside(entry: &fs::DirEntry, name: &str) -> bool {
    let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
    is_socket
        || [LOCK, "lost+found", "bans.json", "scram.key", "api_tokens", "api_tokens.first"].contains(&name)
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
        } else if !is_beside(&entry, &name) && !is_aside {
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
    private::create_folder(to)?;
    let mut buffer = vec![0; COPIED_BYTES];
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != unused::MARK && name.to_str().and_then(super::keeper::id_of).is_none() {
            continue;
        }
        let mut source = File::open(entry.path())?;
        let mut target = private::create_file(&to.join(entry.file_name()))?;
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
