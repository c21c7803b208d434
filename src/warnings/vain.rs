//! Settings that differ from their defaults and say nothing, because of what others say.

use crate::{
    config::{ClientCertificates, Key, Place, Scheme, Settings},
    listen::Entrance,
    numbering::Numbers,
};

/// Keys of one section, and when they say nothing.
struct Vain {
    section: &'static str,
    names: &'static [&'static str],
    because: &'static str,
    when: fn(&Settings, &Numbers) -> bool,
}

static VAIN: &[Vain] = &[
    Vain {
        section: "tls",
        names: TLS_NAMES,
        because: "no listener speaks TLS",
        when: |settings, numbers| !numbers.open().any(|entrance| entrance.speaks_tls(settings)),
    },
    Vain {
        section: "tls",
        names: CLIENT_NAMES,
        because: "no listener asks clients for certificates (tls.client_certificates)",
        when: |settings, numbers| {
            numbers.open().any(|entrance| entrance.speaks_tls(settings))
                && !ask_certificates(settings, numbers)
        },
    },
    Vain {
        section: "authentication",
        names: &["certificate_user"],
        because: "no listener asks clients for certificates (tls.client_certificates)",
        when: |settings, numbers| !ask_certificates(settings, numbers),
    },
    Vain {
        section: "authentication",
        names: &["jwt_issuers", "jwt_audiences", "jwt_client_id_claim", "jwt_leeway_secs", "jwt_ca_file"],
        because: "authentication.jwt_keys names no keys, and no tokens are taken",
        when: |settings, _| settings.authentication.jwt_keys.is_empty(),
    },
    Vain {
        section: "authentication",
        names: &["jwt_ca_file"],
        because: "authentication.jwt_keys is no https:// URL",
        when: |settings, _| is_not_https(&settings.authentication.jwt_keys),
    },
    Vain {
        section: "authentication",
        names: &["http_ca_file", "http_authorization_file", "http_timeout_secs"],
        because: "authentication.http_url names nobody who could be asked",
        when: |settings, _| settings.authentication.http_url.is_empty(),
    },
    Vain {
        section: "authentication",
        names: &["http_ca_file"],
        because: "authentication.http_url is no https:// URL",
        when: |settings, _| is_not_https(&settings.authentication.http_url),
    },
    Vain {
        section: "websocket",
        names: &["path", "origins", "trusted_proxies"],
        because: "no listener takes a WebSocket (ws://, wss:// or any://)",
        when: |_, numbers| !numbers.open().any(takes_websocket),
    },
    Vain {
        section: "store",
        names: &["durability", "on_failure", "segment_bytes"],
        because: "store.dir is empty, and everything is in memory",
        when: |settings, _| settings.store.dir.is_empty(),
    },
    Vain {
        section: "session",
        names: &["takeover_window_secs", "takeover_policy"],
        because: "session.takeover_limit is 0",
        when: |settings, _| settings.session.takeover_limit == 0,
    },
    Vain {
        section: "audit",
        names: &["rotate_bytes", "keep", "events"],
        because: "audit.file is empty, and there is no audit log",
        when: |settings, _| settings.audit.file.is_empty(),
    },
];

pub fn sentences(settings: &Settings, numbers: &Numbers) -> Vec<String> {
    let defaults = Settings::default();
    let is_set = |section: &str, name: &str| {
        let key = Key::find(section, name).expect("the table has every key that may say nothing");
        key.show(settings) != key.show(&defaults)
    };
    let mut told = Vec::new();
    for Vain { section, names, because, .. } in VAIN.iter().filter(|vain| (vain.when)(settings, numbers)) {
        let set = names.iter().filter(|name| is_set(section, name));
        told.extend(set.map(|name| format!("{section}.{name} says nothing: {because}")));
    }
    told.extend(numbers.open().flat_map(|entrance| of_listener(entrance, settings)));
    told
}

fn of_listener(entrance: &Entrance, settings: &Settings) -> Vec<String> {
    let own = entrance.listener.own();
    let speaks_tls = entrance.speaks_tls(settings);
    let asks = entrance.listener.tls(&settings.tls).client_certificates != ClientCertificates::None;
    let is_unix = matches!(entrance.address.place, Place::Path(_));
    let cases: [(&[&str], bool, &str); 4] = [
        (TLS_NAMES, !speaks_tls, "TLS is not spoken there"),
        (CLIENT_NAMES, speaks_tls && !asks, "it asks clients for no certificates (client_certificates)"),
        (&["socket_mode"], !is_unix, "it is no socket in the file system"),
        (&["nodelay"], is_unix, "it is a socket in the file system"),
    ];
    let mut told = Vec::new();
    for (names, _, because) in cases.into_iter().filter(|(_, is_vain, _)| *is_vain) {
        let set = own.iter().filter(|(name, _)| names.contains(name));
        told.extend(
            set.map(|(name, _)| format!("listener {}: {name} says nothing: {because}", entrance.address)),
        );
    }
    told
}

