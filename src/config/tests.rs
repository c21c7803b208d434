//! The configuration as people meet it: precedence, and what each mistake is answered.

mod lines;
mod ports;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use super::{table::KEYS, *};

/// A file that is gone with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: impl AsRef<[u8]>) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("iothub-config-{}-{count}.toml", std::process::id()));
        fs::write(&path, text).expect("a scratch file");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// The problems of a file, without its path.
fn problems_of_file(text: impl AsRef<[u8]>) -> Vec<String> {
    let file = Scratch::new(text);
    let problems = load(Some(&file.0), [], &Flags::default()).expect_err("problems");
    let path = file.0.to_string_lossy().into_owned();
    problems.iter().map(|problem| problem.to_string().replace(&path, "FILE")).collect()
}

fn problems_of_flags(flags: &Flags) -> Vec<String> {
    load(None, [], flags).expect_err("problems").iter().map(Problem::to_string).collect()
}

#[test]
fn without_sources_the_defaults_hold() {
    let loaded = load(None, variables(&[("PATH", "/bin"), ("IOTHUB_PORT_1883_TCP", "x")]), &Flags::default());
    let loaded = loaded.expect("defaults");
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.has_default_listeners());
}

#[test]
fn config_toml_is_every_default_and_nothing_else() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let loaded = load(Some(&path), [], &Flags::default()).expect("config.toml has no problem");
    assert_eq!(loaded.settings, Settings::default());
    let set: Vec<&str> = loaded.origins.iter().map(|(key, _)| key.name).collect();
    let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(set, known, "config.toml has every key once, in the order of the table");
}

#[test]
fn the_file_of_the_image_opens_it_and_keeps_its_data_and_changes_nothing_else() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/config.toml");
    let loaded = load(Some(&path), [], &Flags::default()).expect("docker/config.toml has no problem");
    let set: Vec<String> = loaded.origins.iter().map(|(key, _)| key.show(&loaded.settings)).collect();
    assert_eq!(set, ["[\"tcp://0.0.0.0:1883\"]", "\"always\"", "\"/data\""]);
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let file =
        Scratch::new("[runtime]\nshards = 1\n[server]\nmax_connections = 11\nmax_packet_size = \"2 MiB\"\n");
    let environment = variables(&[("IOTHUB_RUNTIME__SHARDS", "2"), ("IOTHUB_SERVER__MAX_CONNECTIONS", "22")]);
    let flags = Flags { shards: Some("3".to_owned()), ..Flags::default() };
    let loaded = load(Some(&file.0), environment, &flags).expect("no problem");
    let settings = &loaded.settings;
    assert_eq!(settings.runtime.shards, 3);
    assert_eq!(settings.server.max_connections, 22);
    assert_eq!(settings.server.max_packet_size, 2 << 20);
    assert_eq!(settings.session, settings::Session::default());
    let origins: Vec<String> =
        loaded.origins.iter().map(|(key, origin)| format!("{}: {origin}", key.name)).collect();
    let path = file.0.display();
    assert_eq!(
        origins,
        [
            format!("max_packet_size: {path}, line 5"),
            "max_connections: environment variable IOTHUB_SERVER__MAX_CONNECTIONS".to_owned(),
            "shards: flag --shards".to_owned(),
        ]
    );
}

#[test]
fn what_the_file_sets_in_vain_is_told_with_who_decides() {
    let file =
        Scratch::new("[runtime]\nshards = 1\n[server]\nmax_connections = 11\nclose_timeout_secs = 7\n");
    let environment = variables(&[("IOTHUB_RUNTIME__SHARDS", "2"), ("IOTHUB_SERVER__MAX_CONNECTIONS", "22")]);
    let flags = Flags { shards: Some("3".to_owned()), ..Flags::default() };
    let loaded = load(Some(&file.0), environment, &flags).expect("no problem");
    let path = file.0.display();
    assert_eq!(
        loaded.overrides(),
        [
            format!("runtime.shards of {path}, line 2, does not count: flag --shards says 3"),
            format!(
                "server.max_connections of {path}, line 4, does not count: environment variable \
                 IOTHUB_SERVER__MAX_CONNECTIONS says 22"
            ),
        ]
    );
}

