//! Opens the log of one shard: finds its files, recovers what they hold, and tells what was found.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::Path,
};

use crossbeam_channel::Sender;
use shard::{
    ShardId,
    store::{
        Malformed, Record,
        log::{Config, FileId, Found, Recovered, Recovery, Refusal, Report, START_BYTES, Strange},
        restoring::Restoring,
    },
};

use super::{
    Disk,
    ahead::Ahead,
    keeper::{Keeper, Order, id_of, name_of, remove_parts},
    regular,
    unused::{is_unused, unmark},
};
use crate::{
    StoreConfig, StoreError,
    backend::{Engine, Opened},
    mesh::Waker,
    probe::random_seed,
};

/// The logs of all shards.
pub(crate) struct Logs {
    pub config: StoreConfig,
    pub shards: u8,
    pub epoch_ms: u64,
    pub orders: Sender<Order>,
}

impl Engine for Logs {
    fn open(&self, shard: ShardId, waker: Waker) -> Result<Opened, StoreError> {
        let (disk, restoring, report) = open(self, shard, waker)?;
        tell(shard, &report);
        Ok(Opened { backend: Box::new(disk), restoring })
    }
}

fn tell(shard: ShardId, report: &Report) {
    tell_torn(shard, report);
    let Report { records, segments, dropped, .. } = report;
    if *records > 0 {
        tracing::info!(shard = shard.0, records, segments, dropped, "recovered");
    }
}

/// Says what the end of a log was, if it was torn, or something else stands behind it.
pub(super) fn tell_torn(shard: ShardId, report: &Report) {
    if let Some(Strange { file, offset, bytes }) = report.strange {
        tracing::warn!(
            shard = shard.0,
            file = %name_of(file),
            offset,
            bytes,
            "what stands behind the end of the store is nothing that a broker leaves there: it was being written when the broker \
             ended, or it is damaged. Whether something is lost that was acknowledged cannot be told. Look at the disk (dmesg)"
        );
    }
    let Some(torn) = &report.torn else { return };
    let (file, offset) = (name_of(torn.file), torn.offset);
    if torn.is_cut {
        tracing::warn!(
            shard = shard.0,
            %file,
            offset,
            "the last file of the store is shorter than it was made, which no crash does: whatever it had behind this offset \
             is lost, and may have been acknowledged. Look at the disk and at whoever copied the file"
        );
    } else {
        tracing::warn!(
            shard = shard.0,
            %file,
            offset,
            "the end of the store was being written when the broker ended: nothing there was acknowledged"
        );
    }
}

/// Reads everything. The process has locked the directory above.
fn open(logs: &Logs, shard: ShardId, waker: Waker) -> Result<(Disk, Restoring, Report), StoreError> {
    let Logs { config, shards, epoch_ms, orders } = logs;
    let (shards, epoch_ms) = (*shards, *epoch_ms);
    let dir = config.dir.shard_dir(shard, shards);
    let io_error = |source| StoreError::Io { path: dir.clone(), source };
    remove_parts(&dir).map_err(io_error)?;
    // Another one at each start: what an interrupted start has written does not pass for what this one writes.
    let seed = random_seed().map_err(io_error)?;
    let log_config = log_config(config, shard, shards, seed);
    let mut restoring = Restoring::new(epoch_ms);
    let (recovered, mut files) = replay(&dir, log_config, |record| restoring.take(record))?;
    let Recovered { log, report, sync, discarded } = recovered;
    for file in sync {
        files[&file].sync_data().map_err(io_error)?;
    }
    if log.last_commit() > 0 && is_unused(&dir) {
        unmark(&dir).map_err(io_error)?;
    }
    for file in discarded {
        files.remove(&file);
        fs::remove_file(dir.join(name_of(file))).map_err(io_error)?;
    }
    let next = files.keys().map(|file| file.0 + 1).max().unwrap_or(0);
    let keeper = Keeper::new(dir, log_config.segment_bytes, next, orders.clone(), waker);
    let disk = Disk::new(shard, log, files, keeper, config.segment_bytes, config.is_synced);
    Ok((disk, restoring, report))
}

/// Brings all records of a log to `each`, in their order and by whole groups. Changes nothing.
pub(super) fn replay(
    dir: &Path,
    config: Config,
    mut each: impl FnMut(&Record<'_>) -> Result<(), Malformed>,
) -> Result<(Recovered, HashMap<FileId, File>), StoreError> {
    let io_error = |source| StoreError::Io { path: dir.to_owned(), source };
    let files = find(dir)?;
    let starts = read_starts(&files).map_err(io_error)?;
    let found = starts.iter().map(|(file, bytes, start)| Found { file: *file, bytes: *bytes, start });
    let refused = |refusal: Refusal| StoreError::refused(dir, &refusal);
    let mut recovery = Recovery::new(config, found).map_err(refused)?;
    if !is_unused(dir) {
        recovery = recovery.expecting_some().map_err(refused)?;
    }
    let mut malformed = None;
    let mut contents = Vec::new();
    let mut ahead = Ahead::default();
    while let Some((file, bytes)) = recovery.wants() {
        ahead.follow(&recovery, &files);
        contents.resize(bytes as usize, 0);
        files[&file].read_exact_at(&mut contents, 0).map_err(io_error)?;
        let each = |record: Record<'_>| {
            if each(&record).is_err() {
                malformed.get_or_insert((file, record.position.offset));
            }
        };
        recovery.read(&contents, each).map_err(refused)?;
    }
    match malformed {
        Some((file, offset)) => Err(StoreError::Malformed { path: dir.join(name_of(file)), offset }),
        None => Ok((recovery.finish(), files)),
    }
}

pub(super) fn log_config(config: &StoreConfig, shard: ShardId, shards: u8, seed: u64) -> Config {
    Config {
        shard: shard.0.into(),
        shards: shards.into(),
        segment_bytes: config.segment_bytes,
        record_bytes_max: config.record_bytes_max,
        // One may not hold a segment that is alive as a whole, with the padding that its parts need.
        reserve: 2,
        spares_wanted: 3,
        spares_max: 4,
        files_max: u32::MAX,
        synced: config.is_synced,
        seed,
    }
}

fn find(dir: &Path) -> Result<HashMap<FileId, File>, StoreError> {
    let io_error = |source| StoreError::Io { path: dir.to_owned(), source };
    let mut files = HashMap::new();
    for entry in fs::read_dir(dir).map_err(io_error)? {
        let entry = entry.map_err(io_error)?;
        let Some(id) = entry.file_name().to_str().and_then(id_of) else { continue };
        let opened = regular::open_segment(&entry.path(), id, OpenOptions::new().read(true).write(true));
        let (file, _) = opened.map_err(|source| StoreError::Io { path: entry.path(), source })?;
        files.insert(id, file);
    }
    Ok(files)
}

type Start = (FileId, u32, Vec<u8>);

fn read_starts(files: &HashMap<FileId, File>) -> io::Result<Vec<Start>> {
    let mut starts = Vec::with_capacity(files.len());
    for (id, file) in files {
        let bytes = u32::try_from(file.metadata()?.len()).unwrap_or(u32::MAX);
        let mut start = Vec::new();
        file.take(START_BYTES as u64).read_to_end(&mut start)?;
        starts.push((*id, bytes, start));
    }
    starts.sort_unstable_by_key(|(id, _, _)| *id);
    Ok(starts)
}
