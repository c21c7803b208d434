//! Which prefixes of topics are used, and beneath which the number of different topics grows: a sketch of fixed size.
//!
//! Of all topics one in `SAMPLED` is looked at, chosen by its hash, so that a topic is always looked at or never: what is counted is
//! topics and not messages. A prefix that finds no place takes that of the one with the fewest sightings, and begins with as many:
//! whoever is seen often enough cannot be kept out by many that are seen once.

use std::time::Duration;

use crate::{IS_WATCHED, Instant, losses::prefix};

/// The prefixes of one shard.
#[derive(Default)]
pub(crate) struct Prefixes(Vec<Entry>);

struct Entry {
    prefix: Box<str>,
    hash: u64,
    sightings: u64,
    topics: Distinct,
    /// As it was at `earlier_at`.
    earlier: Distinct,
    earlier_at: Instant,
}

/// What a shard knows of a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixSeen {
    pub prefix: Box<str>,
    pub topics: Distinct,
    /// The same some time ago.
    pub earlier: Distinct,
    pub earlier_ago: Duration,
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

    /// The estimate of Flajolet, Fusy, Gandouet and Meunier, with the count of empty registers where there are many.
    pub fn estimate(&self) -> u64 {
        let count = REGISTERS as f64;
        let sum: f64 = self.0.iter().map(|rank| 0.5_f64.powi(i32::from(*rank))).sum();
        let raw = ALPHA * count * count / sum;
        let empty = self.0.iter().filter(|rank| **rank == 0).count() as f64;
        let few = raw <= 2.5 * count && empty > 0.0;
        let estimate = if few { count * (count / empty).ln() } else { raw };
        (estimate * SAMPLED as f64).round() as u64
    }
}

impl Prefixes {
    /// A topic was published. `hash` is its own, and costs nothing here.
    #[inline]
    pub fn see(&mut self, topic: &str, hash: u64, now: Instant) {
        let hash = mixed(hash);
        if IS_WATCHED && hash.is_multiple_of(SAMPLED) {
            self.sight(prefix(topic), hash / SAMPLED, now);
        }
    }

    #[inline(never)]
    fn sight(&mut self, prefix: &str, hash: u64, now: Instant) {
        let of_prefix = prefix.bytes().fold(0, |sum: u64, byte| mixed(sum ^ u64::from(byte)));
        let at = self.0.iter().position(|entry| entry.hash == of_prefix && *entry.prefix == *prefix);
        let at = at.unwrap_or_else(|| self.make_place(prefix, of_prefix, now));
        let entry = &mut self.0[at];
        entry.sightings += 1;
        if now.since(entry.earlier_at) >= PERIOD {
            entry.earlier = entry.topics;
            entry.earlier_at = now;
        }
        entry.topics.add(hash);
    }

    fn make_place(&mut self, prefix: &str, hash: u64, now: Instant) -> usize {
        let (topics, earlier) = (Distinct::default(), Distinct::default());
        let mut entry = Entry { prefix: prefix.into(), hash, sightings: 0, topics, earlier, earlier_at: now };
        if self.0.len() < PREFIXES_MAX {
            self.0.push(entry);
            return self.0.len() - 1;
        }
        let least = (0..self.0.len()).min_by_key(|at| self.0[*at].sightings).expect("there are some");
        entry.sightings = self.0[least].sightings;
        self.0[least] = entry;
        least
    }

    pub fn seen(&self, now: Instant) -> Vec<PrefixSeen> {
        let seen = |entry: &Entry| PrefixSeen {
            prefix: entry.prefix.clone(),
            topics: entry.topics,
            earlier: entry.earlier,
            earlier_ago: now.since(entry.earlier_at),
        };
        self.0.iter().map(seen).collect()
    }
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

/// Of one shard, with a quarter of a kibibyte each.
const PREFIXES_MAX: usize = 256;

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
        seen.iter().find(|seen| *seen.prefix == *name).map_or(0, |seen| seen.topics.estimate())
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
        let seen = |prefixes: &Prefixes| prefixes.seen(Instant::START)[0].topics;
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
        assert_eq!(prefixes.0.len(), PREFIXES_MAX);
        assert!(estimate(&prefixes, "often/y") > 100_000);
    }

    #[test]
    fn growth_is_what_came_in_the_last_period() {
        let mut prefixes = Prefixes::default();
        (0..20_000).for_each(|n| prefixes.see("a/b/c", hash(n), Instant::START));
        let later = Instant::START.add_secs(700);
        (20_000..100_000).for_each(|n| prefixes.see("a/b/c", hash(n), later));
        let seen = &prefixes.seen(later)[0];
        let (now, earlier) = (seen.topics.estimate(), seen.earlier.estimate());
        assert!(earlier > 14_000 && earlier < 26_000 && now > 70_000, "{earlier} and then {now}");
    }
}