#[test]
fn every_mistake_in_the_file_is_named_with_line_key_value_and_remedy() {
    for (text, expected) in FILE_MISTAKES {
        assert_eq!(problems_of_file(text), [*expected], "{text}");
    }
}

const FILE_MISTAKES: &[(&str, &str)] = &[
    (
        "[server]\nmax_connections = 0\n",
        "FILE, line 2: server.max_connections = 0: expected a whole number from 1 to 10000000",
    ),
    (
        "[server]\nmax_connections = -5\n",
        "FILE, line 2: server.max_connections = -5: expected a whole number from 1 to 10000000",
    ),
    (
        "[server]\n\n# as many as we can\nmax_connections = 1.5\n",
        "FILE, line 4: server.max_connections = 1.5: expected a whole number from 1 to 10000000",
    ),
    (
        "[server]\nmax_conections = 5\n",
        "FILE, line 2: server.max_conections: unknown key: did you mean max_connections?",
    ),
    (
        "[server]\nshutdown_timeout = 5\n",
        "FILE, line 2: server.shutdown_timeout: unknown key: did you mean shutdown_timeout_secs?",
    ),
    ("[log]\ncolour = true\n", "FILE, line 2: log.colour: unknown key: [log] has level, format"),
    (
        "[server]\nretained_message_limit = 5\n",
        "FILE, line 2: server.retained_message_limit: unknown key here: it belongs to section [router]",
    ),
    ("max_connections = 5\n", "FILE, line 1: max_connections: this key belongs to section [server]"),
    ("max_conections = 5\n", "FILE, line 1: max_conections: unknown key: did you mean max_connections?"),
    ("colour = 5\n", "FILE, line 1: colour: unknown key: every key stands in a section"),
    ("server = 5\n", "FILE, line 1: server: expected a section: write [server] and its keys below"),
    ("[sever]\nmax_connections = 5\n", "FILE, line 1: [sever]: unknown section: did you mean [server]?"),
    (
        "[grafana]\n",
        "FILE, line 1: [grafana]: unknown section: there are [server], [tls], [websocket], [authentication], [access], [session], [router], [limits], [rates], [store], [runtime], [control], [api], [log], [audit], [telemetry], [[listener]], [[ban]]",
    ),
    (
        "[[listeners]]\naddress = \"tcp://127.0.0.1:1\"\n",
        "FILE, line 1: [[listeners]]: unknown section: did you mean [[listener]]?",
    ),
    (
        "[[ban]]\nusers = [\"ada\", \"\"]\n",
        "FILE, line 2: ban.users = [\"ada\", \"\"]: the name is empty, and nobody has such a one: write a client id or a user name",
    ),
    (
        "[[ban]]\naddresses = [\"::/0\"]\n",
        "FILE, line 2: ban.addresses = [\"::/0\"]: ::/0 is everybody: name smaller networks, or take the listener out of the configuration",
    ),
    ("[bans]\nusers = [\"ada\"]\n", "FILE, line 1: [bans]: unknown section: did you mean [[ban]]?"),
    (
        "[listener]\naddress = \"tcp://127.0.0.1:1\"\n",
        "FILE, line 1: listener: there can be several: write [[listener]] and its keys below",
    ),
    (
        "[[server]]\nmax_connections = 1\n",
        "FILE, line 1: [[server]]: this section is there once: write [server] and its keys below",
    ),
    (
        "[[listener]]\naddress = \"tcp://127.0.0.1:1\"\nauthentication = \"off\"\nanonymous = \"never\"\n",
        "FILE, line 3: listener.authentication = \"off\": tcp://127.0.0.1:1 lets everybody in with this, and its anonymous says \
         otherwise: leave one of both out",
    ),
    (
        "[server]\nmax_packet_size = \"big\"\n",
        "FILE, line 2: server.max_packet_size = \"big\": expected a number of bytes from 64 to 268435460, plain or \
         with a unit such as \"64 KiB\" or \"1 MiB\"",
    ),
    (
        "[server]\nmax_packet_size = \"257 MiB\"\n",
        "FILE, line 2: server.max_packet_size = \"257 MiB\": expected a number of bytes from 64 to 268435460, plain \
         or with a unit such as \"64 KiB\" or \"1 MiB\"",
    ),
    (
        "[session]\nsession_timeout_secs = \"never\"\n",
        "FILE, line 2: session.session_timeout_secs = \"never\": expected a whole number from 0 to 4294967295, or \
         \"forever\"",
    ),
    (
        "[session]\nqueue_full = \"drop\"\n",
        "FILE, line 2: session.queue_full = \"drop\": expected one of \"drop_newest\", \"drop_oldest\"",
    ),
    (
        "[session]\nqueue_qos0 = \"yes\"\n",
        "FILE, line 2: session.queue_qos0 = \"yes\": expected true or false",
    ),
    (
        "[router]\nresponse_topic_prefix = \"a/#\"\n",
        "FILE, line 2: router.response_topic_prefix = \"a/#\": expected a topic of at most 1024 bytes without NUL \
         and without + and #",
    ),
    (
        "[server]\nserver_reference = 5\n",
        "FILE, line 2: server.server_reference = 5: expected a text of at most 1024 bytes without NUL",
    ),
    (
        "[server]\nlisten_addresses = [\"quic://0.0.0.0:8883\"]\n",
        "FILE, line 2: server.listen_addresses = [\"quic://0.0.0.0:8883\"]: quic:// is not known (there are tcp://, \
         tls://, ws://, wss://, any://, unix://): expected tcp://HOST:PORT, for example tcp://0.0.0.0:1883 or tls://[::]:8883",
    ),
    (
        "[server]\nlisten_addresses = \"tcp://0.0.0.0:1883\"\n",
        "FILE, line 2: server.listen_addresses = \"tcp://0.0.0.0:1883\": expected a list of texts, for example \
         [\"tcp://0.0.0.0:1883\"]",
    ),
    (
        "[server]\nlisten_addresses = [1883]\n",
        "FILE, line 2: server.listen_addresses = [1883]: expected a list of texts, for example \
         [\"tcp://0.0.0.0:1883\"]",
    ),
    (
        "[server]\nlisten_addresses = []\n",
        "FILE, line 2: server.listen_addresses = []: expected at least one address, for example \
         tcp://127.0.0.1:1883",
    ),
    (
        "[runtime]\nshards = 2\n[server]\nmax_packet_size = \"2 MiB\"\n[limits]\nmax_receive_memory = \"5 MiB\"\n",
        "FILE, line 6: limits.max_receive_memory = \"5 MiB\": of limits.max_receive_memory (5 MiB) each of 2 shards has \
         its part, which must hold a packet of server.max_packet_size (2 MiB) beside a quarter for topics behind aliases: \
         set limits.max_receive_memory to 6 MiB at least, or fewer runtime.shards, or a smaller server.max_packet_size",
    ),
];

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    assert_eq!(
        problems_of_file("[session]\nmax_inflight = 0\nfoo = 1\n[log]\nlevel = \"loud\"\n"),
        [
            "FILE, line 2: session.max_inflight = 0: expected a whole number from 1 to 65535",
            "FILE, line 3: session.foo: unknown key: [session] has keep_alive_timeout_secs, \
             session_timeout_secs, session_timeout_v3_secs, receive_maximum, max_inflight, max_queued_messages, \
             max_queued_bytes, queue_window, queue_full, queue_qos0, max_subscriptions, max_subscription_bytes, max_topic_aliases, \
             recorded_packets, max_outbox_bytes, takeover_limit, takeover_window_secs, takeover_policy",
            "FILE, line 5: log.level = \"loud\": expected one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        ]
    );
}

