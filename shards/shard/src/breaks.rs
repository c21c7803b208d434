//! How often connections of one client id end, so that two clients with the same one, or one that comes again and again, are told from
//! one that left. Nothing is decided by it: what is done about a contest is in `contests.rs`.

use std::{net::IpAddr, time::Duration};

use crate::{Instant, look::BreaksSeen};

/// Of one client id, within the last minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Breaks {
    current: Period,
    before: Option<Period>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Period {
    since: Instant,
    ended: u32,
    /// Of these, because another connection came.
    taken_over: u32,
    /// Where these were, the last one first.
    addresses: Addresses,
}

type Addresses = [Option<IpAddr>; 2];

impl Breaks {
    pub fn new(now: Instant) -> Breaks {
        Breaks { current: Period::new(now), before: None }
    }

    /// One more connection has ended, and its client has not taken leave.
    pub fn with_one(mut self, is_taken_over: bool, now: Instant) -> Breaks {
        if self.current.ended == 0 {
            self.current.since = now;
        }
        let age = now.since(self.current.since);
        if age >= PERIOD {
            self.before = (age < 2 * PERIOD).then_some(self.current);
            self.current = Period::new(now);
        }
        self.current.ended = self.current.ended.saturating_add(1);
        self.current.taken_over = self.current.taken_over.saturating_add(u32::from(is_taken_over));
        self
    }

    pub fn on_address(&mut self, ip: IpAddr) {
        add_address(&mut self.current.addresses, ip);
    }

    /// None: not often, or not lately.
    pub fn seen(&self, now: Instant) -> Option<BreaksSeen> {
        let Breaks { current, before } = self;
        let periods = before.iter().chain([current]);
        let (ended, taken_over) = periods.fold((0_u32, 0_u32), |(ended, taken_over), period| {
            (ended.saturating_add(period.ended), taken_over.saturating_add(period.taken_over))
        });
        let is_often = ended >= OFTEN && now.since(current.since) < 2 * PERIOD;
        let within = now.since(before.as_ref().unwrap_or(current).since);
        let addresses = self.addresses().into_iter().flatten().collect();
        is_often.then_some(BreaksSeen { within, ended, taken_over, addresses })
    }

    fn addresses(&self) -> Addresses {
        let earlier = self.before.map_or([None; 2], |before| before.addresses);
        let mut addresses = [None; 2];
        let from_the_first = earlier.into_iter().rev().chain(self.current.addresses.into_iter().rev());
        from_the_first.flatten().for_each(|ip| add_address(&mut addresses, ip));
        addresses
    }
}

impl Period {
    fn new(since: Instant) -> Period {
        Period { since, ended: 0, taken_over: 0, addresses: [None; 2] }
    }
}

/// The last two, each once.
fn add_address(addresses: &mut Addresses, ip: IpAddr) {
    let [last, before] = *addresses;
    if last != Some(ip) {
        let other = if before == Some(ip) { last } else { last.or(before) };
        *addresses = [Some(ip), other];
    }
}

/// A new one begins after so long, and the one before counts with it.
const PERIOD: Duration = Duration::from_secs(600);

/// Fewer are nothing to speak of.
pub(crate) const OFTEN: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::START.add_secs(1000 + seconds)
    }

    #[test]
    fn what_is_rare_or_long_ago_is_not_told() {
        let mut breaks = Breaks::new(at(0));
        for n in 0..2 {
            breaks = breaks.with_one(true, at(n));
            assert_eq!(breaks.seen(at(n)), None, "{n}");
        }
        breaks = breaks.with_one(false, at(2));
        let seen = breaks.seen(at(60)).expect("it is often");
        assert_eq!((seen.ended, seen.taken_over, seen.within.as_secs()), (3, 2, 60));
        assert_eq!(breaks.seen(at(1200)), None);
    }

    #[test]
    fn so_many_are_told_as_came_within_the_time_that_is_told() {
        let mut breaks = Breaks::new(at(0));
        for minute in 0..600 {
            breaks = breaks.with_one(true, at(minute * 60));
            let Some(seen) = breaks.seen(at(minute * 60)) else { continue };
            assert_eq!(u64::from(seen.ended), seen.within.as_secs() / 60 + 1, "{minute}");
            assert!(seen.within < 2 * PERIOD, "{seen:?}");
        }
        let after_peace = breaks.with_one(true, at(100_000));
        assert_eq!(after_peace.seen(at(100_000)), None);
    }

    #[test]
    fn an_address_is_told_as_long_as_the_connections_that_came_from_there() {
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        let mut breaks = Breaks::new(at(0)).with_one(true, at(0));
        breaks.on_address(ip(1));
        for n in 0..3 {
            breaks = breaks.with_one(true, at(100_000 + n));
            breaks.on_address(ip(2));
        }
        let seen = breaks.seen(at(100_003)).expect("it is often");
        assert_eq!(seen.addresses, [ip(2)], "that of last week counts no more");
        breaks = breaks.with_one(true, at(100_700));
        breaks.on_address(ip(3));
        assert_eq!(breaks.seen(at(100_700)).expect("it is often").addresses, [ip(3), ip(2)]);
    }

    #[test]
    fn the_last_two_addresses_are_kept_each_once() {
        let ip = |last| IpAddr::from([192, 0, 2, last]);
        let mut breaks = Breaks::new(at(0));
        for last in [1, 2, 1, 1, 2] {
            breaks.on_address(ip(last));
        }
        assert_eq!(breaks.addresses(), [Some(ip(2)), Some(ip(1))]);
        breaks.on_address(ip(3));
        assert_eq!(breaks.addresses(), [Some(ip(3)), Some(ip(2))]);
    }
}
