//! What is kept of a password: a salt, two keys, and how often it was hashed.

use std::{fmt, num::NonZeroU32};

use super::{Mechanism, message};

/// As in a file: `SCRAM-SHA-256$4096:salt$stored key:server key`, which is PostgreSQL's spelling.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub mechanism: Mechanism,
    pub iterations: NonZeroU32,
    pub salt: Box<[u8]>,
    pub stored_key: Box<[u8]>,
    pub server_key: Box<[u8]>,
}

/// Why a text is no credential that is taken. Never says what the text was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    #[error(
        "this is no key of SCRAM: it is SCRAM-SHA-256$iterations:salt$stored key:server key, as `iothub scram` makes it"
    )]
    Malformed,
    #[error("{given} iterations are not between {ITERATIONS_MIN} and {ITERATIONS_MAX}")]
    Iterations { given: u32 },
}

impl Credential {
    pub fn make(
        mechanism: Mechanism,
        password: &[u8],
        iterations: u32,
    ) -> Result<Credential, CredentialError> {
        Credential::with_salt(mechanism, password, &crate::password::random::<16>(), iterations)
    }

    pub fn with_salt(
        mechanism: Mechanism,
        password: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Result<Credential, CredentialError> {
        let iterations = checked(iterations)?;
        let salted = mechanism.salted(password, salt, iterations);
        let stored_key = mechanism.digest(&mechanism.hmac(&salted, b"Client Key"));
        let server_key = mechanism.hmac(&salted, b"Server Key");
        Ok(Credential { mechanism, iterations, salt: salt.into(), stored_key, server_key })
    }

    pub fn parse(text: &str) -> Result<Credential, CredentialError> {
        Credential::read(text)?.ok_or(CredentialError::Malformed)
    }

    /// None is a text of another shape.
    fn read(text: &str) -> Result<Option<Credential>, CredentialError> {
        let mut parts = text.split('$');
        let (Some(name), Some(salting), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Ok(None);
        };
        let (Some(mechanism), Some((iterations, salt)), Some((stored_key, server_key))) =
            (Mechanism::of(name), salting.split_once(':'), keys.split_once(':'))
        else {
            return Ok(None);
        };
        let is_number = iterations.bytes().all(|b| b.is_ascii_digit()) && iterations.len() <= 9;
        let Some(iterations) = iterations.parse().ok().filter(|_| is_number) else { return Ok(None) };
        let iterations = checked(iterations)?;
        let decoded =
            [salt, stored_key, server_key].map(|text| message::decode(text).map(Vec::into_boxed_slice));
        let [Ok(salt), Ok(stored_key), Ok(server_key)] = decoded else { return Ok(None) };
        let is_sized = stored_key.len() == mechanism.bytes() && server_key.len() == mechanism.bytes();
        let is_salted = (8..=64).contains(&salt.len());
        Ok((is_sized && is_salted).then_some(Credential {
            mechanism,
            iterations,
            salt,
            stored_key,
            server_key,
        }))
    }

    /// Whether a text has the beginning of a credential of this mechanism.
    pub fn is_text_of(mechanism: Mechanism, text: &str) -> bool {
        text.strip_prefix(mechanism.name()).is_some_and(|rest| rest.starts_with('$'))
    }
}

fn checked(iterations: u32) -> Result<NonZeroU32, CredentialError> {
    match NonZeroU32::new(iterations) {
        Some(number) if (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) => Ok(number),
        _ => Err(CredentialError::Iterations { given: iterations }),
    }
}

impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt, &self.stored_key, &self.server_key].map(|b| message::encode(b));
        write!(f, "{}${}:{salt}${stored}:{server}", self.mechanism.name(), self.iterations)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}${}..", self.mechanism.name(), self.iterations)
    }
}

/// RFC 7677 asks for these at least; a client refuses fewer.
pub const ITERATIONS_MIN: u32 = 4096;

/// Every login costs the client so many: a device may take seconds for more.
pub const ITERATIONS_DEFAULT: u32 = 15_000;

/// The client's work, and ours when a password is set.
pub const ITERATIONS_MAX: u32 = 2_000_000;
