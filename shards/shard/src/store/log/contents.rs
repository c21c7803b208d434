//! What was read of one segment: its commits and records, checked, and where it is not as it should be.

use super::{
    BLOCK_BYTES, Fault, Position,
    commit::{COMMIT_BYTES, Commit, KIND_PADDING},
    header::{Header as SegmentHeader, seed},
};
use crate::store::record::{self, HEADER_BYTES, Header, Record};

/// The bytes of a segment from its beginning up to where its commits may end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contents<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) generation: u32,
    pub(crate) salt: u64,
}

/// What stands where a whole commit should.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gap {
    /// Where the commit should begin, and where the next commit record stands, or the end of what can be told.
    pub(crate) from: usize,
    pub(crate) until: usize,
    /// The exact place and kind of the fault.
    pub(crate) at: usize,
    pub(crate) fault: Fault,
    /// The number that the commit should have.
    pub(crate) number: u64,
    /// The number of the next commit record in this segment.
    pub(crate) behind: Option<u64>,
    /// The last whole commit in front of the gap, and how many there are.
    pub(crate) before: Option<Commit>,
    pub(crate) commits_before: u64,
}

/// All that one walk over a segment finds.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) gaps: Vec<Gap>,
    pub(crate) commits: u64,
    /// The last whole commit, and where the commits end.
    pub(crate) last: Option<Commit>,
    pub(crate) end: usize,
    /// Commits up to this number were on disk: some commit here says so.
    pub(crate) durable: u64,
}

