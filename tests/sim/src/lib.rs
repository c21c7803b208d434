//! The seeded simulator: N shards, a virtual clock and many clients in one thread.
