//! Networks from which nobody may come in. The edge asks it for addresses of connections, the shard for those of wills.

use core::{net::IpAddr, time::Duration};
use std::collections::{BTreeMap, BTreeSet};

use access::Network;

use crate::{Instant, bans::Ends};

/// With the moments when the bans end. One look for each length of a prefix.
#[derive(Debug, Default)]
pub struct BarredNetworks {
    ends_at: BTreeMap<Network, Option<Instant>>,
    /// Of the networks: few, however many networks there are.
    lengths: BTreeSet<u8>,
}

impl BarredNetworks {
    pub fn new(networks: &[(Network, Option<Duration>)], now: Instant) -> BarredNetworks {
        let ends_at = networks.iter().map(|(network, lasts)| (*network, lasts.map(|lasts| now + lasts)));
        BarredNetworks {
            ends_at: ends_at.collect(),
            lengths: networks.iter().map(|(network, _)| network.bits()).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.ends_at.is_empty()
    }

    pub fn holds(&self, ip: IpAddr, now: Instant) -> bool {
        self.around(ip, now).is_some()
    }

    /// The widest in which it is.
    pub(crate) fn around(&self, ip: IpAddr, now: Instant) -> Option<(Network, Ends)> {
        let ip = ip.to_canonical();
        self.lengths
            .iter()
            .filter_map(|bits| Network::around(ip, *bits))
            .find_map(|network| Some((network, Ends::of(*self.ends_at.get(&network)?, now)?)))
    }

    /// How many hold.
    pub(crate) fn count(&self, now: Instant) -> usize {
        self.ends_at.values().filter(|at| Ends::of(**at, now).is_some()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_barred_with_its_network_until_that_is_over() {
        let network = |text: &str, lasts: Option<u64>| {
            (Network::parse(text).expect("a network"), lasts.map(Duration::from_secs))
        };
        let now = Instant::START.add_secs(5);
        let networks = [
            network("192.0.2.0/24", None),
            network("198.51.100.7", Some(10)),
            network("2001:db8::/32", None),
        ];
        let barred = BarredNetworks::new(&networks, now);
        for (ip, after_s, expected) in [
            ("192.0.2.1", 0, true),
            ("192.0.3.1", 0, false),
            ("::ffff:192.0.2.255", 1_000_000, true),
            ("198.51.100.7", 9, true),
            ("198.51.100.7", 10, false),
            ("198.51.100.8", 0, false),
            ("2001:db8:7::1", 0, true),
            ("2001:db9::1", 0, false),
        ] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(barred.holds(ip, now.add_secs(after_s)), expected, "{ip} after {after_s} s");
        }
        assert!(!BarredNetworks::default().holds("192.0.2.1".parse().expect("an address"), now));
    }
}
