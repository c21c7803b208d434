//! Those who are turned away before they are clients: as many as anybody likes to send. One line for each address and second, and a
//! count of the others, keep a flood of them from pushing everything else out of the file.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

#[derive(Debug, Default)]
pub struct Strangers {
    /// Those of the last second; none stands for all who come by a socket in the file system.
    by_address: HashMap<Option<IpAddr>, Stranger>,
    /// Of addresses for which there is no room.
    others: u64,
    others_told_at: Option<Instant>,
}

#[derive(Debug)]
struct Stranger {
    told_at: Instant,
    untold: u64,
}

impl Strangers {
    /// Whether there is to be a line of this one. It is counted otherwise.
    pub fn takes(&mut self, address: Option<IpAddr>, now: Instant) -> bool {
        if let Some(stranger) = self.by_address.get_mut(&address) {
            stranger.untold += 1;
            return false;
        }
        let has_room = self.by_address.len() < ADDRESSES_MAX;
        if has_room {
            self.by_address.insert(address, Stranger { told_at: now, untold: 0 });
        } else {
            self.others += 1;
        }
        has_room
    }

    /// How many more there were whose second is over, or of everybody. Without an address: of all others together.
    pub fn count(&mut self, now: Instant, all: bool) -> Vec<(Option<IpAddr>, u64)> {
        let is_over = |told_at: Instant| all || now.saturating_duration_since(told_at) >= PERIOD;
        let mut more = Vec::new();
        self.by_address.retain(|address, stranger| {
            if !is_over(stranger.told_at) {
                return true;
            }
            let untold = std::mem::replace(stranger, Stranger { told_at: now, untold: 0 }).untold;
            if untold > 0 {
                more.push((*address, untold));
            }
            untold > 0
        });
        if self.others > 0 && self.others_told_at.is_none_or(is_over) {
            self.others_told_at = Some(now);
            more.push((None, std::mem::take(&mut self.others)));
        }
        more
    }

    /// There is nothing to be told later.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty() && self.others == 0
    }
}

pub const PERIOD: Duration = Duration::from_secs(1);

/// Addresses with lines of their own at a time.
const ADDRESSES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u16) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, (last >> 8) as u8, last as u8]))
    }

    #[test]
    fn an_address_has_one_line_a_second_and_then_a_count() {
        let began = Instant::now();
        let later = |ms| began + Duration::from_millis(ms);
        let mut strangers = Strangers::default();
        assert!(strangers.takes(ip(1), began) && strangers.takes(ip(2), later(500)));
        assert!((0..100).all(|_| !strangers.takes(ip(1), later(900))));
        assert_eq!(strangers.count(later(999), false), []);
        assert_eq!(strangers.count(later(1000), false), [(ip(1), 100)]);
        assert!(!strangers.takes(ip(1), later(1500)), "the count was its line");
        assert!(strangers.takes(None, later(1500)));
        assert_eq!(strangers.count(later(2000), false), [(ip(1), 1)]);
        assert_eq!(strangers.count(later(3000), false), []);
        assert!(strangers.is_empty() && strangers.takes(ip(1), later(3000)));
    }

    #[test]
    fn a_crowd_of_addresses_is_told_as_one() {
        let began = Instant::now();
        let mut strangers = Strangers::default();
        let told = (0..1000).filter(|last| strangers.takes(ip(*last), began)).count();
        assert_eq!(told, ADDRESSES_MAX);
        assert_eq!(strangers.count(began, false), [(None, 1000 - ADDRESSES_MAX as u64)]);
        assert!(!strangers.takes(ip(2000), began));
        assert_eq!(strangers.count(began, false), [], "not more than once a second");
        assert_eq!(strangers.count(began, true), [(None, 1)]);
        assert!(strangers.is_empty());
    }
}
