//! How often everybody connects: when all connections of somebody would have come at just his rate.

use std::collections::HashMap;

use super::{ENTRIES_MAX, MINUTE};

/// Nobody is ahead of his rate by more than a minute: what nobody has touched for so long means nothing. So those who came in this
/// minute stand in one table and those of the last in another, which goes as a whole.
#[derive(Default)]
pub struct Knocks {
    recent_due_ns: HashMap<u64, u64>,
    older_due_ns: HashMap<u64, u64>,
    /// When those that are recent now become those of before.
    turns_at_ns: u64,
}

impl Knocks {
    /// Whether one more may come: a minute's worth at once, and then at the rate. None: there is no room for him.
    pub fn take(&mut self, whose: u64, per_minute: u64, now_ns: u64) -> Option<bool> {
        self.turn(now_ns);
        let has_room = self.recent_due_ns.len() < ENTRIES_MAX || self.recent_due_ns.contains_key(&whose);
        has_room.then(|| self.count(whose, per_minute, now_ns))
    }

    /// For one who has to find room.
    pub fn take_always(&mut self, whose: u64, per_minute: u64, now_ns: u64) -> bool {
        self.turn(now_ns);
        self.count(whose, per_minute, now_ns)
    }

    fn turn(&mut self, now_ns: u64) {
        if now_ns < self.turns_at_ns {
            return;
        }
        let is_long_ago = now_ns - self.turns_at_ns >= MINUTE_NS;
        self.older_due_ns = std::mem::take(&mut self.recent_due_ns);
        if is_long_ago {
            self.older_due_ns = HashMap::new();
        }
        self.turns_at_ns = now_ns + MINUTE_NS;
    }

    fn count(&mut self, whose: u64, per_minute: u64, now_ns: u64) -> bool {
        let older_due_ns = self.older_due_ns.get(&whose).copied().unwrap_or(0);
        let due_ns = self.recent_due_ns.entry(whose).or_insert(older_due_ns);
        let next_ns = now_ns.max(*due_ns) + (MINUTE_NS / per_minute).max(1);
        let comes = next_ns <= now_ns + MINUTE_NS;
        if comes {
            *due_ns = next_ns;
        }
        comes
    }
}

const MINUTE_NS: u64 = MINUTE.as_nanos() as u64;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_one_after_the_other() {
        // Wherever in its minute the table is.
        for begin_ns in (0..130).map(|second| 1000 * MINUTE_NS + second * SECOND_NS) {
            let mut knocks = Knocks::default();
            knocks.turn(1000 * MINUTE_NS);
            let mut coming = |after_s| {
                let now_ns = begin_ns + after_s * SECOND_NS;
                (0..100).filter(|_| knocks.take(1, 6, now_ns) == Some(true)).count()
            };
            assert_eq!([0, 4, 10, 30, 65, 499].map(&mut coming), [6, 0, 1, 2, 3, 6]);
        }
    }

    #[test]
    fn the_table_is_bounded_and_what_is_over_is_forgotten_without_a_look_at_it() {
        let mut knocks = Knocks::default();
        let most = ENTRIES_MAX as u64;
        for whose in 0..2 * most {
            let comes = knocks.take(whose, 2, SECOND_NS);
            assert_eq!(comes, (whose < most).then_some(true));
        }
        assert_eq!(knocks.take(7, 2, SECOND_NS), Some(true), "who is known goes on");
        assert_eq!(knocks.take(7, 2, SECOND_NS), Some(false));
        assert_eq!([(); 3].map(|()| knocks.take_always(u64::MAX, 2, SECOND_NS)), [true, true, false]);
        assert_eq!(knocks.take(most, 2, 62 * SECOND_NS), Some(true), "a minute later there is room");
        assert_eq!(knocks.older_due_ns.len(), ENTRIES_MAX + 1);
        assert_eq!(knocks.take(most, 2, 123 * SECOND_NS), Some(true));
        assert_eq!((knocks.older_due_ns.len(), knocks.recent_due_ns.len()), (1, 1));
        knocks.turn(1000 * SECOND_NS);
        assert_eq!((knocks.older_due_ns.len(), knocks.recent_due_ns.len()), (0, 0));
    }
}
