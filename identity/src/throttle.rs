//! Failed attempts, and how long one has to wait after too many of them.
//!
//! Four counts for each failure: of the client in the name of that user at that address, of the user at that address, of the
//! address, and of the user anywhere. The first is strict, so that a device with a wrong password is held without its neighbours,
//! who may have the same user and the same address: an attempt that is not made counts for nobody. The others are for those who
//! try many client ids, many users, or one user from many addresses.
//!
//! A client that was let in in a name from an address is believed to be no guesser: it is held by its own count alone, and its
//! failures are in no other one, until there are too many of them. So a fleet whose password has changed holds nobody else behind
//! its router. Whoever comes without an id, or with another one each time, is no client that could be believed; where a user
//! was let in by anybody, he is not held for what others try with his name elsewhere. A user and a client of the same name are two.

use std::{
    hash::{BuildHasher, Hash, RandomState},
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
    pub client: Patience,
    pub pair: Patience,
    pub address: Patience,
    pub user: Patience,
    /// Of each table.
    pub entries_max: usize,
}

pub(crate) struct Throttle {
    limits: ThrottleLimits,
    /// By address, and by name and client id.
    clients: Ages<(u64, u64), Record>,
    /// By address and name.
    pairs: Ages<(u64, u64), Record>,
    /// Clients that were let in, as whom and from where, each with its home. A table of its own, because a large fleet would push failures out.
    known: Ages<(u64, u64), (u64, u64)>,
    /// Where somebody was let in in that name, by address and name.
    homes: Ages<(u64, u64), Home>,
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
    Client,
    /// In that name from that address, whichever client it was.
    NameThere,
    NameAnywhere,
    Address,
}

impl Wait {
    fn of(record: Option<&Record>, patience: Patience, whose: Whose, now_ms: u64) -> Wait {
        Wait { ms: record.map_or(0, |record| record.wait_ms(now_ms, patience)), whose }
    }

    fn longer(self, other: Wait) -> Wait {
        if other.ms > self.ms { other } else { self }
    }
}

impl Whose {
    /// In a sentence that begins with failed attempts.
    pub fn text(self) -> &'static str {
        match self {
            Whose::Client => "of its own, in its name from its address",
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

/// Who attempts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Comer<'a> {
    /// None over a local socket, where all come from one place.
    pub ip: Option<IpAddr>,
    /// Empty: it has none.
    pub client_id: &'a str,
}

/// Under which an attempt is counted.
struct Keys {
    user: u64,
    pair: (u64, u64),
    /// None: it says no id.
    client: Option<(u64, u64)>,
    /// The pair. All clients of an address that name no user have one: each of them is a name of its own.
    home: (u64, u64),
}

/// How many of the known ones have it, by their ages, as of a turn of their table. Nobody has to walk over those that are forgotten.
#[derive(Debug, Clone, Copy, Default)]
struct Home {
    turn: u64,
    young: u32,
    old: u32,
}

impl Home {
    fn at(self, turn: u64) -> Home {
        let (young, old) = match turn - self.turn {
            0 => (self.young, self.old),
            1 => (0, self.young),
            _ => (0, 0),
        };
        Home { turn, young, old }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    failures: u32,
    last_ms: u64,
}

impl Throttle {
    pub fn new(limits: ThrottleLimits) -> Throttle {
        let most = limits.entries_max;
        Throttle {
            limits,
            clients: Ages::new(most),
            pairs: Ages::new(most),
            known: Ages::new(most),
            homes: Ages::new(most),
            addresses: Ages::new(most),
            users: Ages::new(most),
            hasher: RandomState::new(),
        }
    }

    /// How long it is until an attempt may be made in all of these names. None: now.
    pub fn wait<'a>(
        &self,
        now_ms: u64,
        comer: Comer<'_>,
        names: impl IntoIterator<Item = Name<'a>>,
    ) -> Option<Wait> {
        let names = self.all_keys(comer, names);
        let address = self.doubted_address(comer, &names).and_then(|address| self.addresses.get(&address));
        let of_address = Wait::of(address, self.limits.address, Whose::Address, now_ms);
        let waits = names.iter().map(|keys| self.wait_in(keys, now_ms));
        Some(waits.fold(of_address, Wait::longer)).filter(|wait| wait.ms > 0)
    }

    fn wait_in(&self, keys: &Keys, now_ms: u64) -> Wait {
        let ThrottleLimits { client, pair, user, .. } = self.limits;
        let own = keys.client.and_then(|client| self.clients.get(&client));
        let own = Wait::of(own, client, Whose::Client, now_ms);
        if self.is_believed(keys) {
            return own;
        }
        let there = own.longer(Wait::of(self.pairs.get(&keys.pair), pair, Whose::NameThere, now_ms));
        if self.homes.get(&keys.pair).is_some() {
            return there;
        }
        there.longer(Wait::of(self.users.get(&keys.user), user, Whose::NameAnywhere, now_ms))
    }

