//! Failed attempts, and how long one has to wait after too many of them.
//!
//! Three counts for each failure: of the user at that address, of the address, and of the user anywhere. The first is
//! strict, so that a device with a wrong password is held without its neighbours behind one address: an attempt that is not
//! made counts for nobody. The others are for those who try many users, or one user from many addresses. Who was let
//! in from an address is not held for what others try with that name elsewhere. A user and a client of the same name are two.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
};

use transport::Prefix;

use crate::ages::Ages;

/// How much is forgiven, and how long the longest wait is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// So many failures cost nothing.
    pub free: u32,
    /// The wait after the next one; each further one doubles it.
    pub first_ms: u64,
    pub longest_ms: u64,
    /// One failure is forgotten after so long.
    pub forgiven_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleLimits {
    pub pair: Patience,
    pub address: Patience,
    pub user: Patience,
    /// Of each table.
    pub entries_max: usize,
}

pub(crate) struct Throttle {
    limits: ThrottleLimits,
    pairs: Ages<(u64, u64), Record>,
    /// Users that were let in, and from where. A table of its own, because a large fleet would push failures out.
    known: Ages<(u64, u64), ()>,
    addresses: Ages<u64, Record>,
    users: Ages<u64, Record>,
    hasher: RandomState,
}

/// Until an attempt may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub ms: u64,
    pub whose: Whose,
}

/// Whose failures it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// In that name from that address, whichever client it was.
    NameThere,
    NameAnywhere,
    Address,
}

impl Wait {
    fn longer(self, other: Wait) -> Wait {
        if other.ms > self.ms { other } else { self }
    }
}

impl Whose {
    /// In a sentence that begins with failed attempts.
    pub fn text(self) -> &'static str {
        match self {
            Whose::NameThere => "in its name from its address, by whatever client",
            Whose::NameAnywhere => "in its name, from anywhere",
            Whose::Address => "from its address, in whatever name",
        }
    }
}

/// Whom an attempt counts for. Anybody may call a client like a user, so that the failures of one must not hold the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Name<'a> {
    User(&'a str),
    /// By its id, where nobody says who the user is.
    Client(&'a str),
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    failures: u32,
    last_ms: u64,
}

impl Throttle {
    pub fn new(limits: ThrottleLimits) -> Throttle {
        let ages = || Ages::new(limits.entries_max);
        let (pairs, known) = (Ages::new(limits.entries_max), Ages::new(limits.entries_max));
        Throttle { limits, pairs, known, addresses: ages(), users: ages(), hasher: RandomState::new() }
    }

    /// How long it is until an attempt may be made in all of these names. None: now.
    pub fn wait<'a>(
        &self,
        now_ms: u64,
        ip: Option<IpAddr>,
        names: impl IntoIterator<Item = Name<'a>>,
    ) -> Option<Wait> {
        let address = self.address(ip);
        let of = |ages: &Ages<u64, Record>, key: u64, patience: Patience| {
            ages.get(&key).map_or(0, |record| record.wait_ms(now_ms, patience))
        };
        let for_address = address.map_or(0, |address| of(&self.addresses, address, self.limits.address));
        let waits = names.into_iter().map(|name| {
            let user = self.user(name);
            let pair = (address.unwrap_or(0), user);
            let for_pair = self.pairs.get(&pair).map_or(0, |record| record.wait_ms(now_ms, self.limits.pair));
            let for_user = match self.known.get(&pair) {
                Some(()) => 0,
                None => of(&self.users, user, self.limits.user),
            };
            let for_pair = Wait { ms: for_pair, whose: Whose::NameThere };
            for_pair.longer(Wait { ms: for_user, whose: Whose::NameAnywhere })
        });
        let for_address = Wait { ms: for_address, whose: Whose::Address };
        Some(waits.fold(for_address, Wait::longer)).filter(|wait| wait.ms > 0)
    }

    /// One failure of the address, and of each of these names.
    pub fn on_failure<'a>(
        &mut self,
        now_ms: u64,
        ip: Option<IpAddr>,
        names: impl IntoIterator<Item = Name<'a>>,
    ) {
        let address = self.address(ip);
        for name in names {
            let user = self.user(name);
            let pair = (address.unwrap_or(0), user);
            let record = self.pairs.get(&pair).copied().unwrap_or_default();
            self.pairs.insert(pair, record.failed(now_ms, self.limits.pair));
            let record = self.users.get(&user).copied().unwrap_or_default();
            self.users.insert(user, record.failed(now_ms, self.limits.user));
        }
        if let Some(key) = address {
            let record = self.addresses.get(&key).copied().unwrap_or_default();
            self.addresses.insert(key, record.failed(now_ms, self.limits.address));
        }
    }

    /// Somebody of that name was let in there: what others try with it elsewhere does not hold those.
    pub fn on_arrival(&mut self, ip: Option<IpAddr>, name: Name<'_>) {
        let pair = (self.address(ip).unwrap_or(0), self.user(name));
        self.known.insert(pair, ());
    }

    /// The user has proved who it is: what failed before at that address is forgotten.
    pub fn on_success(&mut self, ip: Option<IpAddr>, name: Name<'_>) {
        self.on_arrival(ip, name);
        let pair = (self.address(ip).unwrap_or(0), self.user(name));
        // Most have not failed before.
        if self.pairs.get(&pair).is_some() {
            self.pairs.insert(pair, Record::default());
        }
    }

    /// None over a local socket, where all come from one place.
    fn address(&self, ip: Option<IpAddr>) -> Option<u64> {
        Some(self.hasher.hash_one(Prefix::that_counts(ip?)))
    }

    fn user(&self, name: Name<'_>) -> u64 {
        self.hasher.hash_one(name)
    }
}

impl Record {
    /// Failures that are not forgiven yet.
    fn failures_at(self, now_ms: u64, patience: Patience) -> u32 {
        let forgiven = now_ms.saturating_sub(self.last_ms) / patience.forgiven_ms.max(1);
        self.failures.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX))
    }

    fn wait_ms(self, now_ms: u64, patience: Patience) -> u64 {
        let beyond = self.failures_at(now_ms, patience).saturating_sub(patience.free);
        if beyond == 0 {
            return 0;
        }
        let wait = patience.first_ms.saturating_mul(1 << (beyond - 1).min(32)).min(patience.longest_ms);
        (self.last_ms + wait).saturating_sub(now_ms)
    }

    fn failed(self, now_ms: u64, patience: Patience) -> Record {
        let failures = self.failures_at(now_ms, patience).saturating_add(1).min(FAILURES_MAX);
        Record { failures, last_ms: now_ms }
    }
}

impl Default for ThrottleLimits {
    fn default() -> ThrottleLimits {
        ThrottleLimits {
            pair: Patience { free: 3, first_ms: 500, longest_ms: 60_000, forgiven_ms: 60_000 },
            address: Patience { free: 30, first_ms: 500, longest_ms: 30_000, forgiven_ms: 5_000 },
            user: Patience { free: 20, first_ms: 500, longest_ms: 10_000, forgiven_ms: 5_000 },
            entries_max: 65_536,
        }
    }
}

/// More are not told apart: the wait has long been the longest, and forgiveness does not take for ever.
const FAILURES_MAX: u32 = 64;

#[cfg(test)]
mod tests;