fn ask_certificates(settings: &Settings, numbers: &Numbers) -> bool {
    let asks = |entrance: &Entrance| {
        entrance.speaks_tls(settings)
            && entrance.listener.tls(&settings.tls).client_certificates != ClientCertificates::None
    };
    numbers.open().any(asks)
}

fn takes_websocket(entrance: &Entrance) -> bool {
    matches!(entrance.address.scheme, Scheme::WebSocket | Scheme::SecureWebSocket | Scheme::Any)
}

fn is_not_https(url: &str) -> bool {
    !url.is_empty() && !url.starts_with("https://")
}

const TLS_NAMES: &[&str] = &[
    "certificate_files",
    "key_files",
    "min_version",
    "client_certificates",
    "client_ca_file",
    "client_crl_file",
];
const CLIENT_NAMES: &[&str] = &["client_ca_file", "client_crl_file"];

#[cfg(test)]
mod tests {
    use crate::{
        config::{self, Flags, Loaded},
        listen,
    };

    use super::*;

    fn of(text: &str) -> Vec<String> {
        let path = std::env::temp_dir().join(format!("iothub-vain-{}-{}", std::process::id(), text.len()));
        std::fs::write(&path, text).expect("written");
        let loaded: Loaded = config::load(Some(&path), [], &Flags::default()).expect("no problem");
        std::fs::remove_file(path).expect("removed");
        let listen = listen::resolve(loaded.listeners(), false).expect("addresses");
        sentences(&loaded.settings, &Numbers::first(listen.entrances))
    }

    #[test]
    fn what_says_nothing_is_named_with_the_reason() {
        let here = "[server]\nlisten_addresses = [\"tcp://127.0.0.1:1\"]\n";
        for (text, expected) in [
            (
                "[tls]\ncertificate_files = [\"a\"]\n",
                "tls.certificate_files says nothing: no listener speaks TLS",
            ),
            (
                "[authentication]\njwt_issuers = [\"a\"]\n",
                "authentication.jwt_issuers says nothing: authentication.jwt_keys names no keys, and no tokens are taken",
            ),
            (
                "[authentication]\njwt_keys = \"a\"\njwt_ca_file = \"b\"\n",
                "authentication.jwt_ca_file says nothing: authentication.jwt_keys is no https:// URL",
            ),
            (
                "[authentication]\nhttp_timeout_secs = 7\n",
                "authentication.http_timeout_secs says nothing: authentication.http_url names nobody who could be asked",
            ),
            (
                "[authentication]\ncertificate_user = \"common_name\"\n",
                "authentication.certificate_user says nothing: no listener asks clients for certificates \
                 (tls.client_certificates)",
            ),
            (
                "[websocket]\npath = \"/x\"\n",
                "websocket.path says nothing: no listener takes a WebSocket (ws://, wss:// or any://)",
            ),
            (
                "[store]\ndurability = \"written\"\n",
                "store.durability says nothing: store.dir is empty, and everything is in memory",
            ),
            (
                "[audit]\nkeep = 1\n",
                "audit.keep says nothing: audit.file is empty, and there is no audit log",
            ),
            (
                "[[listener]]\naddress = \"tcp://127.0.0.1:2\"\nclient_certificates = \"required\"\n",
                "listener tcp://127.0.0.1:2: client_certificates says nothing: TLS is not spoken there",
            ),
            (
                "[[listener]]\naddress = \"tcp://127.0.0.1:2\"\nsocket_mode = \"0600\"\n",
                "listener tcp://127.0.0.1:2: socket_mode says nothing: it is no socket in the file system",
            ),
        ] {
            assert_eq!(of(&format!("{here}{text}")), [expected], "{text}");
        }
    }

    #[test]
    fn what_counts_is_not_named() {
        let text = "[server]\nlisten_addresses = [\"wss://127.0.0.1:1\"]\n\
                    [tls]\ncertificate_files = [\"a\"]\nkey_files = [\"b\"]\nclient_certificates = \"optional\"\n\
                    client_ca_file = \"c\"\n[websocket]\npath = \"/x\"\n\
                    [authentication]\ncertificate_user = \"common_name\"\njwt_keys = \"https://a/\"\njwt_ca_file = \"d\"\n\
                    [store]\ndir = \"x\"\ndurability = \"written\"\n[audit]\nfile = \"y\"\nkeep = 1\n";
        assert!(of(text).is_empty(), "{:?}", of(text));
        let text = "[server]\nlisten_addresses = [\"tls://127.0.0.1:1\"]\n[tls]\nclient_ca_file = \"c\"\n";
        assert_eq!(
            of(text),
            [
                "tls.client_ca_file says nothing: no listener asks clients for certificates (tls.client_certificates)"
            ]
        );
        assert!(of("[store]\ndurability = \"fsynced\"\n").is_empty(), "the default is said");
    }
}
