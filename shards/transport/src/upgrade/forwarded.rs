//! X-Forwarded-For: each proxy appends whom it heard from. Only what trusted proxies have appended can be believed.

use core::net::{IpAddr, SocketAddr};

use crate::Prefix;

/// The last address of the chain that is no trusted proxy. Where all are trusted, the first: the client is one of them.
/// `None`: the chain is empty, or unreadable where it would matter.
pub fn client(chain: &[&str], trusted: &[Prefix]) -> Option<IpAddr> {
    let mut client = None;
    for entry in chain.iter().rev() {
        let address = address(entry)?;
        client = Some(address);
        if !is_trusted(trusted, address) {
            break;
        }
    }
    client
}

pub fn is_trusted(trusted: &[Prefix], address: IpAddr) -> bool {
    trusted.iter().any(|prefix| prefix.contains(address))
}

/// Some proxies write the port as well, and an IPv6 address in brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse::<IpAddr>().ok();
    let address = address.or_else(|| Some(entry.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}
