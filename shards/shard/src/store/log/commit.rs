//! The commit record, which stands at the beginning of a block and says how far its records go, and the padding behind
//! them.

use super::{BLOCK_BYTES, header::seed};
use crate::store::record::{self, HEADER_BYTES};

/// What a commit says about itself and about those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    /// Consecutive over all segments.
    pub(crate) number: u64,
    /// Every commit up to this one was on disk before this one was written.
    pub(crate) durable: u64,
    /// That of the segment. It makes a commit recognisable without the segment's header.
    pub(crate) salt: u64,
    /// From the commit record to the next commit: whole blocks.
    pub(crate) bytes: u32,
    /// The generation of the oldest segment in use.
    pub(crate) tail: u32,
    pub(crate) generation: u32,
    /// Its records go on with the batch whose beginning the commit before holds.
    pub(crate) continues: bool,
}

impl Commit {
    /// In the flags of a commit record.
    pub(crate) const CONTINUES: u16 = 2;

    pub(crate) fn encode(&self) -> [u8; COMMIT_BYTES] {
        let mut bytes = [0; COMMIT_BYTES];
        let header = record::Header {
            checksum: 0,
            bytes: COMMIT_BYTES as u32,
            generation: self.generation,
            kind: KIND_COMMIT,
            version: 1,
            flags: if self.continues { Commit::CONTINUES } else { 0 },
        };
        bytes[..16].copy_from_slice(&header.encode());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable.to_le_bytes());
        bytes[SALT_AT..40].copy_from_slice(&self.salt.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.tail.to_le_bytes());
        record::seal(&mut bytes, self.generation, seed(self.salt));
        bytes
    }

    /// `None`: there is no commit record here, of any segment.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Commit> {
        let bytes: &[u8; COMMIT_BYTES] = bytes.first_chunk()?;
        let header = record::Header::decode(bytes.first_chunk()?);
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let commit = Commit {
            number: u64_at(16),
            durable: u64_at(24),
            salt: u64_at(SALT_AT),
            bytes: u32_at(40),
            tail: u32_at(44),
            generation: header.generation,
            continues: header.flags & Commit::CONTINUES != 0,
        };
        // Cheap comparisons first: this is asked of every block behind the end of a log.
        let whole = header.kind == KIND_COMMIT
            && header.bytes == COMMIT_BYTES as u32
            && commit.bytes.is_multiple_of(BLOCK_BYTES)
            && commit.bytes > 0
            && commit.durable < commit.number
            && commit.tail <= commit.generation
            && record::checksum(bytes, seed(commit.salt)) == header.checksum;
        whole.then_some(commit)
    }

    /// Whether these bytes look like a commit record of this segment that came to harm. A whole one of another salt is
    /// what an interrupted start has left.
    pub(crate) fn has_trace(bytes: &[u8], generation: u32, salt: u64) -> bool {
        let Some(record) = bytes.first_chunk::<COMMIT_BYTES>() else {
            return bytes.iter().any(|byte| *byte != 0);
        };
        let header = record::Header::decode(record.first_chunk().expect("a commit is longer than a header"));
        let is_alike = header.generation == generation && header.kind == KIND_COMMIT;
        record[SALT_AT..40] == salt.to_le_bytes() || (is_alike && Commit::decode(record).is_none())
    }
}

/// How many bytes a commit with so many bytes of records takes.
pub(crate) fn bytes_of_commit(records: usize) -> usize {
    (COMMIT_BYTES + records).next_multiple_of(BLOCK_BYTES as usize)
}

/// What stands behind the records up to the end of the block: a padding record, or a few zeros where its header
/// does not fit. The commit says where it ends, so that these need no header to be passed over.
pub(crate) fn padding(bytes: usize, generation: u32, salt: u64) -> Vec<u8> {
    let mut padding = vec![0; bytes];
    if bytes >= HEADER_BYTES {
        let header = record::Header {
            bytes: bytes as u32,
            generation,
            kind: KIND_PADDING,
            version: 1,
            ..record::Header::default()
        };
        padding[..HEADER_BYTES].copy_from_slice(&header.encode());
        // The zeros are not worth a checksum: nothing reads them.
        record::seal(&mut padding[..HEADER_BYTES], generation, seed(salt));
    }
    padding
}

pub(crate) const COMMIT_BYTES: usize = 48;
pub(crate) const KIND_COMMIT: u8 = 1;
pub(crate) const KIND_PADDING: u8 = 2;
const SALT_AT: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn commit() -> Commit {
        Commit {
            number: 815,
            durable: 814,
            salt: 0x1112_1314_1516_1718,
            bytes: 2 * BLOCK_BYTES,
            tail: 3,
            generation: 9,
            continues: true,
        }
    }

    #[test]
    fn a_commit_stands_as_the_document_says() {
        let bytes = commit().encode();
        assert_eq!(bytes[4..16], [48, 0, 0, 0, 9, 0, 0, 0, 1, 1, 2, 0]);
        assert_eq!(bytes[16..32], [0x2f, 3, 0, 0, 0, 0, 0, 0, 0x2e, 3, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[32..40], [0x18, 0x17, 0x16, 0x15, 0x14, 0x13, 0x12, 0x11]);
        assert_eq!(bytes[40..], [0, 0x20, 0, 0, 3, 0, 0, 0]);
        assert_eq!(Commit::decode(&bytes), Some(commit()));
    }

    #[test]
    fn a_commit_with_any_other_bit_is_none_and_leaves_a_trace() {
        let bytes = commit().encode();
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Commit::decode(&other), None, "bit {bit}");
            assert!(Commit::has_trace(&other, 9, commit().salt), "bit {bit}");
        }
        assert!(!Commit::has_trace(&[0; 4096], 9, commit().salt));
    }

    #[test]
    fn padding_fills_any_rest() {
        for bytes in [0, 1, 15, 16, 17, 4095] {
            let padding = padding(bytes, 9, 7);
            assert_eq!(padding.len(), bytes);
            assert!(padding.iter().skip(HEADER_BYTES).all(|byte| *byte == 0));
            assert_eq!(padding.get(12), if bytes < 16 { padding.get(12) } else { Some(&KIND_PADDING) });
        }
        assert_eq!(bytes_of_commit(4096 - 48), 4096);
        assert_eq!(bytes_of_commit(4096 - 47), 8192);
    }
}