#[test]
fn what_goes_wrong_together_is_told_beside_what_is_wrong_by_itself() {
    let problems = problems_of_file(
        "[server]\nmax_packet_size = \"2 MiB\"\nfoo = 1\n[limits]\nmax_receive_memory = \"1 MiB\"\n",
    );
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[1].starts_with("FILE, line 5: limits.max_receive_memory"), "{problems:?}");
    // What was meant is not known where one of both is wrong.
    let problems =
        problems_of_file("[server]\nmax_packet_size = \"2 MB?\"\n[limits]\nmax_receive_memory = \"1 MiB\"\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
}

#[test]
fn a_packet_must_have_room_at_each_shard() {
    let of = |bytes_max: u64| {
        let text = format!(
            "[runtime]\nshards = 3\n[server]\nmax_packet_size = \"2 MiB\"\n[limits]\nmax_receive_memory = {bytes_max}\n"
        );
        load(Some(&Scratch::new(&text).0), [], &Flags::default())
    };
    let least = Limits::receive_memory_for(2 << 20, 3);
    assert!(of(least).is_ok() && of(least - 1).is_err());
    // The defaults go together with any number of shards.
    for shards in 1..=128 {
        let text = format!("[runtime]\nshards = {shards}\n");
        load(Some(&Scratch::new(&text).0), [], &Flags::default()).expect("no problem");
    }
}

