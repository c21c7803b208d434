//! A batch on its way to the disk: written, synced where that is a thing of its own, and what is left of it when a write fails.
//! An orderly end is the last of them.

use std::{io, os::fd::AsRawFd};

use io_uring::{
    opcode,
    types::{Fd, FsyncFlags},
};
use shard::{
    Batch,
    store::log::{FileId, Placed},
};

use super::{Disk, Ending, NO_BATCH, SYNC, WRITE};
use crate::{
    backend::{Backend, Outcome},
    breakdown::Breakdown,
    operation::Operation,
    ring::Ring,
};

/// A batch on its way. The kernel reads it, so it stays where it is until the last write is done.
pub(super) struct Writing {
    placed: Placed,
    /// The write that is under way.
    at: usize,
    slices: [libc::iovec; 3],
}

impl Disk {
    pub(super) fn begin(&mut self, ring: &mut Ring, placed: Placed) {
        const NOTHING: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        self.writing = Some(Box::new(Writing { placed, at: 0, slices: [NOTHING; 3] }));
        self.write(ring);
    }

    fn write(&mut self, ring: &mut Ring) {
        let writing = self.writing.as_mut().expect("a batch is being written");
        let write = &writing.placed.writes[writing.at];
        let slices = write.slices(&writing.placed.batch);
        for (place, slice) in writing.slices.iter_mut().zip(slices) {
            *place = libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() };
        }
        let file = &self.files[&write.file];
        let flags = if self.synced { libc::RWF_DSYNC } else { 0 };
        let entry = opcode::Writev::new(Fd(file.as_raw_fd()), writing.slices.as_ptr(), 3)
            .offset(u64::from(write.offset))
            .rw_flags(flags)
            .build()
            .user_data(Operation::Store { name: WRITE }.pack());
        // SAFETY: the slices and what they point to stand in boxes that are kept until the write is done, and the file is
        // closed only after its segment is retired, when no write goes there any more.
        unsafe { ring.push(entry) };
    }

    /// A write is done.
    pub(super) fn on_written(&mut self, ring: &mut Ring, result: i32) -> Outcome {
        let writing = self.writing.as_mut().expect("a write was under way");
        let bytes = writing.placed.writes[writing.at].bytes();
        if let Err(error) = whole(result, bytes) {
            let file = writing.placed.writes[writing.at].file;
            return self.fail(file, &error);
        }
        writing.at += 1;
        if writing.at < writing.placed.writes.len() {
            self.write(ring);
            return Outcome::Nothing;
        }
        let writing = self.writing.take().expect("it was there a moment ago");
        self.log.stored();
        self.keeper.begin(writing.placed.writes[0].file);
        if !self.synced {
            self.sync(ring);
        }
        self.order_files();
        let number = self.number;
        self.unblock(ring);
        if number == NO_BATCH {
            return Outcome::Room;
        }
        Outcome::Stored { batch: number, pieces: writing.placed.pieces.to_vec() }
    }

    /// Takes the next step towards the end, if none is under way.
    pub(super) fn go_on_ending(&mut self, ring: &mut Ring) {
        if self.writing.is_some() || self.log.is_syncing() {
            return;
        }
        self.sync(ring);
        if self.log.is_syncing() {
            return;
        }
        match self.ending {
            Ending::No | Ending::Done => {}
            Ending::Begun if self.log.is_open() => {
                self.ending = Ending::Vouched;
                self.store(ring, Batch { number: NO_BATCH, records: Vec::new() });
                if self.writing.is_none() {
                    self.ending = Ending::Done;
                }
            }
            Ending::Begun | Ending::Vouched => self.ending = Ending::Done,
        }
    }

    pub(super) fn fail(&mut self, file: FileId, error: &io::Error) -> Outcome {
        self.is_poisoned = true;
        self.forget_cached();
        let path = self.keeper.path(file);
        Outcome::Failed(Breakdown::Write(format!("{}: {error}", path.display())))
    }

    /// After a failed write the kernel takes its copy of the file for what is on disk. The next start must not read a commit
    /// there that is nowhere else, and build on it.
    fn forget_cached(&self) {
        for file in self.files.values() {
            // SAFETY: the call takes a descriptor that is open and three numbers.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
    }

    /// Where writes are not synced each by itself, segments are when they are full: a loss of power costs the end of the log
    /// and not its middle, and files that were given up are free again.
    pub(super) fn sync(&mut self, ring: &mut Ring) {
        let Some(file) = self.log.begin_sync() else { return };
        self.syncing = file;
        let entry = opcode::Fsync::new(Fd(self.files[&file].as_raw_fd()))
            .flags(FsyncFlags::DATASYNC)
            .build()
            .user_data(Operation::Store { name: SYNC }.pack());
        // SAFETY: a sync points to nothing, and the file is closed only when its segment is free, which waits for the sync.
        unsafe { ring.push(entry) };
    }

    pub(super) fn on_synced(&mut self, ring: &mut Ring, result: i32) -> Outcome {
        if result < 0 {
            return self.fail(self.syncing, &io::Error::from_raw_os_error(-result));
        }
        self.log.synced();
        self.order_files();
        self.sync(ring);
        self.unblock(ring);
        Outcome::Room
    }
}

fn whole(result: i32, bytes: usize) -> io::Result<()> {
    match usize::try_from(result) {
        Ok(written) if written == bytes => Ok(()),
        // A file is as long as it has to be, so a write that stops in the middle has hit something worse.
        Ok(written) => {
            Err(io::Error::new(io::ErrorKind::WriteZero, format!("{written} of {bytes} bytes were written")))
        }
        Err(_) => Err(io::Error::from_raw_os_error(-result)),
    }
}
