//! mosquitto.conf, recognised where it is given in the place of our file.

/// Whether each line is a word and its value without a sign between them, and one at least is a word of mosquitto's.
pub fn is_one(text: &str) -> bool {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut is_known = false;
    for line in lines {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let is_word =
            word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !is_word || rest.trim_start().starts_with('=') {
            return false;
        }
        is_known |= WORDS.contains(&word);
    }
    is_known
}

/// What to do about it.
pub const REMEDY: &str = "this is a configuration of mosquitto, and ours is TOML: docs/from-mosquitto.md has a table with what to write for each \
                          of its keys. Password files and ACL files are taken as they are: IOTHUB_AUTHENTICATION__PASSWORD_FILE and \
                          IOTHUB_ACCESS__ACL_FILE";

/// Those that most files have one of.
const WORDS: &[&str] = &[
    "acl_file",
    "allow_anonymous",
    "autosave_interval",
    "bind_address",
    "cafile",
    "certfile",
    "connection",
    "include_dir",
    "keyfile",
    "listener",
    "log_dest",
    "log_type",
    "max_connections",
    "max_keepalive",
    "max_queued_messages",
    "password_file",
    "per_listener_settings",
    "persistence",
    "persistence_location",
    "pid_file",
    "plugin",
    "port",
    "protocol",
    "socket_domain",
    "use_identity_as_username",
    "user",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_mosquitto_is_told_from_a_broken_one_of_ours() {
        for text in [
            "# mosquitto\nlistener 1883\npassword_file /etc/mosquitto/passwd\nallow_anonymous false\n",
            "persistence true\n\n  listener 8883 0.0.0.0\nprotocol websockets\n",
            "include_dir /etc/mosquitto/conf.d\n",
        ] {
            assert!(is_one(text), "{text}");
        }
        for text in [
            "",
            "# nothing\n",
            "[server]\nmax_connections 5\n",
            "max_connections = 5\nlistener 1883\n",
            "server:\n  port 1883\n",
            "hello world\n",
            "{\"port\": 1883}\n",
        ] {
            assert!(!is_one(text), "{text}");
        }
    }

    #[test]
    fn every_option_of_mosquitto_has_its_line() {
        let text = include_str!("../../docs/from-mosquitto.md");
        let firsts = text.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
        let spans = firsts.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        let named: Vec<&str> =
            spans.map(|span| span.split(' ').next().unwrap_or_default().trim_end_matches("...")).collect();
        let missing: Vec<&&str> = OPTIONS.iter().filter(|option| !named.contains(option)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    /// All that the manual of 2.0 has, and what 2.1 has beside it of what is in use.
    const OPTIONS: &[&str] = &[
        "accept_protocol_versions",
        "acl_file",
        "address",
        "allow_anonymous",
        "allow_duplicate_messages",
        "allow_zero_length_clientid",
        "auth_opt_",
        "auth_plugin",
        "auth_plugin_deny_special_chars",
        "auto_id_prefix",
        "autosave_interval",
        "autosave_on_changes",
        "bind_address",
        "bind_interface",
        "bridge_alpn",
        "bridge_attempt_unsubscribe",
        "bridge_bind_address",
        "bridge_cafile",
        "bridge_capath",
        "bridge_certfile",
        "bridge_identity",
        "bridge_insecure",
        "bridge_keyfile",
        "bridge_max_packet_size",
        "bridge_outgoing_retain",
        "bridge_protocol_version",
        "bridge_psk",
        "bridge_require_ocsp",
        "bridge_tls_version",
        "cafile",
        "capath",
        "certfile",
        "check_retain_source",
        "ciphers",
        "ciphers_tls1.3",
        "cleansession",
        "clientid_prefixes",
        "connection",
        "connection_messages",
        "crlfile",
        "dhparamfile",
        "enable_proxy_protocol",
        "global_max_connections",
        "http_dir",
        "idle_timeout",
        "include_dir",
        "keepalive_interval",
        "keyfile",
        "listener",
        "local_cleansession",
        "local_clientid",
        "local_password",
        "local_username",
        "log_dest",
        "log_facility",
        "log_timestamp",
        "log_timestamp_format",
        "log_type",
        "max_connections",
        "max_inflight_bytes",
        "max_inflight_messages",
        "max_keepalive",
        "max_packet_size",
        "max_qos",
        "max_queued_bytes",
        "max_queued_messages",
        "max_topic_alias",
        "max_topic_alias_broker",
        "memory_limit",
        "message_size_limit",
        "mount_point",
        "notification_topic",
        "notifications",
        "notifications_local_only",
        "password_file",
        "per_listener_settings",
        "persistence",
        "persistence_file",
        "persistence_location",
        "persistent_client_expiration",
        "pid_file",
        "plugin",
        "plugin_opt_",
        "port",
        "protocol",
        "psk_file",
        "psk_hint",
        "queue_qos0_messages",
        "remote_clientid",
        "remote_password",
        "remote_username",
        "require_certificate",
        "restart_timeout",
        "retain_available",
        "retry_interval",
        "round_robin",
        "set_tcp_nodelay",
        "socket_domain",
        "start_type",
        "sys_interval",
        "threshold",
        "tls_engine",
        "tls_engine_kpass_sha1",
        "tls_keyform",
        "tls_version",
        "topic",
        "try_private",
        "upgrade_outgoing_qos",
        "use_identity_as_username",
        "use_subject_as_username",
        "use_username_as_clientid",
        "user",
        "websockets_headers_size",
        "websockets_log_level",
        "websockets_origin",
    ];
}
