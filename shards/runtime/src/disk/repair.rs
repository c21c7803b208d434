//! Makes a whole store of what can still be read of a damaged one. What was there is kept as it was.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use shard::{
    ShardId,
    store::{
        entry::{Entry, SessionId},
        record,
        sums::Totals,
    },
};

use super::{
    check::Checked,
    laid::{Laid, folder_of},
    lock::lock,
    moment,
    reading::Walked,
    relocation::free_bytes,
    writer::Writer,
};
use crate::{StoreError, probe::random_seed};

/// What a repair does, or has done, to a shard that is damaged.
pub struct Repaired {
    /// What can be read.
    pub before: Checked,
    /// Sessions whose end is lost: a younger one has their client or their place.
    pub ended: Vec<Superseded>,
    /// What is there afterwards.
    pub left: Totals,
    segment_bytes: u32,
}

pub struct Superseded {
    pub client_id: String,
    session: SessionId,
}

pub struct Repair {
    laid: Laid,
    shards: Vec<Repaired>,
    /// Nobody else may use the directory, from the first look at it.
    lock: Option<File>,
}

impl Repair {
    /// Looks at everything and changes nothing. A repair that is only looked at keeps nobody out.
    pub fn plan(laid: Laid, is_dry: bool) -> Result<Repair, StoreError> {
        let lock = if is_dry { None } else { Some(lock(laid.path())?) };
        let mut shards = Vec::new();
        for shard in 0..laid.shards() {
            let mut before = laid.check(shard)?;
            if let Some(problem) = before.problems.iter().find(|problem| problem.is_of_another_version()) {
                return Err(StoreError::OtherVersion { what: problem.to_string() });
            }
            if before.is_whole() {
                continue;
            }
            let client_id = |session| before.sums.client_id(session).unwrap_or_default().to_owned();
            let superseded = before.sums.superseded().into_iter();
            let ended: Vec<Superseded> =
                superseded.map(|session| Superseded { client_id: client_id(session), session }).collect();
            ended.iter().for_each(|ended| before.sums.end(ended.session));
            let left = before.sums.totals();
            let segment_bytes = laid.reading(shard)?.segment_bytes();
            shards.push(Repaired { before, ended, left, segment_bytes });
        }
        Ok(Repair { laid, shards, lock })
    }

    pub fn laid(&self) -> &Laid {
        &self.laid
    }

    /// The shards that are damaged.
    pub fn shards(&self) -> &[Repaired] {
        &self.shards
    }

    /// What it takes on the disk while both are there.
    pub fn bytes_needed(&self) -> u64 {
        let segments = |repaired: &Repaired| {
            let records: u64 = repaired.before.sums.kinds().values().map(|kind| kind.bytes).sum();
            // Commits end with padding.
            (records + records / 8).div_ceil(repaired.segment_bytes.into()) + 1
        };
        let bytes = |repaired: &Repaired| segments(repaired) * u64::from(repaired.segment_bytes);
        self.shards.iter().map(bytes).sum()
    }

    /// Does it. Says where everything is kept that is damaged.
    pub fn carry_out(&self) -> Result<PathBuf, StoreError> {
        let path = self.laid.path();
        let io_error = |source| StoreError::io(path, source);
        assert!(self.lock.is_some(), "a repair that is not dry has locked the directory");
        let (needed, free) = (self.bytes_needed(), free_bytes(path).map_err(io_error)?);
        if needed > free {
            return Err(StoreError::NoSpace { path: path.to_owned(), needed, free });
        }
        let aside = moment::make_folder(path, ASIDE).map_err(io_error)?;
        for repaired in &self.shards {
            if let Err(error) = self.rewrite(repaired, &aside) {
                // So far it holds what was made just now and nothing else.
                let _ = fs::remove_dir_all(&aside);
                return Err(error);
            }
        }
        // Everything was written, read again and found to be right before anything changes its place.
        for repaired in &self.shards {
            let folder = folder_of(ShardId(repaired.before.shard), self.laid.shards());
            swap(&aside.join(&folder), &path.join(&folder)).map_err(io_error)?;
        }
        for folder in [&aside, path] {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)?;
        }
        Ok(aside)
    }

    fn rewrite(&self, repaired: &Repaired, aside: &Path) -> Result<(), StoreError> {
        let (shard, shards) = (repaired.before.shard, self.laid.shards());
        let folder = aside.join(folder_of(ShardId(shard), shards));
        let io_error = |source| StoreError::io(&folder, source);
        let reading = self.laid.reading(shard)?;
        let seed = random_seed().map_err(io_error)?;
        let config = reading.config(repaired.segment_bytes, seed);
        let mut writer = Writer::new(Some(folder.clone()), config)?;
        let mut batch = Vec::new();
        let mut outcome = Ok(());
        reading.walk(|walked| {
            let (Walked::Record { record, .. }, Ok(())) = (&walked, &outcome) else { return };
            record::push(&mut batch, record.kind, record.version, record.body, record.more);
            if !record.more && batch.len() >= BATCH_BYTES {
                outcome = writer.write(std::mem::take(&mut batch), &mut || {});
            }
        });
        outcome?;
        for Superseded { session, .. } in &repaired.ended {
            Entry::SessionGone { session: *session }.encode(&mut batch, false);
        }
        writer.write(batch, &mut || {})?;
        writer.finish(&mut || {})?;
        let written = super::check::check_folder(&folder, shard, shards)?;
        if !written.is_whole() || written.totals() != repaired.left {
            return Err(StoreError::NotRepaired { path: folder.clone() });
        }
        Ok(())
    }
}

