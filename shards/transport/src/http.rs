//! What both sides of the HTTP upgrade read out of headers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use httparse::Header;
use sha1::{Digest, Sha1};

/// The members of a list that may be spread over several headers of one name.
pub fn members<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    let values = named(headers, name);
    let members = values.flat_map(|value| str::from_utf8(value).unwrap_or(UNREADABLE).split(','));
    members.map(str::trim_ascii).filter(|member| !member.is_empty())
}

/// The value of a header that may stand there once. `Err`: there are several.
pub fn single<'a>(headers: &'a [Header<'a>], name: &'a str) -> Result<Option<&'a str>, Repeated> {
    let mut values = named(headers, name);
    let value = values.next();
    if values.next().is_some() {
        return Err(Repeated);
    }
    Ok(value.map(|value| str::from_utf8(value).unwrap_or(UNREADABLE).trim_ascii()))
}

pub fn names_member(headers: &[Header<'_>], name: &str, member: &str) -> bool {
    members(headers, name).any(|other| other.eq_ignore_ascii_case(member))
}

/// What the server answers to the client's key: proof that it speaks WebSocket and did not merely echo.
pub fn accept_of(key: &str) -> String {
    let digest = Sha1::new().chain_update(key).chain_update(KEY_SUFFIX).finalize();
    STANDARD.encode(digest)
}

/// The 16 bytes of a key, if it is one.
pub fn key_bytes(key: &str) -> Option<[u8; 16]> {
    STANDARD.decode(key).ok()?.try_into().ok()
}

#[derive(Debug)]
pub struct Repeated;

fn named<'a>(headers: &'a [Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}

/// Stands for a value that is no text and matches nothing.
const UNREADABLE: &str = "\u{FFFD}";

/// By RFC 6455, section 1.3.
const KEY_SUFFIX: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
