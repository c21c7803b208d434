//! A log in a folder that nobody uses yet: its batches are written one behind the other, and are on disk at the end.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::PathBuf,
};

use shard::store::log::{Config, FileId, Full, Log, Placed, Purpose};

use super::{
    keeper::{ZEROS_BYTES, name_of},
    private, unused,
};
use crate::StoreError;

pub(super) struct Writer {
    /// None: nothing is written, and only counted how many files it would be.
    dir: Option<PathBuf>,
    log: Log,
    segment_bytes: u32,
    /// By their numbers, each with how far it is written.
    files: Vec<(File, u64)>,
    /// Files that the log was given.
    given: u32,
}

impl Writer {
    pub fn new(dir: Option<PathBuf>, config: Config) -> Result<Writer, StoreError> {
        if let Some(dir) = &dir {
            private::create_folder(dir).map_err(|source| StoreError::Io { path: dir.clone(), source })?;
        }
        let log = Log::new(config);
        Ok(Writer { dir, log, segment_bytes: config.segment_bytes, files: Vec::new(), given: 0 })
    }

    /// What its files take.
    pub fn bytes(&self) -> u64 {
        u64::from(self.given) * u64::from(self.segment_bytes)
    }

    pub fn write(&mut self, batch: Vec<u8>, after: &mut dyn FnMut()) -> Result<(), StoreError> {
        let mut batch = batch;
        let placed = loop {
            match self.log.commit(batch, Purpose::Free) {
                Ok(placed) => break placed,
                Err(Full { batch: returned }) => {
                    batch = returned;
                    self.log.add_spare(FileId(self.given));
                    self.given += 1;
                }
            }
        };
        self.carry_out(&placed, after)?;
        self.log.stored();
        Ok(())
    }

    fn carry_out(&mut self, placed: &Placed, after: &mut dyn FnMut()) -> Result<(), StoreError> {
        let Some(dir) = self.dir.clone() else { return Ok(()) };
        for write in &placed.writes {
            let path = dir.join(name_of(write.file));
            let io_error = |source| StoreError::Io { path: path.clone(), source };
            // Files are taken in the order in which they were given.
            if write.file.0 as usize == self.files.len() {
                let mut options = private::options();
                let options = options.write(true).create(true).custom_flags(libc::O_EXCL);
                let file = options.open(&path);
                self.files.push((file.map_err(io_error)?, 0));
            }
            let (file, end) = &mut self.files[write.file.0 as usize];
            let mut at = u64::from(write.offset);
            for slice in write.slices(&placed.batch) {
                file.write_all_at(slice, at).map_err(io_error)?;
                at += slice.len() as u64;
            }
            *end = at;
            after();
        }
        Ok(())
    }

    /// Everything is on disk when this has returned.
    pub fn finish(mut self, after: &mut dyn FnMut()) -> Result<(), StoreError> {
        if !self.files.is_empty() {
            // A last commit vouches for the one before it.
            self.write(Vec::new(), after)?;
        }
        let Some(dir) = self.dir.take() else { return Ok(()) };
        let io_error = |source| StoreError::Io { path: dir.clone(), source };
        if self.files.is_empty() {
            unused::mark(&dir).map_err(io_error)?;
            after();
        }
        for (file, end) in &self.files {
            fill(file, *end, u64::from(self.segment_bytes)).map_err(io_error)?;
            file.sync_all().map_err(io_error)?;
            after();
        }
        let folder = File::open(&dir).map_err(io_error)?;
        folder.sync_all().map_err(io_error)
    }
}

/// The file gets its whole length, and the disk knows that it is there.
fn fill(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut at = from;
    while at < to {
        let piece = usize::try_from(to - at).map_or(ZEROS_BYTES, |left| left.min(ZEROS_BYTES));
        file.write_all_at(&zeros[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}
