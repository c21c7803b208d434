//! Which prefixes of topics are used, and beneath which the number of different topics grows: a sketch of fixed size.
//!
//! Beside the first two levels stand sums: of all topics, and of those that begin with one first level. Where each topic begins with a
//! level of its own they alone tell that there are more and more.
//!
//! Of all topics one in `SAMPLED` is looked at, chosen by its hash, so that a topic is always looked at or never: what is counted is
//! topics and not messages. A prefix that finds no place takes that of the one with the fewest sightings, and begins with as many:
//! whoever is seen often enough cannot be kept out by many that are seen once.

use std::time::Duration;

use crate::{IS_WATCHED, Instant, losses::prefix};

/// The prefixes of one shard.
#[derive(Default)]
pub(crate) struct Prefixes {
    /// Of all topics, as `#` matches them; one entry at most.
    all: Table<1>,
    /// Of those with one first level.
    firsts: Table<FIRSTS_MAX>,
    seconds: Table<PREFIXES_MAX>,
}

#[derive(Default)]
struct Table<const MOST: usize>(Vec<Entry>);

struct Entry {
    prefix: Box<str>,
    hash: u64,
    sightings: u64,
    beneath: Beneath,
    /// As it was at `earlier_at`.
    earlier: Beneath,
    earlier_at: Instant,
}

/// What there is beneath a prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Beneath {
    pub topics: Distinct,
    /// The levels that follow the prefix, of the topics that are looked at.
    pub levels: Distinct,
}

/// What a shard knows of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixSeen {
    /// `#` is all topics, and `a/#` those that begin with the level `a`.
    pub prefix: Box<str>,
    pub now: Beneath,
    /// The same some time ago.
    pub earlier: Beneath,
    pub earlier_ago: Duration,
}

impl Beneath {
    /// What is in one of them.
    #[must_use]
    pub fn union(self, other: Beneath) -> Beneath {
        Beneath { topics: self.topics.union(other.topics), levels: self.levels.union(other.levels) }
    }
}

/// How many different topics there are, about: the fewer, the less is known of them. Two of them are the same topics only once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distinct([u8; REGISTERS]);

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct([0; REGISTERS])
    }
}

impl Distinct {
    fn add(&mut self, hash: u64) {
        let at = (hash % REGISTERS as u64) as usize;
        let rank = (hash >> REGISTERS.trailing_zeros()).trailing_zeros().min(MOST_RANK) as u8 + 1;
        self.0[at] = self.0[at].max(rank);
    }

    /// Those that are in one of them.
    #[must_use]
    pub fn union(mut self, other: Distinct) -> Distinct {
        self.0.iter_mut().zip(other.0).for_each(|(held, other)| *held = (*held).max(other));
        self
    }

    /// Of those that one topic in some was looked at for.
    pub fn estimate(&self) -> u64 {
        (self.looked_at() * SAMPLED as f64).round() as u64
    }

    /// About as many were looked at: there are as many at least.
    pub fn at_least(&self) -> u64 {
        self.looked_at().round() as u64
    }

    /// The estimate of Flajolet, Fusy, Gandouet and Meunier, with the count of empty registers where there are many.
    fn looked_at(&self) -> f64 {
        let count = REGISTERS as f64;
        let sum: f64 = self.0.iter().map(|rank| 0.5_f64.powi(i32::from(*rank))).sum();
        let raw = ALPHA * count * count / sum;
        let empty = self.0.iter().filter(|rank| **rank == 0).count() as f64;
        let few = raw <= 2.5 * count && empty > 0.0;
        if few { count * (count / empty).ln() } else { raw }
    }
}

impl Prefixes {
    /// A topic was published. `hash` is its own, and costs nothing here.
    #[inline]
    pub fn see(&mut self, topic: &str, hash: u64, now: Instant) {
        let hash = mixed(hash);
        if IS_WATCHED && hash.is_multiple_of(SAMPLED) {
            self.sight(topic, hash / SAMPLED, now);
        }
    }

    #[inline(never)]
    fn sight(&mut self, topic: &str, hash: u64, now: Instant) {
        let second = prefix(topic);
        let first = second.split('/').next().unwrap_or_default();
        let third = topic.get(second.len() + 1..).and_then(|rest| rest.split('/').next());
        self.seconds.entry(second, now).add(hash, third.map(hash_of), now);
        let following = (second.len() > first.len()).then(|| hash_of(second));
        self.firsts.entry(first, now).add(hash, following, now);
        // As no wildcard matches it.
        if !topic.starts_with('$') {
            self.all.entry("", now).add(hash, Some(hash_of(first)), now);
        }
    }

