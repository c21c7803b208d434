//! What can still be read of commits that are not whole: their records have checksums of their own.
//!
//! A group counts as a whole or not at all here, too: one that the damage may have cut is left out.

use super::{
    BLOCK_BYTES,
    commit::{COMMIT_BYTES, Commit, KIND_COMMIT, KIND_PADDING},
    contents::{Contents, Gap, whole_record},
    groups::Groups,
    header::seed,
};
use crate::store::record::{self, HEADER_BYTES, Header, KIND_SHARD_MIN, MORE, Record};

/// What stands at a place where a record should begin.
enum Fragment<'a> {
    Record(Record<'a>),
    /// The rest of a block, behind which a commit begins.
    Padding(usize),
    /// A record that is not whole, although its header seems to be: behind it is something that is.
    Harmed {
        bytes: usize,
        more: bool,
    },
    Nothing,
}

impl Groups {
    /// Takes what is left between the commit in front of the gap and the one behind it.
    pub(crate) fn salvage(&mut self, contents: &Contents<'_>, gap: &Gap, each: &mut impl FnMut(Record<'_>)) {
        let until = gap.until.min(contents.bytes.len());
        let mut at = gap.from;
        let mut is_commit_due = true;
        // A payload that is full of headers would have to be summed up from each of them.
        let mut budget = SUMMED_SHARE * until.saturating_sub(at);
        while at < until {
            if std::mem::take(&mut is_commit_due) {
                match contents.begun(at) {
                    Some(continues) => {
                        self.begin(continues);
                        at += COMMIT_BYTES;
                    }
                    None => self.end(),
                }
                continue;
            }
            match contents.fragment(at, until) {
                Fragment::Record(record) => {
                    at += record.bytes();
                    self.take(record, each);
                }
                Fragment::Padding(bytes) => {
                    at += bytes;
                    is_commit_due = true;
                }
                Fragment::Harmed { bytes, more } => {
                    at += bytes;
                    self.end();
                    self.cut = more;
                }
                Fragment::Nothing => {
                    self.end();
                    let claimed = contents.claimed(&contents.bytes[at..until]);
                    let Some(left) = budget.checked_sub(claimed.unwrap_or(0)) else { break };
                    budget = left;
                    at += 1;
                }
            }
        }
        if !is_commit_due {
            self.end();
        }
    }

    fn begin(&mut self, continues: bool) {
        self.cut &= continues;
        if !continues && !self.pending.is_empty() {
            self.end();
            self.cut = false;
        }
    }

    fn take(&mut self, record: Record<'_>, each: &mut impl FnMut(Record<'_>)) {
        if self.cut {
            self.cut = record.more;
            self.dropped += 1;
            return;
        }
        self.salvaged += 1;
        if record.more || !self.pending.is_empty() {
            self.go_on(&mut std::iter::once(record), each);
            return;
        }
        self.records += 1;
        each(record);
    }
}

impl<'a> Contents<'a> {
    /// Whether the commit goes on with a group, as far as its record can be read. `None`: it cannot.
    fn begun(&self, at: usize) -> Option<bool> {
        let rest = self.bytes.get(at..)?;
        if let Some(commit) = Commit::decode(rest) {
            let is_ours = commit.generation == self.generation && commit.salt == self.salt;
            return is_ours.then_some(commit.continues);
        }
        // Where only another part of it came to harm, the flags are right.
        let header = Header::decode(rest.first_chunk()?);
        let is_alike = header.kind == KIND_COMMIT
            && header.bytes == COMMIT_BYTES as u32
            && header.generation == self.generation
            && header.flags & !Commit::CONTINUES == 0;
        is_alike.then_some(header.flags & Commit::CONTINUES != 0)
    }

    fn fragment(&self, at: usize, until: usize) -> Fragment<'a> {
        let rest = &self.bytes[at..until];
        let block = BLOCK_BYTES as usize;
        let to_block = at.next_multiple_of(block) - at;
        if let Some(bytes) = self.whole(rest) {
            let header = Header::decode(rest.first_chunk().expect("a whole record has a header"));
            if header.kind == KIND_PADDING {
                return Fragment::Padding(bytes);
            }
            let position = super::Position { generation: self.generation, offset: at as u32 };
            return Fragment::Record(header.record(&rest[HEADER_BYTES..bytes], position));
        }
        // Too little is left of the block for the header of a padding.
        if (1..HEADER_BYTES).contains(&to_block) && rest.iter().take(to_block).all(|byte| *byte == 0) {
            return Fragment::Padding(to_block.min(rest.len()));
        }
        self.harmed(at, rest).unwrap_or(Fragment::Nothing)
    }

    /// The length of the record or padding that begins here, if it is whole.
    fn whole(&self, rest: &[u8]) -> Option<usize> {
        // A comparison first: this is asked of every byte behind a header that is lost.
        self.claimed(rest)?;
        whole_record(rest, rest.len(), self.generation, seed(self.salt)).ok()
    }

    /// The length that a record has which begins here, if its header may be one.
    fn claimed(&self, rest: &[u8]) -> Option<usize> {
        let header = Header::decode(rest.first_chunk()?);
        let bytes = header.bytes as usize;
        let is_known = header.kind == KIND_PADDING || header.kind >= KIND_SHARD_MIN;
        let is_likely = header.generation == self.generation && is_known;
        (is_likely && (HEADER_BYTES..=rest.len()).contains(&bytes)).then_some(bytes)
    }

    fn harmed(&self, at: usize, rest: &[u8]) -> Option<Fragment<'a>> {
        let bytes = self.claimed(rest)?;
        let header = Header::decode(rest.first_chunk()?);
        // What is filled with zeros from the kind or the version on says nothing of its group.
        let is_likely = header.kind != KIND_PADDING && header.version > 0 && header.flags & !MORE == 0;
        let behind = rest.get(bytes..).filter(|_| is_likely)?;
        let is_end = behind.is_empty() || (at + bytes).is_multiple_of(BLOCK_BYTES as usize);
        let is_right = is_end || self.whole(behind).is_some() || behind.len() < HEADER_BYTES;
        let more = header.flags & MORE != 0;
        // It may be that very flag that came to harm.
        is_right
            .then(|| Fragment::Harmed { bytes, more: more != self.is_whole_with_other_flag(&rest[..bytes]) })
    }

    fn is_whole_with_other_flag(&self, record: &[u8]) -> bool {
        let mut header: [u8; HEADER_BYTES] = *record.first_chunk().expect("a record has a header");
        let mut other = Header::decode(&header);
        other.flags ^= MORE;
        header = other.encode();
        let sum = record::checksum(&header, seed(self.salt));
        crc32c::crc32c_append(sum, &record[HEADER_BYTES..]) == other.checksum
    }
}

/// So many times what is looked through may be summed up.
const SUMMED_SHARE: usize = 64;
