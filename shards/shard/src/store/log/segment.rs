//! A segment as the log knows it, and the files that wait to become one.

use super::{BLOCK_BYTES, FileId, commit::COMMIT_BYTES, header::Header};

/// One segment in use, or retired and not yet free.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    pub(crate) file: FileId,
    pub(crate) header: Header,
    /// Where its commits end.
    pub(crate) end: u32,
    pub(crate) last_commit: u64,
}

impl Segment {
    /// How many bytes of records a further commit may have.
    pub(crate) fn room(&self) -> Option<usize> {
        room(self.header.segment_bytes - self.end)
    }
}

/// A file without content of any use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spare {
    pub(crate) file: FileId,
    pub(crate) bytes: u32,
}

impl Spare {
    pub(crate) fn room(&self) -> usize {
        room(self.bytes - BLOCK_BYTES).expect("a segment has room for a commit")
    }
}

fn room(bytes: u32) -> Option<usize> {
    (bytes as usize).checked_sub(COMMIT_BYTES)
}
