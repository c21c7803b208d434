//! Where the server is, and through which transport it is spoken to.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::tls::Tls;

#[derive(Clone, Debug)]
pub struct Target {
    pub place: Place,
    /// Speak TLS.
    pub tls: Option<Tls>,
    /// Speak WebSocket at this path, which begins with `/`, has no spaces and ends no line.
    pub websocket: Option<String>,
    /// For each address that the host has, and for the handshakes of the transport.
    pub connect_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name or an address, IPv6 without brackets.
    Host { host: String, port: u16 },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Target {
    pub fn new(host: impl Into<String>, port: u16) -> Target {
        Target::at(Place::Host { host: host.into(), port })
    }

    pub fn unix(path: impl Into<PathBuf>) -> Target {
        Target::at(Place::Unix(path.into()))
    }

    fn at(place: Place) -> Target {
        Target { place, tls: None, websocket: None, connect_timeout: Duration::from_secs(10) }
    }

    /// The host as a URL writes it, with the port where it is not the usual one of HTTP.
    pub(crate) fn authority(&self) -> String {
        let Place::Host { host, port } = &self.place else { return UNIX_HOST.to_owned() };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let usual = if self.tls.is_some() { 443 } else { 80 };
        if *port == usual { host } else { format!("{host}:{port}") }
    }

    /// The name that the server's certificate has to have.
    pub(crate) fn host(&self) -> &str {
        match &self.place {
            Place::Host { host, .. } => host,
            Place::Unix(_) => UNIX_HOST,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Host { host, port } => write!(f, "{host}:{port}"),
            Place::Unix(path) => path.display().fmt(f),
        }
    }
}

/// What a socket of this machine is called where a name is needed.
const UNIX_HOST: &str = "localhost";
