//! Placing a batch: which records go to which segment, and the bytes of the writes.

use smallvec::SmallVec;

use super::{
    BLOCK_BYTES, Full, Log, Piece, Placed, Position, Purpose, Write,
    commit::{COMMIT_BYTES, Commit, bytes_of_commit, padding},
    header::Header,
    segment::{Segment, Spare},
};
use crate::store::record::{self, HEADER_BYTES, KIND_SHARD_MIN, MORE};

/// So many bytes of the batch go into one commit.
#[derive(Debug, Clone, Copy)]
struct Part {
    bytes: usize,
    /// Of a segment that begins with it.
    fresh: bool,
}

impl Log {
    /// Places a batch and seals its records. One batch at a time is under way: `stored` ends it. An empty batch is a
    /// commit without records, which frees what was retired.
    pub fn commit(&mut self, mut batch: Vec<u8>, purpose: Purpose) -> Result<Placed, Full> {
        assert!(!self.is_under_way(), "one batch at a time is under way");
        let Some(parts) = self.plan(&batch, purpose) else { return Err(Full { batch }) };
        let (mut writes, mut pieces) = (SmallVec::new(), SmallVec::new());
        let (mut at, mut inside_group) = (0, false);
        for part in parts {
            let head = if part.fresh { self.begin_segment() } else { Vec::new() };
            let range = at..at + part.bytes;
            let (mut write, position) = self.place(head, part.bytes, inside_group);
            let segment = self.segments.back().expect("a segment is open");
            let records = &mut batch[range.clone()];
            inside_group = seal(records, &segment.header, self.config.record_bytes_max as usize);
            write.body = range.clone();
            writes.push(write);
            at = range.end;
            pieces.push(Piece { range, position });
        }
        assert!(!inside_group, "a batch ends with the end of a group");
        Ok(Placed { batch, writes, pieces })
    }

    /// How the batch is cut; `None`: there is no room for it.
    fn plan(&self, batch: &[u8], purpose: Purpose) -> Option<SmallVec<[Part; 1]>> {
        let open = self.open_room(purpose);
        let mut spares = self.spare_rooms(purpose);
        let mut parts = SmallVec::new();
        let mut part = Part { bytes: 0, fresh: open.is_none() };
        let mut left = open.or_else(|| spares.next())?;
        let mut rest = batch;
        while rest.len() > left {
            let bytes = record::length(rest);
            if bytes > left {
                if part.bytes > 0 {
                    parts.push(part);
                }
                part = Part { bytes: 0, fresh: true };
                left = spares.next()?;
            }
            part.bytes += bytes;
            left = left.checked_sub(bytes).expect("the largest record fits into an empty segment");
            rest = &rest[bytes..];
        }
        part.bytes += rest.len();
        parts.push(part);
        Some(parts)
    }

    /// Takes a spare and makes it the segment that commits go to. Its header block is written with the first of them.
    fn begin_segment(&mut self) -> Vec<u8> {
        let Spare { file, bytes } = self.spares.pop_front().expect("the plan counted the spares");
        self.last_generation =
            self.last_generation.checked_add(1).expect("four billion segments last forever");
        let (previous_generation, previous_end) = self.previous;
        let header = Header {
            shard: self.config.shard,
            shards: self.config.shards,
            generation: self.last_generation,
            salt: salt(self.config.seed, self.last_generation),
            first_commit: self.placed + 1,
            previous_generation,
            previous_end,
            segment_bytes: bytes,
            durable: self.durable_before_next(),
        };
        self.segments.push_back(Segment { file, header, end: BLOCK_BYTES, last_commit: self.placed });
        self.open = true;
        let mut block = Vec::with_capacity(BLOCK_BYTES as usize + COMMIT_BYTES);
        block.extend_from_slice(&header.encode());
        block.resize(BLOCK_BYTES as usize, 0);
        block
    }

    /// Through which commit everything is on disk before the next write begins.
    fn durable_before_next(&self) -> u64 {
        if self.config.synced { self.placed } else { self.durable }
    }

    /// A commit with so many bytes of records, at the end of the open segment.
    fn place(&mut self, mut head: Vec<u8>, records_bytes: usize, continues: bool) -> (Write, Position) {
        let tail = self.segments.front().expect("a segment is open").header.generation;
        let durable = self.durable_before_next();
        let segment = self.segments.back_mut().expect("a segment is open");
        let Header { generation, salt, segment_bytes, .. } = segment.header;
        let bytes = bytes_of_commit(records_bytes);
        self.placed += 1;
        let commit =
            Commit { number: self.placed, durable, salt, bytes: bytes as u32, tail, generation, continues };
        let offset = segment.end - head.len() as u32;
        let position = Position { generation, offset: segment.end + COMMIT_BYTES as u32 };
        head.extend_from_slice(&commit.encode());
        segment.end += bytes as u32;
        segment.last_commit = self.placed;
        assert!(segment.end <= segment_bytes, "a commit stays in its segment");
        self.previous = (generation, segment.end);
        let padding = padding(bytes - COMMIT_BYTES - records_bytes, generation, salt);
        (Write { file: segment.file, offset, head, body: 0..0, padding }, position)
    }
}

/// Seals each of these records; says whether the last one's group goes on.
fn seal(records: &mut [u8], header: &Header, bytes_max: usize) -> bool {
    let seed = header.seed();
    let mut rest = records;
    let mut more = false;
    while !rest.is_empty() {
        let bytes = record::length(rest);
        assert!((HEADER_BYTES..=bytes_max).contains(&bytes), "a record has a length within its limits");
        let (record, behind) = rest.split_at_mut(bytes);
        assert!(record::kind(record) >= KIND_SHARD_MIN, "the log writes its own records");
        record::seal(record, header.generation, seed);
        more = record::flags(record) & MORE != 0;
        rest = behind;
    }
    more
}

/// Spreads seed and generation over 64 bits (the finalizer of SplitMix64).
fn salt(seed: u64, generation: u32) -> u64 {
    let mut z = seed ^ u64::from(generation).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
