//! Bytes that nobody else may see: a password, or what proves one.

use std::fmt;

use zeroize::Zeroizing;

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

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even its length.
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_says_nothing_about_itself() {
        assert_eq!(format!("{:?}", Secret::new(b"hunter2")), "Secret(..)");
        assert_eq!(Secret::new(b"hunter2").expose(), b"hunter2");
    }
}
