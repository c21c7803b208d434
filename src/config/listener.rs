//! One `[[listener]]`: an address with settings of its own. What it does not say, the other sections say.

use transport::Prefix;

use super::{
    Address,
    admission::{AccessDefault, Anonymous, ClientCertificates, MinVersion, Tls},
    key::{Key, Keys, Kind},
    rates::{self, Over, RatesOf},
    settings::Settings,
    table::{BACKLOG_MAX, count, flag, text, texts, word},
    ways::Ways,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// None until the file has said it.
    pub address: Option<Address>,
    pub max_connections: u64,
    /// 0: that of `[server]`.
    pub backlog: u64,
    pub nodelay: bool,
    pub versions: Versions,
    /// Of a socket in the file system.
    pub socket_mode: u64,
    /// Who may begin with a PROXY header, and must unless the listener is for everything; empty: nobody.
    pub proxy_protocol_from: Vec<Prefix>,
    pub authentication: Ways,
    pub anonymous: Option<Anonymous>,
    pub over: Option<Over>,
    /// What they do not say, `[rates]` says.
    pub rates: RatesOf,
    pub access_default: Option<AccessDefault>,
    /// Empty: none.
    pub mount_point: String,
    /// Empty: those of `[tls]`.
    pub certificate_files: Vec<String>,
    pub key_files: Vec<String>,
    pub min_version: Option<MinVersion>,
    pub client_certificates: Option<ClientCertificates>,
    pub client_ca_file: String,
    pub client_crl_file: String,
}

/// Which versions of the protocol are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    All,
    V3,
    V311,
    V5,
    From311,
}

impl Versions {
    /// For the shards.
    pub fn spoken(self) -> shard::Versions {
        use shard::Version::{V5, V31, V311};
        let versions: &[_] = match self {
            Versions::All => &[V31, V311, V5],
            Versions::V3 => &[V31],
            Versions::V311 => &[V311],
            Versions::V5 => &[V5],
            Versions::From311 => &[V311, V5],
        };
        versions.iter().copied().collect()
    }
}

impl Default for Listener {
    fn default() -> Listener {
        Listener {
            address: None,
            max_connections: CONNECTIONS_MAX,
            backlog: 0,
            nodelay: true,
            versions: Versions::All,
            socket_mode: 0o660,
            proxy_protocol_from: Vec::new(),
            authentication: Ways::Inherited,
            anonymous: None,
            over: None,
            rates: RatesOf::default(),
            access_default: None,
            mount_point: String::new(),
            certificate_files: Vec::new(),
            key_files: Vec::new(),
            min_version: None,
            client_certificates: None,
            client_ca_file: String::new(),
            client_crl_file: String::new(),
        }
    }
}

impl Listener {
    /// As an address in `listen_addresses` has it.
    pub fn at(address: Address) -> Listener {
        Listener { address: Some(address), ..Listener::default() }
    }

    /// The section's settings, but for what this listener says itself.
    pub fn tls(&self, section: &Tls) -> Tls {
        let own = |own: &String, theirs: &String| if own.is_empty() { theirs.clone() } else { own.clone() };
        let files = |own: &Vec<String>, theirs: &Vec<String>| {
            if own.is_empty() { theirs.clone() } else { own.clone() }
        };
        Tls {
            certificate_files: files(&self.certificate_files, &section.certificate_files),
            key_files: files(&self.key_files, &section.key_files),
            min_version: self.min_version.unwrap_or(section.min_version),
            client_certificates: self.client_certificates.unwrap_or(section.client_certificates),
            client_ca_file: own(&self.client_ca_file, &section.client_ca_file),
            client_crl_file: own(&self.client_crl_file, &section.client_crl_file),
        }
    }
}

/// The one that the file is at.
fn last(settings: &mut Settings) -> &mut Listener {
    settings.listeners.last_mut().expect("the file has begun one")
}

/// To read a value its settings are at hand, but the places want them mutable.
fn position<T: Copy + PartialEq>(settings: &Settings, of: fn(&Listener) -> Option<T>, all: &[T]) -> usize {
    let value = settings.listeners.last().and_then(of);
    value.and_then(|value| all.iter().position(|known| *known == value)).map_or(0, |at| at + 1)
}

