//! The names by which a shard's own slabs are known to its indexes. Not ids: they mean nothing on another shard.

/// A session of this shard: its index in the slab of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionKey(pub u32);

impl SessionKey {
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A shared subscription's group, as this shard numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupKey(pub u32);

impl GroupKey {
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