#[test]
fn without_a_number_there_is_a_shard_for_each_core() {
    let mut settings = Settings::default();
    assert_eq!((settings.shards(3), settings.shards(500)), (3, 128));
    settings.runtime.shards = 100;
    assert_eq!(settings.shards(3), 100);
}

#[test]
fn the_way_from_mosquitto_names_keys_that_are_there() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/from-mosquitto.md");
    let text = fs::read_to_string(path).expect("the document");
    let block =
        |begin: &str| text.split_once(begin).and_then(|(_, rest)| rest.split_once("\n```")).expect(begin).0;
    let theirs = problems_of_file(block("```\n"));
    assert!(theirs[0].contains("this is a configuration of mosquitto"), "{theirs:?}");
    let ours = Scratch::new(block("```toml\n"));
    load(Some(&ours.0), [], &Flags::default()).expect("the example has no problem");

    let sections = Key::sections();
    let mut count = 0;
    for word in text.split('`').skip(1).step_by(2) {
        // What follows the key is its value.
        let word = word.split(' ').next().unwrap_or_default();
        let Some((section, name)) = word.split_once('.') else { continue };
        let is_there = match section {
            listener::SECTION => listener::KEYS.iter().any(|key| key.name == name),
            section if sections.contains(&section) => Key::find(section, name).is_some(),
            _ => continue,
        };
        assert!(is_there, "{word}");
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn a_file_of_mosquitto_is_recognised() {
    let problems = problems_of_file("listener 1883\nallow_anonymous true\n");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        problems[0].starts_with("FILE: this is a configuration of mosquitto, and ours is TOML"),
        "{problems:?}"
    );
}

