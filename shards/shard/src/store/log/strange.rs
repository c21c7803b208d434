//! What stands behind the end of a log, where nothing of the segment itself does: zeros and what the file held before are of
//! no meaning, and anything else is strange.

use super::{
    BLOCK_BYTES, FileId, Strange,
    commit::{COMMIT_BYTES, Commit, KIND_PADDING},
    contents::Contents,
};
use crate::store::record::{HEADER_BYTES, Header};

impl Contents<'_> {
    /// How many bytes from there on, where the last commit ends, neither a broker that wrote there nor one that did not
    /// would have left, as far as that can be told. What the file held before can be anything where its commit's
    /// beginning was written over: it is known by its end.
    pub(crate) fn strange(&self, end: usize) -> usize {
        let rest = self.bytes.get(end..).unwrap_or_default();
        let beginning = &rest[..rest.len().min(COMMIT_BYTES)];
        if beginning.iter().all(|byte| *byte == 0) {
            return 0;
        }
        let mut strange = 0;
        for (at, block) in rest.chunks(BLOCK_BYTES as usize).enumerate() {
            if Commit::decode(block).is_some() {
                break;
            }
            if is_end_of_earlier(block, self.generation) {
                return 0;
            }
            if block.iter().any(|byte| *byte != 0) {
                strange = at * BLOCK_BYTES as usize + block.len();
            }
        }
        // A commit that ends with its block leaves no room for the header of a padding.
        let zeros = rest[..strange].iter().rev().take_while(|byte| **byte == 0).count();
        if (1..HEADER_BYTES).contains(&zeros) { 0 } else { strange }
    }
}

impl Strange {
    /// What the beginning of a file is that has no header: zeros, which are nothing, or this much of something else.
    pub(crate) fn beginning(file: FileId, start: &[u8]) -> Option<Strange> {
        let last = start.iter().rposition(|byte| *byte != 0)?;
        let bytes = (last + 1).next_multiple_of(BLOCK_BYTES as usize).min(start.len());
        Some(Strange { file, offset: 0, bytes: bytes as u32 })
    }
}

/// Whether a commit of an earlier segment ends with this block: padding fills it.
fn is_end_of_earlier(block: &[u8], generation: u32) -> bool {
    let places = 0..block.len().saturating_sub(HEADER_BYTES);
    places.into_iter().any(|at| {
        let header = Header::decode(block[at..].first_chunk().expect("there is room for a header"));
        header.kind == KIND_PADDING
            && header.version == 1
            && header.bytes as usize == block.len() - at
            && (1..generation).contains(&header.generation)
    })
}
