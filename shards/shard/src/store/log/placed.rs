//! What a placed batch asks to be written, and where its records are from then on.

use std::ops::Range;

use smallvec::SmallVec;

use super::FileId;

/// Where a record stands: by generation, because files are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    pub generation: u32,
    /// Of the record's header, from the beginning of the segment.
    pub offset: u32,
}

impl Position {
    pub fn to_u64(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.offset)
    }

    pub fn from_u64(value: u64) -> Position {
        Position { generation: (value >> 32) as u32, offset: value as u32 }
    }
}

/// A sealed batch with the writes that store it.
#[derive(Debug)]
pub struct Placed {
    pub batch: Vec<u8>,
    /// To be carried out in this order. Where commits are synced, each write is synced before the next begins.
    pub writes: SmallVec<[Write; 1]>,
    /// In the order of the batch, without holes.
    pub pieces: SmallVec<[Piece; 1]>,
}

/// Whole blocks at a block's beginning.
#[derive(Debug)]
pub struct Write {
    pub file: FileId,
    pub offset: u32,
    /// The commit record, in front of it the segment's header block if this is the segment's first commit.
    pub(super) head: Vec<u8>,
    /// Which part of the batch.
    pub(super) body: Range<usize>,
    pub(super) padding: Vec<u8>,
}

/// A part of a batch that stands in one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub range: Range<usize>,
    /// Of the part's first byte.
    pub position: Position,
}

impl Write {
    /// The bytes to write, one behind the other.
    pub fn slices<'a>(&'a self, batch: &'a [u8]) -> [&'a [u8]; 3] {
        [&self.head, &batch[self.body.clone()], &self.padding]
    }

    pub fn bytes(&self) -> usize {
        self.head.len() + self.body.len() + self.padding.len()
    }
}

impl Placed {
    /// Where the record stands that begins at this offset of the batch.
    pub fn position(&self, at: usize) -> Position {
        let piece = self.pieces.iter().find(|piece| piece.range.contains(&at));
        let Piece { range, position } = piece.expect("the offset is inside the batch");
        Position { offset: position.offset + (at - range.start) as u32, ..*position }
    }
}

/// There is no room for this batch.
#[derive(Debug)]
pub struct Full {
    pub batch: Vec<u8>,
}
