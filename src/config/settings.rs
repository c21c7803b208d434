//! Every setting with its built-in default, as plain numbers and words. Checking them is the business of `key.rs`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use runtime::{DataDir, Door, Place, StoreConfig, Whom};
use shard::{Config, ContestLimits, ContestPolicy, Limits, Pieces, SHARDS_MAX, store::log::BLOCK_BYTES};

use super::{
    Address, Listener,
    admission::{Access, Audit, Authentication, Tls, WebSocket},
    api::Api,
    ban::Ban,
    rates::Rates,
    telemetry::Telemetry,
};

/// All that can be configured, section by section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    pub server: Server,
    pub tls: Tls,
    pub websocket: WebSocket,
    pub authentication: Authentication,
    pub access: Access,
    /// Those with settings of their own, beside `server.listen_addresses`.
    pub listeners: Vec<Listener>,
    pub session: Session,
    pub router: Router,
    pub limits: Totals,
    pub rates: Rates,
    pub bans: Vec<Ban>,
    pub store: Store,
    pub runtime: Runtime,
    pub control: Control,
    pub api: Api,
    pub log: Log,
    pub audit: Audit,
    pub telemetry: Telemetry,
}

/// The listening side and the life of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub listen_addresses: Vec<Address>,
    pub max_connections: u64,
    pub max_packet_size: u64,
    pub listen_backlog: u64,
    pub connect_timeout_secs: u64,
    pub packet_timeout_secs: u64,
    pub close_timeout_secs: u64,
    pub shutdown_timeout_secs: u64,
    pub sigterm: Sigterm,
    /// Empty: none.
    pub server_reference: String,
    pub watch_files: bool,
    pub watch_config: bool,
    /// 0: nothing is said under `$SYS`.
    pub sys_interval_secs: u64,
}

/// What one client may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub keep_alive_timeout_secs: u64,
    pub session_timeout_secs: u64,
    pub session_timeout_v3_secs: u64,
    pub receive_maximum: u64,
    pub max_inflight: u64,
    pub max_queued_messages: u64,
    pub max_queued_bytes: u64,
    pub queue_window: u64,
    pub queue_full: QueueFull,
    pub queue_qos0: bool,
    pub max_subscriptions: u64,
    pub max_subscription_bytes: u64,
    pub max_topic_aliases: u64,
    pub recorded_packets: u64,
    pub max_outbox_bytes: u64,
    /// 0: never.
    pub takeover_limit: u64,
    pub takeover_window_secs: u64,
    pub takeover_policy: Takeovers,
}

/// What becomes of clients that take a session from each other again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takeovers {
    Allow,
    Refuse,
}

/// Topics and what is kept about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    pub retained_message_limit: u64,
    pub max_retained_bytes: u64,
    pub max_topic_levels: u64,
    pub validate_payload_format: bool,
    /// Empty: none.
    pub response_topic_prefix: String,
}

/// Of the whole process, over all clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    pub max_sessions: u64,
    pub max_session_memory: u64,
    pub max_queue_memory: u64,
    pub max_receive_memory: u64,
}

/// What outlives the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Empty: nothing does.
    pub dir: String,
    pub durability: Durability,
    pub on_failure: OnFailure,
    pub segment_bytes: u64,
    /// Where backups are made that the API asks for. Empty: none are.
    pub backup_dir: String,
    /// The last ones; 0: all.
    pub backups_kept: u64,
}

/// What becomes of a broker whose store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    Exit,
    /// It goes on with what needs no store.
    Serve,
}

/// What has happened to a record that counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The kernel has it: it survives the end of the process.
    Written,
    /// The disk has it: it survives a power cut.
    Fsynced,
}

/// The shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// 0: as many as there are cores for this process.
    pub shards: u64,
    /// 0: drawn at each start.
    pub placement_seed: u64,
    pub ring_entries: u64,
    pub receive_buffers: u64,
    pub receive_buffer_bytes: u64,
    pub mail_ring_slots: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Log {
    pub level: Level,
    pub format: Format,
}

/// How the broker is spoken to while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Empty: not at all.
    pub socket: String,
}

impl Control {
    /// In the data directory, or where programs that run have their sockets.
    pub const AUTO: &str = "auto";
}

