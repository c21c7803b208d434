//! A listen address: how it is written, and what is wrong with one that is written otherwise.

use std::{fmt, net::Ipv6Addr};

/// `tcp://HOST:PORT`. The host is a name or an IP address; it is resolved when the broker starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// MQTT's registered port.
    pub const PORT: u16 = 1883;

    /// This machine only, on both families.
    pub fn loopback(port: u16) -> Vec<Address> {
        ["127.0.0.1", "::1"].map(|host| Address { host: host.to_owned(), port }).into()
    }

    /// The error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Address, String> {
        let rest = match text.split_once("://") {
            Some(("tcp", rest)) => rest,
            Some((scheme, _)) => return Err(format!("{scheme}:// is not supported: {EXPECTED}")),
            None => text,
        };
        let (host, port) = split(rest)?;
        let plausible = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
        if host == "*" {
            return Err("* is not an address: write 0.0.0.0 for every IPv4 address, [::] for every address"
                .to_owned());
        }
        if rest.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty() {
            return Err(format!(
                "a number alone is not a host (-p {rest} changes only the port): {EXPECTED}"
            ));
        }
        if host.is_empty() || !host.chars().all(plausible) {
            return Err(EXPECTED.to_owned());
        }
        Ok(Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "tcp://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "tcp://{}:{}", self.host, self.port)
        }
    }
}

/// Host and port; without a port it is MQTT's own.
fn split(rest: &str) -> Result<(&str, u16), String> {
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or(EXPECTED)?;
        host.split('%').next().unwrap_or(host).parse::<Ipv6Addr>().map_err(|_| EXPECTED)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, number(port)?)),
            None if after.is_empty() => Ok((host, Address::PORT)),
            None => Err(EXPECTED.to_owned()),
        };
    }
    match rest.split_once(':') {
        Some((_, after)) if after.contains(':') => {
            Err(format!("an IPv6 address stands in brackets: {EXPECTED}"))
        }
        Some((host, port)) => Ok((host, number(port)?)),
        None => Ok((rest, Address::PORT)),
    }
}

fn number(port: &str) -> Result<u16, String> {
    port.parse().map_err(|_| format!("the port is a number from 0 to 65535: {EXPECTED}"))
}

const EXPECTED: &str = "expected tcp://HOST:PORT, for example tcp://0.0.0.0:1883 or tcp://[::]:1883";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_shown() {
        for (text, shown) in [
            ("tcp://127.0.0.1:1883", "tcp://127.0.0.1:1883"),
            ("127.0.0.1:1884", "tcp://127.0.0.1:1884"),
            ("tcp://[::1]:1885", "tcp://[::1]:1885"),
            ("[::]", "tcp://[::]:1883"),
            ("tcp://[fe80::1%eth0]:1", "tcp://[fe80::1%eth0]:1"),
            ("broker.example", "tcp://broker.example:1883"),
            ("tcp://localhost:0", "tcp://localhost:0"),
        ] {
            assert_eq!(Address::parse(text).expect(text).to_string(), shown);
        }
    }

    #[test]
    fn every_wrong_address_says_what_would_be_right() {
        for (text, start) in [
            ("tls://0.0.0.0:8883", "tls:// is not supported: expected tcp://HOST:PORT"),
            ("unix:///run/mqtt", "unix:// is not supported"),
            ("tcp://*:1883", "* is not an address: write 0.0.0.0"),
            ("tcp://::1:1883", "an IPv6 address stands in brackets"),
            ("1883", "a number alone is not a host (-p 1883 changes only the port): expected tcp://"),
            ("tcp://0.0.0.0:65536", "the port is a number from 0 to 65535"),
            ("tcp://0.0.0.0:", "the port is a number"),
            ("tcp://:1883", "expected tcp://HOST:PORT"),
            ("tcp://[nonsense]:1", "expected tcp://HOST:PORT"),
            ("tcp://[::1", "expected tcp://HOST:PORT"),
            ("tcp://[::1]x", "expected tcp://HOST:PORT"),
            ("tcp://host/path", "expected tcp://HOST:PORT"),
            ("", "expected tcp://HOST:PORT"),
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.starts_with(start), "{text}: {error}");
        }
    }
}
