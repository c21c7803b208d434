//! How long one shard's work takes. The shard's thread alone writes it, at the end of a turn or of something that is rare.

use shard::Histogram;

/// Since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timings {
    /// From waking up to having done all that there was to do: whoever comes in between waits for that long at most.
    pub turn: Histogram,
    /// Of each PUBLISH from a client, from the begin of the turn that takes it in to the end of it, when what is sent at once
    /// is with the kernel. What waits for the store, or in a queue, takes longer.
    pub routing: Histogram,
    /// Of each publication that comes from another shard, from the begin of the turn there that took it in to the begin of the one here that
    /// routes it.
    pub crossing: Histogram,
    /// The same, and on to the end of the turn here, when what is sent at once is with the kernel.
    pub crossed: Histogram,
    /// From giving a batch to the store to knowing that it is stored.
    pub store_commit: Histogram,
    /// From a connection's accept until TLS, WebSocket and the header of a proxy are done with. Others have none of it.
    pub handshake: Histogram,
    /// From a question who a client is to its answer.
    pub authentication: Histogram,
}

impl Timings {
    /// Name, meaning and values of each.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, &Histogram)> {
        [
            ("turn", "Turns of the shard's loop: whoever comes meanwhile waits that long at most.", &self.turn),
            (
                "routing",
                "Each PUBLISH of a client, from the begin of the turn that takes it in until what is sent at once is handed over.",
                &self.routing,
            ),
            (
                "crossing",
                "Each publication from another shard, from the begin of the turn there that took it in to the begin of the one here that routes it.",
                &self.crossing,
            ),
            (
                "crossed",
                "Each publication from another shard, from the begin of the turn there that took it in until what is sent at once here is handed over.",
                &self.crossed,
            ),
            ("store_commit", "Batches, from being given to the store until they are stored.", &self.store_commit),
            (
                "handshake",
                "Connections with TLS, WebSocket or the header of a proxy, from accept until these are done with.",
                &self.handshake,
            ),
            ("authentication", "Questions who a client is, until their answers.", &self.authentication),
        ]
        .into_iter()
    }
}
