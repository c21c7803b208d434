//! Has the disk fetch what a recovery is about to read, while the recovery is at work on what it has.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    os::fd::AsRawFd,
};

use shard::store::log::{FileId, Recovery};

#[derive(Default)]
pub(super) struct Ahead {
    /// What the disk was told of.
    told: HashSet<FileId>,
}

impl Ahead {
    /// Tells the disk of the files that come after the one that is wanted now: one, and more as long as they are small.
    pub fn follow(&mut self, recovery: &Recovery, files: &HashMap<FileId, File>) {
        let mut room = i64::from(BYTES_AHEAD);
        for (file, bytes) in recovery.wants_later() {
            if room <= 0 {
                return;
            }
            room -= i64::from(bytes);
            if self.told.insert(file) {
                fetch(&files[&file], bytes);
            }
        }
    }
}

/// A hint: where it is not taken, the file is read as slowly as without it.
fn fetch(file: &File, bytes: u32) {
    // SAFETY: the call takes a descriptor that is open and three numbers.
    unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, bytes.into(), libc::POSIX_FADV_WILLNEED) };
}

/// Less leaves the disk without work where a segment is read faster than it is worked on; more would take the memory of
/// what was fetched for nothing.
const BYTES_AHEAD: u32 = 32 << 20;
