//! bcrypt's `$2b$`, with `$2a$` and `$2y$`, which differ in the bugs of programs that nobody runs.
//!
//! bcrypt looks at the first 72 bytes of a password and at no others.

use std::fmt;

use super::{Cost, HashError, Kind, encoding};

#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    exponent: u32,
    text: Box<str>,
}

impl Stored {
    /// The whole text: `$2b$10$`, 22 characters of salt and 31 of hash.
    pub fn parse(text: &str) -> Result<Stored, HashError> {
        let malformed = |what| HashError::Malformed { format: FORMAT, what };
        let (exponent, rest) = text
            .get(4..)
            .and_then(|rest| rest.split_once('$'))
            .ok_or(malformed("it is $2b$exponent$salt and hash"))?;
        let digits = exponent.strip_prefix('0').unwrap_or(exponent);
        let number = encoding::number(FORMAT, digits, "its exponent is no number")?;
        let is_alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'/';
        if exponent.len() != 2 || rest.len() != SALT_AND_HASH_CHARS || !rest.bytes().all(is_alphabet) {
            return Err(malformed("it has not two digits and 53 characters of salt and hash"));
        }
        if number > EXPONENT_MAX {
            return Err(HashError::TooExpensive {
                format: FORMAT,
                what: "as its exponent",
                given: number.into(),
                max: EXPONENT_MAX.into(),
            });
        }
        match number < EXPONENT_MIN || text.parse::<bcrypt::HashParts>().is_err() {
            true => Err(malformed("its exponent is below 4, or its salt or hash cannot be read")),
            false => Ok(Stored { exponent: number, text: text.into() }),
        }
    }

    pub fn is_of(&self, password: &[u8]) -> bool {
        // The comparison takes the same time wherever the two differ.
        bcrypt::verify(password, &self.text).unwrap_or(false)
    }

    pub fn cost(&self) -> Cost {
        Cost { kind: Kind::Bcrypt, rounds: self.exponent, memory_kib: 0 }
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$2b${}$..", self.exponent)
    }
}

const FORMAT: &str = "bcrypt";
const SALT_AND_HASH_CHARS: usize = 53;
const EXPONENT_MIN: u32 = 4;

/// About two seconds of a core for one password.
pub const EXPONENT_MAX: u32 = 15;
