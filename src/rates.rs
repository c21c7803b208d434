//! How often everybody connects, and the words of rates that connections share: the tables that all shards have in common.
//!
//! They are looked at where somebody connects, never for a message: whoever is let in takes his words along. Each table stands in
//! many parts with a lock each, none of which is so large that a look at all of it would hold anybody up.

mod knocks;
mod known;

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use runtime::Words;
use shard::{DoorRates, Flow, Rates, Tallies};
use transport::Prefix;

use crate::{
    config::{self, Over, Pace, RatesOf},
    listen::Entrance,
    numbering::Numbers,
};
use knocks::Knocks;
use known::Known;

/// Once per process.
pub struct Registry {
    hasher: RandomState,
    began: Instant,
    limits: RwLock<Limits>,
    knocks: Tables<Knocks>,
    words: Tables<Known>,
}

/// One for each sort of those who are counted, so that whoever comes by one name after the other takes no room from the others.
#[derive(Default)]
struct Tables<T> {
    clients: Parts<T>,
    users: Parts<T>,
    addresses: Parts<T>,
    listeners: Parts<T>,
}

/// What the configuration says now.
#[derive(Default)]
struct Limits {
    /// By the number of the door.
    doors: Vec<RatesOf>,
    prefix_v4: u8,
    prefix_v6: u8,
}

/// A table, by the upper bits of the hash.
struct Parts<T>(Box<[Mutex<T>]>);

