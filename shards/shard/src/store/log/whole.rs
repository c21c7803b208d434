//! How much of a segment is whole, from its beginning: for whoever copies it while it may still grow.

use super::{
    contents::Contents,
    header::{Head, Header},
};

/// What a file holds up to the first commit that is not whole, or not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    pub generation: u32,
    /// The segment before it in the log; 0: there is none.
    pub previous_generation: u32,
    /// Where the last whole commit ends.
    pub end: u32,
    /// Its number, and the oldest generation that it counts on; `None`: there is no whole commit.
    pub last: Option<(u64, u32)>,
    /// There are commits behind one that is not whole: it is damaged, or torn, or was being written while this was read.
    pub is_followed: bool,
}

impl Whole {
    /// `None`: the file has no header of a segment.
    pub fn of(bytes: &[u8]) -> Option<Whole> {
        let Head::Whole(header) = Head::read(bytes) else { return None };
        let Header { generation, previous_generation, first_commit, .. } = header;
        let survey = Contents::new(bytes, &header, None).survey(first_commit, None, |_, _, _, _| {});
        let gap = survey.gaps.first();
        let end = gap.map_or(survey.end, |gap| gap.from) as u32;
        let last = gap.map_or(survey.last, |gap| gap.before);
        let last = last.map(|commit| (commit.number, commit.tail));
        let is_followed = gap.is_some_and(|gap| gap.behind.is_some());
        Some(Whole { generation, previous_generation, end, last, is_followed })
    }
}
