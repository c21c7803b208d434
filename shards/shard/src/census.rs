//! Counts what is kept here, retained messages and subscriptions, by the first levels of its topics: in pieces, each a bounded amount of
//! work. Whoever asks adds them up; where nobody asks nothing is counted.

use crate::{Shard, filters::inner, keys::SessionKey, losses::prefix};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Retained,
    Subscriptions,
}

/// Where a count has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// The slot of the session whose filters are counted. Of retained messages it says nothing.
    pub session: u32,
    /// The topic or filter that was counted last. Empty: none of it yet.
    pub name: Box<str>,
}

/// A part of a count. A prefix may stand in it several times.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeptPart {
    pub counts: Vec<(Box<str>, u64)>,
    /// None: this is the last one.
    pub next: Option<Reached>,
}

impl KeptPart {
    fn add(&mut self, prefix: &str) {
        match self.counts.last_mut() {
            Some((last, count)) if **last == *prefix => *count += 1,
            _ => self.counts.push((prefix.into(), 1)),
        }
    }
}

impl Shard {
    pub(crate) fn count_kept(&self, kept: Kept, from: Option<&Reached>) -> KeptPart {
        match kept {
            Kept::Retained => self.count_retained(from),
            Kept::Subscriptions => self.count_subscriptions(from),
        }
    }

    /// What the server says of itself is left out.
    fn count_retained(&self, from: Option<&Reached>) -> KeptPart {
        let mut piece = KeptPart::default();
        for (at, topic) in self.retained.topics(from.map(|from| &*from.name)).enumerate() {
            if !topic.starts_with("$SYS/") {
                piece.add(prefix(topic));
            }
            if at + 1 == WORK_MAX {
                piece.next = Some(Reached { session: 0, name: topic.into() });
                break;
            }
        }
        piece
    }

    /// Those of shared subscriptions by the filter within.
    fn count_subscriptions(&self, from: Option<&Reached>) -> KeptPart {
        let (mut piece, mut work) = (KeptPart::default(), 0);
        let (first, mut behind) = from.map_or((0, ""), |from| (from.session, &*from.name));
        for slot in first..self.sessions.slots() {
            let session = self.sessions.get(SessionKey(slot));
            for filter in session.into_iter().flat_map(|session| session.filters.behind(behind)) {
                piece.add(prefix(inner(filter)));
                work += 1;
                if work >= WORK_MAX {
                    piece.next = Some(Reached { session: slot, name: filter.into() });
                    return piece;
                }
            }
            behind = "";
            work += 1;
            if work >= WORK_MAX {
                piece.next = Some(Reached { session: slot + 1, name: "".into() });
                return piece;
            }
        }
        piece
    }
}

/// Topics, filters and sessions that one piece looks at.
const WORK_MAX: usize = 4096;