#[test]
fn nothing_is_shown_of_a_file_that_is_somebody_elses() {
    for (text, told) in [
        (
            "anna:$7$101$c2VjcmV0$aGlkZGVu==\n",
            "FILE: these are users with their passwords, and no configuration",
        ),
        ("root:!:20228:0:99999:7:::\n", "FILE: this is no configuration of IoTHub: line 1 is not TOML ("),
        ("-----BEGIN PRIVATE KEY-----\nc2VjcmV0aGlkZGVu\n", "FILE: this is a certificate or a key, and"),
        ("user anna\ntopic read hidden/#\n", "FILE: these are rules of access, and no configuration"),
        ("database: hidden\n\nc2VjcmV0=\n", "FILE: this is no configuration of IoTHub: line 1 is not TOML ("),
        ("{\"password\": \"hidden\"}\n", "FILE: this is no configuration of IoTHub: line 1 is not TOML ("),
        ("password = \"hidden\"\n", "FILE, line 1: password: unknown key"),
        ("[grafana]\npassword = \"hidden\"\n", "FILE, line 1: [grafana]: unknown section"),
    ] {
        let problems = problems_of_file(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(told), "{problems:?}");
        assert!(
            ["hidden", "root", "anna", "c2V"].iter().all(|part| !problems[0].contains(part)),
            "{problems:?}"
        );
    }
    let problems = problems_of_file([&b"\x7fELF\0\xff"[..], b"hidden"].concat());
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("FILE: this is no configuration of IoTHub: the byte at 5 is no text"));
}

#[test]
fn of_ours_no_more_is_shown_than_keys_and_sections() {
    for (text, told) in [
        ("[server]\nsigterm = drain\n", "FILE, line 2: sigterm: this is not TOML: "),
        ("[log\nlevel = \"info\"\n", "FILE, line 1: log: this is not TOML: "),
        ("[server]\nx = \"hidden\n", "FILE, line 2: this is not TOML: "),
        (
            "[server]\nmax_connections = 5\n[server]\n",
            "FILE, line 3: server: this is not TOML: it stands there a second time",
        ),
        ("[server]\nanna:$7$101$hidden==\n", "FILE, line 2: this is not TOML: "),
    ] {
        let problems = problems_of_file(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(told) && !problems[0].contains("hidden"), "{problems:?}");
    }
}

#[test]
fn a_name_without_end_is_cut() {
    let problems = problems_of_file(format!("[server]\n{} = 5\n", "x".repeat(5_000)));
    assert!(problems[0].starts_with("FILE, line 2: server.xxx") && problems[0].contains("...: unknown key"));
    assert!(problems[0].len() < 500, "{problems:?}");
}

#[test]
fn what_is_secret_in_a_url_is_told_to_nobody() {
    for (url, told) in [
        ("https://anna:quiet@h:1/p?key=quiet", "https://h:1/p?..."),
        ("https://quiet@h", "https://h"),
        ("http://h#quiet", "http://h?..."),
        ("http://h/@p", "http://h/@p"),
    ] {
        let file = Scratch::new(format!("[authentication]\nhttp_url = \"{url}\"\n"));
        let loaded = load(Some(&file.0), [], &Flags::default()).expect("no problem");
        let fault = Fault::of("authentication", "http_url", "not taken".to_owned());
        let expected =
            format!("{}, line 2: authentication.http_url = \"{told}\": not taken", file.0.display());
        assert_eq!(loaded.sentences(&[fault]), [expected]);
    }
}

