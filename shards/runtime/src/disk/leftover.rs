//! What commands that were cut short have left, and what others have put aside: found by its name, and told, because
//! nobody else would delete it.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{laid::RESTORING, lock, moment};

/// A folder that no broker needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub path: PathBuf,
    /// What it takes on the disk.
    pub bytes: u64,
    pub cause: Cause,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// A backup that did not get to its end.
    Backup,
    /// A restore that did not get to its end.
    Restore,
    /// What was damaged, or, of a repair that was cut short, what was to take its place.
    Damaged,
    /// What gave way to a backup.
    Replaced,
}

/// In a data directory.
pub fn leftovers(dir: &Path) -> io::Result<Vec<Leftover>> {
    find(dir, |name| {
        let causes =
            [(RESTORING, Cause::Restore), ("damaged-", Cause::Damaged), ("replaced-", Cause::Replaced)];
        let has = |prefix: &str| name.strip_prefix(prefix).is_some_and(moment::is_stamp);
        causes.into_iter().find(|(prefix, _)| has(prefix)).map(|(_, cause)| cause)
    })
}

/// Beside a backup, whatever is the name of that one. Backups that are being made are not among them.
pub fn backups_cut_short(backup: &Path) -> io::Result<Vec<Leftover>> {
    let absolute = std::path::absolute(backup)?;
    let beside = absolute.parent().unwrap_or(Path::new("/"));
    let mut found = find(beside, |name| {
        let (_, stamp) = name.rsplit_once(PART)?;
        moment::is_stamp(stamp).then_some(Cause::Backup)
    })?;
    found.retain(|leftover| !lock::is_locked(&leftover.path));
    Ok(found)
}

fn find(dir: &Path, cause_of: impl Fn(&str) -> Option<Cause>) -> io::Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let Some(cause) = entry.file_name().to_str().and_then(&cause_of) else { continue };
        if entry.file_type()?.is_dir() {
            found.push(Leftover { bytes: bytes_of(&entry.path()), path: entry.path(), cause });
        }
    }
    found.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// What may not be looked at, or goes meanwhile, counts nothing.
fn bytes_of(path: &Path) -> u64 {
    let own = fs::symlink_metadata(path).map_or(0, |found| found.blocks() * BLOCK_BYTES);
    let Ok(entries) = fs::read_dir(path) else { return own };
    let below = entries.flatten().map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_of(&entry.path()),
        _ => entry.metadata().map_or(0, |found| found.blocks() * BLOCK_BYTES),
    });
    own + below.sum::<u64>()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Backup => "is left of a backup that did not get to its end: it can be deleted",
            Cause::Restore => {
                "is left of a restore that did not get to its end: unless one is running, it can be deleted"
            }
            Cause::Damaged => "was put aside by a repair: it can be deleted when nobody needs it any more",
            Cause::Replaced => "was put aside by a restore: it can be deleted when nobody needs it any more",
        })
    }
}

/// Behind the name of a backup, until it is whole.
pub(crate) const PART: &str = ".part-";

/// In which the system counts what a file takes, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::process;

    use super::*;

    #[test]
    fn only_what_a_command_has_named_is_found() {
        let dir = std::env::temp_dir().join(format!("runtime-leftover-{}", process::id()));
        let inside = dir.join("restoring-20260131-235959/shard-0-of-1");
        fs::create_dir_all(&inside).unwrap();
        fs::write(inside.join("segment"), vec![1; 100_000]).unwrap();
        let others =
            ["restoring-", "restoring-soon", "damaged-2026", "shard-0-of-1", "mine.part-1", "a.part-x-y"];
        let ours = ["damaged-20260131-235959-2", "replaced-20260131-235959", "a.part-20260131-235959"];
        others.iter().chain(&ours).for_each(|name| fs::create_dir(dir.join(name)).unwrap());
        fs::write(dir.join("damaged-20270131-235959"), "a file").unwrap();
        let found = leftovers(&dir).unwrap();
        let named: Vec<(String, Cause)> = found
            .iter()
            .map(|it| (it.path.file_name().unwrap().to_str().unwrap().to_owned(), it.cause))
            .collect();
        let expected = [
            (ours[0], Cause::Damaged),
            (ours[1], Cause::Replaced),
            ("restoring-20260131-235959", Cause::Restore),
        ];
        assert_eq!(named, expected.map(|(name, cause)| (name.to_owned(), cause)));
        assert!((100_000..200_000).contains(&found[2].bytes), "{}", found[2].bytes);

        let part = dir.join(ours[2]);
        let beside = || backups_cut_short(&dir.join("b")).unwrap();
        assert_eq!(
            beside().iter().map(|it| (&it.path, it.cause)).collect::<Vec<_>>(),
            [(&part, Cause::Backup)]
        );
        let held = lock::lock(&part).unwrap();
        assert_eq!(beside(), [], "it is being made");
        drop(held);
        assert_eq!(beside().len(), 1);
        fs::remove_dir_all(dir).unwrap();
    }
}
