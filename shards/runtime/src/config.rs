//! What the runtime is told at its start. Reading files and environment is not done here.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::{Auditor, Ban, DataDir, Door, Doorkeeper, Place, Tracer};

/// The same for all shards of a process.
#[derive(Debug, Clone)]
pub struct Config {
    /// Every shard listens at each of these. Port 0 lets the kernel choose one port for all shards.
    pub doors: Vec<Door>,
    /// One per core is the intention; more than there are cores share cores.
    pub shards: u8,
    /// Submissions that one system call can carry. More than that in one tick take more calls.
    pub ring_entries: u32,
    /// Receive buffers of one shard, for all of its connections together. A power of two.
    pub receive_buffers: u16,
    pub receive_buffer_bytes: u32,
    /// Slots of the ring from one shard to another.
    pub mail_ring: usize,
    /// In all shards together. A few more are let in just to be told so.
    pub max_connections: usize,
    /// How long a closed connection may take for its last bytes and its end.
    pub linger: Duration,
    /// Where what is to live on is stored; nowhere, if there is none.
    pub store: Option<StoreConfig>,
    /// A shard whose store fails goes on with what needs none. Otherwise it ends.
    pub serves_without_store: bool,
    /// Says who clients are, for the doors that the shards ask at. Without one, such doors let nobody in.
    pub doorkeeper: Option<Arc<dyn Doorkeeper>>,
    /// Who may not come in.
    pub bans: Vec<Ban>,
    /// Takes spans of messages that are traced, if any are (`core.sampling`).
    pub tracer: Option<Arc<dyn Tracer>>,
    /// They hear what shards say of clients.
    pub auditors: Vec<Arc<dyn Auditor>>,
    /// For the shards themselves; its number of shards is set from the one above.
    pub core: shard::Config,
}

/// The logs of all shards.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    pub dir: Arc<DataDir>,
    /// Everything is on disk before it counts as stored; otherwise the kernel has it, and a power cut loses it.
    pub is_synced: bool,
    /// Of one file of the log; a multiple of 4 KiB.
    pub segment_bytes: u32,
    /// The largest record: a packet, and what belongs to it.
    pub record_bytes_max: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            doors: vec![Door::plain(Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 1883))))],
            shards: 1,
            ring_entries: 1024,
            receive_buffers: 256,
            receive_buffer_bytes: 8 << 10,
            mail_ring: 512,
            max_connections: 100_000,
            linger: Duration::from_secs(3),
            store: None,
            serves_without_store: false,
            doorkeeper: None,
            bans: Vec::new(),
            tracer: None,
            auditors: Vec::new(),
            core: shard::Config::default(),
        }
    }
}
