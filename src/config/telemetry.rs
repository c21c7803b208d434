//! Settings of telemetry: which messages are traced, and who is told.

use shard::Sampling;

/// Spans of messages, for a collector of OpenTelemetry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telemetry {
    /// A URL. Empty: no message is traced.
    pub otlp_endpoint: String,
    /// Empty: what the system trusts.
    pub otlp_ca_file: String,
    /// With the whole value of the header Authorization. Empty: none is sent.
    pub otlp_authorization_file: String,
    /// 0: none but those that their publishers want traced.
    pub sample_one_in: u64,
    pub follow_parent: bool,
}

impl Telemetry {
    /// What shards are told. None: nobody takes spans.
    pub fn sampling(&self) -> Option<Sampling> {
        let sampling = Sampling { one_in: self.sample_one_in, follows_parent: self.follow_parent };
        (!self.otlp_endpoint.is_empty()).then_some(sampling)
    }
}

impl Default for Telemetry {
    fn default() -> Telemetry {
        Telemetry {
            otlp_endpoint: String::new(),
            otlp_ca_file: String::new(),
            otlp_authorization_file: String::new(),
            sample_one_in: 1000,
            follow_parent: true,
        }
    }
}
