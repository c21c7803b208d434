//! A listen address: how it is written, and what is wrong with one that is written otherwise.

use std::{
    fmt,
    net::Ipv6Addr,
    path::{Path, PathBuf},
};

use runtime::Speech;

/// `SCHEME://HOST:PORT` or `unix://PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub scheme: Scheme,
    pub place: Place,
}

/// What is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Tcp,
    Tls,
    WebSocket,
    SecureWebSocket,
    /// Whatever the first bytes say.
    Any,
    Unix,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The host is a name or an IP address; it is resolved when the broker starts.
    Host {
        host: String,
        port: u16,
    },
    Path(PathBuf),
}

impl Scheme {
    pub const ALL: [Scheme; 6] =
        [Scheme::Tcp, Scheme::Tls, Scheme::WebSocket, Scheme::SecureWebSocket, Scheme::Any, Scheme::Unix];

    pub fn name(self) -> &'static str {
        match self {
            Scheme::Tcp => "tcp",
            Scheme::Tls => "tls",
            Scheme::WebSocket => "ws",
            Scheme::SecureWebSocket => "wss",
            Scheme::Any => "any",
            Scheme::Unix => "unix",
        }
    }

    /// Other brokers have other names for the same.
    fn named(name: &str) -> Option<Scheme> {
        match name {
            "mqtt" => Some(Scheme::Tcp),
            "mqtts" | "ssl" | "tcp+tls" => Some(Scheme::Tls),
            _ => Scheme::ALL.into_iter().find(|scheme| scheme.name() == name),
        }
    }

    /// The port that an address without one means.
    fn port(self) -> u16 {
        match self {
            Scheme::Tls => 8883,
            Scheme::WebSocket => 8083,
            Scheme::SecureWebSocket => 8084,
            Scheme::Tcp | Scheme::Any | Scheme::Unix => Address::PORT,
        }
    }

    /// What is spoken within TLS, or without it.
    pub fn speech(self) -> Speech {
        match self {
            Scheme::Tcp | Scheme::Tls | Scheme::Unix => Speech::Mqtt,
            Scheme::WebSocket | Scheme::SecureWebSocket => Speech::WebSocket,
            Scheme::Any => Speech::Any,
        }
    }

    /// What clients that name protocols in TLS may ask for: browsers ask for HTTP.
    pub fn protocols(self) -> &'static [&'static [u8]] {
        match self.speech() {
            Speech::Mqtt => &[b"mqtt"],
            Speech::WebSocket => &[b"http/1.1"],
            Speech::Any => &[b"mqtt", b"http/1.1"],
        }
    }

    /// Nothing comes in here before a certificate was shown.
    pub fn needs_tls(self) -> bool {
        matches!(self, Scheme::Tls | Scheme::SecureWebSocket)
    }
}

impl Address {
    /// MQTT's registered port.
    pub const PORT: u16 = 1883;

    /// This machine only, on both families.
    pub fn loopback(port: u16) -> Vec<Address> {
        ["127.0.0.1", "::1"].map(|host| Address::tcp(host, port)).into()
    }

    pub fn tcp(host: &str, port: u16) -> Address {
        Address { scheme: Scheme::Tcp, place: Place::Host { host: host.to_owned(), port } }
    }

    /// The same with another port. A path has none.
    #[must_use]
    pub fn with_port(self, port: u16) -> Address {
        match self.place {
            Place::Host { host, .. } => Address { place: Place::Host { host, port }, ..self },
            Place::Path(_) => self,
        }
    }

    /// A host and a port without a scheme, for what is no listener of MQTT.
    pub fn parse_endpoint(text: &str, default_port: u16) -> Option<(String, u16)> {
        match host(text, default_port).ok()? {
            Place::Host { host, port } => Some((host, port)),
            Place::Path(_) => None,
        }
    }

    /// The error says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Address, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some((name, rest)) => {
                let known = || Scheme::ALL.map(|scheme| format!("{}://", scheme.name())).join(", ");
                let unknown = || format!("{name}:// is not known (there are {}): {EXPECTED}", known());
                (Scheme::named(name).ok_or_else(unknown)?, rest)
            }
            None => (Scheme::Tcp, text),
        };
        let place = match scheme {
            Scheme::Unix => path(rest)?,
            _ => host(rest, scheme.port())?,
        };
        Ok(Address { scheme, place })
    }
}