impl<'a> Contents<'a> {
    /// `bound` is where the segment's commits end, if that is known.
    pub(crate) fn new(bytes: &'a [u8], header: &SegmentHeader, bound: Option<u32>) -> Contents<'a> {
        let bytes = bound.map_or(bytes, |bound| &bytes[..bytes.len().min(bound as usize)]);
        Contents { bytes, generation: header.generation, salt: header.salt }
    }

    /// Walks over all commits. `number` is that of the first. Without a `bound` the log may end anywhere. Each whole commit
    /// is brought to `each`, with the gaps between it and the one before.
    pub(crate) fn survey(
        &self,
        number: u64,
        bound: Option<u32>,
        mut each: impl FnMut(Contents<'a>, usize, &Commit, &[Gap]),
    ) -> Survey {
        let mut survey = Survey { end: BLOCK_BYTES as usize, ..Survey::default() };
        let mut number = number;
        let mut told = 0;
        let bound = bound.map(|bound| bound as usize);
        while bound.map_or(survey.end < self.bytes.len(), |bound| survey.end < bound) {
            match self.commit(survey.end, number) {
                Ok(commit) => {
                    each(*self, survey.end, &commit, &survey.gaps[told..]);
                    told = survey.gaps.len();
                    survey.commits += 1;
                    survey.durable = survey.durable.max(commit.durable);
                    survey.end += commit.bytes as usize;
                    survey.last = Some(commit);
                    number += 1;
                }
                Err((at, fault)) => {
                    let Some(gap) = self.gap(&mut survey, number, bound, at, fault) else { break };
                    survey.end = gap.until;
                    survey.gaps.push(gap);
                    let Some(behind) = gap.behind else { break };
                    number = behind;
                }
            }
        }
        survey
    }

    /// `None`: nothing was ever written here; the log ends.
    fn gap(
        &self,
        survey: &mut Survey,
        number: u64,
        bound: Option<usize>,
        at: usize,
        fault: Fault,
    ) -> Option<Gap> {
        let from = survey.end;
        let begun = self.commit_record(from);
        if let Some(begun) = begun {
            survey.durable = survey.durable.max(begun.durable);
        }
        let next = self.next_commit_record(from, number);
        let rest = self.bytes.get(from..).unwrap_or_default();
        if next.is_none() && bound.is_none() && !Commit::has_trace(rest, self.generation, self.salt) {
            return None;
        }
        let claimed = begun.map_or(BLOCK_BYTES, |commit| commit.bytes) as usize;
        let until = match (next, bound) {
            (Some((until, _)), _) => until,
            (None, Some(bound)) => bound,
            (None, None) => self.bytes.len().min(from + claimed),
        };
        Some(Gap {
            from,
            until,
            at,
            fault,
            number,
            behind: next.map(|(_, commit)| commit.number),
            before: survey.last,
            commits_before: survey.commits,
        })
    }

    /// The commit that begins at `at`, if it and all its records are whole; else where they are not.
    fn commit(&self, at: usize, number: u64) -> Result<Commit, (usize, Fault)> {
        let commit = self.commit_record(at).ok_or((at, Fault::Commit))?;
        if commit.number != number {
            return Err((at, Fault::Order));
        }
        let end = at + commit.bytes as usize;
        let bytes = self.bytes.get(..end).ok_or((self.bytes.len(), Fault::End))?;
        let (mut at, seed) = (at + COMMIT_BYTES, seed(self.salt));
        while let Some(record) = bytes.get(at..).filter(|rest| rest.len() >= HEADER_BYTES) {
            at += whole_record(record, record.len(), self.generation, seed).map_err(|fault| (at, fault))?;
        }
        Ok(commit)
    }

    /// A commit record of this segment, whatever its records are.
    fn commit_record(&self, at: usize) -> Option<Commit> {
        let commit = Commit::decode(self.bytes.get(at..)?)?;
        (commit.generation == self.generation && commit.salt == self.salt).then_some(commit)
    }

    /// The next one at `from` or behind it with a higher number. A payload may hold copies of earlier commit records,
    /// but none of a later one.
    fn next_commit_record(&self, from: usize, above: u64) -> Option<(usize, Commit)> {
        let blocks = (from..self.bytes.len()).step_by(BLOCK_BYTES as usize);
        let mut commits = blocks.filter_map(|at| Some((at, self.commit_record(at)?)));
        commits.find(|(_, commit)| commit.number > above)
    }

    /// The records of a commit that is known to be whole.
    pub(crate) fn records(
        &self,
        at: usize,
        commit: &Commit,
    ) -> impl Iterator<Item = Record<'a>> + Clone + use<'a> {
        let (bytes, generation) = (&self.bytes[..at + commit.bytes as usize], self.generation);
        let mut at = at + COMMIT_BYTES;
        std::iter::from_fn(move || {
            let header = Header::decode(bytes.get(at..)?.first_chunk()?);
            if header.kind == KIND_PADDING {
                return None;
            }
            let position = Position { generation, offset: at as u32 };
            let end = at + header.bytes as usize;
            let body = &bytes[at + HEADER_BYTES..end];
            at = end;
            Some(header.record(body, position))
        })
    }

    /// Commit records of any commit of this segment, one for each block that has one.
    pub(crate) fn commit_records(&self) -> impl Iterator<Item = Commit> {
        let blocks = (BLOCK_BYTES as usize..self.bytes.len()).step_by(BLOCK_BYTES as usize);
        blocks.filter_map(|at| self.commit_record(at))
    }
}

/// The length of the record or padding at the beginning of these bytes, if it is whole. No more than `left` bytes are
/// left for it.
pub(crate) fn whole_record(bytes: &[u8], left: usize, generation: u32, seed: u32) -> Result<usize, Fault> {
    let header = Header::decode(bytes.first_chunk().ok_or(Fault::End)?);
    let length = header.bytes as usize;
    let checked = if header.kind == KIND_PADDING { HEADER_BYTES } else { length };
    let record = bytes.get(..checked).filter(|_| (HEADER_BYTES..=left).contains(&length));
    let record = record.ok_or(Fault::Record)?;
    if header.generation != generation || record::checksum(record, seed) != header.checksum {
        return Err(Fault::Record);
    }
    Ok(length)
}
