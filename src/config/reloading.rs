//! What differs between the settings that hold and those that are read again: what counts at once, and what waits for a start.

use super::{
    Key, Listener, Settings,
    key::Keys,
    listener::{KEYS as LISTENER_KEYS, SECTION},
    table::KEYS,
};

impl Key {
    /// Whether another value counts as soon as it is read. Whatever is not named here waits for the next start.
    fn counts_at_once(&self) -> bool {
        match self.section {
            "tls" | "websocket" | "access" | "router" | "limits" | "rates" => true,
            // Clients were told so with their CONNACK, and the store is laid out for it.
            "server" => self.name != "max_packet_size",
            "session" => !matches!(self.name, "receive_maximum" | "max_topic_aliases" | "recorded_packets"),
            // Threads and memory that are there already.
            "authentication" => !matches!(self.name, "threads" | "max_waiting" | "cache_secs"),
            "api" => matches!(self.name, "certificate" | "private_key"),
            "log" => self.name == "level",
            "telemetry" => matches!(self.name, "otlp_ca_file" | "otlp_authorization_file"),
            _ => false,
        }
    }
}

impl Settings {
    /// What counts from now on, a sentence for each key. Addresses are compared as the listeners that they are.
    pub fn changes(&self, before: &Settings) -> Vec<String> {
        let is_told = |key: &&Key| key.counts_at_once() && key.name != "listen_addresses";
        let of_keys = differing(self, before, KEYS).filter(is_told).map(|key| {
            let (now, then) = (key.told(self), key.told(before));
            format!("{}.{} is {now} (before: {then})", key.section, key.name)
        });
        let (now, then) = (self.bans().len(), before.bans().len());
        let of_bans = (self.bans != before.bans).then(|| format!("{now} banned (before: {then})"));
        of_keys.chain(of_bans).collect()
    }

    /// What differs from the settings at the start and does not count until the next one.
    pub fn waits_for_start(&self, at_start: &Settings) -> Vec<String> {
        differing(self, at_start, KEYS)
            .filter(|key| !key.counts_at_once())
            .map(|key| format!("{}.{}", key.section, key.name))
            .collect()
    }
}

impl Listener {
    /// What it says of itself beside its address, as the file writes it.
    pub fn own(&self) -> Vec<(&'static str, String)> {
        let alone =
            |listener: &Listener| Settings { listeners: vec![listener.clone()], ..Settings::default() };
        let (own, silent) =
            (alone(self), alone(&Listener { address: self.address.clone(), ..Listener::default() }));
        differing(&own, &silent, LISTENER_KEYS).map(|key| (key.name, key.show(&own))).collect()
    }

    /// What counts for those who connect from now on, in the words of its keys.
    pub fn changes(&self, before: &Listener) -> Vec<String> {
        let alone =
            |listener: &Listener| Settings { listeners: vec![listener.clone()], ..Settings::default() };
        let (now, before) = (alone(self), alone(before));
        differing(&now, &before, LISTENER_KEYS)
            .map(|key| format!("{} is {} (before: {})", key.name, key.show(&now), key.show(&before)))
            .collect()
    }
}

fn differing<'a>(
    now: &'a Settings,
    before: &'a Settings,
    keys: Keys,
) -> impl Iterator<Item = &'static Key> + use<'a> {
    debug_assert!(keys.iter().all(|key| key.section != SECTION || !now.listeners.is_empty()));
    keys.iter().filter(|key| key.show(now) != key.show(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::value::Value;

    #[test]
    fn each_key_is_told_once_and_says_when_it_counts() {
        let before = Settings::default();
        let mut now = before.clone();
        for (section, name, word) in [
            ("session", "max_inflight", "7"),
            ("session", "receive_maximum", "7"),
            ("log", "level", "debug"),
            ("log", "format", "json"),
            ("runtime", "shards", "3"),
            ("server", "max_packet_size", "2 MiB"),
            ("authentication", "http_url", "http://h/p?key=quiet"),
        ] {
            let key = Key::find(section, name).expect(name);
            key.set(&mut now, &Value::Word(word)).expect(word);
        }
        assert_eq!(
            now.changes(&before),
            [
                "authentication.http_url is \"http://h/p?...\" (before: \"\")",
                "session.max_inflight is 7 (before: 100)",
                "log.level is \"debug\" (before: \"info\")"
            ]
        );
        assert_eq!(
            now.waits_for_start(&before),
            ["server.max_packet_size", "session.receive_maximum", "runtime.shards", "log.format"]
        );
        assert!(before.changes(&before).is_empty() && before.waits_for_start(&before).is_empty());
    }

    #[test]
    fn what_a_listener_says_of_itself_counts_at_once() {
        let before = Listener::default();
        let now = Listener { max_connections: 5, nodelay: false, ..before.clone() };
        assert_eq!(
            now.changes(&before),
            ["max_connections is 5 (before: 10000000)", "nodelay is false (before: true)"]
        );
    }
}
