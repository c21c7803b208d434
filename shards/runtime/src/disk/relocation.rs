//! A data directory that was laid out for another number of shards becomes one for this: everything moves to its new home
//! before any shard starts.
//!
//! The logs of the shards-to-be are written beside those that are there. One rename, of the file that says for how many
//! shards the directory is laid out, makes them the ones that count. So a crash at any moment leaves the one or the
//! other, and what is too much is removed by the next start.

mod progress;
#[cfg(test)]
mod tests;

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::Path,
    time::Instant,
};

use shard::{
    Placement, ShardId,
    store::{
        Malformed, Record,
        log::{BLOCK_BYTES, Config, Report, START_BYTES},
        relocation::{Census, Counts, Relocation},
    },
};

use self::progress::Progress;
use super::{
    directory::DataDir,
    open::{log_config, replay, tell_torn},
    writer::Writer,
};
use crate::{StoreConfig, StoreError, probe::random_seed};

/// Makes the directory one for so many shards, if it is not. `after` is called after each step that a crash could leave as
/// the last one.
pub(crate) fn settle(config: &StoreConfig, to: u8, after: &mut dyn FnMut()) -> Result<(), StoreError> {
    let dir = &config.dir;
    let from = dir.laid_out();
    if from != to {
        remove_others(dir, from, after)?;
        let moved = relocate(config, to, after);
        if moved.is_err() {
            // Half a copy would only take the room that may be lacking. What stays is removed by the next start.
            let _ = remove_others(dir, from, after);
        }
        moved?;
    }
    remove_others(dir, to, after)
}

fn relocate(config: &StoreConfig, to: u8, after: &mut dyn FnMut()) -> Result<(), StoreError> {
    let begun = Instant::now();
    let dir = &config.dir;
    let from = dir.laid_out();
    tracing::info!(
        from,
        to,
        "the data directory is laid out for another number of shards: all moves to other homes"
    );
    let (census, seen) = look(config)?;
    let mut relocation = Relocation::new(census, Placement::new(to, dir.placement_seed()));
    let target = target_config(config, &seen, to)?;
    check_room(config, &mut relocation, &seen, target)?;
    let mut writers = writers(target, |shard| Some(dir.shard_dir(shard, to)))?;
    write(config, &mut relocation, &seen, &mut writers, after)?;
    for writer in writers {
        writer.finish(after)?;
    }
    let io_error = |source| StoreError::Io { path: dir.path().to_owned(), source };
    sync_dir(dir.path()).map_err(io_error)?;
    dir.switch(to).map_err(io_error)?;
    after();
    let Counts { sessions, subscriptions, queued, retained } = relocation.counts();
    let ms = begun.elapsed().as_millis() as u64;
    tracing::info!(from, to, sessions, subscriptions, queued, retained, ms, "everything has moved");
    Ok(())
}

/// What was seen when everything was read for the first time.
#[derive(Default)]
struct Seen {
    bytes: u64,
    /// The largest record.
    record_bytes: usize,
}

fn look(config: &StoreConfig) -> Result<(Census, Seen), StoreError> {
    let mut census = Census::new(config.dir.laid_out());
    let mut seen = Seen::default();
    let mut progress = Progress::new("read", None);
    read_all(config, |shard, record| {
        progress.add(record.bytes());
        seen.bytes += record.bytes() as u64;
        seen.record_bytes = seen.record_bytes.max(record.bytes());
        census.take(shard, record)
    })?
    .iter()
    .for_each(|(shard, report)| tell_torn(*shard, report));
    Ok((census, seen))
}

