//! Addresses and networks from which nobody may come in.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use shard::Instant;
use transport::Prefix;

/// All that are banned, each for a time or for ever. Replaced as a whole.
#[derive(Debug, Clone, Default)]
pub struct Bans {
    pub networks: Networks,
    pub names: Arc<shard::Bans>,
}

pub type Networks = Vec<(Prefix, Option<Duration>)>;

/// With the moments when they end.
#[derive(Default)]
pub(crate) struct Barred {
    networks: HashMap<Prefix, Option<Instant>>,
    /// Of the networks: few, however many networks there are.
    lengths: BTreeSet<u8>,
}

impl Barred {
    pub fn new(networks: &[(Prefix, Option<Duration>)], now: Instant) -> Barred {
        let ends = networks.iter().map(|(network, lasts)| (*network, lasts.map(|lasts| now + lasts)));
        Barred { networks: ends.collect(), lengths: networks.iter().map(|(it, _)| it.bits()).collect() }
    }

    pub fn holds(&self, ip: IpAddr, now: Instant) -> bool {
        let ip = ip.to_canonical();
        self.lengths.iter().filter_map(|bits| Prefix::around(ip, *bits)).any(|network| {
            self.networks.get(&network).is_some_and(|ends_at| ends_at.is_none_or(|at| at > now))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_barred_with_its_network_until_that_is_over() {
        let network = |text: &str, lasts: Option<u64>| {
            (text.parse().expect("a network"), lasts.map(Duration::from_secs))
        };
        let now = Instant::START.add_secs(5);
        let networks = [
            network("192.0.2.0/24", None),
            network("198.51.100.7", Some(10)),
            network("2001:db8::/32", None),
        ];
        let barred = Barred::new(&networks, now);
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
        assert!(!Barred::default().holds("192.0.2.1".parse().expect("an address"), now));
    }
}