fn path(text: &str) -> Result<Place, String> {
    let path = Path::new(text);
    if !path.is_absolute() || text.ends_with('/') || text.contains('\0') {
        return Err(format!(
            "the path of a socket is absolute: expected unix:///PATH, for example {UNIX_EXAMPLE}"
        ));
    }
    if text.len() > UNIX_PATH_BYTES_MAX {
        return Err(format!(
            "the path of a socket has at most {UNIX_PATH_BYTES_MAX} bytes, for example {UNIX_EXAMPLE}"
        ));
    }
    Ok(Place::Path(path.to_owned()))
}

fn host(rest: &str, default_port: u16) -> Result<Place, String> {
    let (host, port) = split(rest, default_port)?;
    let plausible = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host == "*" {
        return Err(
            "* is not an address: write 0.0.0.0 for every IPv4 address, [::] for every address".to_owned()
        );
    }
    if rest.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty() {
        return Err(format!("a number alone is not a host (-p {rest} changes only the port): {EXPECTED}"));
    }
    if host.is_empty() || !host.chars().all(plausible) {
        return Err(EXPECTED.to_owned());
    }
    Ok(Place::Host { host: host.to_owned(), port })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.name())?;
        match &self.place {
            Place::Host { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Host { host, port } => write!(f, "{host}:{port}"),
            Place::Path(path) => path.display().fmt(f),
        }
    }
}

/// Host and port; without a port it is the scheme's own.
fn split(rest: &str, default_port: u16) -> Result<(&str, u16), String> {
    if let Some(bracketed) = rest.strip_prefix('[') {
        let (host, after) = bracketed.split_once(']').ok_or(EXPECTED)?;
        host.split('%').next().unwrap_or(host).parse::<Ipv6Addr>().map_err(|_| EXPECTED)?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, number(port)?)),
            None if after.is_empty() => Ok((host, default_port)),
            None => Err(EXPECTED.to_owned()),
        };
    }
    match rest.split_once(':') {
        Some((_, after)) if after.contains(':') => {
            Err(format!("an IPv6 address stands in brackets: {EXPECTED}"))
        }
        Some((host, port)) => Ok((host, number(port)?)),
        None => Ok((rest, default_port)),
    }
}

fn number(port: &str) -> Result<u16, String> {
    port.parse().map_err(|_| format!("the port is a number from 0 to 65535: {EXPECTED}"))
}

const EXPECTED: &str = "expected tcp://HOST:PORT, for example tcp://0.0.0.0:1883 or tls://[::]:8883";
const UNIX_EXAMPLE: &str = "unix:///run/iothub/mqtt.sock";

/// What the kernel's address of a socket has room for, the NUL at its end not counted.
const UNIX_PATH_BYTES_MAX: usize = 107;

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
            ("mqtt://a", "tcp://a:1883"),
            ("tls://0.0.0.0", "tls://0.0.0.0:8883"),
            ("mqtts://[::]:1", "tls://[::]:1"),
            ("tcp+tls://a:2", "tls://a:2"),
            ("ws://a", "ws://a:8083"),
            ("wss://a", "wss://a:8084"),
            ("any://a", "any://a:1883"),
            ("unix:///run/mqtt", "unix:///run/mqtt"),
        ] {
            assert_eq!(Address::parse(text).expect(text).to_string(), shown);
        }
    }

    #[test]
    fn a_path_that_the_kernel_has_no_room_for_is_refused() {
        let path = |len: usize| format!("unix:///{}", "x".repeat(len - 1));
        assert!(Address::parse(&path(107)).is_ok());
        assert!(Address::parse(&path(108)).is_err_and(|error| error.contains("at most 107 bytes")));
    }

    #[test]
    fn every_wrong_address_says_what_would_be_right() {
        for (text, start) in [
            (
                "quic://0.0.0.0:8883",
                "quic:// is not known (there are tcp://, tls://, ws://, wss://, any://, unix://): expected tcp://",
            ),
            ("unix://run/mqtt", "the path of a socket is absolute: expected unix:///PATH"),
            ("unix:///", "the path of a socket is absolute"),
            ("unix://", "the path of a socket is absolute"),
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