impl Default for Control {
    fn default() -> Control {
        Control { socket: Control::AUTO.to_owned() }
    }
}

/// What SIGTERM does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sigterm {
    Drain,
    End,
}

/// What gives way when a queue is full: the shard's own choice, numbered for the table of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueFull {
    DropNewest,
    DropOldest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Text,
    Json,
}

impl Level {
    pub const ALL: [Level; 5] = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];

    /// `-v` and `-q` count from here; beyond the ends there is nothing.
    pub fn moved(self, louder: u8, quieter: u8) -> Level {
        let at = (self as usize + usize::from(louder)).saturating_sub(usize::from(quieter));
        Level::ALL[at.min(Level::ALL.len() - 1)]
    }
}

impl Settings {
    /// What the runtime is told. Addresses, shards and seed are decided by then.
    pub fn runtime_config(&self, doors: Vec<Door>, shards: u8, placement_seed: u64) -> runtime::Config {
        runtime::Config {
            doors,
            shards,
            ring_entries: narrow(self.runtime.ring_entries),
            receive_buffers: narrow(self.runtime.receive_buffers),
            receive_buffer_bytes: narrow(self.runtime.receive_buffer_bytes),
            mail_ring: narrow(self.runtime.mail_ring_slots),
            max_connections: narrow(self.server.max_connections),
            linger: Duration::from_secs(self.server.close_timeout_secs),
            store: None,
            serves_without_store: self.store.on_failure == OnFailure::Serve,
            doorkeeper: None,
            bans: self.bans(),
            tracer: None,
            auditors: Vec::new(),
            core: self.shard_config(shards, placement_seed),
        }
    }

    /// Each by itself.
    pub fn bans(&self) -> Vec<runtime::Ban> {
        let of = |ban: &Ban| {
            let until = ban.until.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
            let client_ids = ban.client_ids.iter().map(|name| Whom::ClientId(name.as_str().into()));
            let users = ban.users.iter().map(|name| Whom::User(name.as_str().into()));
            let networks = ban.addresses.iter().map(|network| Whom::Network(*network));
            let all = client_ids.chain(users).chain(networks);
            all.map(|whom| runtime::Ban { whom, until }).collect::<Vec<_>>()
        };
        self.bans.iter().flat_map(of).collect()
    }

    /// A listener's door at this place. What it speaks is decided elsewhere.
    pub fn door(&self, listener: &Listener, place: Place) -> Door {
        let backlog = match listener.backlog {
            0 => self.server.listen_backlog,
            own => own,
        };
        Door { backlog: narrow(backlog), ..Door::plain(place) }
    }

    pub fn websocket_door(&self) -> transport::Door {
        let WebSocket { path, origins, trusted_proxies } = &self.websocket;
        transport::Door {
            path: (!path.is_empty()).then(|| path.clone()),
            origins: origins.clone(),
            trusted_proxies: trusted_proxies.clone(),
        }
    }

    fn shard_config(&self, shards: u8, placement_seed: u64) -> Config {
        Config {
            shards,
            placement_seed,
            limits: self.shard_limits(),
            store_epoch_ms: None,
            validate_payload_format: self.router.validate_payload_format,
            queue_qos0: self.session.queue_qos0,
            server_reference: not_empty(&self.server.server_reference),
            response_topic_prefix: not_empty(&self.router.response_topic_prefix),
            doors: Vec::new(),
            checks_retain_source: self.access.check_retain_source,
            rules: None,
            rates: Arc::default(),
            bans: Arc::default(),
            contests: ContestLimits {
                takeovers: narrow(self.session.takeover_limit),
                window: Duration::from_secs(self.session.takeover_window_secs),
                policy: match self.session.takeover_policy {
                    Takeovers::Allow => ContestPolicy::Allow,
                    Takeovers::Refuse => ContestPolicy::Refuse,
                },
            },
            sampling: self.telemetry.sampling(),
            pieces: Pieces::default(),
        }
    }

