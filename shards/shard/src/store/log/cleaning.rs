//! Reading the oldest segment back in pieces, so that the shard can store again what is alive in it.

use super::{
    BLOCK_BYTES, Damage, Fault, FileId, Position,
    commit::{COMMIT_BYTES, Commit, KIND_PADDING},
    contents::whole_record,
    header::{Header as SegmentHeader, seed},
};
use crate::store::record::{HEADER_BYTES, Header, Record};

/// A walk over one segment in pieces of any size.
#[derive(Debug, Clone)]
pub struct Cleaning {
    file: FileId,
    generation: u32,
    salt: u64,
    /// What is read next.
    at: u32,
    /// How much of it is needed at least.
    needs: u32,
    /// Where the commit ends that is being read.
    commit_end: u32,
    /// Where the segment's commits end.
    end: u32,
}

/// What to read next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub file: FileId,
    pub offset: u32,
    /// Fewer bring nothing, and more there are not.
    pub bytes_min: u32,
    pub bytes_max: u32,
}

impl Cleaning {
    pub(crate) fn new(file: FileId, header: &SegmentHeader, end: u32) -> Cleaning {
        let SegmentHeader { generation, salt, .. } = *header;
        let needs = COMMIT_BYTES as u32;
        Cleaning { file, generation, salt, at: BLOCK_BYTES, needs, commit_end: BLOCK_BYTES, end }
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// `None`: everything was seen.
    pub fn wants(&self) -> Option<Wanted> {
        let Cleaning { file, at, needs, end, .. } = *self;
        (at < end).then(|| Wanted { file, offset: at, bytes_min: needs, bytes_max: end - at })
    }

    /// Takes the bytes that were read from where `wants` said, and gives each whole record to `each`: groups are not kept
    /// together here.
    pub fn chunk(&mut self, bytes: &[u8], mut each: impl FnMut(Record<'_>)) -> Result<(), Damage> {
        let mut rest = &bytes[..bytes.len().min((self.end - self.at) as usize)];
        while self.at < self.end {
            let left = (self.commit_end - self.at) as usize;
            let step = if left == 0 {
                self.step_into_commit(rest)?
            } else if left < HEADER_BYTES {
                Some(left)
            } else {
                self.step_over_record(rest, left, &mut each)?
            };
            let Some(step) = step else { return Ok(()) };
            self.at += step as u32;
            self.needs = if self.at == self.commit_end { COMMIT_BYTES } else { HEADER_BYTES } as u32;
            rest = rest.get(step..).unwrap_or_default();
        }
        Ok(())
    }

    fn step_into_commit(&mut self, rest: &[u8]) -> Result<Option<usize>, Damage> {
        if rest.len() < COMMIT_BYTES {
            return Ok(None);
        }
        let commit = Commit::decode(rest).filter(|commit| {
            commit.generation == self.generation
                && commit.salt == self.salt
                && commit.bytes <= self.end - self.at
        });
        let commit = commit.ok_or_else(|| self.damage(Fault::Commit))?;
        self.commit_end = self.at + commit.bytes;
        Ok(Some(COMMIT_BYTES))
    }

    fn step_over_record(
        &mut self,
        rest: &[u8],
        left: usize,
        each: &mut impl FnMut(Record<'_>),
    ) -> Result<Option<usize>, Damage> {
        let Some(header) = rest.first_chunk() else { return Ok(None) };
        let header = Header::decode(header);
        let length = header.bytes as usize;
        if !(HEADER_BYTES..=left).contains(&length) {
            return Err(self.damage(Fault::Record));
        }
        let padding = header.kind == KIND_PADDING;
        if !padding && rest.len() < length {
            self.needs = length as u32;
            return Ok(None);
        }
        whole_record(rest, left, self.generation, seed(self.salt)).map_err(|fault| self.damage(fault))?;
        if padding {
            return Ok(Some(length));
        }
        let position = Position { generation: self.generation, offset: self.at };
        each(header.record(&rest[HEADER_BYTES..length], position));
        Ok(Some(length))
    }

    fn damage(&self, fault: Fault) -> Damage {
        Damage {
            file: self.file,
            generation: self.generation,
            offset: self.at,
            from: self.at,
            until: self.commit_end.max(self.at),
            fault,
            commit: 0,
            behind: None,
        }
    }
}