/// Whose words or connections are counted.
#[derive(Hash)]
enum Whose<'a> {
    Client(&'a str),
    User(&'a str),
    Address(Prefix),
    Listener(u16),
}

/// All those for whom a table has no room.
#[derive(Hash)]
struct Crowd;

impl Registry {
    pub fn new() -> Registry {
        Registry {
            hasher: RandomState::new(),
            began: Instant::now(),
            limits: RwLock::default(),
            knocks: Tables::default(),
            words: Tables::default(),
        }
    }

    /// Counts from now on. What the shards have to know of it comes back.
    pub fn set(&self, settings: &config::Rates, numbers: &Numbers) -> Arc<[DoorRates]> {
        // Those of closed listeners go on for who came in by them.
        let entrances: Vec<&Entrance> = numbers.all().map(|(entrance, _)| entrance).collect();
        let doors: Vec<RatesOf> = entrances.iter().map(|it| it.listener.rates.or(settings.of)).collect();
        let rates = doors.iter().zip(&entrances).enumerate().map(|(id, (of, entrance))| DoorRates {
            client: rates_of(of.client),
            user: rates_of(of.user),
            address: rates_of(of.address),
            listener: rates_of(of.listener),
            burst: Duration::from_secs(settings.burst_secs),
            over: match entrance.listener.over.unwrap_or(settings.over) {
                Over::Wait => shard::Over::Wait,
                Over::Disconnect => shard::Over::Disconnect,
            },
            tally: Some(self.words(&Whose::Listener(u16::try_from(id).unwrap_or(u16::MAX)))),
        });
        let rates = rates.collect();
        let prefix = |bits: u64| u8::try_from(bits).unwrap_or(u8::MAX);
        let (prefix_v4, prefix_v6) = (prefix(settings.address_prefix_v4), prefix(settings.address_prefix_v6));
        *self.limits.write().unwrap_or_else(PoisonError::into_inner) = Limits { doors, prefix_v4, prefix_v6 };
        rates
    }

    /// What a client that is let in shares with others, where anything of it is limited at any listener.
    pub fn tallies(&self, user: Option<&str>, address: Option<IpAddr>) -> Option<Box<Tallies>> {
        let (of_users, of_addresses) = {
            let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
            let any = |of: fn(&RatesOf) -> Pace| limits.doors.iter().any(|door| of(door).limits_messages());
            (any(|of| of.user), any(|of| of.address))
        };
        let user = user.filter(|_| of_users).map(|user| self.words(&Whose::User(user)) as _);
        let address = address.filter(|_| of_addresses);
        let address = address.map(|address| self.words(&Whose::Address(self.network(address))) as _);
        (user.is_some() || address.is_some()).then(|| Box::new(Tallies { user, address }))
    }

    /// One more connection comes in at the door.
    pub fn opens(&self, door: u16) -> bool {
        let per_minute = self.pace(door, |of| of.listener);
        self.knock(&Whose::Listener(door), per_minute)
    }

    pub fn may_come_from(&self, door: u16, address: IpAddr) -> bool {
        let per_minute = self.pace(door, |of| of.address);
        per_minute == 0 || self.knock(&Whose::Address(self.network(address)), per_minute)
    }

    /// Of somebody who has proved who he is: nobody can use up what belongs to others.
    pub fn may_enter(&self, door: u16, client_id: &str, user: Option<&str>) -> bool {
        let (client, of_user) = (self.pace(door, |of| of.client), self.pace(door, |of| of.user));
        (client_id.is_empty() || self.knock(&Whose::Client(client_id), client))
            && user.is_none_or(|user| self.knock(&Whose::User(user), of_user))
    }

    fn pace(&self, door: u16, of: fn(&RatesOf) -> Pace) -> u64 {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        limits.doors.get(usize::from(door)).map_or(0, |rates| of(rates).connects_per_minute)
    }

    fn network(&self, address: IpAddr) -> Prefix {
        let limits = self.limits.read().unwrap_or_else(PoisonError::into_inner);
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { limits.prefix_v4 } else { limits.prefix_v6 };
        Prefix::around(address, bits).unwrap_or_else(|| Prefix::of(address))
    }

    /// Whether one more may come: a minute's worth at once, and then at the rate.
    fn knock(&self, whose: &Whose<'_>, per_minute: u64) -> bool {
        if per_minute == 0 {
            return true;
        }
        let now_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let key = self.hasher.hash_one(whose);
        let knocks = self.knocks.of(whose);
        let comes = knocks.of(key).take(key, per_minute, now_ns);
        comes.unwrap_or_else(|| {
            let crowd = self.hasher.hash_one(Crowd);
            knocks.of(crowd).take_always(crowd, per_minute, now_ns)
        })
    }

    fn words(&self, whose: &Whose<'_>) -> Arc<Words> {
        let (key, now) = (self.hasher.hash_one(whose), Instant::now());
        let table = self.words.of(whose);
        let words = table.of(key).get(key, now);
        words.unwrap_or_else(|| {
            let crowd = self.hasher.hash_one(Crowd);
            table.of(crowd).get_always(crowd, now)
        })
    }
}

impl<T> Tables<T> {
    fn of(&self, whose: &Whose<'_>) -> &Parts<T> {
        match whose {
            Whose::Client(_) => &self.clients,
            Whose::User(_) => &self.users,
            Whose::Address(_) => &self.addresses,
            Whose::Listener(_) => &self.listeners,
        }
    }
}

impl<T> Parts<T> {
    fn of(&self, key: u64) -> MutexGuard<'_, T> {
        let at = (key >> (u64::BITS - PARTS.ilog2())) as usize;
        // What another thread left behind when it panicked is as good as before: each change is one word.
        self.0[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Default> Default for Parts<T> {
    fn default() -> Parts<T> {
        Parts((0..PARTS).map(|_| Mutex::default()).collect())
    }
}

fn rates_of(pace: Pace) -> Rates {
    Rates::default()
        .with(Flow::PublishMessages, pace.publish_messages_per_s)
        .with(Flow::PublishBytes, pace.publish_bytes_per_s)
        .with(Flow::ReceiveMessages, pace.receive_messages_per_s)
        .with(Flow::ReceiveBytes, pace.receive_bytes_per_s)
}

/// Of each table.
const PARTS: usize = 64;

/// Of each part, which is as many as fit into the memory that a table of this size takes. Whoever comes beyond them is one of a crowd
/// that is held to a rate together.
const ENTRIES_MAX: usize = 14 << 10;

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_beyond_the_tables_is_one_of_a_crowd_with_one_rate() {
        let registry = Registry::new();
        let knock = |n: u64| registry.knock(&Whose::Client(&n.to_string()), 2);
        let most = (PARTS * ENTRIES_MAX) as u64;
        let early = (0..most * 5 / 4).filter(|n| knock(*n)).count() as u64;
        assert!(early > most * 9 / 10, "{early}");
        let come = (most * 5 / 4..most * 5 / 4 + 1000).filter(|n| knock(*n)).count();
        assert_eq!(come, 0, "the crowd has had its two");
        let words = |n: u64| registry.words(&Whose::User(&n.to_string()));
        (0..most * 5 / 4).for_each(|n| drop(words(n)));
        assert!(Arc::ptr_eq(&words(most * 2), &words(most * 3)), "they have their words in common");
        assert!(!Arc::ptr_eq(&words(1), &words(2)), "who is known is not in it");
    }

    #[test]
    fn whoever_takes_one_client_id_after_the_other_takes_no_room_from_addresses_and_users() {
        let registry = Registry::new();
        let most = (PARTS * ENTRIES_MAX) as u64;
        let come = (0..most * 5 / 4).filter(|n| registry.knock(&Whose::Client(&n.to_string()), 2)).count();
        assert!(come as u64 > most * 9 / 10, "{come}");
        assert!(!registry.knock(&Whose::Client("another"), 2), "one of the crowd of clients");
        let address = |last: u8| Whose::Address(Prefix::of([192, 0, 2, last].into()));
        for whose in (0..200).map(address).chain([Whose::User("ada"), Whose::User("bob"), Whose::Listener(0)])
        {
            assert!(registry.knock(&whose, 2) && registry.knock(&whose, 2) && !registry.knock(&whose, 2));
        }
    }

    #[test]
    fn whoever_is_the_same_has_the_same_words() {
        let registry = Registry::new();
        let of = |user: &str, address: &str| {
            registry.tallies(Some(user), Some(address.parse().expect("an address")))
        };
        let _ = registry.set(&config::Rates::default(), &Numbers::first(Vec::new()));
        assert_eq!(of("ada", "192.0.2.1"), None, "nothing is limited, and nothing is kept");
        let limited = Pace { publish_messages_per_s: 1, ..Pace::default() };
        let doors = vec![RatesOf { user: limited, address: limited, ..RatesOf::default() }];
        registry.limits.write().expect("nobody panics").doors = doors;
        assert_eq!(of("ada", "192.0.2.1"), of("ada", "::ffff:192.0.2.1"));
        assert_ne!(of("ada", "192.0.2.1"), of("bob", "192.0.2.1"));
        assert_ne!(of("ada", "192.0.2.1"), of("ada", "192.0.2.2"));
        assert_eq!(of("ada", "2001:db8::1"), of("ada", "2001:db8::2"), "one customer's network");
        assert_ne!(of("ada", "2001:db8::1"), of("ada", "2001:db8:0:1::1"));
    }
}