    pub fn seen(&self, now: Instant) -> Vec<PrefixSeen> {
        let all = self.all.0.iter().map(|entry| entry.seen("#".into(), now));
        let firsts = self.firsts.0.iter().map(|entry| entry.seen(format!("{}/#", entry.prefix).into(), now));
        let seconds = self.seconds.0.iter().map(|entry| entry.seen(entry.prefix.clone(), now));
        all.chain(firsts).chain(seconds).collect()
    }
}

impl<const MOST: usize> Table<MOST> {
    fn entry(&mut self, prefix: &str, now: Instant) -> &mut Entry {
        let hash = hash_of(prefix);
        let at = self.0.iter().position(|entry| entry.hash == hash && *entry.prefix == *prefix);
        let at = at.unwrap_or_else(|| self.make_place(prefix, hash, now));
        &mut self.0[at]
    }

    fn make_place(&mut self, prefix: &str, hash: u64, now: Instant) -> usize {
        let (beneath, earlier) = (Beneath::default(), Beneath::default());
        let mut entry =
            Entry { prefix: prefix.into(), hash, sightings: 0, beneath, earlier, earlier_at: now };
        if self.0.len() < MOST {
            self.0.push(entry);
            return self.0.len() - 1;
        }
        let least = (0..self.0.len()).min_by_key(|at| self.0[*at].sightings).expect("there are some");
        entry.sightings = self.0[least].sightings;
        self.0[least] = entry;
        least
    }
}

impl Entry {
    /// A topic with this level behind the prefix, if any is there.
    fn add(&mut self, topic: u64, level: Option<u64>, now: Instant) {
        self.sightings += 1;
        if now.since(self.earlier_at) >= PERIOD {
            self.earlier = self.beneath;
            self.earlier_at = now;
        }
        self.beneath.topics.add(topic);
        level.into_iter().for_each(|level| self.beneath.levels.add(level));
    }

    fn seen(&self, prefix: Box<str>, now: Instant) -> PrefixSeen {
        let earlier_ago = now.since(self.earlier_at);
        PrefixSeen { prefix, now: self.beneath, earlier: self.earlier, earlier_ago }
    }
}

fn hash_of(name: &str) -> u64 {
    name.bytes().fold(0, |sum: u64, byte| mixed(sum ^ u64::from(byte)))
}

/// So that each bit depends on all bits.
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 30).wrapping_add(0x9E37_79B9_7F4A_7C15).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ hash >> 31
}

const SAMPLED: u64 = 16;
const REGISTERS: usize = 64;
/// For 64 registers.
const ALPHA: f64 = 0.709;
const MOST_RANK: u32 = 50;

/// Of one shard, with three eighths of a kibibyte each.
const PREFIXES_MAX: usize = 256;
const FIRSTS_MAX: usize = 64;

/// Growth is what came since the beginning of such a period.
const PERIOD: Duration = Duration::from_secs(600);