    /// One failure of each of these names, and of the address if one of them is not believed.
    pub fn on_failure<'a>(
        &mut self,
        now_ms: u64,
        comer: Comer<'_>,
        names: impl IntoIterator<Item = Name<'a>>,
    ) {
        let ThrottleLimits { client, pair, user, address, .. } = self.limits;
        let names = self.all_keys(comer, names);
        if let Some(key) = self.doubted_address(comer, &names) {
            fail(&mut self.addresses, key, now_ms, address);
        }
        for keys in names {
            if !self.is_believed(&keys) {
                fail(&mut self.pairs, keys.pair, now_ms, pair);
                fail(&mut self.users, keys.user, now_ms, user);
            }
            if let Some(key) = keys.client
                && fail(&mut self.clients, key, now_ms, client) >= BELIEVED_FAILURES
            {
                self.forget(&key);
            }
        }
    }

    fn all_keys<'a>(&self, comer: Comer<'_>, names: impl IntoIterator<Item = Name<'a>>) -> Vec<Keys> {
        names.into_iter().map(|name| self.keys(comer, name)).collect()
    }

    /// Of somebody who may be a guesser in one of these names, or who has none.
    fn doubted_address(&self, comer: Comer<'_>, names: &[Keys]) -> Option<u64> {
        let is_believed = !names.is_empty() && names.iter().all(|keys| self.is_believed(keys));
        self.address(comer).filter(|_| !is_believed)
    }

    fn is_believed(&self, keys: &Keys) -> bool {
        keys.client.is_some_and(|client| self.known.get(&client).is_some())
    }

    /// This client was let in there in that name: what others try with it does not hold this one. What it has failed at is forgiven by
    /// time alone, because somebody else behind its router may have failed in its place.
    pub fn on_arrival(&mut self, now_ms: u64, comer: Comer<'_>, name: Name<'_>) {
        let keys = self.keys(comer, name);
        let mut home = self.home(keys.home);
        if let Some(client) = keys.client.filter(|client| self.is_to_be_known(client, &home, now_ms)) {
            let was_young = self.known.is_young(&client);
            home.old = home.old.saturating_sub(u32::from(was_young == Some(false)));
            self.known.insert(client, keys.home);
            home = home.at(self.known.turns());
            home.young += u32::from(was_young != Some(true));
            if keys.home != keys.pair {
                self.homes.insert(keys.pair, Home::default());
            }
        }
        self.homes.insert(keys.home, home);
    }

    /// It has not failed too often, and is not one too many of its home once half of the table is taken.
    fn is_to_be_known(&self, client: &(u64, u64), home: &Home, now_ms: u64) -> bool {
        let most = self.limits.entries_max;
        let has_its_share =
            (home.young + home.old) as usize >= most / HOME_SHARE && self.known.len() >= most / 2;
        let failures = |record: &Record| record.failures_at(now_ms, self.limits.client);
        let is_trusted = self.clients.get(client).map_or(0, failures) < BELIEVED_FAILURES;
        is_trusted && (self.known.get(client).is_some() || !has_its_share)
    }

    fn forget(&mut self, client: &(u64, u64)) {
        let is_young = self.known.is_young(client);
        let Some(key) = self.known.remove(client) else { return };
        let now = self.home(key);
        if let Some(home) = self.homes.get_mut(&key) {
            *home = now;
            let count = if is_young == Some(true) { &mut home.young } else { &mut home.old };
            *count = count.saturating_sub(1);
        }
    }

    fn home(&self, key: (u64, u64)) -> Home {
        self.homes.get(&key).copied().unwrap_or_default().at(self.known.turns())
    }

    fn keys(&self, comer: Comer<'_>, name: Name<'_>) -> Keys {
        let (address, user) = (self.address(comer).unwrap_or(0), self.hasher.hash_one(name));
        let client = || (address, self.hasher.hash_one((name, comer.client_id)));
        let home = match name {
            Name::User(_) => user,
            Name::Client(_) => self.hasher.hash_one(Name::Client("")),
        };
        let client = (!comer.client_id.is_empty()).then(client);
        Keys { user, pair: (address, user), client, home: (address, home) }
    }

    fn address(&self, comer: Comer<'_>) -> Option<u64> {
        Some(self.hasher.hash_one(Prefix::that_counts(comer.ip?)))
    }
}

/// How many failures there are now.
fn fail<K: Copy + Eq + Hash>(ages: &mut Ages<K, Record>, key: K, now_ms: u64, patience: Patience) -> u32 {
    let record = ages.get(&key).copied().unwrap_or_default().failed(now_ms, patience);
    ages.insert(key, record);
    record.failures
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
            client: Patience { free: 3, first_ms: 500, longest_ms: 60_000, forgiven_ms: 60_000 },
            pair: Patience { free: 10, first_ms: 500, longest_ms: 30_000, forgiven_ms: 20_000 },
            address: Patience { free: 30, first_ms: 500, longest_ms: 30_000, forgiven_ms: 5_000 },
            user: Patience { free: 20, first_ms: 500, longest_ms: 10_000, forgiven_ms: 5_000 },
            entries_max: 65_536,
        }
    }
}

/// Whoever has as many that are not forgiven is not believed. One that tries whenever it may has them within two minutes.
const BELIEVED_FAILURES: u32 = 10;

/// One part in so many of the known clients may be of one home, once half of the table is taken: who draws a client id for each connection
/// pushes out nobody.
const HOME_SHARE: usize = 16;

/// More are not told apart: the wait has long been the longest, and forgiveness does not take for ever.
const FAILURES_MAX: u32 = 64;

#[cfg(test)]
mod tests;