#[test]
fn a_fault_is_told_with_the_place_that_names_the_file() {
    let file = Scratch::new(
        "[tls]\nkey_files = [\"a.key\"]\n[[listener]]\naddress = \"tls://127.0.0.1:1\"\n\
         certificate_files = [\"b.pem\"]\n",
    );
    let environment = variables(&[("IOTHUB_ACCESS__ACL_FILE", "acl")]);
    let loaded = load(Some(&file.0), environment, &Flags::default()).expect("no problem");
    assert!(!loaded.has_default_listeners(), "one of its own takes their place");
    let address = Address::parse("tls://127.0.0.1:1").expect("an address");
    let other = Address::parse("tls://127.0.0.1:2").expect("an address");
    let told = loaded.sentences(&[
        Fault::of("tls", "key_files", "no a.key".to_owned()).at(&address),
        Fault::of("tls", "key_files", "no a.key".to_owned()).at(&other),
        Fault::of("tls", "certificate_files", "no b.pem".to_owned()).at(&address),
        Fault::of("tls", "certificate_files", "no certificate".to_owned()).at(&other),
        Fault::of("tls", "client_ca_file", "no authorities".to_owned()).at(&address),
        Fault::of("tls", "key_files", "one line\nand another".to_owned()),
        Fault::of("server", "listen_addresses", "in use".to_owned()).at(&address),
        Fault::of("access", "acl_file", "access.acl_file: no acl".to_owned()),
        Fault::elsewhere("acl:3: nonsense".to_owned()),
    ]);
    let path = file.0.display();
    assert_eq!(
        told,
        [
            format!("{path}, line 2: tls.key_files = [\"a.key\"]: no a.key"),
            format!("{path}, line 2: tls.key_files = [\"a.key\"]: one line"),
            format!("{path}, line 2: tls.key_files = [\"a.key\"]: and another"),
            format!(
                "{path}, line 4: listener.address = \"tls://127.0.0.1:1\": tls://127.0.0.1:1: no authorities"
            ),
            format!("{path}, line 4: listener.address = \"tls://127.0.0.1:1\": in use"),
            format!("{path}, line 5: listener.certificate_files = [\"b.pem\"]: no b.pem"),
            "tls://127.0.0.1:2: no certificate".to_owned(),
            "environment variable IOTHUB_ACCESS__ACL_FILE: \"acl\": no acl".to_owned(),
            "acl:3: nonsense".to_owned(),
        ]
    );
}