    // Every field is named, so that a new limit of the shard does not compile until it has its key.
    fn shard_limits(&self) -> Limits {
        Limits {
            packet_bytes_max: narrow(self.server.max_packet_size),
            connect_timeout: Duration::from_secs(self.server.connect_timeout_secs),
            packet_timeout: Duration::from_secs(self.server.packet_timeout_secs),
            // Whoever is asked has limits of his own; this one is for his faults.
            answer_timeout: Duration::from_secs(self.authentication.answer_timeout_secs),
            keep_alive_s_max: narrow(self.session.keep_alive_timeout_secs),
            session_expiry_s_max: narrow(self.session.session_timeout_secs),
            session_expiry_s_v3: narrow(self.session.session_timeout_v3_secs),
            receive_maximum: narrow(self.session.receive_maximum),
            inflight_max: narrow(self.session.max_inflight),
            sessions_max: narrow(self.limits.max_sessions),
            session_memory_max: narrow(self.limits.max_session_memory),
            queued_messages_max: narrow(self.session.max_queued_messages),
            queued_bytes_max: narrow(self.session.max_queued_bytes),
            queue_window_bytes: narrow(self.session.queue_window),
            queue_full: self.session.queue_full.into(),
            queue_memory_max: narrow(self.limits.max_queue_memory),
            subscriptions_max: narrow(self.session.max_subscriptions),
            subscription_bytes_max: narrow(self.session.max_subscription_bytes),
            topic_levels_max: narrow(self.router.max_topic_levels),
            retained_messages_max: narrow(self.router.retained_message_limit),
            retained_bytes_max: narrow(self.router.max_retained_bytes),
            topic_alias_max: narrow(self.session.max_topic_aliases),
            outbox_bytes_max: narrow(self.session.max_outbox_bytes),
            receive_memory_max: narrow(self.limits.max_receive_memory),
            recorded_packets: narrow(self.session.recorded_packets),
        }
    }
}

fn narrow<T: TryFrom<u64>>(value: u64) -> T {
    T::try_from(value).ok().expect("the range of its key fits the field")
}

fn not_empty(text: &str) -> Option<std::sync::Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}

impl From<QueueFull> for shard::QueueFull {
    fn from(choice: QueueFull) -> shard::QueueFull {
        match choice {
            QueueFull::DropNewest => shard::QueueFull::DropNewest,
            QueueFull::DropOldest => shard::QueueFull::DropOldest,
        }
    }
}

impl From<shard::QueueFull> for QueueFull {
    fn from(choice: shard::QueueFull) -> QueueFull {
        match choice {
            shard::QueueFull::DropNewest => QueueFull::DropNewest,
            shard::QueueFull::DropOldest => QueueFull::DropOldest,
        }
    }
}

// The shard's own defaults are the defaults, so that its tests and a started broker mean the same.
impl Default for Server {
    fn default() -> Server {
        let limits = Limits::default();
        let edge = runtime::Config::default();
        Server {
            listen_addresses: Address::loopback(Address::PORT),
            max_connections: 10_000,
            max_packet_size: limits.packet_bytes_max.into(),
            listen_backlog: edge.doors[0].backlog.into(),
            connect_timeout_secs: limits.connect_timeout.as_secs(),
            packet_timeout_secs: limits.packet_timeout.as_secs(),
            close_timeout_secs: edge.linger.as_secs(),
            shutdown_timeout_secs: 10,
            sigterm: Sigterm::Drain,
            server_reference: String::new(),
            watch_files: true,
            watch_config: false,
            sys_interval_secs: 10,
        }
    }
}

impl Default for Session {
    fn default() -> Session {
        let contests = ContestLimits::default();
        let limits = Limits::default();
        Session {
            keep_alive_timeout_secs: limits.keep_alive_s_max.into(),
            session_timeout_secs: limits.session_expiry_s_max.into(),
            session_timeout_v3_secs: limits.session_expiry_s_v3.into(),
            receive_maximum: limits.receive_maximum.into(),
            max_inflight: limits.inflight_max.into(),
            max_queued_messages: limits.queued_messages_max.into(),
            max_queued_bytes: limits.queued_bytes_max as u64,
            queue_window: limits.queue_window_bytes as u64,
            queue_full: limits.queue_full.into(),
            queue_qos0: Config::default().queue_qos0,
            max_subscriptions: limits.subscriptions_max.into(),
            max_subscription_bytes: limits.subscription_bytes_max as u64,
            max_topic_aliases: limits.topic_alias_max.into(),
            recorded_packets: limits.recorded_packets.into(),
            max_outbox_bytes: limits.outbox_bytes_max as u64,
            takeover_limit: contests.takeovers.into(),
            takeover_window_secs: contests.window.as_secs(),
            takeover_policy: Takeovers::Allow,
        }
    }
}

