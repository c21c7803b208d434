//! Version 1 of the PROXY protocol: one line of text.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::str::{self, FromStr};

use super::{Fault, Header, V1_SIGNATURE, V1_SIZE_MAX};

pub fn decode(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let within = &bytes[..bytes.len().min(V1_SIZE_MAX)];
    let Some(end) = within.windows(2).position(|two| two == b"\r\n") else {
        return if bytes.len() < V1_SIZE_MAX { Ok(None) } else { Err(TOO_LONG) };
    };
    let size = end + 2;
    let line = str::from_utf8(&within[V1_SIGNATURE.len().min(end)..end]).map_err(|_| NOT_AS_WRITTEN)?;
    let (family, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (source, destination) = match family {
        // What follows is nobody's business.
        "UNKNOWN" => return Ok(Some(Header { size, ..Header::default() })),
        "TCP4" => addresses::<Ipv4Addr>(rest)?,
        "TCP6" => addresses::<Ipv6Addr>(rest)?,
        _ => return Err(Fault { what: "the family is not TCP4, TCP6 or UNKNOWN" }),
    };
    Ok(Some(Header { source: Some(source), destination: Some(destination), common_name: None, size }))
}

fn addresses<A: FromStr + Into<IpAddr>>(text: &str) -> Result<(SocketAddr, SocketAddr), Fault> {
    let mut words = text.split(' ');
    let mut word = || words.next().ok_or(NOT_AS_WRITTEN);
    let source = address::<A>(word()?)?;
    let destination = address::<A>(word()?)?;
    let ports = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(NOT_AS_WRITTEN);
    }
    Ok((SocketAddr::new(source, ports.0), SocketAddr::new(destination, ports.1)))
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, Fault> {
    let address = text.parse::<A>().map_err(|_| Fault { what: "an address is not one of its family" })?;
    Ok(address.into().to_canonical())
}

fn port(text: &str) -> Result<u16, Fault> {
    let is_canonical =
        text == "0" || (text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'));
    text.parse().ok().filter(|_| is_canonical).ok_or(Fault { what: "a port is no number from 0 to 65535" })
}

const TOO_LONG: Fault = Fault { what: "the line of version 1 does not end within 107 bytes" };
const NOT_AS_WRITTEN: Fault = Fault {
    what: "the line of version 1 is not a family, two addresses and two ports with single spaces between",
};
