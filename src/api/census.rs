//! How many retained messages and subscriptions there are beneath each prefix of topics, and how many there were a while ago.
//!
//! Shards count nothing for it: they are walked over, piece by piece, when somebody asks, and every few minutes, so that there is something to
//! compare with. What it remembers is bounded, and so is the share of the time that it walks.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use runtime::Desk;
use shard::{Kept, Look, Seen};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    asking::{self, Trouble},
    context::Context,
};

/// One walk at a time.
#[derive(Default)]
pub struct Census(Mutex<Walks>);

#[derive(Default)]
struct Walks {
    latest: Option<Walk>,
    /// The oldest first.
    earlier: VecDeque<Walk>,
}

/// What a walk has found.
#[derive(Clone)]
pub struct Walk {
    begun: Instant,
    took: Duration,
    pub held: Arc<HashMap<Box<str>, Held>>,
    /// There were more prefixes than are remembered.
    pub is_partial: bool,
}

/// Beneath one prefix.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Held {
    pub retained: u64,
    pub subscriptions: u64,
}

impl Held {
    pub fn sum(self) -> u64 {
        self.retained + self.subscriptions
    }
}

impl Walk {
    #[cfg(test)]
    pub fn of(held: HashMap<Box<str>, Held>, is_partial: bool) -> Walk {
        Walk { begun: Instant::now(), took: Duration::ZERO, held: Arc::new(with_sums(held)), is_partial }
    }

    /// None: it may have been left out.
    pub fn beneath(&self, prefix: &str) -> Option<Held> {
        let nothing = (!self.is_partial).then(Held::default);
        self.held.get(prefix).copied().or(nothing)
    }

    pub fn ago(&self) -> Duration {
        self.begun.elapsed()
    }

    /// So that there is a while between two of them.
    fn is_fresh(&self) -> bool {
        self.begun.elapsed() < FRESH_MIN.max(self.took * REST)
    }
}

impl Census {
    /// What there is now, and what there was, if that is known yet.
    pub async fn look(&self, desk: &Desk) -> Result<(Walk, Option<Walk>), Trouble> {
        let mut walks = self.0.lock().await;
        let latest = match walks.latest.take().filter(Walk::is_fresh) {
            Some(latest) => latest,
            None => walk(desk, Duration::ZERO).await?,
        };
        walks.latest = Some(latest.clone());
        Ok((latest, walks.earlier.front().cloned()))
    }

    async fn remember(&self, walk: Walk) {
        let mut walks = self.0.lock().await;
        walks.earlier.push_back(walk);
        if walks.earlier.len() > EARLIER_MAX {
            walks.earlier.pop_front();
        }
    }
}

/// As long as the broker lives.
pub async fn keep(context: Context, desk: Desk) {
    loop {
        // A shard that does not answer now may do so the next time.
        if let Ok(walk) = walk(&desk, BREATH).await {
            context.census().remember(walk).await;
        }
        sleep(EVERY).await;
    }
}

/// Over all shards, with as long a pause after each piece.
async fn walk(desk: &Desk, pause: Duration) -> Result<Walk, Trouble> {
    let begun = Instant::now();
    let (mut held, mut is_partial) = (HashMap::new(), false);
    for kept in [Kept::Retained, Kept::Subscriptions] {
        for shard in desk.shards() {
            let mut from = None;
            loop {
                let look = Look::Kept { kept, from };
                let Seen::Kept(piece) = asking::look(desk, shard, look).await?.seen else { break };
                for (prefix, count) in piece.counts {
                    let held: &mut Held = held.entry(prefix).or_default();
                    match kept {
                        Kept::Retained => held.retained += count,
                        Kept::Subscriptions => held.subscriptions += count,
                    }
                }
                is_partial |= thin(&mut held);
                from = piece.next;
                if from.is_none() {
                    break;
                }
                sleep(pause).await;
            }
        }
    }
    Ok(Walk { begun, took: begun.elapsed(), held: Arc::new(with_sums(held)), is_partial })
}

/// With what there is beneath `#`, and beneath each first level that stands in several prefixes, under the filters that match just that.
fn with_sums(mut held: HashMap<Box<str>, Held>) -> HashMap<Box<str>, Held> {
    let mut sums: HashMap<Box<str>, (Held, usize)> = HashMap::new();
    for (prefix, of) in &held {
        let first = prefix.split('/').next().unwrap_or_default();
        let all = (!first.starts_with('$')).then(|| "#".into());
        let of_first = (first != "#").then(|| format!("{first}/#").into());
        for name in all.into_iter().chain(of_first) {
            let (sum, count) = sums.entry(name).or_default();
            sum.retained += of.retained;
            sum.subscriptions += of.subscriptions;
            *count += 1;
        }
    }
    sums.retain(|name, (_, count)| &**name == "#" || *count > 1);
    held.extend(sums.into_iter().map(|(name, (sum, _))| (name, sum)));
    held
}

/// Keeps those with the most of far too many. True: there were too many.
fn thin(held: &mut HashMap<Box<str>, Held>) -> bool {
    if held.len() <= 2 * PREFIXES_MAX {
        return false;
    }
    let mut sums: Vec<Reverse<u64>> = held.values().map(|held| Reverse(held.sum())).collect();
    let (larger, Reverse(least), _) = sums.select_nth_unstable(PREFIXES_MAX - 1);
    let least = *least;
    let mut equals = PREFIXES_MAX - larger.iter().filter(|Reverse(sum)| *sum > least).count();
    held.retain(|_, held| {
        let is_equal = held.sum() == least && equals > 0;
        equals -= usize::from(is_equal);
        is_equal || held.sum() > least
    });
    true
}

/// That are remembered of each walk, at least.
const PREFIXES_MAX: usize = 4096;

/// Between two walks that nobody has asked for.
const EVERY: Duration = Duration::from_secs(300);
/// As many of these: what is there now is compared with what was there ten minutes ago or somewhat more.
const EARLIER_MAX: usize = 3;
/// Between two pieces of these.
const BREATH: Duration = Duration::from_millis(5);

/// Who asks again within this is told the same again, and within so many times what the walk took.
const FRESH_MIN: Duration = Duration::from_secs(1);
const REST: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_stand_beside_what_they_are_of() {
        let of = |subscriptions| Held { retained: 1, subscriptions };
        let names = ["a/b", "a/c", "a/#", "dev-1/temp", "#", "$SYS/broker", "top"];
        let held = with_sums(names.map(|name| (name.into(), of(2))).into());
        let sum = |name: &str| held.get(name).map(|held| (held.retained, held.subscriptions));
        assert_eq!((sum("#"), sum("a/#")), (Some((6, 12)), Some((3, 6))));
        assert_eq!((sum("dev-1/#"), sum("$SYS/#"), sum("a/b")), (None, None, Some((1, 2))));
    }

    #[test]
    fn of_too_many_prefixes_those_with_the_most_are_kept() {
        let of = |retained| Held { retained, subscriptions: 0 };
        let mut held: HashMap<Box<str>, Held> =
            (0..2 * PREFIXES_MAX).map(|n| (n.to_string().into(), of(1))).collect();
        assert!(!thin(&mut held));
        held.insert("large".into(), of(5));
        assert!(thin(&mut held));
        assert_eq!((held.len(), held.get("large")), (PREFIXES_MAX, Some(&of(5))));
    }
}
