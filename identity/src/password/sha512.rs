//! Mosquitto's oldest format, `$6$`: one pass of SHA-512 over the password and then the salt. Not crypt(3)'s `$6$`.

use std::fmt;

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{Context, SHA512, SHA512_OUTPUT_LEN},
};

use super::{HashError, encoding};

#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    salt: Box<[u8]>,
    hash: [u8; SHA512_OUTPUT_LEN],
}

impl Stored {
    /// What follows `$6$`.
    pub fn parse(text: &str) -> Result<Stored, HashError> {
        let malformed = |what| HashError::Malformed { format: FORMAT, what };
        let (salt, hash) = text.split_once('$').ok_or(malformed("it is $6$salt$hash"))?;
        let salt = encoding::decode(FORMAT, salt, "its salt is no base64")?;
        let hash = encoding::decode(FORMAT, hash, "its hash is no base64")?;
        let hash = <[u8; SHA512_OUTPUT_LEN]>::try_from(&*hash)
            .map_err(|_| malformed("its hash has not 64 bytes"))?;
        if salt.is_empty() || salt.len() > SALT_BYTES_MAX {
            return Err(malformed("its salt has not 1 to 64 bytes"));
        }
        Ok(Stored { salt, hash })
    }

    pub fn make(password: &[u8], salt: &[u8]) -> Stored {
        Stored { salt: salt.into(), hash: hash(password, salt) }
    }

    pub fn is_of(&self, password: &[u8]) -> bool {
        verify_slices_are_equal(&hash(password, &self.salt), &self.hash).is_ok()
    }
}

fn hash(password: &[u8], salt: &[u8]) -> [u8; SHA512_OUTPUT_LEN] {
    let mut context = Context::new(&SHA512);
    context.update(password);
    context.update(salt);
    context.finish().as_ref().try_into().expect("SHA-512 has 64 bytes")
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$6${}${}", encoding::encode(&self.salt), encoding::encode(&self.hash))
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$6$..")
    }
}

const FORMAT: &str = "$6$";
const SALT_BYTES_MAX: usize = 64;
