//! What a connection speaks, told from its first bytes. What follows them is read by others.

use thiserror::Error;

/// A protocol that begins with bytes of its own.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A TLS record with a handshake in it.
    Tls,
    /// A request line; the method need not be one that is served.
    Http,
    /// A PROXY header of either version, with anything behind it.
    Proxy,
    /// A CONNECT, the only packet that may come first.
    Mqtt,
}

/// None of the protocols that are known here.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Error)]
#[error("{what}")]
pub struct Strange {
    pub what: &'static str,
}

/// What the first bytes belong to. `None`: more bytes are needed, of which there are never more than `FIRST_BYTES_MAX`.
pub fn tell(first: &[u8]) -> Option<Result<Kind, Strange>> {
    let begins = |beginning: &[u8]| first.starts_with(beginning);
    if let Some((_, kind)) = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning)) {
        return Some(Ok(*kind));
    }
    if BEGINNINGS.iter().any(|(beginning, _)| beginning.starts_with(first)) {
        return None;
    }
    Some(Err(Strange { what: what_instead(first[0]) }))
}

fn what_instead(first: u8) -> &'static str {
    match first {
        0x16 => "a TLS record of a version that does not exist",
        // The flags of a CONNECT are zero.
        0x11..=0x1F => "a CONNECT whose reserved flags are set",
        // PINGREQ, DISCONNECT and the others whose first byte is no letter.
        0xC0 | 0xD0 | 0xE0 | 0xF0 | 0x30..=0x3D | 0x82 => "an MQTT packet before a CONNECT",
        _ => "neither MQTT nor TLS, HTTP or a PROXY header",
    }
}

/// `tell` knows after so many bytes at the latest.
pub const FIRST_BYTES_MAX: usize = 16;

const BEGINNINGS: [(&[u8], Kind); 15] = [
    (&[0x10], Kind::Mqtt),
    (&[0x16, 0x03], Kind::Tls),
    (b"PROXY ", Kind::Proxy),
    (crate::proxy::V2_SIGNATURE, Kind::Proxy),
    (b"GET ", Kind::Http),
    (b"HEAD ", Kind::Http),
    (b"POST ", Kind::Http),
    (b"PUT ", Kind::Http),
    (b"PATCH ", Kind::Http),
    (b"DELETE ", Kind::Http),
    (b"OPTIONS ", Kind::Http),
    (b"CONNECT ", Kind::Http),
    (b"TRACE ", Kind::Http),
    (b"PROPFIND ", Kind::Http),
    // What HTTP/2 begins with where nobody has asked first.
    (b"PRI ", Kind::Http),
];

const _: () = {
    let mut at = 0;
    while at < BEGINNINGS.len() {
        assert!(BEGINNINGS[at].0.len() <= FIRST_BYTES_MAX);
        at += 1;
    }
};
