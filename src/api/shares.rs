//! Places of which one address has only a share, so that it cannot keep all others out.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use crate::metrics::Used;

#[derive(Debug)]
pub struct Shares {
    most: usize,
    taken: usize,
    /// Of addresses that have any.
    by_origin: HashMap<IpAddr, usize>,
    refused: u64,
}

/// There is no place: all are taken, or those that an address may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoPlace {
    OfAll,
    OfAddress,
}

impl Shares {
    pub fn new(most: usize) -> Shares {
        Shares { most, taken: 0, by_origin: HashMap::new(), refused: 0 }
    }

    /// Takes one for this origin.
    pub fn take(&mut self, origin: IpAddr) -> Result<(), NoPlace> {
        if self.taken >= self.most {
            return Err(NoPlace::OfAll);
        }
        let of_address = self.by_origin.get(&origin).copied().unwrap_or_default();
        if of_address >= share_of(self.most) {
            return Err(NoPlace::OfAddress);
        }
        self.by_origin.insert(origin, of_address + 1);
        self.taken += 1;
        Ok(())
    }

    pub fn give_back(&mut self, origin: IpAddr) {
        self.taken -= 1;
        let of_address = self.by_origin.get_mut(&origin).expect("an address with a place is counted");
        *of_address -= 1;
        if *of_address == 0 {
            self.by_origin.remove(&origin);
        }
    }

    /// Somebody has gone without one.
    pub fn note_refusal(&mut self) {
        self.refused += 1;
    }

    pub fn used(&self, place: &'static str) -> Used {
        Used { place, taken: self.taken as u64, most: self.most as u64, refused: self.refused }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.taken == 0 && self.by_origin.is_empty()
    }
}

/// Three quarters.
pub const fn share_of(most: usize) -> usize {
    most - most / 4
}

/// Those who count as one: everybody on this machine, and a /64 of IPv6.
pub fn origin_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_three_quarters() {
        let [one, other] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let mut shares = Shares::new(5);
        assert!((0..4).all(|_| shares.take(one).is_ok()));
        assert_eq!(shares.take(one), Err(NoPlace::OfAddress));
        assert_eq!((shares.take(other), shares.take(other)), (Ok(()), Err(NoPlace::OfAll)));
        [one, one, one, one, other].into_iter().for_each(|origin| shares.give_back(origin));
        assert!(shares.is_empty());
    }

    #[test]
    fn who_is_alone_has_one_where_there_is_one() {
        let mut shares = Shares::new(1);
        let origin = IpAddr::from([192, 0, 2, 1]);
        assert_eq!((shares.take(origin), shares.take(origin)), (Ok(()), Err(NoPlace::OfAll)));
    }

    #[test]
    fn this_machine_is_one_address_and_a_network_of_ipv6_as_well() {
        let same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|ip| origin_of(ip.parse().expect("an address")));
            one == other
        };
        assert!(
            same("127.0.0.1", "127.9.9.9") && same("127.0.0.1", "::1") && same("::ffff:127.0.0.1", "::1")
        );
        assert!(same("2001:db8::1", "2001:db8::ffff") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
    }
}
