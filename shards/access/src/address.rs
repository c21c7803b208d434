//! Networks of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.

use core::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// All addresses that begin with the same bits.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    pub fn parse(text: &str) -> Result<Network, &'static str> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "is no IP address")?;
        let bits_max = width(address);
        let bits = match bits {
            None => bits_max,
            Some(bits) => {
                let bits: u8 = bits.parse().map_err(|_| "has no number of bits behind `/`")?;
                if bits > bits_max {
                    return Err("has more bits behind `/` than an address has");
                }
                bits
            }
        };
        if number(address) & !mask(bits, bits_max) != 0 {
            return Err("has bits behind its prefix: write zeros there");
        }
        Ok(Network { address, bits })
    }

    /// The network in which this address is. None: addresses have fewer bits.
    pub fn around(address: IpAddr, bits: u8) -> Option<Network> {
        let bits_max = width(address);
        if bits > bits_max {
            return None;
        }
        let first = number(address) & mask(bits, bits_max);
        let address = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(first as u32)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(first)),
        };
        Some(Network { address, bits })
    }

    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// An IPv4 address inside IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let bits_max = width(self.address);
        width(address) == bits_max
            && (number(address) ^ number(self.address)) & mask(self.bits, bits_max) == 0
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == width(self.address) {
            true => self.address.fmt(f),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The first `bits` of `width` bits.
fn mask(bits: u8, width: u8) -> u128 {
    let all = if width == 128 { u128::MAX } else { (1 << width) - 1 };
    match u32::from(width - bits) {
        128 => 0,
        rest => all >> rest << rest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_with_its_prefix() {
        for (network, address, contains) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("192.168.1.7", "192.168.1.7", true),
            ("192.168.1.7", "192.168.1.6", false),
            ("192.168.1.6/31", "192.168.1.7", true),
            ("::/0", "fe80::1", true),
            ("::/0", "10.0.0.1", false),
            ("fd00::/8", "fdff::1", true),
            ("fd00::/8", "fe00::1", false),
            ("::1", "::1", true),
        ] {
            let parsed = Network::parse(network).expect(network);
            assert_eq!(parsed.contains(address.parse().expect(address)), contains, "{network} {address}");
        }
    }

    #[test]
    fn the_network_around_an_address_has_it() {
        for (address, bits, network) in [
            ("10.1.2.3", 8, Some("10.0.0.0/8")),
            ("10.1.2.3", 32, Some("10.1.2.3")),
            ("10.1.2.3", 0, Some("0.0.0.0/0")),
            ("10.1.2.3", 33, None),
            ("2001:db8:1:2:3::4", 64, Some("2001:db8:1:2::/64")),
            ("2001:db8::1", 0, Some("::/0")),
            ("2001:db8::1", 129, None),
        ] {
            let around = Network::around(address.parse().expect(address), bits);
            let expected = network.map(|network| Network::parse(network).expect(network));
            assert_eq!(around, expected, "{address}/{bits}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in
            ["", "10", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8", "::1/129", "::1/64", "a/8", "10.0.0.0/-1"]
        {
            assert!(Network::parse(text).is_err(), "{text}");
        }
    }
}
