//! What keeps a flood from pushing everything else out of the files: of each address and kind so many lines at once and in a while, and a
//! count of the others. Who never becomes a client, who does, the API and what is done to the broker take no room from each other.

use std::{
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError, TryLockError},
    time::{self, Duration},
};

use runtime::{LeftOut, LinePace, Source, Thinning, Verdict};
use shard::Instant;

use crate::happening::Happening;

#[derive(Debug)]
pub struct Thinned {
    begun: time::Instant,
    refused: Mutex<Thinning<Sort>>,
    violations: Mutex<Thinning<Sort>>,
    of_api: Mutex<Thinning<Sort>>,
    /// None: there is a line of everything.
    clients: Option<Mutex<Thinning<Sort>>>,
    acts: Mutex<Thinning<Deed>>,
}

/// What they have in common of whom an address has lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sort {
    pub kind: Happening,
    pub whose: Whose,
    /// What turned them away; none for those who have said something in MQTT.
    pub by: Option<&'static str>,
}

/// Whose lines take no room from those of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whose {
    Strangers,
    Clients,
    Api,
}

/// What is done to the broker, by whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Deed {
    pub act: Box<str>,
    /// Whatever the connection.
    pub by: Box<str>,
}

impl Thinned {
    /// Of a client's address there are so many lines of each kind a minute; 0 is without end.
    pub fn new(client_lines_per_minute: u64) -> Thinned {
        let strangers = || Mutex::new(Thinning::new(STRANGERS, STRANGERS_MAX));
        let per_minute = u32::try_from(client_lines_per_minute).unwrap_or(u32::MAX);
        let clients = (per_minute > 0).then(|| LinePace { at_once: per_minute, every: MINUTE / per_minute });
        Thinned {
            begun: time::Instant::now(),
            refused: strangers(),
            violations: strangers(),
            of_api: strangers(),
            clients: clients.map(|pace| Mutex::new(Thinning::new(pace, CLIENTS_MAX))),
            acts: Mutex::new(Thinning::new(ACTS, DEEDS_MAX)),
        }
    }

    /// Whether there is to be a line of this one. It is counted otherwise. It waits for whoever is at the table.
    pub fn judge(&self, address: Option<IpAddr>, sort: Sort, why: &str) -> Verdict {
        let Some(table) = self.table(sort) else { return Verdict::Tell };
        locked(table, |thinning| thinning.judge(address, sort, why, self.now()))
    }

