//! The names by which shards and connections are known. No behaviour beyond sets of shards.

/// The most peers that one process can have: shards, and later bridges and cluster links, which are peers too.
pub const SHARDS_MAX: usize = 128;

/// One core's broker, counted from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u8);

impl ShardId {
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A connection of one shard. The runtime makes these; a slot is used again only with a higher generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ConnId {
    pub slot: u32,
    pub generation: u32,
}

/// A set of shards, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct ShardSet(u128);

impl ShardSet {
    pub const EMPTY: ShardSet = ShardSet(0);

    pub fn insert(&mut self, shard: ShardId) {
        self.0 |= 1 << shard.0;
    }

    pub fn remove(&mut self, shard: ShardId) {
        self.0 &= !(1 << shard.0);
    }

    pub const fn contains(self, shard: ShardId) -> bool {
        self.0 & (1 << shard.0) != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    #[must_use]
    pub const fn union(self, other: ShardSet) -> ShardSet {
        ShardSet(self.0 | other.0)
    }

    /// From the lowest to the highest.
    pub fn iter(self) -> impl Iterator<Item = ShardId> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let lowest = left.trailing_zeros();
            left &= left - 1;
            Some(ShardId(lowest as u8))
        })
    }
}

impl FromIterator<ShardId> for ShardSet {
    fn from_iter<I: IntoIterator<Item = ShardId>>(shards: I) -> ShardSet {
        let mut set = ShardSet::EMPTY;
        for shard in shards {
            set.insert(shard);
        }
        set
    }
}

const _: () = assert!(SHARDS_MAX <= u128::BITS as usize, "a shard set is one integer");
const _: () = assert!(SHARDS_MAX <= u8::MAX as usize, "a shard id is one byte");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_gives_back_what_was_put_in_lowest_first() {
        let mut set: ShardSet = [ShardId(127), ShardId(0), ShardId(5)].into_iter().collect();
        set.remove(ShardId(5));
        set.insert(ShardId(6));
        assert_eq!(set.iter().map(|shard| shard.0).collect::<Vec<_>>(), vec![0, 6, 127]);
        assert_eq!(set.len(), 3);
        assert!(!set.contains(ShardId(5)));
        assert!(ShardSet::EMPTY.is_empty());
    }
}
