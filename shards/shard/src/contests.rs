//! Client ids that several clients use: each takes the session from the other, again and again.
//!
//! What is counted is how often a connection that was alive lost its session. Whether two machines do it or two programs on one
//! machine makes no difference to those who want their messages.

use std::{collections::VecDeque, time::Duration};

use hashbrown::HashMap;

use crate::{
    Instant,
    hashing::{Table, hasher},
};

/// When it is too much, and what is done then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContestLimits {
    /// So many times within the window; 0 is never too much.
    pub takeovers: u32,
    pub window: Duration,
    pub policy: ContestPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContestPolicy {
    /// The log names both. Nothing else comes of it.
    Allow,
    /// Whoever comes next is refused for a while, each time for longer: the session stays with who has it.
    Refuse,
}

/// By client id, of which the hash is enough.
pub(crate) struct Contests {
    by_client_id: HashMap<u64, Contest, ahash::RandomState>,
    /// All of them, those that came first in front: the first to go where there is no room.
    order: VecDeque<u64>,
    hasher: ahash::RandomState,
}

#[derive(Clone, Copy)]
struct Contest {
    since: Instant,
    takeovers: u32,
    /// Nobody else comes in until then.
    held_until: Instant,
    /// How often it was too much.
    rounds: u32,
    /// The last of these.
    round_at: Option<Instant>,
    told: Told,
}

/// What the log has of a contest: who goes on does not fill it.
#[derive(Clone, Copy, Default)]
struct Told {
    at: Option<Instant>,
    times: u32,
    /// Takeovers since.
    untold: u32,
}

/// What a takeover is among others of the same session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Takeover {
    /// It was one too many.
    pub is_too_much: bool,
    /// How many there were since the log was told last, if it is to be told now.
    pub told: Option<u32>,
}

impl Contests {
    pub fn new(seed: u64) -> Contests {
        let hasher = || hasher(seed, Table::Contests);
        Contests { by_client_id: HashMap::with_hasher(hasher()), order: VecDeque::new(), hasher: hasher() }
    }

    /// A connection that was alive has lost its session.
    pub fn on_takeover(&mut self, client_id: &str, limits: &ContestLimits, now: Instant) -> Takeover {
        if limits.takeovers == 0 {
            return Takeover::default();
        }
        let key = self.hasher.hash_one(client_id);
        if !self.by_client_id.contains_key(&key) {
            self.make_room(now);
            self.order.push_back(key);
        }
        let contest = self.by_client_id.entry(key).or_insert(Contest::new(now));
        if contest.is_over(limits, now) {
            *contest = Contest::new(now);
        }
        contest.add(limits, now)
    }

    /// The one that came first goes. One that somebody is held to stays, unless there are many such: whoever floods the table with
    /// other client ids does not end what is decided of this one.
    fn make_room(&mut self, now: Instant) {
        let mut looks = 0;
        while self.order.len() >= CONTESTS_MAX {
            let Some(first) = self.order.pop_front() else { return };
            looks += 1;
            let is_held = self.by_client_id.get(&first).is_some_and(|contest| contest.held_until > now);
            if is_held && looks <= LOOKS_MAX {
                self.order.push_back(first);
            } else {
                self.by_client_id.remove(&first);
            }
        }
    }

    /// Whoever has the session keeps it for now.
    pub fn is_held(&self, client_id: &str, limits: &ContestLimits, now: Instant) -> bool {
        limits.policy == ContestPolicy::Refuse
            && !self.by_client_id.is_empty()
            && self.by_client_id.get(&self.hasher.hash_one(client_id)).is_some_and(|it| it.held_until > now)
    }
}

impl Contest {
    fn new(now: Instant) -> Contest {
        Contest {
            since: now,
            takeovers: 0,
            held_until: now,
            rounds: 0,
            round_at: None,
            told: Told::default(),
        }
    }

    fn add(&mut self, limits: &ContestLimits, now: Instant) -> Takeover {
        let goes_on = self.round_at.is_some_and(|at| now.since(at) <= limits.window);
        if now.since(self.since) > limits.window {
            (self.since, self.takeovers) = (now, 0);
        }
        if !goes_on && self.takeovers == 0 {
            self.told.untold = 0;
        }
        self.takeovers += 1;
        self.told.untold = self.told.untold.saturating_add(1);
        if self.takeovers < limits.takeovers {
            return Takeover::default();
        }
        if limits.policy == ContestPolicy::Refuse {
            self.held_until = now + doubled(HELD_FIRST, self.rounds, HELD_MAX);
        }
        self.rounds += 1;
        self.round_at = Some(now);
        // One refusal for each window's worth.
        (self.since, self.takeovers) = (now, 0);
        Takeover { is_too_much: true, told: self.told.tell(now) }
    }

    /// Nothing has happened for so long that it counts for nothing.
    fn is_over(&self, limits: &ContestLimits, now: Instant) -> bool {
        now.since(self.since.max(self.held_until)) > limits.window.max(HELD_MAX)
    }
}

impl Told {
    /// How many there were since, if it is time again.
    fn tell(&mut self, now: Instant) -> Option<u32> {
        if self.at.is_some_and(|at| now.since(at) < doubled(TOLD_FIRST, self.times - 1, TOLD_MAX)) {
            return None;
        }
        self.at = Some(now);
        self.times += 1;
        Some(std::mem::take(&mut self.untold))
    }
}

/// Twice as long each further time.
fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(1 << times.min(10)).min(most)
}

impl Default for ContestLimits {
    fn default() -> ContestLimits {
        ContestLimits { takeovers: 5, window: Duration::from_secs(60), policy: ContestPolicy::Allow }
    }
}

/// How long a session stays with who has it, at first.
const HELD_FIRST: Duration = Duration::from_secs(10);
const HELD_MAX: Duration = Duration::from_secs(600);

