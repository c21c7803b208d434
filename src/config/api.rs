//! Settings of the HTTP API: where it listens, who may ask, by what it is known.

use std::net::IpAddr;

use super::Address;

/// The API over TCP. That of the control socket is there without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// `HOST:PORT` each. Empty: nowhere.
    pub listen: Vec<String>,
    /// Empty, with the key: HTTP without TLS.
    pub certificate: String,
    pub private_key: String,
    /// Empty: `api_tokens` in the data directory; without one a token of each start.
    pub tokens_file: String,
    pub metrics: Metrics,
    /// Names beside addresses and `localhost` by which it is called on this machine.
    pub hosts: Vec<String>,
    /// Tokens may be readable on the way.
    pub insecure: bool,
    pub max_connections: u64,
    /// Answers that go on, at a time.
    pub max_streams: u64,
}

/// Who may read metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metrics {
    /// Whoever gets there.
    Open,
    /// Who has a token.
    Token,
}

impl Api {
    /// Of an address that does not say one.
    pub const PORT: u16 = 9883;

    pub fn has_tls(&self) -> bool {
        !self.certificate.is_empty()
    }

    /// The first address by which others than this machine get there, if there is one.
    pub fn reached_from_network(&self) -> Option<&String> {
        self.listen.iter().find(|endpoint| {
            let host = Api::host(endpoint);
            let address = host.parse::<IpAddr>();
            address.map_or(host != "localhost", |address| !address.to_canonical().is_loopback())
        })
    }

    /// Somebody may get there by a loopback address.
    pub fn is_reached_by_loopback(&self) -> bool {
        self.listen.iter().any(|endpoint| {
            let address = Api::host(endpoint).parse::<IpAddr>().map(|address| address.to_canonical());
            address.map_or(true, |address| address.is_loopback() || address.is_unspecified())
        })
    }

    fn host(endpoint: &str) -> String {
        Address::parse_endpoint(endpoint, Api::PORT).map(|(host, _)| host).unwrap_or_default()
    }
}

impl Metrics {
    pub const ALL: [Metrics; 2] = [Metrics::Open, Metrics::Token];
}

impl Default for Api {
    fn default() -> Api {
        Api {
            listen: vec![format!("127.0.0.1:{}", Api::PORT)],
            certificate: String::new(),
            private_key: String::new(),
            tokens_file: String::new(),
            metrics: Metrics::Open,
            hosts: Vec::new(),
            insecure: false,
            max_connections: 64,
            max_streams: 64,
        }
    }
}