const _: () = assert!(REGISTERS.is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u64 {
        n.wrapping_mul(0x5851_F42D_4C95_7F2D)
    }

    fn estimate(prefixes: &Prefixes, name: &str) -> u64 {
        let seen = prefixes.seen(Instant::START);
        seen.iter().find(|seen| *seen.prefix == *name).map_or(0, |seen| seen.now.topics.estimate())
    }

    #[test]
    fn topics_are_counted_and_not_messages() {
        let mut prefixes = Prefixes::default();
        for round in 0..5 {
            for n in 0..20_000 {
                prefixes.see(&format!("a/b/{n}"), hash(n), Instant::START);
            }
            let estimate = estimate(&prefixes, "a/b");
            assert!((14_000..26_000).contains(&estimate), "round {round}: {estimate}");
        }
    }

    /// What the documents say: so far off are two thirds of the estimates at most.
    #[test]
    fn estimates_are_as_far_off_as_is_told() {
        for (topics, told) in [(100, 0.40), (1_000, 0.20), (5_000, 0.15), (20_000, 0.15)] {
            let names: Vec<String> = (0..200).map(|of| format!("p{of}/x")).collect();
            let mut errors: Vec<f64> = names.iter().map(|name| error_at(name, topics)).collect();
            errors.sort_by(f64::total_cmp);
            let two_thirds = errors[errors.len() * 2 / 3];
            assert!(two_thirds <= told, "{topics} topics: {two_thirds}");
            assert!(two_thirds > told / 3.0, "{topics} topics: {two_thirds} is better than what is told");
        }
    }

    /// Of a prefix with so many topics, relative to them.
    fn error_at(name: &str, topics: u64) -> f64 {
        let mut prefixes = Prefixes::default();
        let seed = name.bytes().fold(7, |sum: u64, byte| mixed(sum ^ u64::from(byte)));
        (0..topics).for_each(|n| prefixes.see(&format!("{name}/{n}"), mixed(seed ^ n), Instant::START));
        (estimate(&prefixes, name) as f64 / topics as f64 - 1.0).abs()
    }

    #[test]
    fn what_two_shards_have_seen_counts_once() {
        let (mut one, mut two) = (Prefixes::default(), Prefixes::default());
        for n in 0..30_000 {
            one.see("a/b/x", hash(n), Instant::START);
            two.see("a/b/x", hash(n + 15_000), Instant::START);
        }
        let seen = |prefixes: &Prefixes| prefixes.seen(Instant::START)[0].now.topics;
        let both = seen(&one).union(seen(&two)).estimate();
        assert!((32_000..58_000).contains(&both), "{both}");
        assert_eq!(seen(&one).union(seen(&one)), seen(&one));
    }

    #[test]
    fn many_that_are_seen_once_do_not_displace_one_that_is_seen_often() {
        let mut prefixes = Prefixes::default();
        for n in 0..200_000 {
            prefixes.see(&format!("rare/{n}/x"), hash(2 * n), Instant::START);
            prefixes.see(&format!("often/y/{n}"), hash(2 * n + 1), Instant::START);
        }
        assert_eq!(prefixes.seconds.0.len(), PREFIXES_MAX);
        assert!(estimate(&prefixes, "often/y") > 100_000);
    }

    /// Topics that each begin with a level of their own are more than there is room for: the sum of all of them tells it.
    #[test]
    fn topics_that_have_no_prefix_in_common_stand_in_the_sum_of_all() {
        for form in ["dev-N/temp", "top-N", "dev-N/a/b"] {
            let mut prefixes = Prefixes::default();
            for n in 0..40_000 {
                prefixes.see(&form.replace('N', &n.to_string()), hash(2 * n), Instant::START);
                prefixes.see("$SYS/broker/uptime", hash(2 * n + 1), Instant::START);
            }
            let seen = prefixes.seen(Instant::START);
            let all = seen.iter().find(|seen| &*seen.prefix == "#").expect("a sum");
            let topics = all.now.topics.estimate();
            assert!((28_000..52_000).contains(&topics), "{form}: {topics}");
            let levels = all.now.levels.at_least();
            assert!((1_700..3_300).contains(&levels), "{form}: {levels} of those that are looked at");
            assert_eq!(prefixes.firsts.0.len(), FIRSTS_MAX);
        }
    }

    #[test]
    fn levels_that_follow_a_prefix_are_counted_once() {
        let mut prefixes = Prefixes::default();
        for n in 0..20_000 {
            prefixes.see(&format!("site/{}/{n}", n % 20), hash(n), Instant::START);
        }
        let seen = prefixes.seen(Instant::START);
        let of = |name: &str| seen.iter().find(|seen| &*seen.prefix == name).expect(name).now;
        assert_eq!(of("#").levels.at_least(), 1);
        assert!((15..26).contains(&of("site/#").levels.at_least()), "{}", of("site/#").levels.at_least());
        assert!((14_000..26_000).contains(&of("site/#").topics.estimate()));
        assert!((40..90).contains(&of("site/7").levels.at_least()), "{}", of("site/7").levels.at_least());
    }

    #[test]
    fn growth_is_what_came_in_the_last_period() {
        let mut prefixes = Prefixes::default();
        (0..20_000).for_each(|n| prefixes.see("a/b/c", hash(n), Instant::START));
        let later = Instant::START.add_secs(700);
        (20_000..100_000).for_each(|n| prefixes.see("a/b/c", hash(n), later));
        let seen = &prefixes.seen(later)[0];
        let (now, earlier) = (seen.now.topics.estimate(), seen.earlier.topics.estimate());
        assert!(earlier > 14_000 && earlier < 26_000 && now > 70_000, "{earlier} and then {now}");
    }
}
