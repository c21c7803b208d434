//! Lines of the log about those who never become clients: as many come as anybody likes to send, and the log is no place for them all.

use std::time::Duration;

use shard::{Instant, Note, What};

/// What is left to say, of those who are refused and of those who break the protocol.
#[derive(Debug, Default)]
pub(crate) struct Strangers {
    refused: Allowance,
    violations: Allowance,
}

/// What becomes of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is written, and so many like it were left out before.
    Write {
        left_out: u64,
    },
    LeaveOut,
}

#[derive(Debug)]
struct Allowance {
    lines: u32,
    /// When the last line was added.
    filled_at: Instant,
    left_out: u64,
}

impl Strangers {
    /// What is said of clients is always written.
    pub fn judge(&mut self, note: &Note, now: Instant) -> Verdict {
        match note.what {
            _ if note.client_id.is_some() => Verdict::Write { left_out: 0 },
            What::Refused { .. } => self.refused.judge(now),
            What::Violation { .. } => self.violations.judge(now),
            // Who never came in does not leave.
            What::Disconnected { .. } => Verdict::LeaveOut,
            _ => Verdict::Write { left_out: 0 },
        }
    }
}

impl Allowance {
    fn judge(&mut self, now: Instant) -> Verdict {
        let periods = now.since(self.filled_at).as_nanos() / PERIOD.as_nanos();
        if periods > 0 {
            let more = u32::try_from(periods).unwrap_or(u32::MAX);
            self.lines = self.lines.saturating_add(more).min(LINES_MAX);
            self.filled_at = now;
        }
        if self.lines == 0 {
            self.left_out += 1;
            return Verdict::LeaveOut;
        }
        self.lines -= 1;
        Verdict::Write { left_out: std::mem::take(&mut self.left_out) }
    }
}

impl Default for Allowance {
    fn default() -> Allowance {
        Allowance { lines: LINES_MAX, filled_at: Instant::START, left_out: 0 }
    }
}

/// Enough for the few who have a wrong password at the same time.
const LINES_MAX: u32 = 16;

/// Brings one more line.
const PERIOD: Duration = Duration::from_secs(1);

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

    #[test]
    fn a_flood_is_some_lines_at_once_and_then_one_a_second_with_the_number_of_the_others() {
        let began = Instant::START.add_secs(1000);
        let mut strangers = Strangers::default();
        let mut written = |now| {
            let verdicts = (0..1000).map(|_| strangers.judge(&of_nobody(violation()), now));
            verdicts.filter(|verdict| *verdict != Verdict::LeaveOut).collect::<Vec<_>>()
        };
        assert_eq!(written(began).len(), LINES_MAX as usize);
        assert_eq!(written(began + Duration::from_millis(999)), []);
        let left_out = 2000 - u64::from(LINES_MAX);
        assert_eq!(written(began.add_secs(1)), [Verdict::Write { left_out }]);
        assert_eq!(written(began.add_secs(100_000)).len(), LINES_MAX as usize);
    }

    #[test]
    fn refusals_and_violations_do_not_silence_each_other_nor_clients() {
        let mut strangers = Strangers::default();
        while strangers.judge(&of_nobody(violation()), Instant::START) != Verdict::LeaveOut {}
        let what = What::Refused { reason: ReasonCode::NotAuthorized, why: "nobody".into(), claim: None };
        let write = Verdict::Write { left_out: 0 };
        assert_eq!(strangers.judge(&of_nobody(what), Instant::START), write);
        let of_client = Note { client_id: Some("c".into()), ..of_nobody(violation()) };
        assert_eq!(strangers.judge(&of_client, Instant::START), write);
    }

    #[test]
    fn who_never_came_in_does_not_leave() {
        let what = What::Disconnected { reason: ReasonCode::UnspecifiedError, why: "gone".into() };
        assert_eq!(Strangers::default().judge(&of_nobody(what), Instant::START), Verdict::LeaveOut);
    }
}
