//! Prefixes of addresses, `10.0.0.0/8` or `::1`: whom the configuration means when it speaks of a network.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use thiserror::Error;

/// All addresses that begin with the same bits. An IPv4 address that is mapped into IPv6 counts as what it is.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Prefix {
    /// The bits beyond the prefix are zero.
    address: IpAddr,
    bits: u8,
}

/// A text that is no prefix, and what to write instead.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BadPrefix {
    #[error("`{0}` is no address: write one like 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32")]
    Address(String),
    #[error("`{text}` has no number from 0 to {bits_max} behind its slash")]
    Length { text: String, bits_max: u8 },
    #[error("`{text}` has bits set beyond its length: write {meant}")]
    Excess { text: String, meant: Prefix },
}

impl Prefix {
    /// The network in which this address is. `None`: addresses have fewer bits.
    pub fn around(address: IpAddr, bits: u8) -> Option<Prefix> {
        if bits > bits_of(address) {
            return None;
        }
        let address = match address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Some(Prefix { address, bits })
    }

    /// This address alone.
    pub fn of(address: IpAddr) -> Prefix {
        let address = address.to_canonical();
        Prefix { address, bits: bits_of(address) }
    }

    /// Whom an address stands for where attempts are counted: a network of IPv6 gives one customer a /64 at least.
    pub fn that_counts(address: IpAddr) -> Prefix {
        let address = address.to_canonical();
        let bits = if address.is_ipv4() { 32 } else { CUSTOMER_BITS };
        Prefix::around(address, bits).expect("no address of IPv6 has fewer bits")
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        Prefix::around(address.to_canonical(), self.bits) == Some(*self)
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    pub fn bits(&self) -> u8 {
        self.bits
    }
}

impl FromStr for Prefix {
    type Err = BadPrefix;

    fn from_str(text: &str) -> Result<Prefix, BadPrefix> {
        let (address, length) = text.split_once('/').map_or((text, None), |(a, length)| (a, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| BadPrefix::Address(text.to_owned()))?;
        let Some(length) = length else { return Ok(Prefix::of(address)) };
        let bad = || BadPrefix::Length { text: text.to_owned(), bits_max: bits_of(address) };
        let is_number = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = length.parse().ok().filter(|_| is_number).ok_or_else(bad)?;
        let prefix = Prefix::around(address, bits).ok_or_else(bad)?;
        if prefix.address != address {
            return Err(BadPrefix::Excess { text: text.to_owned(), meant: prefix });
        }
        // Connections are compared by their IPv4 address.
        match (address.to_canonical(), bits.checked_sub(MAPPED_BITS)) {
            (IpAddr::V4(mapped), Some(bits)) if address.is_ipv6() => {
                Ok(Prefix { address: IpAddr::V4(mapped), bits })
            }
            _ => Ok(prefix),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == bits_of(self.address) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.bits)
    }
}

fn bits_of(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// What all addresses of one customer have in common.
const CUSTOMER_BITS: u8 = 64;

/// What stands before an IPv4 address that is mapped into IPv6.
const MAPPED_BITS: u8 = 96;
