//! What the trie's hash tables hold for a text that is kept elsewhere: its hash and its index there.

use std::hash::{BuildHasher, Hasher};

/// With the hash at hand a table neither reads texts that only share a bucket nor hashes all of them again when it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag {
    pub hash: u32,
    pub index: u32,
}

impl Tag {
    /// As much of a text's hash as a tag keeps.
    pub fn hash(hasher: &ahash::RandomState, text: &[u8]) -> u32 {
        let mut hasher = hasher.build_hasher();
        // Without the length that a slice's own hash has in front: `write` takes it into account already.
        hasher.write(text);
        hasher.finish() as u32
    }

    /// As wide as hashbrown wants it: it takes the bucket from the lowest bits and a first comparison from the highest.
    pub fn spread(&self) -> u64 {
        u64::from(self.hash) << 32 | u64::from(self.hash)
    }
}