    /// The same for a shard, which waits for nobody. None: somebody else is at the table just now, and it has to be asked later.
    pub fn try_judge(&self, address: Option<IpAddr>, sort: Sort, why: &str) -> Option<Verdict> {
        let Some(table) = self.table(sort) else { return Some(Verdict::Tell) };
        let mut thinning = match table.try_lock() {
            Ok(thinning) => thinning,
            Err(TryLockError::Poisoned(thinning)) => thinning.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(thinning.judge(address, sort, why, self.now()))
    }

    /// None: there is a line of everything.
    fn table(&self, sort: Sort) -> Option<&Mutex<Thinning<Sort>>> {
        match (sort.whose, sort.kind) {
            (Whose::Api, _) => Some(&self.of_api),
            (Whose::Strangers, Happening::Violation | Happening::QuotaExceeded) => Some(&self.violations),
            (Whose::Strangers, _) => Some(&self.refused),
            (Whose::Clients, _) => self.clients.as_ref(),
        }
    }

    /// Nobody else is at the table of this sort meanwhile.
    #[cfg(test)]
    pub fn while_busy<T>(&self, sort: Sort, then: impl FnOnce() -> T) -> T {
        locked(self.table(sort).expect("it has a table"), |_| then())
    }

    pub fn judge_act(&self, deed: Deed) -> Verdict {
        locked(&self.acts, |thinning| thinning.judge(None, deed, "", self.now()))
    }

    /// What was left out and is to be told now, or all of it.
    pub fn left_out(&self, all: bool) -> Vec<LeftOut<Sort>> {
        let thinned = [&self.refused, &self.violations, &self.of_api].into_iter().chain(&self.clients);
        thinned.flat_map(|thinning| self.left_out_of(thinning, all)).collect()
    }

    pub fn acts_left_out(&self, all: bool) -> Vec<LeftOut<Deed>> {
        self.left_out_of(&self.acts, all)
    }

    fn left_out_of<C: Clone + Eq + Hash>(&self, thinning: &Mutex<Thinning<C>>, all: bool) -> Vec<LeftOut<C>> {
        let now = self.now();
        locked(thinning, |thinning| match all {
            true => thinning.left_out(now, true),
            false => thinning.left_out_lately(now),
        })
    }

    /// There is nothing to be told later.
    pub fn is_empty(&self) -> bool {
        let mut thinned = [&self.refused, &self.violations, &self.of_api].into_iter().chain(&self.clients);
        thinned.all(|thinning| locked(thinning, |thinning| thinning.is_empty()))
            && locked(&self.acts, |thinning| thinning.is_empty())
    }

    fn now(&self) -> Instant {
        Instant::START + self.begun.elapsed()
    }
}

impl Deed {
    /// A caller of the API is known by his token, from whatever port he asks.
    pub fn of(act: &str, by: &str) -> Deed {
        let by = by.rsplit_once(" from ").map_or(by, |(token, _)| token);
        Deed { act: act.into(), by: by.into() }
    }
}

/// As lines have it.
pub fn shown(source: Source) -> Option<String> {
    match source {
        Source::Network(network) => Some(network.to_string()),
        Source::Local | Source::Crowd => None,
    }
}

/// What another thread left behind when it panicked are counts.
fn locked<C, T>(thinning: &Mutex<Thinning<C>>, then: impl FnOnce(&mut Thinning<C>) -> T) -> T {
    then(&mut thinning.lock().unwrap_or_else(PoisonError::into_inner))
}

/// How often what was left out is looked for.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Of those who are no clients, who need no password for it.
const STRANGERS: LinePace = LinePace { at_once: 1, every: Duration::from_secs(1) };

/// More than anybody does by hand; whoever does more does it by a program.
const ACTS: LinePace = LinePace { at_once: 600, every: Duration::from_millis(100) };

/// With lines of their own at a time: addresses and causes, of which strangers may have as many as they like.
const STRANGERS_MAX: usize = 64;
const CLIENTS_MAX: usize = 4096;
const DEEDS_MAX: usize = 256;

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u16) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, (last >> 8) as u8, last as u8]))
    }

    fn told(thinned: &Thinned, addresses: u16, sort: Sort) -> usize {
        let verdicts = (0..addresses).map(|last| thinned.judge(ip(last), sort, ""));
        verdicts.filter(|verdict| *verdict == Verdict::Tell).count()
    }

    #[test]
    fn no_sort_takes_room_from_another() {
        let thinned = Thinned::new(60);
        let refused = Sort { kind: Happening::Refused, whose: Whose::Strangers, by: Some("tls") };
        assert_eq!(told(&thinned, 1000, refused), STRANGERS_MAX + 1);
        for sort in [
            Sort { kind: Happening::Violation, ..refused },
            Sort { whose: Whose::Api, ..refused },
            Sort { whose: Whose::Clients, kind: Happening::Denied, by: None },
        ] {
            assert_eq!(told(&thinned, 1, sort), 1, "{sort:?}");
        }
        let left_out = thinned.left_out(true);
        assert_eq!(left_out.len(), 1, "{left_out:?}");
        assert_eq!((left_out[0].source, left_out[0].count), (Source::Crowd, 1000 - STRANGERS_MAX as u64 - 1));
    }

    #[test]
    fn a_client_has_a_minutes_worth_of_lines_of_each_kind_or_all_of_them() {
        let denied = Sort { kind: Happening::Denied, whose: Whose::Clients, by: None };
        for (per_minute, expected) in [(30, 30), (0, 1000)] {
            let thinned = Thinned::new(per_minute);
            let verdicts = || (0..1000).map(|_| thinned.judge(ip(1), denied, ""));
            let count = verdicts().filter(|verdict| *verdict == Verdict::Tell).count();
            assert_eq!(count, expected);
            let of_another_kind = thinned.judge(ip(1), Sort { kind: Happening::Connected, ..denied }, "");
            assert_eq!(of_another_kind, Verdict::Tell);
        }
    }

    #[test]
    fn a_caller_of_the_api_is_his_token_from_whatever_port_he_asks() {
        assert_eq!(
            Deed::of("publish", "API token hand from 192.0.2.1:700"),
            Deed::of("publish", "API token hand from 192.0.2.2:701")
        );
        assert_ne!(
            Deed::of("publish", "API token hand from x"),
            Deed::of("publish", "API token other from x")
        );
        assert_eq!(&*Deed::of("reload", "SIGHUP").by, "SIGHUP");
    }

    #[test]
    fn who_does_very_much_leaves_others_their_lines() {
        let thinned = Thinned::new(0);
        let judge = |by: &str| thinned.judge_act(Deed::of("publish", by));
        let count = (0..5000).filter(|_| judge("a") == Verdict::Tell).count();
        assert!((600..700).contains(&count), "{count}");
        assert_eq!(judge("b"), Verdict::Tell);
        assert_eq!(thinned.acts_left_out(true).len(), 1);
    }
}
