//! The framing of records: a header of 16 bytes in front of a body that the log does not look into.
//!
//! A *batch* is a run of records in one `Vec<u8>`. Their checksums and generations are zero until the log places the
//! batch and seals them where they stand.

use crate::store::log::Position;

/// One record as it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub kind: u8,
    pub version: u8,
    /// The group goes on with the next record: only a whole group counts.
    pub more: bool,
    /// Where the record stands in the log.
    pub position: Position,
    pub body: &'a [u8],
}

impl Record<'_> {
    /// With its header.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }
}

/// Begins a record at the end of the batch; the caller appends the body and calls `finish` with what this returns.
pub fn begin(batch: &mut Vec<u8>, kind: u8, version: u8) -> usize {
    assert!(kind >= KIND_SHARD_MIN, "kinds below {KIND_SHARD_MIN} belong to the log");
    let at = batch.len();
    batch.extend_from_slice(&Header { kind, version, ..Header::default() }.encode());
    at
}

/// Ends the record that begins at `at`. With `more` the next record of the batch belongs to the same group.
pub fn finish(batch: &mut [u8], at: usize, more: bool) {
    let bytes = u32::try_from(batch.len() - at).expect("a record is shorter than a segment");
    let flags = if more { MORE } else { 0 };
    batch[at + LENGTH_AT..at + LENGTH_AT + 4].copy_from_slice(&bytes.to_le_bytes());
    batch[at + FLAGS_AT..at + FLAGS_AT + 2].copy_from_slice(&flags.to_le_bytes());
}

/// Appends a whole record.
pub fn push(batch: &mut Vec<u8>, kind: u8, version: u8, body: &[u8], more: bool) {
    let at = begin(batch, kind, version);
    batch.extend_from_slice(body);
    finish(batch, at, more);
}

/// The records of a batch that was not placed yet; their positions are their offsets in the batch, in generation 0.
pub fn records(batch: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let header = Header::decode(batch.get(at..)?.first_chunk()?);
        let end = at + header.bytes as usize;
        let position = Position { generation: header.generation, offset: at as u32 };
        let record = header.record(&batch[at + HEADER_BYTES..end], position);
        at = end;
        Some(record)
    })
}

/// What stands in front of each body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) checksum: u32,
    /// Of the whole record, this header included.
    pub(crate) bytes: u32,
    pub(crate) generation: u32,
    pub(crate) kind: u8,
    pub(crate) version: u8,
    pub(crate) flags: u16,
}

impl Header {
    pub(crate) fn decode(bytes: &[u8; HEADER_BYTES]) -> Header {
        let [a, b, c, d, e, f, g, h, i, j, k, l, kind, version, m, n] = *bytes;
        Header {
            checksum: u32::from_le_bytes([a, b, c, d]),
            bytes: u32::from_le_bytes([e, f, g, h]),
            generation: u32::from_le_bytes([i, j, k, l]),
            kind,
            version,
            flags: u16::from_le_bytes([m, n]),
        }
    }

    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.checksum.to_le_bytes());
        bytes[LENGTH_AT..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[GENERATION_AT..12].copy_from_slice(&self.generation.to_le_bytes());
        bytes[KIND_AT] = self.kind;
        bytes[KIND_AT + 1] = self.version;
        bytes[FLAGS_AT..16].copy_from_slice(&self.flags.to_le_bytes());
        bytes
    }

    pub(crate) fn record<'a>(&self, body: &'a [u8], position: Position) -> Record<'a> {
        let Header { kind, version, .. } = *self;
        Record { kind, version, more: self.flags & MORE != 0, position, body }
    }
}

/// The length of the record that begins here, from its header alone.
pub(crate) fn length(bytes: &[u8]) -> usize {
    let header = bytes.first_chunk().expect("a batch ends with a whole record");
    Header::decode(header).bytes as usize
}

pub(crate) fn kind(record: &[u8]) -> u8 {
    record[KIND_AT]
}

pub(crate) fn flags(record: &[u8]) -> u16 {
    u16::from_le_bytes([record[FLAGS_AT], record[FLAGS_AT + 1]])
}

/// Fills in the generation and the checksum of exactly one record.
pub(crate) fn seal(record: &mut [u8], generation: u32, seed: u32) {
    record[GENERATION_AT..GENERATION_AT + 4].copy_from_slice(&generation.to_le_bytes());
    let checksum = checksum(record, seed);
    record[..LENGTH_AT].copy_from_slice(&checksum.to_le_bytes());
}

/// CRC-32C of everything behind the checksum itself. The seed makes records of other segments fail.
pub(crate) fn checksum(record: &[u8], seed: u32) -> u32 {
    crc32c::crc32c_append(seed, &record[LENGTH_AT..])
}

pub const HEADER_BYTES: usize = 16;
/// Smaller kinds belong to the log.
pub const KIND_SHARD_MIN: u8 = 16;
/// The group goes on with the next record.
pub(crate) const MORE: u16 = 1;

const LENGTH_AT: usize = 4;
const GENERATION_AT: usize = 8;
const KIND_AT: usize = 12;
const FLAGS_AT: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_its_records() {
        let mut batch = Vec::new();
        push(&mut batch, 16, 1, b"one", true);
        push(&mut batch, 255, 2, b"", false);
        let found: Vec<Record<'_>> = records(&batch).collect();
        let position = |offset| Position { generation: 0, offset };
        let first = Record { kind: 16, version: 1, more: true, position: position(0), body: b"one" };
        let second = Record { kind: 255, version: 2, more: false, position: position(19), body: b"" };
        assert_eq!(found, [first, second]);
        assert_eq!(found.iter().map(Record::bytes).sum::<usize>(), batch.len());
    }

    #[test]
    fn a_header_stands_as_the_document_says() {
        let mut batch = Vec::new();
        push(&mut batch, 17, 3, b"ab", true);
        assert_eq!(batch, [0, 0, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0, 17, 3, 1, 0, b'a', b'b']);
        seal(&mut batch, 0x0102_0304, 7);
        assert_eq!(batch[8..12], [4, 3, 2, 1]);
        assert_eq!(batch[..4], crc32c::crc32c_append(7, &batch[4..]).to_le_bytes());
        assert_eq!(Header::decode(batch.first_chunk().expect("a header")).encode(), batch[..16]);
    }

    #[test]
    #[should_panic(expected = "belong to the log")]
    fn kinds_of_the_log_are_not_for_the_shard() {
        begin(&mut Vec::new(), 15, 1);
    }
}
