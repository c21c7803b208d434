//! Settings of the HTTP API: where it listens, who may ask, by what it is known.

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