/// Connections of one listener: beyond this only `server.max_connections` counts.
const CONNECTIONS_MAX: u64 = 10_000_000;

const VERSIONS: [Versions; 5] =
    [Versions::All, Versions::V3, Versions::V311, Versions::V5, Versions::From311];

/// The section's name in the table, which the file writes as `[[listener]]`.
pub const SECTION: &str = "listener";

/// In the order of the documentation.
pub static KEYS: Keys = Keys(&[BEFORE_RATES, &RATES, AFTER_RATES]);

static BEFORE_RATES: &[Key] = &[
    Key { section: SECTION, name: "address", kind: Kind::Address { place: |s| &mut last(s).address } },
    count(SECTION, "max_connections", 1..=CONNECTIONS_MAX, |s| &mut last(s).max_connections),
    Key {
        section: SECTION,
        name: "backlog",
        kind: Kind::Count {
            range: 0..=BACKLOG_MAX,
            word: Some(("inherited", 0)),
            place: |s| &mut last(s).backlog,
        },
    },
    flag(SECTION, "nodelay", |s| &mut last(s).nodelay),
    word(
        SECTION,
        "versions",
        &["all", "3.1", "3.1.1", "5.0", "from 3.1.1"],
        |s| position(s, |listener| Some(listener.versions), &VERSIONS).saturating_sub(1),
        |s, at| last(s).versions = VERSIONS[at],
    ),
    Key { section: SECTION, name: "socket_mode", kind: Kind::Mode { place: |s| &mut last(s).socket_mode } },
    Key {
        section: SECTION,
        name: "proxy_protocol_from",
        kind: Kind::Networks { place: |s| &mut last(s).proxy_protocol_from },
    },
    Key {
        section: SECTION,
        name: "authentication",
        kind: Kind::Ways { place: |s| &mut last(s).authentication },
    },
    word(
        SECTION,
        "anonymous",
        &["inherited", "local", "always", "never"],
        |s| position(s, |listener| listener.anonymous, &Anonymous::ALL),
        |s, at| last(s).anonymous = at.checked_sub(1).map(|at| Anonymous::ALL[at]),
    ),
    word(
        SECTION,
        "over",
        &["inherited", "wait", "disconnect"],
        |s| position(s, |listener| listener.over, &Over::ALL),
        |s, at| last(s).over = at.checked_sub(1).map(|at| Over::ALL[at]),
    ),
];

static RATES: [Key; rates::COUNT] = rates::keys(SECTION, "inherited", |s| &mut last(s).rates);

static AFTER_RATES: &[Key] = &[
    word(
        SECTION,
        "access_default",
        &["inherited", "allow", "deny"],
        |s| position(s, |listener| listener.access_default, &AccessDefault::ALL),
        |s, at| last(s).access_default = at.checked_sub(1).map(|at| AccessDefault::ALL[at]),
    ),
    Key { section: SECTION, name: "mount_point", kind: Kind::Mount { place: |s| &mut last(s).mount_point } },
    texts(SECTION, "certificate_files", |s| &mut last(s).certificate_files),
    texts(SECTION, "key_files", |s| &mut last(s).key_files),
    word(
        SECTION,
        "min_version",
        &["inherited", "1.2", "1.3"],
        |s| position(s, |listener| listener.min_version, &MinVersion::ALL),
        |s, at| last(s).min_version = at.checked_sub(1).map(|at| MinVersion::ALL[at]),
    ),
    word(
        SECTION,
        "client_certificates",
        &["inherited", "none", "optional", "required"],
        |s| position(s, |listener| listener.client_certificates, &ClientCertificates::ALL),
        |s, at| last(s).client_certificates = at.checked_sub(1).map(|at| ClientCertificates::ALL[at]),
    ),
    text(SECTION, "client_ca_file", |s| &mut last(s).client_ca_file),
    text(SECTION, "client_crl_file", |s| &mut last(s).client_crl_file),
];
