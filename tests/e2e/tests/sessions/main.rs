//! What a session is owed, on one shard and across shards: takeover, will, queue, retained messages, order.
#![allow(clippy::unwrap_used)]

mod hand_over;
mod order;
mod persistence;
mod properties;
mod retained;
mod shared;
mod takeover;
mod will;

/// Where a client lives makes no difference: each of these tests runs with every number of shards.
const SHARDS: [u8; 3] = [1, 2, 4];