#[test]
fn a_file_that_is_not_toml_names_the_line() {
    let problems = problems_of_file("[server]\nmax_connections = \n");
    assert_eq!(problems.len(), 1);
    assert!(problems[0].starts_with("FILE, line 2: max_connections: this is not TOML: "), "{problems:?}");
    let problems = problems_of_file("[log]\nlevel = \"info\"\nlevel = \"warn\"\n");
    assert!(
        problems[0].starts_with("FILE, line 3: level: this is not TOML: it stands there a second time"),
        "{problems:?}"
    );
    assert_eq!(
        problems_of_file(b"[log]\n\xff"),
        [
            "FILE: this is no configuration of IoTHub: the byte at 6 is no text (UTF-8). Name a file in TOML: config.toml has every key"
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let problems =
        load(Some(Path::new("/nonexistent/iothub.toml")), [], &Flags::default()).expect_err("a problem");
    assert_eq!(
        problems[0].to_string(),
        "/nonexistent/iothub.toml: cannot read the configuration file: No such file or directory (os error 2)"
    );
}

#[test]
fn only_a_regular_file_of_bearable_size_is_read() {
    let problem =
        |path: &Path| load(Some(path), [], &Flags::default()).expect_err("a problem")[0].to_string();
    assert_eq!(
        problem(Path::new("/dev/zero")),
        "/dev/zero: cannot read the configuration file: it is not a regular file"
    );
    let file = Scratch::new(vec![b'\n'; 1 << 20]);
    assert!(load(Some(&file.0), [], &Flags::default()).is_ok());
    let file = Scratch::new(vec![b'\n'; (1 << 20) + 1]);
    assert!(
        problem(&file.0).ends_with(": cannot read the configuration file: it has more than 1048576 bytes")
    );
}

#[test]
fn every_mistake_in_the_environment_names_the_variable() {
    for (name, value, expected) in [
        (
            "IOTHUB_SERVER__MAX_CONNECTIONS",
            "many",
            "environment variable IOTHUB_SERVER__MAX_CONNECTIONS: many: expected a whole number from 1 to 10000000",
        ),
        (
            "IOTHUB_SERVER__MAX_CONECTIONS",
            "5",
            "environment variable IOTHUB_SERVER__MAX_CONECTIONS: unknown variable: did you mean \
             IOTHUB_SERVER__MAX_CONNECTIONS?",
        ),
        (
            "IOTHUB_SERVER_MAX_CONNECTIONS",
            "5",
            "environment variable IOTHUB_SERVER_MAX_CONNECTIONS: unknown variable: did you mean \
             IOTHUB_SERVER__MAX_CONNECTIONS?",
        ),
        (
            "IOTHUB_COLOUR__OF_THE_SKY",
            "blue",
            "environment variable IOTHUB_COLOUR__OF_THE_SKY: unknown variable: expected IOTHUB_SECTION__KEY, \
             for example IOTHUB_SERVER__MAX_CONNECTIONS",
        ),
    ] {
        let problems = load(None, variables(&[(name, value)]), &Flags::default()).expect_err(name);
        assert_eq!(problems.iter().map(Problem::to_string).collect::<Vec<_>>(), [expected]);
    }
}

#[test]
fn every_mistake_in_a_flag_names_the_flag() {
    let flag = |text: &str| Some(text.to_owned());
    for (flags, expected) in [
        (
            Flags { shards: flag("129"), ..Flags::default() },
            "flag --shards: 129: expected a whole number from 0 to 128",
        ),
        (
            Flags { port: flag("65536"), ..Flags::default() },
            "flag --port: 65536: expected a whole number from 0 to 65535",
        ),
        (
            Flags { listen: vec!["quic://0.0.0.0:80".to_owned()], ..Flags::default() },
            "flag --listen: quic://0.0.0.0:80: quic:// is not known (there are tcp://, tls://, ws://, wss://, any://, unix://): expected tcp://HOST:PORT, for example \
             tcp://0.0.0.0:1883 or tls://[::]:8883",
        ),
        (
            Flags { listen: vec!["1883".to_owned()], ..Flags::default() },
            "flag --listen: 1883: a number alone is not a host (-p 1883 changes only the port): \
             expected tcp://HOST:PORT, for example tcp://0.0.0.0:1883 or tls://[::]:8883",
        ),
        (
            Flags { listen: vec!["a:1".to_owned(), "tcp://a:1".to_owned()], ..Flags::default() },
            "flag --listen: a:1,tcp://a:1: tcp://a:1 is there twice: name each address once",
        ),
        (
            Flags { log_format: flag("xml"), ..Flags::default() },
            "flag --log-format: xml: expected one of \"text\", \"json\"",
        ),
    ] {
        assert_eq!(problems_of_flags(&flags), [expected]);
    }
}

#[test]
fn a_wrong_value_is_a_problem_also_where_a_flag_overrides_it() {
    let environment = variables(&[("IOTHUB_RUNTIME__SHARDS", "all")]);
    let flags = Flags { shards: Some("1".to_owned()), ..Flags::default() };
    assert_eq!(load(None, environment, &flags).expect_err("a problem").len(), 1);
}

#[test]
fn verbosity_counts_from_the_level_of_the_other_sources() {
    let environment = variables(&[("IOTHUB_LOG__LEVEL", "warn")]);
    let flags = Flags { louder: 1, ..Flags::default() };
    let loaded = load(None, environment, &flags).expect("no problem");
    assert_eq!(loaded.settings.log.level, Level::Info);
}

#[test]
fn a_listener_has_its_own_backlog_or_that_of_all() {
    let file = Scratch::new(
        "[server]\nlisten_backlog = 9\n[[listener]]\naddress = \"tcp://127.0.0.1:1\"\n\
         [[listener]]\naddress = \"tcp://127.0.0.1:2\"\nbacklog = 7\n",
    );
    let settings = load(Some(&file.0), [], &Flags::default()).expect("no problem").settings;
    let place = || runtime::Place::Tcp(([127, 0, 0, 1], 1).into());
    let backlogs = settings.listeners.iter().map(|listener| settings.door(listener, place()).backlog);
    assert_eq!(backlogs.collect::<Vec<_>>(), [9, 7]);
}
