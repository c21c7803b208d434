//! The seam to whoever keeps a record of what shards say of clients, beside the log.

use std::{fmt::Debug, net::SocketAddr};

use shard::{NotOpened, Note, ShardId};

/// Keeps a record. All shards have the same one.
pub trait Auditor: Send + Sync + Debug {
    /// Must not block: a shard waits until it returns.
    fn record(&self, shard: ShardId, occasion: &Occasion, note: &Note);

    /// Somebody was turned away before he was a client. The same goes for it; and it may come as often as anybody likes.
    fn turn_away(&self, _shard: ShardId, _occasion: &Occasion, _why: NotOpened, _what: &str) {}
}

/// What the runtime knows of the connection that a note is about; nothing, where it is about none that is here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occasion {
    /// None where the client comes by a socket in the file system, too.
    pub address: Option<SocketAddr>,
    /// The number of the door that it came in by.
    pub door: Option<u16>,
}
