//! The edge: one glommio executor drives one shard on one pinned core.
