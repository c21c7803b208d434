//! The formats in which a password is stored, and the question whether one is right.
//!
//! Mosquitto's three formats as its files have them, and bcrypt. Each format refuses, when it is read, what would take an
//! absurd time or memory to check: a file is written by people.

mod argon2id;
mod bcrypt;
mod encoding;
mod pbkdf2;
mod sha512;

use std::fmt;

use aws_lc_rs::rand;

/// A stored password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hash {
    Sha512(sha512::Stored),
    Pbkdf2(pbkdf2::Stored),
    Argon2id(argon2id::Stored),
    Bcrypt(bcrypt::Stored),
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `$6$salt$hash`: one pass, which a graphics card does billions of times a second. Taken, made on request only.
    Sha512,
    /// `$7$iterations$salt$hash`.
    Pbkdf2,
    /// `$argon2id$...`, the default.
    Argon2id,
    /// `$2b$...`. Read and not made.
    Bcrypt,
}

/// How much work it is to try one password. Two hashes of equal cost take equally long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cost {
    pub kind: Kind,
    /// Iterations, passes over the memory, or bcrypt's exponent.
    pub rounds: u32,
    pub memory_kib: u32,
}

/// Why a text is no hash that is taken. Never says what the text was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error(
        "this is no hash of a known format ($6$, $7$, $argon2id$, $2b$); `iothub passwd -U` hashes plain passwords"
    )]
    Unknown,
    #[error("the {format} hash is damaged: {what}")]
    Malformed { format: &'static str, what: &'static str },
    #[error("the {format} hash asks for {given} {what}; {max} are the most")]
    TooExpensive { format: &'static str, what: &'static str, given: u64, max: u64 },
}

impl Hash {
    pub fn parse(text: &str) -> Result<Hash, HashError> {
        if let Some(rest) = text.strip_prefix("$6$") {
            sha512::Stored::parse(rest).map(Hash::Sha512)
        } else if let Some(rest) = text.strip_prefix("$7$") {
            pbkdf2::Stored::parse(rest).map(Hash::Pbkdf2)
        } else if let Some(rest) = text.strip_prefix("$argon2id$") {
            argon2id::Stored::parse(rest).map(Hash::Argon2id)
        } else if ["$2a$", "$2b$", "$2y$"].iter().any(|start| text.starts_with(start)) {
            bcrypt::Stored::parse(text).map(Hash::Bcrypt)
        } else {
            Err(HashError::Unknown)
        }
    }

    /// Hashes a password with a salt of its own.
    pub fn make(password: &[u8], cost: Cost) -> Result<Hash, HashError> {
        match cost.kind {
            // Mosquitto 2.0 reads salts of 12 bytes and no others.
            Kind::Sha512 => Ok(Hash::Sha512(sha512::Stored::make(password, &random::<12>()))),
            Kind::Pbkdf2 => pbkdf2::Stored::make(password, &random::<12>(), cost.rounds).map(Hash::Pbkdf2),
            Kind::Argon2id => argon2id::Stored::make(password, &random::<64>(), cost).map(Hash::Argon2id),
            Kind::Bcrypt => Err(HashError::Malformed { format: "bcrypt", what: "it is read and not made" }),
        }
    }

    /// Whether this is the password. Takes as long for a wrong one as for the right one.
    pub fn is_of(&self, password: &[u8]) -> bool {
        match self {
            Hash::Sha512(stored) => stored.is_of(password),
            Hash::Pbkdf2(stored) => stored.is_of(password),
            Hash::Argon2id(stored) => stored.is_of(password),
            Hash::Bcrypt(stored) => stored.is_of(password),
        }
    }

    pub fn cost(&self) -> Cost {
        match self {
            Hash::Sha512(_) => Cost { kind: Kind::Sha512, rounds: 1, memory_kib: 0 },
            Hash::Pbkdf2(stored) => stored.cost(),
            Hash::Argon2id(stored) => stored.cost(),
            Hash::Bcrypt(stored) => stored.cost(),
        }
    }
}

impl fmt::Display for Hash {
    /// As it stands in a file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hash::Sha512(stored) => stored.fmt(f),
            Hash::Pbkdf2(stored) => stored.fmt(f),
            Hash::Argon2id(stored) => stored.fmt(f),
            Hash::Bcrypt(stored) => stored.fmt(f),
        }
    }
}

impl Kind {
    /// What a hash of this format costs when nothing else is asked for.
    pub fn cost(self) -> Cost {
        match self {
            Kind::Sha512 => Cost { kind: self, rounds: 1, memory_kib: 0 },
            Kind::Pbkdf2 => Cost { kind: self, rounds: pbkdf2::ITERATIONS_DEFAULT, memory_kib: 0 },
            Kind::Argon2id => Cost {
                kind: self,
                rounds: argon2id::PASSES_DEFAULT,
                memory_kib: argon2id::MEMORY_KIB_DEFAULT,
            },
            Kind::Bcrypt => Cost { kind: self, rounds: bcrypt::EXPONENT_MAX, memory_kib: 0 },
        }
    }
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the kernel's random numbers are there once it runs");
    bytes
}

#[cfg(test)]
mod tests;