/// How long the log says nothing more of a contest that goes on, at first.
const TOLD_FIRST: Duration = Duration::from_secs(60);
const TOLD_MAX: Duration = Duration::from_secs(3600);

/// Client ids that are remembered, for each shard.
const CONTESTS_MAX: usize = 1 << 14;

/// For the one that goes.
const LOOKS_MAX: u32 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::START.add_secs(1000 + seconds)
    }

    /// Whether it was one too many.
    fn takes(contests: &mut Contests, client_id: &str, limits: &ContestLimits, now: Instant) -> bool {
        contests.on_takeover(client_id, limits, now).is_too_much
    }

    #[test]
    fn a_few_takeovers_or_slow_ones_are_no_contest() {
        let limits = ContestLimits::default();
        let mut contests = Contests::new(1);
        for n in 0..100 {
            assert!(!takes(&mut contests, "c", &limits, at(n * 16)), "{n}");
        }
        for n in 0..4 {
            assert!(!takes(&mut contests, "d", &limits, at(n)));
        }
        assert!(!takes(&mut contests, "e", &limits, at(4)));
        assert!(takes(&mut contests, "d", &limits, at(5)));
        assert!(!contests.is_held("d", &limits, at(5)));
    }

    #[test]
    fn it_is_held_for_longer_each_time_and_forgotten_after_peace() {
        let limits =
            ContestLimits { takeovers: 2, policy: ContestPolicy::Refuse, ..ContestLimits::default() };
        let mut contests = Contests::new(1);
        let mut now = 0;
        for held_s in [10, 20, 40, 80, 160, 320, 600, 600] {
            assert!(!takes(&mut contests, "c", &limits, at(now)));
            assert!(takes(&mut contests, "c", &limits, at(now + 1)));
            assert!(contests.is_held("c", &limits, at(now + held_s)), "{held_s}");
            assert!(!contests.is_held("c", &limits, at(now + held_s + 1)), "{held_s}");
            assert!(!contests.is_held("d", &limits, at(now + 1)));
            now += held_s + 2;
        }
        now += 700;
        assert!(!takes(&mut contests, "c", &limits, at(now)));
        assert!(takes(&mut contests, "c", &limits, at(now)));
        assert!(!contests.is_held("c", &limits, at(now + 10)));
    }

    #[test]
    fn no_limit_is_none_and_the_table_is_bounded() {
        let mut contests = Contests::new(1);
        let never = ContestLimits { takeovers: 0, ..ContestLimits::default() };
        assert!((0..100).all(|_| contests.on_takeover("c", &never, at(0)) == Takeover::default()));
        for n in 0..3 * CONTESTS_MAX {
            contests.on_takeover(&n.to_string(), &ContestLimits::default(), at(0));
            assert!(contests.by_client_id.len() <= CONTESTS_MAX);
            assert_eq!(contests.by_client_id.len(), contests.order.len());
        }
    }

    #[test]
    fn a_full_table_loses_one_at_a_time_and_none_that_is_decided() {
        let limits =
            ContestLimits { takeovers: 2, policy: ContestPolicy::Refuse, ..ContestLimits::default() };
        let mut contests = Contests::new(1);
        for id in ["a", "b"] {
            contests.on_takeover(id, &limits, at(0));
            assert!(takes(&mut contests, id, &limits, at(0)));
        }
        contests.on_takeover("begun", &limits, at(0));
        for n in 0..CONTESTS_MAX - 3 {
            contests.on_takeover(&n.to_string(), &limits, at(0));
        }
        contests.on_takeover("one more", &limits, at(1));
        assert_eq!(contests.by_client_id.len(), CONTESTS_MAX);
        assert!(!takes(&mut contests, "begun", &limits, at(1)), "the first that may go has gone");
        assert!(takes(&mut contests, "7", &limits, at(1)), "the others have not");
        for n in 0..3 * CONTESTS_MAX {
            contests.on_takeover(&format!("flood {n}"), &limits, at(2));
        }
        assert!(contests.is_held("a", &limits, at(3)) && contests.is_held("b", &limits, at(3)));
        // Where all are held, one of them goes all the same.
        for n in 0..4 * CONTESTS_MAX {
            contests.on_takeover(&format!("all {}", n / 2), &limits, at(4));
            assert!(contests.by_client_id.len() <= CONTESTS_MAX);
        }
    }

    #[test]
    fn a_contest_that_goes_on_is_told_ever_more_rarely_with_all_takeovers_since() {
        let limits = ContestLimits::default();
        let mut contests = Contests::new(1);
        let mut told = Vec::new();
        for second in 0..4 * 3600 {
            let takeover = contests.on_takeover("c", &limits, at(second));
            told.extend(takeover.told.map(|takeovers| (second, takeovers)));
        }
        let at: Vec<u64> = told.iter().map(|(second, _)| *second).collect();
        assert_eq!(at, [4, 64, 184, 424, 904, 1864, 3784, 7384, 10_984]);
        assert!(
            told.iter().zip([5, 60, 120, 240, 480, 960]).all(|((_, count), expected)| *count == expected)
        );
    }

    #[test]
    fn what_came_before_a_contest_was_over_is_not_counted_in_the_next() {
        let limits = ContestLimits::default();
        let mut contests = Contests::new(1);
        assert_eq!((0..20).filter(|n| takes(&mut contests, "c", &limits, at(*n))).count(), 4);
        for n in 0..4 {
            assert_eq!(contests.on_takeover("c", &limits, at(10_000 + n)), Takeover::default());
        }
        let begins = contests.on_takeover("c", &limits, at(10_004));
        assert_eq!(begins, Takeover { is_too_much: true, told: Some(5) });
    }
}
