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
}
