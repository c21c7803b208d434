//! Which segments belong to the log: each names the one before it, and the last commit names the oldest.

use super::{Doubtful, Known, Phase, Recovery};
use crate::store::log::{
    BLOCK_BYTES, Damage, Fault, FileId, Refusal,
    commit::Commit,
    header::{HEADER_BYTES, Header},
};

/// A segment that is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) known: Known,
    /// Where its commits end; `None` where that was lost with a header.
    pub(super) bound: Option<u32>,
}

impl Link {
    /// Which file to read, and how many bytes from its beginning.
    pub(super) fn wanted(&self) -> (FileId, u32) {
        (self.known.file, self.bound.map_or(self.known.bytes, |bound| bound.min(self.known.bytes)))
    }
}

impl Recovery {
    /// All segments from the oldest in use to the one in which the log ends.
    pub(super) fn chain(&mut self) -> Result<Phase, Refusal> {
        let Some(end) = self.ending.end else { return Ok(Phase::Done { chain: Vec::new() }) };
        let mut chain = Vec::new();
        let mut next = Some((end.generation, Some(end.offset)));
        while let Some((generation, bound)) = next {
            let known = self.known[&generation];
            chain.push(Link { known, bound });
            if generation <= end.commit.tail {
                break;
            }
            next = self.before(&known.header, end.commit.tail)?;
        }
        chain.reverse();
        Ok(Phase::Replay { chain, next: 0 })
    }

    /// The segment before the one with this header, with where its commits end. None is older than `tail`.
    pub(super) fn before(
        &mut self,
        header: &Header,
        tail: u32,
    ) -> Result<Option<(u32, Option<u32>)>, Refusal> {
        let generation = header.previous_generation;
        let bound = Some(header.previous_end).filter(|end| *end > 0);
        let missing = if generation < tail {
            tail
        } else if self.known.contains_key(&generation) {
            return Ok(Some((generation, bound)));
        } else {
            generation
        };
        if let Some(doubtful) = self.doubtful.iter().find(|doubtful| doubtful.first.generation == missing) {
            let doubtful = *doubtful;
            self.headless(&doubtful)?;
            return Ok(Some((missing, bound)));
        }
        if !self.tolerant {
            return Err(self.missing(missing));
        }
        self.report.missing.push(missing);
        let older = self.known.range(tail..missing).next_back();
        Ok(older.map(|(generation, _)| (*generation, None)))
    }

    pub(super) fn missing(&self, generation: u32) -> Refusal {
        Refusal::Missing { generation, suspect: self.suspects.first().copied() }
    }

    /// A file that lost the header of a segment which was stored. A commit says enough to go on without.
    pub(super) fn headless(&mut self, doubtful: &Doubtful) -> Result<(), Refusal> {
        let Doubtful { file, bytes, first } = *doubtful;
        let Commit { generation, salt, number, .. } = first;
        self.damage(Damage {
            file,
            generation,
            offset: 0,
            from: 0,
            until: HEADER_BYTES as u32,
            fault: Fault::Header,
            commit: number,
            behind: Some(number),
        })?;
        let header = Header {
            shard: self.config.shard,
            shards: self.config.shards,
            generation,
            salt,
            first_commit: number,
            previous_generation: self.known.range(..generation).next_back().map_or(0, |(older, _)| *older),
            previous_end: 0,
            durable: 0,
            segment_bytes: (bytes / BLOCK_BYTES * BLOCK_BYTES).max(2 * BLOCK_BYTES),
        };
        self.known.insert(generation, Known { file, bytes, header });
        Ok(())
    }
}