/// What is at one place is at the other afterwards. At no moment is there nothing, where the file system can do it at once.
fn swap(from: &Path, to: &Path) -> io::Result<()> {
    if !to.exists() {
        return fs::rename(from, to);
    }
    let [one, other] = [from, to].map(|path| CString::new(path.as_os_str().as_bytes()));
    let (one, other) = (one?, other?);
    // SAFETY: both are strings that end with a zero byte and live longer than the call.
    let result = unsafe {
        libc::renameat2(libc::AT_FDCWD, one.as_ptr(), libc::AT_FDCWD, other.as_ptr(), libc::RENAME_EXCHANGE)
    };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A file system that knows no exchange.
        Some(libc::EINVAL | libc::ENOSYS) => swap_in_steps(from, to),
        _ => Err(error),
    }
}

/// A crash behind the first step leaves nothing at `to`: a start is refused then, and says where that is.
fn swap_in_steps(from: &Path, to: &Path) -> io::Result<()> {
    let between = from.with_extension(OLD);
    fs::rename(to, &between)?;
    fs::rename(from, to)?;
    fs::rename(&between, from)
}

/// Where the folder of a shard is whose repair was cut short between two steps.
pub(crate) fn kept(folder: &Path) -> Option<PathBuf> {
    let name = Path::new(folder.file_name()?).with_extension(OLD);
    let beside = fs::read_dir(folder.parent()?).ok()?.flatten().map(|entry| entry.path());
    let is_aside = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix(ASIDE)).is_some_and(|rest| rest.starts_with('-'))
    };
    let kept = beside.filter(is_aside).map(|aside| aside.join(&name));
    kept.filter(|path| path.is_dir()).max()
}

const BATCH_BYTES: usize = 1 << 20;

/// How the names of folders begin in which a repair puts aside what was damaged.
const ASIDE: &str = "damaged";
/// Behind the name of a shard's folder, between two steps of a swap.
const OLD: &str = "old";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_swap_in_steps_swaps_and_what_it_leaves_behind_the_first_is_found() {
        let dir = std::env::temp_dir().join(format!("runtime-swap-{}", std::process::id()));
        let aside = dir.join("damaged-20260131-235959");
        let (made, damaged) = (aside.join("shard-0-of-2"), dir.join("shard-0-of-2"));
        for (folder, file) in [(&made, "made"), (&damaged, "damaged")] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(file), "").unwrap();
        }
        swap_in_steps(&made, &damaged).unwrap();
        assert!(damaged.join("made").exists() && made.join("damaged").exists());
        assert_eq!(kept(&damaged), None);
        swap(&made, &damaged).unwrap();
        assert!(damaged.join("damaged").exists() && made.join("made").exists());

        let left = aside.join("shard-0-of-2.old");
        fs::rename(&damaged, &left).unwrap();
        assert_eq!(kept(&damaged), Some(left));
        assert_eq!(kept(&dir.join("shard-1-of-2")), None);
        fs::remove_dir_all(dir).unwrap();
    }
}
