//! How often everybody connects, and the words of rates that connections share: the tables that all shards have in common.
//!
//! They are looked at where somebody connects, never for a message: whoever is let in takes his words along.

use std::{
    collections::HashMap,
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

/// Once per process.
pub struct Registry {
    hasher: RandomState,
    began: Instant,
    limits: RwLock<Limits>,
    knocks: Mutex<Knocks>,
    words: Mutex<HashMap<u64, Known>>,
}

/// What the configuration says now.
#[derive(Default)]
struct Limits {
    /// By the number of the door.
    doors: Vec<RatesOf>,
    prefix_v4: u8,
    prefix_v6: u8,
}

/// For whom it was, and when all his connections would have come at just his rate, in nanoseconds.
#[derive(Default)]
struct Knocks {
    due_ns: HashMap<u64, u64>,
    /// With how many of them those that mean nothing any more are looked for.
    sweep_at: usize,
}

struct Known {
    words: Arc<Words>,
    seen: Instant,
}

/// Whose words or connections are counted.
#[derive(Hash)]
enum Whose<'a> {
    Client(&'a str),
    User(&'a str),
    Address(Prefix),
    Listener(u16),
    /// All those for whom the table has no room.
    Crowd,
}

impl Registry {
    pub fn new() -> Registry {
        Registry {
            hasher: RandomState::new(),
            began: Instant::now(),
            limits: RwLock::default(),
            knocks: Mutex::default(),
            words: Mutex::default(),
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
        let mut knocks = locked(&self.knocks);
        knocks.take(self.hasher.hash_one(whose), self.hasher.hash_one(Whose::Crowd), per_minute, now_ns)
    }

    fn words(&self, whose: &Whose<'_>) -> Arc<Words> {
        let mut table = locked(&self.words);
        let mut key = self.hasher.hash_one(whose);
        let now = Instant::now();
        if table.len() >= ENTRIES_MIN && table.len() == table.capacity() {
            // A look at all of them is paid for by those that came since the table was half as large.
            let is_needed = |known: &Known| Arc::strong_count(&known.words) > 1 || now - known.seen < MINUTE;
            table.retain(|_, known| is_needed(known));
        }
        if table.len() >= ENTRIES_MAX && !table.contains_key(&key) {
            key = self.hasher.hash_one(Whose::Crowd);
        }
        let known = table.entry(key).or_insert_with(|| Known { words: Arc::default(), seen: now });
        known.seen = now;
        Arc::clone(&known.words)
    }
}

impl Knocks {
    fn take(&mut self, whose: u64, crowd: u64, per_minute: u64, now_ns: u64) -> bool {
        if self.due_ns.len() >= self.sweep_at.max(ENTRIES_MIN) {
            self.due_ns.retain(|_, due_ns| *due_ns > now_ns);
            self.sweep_at = (self.due_ns.len() * 2).min(ENTRIES_MAX);
        }
        let has_room = self.due_ns.len() < ENTRIES_MAX || self.due_ns.contains_key(&whose);
        let due_ns = self.due_ns.entry(if has_room { whose } else { crowd }).or_default();
        let next_ns = now_ns.max(*due_ns) + (MINUTE_NS / per_minute).max(1);
        let comes = next_ns <= now_ns + MINUTE_NS;
        if comes {
            *due_ns = next_ns;
        }
        comes
    }
}

fn rates_of(pace: Pace) -> Rates {
    Rates::default()
        .with(Flow::PublishMessages, pace.publish_messages_per_s)
        .with(Flow::PublishBytes, pace.publish_bytes_per_s)
        .with(Flow::ReceiveMessages, pace.receive_messages_per_s)
        .with(Flow::ReceiveBytes, pace.receive_bytes_per_s)
}

/// What another thread left behind when it panicked is as good as before: each change is one word.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fewer are not worth a look.
const ENTRIES_MIN: usize = 1024;

/// Of each table. Whoever comes beyond it is one of a crowd that is held to a rate together.
const ENTRIES_MAX: usize = 1 << 20;

const MINUTE: Duration = Duration::from_secs(60);
const MINUTE_NS: u64 = MINUTE.as_nanos() as u64;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_one_after_the_other() {
        let mut knocks = Knocks::default();
        let mut coming = |now_ns| (0..100).filter(|_| knocks.take(1, 0, 6, now_ns)).count();
        assert_eq!(coming(SECOND_NS), 6);
        assert_eq!(coming(5 * SECOND_NS), 0);
        assert_eq!(coming(11 * SECOND_NS), 1);
        assert_eq!(coming(31 * SECOND_NS), 2);
        assert_eq!(coming(500 * SECOND_NS), 6);
    }

    #[test]
    fn the_table_is_bounded_and_its_crowd_is_held_to_one_rate() {
        let mut knocks = Knocks::default();
        for whose in 1..=(ENTRIES_MAX as u64) {
            assert!(knocks.take(whose, 0, 2, SECOND_NS));
        }
        let beyond = 2 * ENTRIES_MAX as u64;
        let come = (beyond..beyond + 100).filter(|whose| knocks.take(*whose, 0, 2, SECOND_NS)).count();
        assert_eq!(come, 2);
        assert!(
            knocks.take(7, 0, 2, SECOND_NS) && !knocks.take(7, 0, 2, SECOND_NS),
            "who is known is not in it"
        );
        assert!(knocks.due_ns.len() <= ENTRIES_MAX + 1);
        assert!(knocks.take(beyond, 0, 2, 100 * SECOND_NS));
        assert!(knocks.due_ns.len() < 10, "what is over is forgotten");
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
