//! Lines of the log about those who never become clients, and about connections that end for a quota: as many come as anybody likes to send,
//! and the log is no place for them all.

use std::{net::IpAddr, time::Duration};

use shard::{Instant, Note, What};

use crate::journal::QUOTA_EXCEEDED;
use crate::thinning::{LeftOut, LinePace, Thinning, Verdict};

/// What is left to say, of those who are refused, of those who break the protocol, and of quotas: none of them takes room from others.
#[derive(Debug)]
pub(crate) struct Strangers {
    refused: Thinning<()>,
    violations: Thinning<()>,
    /// Of clients as well, of which everybody may bring many who all begin a packet.
    quotas: Thinning<()>,
}

impl Strangers {
    pub fn new() -> Strangers {
        let lines = || Thinning::new(PACE, SOURCES_MAX);
        Strangers { refused: lines(), violations: lines(), quotas: lines() }
    }

    /// What else is said of clients is always written.
    pub fn judge(&mut self, note: &Note, address: Option<IpAddr>, now: Instant) -> Verdict {
        match note.what {
            What::QuotaExceeded { .. } => self.quotas.judge(address, (), "", now),
            _ if note.client_id.is_some() => Verdict::Tell,
            What::Refused { .. } => self.refused.judge(address, (), "", now),
            What::Violation { .. } => self.violations.judge(address, (), "", now),
            // Who never came in does not leave.
            What::Disconnected { .. } => Verdict::LeaveOut { wait: Duration::MAX },
            _ => Verdict::Tell,
        }
    }

    /// When what was left out has to be told, even if nobody else comes.
    pub fn next_deadline(&self) -> Option<Instant> {
        let looks = [&self.refused, &self.violations, &self.quotas].map(Thinning::next_look);
        looks.into_iter().flatten().min()
    }

    /// What was left out and is to be told now, once a second at most.
    pub fn left_out(&mut self, now: Instant) -> impl Iterator<Item = (&'static str, LeftOut<()>)> {
        let of = |what, thinning: &mut Thinning<()>| {
            thinning.left_out_lately(now).into_iter().map(move |left_out| (what, left_out))
        };
        of("refused", &mut self.refused)
            .chain(of("protocol violation", &mut self.violations))
            .chain(of(QUOTA_EXCEEDED, &mut self.quotas))
    }
}

/// Enough for the few who have a wrong password at the same time.
const PACE: LinePace = LinePace { at_once: 16, every: Duration::from_secs(1) };

/// Addresses with lines of their own at a time.
const SOURCES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use shard::ReasonCode;

    use super::*;

    fn violation() -> What {
        What::Violation { reason: ReasonCode::MalformedPacket, what: "this is TLS" }
    }

    fn of_nobody(what: What) -> Note {
        Note { conn: None, client_id: None, user: None, what }
    }

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_flood_is_some_lines_at_once_and_then_one_a_second_with_the_number_of_the_others() {
        let began = Instant::START.add_secs(1000);
        let mut strangers = Strangers::new();
        let written = |strangers: &mut Strangers, now| {
            let verdicts = (0..1000).map(|_| strangers.judge(&of_nobody(violation()), ip(1), now));
            verdicts.filter(|verdict| *verdict == Verdict::Tell).count()
        };
        assert_eq!(written(&mut strangers, began), PACE.at_once as usize);
        assert_eq!(written(&mut strangers, began + Duration::from_millis(999)), 0);
        let left_out: Vec<_> = strangers.left_out(began.add_secs(2)).collect();
        assert_eq!(left_out.len(), 1);
        assert_eq!(
            (left_out[0].0, left_out[0].1.count),
            ("protocol violation", 2000 - u64::from(PACE.at_once))
        );
        assert_eq!(written(&mut strangers, began.add_secs(2)), 1, "of two seconds one was the count's");
        assert_eq!(strangers.left_out(began.add_secs(100_000)).count(), 1);
        assert_eq!(written(&mut strangers, began.add_secs(200_000)), PACE.at_once as usize);
    }

    #[test]
    fn who_floods_does_not_silence_another_address() {
        let mut strangers = Strangers::new();
        let now = Instant::START.add_secs(1000);
        let mut count = |last, now| {
            let verdicts = (0..100).map(|_| strangers.judge(&of_nobody(violation()), ip(last), now));
            verdicts.filter(|verdict| *verdict == Verdict::Tell).count()
        };
        assert_eq!((count(1, now), count(2, now)), (16, 16));
        let told: Vec<_> = strangers.left_out(now.add_secs(1)).collect();
        assert!(told.len() == 2 && told.iter().all(|(_, left_out)| left_out.count == 84), "{told:?}");
    }

    #[test]
    fn refusals_and_violations_do_not_silence_each_other_nor_clients() {
        let mut strangers = Strangers::new();
        let now = Instant::START;
        let write = Verdict::Tell;
        while strangers.judge(&of_nobody(violation()), ip(1), now) == write {}
        let what = What::Refused { reason: ReasonCode::NotAuthorized, why: "nobody".into(), claim: None };
        assert_eq!(strangers.judge(&of_nobody(what), ip(1), now), write);
        let of_client = Note { client_id: Some("c".into()), ..of_nobody(violation()) };
        assert_eq!(strangers.judge(&of_client, ip(1), now), write);
    }

    #[test]
    fn clients_that_end_for_a_quota_are_some_lines_and_a_number_and_silence_nobody() {
        let mut strangers = Strangers::new();
        let now = Instant::START.add_secs(1000);
        let of_client =
            || Note { client_id: Some("c".into()), ..of_nobody(What::QuotaExceeded { why: "no room" }) };
        let verdicts = (0..300).map(|_| strangers.judge(&of_client(), ip(1), now));
        assert_eq!(verdicts.filter(|verdict| *verdict == Verdict::Tell).count(), PACE.at_once as usize);
        assert_eq!(strangers.judge(&of_nobody(violation()), ip(1), now), Verdict::Tell);
        let left_out: Vec<_> = strangers.left_out(now.add_secs(1)).collect();
        assert_eq!(left_out.len(), 1);
        assert_eq!((left_out[0].0, left_out[0].1.count), (QUOTA_EXCEEDED, 300 - u64::from(PACE.at_once)));
    }

    #[test]
    fn who_never_came_in_does_not_leave() {
        let what = What::Disconnected { reason: ReasonCode::UnspecifiedError, why: "gone".into() };
        let verdict = Strangers::new().judge(&of_nobody(what), None, Instant::START);
        assert!(matches!(verdict, Verdict::LeaveOut { .. }));
    }
}
