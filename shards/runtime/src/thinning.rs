//! Lines about what anybody may cause as often as he likes: of each address and cause so many at once, then one in a while, and a count of
//! what was left out. A bounded table, whose owner says what a cause is and what becomes of a line.

use std::{
    collections::{HashMap, hash_map},
    fmt,
    hash::Hash,
    net::IpAddr,
    time::Duration,
};

use shard::Instant;
use transport::Prefix;

/// How many lines of one address and cause there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePace {
    pub at_once: u32,
    /// Brings one more.
    pub every: Duration,
}

/// Of whom lines are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The addresses of one customer.
    Network(Prefix),
    /// Who comes by a socket in the file system.
    Local,
    /// All those for whom the table has no room.
    Crowd,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Tell,
    LeaveOut {
        /// So long until another is told, once it is told how many were left out.
        wait: Duration,
    },
}

/// So many lines were left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut<C> {
    pub source: Source,
    pub cause: C,
    pub count: u64,
    /// Of the last of them.
    pub why: String,
}

#[derive(Debug)]
pub struct Thinning<C> {
    pace: LinePace,
    sources_max: usize,
    entries: HashMap<(Source, C), Entry>,
    /// When it was last looked through for what was left out, and for those who mean nothing any more.
    counted_at: Instant,
    swept_at: Instant,
    /// Something was left out and is not told yet.
    has_left_out: bool,
}

#[derive(Debug)]
struct Entry {
    /// When all that was told would have been told at just the pace.
    due_at: Instant,
    /// When it was last told how many were left out, or it began.
    counted_at: Instant,
    left_out: u64,
    /// Of the last that was left out.
    why: String,
}

impl<C: Clone + Eq + Hash> Thinning<C> {
    pub fn new(pace: LinePace, sources_max: usize) -> Thinning<C> {
        let (counted_at, swept_at) = (Instant::START, Instant::START);
        Thinning { pace, sources_max, entries: HashMap::new(), counted_at, swept_at, has_left_out: false }
    }

    /// Counts one line, and says whether it is told.
    pub fn judge(&mut self, address: Option<IpAddr>, cause: C, why: &str, now: Instant) -> Verdict {
        let source = address.map_or(Source::Local, |ip| Source::Network(Prefix::that_counts(ip)));
        let mut key = (source, cause);
        if !self.entries.contains_key(&key) && !self.has_room(now) {
            key.0 = Source::Crowd;
        }
        let entry = match self.entries.entry(key) {
            hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hash_map::Entry::Vacant(place) => place.insert(Entry::begun(now)),
        };
        let verdict = entry.judge(self.pace, why, now);
        self.has_left_out |= verdict != Verdict::Tell;
        verdict
    }

    /// What was left out and is to be told now: of each once a second, or of everybody. It counts as a line, and until then there is no
    /// other.
    pub fn left_out(&mut self, now: Instant, all: bool) -> Vec<LeftOut<C>> {
        (self.counted_at, self.swept_at) = (now, now);
        let pace = self.pace;
        let mut left_out = Vec::new();
        self.entries.retain(|(source, cause), entry| {
            if entry.left_out > 0 && (all || now.since(entry.counted_at) >= PERIOD) {
                let (count, why) = entry.count(pace, now);
                left_out.push(LeftOut { source: *source, cause: cause.clone(), count, why });
            }
            entry.left_out > 0 || entry.due_at > now
        });
        self.has_left_out = self.entries.values().any(|entry| entry.left_out > 0);
        left_out
    }

    /// When somebody has to ask what was left out, even if nothing more comes. None: nothing was.
    pub fn next_look(&self) -> Option<Instant> {
        self.has_left_out.then(|| self.counted_at + PERIOD)
    }

    /// As `left_out`, for who asks before or after each line: it looks once a second at most.
    pub fn left_out_lately(&mut self, now: Instant) -> Vec<LeftOut<C>> {
        if now.since(self.counted_at) < PERIOD { Vec::new() } else { self.left_out(now, false) }
    }

    /// There is nothing to be told later.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A full table is looked through once a second at most, for those who mean nothing any more.
    fn has_room(&mut self, now: Instant) -> bool {
        if self.entries.len() >= self.sources_max && now.since(self.swept_at) >= PERIOD {
            self.swept_at = now;
            self.entries.retain(|_, entry| entry.left_out > 0 || entry.due_at > now);
        }
        self.entries.len() < self.sources_max
    }
}

