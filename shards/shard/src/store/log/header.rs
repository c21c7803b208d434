//! The header of a segment: the first bytes of its file, written together with the segment's first commit.

use super::BLOCK_BYTES;

/// What a segment says about itself. These 64 bytes keep their form in every format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) generation: u32,
    /// Unlike that of every other segment: what a file held before does not pass for a part of this segment.
    pub(crate) salt: u64,
    pub(crate) first_commit: u64,
    /// The segment before this one in the log; generation 0: there is none.
    pub(crate) previous_generation: u32,
    /// Where the commits of that segment end. Whatever stands behind is void.
    pub(crate) previous_end: u32,
    pub(crate) segment_bytes: u32,
    /// Every commit up to this one was on disk before the segment was begun.
    pub(crate) durable: u64,
}

/// What the first bytes of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// Zeros: the file was never written to.
    Blank,
    /// Neither zeros nor a header.
    Unknown,
    /// A header of a format that this program does not know.
    Newer(u32),
    Whole(Header),
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut at = CHECKED_AT;
        let mut put = |field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at += field.len();
        };
        put(&FORMAT.to_le_bytes());
        put(&self.shard.to_le_bytes());
        put(&self.shards.to_le_bytes());
        put(&self.generation.to_le_bytes());
        put(&self.salt.to_le_bytes());
        put(&self.first_commit.to_le_bytes());
        put(&self.previous_generation.to_le_bytes());
        put(&self.previous_end.to_le_bytes());
        put(&self.segment_bytes.to_le_bytes());
        put(&self.durable.to_le_bytes());
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        let checksum = crc32c::crc32c(&bytes[CHECKED_AT..]);
        bytes[MAGIC.len()..CHECKED_AT].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn seed(&self) -> u32 {
        seed(self.salt)
    }
}

/// Folds a salt to what the checksums of a segment begin with.
pub(crate) fn seed(salt: u64) -> u32 {
    (salt ^ (salt >> 32)) as u32
}

impl Head {
    pub(crate) fn read(start: &[u8]) -> Head {
        let Some(bytes) = start.first_chunk::<HEADER_BYTES>() else {
            return if start.iter().all(|byte| *byte == 0) { Head::Blank } else { Head::Unknown };
        };
        if *bytes == [0; HEADER_BYTES] {
            return Head::Blank;
        }
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        let checksum = crc32c::crc32c(&bytes[CHECKED_AT..]);
        if bytes[..MAGIC.len()] != MAGIC || u32_at(MAGIC.len()) != checksum {
            return Head::Unknown;
        }
        let format = u32_at(12);
        if format != FORMAT {
            return Head::Newer(format);
        }
        let header = Header {
            shard: u16_at(16),
            shards: u16_at(18),
            generation: u32_at(20),
            salt: u64_at(24),
            first_commit: u64_at(32),
            previous_generation: u32_at(40),
            previous_end: u32_at(44),
            segment_bytes: u32_at(48),
            durable: u64_at(52),
        };
        // Only a defect of the writer makes such a header: nothing may be computed with it.
        let sane = header.generation > header.previous_generation
            && header.segment_bytes >= 2 * BLOCK_BYTES
            && header.durable < header.first_commit
            && header.previous_end.is_multiple_of(BLOCK_BYTES);
        if sane { Head::Whole(header) } else { Head::Unknown }
    }
}

/// The version of everything that `docs/storage.md` describes.
pub const FORMAT: u32 = 1;
pub(crate) const HEADER_BYTES: usize = 64;
const MAGIC: [u8; 8] = *b"IoTHubLg";
/// The checksum stands between the magic and this, and is over everything from here on.
const CHECKED_AT: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            shard: 1,
            shards: 2,
            generation: 7,
            salt: 0x0102_0304_0506_0708,
            first_commit: 99,
            previous_generation: 5,
            previous_end: 3 * BLOCK_BYTES,
            segment_bytes: 16 << 20,
            durable: 0x62,
        }
    }

    #[test]
    fn a_header_stands_as_the_document_says() {
        let bytes = header().encode();
        assert_eq!(bytes[..8], *b"IoTHubLg");
        assert_eq!(bytes[8..12], crc32c::crc32c(&bytes[12..]).to_le_bytes());
        assert_eq!(bytes[12..24], [1, 0, 0, 0, 1, 0, 2, 0, 7, 0, 0, 0]);
        assert_eq!(bytes[24..40], [8, 7, 6, 5, 4, 3, 2, 1, 99, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[40..52], [5, 0, 0, 0, 0, 0x30, 0, 0, 0, 0, 0, 1]);
        assert_eq!(bytes[52..], [0x62, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Head::read(&bytes), Head::Whole(header()));
    }

    #[test]
    fn a_header_with_any_other_bit_is_none() {
        let bytes = header().encode();
        for bit in 0..bytes.len() * 8 {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::read(&other), Head::Unknown, "bit {bit}");
        }
        for length in 1..bytes.len() {
            assert_eq!(Head::read(&bytes[..length]), Head::Unknown, "{length} bytes");
        }
        assert_eq!(Head::read(&[]), Head::Blank);
        assert_eq!(Head::read(&[0; 4096]), Head::Blank);
    }

    #[test]
    fn another_format_says_so() {
        let mut bytes = header().encode();
        bytes[12] = 2;
        let checksum = crc32c::crc32c(&bytes[12..]);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Head::read(&bytes), Head::Newer(2));
    }
}
