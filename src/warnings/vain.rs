//! Settings that differ from their defaults and say nothing, because of what others say.

use crate::{
    config::{
        AccessDefault, Authentication, ClientCertificates, Key, Pace, Place, RatesOf, Scheme, Settings, Way,
        Ways,
    },
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
        names: &[
            "jwt_issuers",
            "jwt_audiences",
            "jwt_client_id_claim",
            "jwt_user_claim",
            "jwt_groups_claim",
            "jwt_roles_claim",
            "jwt_permissions_claim",
            "jwt_leeway_secs",
            "jwt_refresh_secs",
            "jwt_ca_file",
        ],
        because: "authentication.jwt_keys names no keys, and no tokens are taken",
        when: |settings, _| settings.authentication.jwt_keys.is_empty(),
    },
    Vain {
        section: "authentication",
        names: &["jwt_refresh_secs"],
        because: "authentication.jwt_keys is no URL",
        when: |settings, _| is_file(&settings.authentication.jwt_keys),
    },
    Vain {
        section: "authentication",
        names: &["jwt_ca_file"],
        because: "authentication.jwt_keys is no https:// URL",
        when: |settings, _| is_not_https(&settings.authentication.jwt_keys),
    },
    Vain {
        section: "authentication",
        names: &["http_ca_file", "http_authorization_file"],
        because: "authentication.http_url names nobody who could be asked",
        when: |settings, _| settings.authentication.http_url.is_empty(),
    },
    Vain {
        section: "authentication",
        names: &["http_timeout_secs"],
        because: "neither authentication.http_url nor authentication.jwt_keys is a URL that could be asked",
        when: |settings, _| {
            let Authentication { http_url, jwt_keys, .. } = &settings.authentication;
            http_url.is_empty() && (jwt_keys.is_empty() || is_file(jwt_keys))
        },
    },
    Vain {
        section: "authentication",
        names: &["http_ca_file"],
        because: "authentication.http_url is no https:// URL",
        when: |settings, _| is_not_https(&settings.authentication.http_url),
    },
    Vain {
        section: "authentication",
        names: &["cache_secs", "threads", "max_waiting", "answer_timeout_secs"],
        because: "nothing says how clients prove who they are (authentication.password_file, for example)",
        when: |settings, _| !Way::ALL.into_iter().any(|way| settings.authentication.has(way)),
    },
    Vain {
        section: "authentication",
        names: &["anonymous"],
        because: "each listener says it itself",
        when: |_, numbers| numbers.open().all(says_who_is_anonymous),
    },
    Vain {
        section: "authentication",
        names: &["order"],
        because: "each listener has an authentication of its own",
        when: |_, numbers| numbers.open().all(|entrance| entrance.listener.authentication != Ways::Inherited),
    },
    Vain {
        section: "access",
        names: &["check_retain_source"],
        because: "there are no rules (access.acl_file, access.rules_file), and everything is allowed",
        when: |settings, numbers| {
            !has_rules(settings)
                && settings.access.default == AccessDefault::Allow
                && !numbers.open().any(denies)
        },
    },
    Vain {
        section: "session",
        names: &["queue_window"],
        because: "store.dir is empty, and everything is in memory",
        when: |settings, _| settings.store.dir.is_empty(),
    },
    Vain {
        section: "rates",
        names: &["over", "burst_secs"],
        because: "there are no rates",
        when: |settings, numbers| {
            let has_rates = |rates: RatesOf| rates != RatesOf::default();
            let of_listener = |entrance: &Entrance| has_rates(entrance.listener.rates);
            !has_rates(settings.rates.of) && !numbers.open().any(of_listener) && !has_rules(settings)
        },
    },
    Vain {
        section: "rates",
        names: &["address_prefix_ipv4", "address_prefix_ipv6"],
        because: "there are no rates of addresses",
        when: |settings, numbers| {
            let of_listener = |entrance: &Entrance| entrance.listener.rates.address != Pace::default();
            settings.rates.of.address == Pace::default() && !numbers.open().any(of_listener)
        },
    },
    Vain {
        section: "api",
        names: &[
            "certificate",
            "private_key",
            "tokens_file",
            "metrics",
            "hosts",
            "insecure",
            "max_connections",
        ],
        because: "api.listen is empty, and nobody asks over TCP",
        when: |settings, _| settings.api.listen.is_empty(),
    },
    Vain {
        section: "api",
        names: &["insecure"],
        because: "nobody comes from the network by api.listen without TLS",
        when: |Settings { api, .. }, _| {
            !api.listen.is_empty() && (api.has_tls() || api.reached_from_network().is_none())
        },
    },
    Vain {
        section: "api",
        names: &["hosts"],
        because: "api.listen has no address of this machine alone, and elsewhere every name counts",
        when: |Settings { api, .. }, _| !api.listen.is_empty() && !api.is_reached_by_loopback(),
    },
    Vain {
        section: "store",
        names: &["backups_kept"],
        because: "store.backup_dir names no folder for backups",
        when: |settings, _| settings.store.backup_dir.is_empty(),
    },
    Vain {
        section: "telemetry",
        names: &["otlp_ca_file", "otlp_authorization_file", "sample_one_in", "follow_parent"],
        because: "telemetry.otlp_endpoint is empty, and no message is traced",
        when: |settings, _| settings.telemetry.otlp_endpoint.is_empty(),
    },
    Vain {
        section: "telemetry",
        names: &["otlp_ca_file"],
        because: "telemetry.otlp_endpoint is no https:// URL",
        when: |settings, _| is_not_https(&settings.telemetry.otlp_endpoint),
    },
    Vain {
        section: "websocket",
        names: &["path", "origins", "trusted_proxies"],
        because: "no listener takes a WebSocket (ws://, wss:// or any://)",
        when: |_, numbers| !numbers.open().any(takes_websocket),
    },
    Vain {
        section: "store",
        names: &["durability", "on_failure", "segment_bytes", "backup_dir"],
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
    Vain {
        section: "audit",
        names: &["file", "rotate_bytes", "keep"],
        because: "audit.events is empty, and nothing is written down",
        when: |settings, _| !settings.audit.file.is_empty() && settings.audit.events.is_empty(),
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
    told.extend(absent(settings, numbers));
    told.extend(numbers.open().flat_map(|entrance| of_listener(entrance, settings)));
    told
}

/// Ways that a list names and nothing brings.
fn absent(settings: &Settings, numbers: &Numbers) -> Vec<String> {
    let authentication = &settings.authentication;
    let of = |list: &str, ways: &[Way]| -> Vec<String> {
        let absent = ways.iter().filter(|way| !authentication.has(**way));
        let sentence = |way: &Way| {
            format!(
                "{list} names \"{}\" in vain: nothing is there without authentication.{}",
                way.word(),
                way.key()
            )
        };
        absent.map(sentence).collect()
    };
    let is_default = authentication.order == Authentication::default().order;
    let of_all = if is_default { Vec::new() } else { of("authentication.order", &authentication.order) };
    let of_listeners = numbers.open().flat_map(|entrance| match &entrance.listener.authentication {
        Ways::These(ways) => of(&format!("listener {}: authentication", entrance.address), ways),
        Ways::Inherited | Ways::Off => Vec::new(),
    });
    of_all.into_iter().chain(of_listeners).collect()
}

fn says_who_is_anonymous(entrance: &Entrance) -> bool {
    entrance.listener.anonymous.is_some() || entrance.listener.authentication == Ways::Off
}

fn denies(entrance: &Entrance) -> bool {
    entrance.listener.access_default == Some(AccessDefault::Deny)
}

fn has_rules(settings: &Settings) -> bool {
    let access = &settings.access;
    let files = [&access.acl_file, &access.rules_file, &access.shadow_acl_file, &access.shadow_rules_file];
    files.into_iter().any(|name| !name.is_empty()) || settings.authentication.hears_permits()
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

fn is_file(keys: &str) -> bool {
    !keys.is_empty() && !keys.contains("://")
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
        for (text, expected) in IN_VAIN {
            assert_eq!(of(&format!("{here}{text}")), [expected], "{text}");
        }
    }

    #[test]
    fn what_each_listener_says_itself_is_said_in_vain_for_all() {
        let text = "[authentication]\nanonymous = \"never\"\norder = [\"password\"]\npassword_file = \"a\"\n\
                    [[listener]]\naddress = \"tcp://127.0.0.1:2\"\n";
        let own = "anonymous = \"local\"\nauthentication = [\"password\"]\n";
        assert!(of(text).is_empty(), "{:?}", of(text));
        assert_eq!(
            of(&format!("{text}{own}")),
            [
                "authentication.anonymous says nothing: each listener says it itself",
                "authentication.order says nothing: each listener has an authentication of its own"
            ]
        );
    }

    #[test]
    fn what_counts_is_not_named() {
        let text = "[server]\nlisten_addresses = [\"wss://127.0.0.1:1\"]\n\
                    [tls]\ncertificate_files = [\"a\"]\nkey_files = [\"b\"]\nclient_certificates = \"optional\"\n\
                    client_ca_file = \"c\"\n[websocket]\npath = \"/x\"\n\
                    [authentication]\ncertificate_user = \"common_name\"\njwt_keys = \"https://a/\"\njwt_ca_file = \"d\"\n\
                    jwt_refresh_secs = 60\nhttp_timeout_secs = 7\n\
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

    /// A setting, and what is said of it.
    const IN_VAIN: [(&str, &str); 22] = [
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
            "[authentication]\njwt_keys = \"a\"\njwt_refresh_secs = 60\n",
            "authentication.jwt_refresh_secs says nothing: authentication.jwt_keys is no URL",
        ),
        (
            "[authentication]\nhttp_timeout_secs = 7\n",
            "authentication.http_timeout_secs says nothing: neither authentication.http_url nor authentication.jwt_keys is a URL that could be asked",
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
            "[authentication]\nthreads = 3\n",
            "authentication.threads says nothing: nothing says how clients prove who they are \
             (authentication.password_file, for example)",
        ),
        (
            "[authentication]\norder = [\"http\"]\n",
            "authentication.order names \"http\" in vain: nothing is there without authentication.http_url",
        ),
        (
            "[[listener]]\naddress = \"tcp://127.0.0.1:2\"\nauthentication = [\"http\"]\n",
            "listener tcp://127.0.0.1:2: authentication names \"http\" in vain: nothing is there without authentication.http_url",
        ),
        (
            "[access]\ncheck_retain_source = false\n",
            "access.check_retain_source says nothing: there are no rules (access.acl_file, access.rules_file), and \
             everything is allowed",
        ),
        (
            "[session]\nqueue_window = 0\n",
            "session.queue_window says nothing: store.dir is empty, and everything is in memory",
        ),
        ("[rates]\nburst_secs = 2\n", "rates.burst_secs says nothing: there are no rates"),
        (
            "[rates]\naddress_prefix_ipv4 = 24\nclient_connects_per_minute = 5\n",
            "rates.address_prefix_ipv4 says nothing: there are no rates of addresses",
        ),
        (
            "[api]\nlisten = []\nmetrics = \"token\"\n",
            "api.metrics says nothing: api.listen is empty, and nobody asks over TCP",
        ),
        (
            "[api]\ninsecure = true\n",
            "api.insecure says nothing: nobody comes from the network by api.listen without TLS",
        ),
        (
            "[api]\nlisten = [\"192.0.2.1:1\"]\ncertificate = \"a\"\nprivate_key = \"b\"\nhosts = [\"c\"]\n",
            "api.hosts says nothing: api.listen has no address of this machine alone, and elsewhere every name counts",
        ),
        (
            "[audit]\nfile = \"a\"\nevents = []\n",
            "audit.file says nothing: audit.events is empty, and nothing is written down",
        ),
        ("[audit]\nkeep = 1\n", "audit.keep says nothing: audit.file is empty, and there is no audit log"),
        (
            "[[listener]]\naddress = \"tcp://127.0.0.1:2\"\nclient_certificates = \"required\"\n",
            "listener tcp://127.0.0.1:2: client_certificates says nothing: TLS is not spoken there",
        ),
        (
            "[[listener]]\naddress = \"tcp://127.0.0.1:2\"\nsocket_mode = \"0600\"\n",
            "listener tcp://127.0.0.1:2: socket_mode says nothing: it is no socket in the file system",
        ),
    ];
}