impl Entry {
    fn begun(now: Instant) -> Entry {
        Entry { due_at: now, counted_at: now, left_out: 0, why: String::new() }
    }

    fn judge(&mut self, pace: LinePace, why: &str, now: Instant) -> Verdict {
        let wait = (self.due_at.max(now) + pace.every).since(now + pace.every * pace.at_once);
        if wait.is_zero() && self.left_out == 0 {
            self.tell(pace, now);
            return Verdict::Tell;
        }
        self.left_out += 1;
        self.why.clear();
        self.why.push_str(why);
        Verdict::LeaveOut { wait: wait.max(PERIOD.saturating_sub(now.since(self.counted_at))) }
    }

    fn tell(&mut self, pace: LinePace, now: Instant) {
        self.due_at = (self.due_at.max(now) + pace.every).min(now + pace.every * pace.at_once);
    }

    fn count(&mut self, pace: LinePace, now: Instant) -> (u64, String) {
        self.tell(pace, now);
        self.counted_at = now;
        (std::mem::take(&mut self.left_out), std::mem::take(&mut self.why))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Network(network) => network.fmt(f),
            Source::Local => f.write_str("a socket in the file system"),
            Source::Crowd => f.write_str("many addresses"),
        }
    }
}

/// Between two counts of the same.
const PERIOD: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES_MAX: usize = 64;

    fn of(at_once: u32, every_ms: u64) -> Thinning<&'static str> {
        Thinning::new(LinePace { at_once, every: Duration::from_millis(every_ms) }, SOURCES_MAX)
    }

    fn ip(last: u16) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, (last >> 8) as u8, last as u8]))
    }

    fn at(ms: u64) -> Instant {
        Instant::START.add_secs(1000) + Duration::from_millis(ms)
    }

    fn count(source: Source, cause: &'static str, why: &str, count: u64) -> LeftOut<&'static str> {
        LeftOut { source, cause, count, why: why.to_owned() }
    }

    fn network(text: &str) -> Source {
        Source::Network(text.parse().expect("a network"))
    }

    fn is_told(verdict: Verdict) -> bool {
        verdict == Verdict::Tell
    }

    #[test]
    fn an_address_has_its_lines_and_then_a_count_with_the_last_reason() {
        let mut lines = of(1, 1000);
        let one = network("192.0.0.1");
        assert_eq!(lines.judge(ip(1), "tls", "a", at(0)), Verdict::Tell);
        assert!(is_told(lines.judge(ip(2), "tls", "a", at(500))), "another address");
        assert!((0..100).all(|_| !is_told(lines.judge(ip(1), "tls", "a", at(900)))));
        let wait = Duration::from_millis(50);
        assert_eq!(lines.judge(ip(1), "tls", "b", at(950)), Verdict::LeaveOut { wait });
        assert_eq!(lines.left_out(at(999), false), []);
        assert_eq!(lines.left_out(at(1000), false), [count(one, "tls", "b", 101)]);
        assert!(!is_told(lines.judge(ip(1), "tls", "c", at(1500))), "the count was its line");
        assert!(is_told(lines.judge(ip(1), "ban", "d", at(1500))), "another cause");
        assert_eq!(lines.left_out(at(2000), false), [count(one, "tls", "c", 1)]);
        assert_eq!(lines.left_out(at(3000), false), []);
        assert!(lines.is_empty() && is_told(lines.judge(ip(1), "tls", "a", at(3000))));
    }

    #[test]
    fn so_many_are_told_at_once_and_then_one_in_a_while_with_the_number_of_the_others() {
        let mut lines = of(16, 500);
        let told = |lines: &mut Thinning<_>, ms| {
            (0..1000).filter(|_| is_told(lines.judge(ip(1), "", "", at(ms)))).count()
        };
        assert_eq!(told(&mut lines, 0), 16);
        assert_eq!(told(&mut lines, 900), 0, "it is not told yet that some were left out");
        let one = network("192.0.0.1");
        assert_eq!(lines.left_out_lately(at(1000)), [count(one, "", "", 2000 - 16)]);
        assert_eq!(told(&mut lines, 1000), 1, "two came with the time, and one was the count");
        assert_eq!(lines.left_out_lately(at(100_000)).len(), 1);
        assert_eq!(told(&mut lines, 200_000), 16, "who was quiet begins anew");
    }

    #[test]
    fn counts_take_lines_but_do_not_put_them_off_for_ever() {
        let mut lines = of(2, 30_000);
        for second in 0..100 {
            lines.judge(ip(1), "", "", at(second * 1000));
            lines.judge(ip(1), "", "", at(second * 1000));
            lines.left_out(at(second * 1000), false);
        }
        assert!(!is_told(lines.judge(ip(1), "", "", at(100_000))));
        lines.left_out(at(100_000), true);
        assert!(is_told(lines.judge(ip(1), "", "", at(130_000))));
    }

    #[test]
    fn a_crowd_of_addresses_has_lines_together_and_its_own_for_each_cause() {
        let mut lines = of(1, 1000);
        let told = (0..1000).filter(|last| is_told(lines.judge(ip(*last), "tls", "a", at(0)))).count();
        assert_eq!(told, SOURCES_MAX + 1);
        assert!(
            is_told(lines.judge(ip(1), "ban", "a", at(0))) && !is_told(lines.judge(ip(2), "ban", "b", at(0)))
        );
        let mut counts = lines.left_out(at(1000), false);
        counts.sort_by_key(|left_out| left_out.cause);
        let others = 1000 - SOURCES_MAX as u64 - 1;
        assert_eq!(counts, [count(Source::Crowd, "ban", "b", 1), count(Source::Crowd, "tls", "a", others)]);
        assert!(is_told(lines.judge(ip(2000), "tls", "a", at(1000))), "those who are quiet make room");
        assert!(lines.entries.len() <= SOURCES_MAX + 2);
    }

    #[test]
    fn a_full_table_makes_room_for_others_by_itself() {
        let mut lines = of(1, 1000);
        assert!((0..=SOURCES_MAX as u16).all(|last| is_told(lines.judge(ip(last), "", "", at(0)))));
        assert!(!is_told(lines.judge(ip(500), "", "", at(0))), "one of a crowd");
        assert!(is_told(lines.judge(ip(500), "", "", at(1000))));
        assert!(lines.entries.contains_key(&(network("192.0.1.244"), "")), "with a place of its own");
    }

    #[test]
    fn addresses_of_one_customer_are_one() {
        let mut lines = of(1, 1000);
        let parsed = |text: &str| Some(text.parse().expect("an address"));
        assert!(is_told(lines.judge(parsed("2001:db8::1"), "", "", at(0))));
        assert!(!is_told(lines.judge(parsed("2001:db8::2"), "", "", at(0))));
        assert!(is_told(lines.judge(parsed("2001:db8:0:1::1"), "", "", at(0))));
        assert!(is_told(lines.judge(parsed("192.0.2.1"), "", "", at(0))));
        assert!(!is_told(lines.judge(parsed("::ffff:192.0.2.1"), "", "", at(0))));
        assert!(is_told(lines.judge(None, "", "", at(0))) && !is_told(lines.judge(None, "", "", at(0))));
        let shown: Vec<String> =
            lines.left_out(at(0), true).iter().map(|left_out| left_out.source.to_string()).collect();
        for source in ["2001:db8::/64", "192.0.2.1", "a socket in the file system"] {
            assert!(shown.iter().any(|shown| shown == source), "{source}: {shown:?}");
        }
    }

    #[test]
    fn what_was_left_out_is_told_two_seconds_later_even_if_nothing_more_comes() {
        let mut lines = of(1, 5000);
        assert_eq!(lines.next_look(), None);
        lines.judge(ip(1), "", "", at(0));
        assert_eq!(lines.next_look(), None, "it was told");
        lines.judge(ip(1), "", "", at(0));
        let (mut told, mut now) = (0, at(0));
        while let Some(look) = lines.next_look() {
            now = now.max(look);
            told += lines.left_out_lately(now).len();
        }
        assert!(told == 1 && now <= at(2000), "{told} at {now:?}");
    }

    #[test]
    fn who_looks_with_each_line_looks_once_a_second() {
        let mut lines = of(1, 5000);
        lines.judge(ip(1), "", "", at(0));
        lines.judge(ip(1), "", "", at(0));
        assert_eq!(lines.left_out_lately(at(500)), []);
        assert_eq!(lines.left_out_lately(at(1400)), []);
        assert_eq!(lines.left_out_lately(at(1500)).len(), 1);
    }
}