/// Brings the records of all logs to `each`.
fn read_all(
    config: &StoreConfig,
    mut each: impl FnMut(ShardId, &Record<'_>) -> Result<(), Malformed>,
) -> Result<Vec<(ShardId, Report)>, StoreError> {
    let from = config.dir.laid_out();
    let mut reports = Vec::new();
    for shard in (0..from).map(ShardId) {
        let dir = config.dir.shard_dir(shard, from);
        // Nothing is written there, so that the seed does not matter.
        let log = log_config(config, shard, from, 0);
        let (recovered, _) = replay(&dir, log, |record| each(shard, record))?;
        reports.push((shard, recovered.report));
    }
    Ok(reports)
}

/// The logs to be: their records may be larger than those of this configuration.
fn target_config(config: &StoreConfig, seen: &Seen, to: u8) -> Result<Config, StoreError> {
    let seed =
        random_seed().map_err(|source| StoreError::Io { path: config.dir.path().to_owned(), source })?;
    let own = log_config(config, ShardId(0), to, seed);
    let seen_bytes = u32::try_from(seen.record_bytes).unwrap_or(u32::MAX).saturating_add(GROWTH_BYTES);
    let record_bytes_max = own.record_bytes_max.max(seen_bytes);
    let segment_bytes = own.segment_bytes.max((record_bytes_max + START_BYTES).next_multiple_of(BLOCK_BYTES));
    Ok(Config { record_bytes_max, segment_bytes, synced: true, ..own })
}

fn writers(
    config: Config,
    dir: impl Fn(ShardId) -> Option<std::path::PathBuf>,
) -> Result<Vec<Writer>, StoreError> {
    let shards = (0..config.shards).map(|shard| ShardId(u8::try_from(shard).expect("shards have ids")));
    shards
        .map(|shard| {
            let own =
                Config { shard: shard.0.into(), seed: config.seed.wrapping_add(shard.0.into()), ..config };
            Writer::new(dir(shard), own)
        })
        .collect()
}

/// Writes all that is alive.
fn write(
    config: &StoreConfig,
    relocation: &mut Relocation,
    seen: &Seen,
    writers: &mut [Writer],
    after: &mut dyn FnMut(),
) -> Result<(), StoreError> {
    let mut progress = Progress::new("written", Some(seen.bytes));
    relocation.rewind();
    while relocation.write_session() {
        drain(relocation, writers, BATCH_BYTES, after)?;
    }
    let mut failure = None;
    read_all(config, |shard, record| {
        if failure.is_none() {
            progress.add(record.bytes());
            relocation.write_message(shard, record)?;
            failure = drain(relocation, writers, BATCH_BYTES, after).err();
        }
        Ok(())
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    relocation.write_handshakes();
    drain(relocation, writers, 0, after)
}

fn drain(
    relocation: &mut Relocation,
    writers: &mut [Writer],
    bytes_min: usize,
    after: &mut dyn FnMut(),
) -> Result<(), StoreError> {
    while let Some((to, batch)) = relocation.take_batch(bytes_min) {
        writers[to.index()].write(batch, after)?;
    }
    Ok(())
}

/// Everything is there twice for a while. Only if that could be too much is it counted how much it is.
fn check_room(
    config: &StoreConfig,
    relocation: &mut Relocation,
    seen: &Seen,
    target: Config,
) -> Result<(), StoreError> {
    let path = config.dir.path();
    let free = free_bytes(path).map_err(|source| StoreError::Io { path: path.to_owned(), source })?;
    check_free(config, relocation, seen, target, free)
}

fn check_free(
    config: &StoreConfig,
    relocation: &mut Relocation,
    seen: &Seen,
    target: Config,
    free: u64,
) -> Result<(), StoreError> {
    let shards = u64::from(target.shards);
    // No message is on a shard more than once; padding and what is left of a segment are less than the rest.
    let most = seen.bytes * shards * 2 + u64::from(target.segment_bytes) * shards * 2;
    if free >= most {
        return Ok(());
    }
    let mut counting = writers(target, |_| None)?;
    write(config, relocation, seen, &mut counting, &mut || {})?;
    let needed: u64 = counting.iter().map(Writer::bytes).sum();
    if free >= needed {
        return Ok(());
    }
    let path = config.dir.path().to_owned();
    let (from, to) = (config.dir.laid_out(), u8::try_from(target.shards).expect("shards have ids"));
    Err(StoreError::Room { path, from, to, needed, free })
}

pub(super) fn free_bytes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with a zero, and the call fills in what it is given or says that it has not.
    let found = unsafe {
        if libc::statvfs(path.as_ptr(), found.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        found.assume_init()
    };
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Removes the folders of every other number of shards: what was moved away from, or what a crash has left of a move.
fn remove_others(dir: &DataDir, keep: u8, after: &mut dyn FnMut()) -> Result<(), StoreError> {
    let io_error = |source| StoreError::Io { path: dir.path().to_owned(), source };
    for (path, shards) in dir.shard_dirs().map_err(io_error)? {
        if shards != keep {
            fs::remove_dir_all(&path).map_err(|source| StoreError::Io { path: path.clone(), source })?;
            tracing::info!(path = %path.display(), "removed: the data directory is laid out for {keep} shards");
            after();
        }
    }
    Ok(())
}

fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What is written at a time.
const BATCH_BYTES: usize = 1 << 20;

/// A session's record may have been written before its client went, and says now that it has gone.
const GROWTH_BYTES: u32 = 64;
