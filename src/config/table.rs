//! The table of all keys, in the order of `config.toml`.

use std::ops::RangeInclusive;

use super::{
    admission::{AccessDefault, Anonymous, CertificateUser, ClientCertificates, MinVersion},
    api::Metrics,
    key::{Key, Keys, Kind},
    rates::{self, Over},
    settings::{Durability, Format, Level, OnFailure, QueueFull, Settings, Sigterm, Takeovers},
};

const U16: u64 = u16::MAX as u64;
const U32: u64 = u32::MAX as u64;
/// The largest packet of the protocol: a fixed header of five bytes and four times seven bits of length.
const PACKET_BYTES_MAX: u64 = 5 + 0x0FFF_FFFF;
/// More than a kernel keeps.
pub const BACKLOG_MAX: u64 = 1 << 20;
/// An hour is more than any start or end of a connection can sensibly take.
const WAIT_SECS_MAX: u64 = 3600;
const SYS_SECS_MAX: u64 = 24 * 3600;
/// Far beyond any machine, and far from an overflow when limits are added.
const MEMORY_MAX: u64 = 1 << 44;

pub const fn count(
    section: &'static str,
    name: &'static str,
    range: RangeInclusive<u64>,
    place: fn(&mut Settings) -> &mut u64,
) -> Key {
    Key { section, name, kind: Kind::Count { range, word: None, place } }
}

const fn bytes(
    section: &'static str,
    name: &'static str,
    range: RangeInclusive<u64>,
    place: fn(&mut Settings) -> &mut u64,
) -> Key {
    Key { section, name, kind: Kind::Bytes { range, place } }
}

const fn power(
    section: &'static str,
    name: &'static str,
    range: RangeInclusive<u64>,
    place: fn(&mut Settings) -> &mut u64,
) -> Key {
    Key { section, name, kind: Kind::Power { range, place } }
}

pub const fn flag(section: &'static str, name: &'static str, place: fn(&mut Settings) -> &mut bool) -> Key {
    Key { section, name, kind: Kind::Flag { place } }
}

pub const fn word(
    section: &'static str,
    name: &'static str,
    words: &'static [&'static str],
    get: fn(&Settings) -> usize,
    set: fn(&mut Settings, usize),
) -> Key {
    Key { section, name, kind: Kind::Word { words, get, set } }
}

pub const fn text(section: &'static str, name: &'static str, place: fn(&mut Settings) -> &mut String) -> Key {
    Key { section, name, kind: Kind::Text { place } }
}

pub const fn texts(
    section: &'static str,
    name: &'static str,
    place: fn(&mut Settings) -> &mut Vec<String>,
) -> Key {
    Key { section, name, kind: Kind::Texts { place } }
}

/// A session's life: seconds, of which the largest number means that it never ends.
const fn life(name: &'static str, place: fn(&mut Settings) -> &mut u64) -> Key {
    Key {
        section: "session",
        name,
        kind: Kind::Count { range: 0..=U32, word: Some(("forever", U32)), place },
    }
}

/// In the order of `config.toml`.
pub static KEYS: Keys = Keys(&[BEFORE_RATES, &RATES, AFTER_RATES]);

