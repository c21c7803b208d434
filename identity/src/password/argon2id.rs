//! Argon2id in the PHC's string, as mosquitto 2.1 writes it: memory makes a guess dear.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::{Cost, HashError, Kind, encoding};

#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    version: u32,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Box<[u8]>,
    hash: Box<[u8]>,
}

impl Stored {
    /// What follows `$argon2id$`: `v=19$m=47104,t=1,p=1$salt$hash`, where the version may be missing.
    pub fn parse(text: &str) -> Result<Stored, HashError> {
        let malformed = |what| HashError::Malformed { format: FORMAT, what };
        let (version, rest) = match text.strip_prefix("v=") {
            Some(rest) => {
                let (version, rest) = rest.split_once('$').ok_or(malformed(SHAPE))?;
                (encoding::number(FORMAT, version, "its version is no number")?, rest)
            }
            None => (16, text),
        };
        let mut parts = rest.split('$');
        let (Some(numbers), Some(salt), Some(hash), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed(SHAPE));
        };
        let mut numbers = numbers.split(',');
        let mut number = |name: &str| {
            let text = numbers.next().and_then(|part| part.strip_prefix(name)).ok_or(malformed(SHAPE))?;
            encoding::number(FORMAT, text, "one of m, t and p is no number")
        };
        let (memory_kib, passes, lanes) = (number("m=")?, number("t=")?, number("p=")?);
        if numbers.next().is_some() {
            return Err(malformed(SHAPE));
        }
        let salt = encoding::decode_bare(FORMAT, salt, "its salt is no base64")?;
        let hash = encoding::decode_bare(FORMAT, hash, "its hash is no base64")?;
        Stored { version, memory_kib, passes, lanes, salt, hash }.checked()
    }

    pub fn make(password: &[u8], salt: &[u8], cost: Cost) -> Result<Stored, HashError> {
        let mut stored = Stored {
            version: 19,
            memory_kib: cost.memory_kib,
            passes: cost.rounds,
            lanes: 1,
            salt: salt.into(),
            hash: [0; HASH_BYTES].into(),
        }
        .checked()?;
        stored.hash = stored.hash_of(password).expect("its numbers are checked");
        Ok(stored)
    }

    pub fn is_of(&self, password: &[u8]) -> bool {
        // A password of more than 4 GiB is all that argon2 refuses once the numbers are checked.
        self.hash_of(password).is_some_and(|hash| verify_slices_are_equal(&hash, &self.hash).is_ok())
    }

    pub fn cost(&self) -> Cost {
        Cost { kind: Kind::Argon2id, rounds: self.passes, memory_kib: self.memory_kib }
    }

    /// Bounds first, and then whatever argon2 itself asks of its numbers.
    fn checked(self) -> Result<Stored, HashError> {
        let malformed = |what| HashError::Malformed { format: FORMAT, what };
        let bounded = |what, given: u64, max: u64| match given <= max {
            true => Ok(()),
            false => Err(HashError::TooExpensive { format: FORMAT, what, given, max }),
        };
        bounded("KiB of memory", self.memory_kib.into(), MEMORY_KIB_MAX.into())?;
        bounded("lanes", self.lanes.into(), LANES_MAX.into())?;
        let work = u64::from(self.memory_kib) * u64::from(self.passes);
        bounded("KiB to go over in all passes", work, WORK_KIB_MAX)?;
        if !SALT_BYTES.contains(&self.salt.len()) {
            return Err(malformed("its salt has not 8 to 64 bytes"));
        }
        if !HASH_BYTES_TAKEN.contains(&self.hash.len()) {
            return Err(malformed("its hash has not 16 to 128 bytes"));
        }
        match self.argon2() {
            Some(_) => Ok(self),
            None => Err(malformed("its version is not 16 or 19, or its numbers do not fit each other")),
        }
    }

    fn argon2(&self) -> Option<Argon2<'static>> {
        let version = Version::try_from(self.version).ok()?;
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(self.hash.len())).ok()?;
        Some(Argon2::new(Algorithm::Argon2id, version, params))
    }

    fn hash_of(&self, password: &[u8]) -> Option<Box<[u8]>> {
        let mut hash = vec![0; self.hash.len()].into_boxed_slice();
        self.argon2()?.hash_password_into(password, &self.salt, &mut hash).ok()?;
        Some(hash)
    }
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (salt, hash) = (encoding::encode_bare(&self.salt), encoding::encode_bare(&self.hash));
        let Stored { version, memory_kib, passes, lanes, .. } = self;
        write!(f, "$argon2id$v={version}$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$argon2id$m={},t={},p={}$..", self.memory_kib, self.passes, self.lanes)
    }
}

const FORMAT: &str = "$argon2id$";
const SHAPE: &str = "it is $argon2id$v=19$m=47104,t=1,p=1$salt$hash";
const HASH_BYTES: usize = 64;
const HASH_BYTES_TAKEN: std::ops::RangeInclusive<usize> = 16..=128;
const SALT_BYTES: std::ops::RangeInclusive<usize> = 8..=64;
const LANES_MAX: u32 = 16;

/// What mosquitto 2.1 makes.
pub const MEMORY_KIB_DEFAULT: u32 = 47_104;
pub const PASSES_DEFAULT: u32 = 1;

/// Each helper thread that checks a password holds this much meanwhile.
const MEMORY_KIB_MAX: u32 = 256 << 10;

/// About a second of a core for one password.
const WORK_KIB_MAX: u64 = 1 << 20;

const _: () = assert!(MEMORY_KIB_DEFAULT <= MEMORY_KIB_MAX);
