//! Bytes that nobody else may see: a password, a token, a key.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// Gone from memory when it is dropped, and silent when it is printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    pub fn new(bytes: &[u8]) -> Secret {
        Secret(Zeroizing::new(bytes.into()))
    }

    /// The only way to the bytes, so that a search finds who looks at them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for Secret {
    fn from(mut bytes: Vec<u8>) -> Secret {
        // A vector that shrinks may leave its first place behind, so it is copied and wiped.
        let secret = Secret::new(&bytes);
        bytes.zeroize();
        secret
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::from(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even its length.
        f.write_str("Secret(..)")
    }
}

/// Overwrites all that the vector has had at its place; it is empty then.
pub fn wipe(bytes: &mut Vec<u8>) {
    bytes.zeroize();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_says_nothing_about_itself() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2")), "Secret(..)");
        assert_eq!(Secret::from("hunter2".to_owned()).expose(), b"hunter2");
    }
}