static BEFORE_RATES: &[Key] = &[
    Key {
        section: "server",
        name: "listen_addresses",
        kind: Kind::Addresses { place: |s| &mut s.server.listen_addresses },
    },
    count("server", "max_connections", 1..=10_000_000, |s| &mut s.server.max_connections),
    bytes("server", "max_packet_size", 64..=PACKET_BYTES_MAX, |s| &mut s.server.max_packet_size),
    count("server", "listen_backlog", 1..=BACKLOG_MAX, |s| &mut s.server.listen_backlog),
    count("server", "connect_timeout_secs", 1..=WAIT_SECS_MAX, |s| &mut s.server.connect_timeout_secs),
    count("server", "packet_timeout_secs", 1..=WAIT_SECS_MAX, |s| &mut s.server.packet_timeout_secs),
    count("server", "close_timeout_secs", 0..=WAIT_SECS_MAX, |s| &mut s.server.close_timeout_secs),
    count("server", "shutdown_timeout_secs", 0..=WAIT_SECS_MAX, |s| &mut s.server.shutdown_timeout_secs),
    word(
        "server",
        "sigterm",
        &["drain", "end"],
        |s| s.server.sigterm as usize,
        |s, at| s.server.sigterm = [Sigterm::Drain, Sigterm::End][at],
    ),
    text("server", "server_reference", |s| &mut s.server.server_reference),
    flag("server", "watch_files", |s| &mut s.server.watch_files),
    flag("server", "watch_config", |s| &mut s.server.watch_config),
    count("server", "sys_interval_secs", 0..=SYS_SECS_MAX, |s| &mut s.server.sys_interval_secs),
    texts("tls", "certificate_files", |s| &mut s.tls.certificate_files),
    texts("tls", "key_files", |s| &mut s.tls.key_files),
    word(
        "tls",
        "min_version",
        &["1.2", "1.3"],
        |s| s.tls.min_version as usize,
        |s, at| s.tls.min_version = MinVersion::ALL[at],
    ),
    word(
        "tls",
        "client_certificates",
        &["none", "optional", "required"],
        |s| s.tls.client_certificates as usize,
        |s, at| s.tls.client_certificates = ClientCertificates::ALL[at],
    ),
    text("tls", "client_ca_file", |s| &mut s.tls.client_ca_file),
    text("tls", "client_crl_file", |s| &mut s.tls.client_crl_file),
    Key { section: "websocket", name: "path", kind: Kind::Path { place: |s| &mut s.websocket.path } },
    Key {
        section: "websocket",
        name: "origins",
        kind: Kind::Origins { place: |s| &mut s.websocket.origins },
    },
    Key {
        section: "websocket",
        name: "trusted_proxies",
        kind: Kind::Networks { place: |s| &mut s.websocket.trusted_proxies },
    },
    word(
        "authentication",
        "anonymous",
        &["local", "always", "never"],
        |s| s.authentication.anonymous as usize,
        |s, at| s.authentication.anonymous = Anonymous::ALL[at],
    ),
    Key {
        section: "authentication",
        name: "order",
        kind: Kind::Order { place: |s| &mut s.authentication.order },
    },
    text("authentication", "password_file", |s| &mut s.authentication.password_file),
    text("authentication", "user_database", |s| &mut s.authentication.user_database),
    text("authentication", "scram_file", |s| &mut s.authentication.scram_file),
    word(
        "authentication",
        "certificate_user",
        &["none", "common_name", "alternative_name", "fingerprint"],
        |s| s.authentication.certificate_user as usize,
        |s, at| s.authentication.certificate_user = CertificateUser::ALL[at],
    ),
    text("authentication", "jwt_keys", |s| &mut s.authentication.jwt_keys),
    texts("authentication", "jwt_issuers", |s| &mut s.authentication.jwt_issuers),
    texts("authentication", "jwt_audiences", |s| &mut s.authentication.jwt_audiences),
    text("authentication", "jwt_client_id_claim", |s| &mut s.authentication.jwt_client_id_claim),
    text("authentication", "jwt_user_claim", |s| &mut s.authentication.jwt_user_claim),
    text("authentication", "jwt_groups_claim", |s| &mut s.authentication.jwt_groups_claim),
    text("authentication", "jwt_roles_claim", |s| &mut s.authentication.jwt_roles_claim),
    text("authentication", "jwt_permissions_claim", |s| &mut s.authentication.jwt_permissions_claim),
    count("authentication", "jwt_leeway_secs", 0..=600, |s| &mut s.authentication.jwt_leeway_secs),
    count("authentication", "jwt_refresh_secs", 15..=86_400, |s| &mut s.authentication.jwt_refresh_secs),
    text("authentication", "jwt_ca_file", |s| &mut s.authentication.jwt_ca_file),
    text("authentication", "http_url", |s| &mut s.authentication.http_url),
    text("authentication", "http_ca_file", |s| &mut s.authentication.http_ca_file),
    text("authentication", "http_authorization_file", |s| &mut s.authentication.http_authorization_file),
    count("authentication", "http_timeout_secs", 1..=60, |s| &mut s.authentication.http_timeout_secs),
    count("authentication", "answer_timeout_secs", 1..=WAIT_SECS_MAX, |s| {
        &mut s.authentication.answer_timeout_secs
    }),
    count("authentication", "cache_secs", 0..=WAIT_SECS_MAX, |s| &mut s.authentication.cache_secs),
    count("authentication", "threads", 1..=64, |s| &mut s.authentication.threads),
    count("authentication", "max_waiting", 1..=1_000_000, |s| &mut s.authentication.max_waiting),
    text("access", "acl_file", |s| &mut s.access.acl_file),
    text("access", "rules_file", |s| &mut s.access.rules_file),
    word(
        "access",
        "default",
        &["allow", "deny"],
        |s| s.access.default as usize,
        |s, at| s.access.default = AccessDefault::ALL[at],
    ),
    flag("access", "check_retain_source", |s| &mut s.access.check_retain_source),
    text("access", "shadow_acl_file", |s| &mut s.access.shadow_acl_file),
    text("access", "shadow_rules_file", |s| &mut s.access.shadow_rules_file),
    count("session", "keep_alive_timeout_secs", 0..=U16, |s| &mut s.session.keep_alive_timeout_secs),
    life("session_timeout_secs", |s| &mut s.session.session_timeout_secs),
    life("session_timeout_v3_secs", |s| &mut s.session.session_timeout_v3_secs),
    count("session", "receive_maximum", 1..=U16, |s| &mut s.session.receive_maximum),
    count("session", "max_inflight", 1..=U16, |s| &mut s.session.max_inflight),
    count("session", "max_queued_messages", 0..=U32, |s| &mut s.session.max_queued_messages),
    bytes("session", "max_queued_bytes", 0..=MEMORY_MAX, |s| &mut s.session.max_queued_bytes),
    bytes("session", "queue_window", 0..=MEMORY_MAX, |s| &mut s.session.queue_window),
    word(
        "session",
        "queue_full",
        &["drop_newest", "drop_oldest"],
        |s| s.session.queue_full as usize,
        |s, at| s.session.queue_full = [QueueFull::DropNewest, QueueFull::DropOldest][at],
    ),
    flag("session", "queue_qos0", |s| &mut s.session.queue_qos0),
    count("session", "max_subscriptions", 1..=U32, |s| &mut s.session.max_subscriptions),
    bytes("session", "max_subscription_bytes", 1 << 18..=1 << 30, |s| &mut s.session.max_subscription_bytes),
    count("session", "max_topic_aliases", 0..=U16, |s| &mut s.session.max_topic_aliases),
    count("session", "recorded_packets", 0..=1024, |s| &mut s.session.recorded_packets),
    bytes("session", "max_outbox_bytes", 4096..=1 << 30, |s| &mut s.session.max_outbox_bytes),
    count("session", "takeover_limit", 0..=U32, |s| &mut s.session.takeover_limit),
    count("session", "takeover_window_secs", 1..=WAIT_SECS_MAX, |s| &mut s.session.takeover_window_secs),
    word(
        "session",
        "takeover_policy",
        &["allow", "refuse"],
        |s| s.session.takeover_policy as usize,
        |s, at| s.session.takeover_policy = [Takeovers::Allow, Takeovers::Refuse][at],
    ),
    count("router", "retained_message_limit", 0..=U32, |s| &mut s.router.retained_message_limit),
    bytes("router", "max_retained_bytes", 0..=MEMORY_MAX, |s| &mut s.router.max_retained_bytes),
    count("router", "max_topic_levels", 1..=U16, |s| &mut s.router.max_topic_levels),
    flag("router", "validate_payload_format", |s| &mut s.router.validate_payload_format),
    Key {
        section: "router",
        name: "response_topic_prefix",
        kind: Kind::Topic { place: |s| &mut s.router.response_topic_prefix },
    },
    count("limits", "max_sessions", 1..=100_000_000, |s| &mut s.limits.max_sessions),
    bytes("limits", "max_session_memory", 1 << 20..=MEMORY_MAX, |s| &mut s.limits.max_session_memory),
    bytes("limits", "max_queue_memory", 1 << 20..=MEMORY_MAX, |s| &mut s.limits.max_queue_memory),
    bytes("limits", "max_receive_memory", 1 << 20..=MEMORY_MAX, |s| &mut s.limits.max_receive_memory),
    word(
        "rates",
        "over",
        &["wait", "disconnect"],
        |s| s.rates.over as usize,
        |s, at| s.rates.over = Over::ALL[at],
    ),
    count("rates", "burst_secs", 1..=WAIT_SECS_MAX, |s| &mut s.rates.burst_secs),
    count("rates", "address_prefix_ipv4", 1..=32, |s| &mut s.rates.address_prefix_v4),
    count("rates", "address_prefix_ipv6", 1..=128, |s| &mut s.rates.address_prefix_v6),
];

