//! From configured addresses to the places that the doors are at.

use std::{
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
};

use crate::config::{self, Address, Fault, Listener, Scheme, Settings};

/// Where the broker is to listen.
#[derive(Debug, PartialEq, Eq)]
pub struct Listen {
    pub entrances: Vec<Entrance>,
    /// Default addresses that this machine does not have: a machine without IPv6 still gets its broker.
    pub missing: Vec<SocketAddr>,
}

/// One place with what the configuration says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    pub address: Address,
    pub listener: Listener,
    pub place: runtime::Place,
}

impl Entrance {
    /// A port for everything does where there is a certificate.
    pub fn speaks_tls(&self, settings: &Settings) -> bool {
        let scheme = self.address.scheme;
        scheme.needs_tls() || scheme == Scheme::Any && self.listener.tls(&settings.tls).is_configured()
    }
}

/// Resolves names. An address that somebody asked for is never left out; whether it exists, the runtime finds out.
pub fn resolve(listeners: Vec<Listener>, by_default: bool) -> Result<Listen, Vec<Fault>> {
    let (listen, faults) = resolve_all(listeners, by_default);
    if faults.is_empty() { Ok(listen) } else { Err(faults) }
}

/// Those that can be had, and what is wrong with the others.
pub fn resolve_all(listeners: Vec<Listener>, by_default: bool) -> (Listen, Vec<Fault>) {
    let mut listen = Listen { entrances: Vec::new(), missing: Vec::new() };
    let mut faults = Vec::new();
    for listener in listeners {
        let address = listener.address.clone().expect("the file was read, and each has one");
        let (section, name) = config::listen_addresses();
        let fault = |what| Fault::of(section, name, what).at(&address);
        let places = lookup(&address, &listener).map_err(|what| faults.push(fault(what)));
        for place in places.unwrap_or_default() {
            if let runtime::Place::Tcp(resolved) = place
                && by_default
                && is_missing(resolved)
            {
                listen.missing.push(resolved);
                continue;
            }
            match listen.entrances.iter().find(|known| known.place == place && !is_chosen(&place)) {
                None => {
                    let (address, listener) = (address.clone(), listener.clone());
                    listen.entrances.push(Entrance { address, listener, place });
                }
                Some(known)
                    if known.address.scheme == address.scheme && is_plain(&known.listener, &listener) => {}
                Some(known) => faults.push(fault(format!(
                    "cannot listen on {address}: {place} is that of {}, too. Give each an address of its own",
                    known.address
                ))),
            }
        }
    }
    (listen, faults)
}

/// The system chooses the port: it never chooses the same twice.
pub fn is_chosen(place: &runtime::Place) -> bool {
    matches!(place, runtime::Place::Tcp(address) if address.port() == 0)
}

/// By which rules and those who are asked know each: its address, and a number behind it where there are several.
pub fn names(entrances: &[Entrance]) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = Vec::new();
    for entrance in entrances {
        let address = entrance.address.to_string();
        let several = (2..).map(|number| format!("{address}#{number}"));
        let mut candidates = std::iter::once(address.clone()).chain(several);
        let name = candidates.find(|name| !names.iter().any(|known| **known == **name));
        names.push(name.expect("there are more numbers than listeners").into());
    }
    names
}

/// Whether others than this machine can connect there.
pub fn is_open(place: &runtime::Place) -> bool {
    match place {
        runtime::Place::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        runtime::Place::Unix { .. } => false,
    }
}

/// As somebody would write it who wants to connect there.
pub fn shown(scheme: Scheme, place: &runtime::Place) -> String {
    match place {
        runtime::Place::Tcp(address) => format!("{}://{address}", scheme.name()),
        runtime::Place::Unix { .. } => place.to_string(),
    }
}

/// Both say nothing but their addresses, which may be two names of one.
fn is_plain(one: &Listener, other: &Listener) -> bool {
    [one, other]
        .into_iter()
        .all(|listener| *listener == Listener { address: listener.address.clone(), ..Listener::default() })
}

fn lookup(address: &Address, listener: &Listener) -> Result<Vec<runtime::Place>, String> {
    let (host, port) = match &address.place {
        config::Place::Host { host, port } => (host.as_str(), *port),
        config::Place::Path(path) => {
            let mode = u32::try_from(listener.socket_mode).expect("the range of its key fits");
            return Ok(vec![runtime::Place::Unix { path: path.clone(), mode }]);
        }
    };
    let failed = |why: &str| {
        format!(
            "cannot listen on {address}: the name has no address ({why}). Write an IP address, or 0.0.0.0 for all"
        )
    };
    match (host, port).to_socket_addrs() {
        Ok(found) => {
            let found: Vec<runtime::Place> = found.map(runtime::Place::Tcp).collect();
            if found.is_empty() { Err(failed("none found")) } else { Ok(found) }
        }
        Err(error) => Err(failed(&error.to_string())),
    }
}

/// This machine does not have the address.
pub fn is_missing(address: SocketAddr) -> bool {
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

    fn listeners(texts: &[&str]) -> Vec<Listener> {
        texts.iter().map(|text| Listener::at(Address::parse(text).expect(text))).collect()
    }

    #[test]
    fn an_address_that_is_asked_for_is_kept_and_a_default_one_may_be_missing() {
        // The address is of the block for documentation: no machine has it.
        let asked = listeners(&["tcp://127.0.0.1:1", "tcp://192.0.2.1:1"]);
        let explicit = resolve(asked.clone(), false).expect("resolved");
        assert_eq!(explicit.entrances.len(), 2);
        let by_default = resolve(asked, true).expect("resolved");
        let kept = runtime::Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 1)));
        assert_eq!(by_default.entrances.len(), 1);
        assert_eq!(by_default.entrances[0].place, kept);
        assert_eq!(by_default.missing, [SocketAddr::from(([192, 0, 2, 1], 1))]);
    }

    #[test]
    fn the_same_address_is_listened_on_once() {
        let listen = resolve(listeners(&["tcp://127.0.0.1:5", "127.0.0.1:5"]), false).expect("resolved");
        assert_eq!(listen.entrances.len(), 1);
        let twice = resolve(listeners(&["tcp://127.0.0.1:5", "tls://127.0.0.1:5"]), false);
        let faults = twice.expect_err("one place for two");
        assert!(faults[0].what.contains("127.0.0.1:5 is that of tcp://127.0.0.1:5, too"), "{faults:?}");
    }

    #[test]
    fn a_name_without_address_is_named() {
        let error = resolve(listeners(&["tcp://no-such-host.invalid:1883"]), false).expect_err("no address");
        assert!(
            error[0]
                .what
                .starts_with("cannot listen on tcp://no-such-host.invalid:1883: the name has no address ("),
            "{error:?}"
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
            let place = runtime::Place::Tcp(text.parse().expect(text));
            assert_eq!(is_open(&place), open, "{text}");
        }
    }
}
