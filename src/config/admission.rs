//! Settings of how clients come in: certificates, WebSocket, who they are and what they may do. Built-in defaults, as plain
//! numbers and words.

use transport::Prefix;

use super::ways::Way;

/// Certificates of the listeners that speak TLS, and what is asked of their clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// One file with a chain for each name that the broker has; the first is for everybody else.
    pub certificate_files: Vec<String>,
    /// In the order of the certificates.
    pub key_files: Vec<String>,
    pub min_version: MinVersion,
    pub client_certificates: ClientCertificates,
    pub client_ca_file: String,
    /// Empty: nothing is revoked.
    pub client_crl_file: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinVersion {
    V1_2,
    V1_3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificates {
    None,
    Optional,
    Required,
}

/// How browsers and whatever else speaks WebSocket come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocket {
    /// Empty: any.
    pub path: String,
    /// Empty: all.
    pub origins: Vec<String>,
    pub trusted_proxies: Vec<Prefix>,
}

/// How a client says who it is, and who need not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authentication {
    pub anonymous: Anonymous,
    /// Those that are asked, if they are there, at each listener that does not say it otherwise.
    pub order: Vec<Way>,
    /// Empty: none, as with every file here.
    pub password_file: String,
    pub user_database: String,
    pub scram_file: String,
    pub certificate_user: CertificateUser,
    /// A file, or the URL of a JWKS.
    pub jwt_keys: String,
    pub jwt_issuers: Vec<String>,
    pub jwt_audiences: Vec<String>,
    /// Empty: any client id.
    pub jwt_client_id_claim: String,
    pub jwt_user_claim: String,
    pub jwt_groups_claim: String,
    pub jwt_roles_claim: String,
    pub jwt_permissions_claim: String,
    pub jwt_leeway_secs: u64,
    pub jwt_refresh_secs: u64,
    /// Empty: the authorities that the system trusts.
    pub jwt_ca_file: String,
    pub http_url: String,
    /// Empty: the authorities that the system trusts.
    pub http_ca_file: String,
    pub http_authorization_file: String,
    pub http_timeout_secs: u64,
    pub cache_secs: u64,
    pub threads: u64,
    pub max_waiting: u64,
    pub answer_timeout_secs: u64,
}

/// Who may say nothing about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Clients on this machine.
    Local,
    Always,
    Never,
}

/// What of a client's certificate is its user name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateUser {
    None,
    CommonName,
    AlternativeName,
    Fingerprint,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub acl_file: String,
    pub rules_file: String,
    pub default: AccessDefault,
    pub check_retain_source: bool,
    pub shadow_acl_file: String,
    pub shadow_rules_file: String,
}

/// Where it is written down who came in, who did not, and what was done to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    pub file: String,
    pub rotate_bytes: u64,
    pub keep: u64,
    pub address_lines_per_minute: u64,
    pub events: Vec<String>,
}

/// What holds where no rule says anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessDefault {
    Allow,
    Deny,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls {
            certificate_files: Vec::new(),
            key_files: Vec::new(),
            min_version: MinVersion::V1_2,
            client_certificates: ClientCertificates::None,
            client_ca_file: String::new(),
            client_crl_file: String::new(),
        }
    }
}

impl Tls {
    pub fn is_configured(&self) -> bool {
        !self.certificate_files.is_empty()
    }
}

impl Default for WebSocket {
    fn default() -> WebSocket {
        WebSocket { path: "/mqtt".to_owned(), origins: Vec::new(), trusted_proxies: Vec::new() }
    }
}

impl MinVersion {
    pub const ALL: [MinVersion; 2] = [MinVersion::V1_2, MinVersion::V1_3];
}

impl ClientCertificates {
    pub const ALL: [ClientCertificates; 3] =
        [ClientCertificates::None, ClientCertificates::Optional, ClientCertificates::Required];
}

impl AccessDefault {
    pub const ALL: [AccessDefault; 2] = [AccessDefault::Allow, AccessDefault::Deny];
}

impl Anonymous {
    pub const ALL: [Anonymous; 3] = [Anonymous::Local, Anonymous::Always, Anonymous::Never];
}

impl CertificateUser {
    pub const ALL: [CertificateUser; 4] = [
        CertificateUser::None,
        CertificateUser::CommonName,
        CertificateUser::AlternativeName,
        CertificateUser::Fingerprint,
    ];
}

impl Authentication {
    /// Whoever proves who a client is may say what it may do, too.
    pub fn hears_permits(&self) -> bool {
        !self.jwt_keys.is_empty() || !self.http_url.is_empty()
    }
}

impl Default for Authentication {
    fn default() -> Authentication {
        Authentication {
            anonymous: Anonymous::Local,
            order: Way::ALL.to_vec(),
            password_file: String::new(),
            user_database: String::new(),
            scram_file: String::new(),
            certificate_user: CertificateUser::None,
            jwt_keys: String::new(),
            jwt_issuers: Vec::new(),
            jwt_audiences: Vec::new(),
            jwt_client_id_claim: String::new(),
            jwt_user_claim: "sub".to_owned(),
            jwt_groups_claim: "groups".to_owned(),
            jwt_roles_claim: "roles".to_owned(),
            jwt_permissions_claim: "permissions".to_owned(),
            jwt_leeway_secs: 30,
            jwt_refresh_secs: 600,
            jwt_ca_file: String::new(),
            http_url: String::new(),
            http_ca_file: String::new(),
            http_authorization_file: String::new(),
            http_timeout_secs: 5,
            cache_secs: 60,
            threads: 2,
            max_waiting: 20_000,
            answer_timeout_secs: 60,
        }
    }
}

impl Default for Audit {
    fn default() -> Audit {
        let events = [
            "connected",
            "refused",
            "denied",
            "violation",
            "quota_exceeded",
            "taken_over",
            "disconnected",
            "administration",
        ];
        Audit {
            file: String::new(),
            rotate_bytes: 64 << 20,
            keep: 5,
            address_lines_per_minute: 600,
            events: events.map(str::to_owned).to_vec(),
        }
    }
}

impl Default for Access {
    fn default() -> Access {
        Access {
            acl_file: String::new(),
            rules_file: String::new(),
            default: AccessDefault::Allow,
            check_retain_source: true,
            shadow_acl_file: String::new(),
            shadow_rules_file: String::new(),
        }
    }
}
