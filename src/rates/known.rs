//! Who has words of rates that several connections share.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use runtime::Words;

use super::{ENTRIES_MAX, MINUTE};

/// Words stay as long as some connection has them, and for a minute: who leaves and comes back has used what he has used.
#[derive(Default)]
pub struct Known {
    by_whose: HashMap<u64, Entry>,
    /// With how many of them those that nobody needs are looked for.
    sweep_at: usize,
    /// No earlier than then, however many there are.
    sweep_after: Option<Instant>,
}

struct Entry {
    words: Arc<Words>,
    seen: Instant,
}

impl Known {
    /// None: there is no room for them.
    pub fn get(&mut self, whose: u64, now: Instant) -> Option<Arc<Words>> {
        self.sweep(now);
        let has_room = self.by_whose.len() < ENTRIES_MAX || self.by_whose.contains_key(&whose);
        has_room.then(|| self.get_always(whose, now))
    }

    /// For one who has to find room.
    pub fn get_always(&mut self, whose: u64, now: Instant) -> Arc<Words> {
        let fresh = || Entry { words: Arc::default(), seen: now };
        let entry = self.by_whose.entry(whose).or_insert_with(fresh);
        entry.seen = now;
        Arc::clone(&entry.words)
    }

    fn sweep(&mut self, now: Instant) {
        let is_due = self.sweep_after.is_none_or(|after| now >= after);
        if self.by_whose.len() < self.sweep_at.max(ENTRIES_MIN) || !is_due {
            return;
        }
        let is_needed = |entry: &Entry| Arc::strong_count(&entry.words) > 1 || now - entry.seen < MINUTE;
        self.by_whose.retain(|_, entry| is_needed(entry));
        self.sweep_at = (self.by_whose.len() * 2).min(ENTRIES_MAX);
        self.sweep_after = Some(now + SWEEP_PERIOD);
    }
}

/// Fewer are not worth a look.
const ENTRIES_MIN: usize = 256;

const SWEEP_PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_table_is_looked_through_once_a_second_and_keeps_what_somebody_has() {
        let began = Instant::now();
        let later = |seconds| began + Duration::from_secs(seconds);
        let mut known = Known::default();
        let held = known.get(0, began).expect("there is room");
        for whose in 1..ENTRIES_MAX as u64 {
            assert!(known.get(whose, began).is_some());
        }
        assert!(known.get(u64::MAX, later(58)).is_none(), "all of them have been here lately");
        assert!(known.get(u64::MAX, later(58)).is_none());
        let crowd = known.get_always(u64::MAX, later(58));
        assert!(known.get(1, later(58)).is_some(), "who is known goes on");
        // The last look was two seconds ago.
        assert!(known.get(u64::MAX - 1, later(60)).is_some());
        assert_eq!(known.by_whose.len(), 4, "the held one, the crowd, who was here just now, and who came");
        assert!(Arc::ptr_eq(&held, &known.get(0, later(60)).expect("it is there")));
        drop(crowd);
    }

    #[test]
    fn a_full_table_of_which_nothing_can_go_is_not_looked_through_each_time() {
        let began = Instant::now();
        let mut known = Known::default();
        let held: Vec<_> = (0..ENTRIES_MAX as u64).map(|whose| known.get(whose, began)).collect();
        let at = began + 2 * MINUTE;
        assert!(known.get(u64::MAX, at).is_none());
        assert_eq!(known.sweep_after, Some(at + SWEEP_PERIOD));
        drop(held);
        assert!(known.get(u64::MAX, at).is_none(), "there is another look in a second");
        assert!(known.get(u64::MAX, at + SWEEP_PERIOD).is_some());
    }
}
