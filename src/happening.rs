//! What happens to clients and to the broker, in the words that the audit log and the streams of events have in common. Each of the two
//! tells some of it.

use shard::{Note, What};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Happening {
    Connected,
    Refused,
    Denied,
    WouldBeDenied,
    Violation,
    QuotaExceeded,
    TakenOver,
    Disconnected,
    SessionExpired,
    Dropped,
    Administration,
}

/// A set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happenings(u16);

impl Happening {
    pub const ALL: [Happening; 11] = [
        Happening::Connected,
        Happening::Refused,
        Happening::Denied,
        Happening::WouldBeDenied,
        Happening::Violation,
        Happening::QuotaExceeded,
        Happening::TakenOver,
        Happening::Disconnected,
        Happening::SessionExpired,
        Happening::Dropped,
        Happening::Administration,
    ];

    /// Of which the audit log may have lines.
    pub const AUDITED: [Happening; 9] = Happening::all_but([Happening::SessionExpired, Happening::Dropped]);

    /// Which streams of events tell.
    pub const STREAMED: [Happening; 10] = Happening::all_but([Happening::Administration]);

    /// As lines, events and the configuration write it.
    pub fn word(self) -> &'static str {
        match self {
            Happening::Connected => "connected",
            Happening::Refused => "refused",
            Happening::Denied => "denied",
            Happening::WouldBeDenied => "would_be_denied",
            Happening::Violation => "violation",
            Happening::QuotaExceeded => "quota_exceeded",
            Happening::TakenOver => "taken_over",
            Happening::Disconnected => "disconnected",
            Happening::SessionExpired => "session_expired",
            Happening::Dropped => "dropped",
            Happening::Administration => "administration",
        }
    }

    const fn all_but<const LEFT_OUT: usize, const LEN: usize>(
        left_out: [Happening; LEFT_OUT],
    ) -> [Happening; LEN] {
        let left_out = Happenings::of(&left_out);
        let mut members = [Happening::Connected; LEN];
        let (mut at, mut len) = (0, 0);
        while at < Happening::ALL.len() {
            if !left_out.has(Happening::ALL[at]) {
                members[len] = Happening::ALL[at];
                len += 1;
            }
            at += 1;
        }
        assert!(len == LEN, "as many are left as the list has room for");
        members
    }

    /// None: it is not about a client, or is told to others. Who never came in does not leave.
    pub fn of(note: &Note) -> Option<Happening> {
        match &note.what {
            What::Connected { .. } => Some(Happening::Connected),
            What::Refused { .. } => Some(Happening::Refused),
            What::Denied(denial) if denial.is_shadow => Some(Happening::WouldBeDenied),
            What::Denied(_) => Some(Happening::Denied),
            What::Violation { .. } => Some(Happening::Violation),
            What::QuotaExceeded { .. } => Some(Happening::QuotaExceeded),
            What::TakenOver => Some(Happening::TakenOver),
            What::Disconnected { .. } => note.client_id.is_some().then_some(Happening::Disconnected),
            What::SessionExpired => Some(Happening::SessionExpired),
            _ => None,
        }
    }
}

impl Happenings {
    pub const fn of(members: &[Happening]) -> Happenings {
        let (mut set, mut at) = (0, 0);
        while at < members.len() {
            set |= 1 << members[at] as u16;
            at += 1;
        }
        Happenings(set)
    }

    /// Those of these words, of the ones that are known there.
    pub fn read<'a>(
        words: impl IntoIterator<Item = &'a str>,
        known: &[Happening],
    ) -> Result<Happenings, String> {
        let member = |word: &str| {
            known.iter().copied().find(|happening| happening.word() == word).ok_or_else(|| {
                let known: Vec<&str> = known.iter().map(|happening| happening.word()).collect();
                format!("`{word}` is no event: there are {}", known.join(", "))
            })
        };
        let members: Vec<Happening> = words.into_iter().map(member).collect::<Result<_, _>>()?;
        Ok(Happenings::of(&members))
    }

    pub const fn has(self, happening: Happening) -> bool {
        self.0 & 1 << happening as u16 != 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use shard::ReasonCode;

    use super::*;

    #[test]
    fn each_has_a_number_and_a_word_of_its_own_and_is_told_somewhere() {
        let told = [&Happening::AUDITED[..], &Happening::STREAMED].concat();
        for (number, happening) in Happening::ALL.into_iter().enumerate() {
            assert!(happening as usize == number && told.contains(&happening), "{happening:?}");
        }
        let words: BTreeSet<&str> = Happening::ALL.into_iter().map(Happening::word).collect();
        assert_eq!(words.len(), Happening::ALL.len());
    }

    #[test]
    fn words_are_read_as_they_are_written_and_others_refused() {
        for known in [&Happening::AUDITED[..], &Happening::STREAMED] {
            for happening in Happening::ALL {
                let read = Happenings::read([happening.word()], known);
                let expected = known.contains(&happening).then(|| Happenings::of(&[happening]));
                assert_eq!(read.ok(), expected, "{happening:?}");
            }
        }
        let two =
            Happenings::read(["denied", "administration"], &Happening::AUDITED).expect("both are there");
        assert_eq!(two, Happenings::of(&[Happening::Denied, Happening::Administration]));
        assert!(two.has(Happening::Denied) && !two.has(Happening::Connected));
        let error = Happenings::read(["denied", "dennied"], &Happening::AUDITED).expect_err("no such");
        assert!(error.contains("`dennied` is no event") && error.contains("would_be_denied"), "{error}");
    }

    #[test]
    fn who_never_came_in_does_not_leave() {
        let what = What::Disconnected { reason: ReasonCode::UnspecifiedError, why: "gone".into() };
        let mut note = Note { conn: None, client_id: None, user: None, what };
        assert_eq!(Happening::of(&note), None);
        note.client_id = Some("c".into());
        assert_eq!(Happening::of(&note), Some(Happening::Disconnected));
    }
}
