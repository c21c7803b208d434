//! From configured addresses to those that the sockets are bound to.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
};

use crate::config::Address;

/// Where the broker is to listen.
#[derive(Debug, PartialEq, Eq)]
pub struct Listen {
    pub addresses: Vec<SocketAddr>,
    /// Default addresses that this machine does not have: a machine without IPv6 still gets its broker.
    pub missing: Vec<SocketAddr>,
}

/// Resolves names. An address that somebody asked for is never left out; whether it exists, the runtime finds out.
pub fn resolve(addresses: &[Address], by_default: bool) -> Result<Listen, String> {
    let mut listen = Listen { addresses: Vec::new(), missing: Vec::new() };
    for address in addresses {
        for resolved in lookup(address)? {
            if by_default && is_missing(resolved) {
                listen.missing.push(resolved);
            } else if !listen.addresses.contains(&resolved) {
                listen.addresses.push(resolved);
            }
        }
    }
    Ok(listen)
}

/// Whether others than this machine can connect there.
pub fn is_open(address: &SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}

fn lookup(address: &Address) -> Result<Vec<SocketAddr>, String> {
    let failed = |why: &str| {
        format!(
            "cannot listen on {address}: the name has no address ({why}). Write an IP address, or 0.0.0.0 for all"
        )
    };
    match (address.host.as_str(), address.port).to_socket_addrs() {
        Ok(found) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() { Err(failed("none found")) } else { Ok(found) }
        }
        Err(error) => Err(failed(&error.to_string())),
    }
}

fn is_missing(address: SocketAddr) -> bool {
    // Any free port shows whether the address itself exists.
    match TcpListener::bind(SocketAddr::new(address.ip(), 0)) {
        Ok(_) => false,
        Err(error) => {
            error.kind() == io::ErrorKind::AddrNotAvailable
                || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| Address::parse(text).expect(text)).collect()
    }

    #[test]
    fn an_address_that_is_asked_for_is_kept_and_a_default_one_may_be_missing() {
        // The address is of the block for documentation: no machine has it.
        let asked = addresses(&["tcp://127.0.0.1:1", "tcp://192.0.2.1:1"]);
        let explicit = resolve(&asked, false).expect("resolved");
        assert_eq!(explicit.addresses.len(), 2);
        let by_default = resolve(&asked, true).expect("resolved");
        assert_eq!(by_default.addresses, [SocketAddr::from(([127, 0, 0, 1], 1))]);
        assert_eq!(by_default.missing, [SocketAddr::from(([192, 0, 2, 1], 1))]);
    }

    #[test]
    fn the_same_address_is_listened_on_once() {
        let listen = resolve(&addresses(&["tcp://127.0.0.1:5", "127.0.0.1:5"]), false).expect("resolved");
        assert_eq!(listen.addresses.len(), 1);
    }

    #[test]
    fn a_name_without_address_is_named() {
        let error = resolve(&addresses(&["tcp://no-such-host.invalid:1883"]), false).expect_err("no address");
        assert!(
            error.starts_with("cannot listen on tcp://no-such-host.invalid:1883: the name has no address ("),
            "{error}"
        );
    }

    #[test]
    fn only_loopback_is_closed() {
        for (text, open) in [
            ("127.0.0.1:1", false),
            ("127.9.9.9:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("192.0.2.1:1", true),
        ] {
            assert_eq!(is_open(&text.parse().expect(text)), open, "{text}");
        }
    }
}
