//! Those who never become clients, because they are turned away, refused, or speak something else: as many as anybody likes to send.
//! One line for each address and second, and a count of the others, keep a flood of them from pushing everything else out of the file.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::Kind;

#[derive(Debug, Default)]
pub struct Strangers {
    refused: Crowd,
    /// These take no room from those.
    violations: Crowd,
}

/// What they have in common of whom an address has one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sort {
    pub kind: Kind,
    /// What turned them away; none for those who have said something in MQTT.
    pub by: Option<&'static str>,
}

/// How many more there were of an address; without one and a reason: of all others together.
#[derive(Debug, PartialEq, Eq)]
pub struct More {
    pub address: Option<IpAddr>,
    pub sort: Sort,
    pub why: Option<String>,
    pub count: u64,
}

#[derive(Debug, Default)]
struct Crowd {
    /// Those of the last second; none stands for all who come by a socket in the file system.
    by_address: HashMap<(Option<IpAddr>, Sort), Stranger>,
    /// Of addresses for which there is no room.
    others: u64,
    others_told_at: Option<Instant>,
}

#[derive(Debug)]
struct Stranger {
    told_at: Instant,
    untold: u64,
    /// The reason of the last that is untold.
    why: String,
}

impl Strangers {
    /// Whether there is to be a line of this one. It is counted otherwise.
    pub fn takes(&mut self, address: Option<IpAddr>, sort: Sort, why: &str, now: Instant) -> bool {
        let crowd = if sort.kind == Kind::Violation { &mut self.violations } else { &mut self.refused };
        crowd.takes(address, sort, why, now)
    }

    /// Of those whose second is over, or of everybody.
    pub fn count(&mut self, now: Instant, all: bool) -> Vec<More> {
        let mut more = self.refused.count(Kind::Refused, now, all);
        more.extend(self.violations.count(Kind::Violation, now, all));
        more
    }

    /// There is nothing to be told later.
    pub fn is_empty(&self) -> bool {
        self.refused.is_empty() && self.violations.is_empty()
    }
}

impl Crowd {
    fn takes(&mut self, address: Option<IpAddr>, sort: Sort, why: &str, now: Instant) -> bool {
        if let Some(stranger) = self.by_address.get_mut(&(address, sort)) {
            stranger.untold += 1;
            stranger.why.clear();
            stranger.why.push_str(why);
            return false;
        }
        let has_room = self.by_address.len() < ADDRESSES_MAX;
        if has_room {
            self.by_address.insert((address, sort), Stranger { told_at: now, untold: 0, why: String::new() });
        } else {
            self.others += 1;
        }
        has_room
    }

    fn count(&mut self, kind: Kind, now: Instant, all: bool) -> Vec<More> {
        let is_over = |told_at: Instant| all || now.saturating_duration_since(told_at) >= PERIOD;
        let mut more = Vec::new();
        self.by_address.retain(|(address, sort), stranger| {
            if !is_over(stranger.told_at) {
                return true;
            }
            let count = std::mem::take(&mut stranger.untold);
            if count > 0 {
                stranger.told_at = now;
                let why = Some(std::mem::take(&mut stranger.why));
                more.push(More { address: *address, sort: *sort, why, count });
            }
            count > 0
        });
        if self.others > 0 && self.others_told_at.is_none_or(is_over) {
            self.others_told_at = Some(now);
            let count = std::mem::take(&mut self.others);
            more.push(More { address: None, sort: Sort { kind, by: None }, why: None, count });
        }
        more
    }

    fn is_empty(&self) -> bool {
        self.by_address.is_empty() && self.others == 0
    }
}

pub const PERIOD: Duration = Duration::from_secs(1);

/// Addresses with lines of their own at a time.
const ADDRESSES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const TLS: Sort = Sort { kind: Kind::Refused, by: Some("tls") };
    const BANS: Sort = Sort { by: Some("bans"), ..TLS };
    const VIOLATION: Sort = Sort { kind: Kind::Violation, by: None };

    fn ip(last: u16) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, (last >> 8) as u8, last as u8]))
    }

    fn more(address: Option<IpAddr>, why: &str, count: u64) -> More {
        More { address, sort: TLS, why: Some(why.to_owned()), count }
    }

    fn others(count: u64) -> More {
        More { address: None, sort: Sort { by: None, ..TLS }, why: None, count }
    }

    #[test]
    fn an_address_has_one_line_a_second_and_then_a_count_with_the_last_reason() {
        let began = Instant::now();
        let later = |ms| began + Duration::from_millis(ms);
        let mut strangers = Strangers::default();
        assert!(strangers.takes(ip(1), TLS, "a", began) && strangers.takes(ip(2), TLS, "a", later(500)));
        assert!((0..100).all(|_| !strangers.takes(ip(1), TLS, "a", later(900))));
        assert!(!strangers.takes(ip(1), TLS, "b", later(950)));
        assert_eq!(strangers.count(later(999), false), []);
        assert_eq!(strangers.count(later(1000), false), [more(ip(1), "b", 101)]);
        assert!(!strangers.takes(ip(1), TLS, "c", later(1500)), "the count was its line");
        assert!(strangers.takes(ip(1), BANS, "d", later(1500)), "what turns it away is something else");
        assert_eq!(strangers.count(later(2000), false), [more(ip(1), "c", 1)]);
        assert_eq!(strangers.count(later(3000), false), []);
        assert!(strangers.is_empty() && strangers.takes(ip(1), TLS, "a", later(3000)));
    }

    #[test]
    fn a_crowd_of_addresses_is_told_as_one() {
        let began = Instant::now();
        let mut strangers = Strangers::default();
        let told = (0..1000).filter(|last| strangers.takes(ip(*last), TLS, "a", began)).count();
        assert_eq!(told, ADDRESSES_MAX);
        assert_eq!(strangers.count(began, false), [others(1000 - ADDRESSES_MAX as u64)]);
        assert!(!strangers.takes(ip(2000), TLS, "a", began));
        assert_eq!(strangers.count(began, false), [], "not more than once a second");
        assert!(strangers.takes(ip(2000), VIOLATION, "a", began), "another crowd");
        assert!(!strangers.takes(ip(2000), VIOLATION, "b", began));
        let violation = More { sort: VIOLATION, ..more(ip(2000), "b", 1) };
        assert_eq!(strangers.count(began, true), [others(1), violation]);
        assert_eq!(strangers.count(began, true), []);
        assert!(strangers.is_empty());
    }
}
