//! Where the broker is and through which transport it is spoken to: from the command line to what connections need.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use client::{Target, Tls, TlsOptions};

/// The flags for everything but plain TCP.
#[derive(Debug, Clone, Args)]
pub struct TransportArgs {
    /// Broker and transport in one, in place of --host: tcp://, tls://, ws:// or wss://HOST[:PORT], or unix://PATH
    ///
    /// ws:// and wss:// may end with the path of the WebSocket, which is /mqtt otherwise. The default ports are 1883, 8883, 80
    /// and 443. mqtt:// and mqtts:// are understood as well.
    #[arg(long, conflicts_with = "host", value_parser = Url::parse)]
    url: Option<Url>,
    /// Trust the certificate authorities in this PEM file; without it those of the system
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// Do not ask whether the broker's certificate is for this host. An authority must have signed it all the same
    #[arg(long, requires = "url")]
    insecure: bool,
    /// The certificate of all clients in a PEM file
    #[arg(long, value_name = "FILE", requires_all = ["url", "key"])]
    cert: Option<PathBuf>,
    /// The key of that certificate in a PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Go on with a TLS session of before where the broker has given a ticket for one; without this each handshake is a full one
    #[arg(long, requires = "url")]
    resume: bool,
}

/// What connections need to know of the broker.
#[derive(Debug, Clone)]
pub struct Destination {
    pub place: Place,
    /// The layers between its socket and MQTT, where there are any.
    pub target: Arc<Target>,
}

#[derive(Debug, Clone)]
pub enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    scheme: &'static Scheme,
    /// A name or an address without brackets; a path for a socket in the file system.
    host: String,
    port: Option<u16>,
    /// Of the WebSocket.
    path: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Scheme {
    name: &'static str,
    tls: bool,
    websocket: bool,
    port: u16,
}

impl TransportArgs {
    /// Finds the address, and reads the files that are named.
    pub fn destination(&self, host: &str, port: Option<u16>) -> Result<Destination, String> {
        let Some(url) = &self.url else {
            return Destination::tcp(host, port.unwrap_or(PORT), Target::new(host, port.unwrap_or(PORT)));
        };
        if url.scheme.name == UNIX {
            let (place, target) = (Place::Unix(PathBuf::from(&url.host)), Target::unix(&url.host));
            return Ok(Destination { place, target: Arc::new(target) });
        }
        let port = url.port.or(port).unwrap_or(url.scheme.port);
        let mut target = Target::new(&url.host, port);
        target.tls = if url.scheme.tls { Some(self.tls()?) } else { None };
        target.websocket = url.scheme.websocket.then(|| url.path.clone());
        Destination::tcp(&url.host, port, target)
    }

    fn tls(&self) -> Result<Tls, String> {
        let options = TlsOptions {
            ca_file: self.ca_file.clone(),
            identity: self.cert.clone().zip(self.key.clone()),
            any_name: self.insecure,
            ..TlsOptions::default()
        };
        let tls = Tls::new(&options).map_err(|error| error.to_string())?;
        Ok(if self.resume { tls } else { tls.without_resumption() })
    }
}

impl Destination {
    /// Without layers.
    pub fn plain(address: SocketAddr) -> Destination {
        let target = Target::new(address.ip().to_string(), address.port());
        Destination { place: Place::Tcp(address), target: Arc::new(target) }
    }

    fn tcp(host: &str, port: u16, target: Target) -> Result<Destination, String> {
        let mut addresses = (host, port)
            .to_socket_addrs()
            .map_err(|error| format!("cannot find the address of `{host}`: {error}"))?;
        let address = addresses.next().ok_or_else(|| format!("`{host}` has no address"))?;
        Ok(Destination { place: Place::Tcp(address), target: Arc::new(target) })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => path.display().fmt(f),
        }
    }
}

impl Url {
    fn parse(text: &str) -> Result<Url, String> {
        let found = SCHEMES
            .iter()
            .find_map(|scheme| Some((text.strip_prefix(scheme.name)?.strip_prefix("://")?, scheme)));
        let (rest, scheme) =
            found.ok_or("it begins with tcp://, tls://, ws://, wss:// or unix://".to_owned())?;
        if scheme.name == UNIX {
            let is_path = !rest.is_empty();
            let url = Url { scheme, host: rest.to_owned(), port: None, path: String::new() };
            return is_path.then_some(url).ok_or("the path is missing: unix://PATH".to_owned());
        }
        let (authority, path) = match rest.find('/') {
            Some(at) if scheme.websocket => (&rest[..at], &rest[at..]),
            Some(at) if at + 1 < rest.len() => return Err("only ws:// and wss:// have a path".to_owned()),
            Some(at) => (&rest[..at], PATH),
            None => (rest, PATH),
        };
        if path.contains(|c: char| c.is_ascii_control() || c == ' ') {
            return Err("a path has no spaces".to_owned());
        }
        let (host, port) = split_port(authority)?;
        if host.is_empty() {
            return Err(format!("the host is missing: {}://HOST", scheme.name));
        }
        Ok(Url { scheme, host: host.to_owned(), port, path: path.to_owned() })
    }
}

/// An IPv6 address stands in brackets, because of its colons.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => return Ok((host, None)),
        Some((host, rest)) => (host, rest.strip_prefix(':').ok_or("an address in brackets ends with ]")?),
        None => match authority.split_once(':') {
            Some(parts) => parts,
            None => return Ok((authority, None)),
        },
    };
    let port = port.parse().ok().filter(|port| *port > 0);
    port.map(|port| (host, Some(port))).ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

const PORT: u16 = 1883;
const PATH: &str = "/mqtt";
const UNIX: &str = "unix";

static SCHEMES: [Scheme; 7] = [
    Scheme { name: "tcp", tls: false, websocket: false, port: PORT },
    Scheme { name: "mqtt", tls: false, websocket: false, port: PORT },
    Scheme { name: "tls", tls: true, websocket: false, port: 8883 },
    Scheme { name: "mqtts", tls: true, websocket: false, port: 8883 },
    Scheme { name: "ws", tls: false, websocket: true, port: 80 },
    Scheme { name: "wss", tls: true, websocket: true, port: 443 },
    Scheme { name: UNIX, tls: false, websocket: false, port: 0 },
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn urls_name_transport_place_and_path() {
        for (text, scheme, host, port, path) in [
            ("tcp://h", "tcp", "h", None, PATH),
            ("tls://h:1/", "tls", "h", Some(1), PATH),
            ("mqtts://[::1]:8884", "mqtts", "::1", Some(8884), PATH),
            ("ws://h:9001", "ws", "h", Some(9001), PATH),
            ("wss://[::1]/a/b", "wss", "::1", None, "/a/b"),
            ("unix:///run/a b", "unix", "/run/a b", None, ""),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.scheme.name, &*url.host, url.port, &*url.path), (scheme, host, port, path));
        }
        for wrong in
            ["h:1883", "http://h", "tcp://", "tls://h/topic", "ws://h:0", "ws://[::1", "ws://h/ ", "unix://"]
        {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }
}
