//! Reading messages back one by one: what stands close together comes with one read. Which bytes to read is said here, and
//! what they hold; nothing is read.

use std::collections::VecDeque;

use super::{
    Fetch, FileId, Log,
    log::Position,
    record::{HEADER_BYTES, Header, Record},
};

/// What is wanted and not read yet.
#[derive(Debug, Default)]
pub struct Fetching {
    wanted: VecDeque<Want>,
}

#[derive(Debug, Clone, Copy)]
struct Want {
    fetch: Fetch,
    /// Of the record with its header, as far as that is known.
    bytes: u32,
}

/// Bytes to read, and what for.
#[derive(Debug)]
pub struct Reading {
    pub file: FileId,
    pub offset: u32,
    pub bytes: u32,
    wants: Vec<Want>,
}

impl Fetching {
    pub fn ask(&mut self, fetch: Fetch) {
        self.wanted.push_back(Want { fetch, bytes: fetch.bytes.saturating_add(AROUND_BYTES) });
    }

    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The next read. Nothing has to be read for what stands in the log no more: that goes to `gone`.
    pub fn next(&mut self, log: &Log, gone: &mut Vec<Fetch>) -> Option<Reading> {
        while let Some(first) = self.wanted.pop_front() {
            let Position { generation, offset } = first.fetch.position;
            let Some((file, left)) = log.locate(first.fetch.position) else {
                gone.push(first.fetch);
                continue;
            };
            let mut end = offset.saturating_add(first.bytes);
            let mut wants = vec![first];
            while let Some(next) = self.wanted.front().filter(|next| {
                let position = next.fetch.position;
                position.generation == generation
                    && (offset..=end.saturating_add(GAP_BYTES_MAX)).contains(&position.offset)
                    && position.offset - offset < READ_BYTES_MAX
            }) {
                end = end.max(next.fetch.position.offset.saturating_add(next.bytes));
                wants.extend(self.wanted.pop_front());
            }
            return Some(Reading { file, offset, bytes: (end - offset).min(left), wants });
        }
        None
    }

    /// Takes what was read, as much of it as there is. Each message comes with its record, or with none if it stands
    /// elsewhere by now; for one that was longer than expected another read is wanted. An error names the place of a record
    /// that is not what was written: for what it was, nothing comes either.
    pub fn take(
        &mut self,
        log: &Log,
        reading: Reading,
        bytes: &[u8],
        mut each: impl FnMut(Fetch, Option<Record<'_>>),
    ) -> Result<(), Position> {
        let mut damaged = None;
        for want in reading.wants {
            let position = want.fetch.position;
            let Some((_, left)) = log.locate(position) else {
                each(want.fetch, None);
                continue;
            };
            let rest = bytes.get((position.offset - reading.offset) as usize..).unwrap_or_default();
            match (log.record(position, rest), length(rest)) {
                (Some(record), _) => each(want.fetch, Some(record)),
                (None, length) if rest.len() < length as usize && length <= left && want.bytes < length => {
                    self.wanted.push_front(Want { bytes: length, ..want });
                }
                (None, _) => {
                    each(want.fetch, None);
                    damaged.get_or_insert(position);
                }
            }
        }
        damaged.map_or(Ok(()), Err)
    }
}

impl Reading {
    /// What it was for, where nothing could be read.
    pub fn give_up(self) -> impl Iterator<Item = Fetch> {
        self.wants.into_iter().map(|want| want.fetch)
    }
}

/// Of the record that begins here, at least.
fn length(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(HEADER_BYTES as u32, |header| Header::decode(header).bytes)
}

/// What a record has beside the message itself, if it is for one or a few.
const AROUND_BYTES: u32 = 128;

/// To read so much that is not wanted costs less than a second read.
const GAP_BYTES_MAX: u32 = 4 << 10;

/// Messages that begin further apart come with several reads.
const READ_BYTES_MAX: u32 = 64 << 10;
