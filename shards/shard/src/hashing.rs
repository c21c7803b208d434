//! Hashers for tables of names that clients choose.

use crate::random::Random;

/// Whose hashes differ, although the tables of a shard have one seed. The number of each is its place here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Announced,
    Bans,
    Contests,
    CutTopics,
    FreshLosses,
    Groups,
    Latest,
    Levels,
    LosingClients,
    LosingPrefixes,
    Permissions,
    ReadRetained,
    ReadSessions,
    Sessions,
    Shard,
    Shares,
    Spending,
    StoredTopics,
    TopicTaps,
    Unconfirmed,
}

/// All four words come from the seed: two of them meet the names, and who knew these could find as many names of one hash as he wants,
/// whatever the others are.
pub(crate) fn hasher(seed: u64, table: Table) -> ahash::RandomState {
    let mut random = Random::new(seed ^ (table as u64) << 48);
    let mut word = || random.next_u64();
    ahash::RandomState::with_seeds(word(), word(), word(), word())
}

#[cfg(test)]
mod tests {
    use super::{
        Table::{Announced, Bans, Levels, Unconfirmed},
        *,
    };

    /// What ahash mixes into its fourth word. A name whose second half is that word has the same hash as all others that end so.
    const FOURTH: u64 = 0x3f84_d5b5_b547_0917;

    #[test]
    fn names_that_collide_where_a_word_is_a_small_number_do_not_here() {
        for (seed, table) in [(1, Bans), (1, Levels), (2, Bans), (0, Announced), (u64::MAX, Unconfirmed)] {
            let hasher = hasher(seed, table);
            for word in 0..100_u64 {
                let hash = |begin: u64| {
                    hasher.hash_one((u128::from(word ^ FOURTH) << 64 | u128::from(begin)).to_le_bytes())
                };
                assert_ne!(hash(1), hash(2), "seed {seed}, table {table:?}, word {word}");
            }
        }
    }

    #[test]
    fn tables_of_one_seed_and_seeds_of_one_table_differ() {
        let hashes = [(1, Bans), (1, Levels), (2, Bans), (2, Levels)]
            .map(|(seed, table)| hasher(seed, table).hash_one("a"));
        assert!((1..4).all(|at| !hashes[..at].contains(&hashes[at])), "{hashes:?}");
    }
}