static RATES: [Key; rates::COUNT] = rates::keys("rates", "unlimited", |s| &mut s.rates.of);

static AFTER_RATES: &[Key] = &[
    text("store", "dir", |s| &mut s.store.dir),
    word(
        "store",
        "durability",
        &["written", "fsynced"],
        |s| s.store.durability as usize,
        |s, at| s.store.durability = [Durability::Written, Durability::Fsynced][at],
    ),
    word(
        "store",
        "on_failure",
        &["exit", "serve"],
        |s| s.store.on_failure as usize,
        |s, at| s.store.on_failure = [OnFailure::Exit, OnFailure::Serve][at],
    ),
    bytes("store", "segment_bytes", 1 << 20..=1 << 30, |s| &mut s.store.segment_bytes),
    text("store", "backup_dir", |s| &mut s.store.backup_dir),
    count("store", "backups_kept", 0..=10_000, |s| &mut s.store.backups_kept),
    count("runtime", "shards", 0..=shard::SHARDS_MAX as u64, |s| &mut s.runtime.shards),
    count("runtime", "placement_seed", 0..=i64::MAX as u64, |s| &mut s.runtime.placement_seed),
    power("runtime", "ring_entries", 64..=32_768, |s| &mut s.runtime.ring_entries),
    power("runtime", "receive_buffers", 8..=32_768, |s| &mut s.runtime.receive_buffers),
    bytes("runtime", "receive_buffer_bytes", 512..=1 << 20, |s| &mut s.runtime.receive_buffer_bytes),
    count("runtime", "mail_ring_slots", 16..=1 << 16, |s| &mut s.runtime.mail_ring_slots),
    text("control", "socket", |s| &mut s.control.socket),
    Key { section: "api", name: "listen", kind: Kind::Endpoints { place: |s| &mut s.api.listen } },
    text("api", "certificate", |s| &mut s.api.certificate),
    text("api", "private_key", |s| &mut s.api.private_key),
    text("api", "tokens_file", |s| &mut s.api.tokens_file),
    word(
        "api",
        "metrics",
        &["open", "token"],
        |s| s.api.metrics as usize,
        |s, at| s.api.metrics = Metrics::ALL[at],
    ),
    texts("api", "hosts", |s| &mut s.api.hosts),
    flag("api", "insecure", |s| &mut s.api.insecure),
    count("api", "max_connections", 1..=10_000, |s| &mut s.api.max_connections),
    count("api", "max_streams", 0..=10_000, |s| &mut s.api.max_streams),
    word(
        "log",
        "level",
        &["error", "warn", "info", "debug", "trace"],
        |s| s.log.level as usize,
        |s, at| s.log.level = Level::ALL[at],
    ),
    word(
        "log",
        "format",
        &["text", "json"],
        |s| s.log.format as usize,
        |s, at| s.log.format = [Format::Text, Format::Json][at],
    ),
    text("audit", "file", |s| &mut s.audit.file),
    bytes("audit", "rotate_bytes", 4096..=MEMORY_MAX, |s| &mut s.audit.rotate_bytes),
    count("audit", "keep", 0..=1000, |s| &mut s.audit.keep),
    Key {
        section: "audit",
        name: "address_lines_per_minute",
        kind: Kind::Count {
            range: 0..=1_000_000,
            word: Some(("unlimited", 0)),
            place: |s| &mut s.audit.address_lines_per_minute,
        },
    },
    texts("audit", "events", |s| &mut s.audit.events),
    text("telemetry", "otlp_endpoint", |s| &mut s.telemetry.otlp_endpoint),
    text("telemetry", "otlp_ca_file", |s| &mut s.telemetry.otlp_ca_file),
    text("telemetry", "otlp_authorization_file", |s| &mut s.telemetry.otlp_authorization_file),
    count("telemetry", "sample_one_in", 0..=U32, |s| &mut s.telemetry.sample_one_in),
    flag("telemetry", "follow_parent", |s| &mut s.telemetry.follow_parent),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;

    fn by_word(key: &Key, settings: &mut Settings, word: &str) -> Result<(), String> {
        key.set(settings, &Value::Word(word))
    }

    #[test]
    fn sections_stand_together_and_keys_are_unique() {
        let sections = Key::sections();
        assert_eq!(
            sections,
            [
                "server",
                "tls",
                "websocket",
                "authentication",
                "access",
                "session",
                "router",
                "limits",
                "rates",
                "store",
                "runtime",
                "control",
                "api",
                "log",
                "audit",
                "telemetry"
            ]
        );
        for (at, key) in KEYS.iter().enumerate() {
            let twin =
                KEYS.iter().skip(at + 1).find(|other| other.section == key.section && other.name == key.name);
            assert!(twin.is_none(), "{} twice", key.name);
        }
    }

    #[test]
    fn every_default_is_a_value_that_its_key_takes() {
        let defaults = Settings::default();
        for key in KEYS.iter() {
            let shown = key.show(&defaults);
            let word = shown.replace(['"', '[', ']'], "").replace("tcp://::1:", "tcp://[::1]:");
            let mut settings = defaults.clone();
            by_word(key, &mut settings, &word).expect(&shown);
            assert_eq!(settings, defaults, "{} = {shown}", key.name);
        }
    }

    #[test]
    fn the_ends_of_every_range_reach_the_shards() {
        for key in KEYS.iter() {
            let range = match &key.kind {
                Kind::Count { range, .. } | Kind::Power { range, .. } | Kind::Bytes { range, .. } => range,
                Kind::Rate { .. } => &(0..=rates::RATE_MAX),
                _ => continue,
            };
            for end in [*range.start(), *range.end()] {
                let mut settings = Settings::default();
                by_word(key, &mut settings, &end.to_string()).expect(key.name);
                let _ = settings.runtime_config(Vec::new(), 1, 1);
                assert_eq!(key.show(&settings).parse().unwrap_or(end), end, "{}", key.name);
            }
            if let Some(beyond) = range.end().checked_add(1) {
                assert!(by_word(key, &mut Settings::default(), &beyond.to_string()).is_err(), "{}", key.name);
            }
        }
    }

    /// Words of which at least one differs from the default.
    fn words_for(key: &Key) -> [String; 2] {
        match &key.kind {
            Kind::Count { range, .. } | Kind::Power { range, .. } | Kind::Bytes { range, .. } => {
                [range.start().to_string(), range.end().to_string()]
            }
            Kind::Rate { .. } => ["0", "7"].map(str::to_owned),
            Kind::Flag { .. } => ["true", "false"].map(str::to_owned),
            Kind::Word { words, .. } => [words[0], words[words.len() - 1]].map(str::to_owned),
            Kind::Text { .. } | Kind::Topic { .. } => ["here", "there"].map(str::to_owned),
            Kind::Mount { .. } => ["here/", "there/"].map(str::to_owned),
            Kind::Mode { .. } => ["0600", "0666"].map(str::to_owned),
            Kind::Moment { .. } => ["2030-01-31T12:00:00Z", "2031-01-31T12:00:00Z"].map(str::to_owned),
            Kind::Address { .. } => ["tcp://192.0.2.1:1", "unix:///run/mqtt"].map(str::to_owned),
            Kind::Path { .. } => ["/here", "/there"].map(str::to_owned),
            Kind::Origins { .. } => ["https://a.example", "http://b.example:8000"].map(str::to_owned),
            Kind::Banned { .. } => ["ada", "bob"].map(str::to_owned),
            Kind::Networks { .. } | Kind::BannedNetworks { .. } => {
                ["192.0.2.0/24", "2001:db8::/32"].map(str::to_owned)
            }
            Kind::Order { .. } => ["http", "scram,token"].map(str::to_owned),
            Kind::Ways { .. } => ["off", "scram,token"].map(str::to_owned),
            Kind::Texts { .. } => ["/one.pem", "/other.pem"].map(str::to_owned),
            Kind::Endpoints { .. } => ["192.0.2.1:1", "192.0.2.1:2"].map(str::to_owned),
            Kind::Addresses { .. } => ["tcp://192.0.2.1:1", "tcp://192.0.2.1:2"].map(str::to_owned),
        }
    }

    #[test]
    fn a_key_sets_its_own_setting_and_no_other() {
        let defaults = Settings::default();
        for key in KEYS.iter() {
            let mut settings = defaults.clone();
            for word in words_for(key) {
                if settings == defaults {
                    by_word(key, &mut settings, &word).expect(key.name);
                }
            }
            let changed =
                KEYS.iter().filter(|candidate| candidate.show(&settings) != candidate.show(&defaults));
            assert_eq!(changed.map(|key| key.name).collect::<Vec<_>>(), [key.name]);
        }
    }

    #[test]
    fn every_key_that_names_a_file_with_a_secret_stands_among_the_files_with_secrets() {
        // Whoever adds a key that names a file says which of both it is.
        const WITHOUT_SECRETS: &[&str] = &[
            "tls.certificate_files",
            "tls.client_ca_file",
            "tls.client_crl_file",
            "authentication.jwt_ca_file",
            "authentication.http_ca_file",
            "access.acl_file",
            "access.rules_file",
            "access.shadow_acl_file",
            "access.shadow_rules_file",
            "api.certificate",
            "telemetry.otlp_ca_file",
        ];
        let text = include_str!("../../docs/configuration.md");
        let rows = |from: &str| text.split_once(from).expect("it is there").1.split("\n## ").next();
        let section = rows("## Files with secrets").expect("it has text");
        for key in KEYS.iter() {
            let name = format!("{}.{}", key.section, key.name);
            let row = format!("| `{}` |", key.name);
            let of_section = rows(&format!("## `[{}]`", key.section)).unwrap_or_default();
            let row = of_section.lines().find(|line| line.starts_with(&row));
            let names_file = row.is_some_and(|row| {
                row.split('|')
                    .nth(3)
                    .is_some_and(|range| range.contains("a file name") || range.contains("file names"))
            });
            if names_file && !WITHOUT_SECRETS.contains(&name.as_str()) {
                assert!(
                    section.contains(&format!("`{name}`")),
                    "{name} is not said to be a file with secrets"
                );
            }
        }
    }
}
