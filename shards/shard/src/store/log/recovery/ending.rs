//! Where the log ends, and whether what is not whole there was torn or came to harm.
//!
//! Each commit says up to which commit everything was on disk when it was written. A commit that is not whole was torn
//! if nothing says that it was on disk; else it is damage.

use super::{Doubtful, Known, Phase, Recovery, Strange, Torn, chain::Link};
use crate::store::log::{
    Refusal,
    commit::Commit,
    contents::{Contents, Survey},
    header::Header,
};

/// What is known of the end so far.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// Every commit up to this one was on disk.
    pub(super) durable: u64,
    pub(super) end: Option<End>,
    /// Whole commits in the segments that were looked at and still count.
    whole: u64,
    /// A commit of the newest segment that has one.
    newest: Option<u64>,
    /// A segment that is not there, and of which nothing says that it was on disk.
    lost: Option<u32>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) generation: u32,
    pub(super) offset: u32,
    /// The last commit of the log.
    pub(super) commit: Commit,
}

impl Recovery {
    pub(super) fn find_end(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let Phase::End { generation, bound } = self.phase else { unreachable!("the phase was looked at") };
        let known = self.known[&generation];
        let header = known.header;
        let contents = Contents::new(bytes, &header, bound);
        let survey = contents.survey(header.first_commit, bound, |_, _, _, _| {});
        self.judge(&known, bound, &survey)?;
        if bound.is_none() && survey.gaps.is_empty() && !known.is_cut() {
            self.look_behind(&known, &contents, survey.end);
        }

        let is_proven =
            |commit: &Commit| self.ending.durable + 1 >= header.first_commit || generation <= commit.tail;
        let found = self.ending.end.is_some_and(|end| is_proven(&end.commit));
        let older = if found || header.previous_generation == 0 { None } else { self.older(&known)? };
        self.phase = match older {
            Some((generation, bound)) => Phase::End { generation, bound },
            None => self.close()?,
        };
        Ok(())
    }

    /// What stands where the next commit of the newest segment would.
    fn look_behind(&mut self, known: &Known, contents: &Contents<'_>, end: usize) {
        let (file, offset, bytes) = (known.file, end as u32, contents.strange(end) as u32);
        let is_newest = self.report.torn.is_none_or(|torn| (torn.file, torn.offset) == (file, offset));
        if bytes > 0 && is_newest {
            // A header without a commit is torn only if nothing else stands there.
            self.report.torn = None;
            self.report.strange = Some(Strange { file, offset, bytes });
        }
    }

    /// Where to look for the end next.
    fn older(&mut self, known: &Known) -> Result<Option<(u32, Option<u32>)>, Refusal> {
        let Header { previous_generation, first_commit, .. } = known.header;
        let is_known = self.known.contains_key(&previous_generation);
        let durable = self.ending.durable;
        let was_begun = |doubtful: &Doubtful| {
            doubtful.first.generation == previous_generation && doubtful.first.number <= durable
        };
        if is_known || durable + 1 >= first_commit || self.doubtful.iter().any(was_begun) {
            return self.before(&known.header, 1);
        }
        // Without its header a segment is void, and everything behind it too.
        let void = self.report.torn.map_or(0, |torn| torn.commits) + std::mem::take(&mut self.ending.whole);
        self.report.torn =
            Some(Torn { file: known.file, offset: 0, bytes: 0, commits: void, is_cut: known.is_cut() });
        self.ending.end = None;
        self.ending.lost.get_or_insert(previous_generation);
        let older = self.known.range(..previous_generation).next_back();
        Ok(older.map(|(generation, _)| (*generation, None)))
    }

    /// The end was found. It is not in front of a commit that was on disk for certain.
    fn close(&mut self) -> Result<Phase, Refusal> {
        let last = self.ending.end.map_or(0, |end| end.commit.number);
        if last < self.ending.durable {
            let lost = self.ending.lost.unwrap_or(self.last_generation);
            if !self.tolerant {
                return Err(self.missing(lost));
            }
            if let Some(phase) = self.fragments() {
                return Ok(phase);
            }
            self.report.missing.push(lost);
        }
        self.chain()
    }

    /// Not one commit is whole, and no segment is missing: what there is of the newest one is looked into.
    fn fragments(&self) -> Option<Phase> {
        let is_all = self.ending.end.is_none() && self.ending.lost.is_none();
        let known = self.known.values().next_back().filter(|_| is_all)?;
        Some(Phase::Replay { chain: vec![Link { known: *known, bound: None }], next: 0 })
    }

    /// Takes what one segment says about the end, after all segments behind it.
    fn judge(&mut self, known: &Known, bound: Option<u32>, survey: &Survey) -> Result<(), Refusal> {
        let ending = &mut self.ending;
        ending.durable = ending.durable.max(survey.durable).max(known.header.durable);
        let Header { generation, first_commit, .. } = known.header;
        let is_blank = bound.is_none() && survey.commits == 0 && survey.gaps.is_empty();
        if is_blank && first_commit <= ending.durable {
            return self.damage(known.beginning_lost());
        }
        let torn = survey.gaps.iter().position(|gap| gap.number > ending.durable);
        let damaged = &survey.gaps[..torn.unwrap_or(survey.gaps.len())];
        if let Some(gap) = damaged.first().filter(|_| !self.tolerant) {
            return Err(known.damage(gap, ending.newest).into());
        }
        let void = self.report.torn.map_or(0, |torn| torn.commits);
        if let Some(torn) = torn {
            let gap = survey.gaps[torn];
            self.report.torn = Some(Torn {
                file: known.file,
                offset: gap.from as u32,
                bytes: (survey.end - gap.from) as u32,
                commits: survey.commits - gap.commits_before + ending.whole + void,
                is_cut: known.is_cut(),
            });
            ending.whole = gap.commits_before;
            ending.end = gap.before.map(|commit| End { generation, offset: gap.from as u32, commit });
        } else {
            let offset = survey.end as u32;
            if ending.end.is_none() {
                ending.end = survey.last.map(|commit| End { generation, offset, commit });
            }
            // A header is written together with a commit, and a file is as long as its header says.
            let short = survey.last.is_none() && survey.gaps.is_empty() || known.is_cut();
            if bound.is_none() && short && self.report.torn.is_none() {
                self.report.torn =
                    Some(Torn { file: known.file, offset, bytes: 0, commits: 0, is_cut: known.is_cut() });
            }
            ending.whole += survey.commits;
        }
        ending.newest = ending.newest.or(survey.last.map(|commit| commit.number));
        Ok(())
    }
}
