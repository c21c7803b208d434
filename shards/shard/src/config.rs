//! What a shard is told at its start. Reading files and environment is not done here.

use std::{sync::Arc, time::Duration};

use mqtt::Version;

use crate::{Bans, ContestLimits, DoorRates, Grant, Rules, Sampling, receive::ALIASES_PART};

/// The same for all shards of a process.
#[derive(Debug, Clone)]
pub struct Config {
    pub shards: u8,
    /// Decides which shard is home to which client.
    pub placement_seed: u64,
    pub limits: Limits,
    /// Set where there is a store: the unix time of `Instant::START`, in milliseconds.
    pub store_epoch_ms: Option<u64>,
    /// Refuses a payload that says that it is UTF-8 and is not.
    pub validate_payload_format: bool,
    /// Keeps QoS 0 messages for sessions that are away, too.
    pub queue_qos0: bool,
    /// Sent to 5.0 clients at shutdown: where else to go.
    pub server_reference: Option<Arc<str>>,
    /// What a client that asks gets as Response Information: this, a slash and its client id.
    pub response_topic_prefix: Option<Arc<str>>,
    /// Of each listener, by its number. Without any, everybody is let in everywhere.
    pub doors: Vec<DoorConfig>,
    /// A retained message is given out only while its publisher may publish it.
    pub checks_retain_source: bool,
    /// What clients may do; without rules everything.
    pub rules: Option<Rules>,
    /// Of each listener, by its number. Where there are none, clients may be as fast as they can.
    pub rates: Arc<[DoorRates]>,
    pub bans: Arc<Bans>,
    /// When clients that take a session from each other are too many.
    pub contests: ContestLimits,
    /// None: no message is traced.
    pub sampling: Option<Sampling>,
    pub pieces: Pieces,
}

/// How much of a work that can be long a shard does in one tick, so that it keeps nobody waiting; the rest follows in the next
/// ones. What it is divided into is the same for everybody, but for a test that wants many pieces.
#[derive(Debug, Clone, Copy)]
pub struct Pieces {
    /// Messages in queues that are looked at for whether they have expired.
    pub expiry_looks: usize,
    /// What filters cost that leave the indexes with the ends of their sessions, as `subscription_bytes_max` counts it.
    pub filter_bytes: usize,
    /// The same for those that come and go with SUBSCRIBE and UNSUBSCRIBE, beyond what is each client's own.
    pub change_bytes: usize,
    /// What filters may cost that one client brings at once, whatever others have under way.
    pub own_change_bytes: usize,
    /// Packets that no socket took and that are looked at before they count as lost.
    pub unsent_packets: usize,
}

/// Who is let in at one listener.
#[derive(Debug, Clone)]
pub struct DoorConfig {
    /// By which rules know it.
    pub name: Arc<str>,
    /// Somebody is asked about each client. Otherwise everybody is let in.
    pub asks: bool,
    pub versions: Versions,
    /// What stands before the topics of its clients, with the slash at its end. They do not see it.
    pub mount: Option<Arc<str>>,
    /// What everybody has who is let in without a question.
    pub grant: Arc<Grant>,
}

/// A set of protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions(u8);

/// Every bound of the broker. Those marked "in all" are divided evenly among the shards.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest packet that a client may send, in bytes, fixed header included.
    pub packet_bytes_max: u32,
    /// From accept to a whole CONNECT.
    pub connect_timeout: Duration,
    /// So long an unfinished packet of a connected client may go without a stretch of it, or its end.
    pub packet_timeout: Duration,
    /// From the question who a client is to the answer.
    pub answer_timeout: Duration,
    /// Longest keep-alive; 0 leaves it to the clients.
    pub keep_alive_s_max: u16,
    /// Longest life of a session without a connection; `u32::MAX` is forever.
    pub session_expiry_s_max: u32,
    /// How long a 3.x session with clean session 0 lives without a connection; `u32::MAX` is forever.
    pub session_expiry_s_v3: u32,
    /// QoS 1 and 2 messages that a client may have unacknowledged towards us (Receive Maximum).
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages that we have unacknowledged towards one client, at most.
    pub inflight_max: u16,
    /// In all, connected or not.
    pub sessions_max: usize,
    /// In all: client ids and filters, in bytes.
    pub session_memory_max: usize,
    pub queued_messages_max: u32,
    pub queued_bytes_max: usize,
    pub queue_full: QueueFull,
    /// In all: what waits in queues and in flight, for every queue that holds it, and
    /// bytes that no socket takes. Wills have the same room again.
    pub queue_memory_max: usize,
    /// So much of what is stored of a connected client's queue stays in memory, as long as there is enough of it.
    pub queue_window_bytes: usize,
    pub subscriptions_max: u32,
    /// What the filters of one session may cost.
    pub subscription_bytes_max: usize,
    pub topic_levels_max: u16,
    /// In all.
    pub retained_messages_max: usize,
    /// In all.
    pub retained_bytes_max: usize,
    /// Topic aliases that a client may use towards us, and that we use towards a client.
    pub topic_alias_max: u16,
    /// Bytes encoded for one connection and not yet taken by its socket; beyond that messages wait in the queue.
    pub outbox_bytes_max: usize,
    /// Unfinished packets in all connections of all shards, in bytes.
    pub receive_memory_max: usize,
    /// The last packets of each client that are remembered; 0: none.
    pub recorded_packets: u16,
}

