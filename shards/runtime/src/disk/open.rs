//! Opens the log of one shard: finds its files, recovers what they hold, and tells what was found.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use crossbeam_channel::Sender;
use shard::{
    ShardId,
    store::{
        Malformed, Record,
        log::{
            BLOCK_BYTES, Config, FileId, Found, LOOK_BYTES, Recovered, Recovery, Refusal, Report, Strange,
        },
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
    if let Some(Strange { file, offset: 0, bytes }) = report.strange {
        tracing::warn!(
            shard = shard.0,
            file = %name_of(file),
            bytes,
            "the file begins with neither a segment of the store nor zeros: it was being begun when the broker ended, or it is \
             damaged. Whether something is lost that was acknowledged cannot be told, and the file is used again. Look at the disk \
             (dmesg)"
        );
    } else if let Some(Strange { file, offset, bytes }) = report.strange {
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
    // Another one at each start: what an interrupted start has written does not pass for what this one writes.
    let seed = random_seed().map_err(io_error)?;
    let log_config = log_config(config, shard, shards, seed);
    let mut restoring = Restoring::new(epoch_ms);
    let (recovered, mut files) = replay(&dir, log_config, |record| restoring.take(record))?;
    let Recovered { log, report, sync, discarded } = recovered;
    for file in sync {
        let synced = files[&file].sync_data();
        synced.map_err(|error| StoreError::io(&dir.join(name_of(file)), error))?;
    }
    if log.last_commit() > 0 && is_unused(&dir) {
        unmark(&dir).map_err(io_error)?;
    }
    for file in discarded {
        files.remove(&file);
        let path = dir.join(name_of(file));
        fs::remove_file(&path).map_err(|error| StoreError::io(&path, error))?;
    }
    remove_parts(&dir).map_err(io_error)?;
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
    let files = find(dir)?;
    let starts = read_starts(dir, &files)?;
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
        read(&files[&file], &mut contents).map_err(|error| error.of(dir.join(name_of(file))))?;
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

fn read_starts(dir: &Path, files: &HashMap<FileId, File>) -> Result<Vec<Start>, StoreError> {
    let mut starts = Vec::with_capacity(files.len());
    for (id, file) in files {
        let path = || dir.join(name_of(*id));
        let metadata = file.metadata().map_err(|error| StoreError::io(&path(), error))?;
        let bytes = u32::try_from(metadata.len()).unwrap_or(u32::MAX);
        let mut start = vec![0; bytes.min(LOOK_BYTES) as usize];
        read(file, &mut start).map_err(|error| error.of(path()))?;
        starts.push((*id, bytes, start));
    }
    starts.sort_unstable_by_key(|(id, _, _)| *id);
    Ok(starts)
}

/// What the disk does not give back, and where in the file that is.
#[derive(Debug)]
struct Unread {
    offset: u64,
    source: io::Error,
}

impl Unread {
    fn of(self, path: PathBuf) -> StoreError {
        StoreError::Unreadable { path, offset: self.offset, source: self.source }
    }
}

/// Fills the buffer from the beginning of a file that is as long.
fn read(file: &impl FileExt, buffer: &mut [u8]) -> Result<(), Unread> {
    if file.read_exact_at(buffer, 0).is_ok() {
        return Ok(());
    }
    // The system does not say where. Once more, a block at a time, up to the first that fails.
    let mut offset = 0;
    for block in buffer.chunks_mut(BLOCK_BYTES as usize) {
        if let Err(source) = file.read_exact_at(block, offset) {
            return Err(Unread { offset, source });
        }
        offset += block.len() as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// A file of which one byte cannot be read.
    struct Scratched(u64);

    impl FileExt for Scratched {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            let is_hit = (offset..offset + buffer.len() as u64).contains(&self.0);
            if is_hit { Err(io::Error::from_raw_os_error(libc::EIO)) } else { Ok(buffer.len()) }
        }

        fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
            unreachable!("nothing is written")
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_file_and_place() {
        let block = u64::from(BLOCK_BYTES);
        for at in [0, block - 1, block, 7 * block + 3] {
            let mut buffer = vec![0; 8 * BLOCK_BYTES as usize];
            let error = read(&Scratched(at), &mut buffer).unwrap_err();
            assert_eq!(error.offset, at / block * block);
            let said = error.of(PathBuf::from("/data/shard-0-of-1/segment-00000003")).to_string();
            let place = format!("segment-00000003 at offset {:#x} cannot be read: ", at / block * block);
            assert!(said.contains(&place) && said.contains("Input/output error"), "{said}");
            assert!(read(&Scratched(8 * block), &mut buffer).is_ok());
        }
    }
}
