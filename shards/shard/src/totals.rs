//! What a shard has in all, counted as it comes and goes: what limits are compared with, and what is told of the shard. Collections that know
//! their own size are asked for it.

/// All zero where nobody is.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    /// Of all sessions, shared ones included.
    pub subscriptions: usize,
    pub shared_subscriptions: usize,
    /// Sessions with a connection.
    pub connected: usize,
    pub will_bytes: usize,
    /// Client ids and filters of all sessions.
    pub session_bytes: usize,
    pub queued_messages: usize,
    pub inflight_messages: usize,
    /// Weight of all that waits in sessions.
    pub queued_bytes: usize,
    /// Messages in queues that the store alone has.
    pub queued_away_bytes: usize,
    /// Bytes that are encoded and that no socket has taken yet.
    pub unsent_bytes: usize,
    /// Bytes of unfinished packets and of topics behind aliases.
    pub receive_bytes: usize,
}