impl Default for Router {
    fn default() -> Router {
        let limits = Limits::default();
        Router {
            retained_message_limit: limits.retained_messages_max as u64,
            max_retained_bytes: limits.retained_bytes_max as u64,
            max_topic_levels: limits.topic_levels_max.into(),
            validate_payload_format: Config::default().validate_payload_format,
            response_topic_prefix: String::new(),
        }
    }
}

impl Default for Totals {
    fn default() -> Totals {
        let limits = Limits::default();
        Totals {
            max_sessions: limits.sessions_max as u64,
            max_session_memory: limits.session_memory_max as u64,
            max_queue_memory: limits.queue_memory_max as u64,
            max_receive_memory: limits.receive_memory_max as u64,
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        Store {
            dir: String::new(),
            durability: Durability::Fsynced,
            on_failure: OnFailure::Exit,
            segment_bytes: 8 << 20,
            backup_dir: String::new(),
            backups_kept: 0,
        }
    }
}

impl Settings {
    /// With so many cores.
    pub fn shards(&self, cores: usize) -> u8 {
        let wanted = match self.runtime.shards {
            0 => cores.min(SHARDS_MAX),
            shards => usize::try_from(shards).unwrap_or(SHARDS_MAX),
        };
        u8::try_from(wanted).expect("the range of runtime.shards is that of a shard's id")
    }

    /// The store in this directory.
    pub fn store_config(&self, dir: Arc<DataDir>) -> StoreConfig {
        let record_bytes_max = self.server.max_packet_size + RECORD_EXTRA_BYTES;
        // A spare alone is room enough.
        let room_bytes = self.shard_config(1, 0).limits.store_room_bytes() as u64;
        let least = record_bytes_max.max(room_bytes) + SEGMENT_EXTRA_BYTES;
        let segment_bytes = self.store.segment_bytes.max(least);
        StoreConfig {
            dir,
            is_synced: self.store.durability == Durability::Fsynced,
            segment_bytes: narrow(segment_bytes.next_multiple_of(BLOCK_BYTES.into())),
            record_bytes_max: narrow(record_bytes_max),
        }
    }
}

/// What a record has beside a packet: its receivers, a topic, a client id.
const RECORD_EXTRA_BYTES: u64 = 1 << 20;

/// What a segment has beside records.
const SEGMENT_EXTRA_BYTES: u64 = 64 << 10;

impl Default for Runtime {
    fn default() -> Runtime {
        let edge = runtime::Config::default();
        Runtime {
            shards: 0,
            placement_seed: 0,
            ring_entries: edge.ring_entries.into(),
            receive_buffers: edge.receive_buffers.into(),
            receive_buffer_bytes: edge.receive_buffer_bytes.into(),
            mail_ring_slots: edge.mail_ring as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_shard() {
        let ours = Settings::default().shard_config(1, 0);
        assert_eq!(format!("{ours:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn the_defaults_are_those_of_the_runtime_but_for_the_connections() {
        let theirs = runtime::Config::default();
        let ours = Settings::default().runtime_config(theirs.doors.clone(), 1, 0);
        assert_eq!(ours.max_connections, 10_000);
        let ours = runtime::Config { max_connections: theirs.max_connections, ..ours };
        assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn the_level_moves_and_stops_at_its_ends() {
        assert_eq!(Level::Info.moved(1, 0), Level::Debug);
        assert_eq!(Level::Info.moved(0, 1), Level::Warn);
        assert_eq!(Level::Info.moved(9, 0), Level::Trace);
        assert_eq!(Level::Info.moved(0, 9), Level::Error);
    }

    #[test]
    fn an_empty_text_is_none() {
        let mut settings = Settings::default();
        assert!(settings.shard_config(1, 0).server_reference.is_none());
        settings.server.server_reference = "elsewhere:1883".to_owned();
        assert_eq!(settings.shard_config(1, 0).server_reference.as_deref(), Some("elsewhere:1883"));
    }
}
