//! Base64 as the formats write it: with padding in mosquitto's own, without in the PHC string.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};

use super::HashError;

pub fn decode(format: &'static str, text: &str, what: &'static str) -> Result<Box<[u8]>, HashError> {
    let bytes = STANDARD.decode(text).map_err(|_| HashError::Malformed { format, what })?;
    Ok(bytes.into())
}

pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub fn decode_bare(format: &'static str, text: &str, what: &'static str) -> Result<Box<[u8]>, HashError> {
    let bytes = STANDARD_NO_PAD.decode(text).map_err(|_| HashError::Malformed { format, what })?;
    Ok(bytes.into())
}

pub fn encode_bare(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// A number of a hash: digits only, no sign, no leading zero.
pub fn number(format: &'static str, text: &str, what: &'static str) -> Result<u32, HashError> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|_| is_plain).ok_or(HashError::Malformed { format, what })
}