/// What gives way when a client's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueFull {
    DropNewest,
    DropOldest,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            shards: 1,
            placement_seed: 0,
            limits: Limits::default(),
            store_epoch_ms: None,
            validate_payload_format: false,
            queue_qos0: false,
            server_reference: None,
            response_topic_prefix: None,
            doors: Vec::new(),
            checks_retain_source: true,
            rules: None,
            rates: Arc::default(),
            bans: Arc::default(),
            contests: ContestLimits::default(),
            sampling: None,
            pieces: Pieces::default(),
        }
    }
}

impl Default for Pieces {
    fn default() -> Pieces {
        Pieces {
            expiry_looks: 4000,
            filter_bytes: 256 << 10,
            change_bytes: 256 << 10,
            own_change_bytes: 16 << 10,
            unsent_packets: 32 << 10,
        }
    }
}

impl Config {
    pub(crate) fn has_mounts(&self) -> bool {
        self.doors.iter().any(|door| door.mount.is_some())
    }

    pub(crate) fn door(&self, door: u16) -> Option<&DoorConfig> {
        self.doors.get(usize::from(door))
    }
}

impl Default for DoorConfig {
    fn default() -> DoorConfig {
        DoorConfig {
            name: "".into(),
            asks: false,
            versions: Versions::ALL,
            mount: None,
            grant: Arc::default(),
        }
    }
}

impl Versions {
    pub const ALL: Versions = Versions(u8::MAX);

    pub fn contains(self, version: Version) -> bool {
        self.0 & Versions::bit(version) != 0
    }

    fn bit(version: Version) -> u8 {
        1 << (version as u8)
    }
}

impl FromIterator<Version> for Versions {
    fn from_iter<I: IntoIterator<Item = Version>>(versions: I) -> Versions {
        Versions(versions.into_iter().fold(0, |set, version| set | Versions::bit(version)))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            packet_bytes_max: 1 << 20,
            connect_timeout: Duration::from_secs(10),
            packet_timeout: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(60),
            keep_alive_s_max: 0,
            session_expiry_s_max: u32::MAX,
            session_expiry_s_v3: 7 * 24 * 3600,
            receive_maximum: 1024,
            inflight_max: 100,
            sessions_max: 1_000_000,
            session_memory_max: 1 << 30,
            queued_messages_max: 1000,
            queued_bytes_max: 16 << 20,
            queue_full: QueueFull::DropNewest,
            queue_memory_max: 1 << 30,
            queue_window_bytes: 256 << 10,
            subscriptions_max: 10_000,
            subscription_bytes_max: 16 << 20,
            topic_levels_max: 128,
            retained_messages_max: 1_000_000,
            retained_bytes_max: 1 << 30,
            topic_alias_max: 16,
            outbox_bytes_max: 1 << 20,
            receive_memory_max: 256 << 20,
            recorded_packets: 16,
        }
    }
}

impl Limits {
    /// The least `receive_memory_max` with which a packet of this size has room at each of so many shards, whatever topics behind aliases take there.
    #[must_use]
    pub fn receive_memory_for(packet_bytes: u64, shards: u8) -> u64 {
        let part_of_aliases = packet_bytes.div_ceil(ALIASES_PART as u64 - 1);
        (packet_bytes + part_of_aliases) * u64::from(shards)
    }

    /// One shard's part of those limits that hold for the whole process.
    #[must_use]
    pub fn of_one_shard(&self, shards: u8) -> Limits {
        let shards = usize::from(shards);
        Limits {
            sessions_max: self.sessions_max.div_ceil(shards),
            session_memory_max: self.session_memory_max.div_ceil(shards),
            queue_memory_max: self.queue_memory_max.div_ceil(shards),
            retained_messages_max: self.retained_messages_max.div_ceil(shards),
            retained_bytes_max: self.retained_bytes_max.div_ceil(shards),
            receive_memory_max: self.receive_memory_max.div_ceil(shards),
            ..self.clone()
        }
    }
}
