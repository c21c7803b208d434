//! Which shard is home to a client or a retained topic. The only place that decides.

use crate::ShardId;

/// The same on every shard of a process: made from one seed.
#[derive(Debug, Clone)]
pub struct Placement {
    hasher: ahash::RandomState,
    shards: u8,
}

impl Placement {
    /// The seed keeps a stranger from choosing client ids that all live on one shard.
    pub fn new(shards: u8, seed: u64) -> Placement {
        assert!(shards > 0, "a broker has at least one shard");
        // Stores were laid out by these four.
        let hasher = ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(32), KNOWN_WORD);
        Placement { hasher, shards }
    }

    pub fn shards(&self) -> u8 {
        self.shards
    }

    /// Where the session of this client id lives.
    pub fn client(&self, client_id: &str) -> ShardId {
        self.home(client_id)
    }

    /// Where the retained message of this topic lives.
    pub fn topic(&self, topic: &str) -> ShardId {
        self.home(topic)
    }

    /// Tells publishers apart where a rare confusion does no harm.
    pub fn publisher(&self, client_id: &str) -> u32 {
        (self.hasher.hash_one(client_id) >> 16) as u32
    }

    /// Tells topics apart where a rare confusion does no harm.
    pub fn hash(&self, name: &str) -> u64 {
        self.hasher.hash_one(name)
    }

    fn home(&self, name: &str) -> ShardId {
        if self.shards == 1 {
            return ShardId(0);
        }
        // The upper half: hash tables inside a shard use the lower bits of a hash of their own.
        let hash = self.hasher.hash_one(name) >> 32;
        let home = (hash * u64::from(self.shards)) >> 32;
        ShardId(u8::try_from(home).expect("a home is less than the number of shards"))
    }
}

/// No secret, and one of the two that meet the names: what a name would need in one half for the other half not to count is no text.
const KNOWN_WORD: u64 = 0x1071_4b0b;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_gets_its_share_and_the_same_name_the_same_home() {
        let placement = Placement::new(4, 7);
        let mut counts = [0; 4];
        for n in 0..4000 {
            let id = format!("client-{n}");
            assert_eq!(placement.client(&id), placement.clone().client(&id));
            counts[placement.client(&id).index()] += 1;
        }
        assert!(counts.iter().all(|&count| count > 800), "{counts:?}");
    }

    #[test]
    fn no_text_has_the_half_beside_which_the_other_does_not_count() {
        // What ahash mixes into its fourth word.
        let met = KNOWN_WORD ^ 0x3f84_d5b5_b547_0917;
        for half in [met, !met] {
            let bytes = half.to_le_bytes();
            let error = std::str::from_utf8(&bytes).expect_err("it would be a name");
            let is_whole = bytes[0] & 0b1100_0000 != 0b1000_0000 && error.error_len().is_some();
            assert!(is_whole, "what stands before or behind it would make it a text: {bytes:x?}");
            for seed in [1, 2, u64::MAX] {
                let hasher = Placement::new(4, seed).hasher;
                let hash =
                    |begin: u64| hasher.hash_one((u128::from(half) << 64 | u128::from(begin)).to_le_bytes());
                assert!(
                    hash(1) == hash(2) || cfg!(target_feature = "aes"),
                    "it is another half that does not count"
                );
            }
        }
    }
}
