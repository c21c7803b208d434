//! Hands out the records of a log by whole groups, also where a group goes on in another commit or segment.

use super::{Position, commit::Commit, contents::Contents};
use crate::store::Record;

#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Copies of the records of a group whose end was not seen yet.
    pub(crate) pending: Vec<Copied>,
    /// What stood in front of the next commit, or record, is not known.
    pub(crate) cut: bool,
    /// Records of groups whose end or beginning was lost.
    pub(crate) dropped: u64,
    /// Records handed out.
    pub(crate) records: u64,
    /// Records of commits that are not whole.
    pub(crate) salvaged: u64,
}

#[derive(Debug)]
pub(crate) struct Copied {
    kind: u8,
    version: u8,
    more: bool,
    position: Position,
    body: Vec<u8>,
}

impl Groups {
    /// Takes a whole commit.
    pub(crate) fn commit(
        &mut self,
        contents: Contents<'_>,
        at: usize,
        commit: &Commit,
        each: &mut impl FnMut(Record<'_>),
    ) {
        let mut records = contents.records(at, commit);
        let cut = std::mem::take(&mut self.cut);
        if !commit.continues {
            // Abandoned by an earlier recovery, which said so.
            self.pending.clear();
        } else if cut {
            self.cut = true;
            while self.cut {
                let Some(record) = records.next() else { return };
                self.dropped += 1;
                self.cut = record.more;
            }
        } else if !self.pending.is_empty() && !self.go_on(&mut records, each) {
            return;
        }
        // A group whose beginning is in a segment that was retired goes on as if it began here.
        loop {
            let group = records.clone();
            let Some(record) = records.next() else { return };
            if !record.more {
                each(record);
                self.records += 1;
                continue;
            }
            let Some(rest) = records.position(|record| !record.more) else {
                self.pending.extend(group.map(Copied::of));
                return;
            };
            group.take(rest + 2).for_each(&mut *each);
            self.records += rest as u64 + 2;
        }
    }

    /// Takes what belongs to the group that an earlier commit began. False: it does not end in this commit.
    pub(crate) fn go_on<'a>(
        &mut self,
        records: &mut impl Iterator<Item = Record<'a>>,
        each: &mut impl FnMut(Record<'_>),
    ) -> bool {
        for record in records {
            self.pending.push(Copied::of(record));
            if !record.more {
                self.records += self.pending.len() as u64;
                self.pending.drain(..).for_each(|copied| each(copied.record()));
                return true;
            }
        }
        false
    }

    /// The log ends here, or a part of it is lost.
    pub(crate) fn end(&mut self) {
        self.dropped += self.pending.len() as u64;
        self.pending.clear();
        self.cut = true;
    }
}

impl Copied {
    fn of(record: Record<'_>) -> Copied {
        let Record { kind, version, more, position, body } = record;
        Copied { kind, version, more, position, body: body.to_vec() }
    }

    fn record(&self) -> Record<'_> {
        let Copied { kind, version, more, position, .. } = *self;
        Record { kind, version, more, position, body: &self.body }
    }
}
