//! What the server granted in its CONNACK: the limits that one connection lives by.

use std::time::Duration;

use mqtt::{Connack, QoS, ReasonCode, Version};

use crate::options::Options;
use crate::publication::{Publication, owned_pairs};

/// Absent properties are filled in with the specification's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The id of this session: the client's own, or the one that the server assigned.
    pub client_id: String,
    pub keep_alive: Duration,
    /// `None`: the server takes the interval that the CONNECT asked for.
    pub session_expiry_interval_s: Option<u32>,
    pub receive_maximum: u16,
    pub maximum_qos: QoS,
    pub retain_available: bool,
    pub maximum_packet_size: u32,
    pub topic_alias_maximum: u16,
    pub wildcard_subscription_available: bool,
    pub subscription_identifiers_available: bool,
    pub shared_subscription_available: bool,
    pub response_information: Option<String>,
    pub reason_string: Option<String>,
    /// What ends an enhanced authentication.
    pub authentication_data: Option<Vec<u8>>,
    pub user_properties: Vec<(String, String)>,
}

impl Granted {
    pub(crate) fn of(connack: &Connack<'_>, options: &Options, client_id: &str) -> Granted {
        let properties = &connack.properties;
        let keep_alive_s = properties.server_keep_alive_s.unwrap_or(options.keep_alive_s);
        Granted {
            client_id: properties.assigned_client_id.unwrap_or(client_id).to_owned(),
            keep_alive: Duration::from_secs(u64::from(keep_alive_s)),
            session_expiry_interval_s: properties.session_expiry_interval_s,
            receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX),
            maximum_qos: properties.maximum_qos.unwrap_or(QoS::ExactlyOnce),
            retain_available: properties.retain_available.unwrap_or(true),
            maximum_packet_size: properties.maximum_packet_size.unwrap_or(u32::MAX),
            topic_alias_maximum: topic_alias_maximum(connack, options.version),
            wildcard_subscription_available: properties.wildcard_subscription_available.unwrap_or(true),
            subscription_identifiers_available: properties.subscription_identifiers_available.unwrap_or(true),
            shared_subscription_available: properties.shared_subscription_available.unwrap_or(true),
            response_information: properties.response_information.map(str::to_owned),
            reason_string: properties.reason_string.map(str::to_owned),
            authentication_data: properties.authentication_data.map(<[u8]>::to_vec),
            user_properties: owned_pairs(properties.user_properties),
        }
    }

    /// Everything but the size, which is known when the packet is encoded.
    pub(crate) fn check(&self, publication: &Publication) -> Result<(), ReasonCode> {
        if publication.qos > self.maximum_qos {
            return Err(ReasonCode::QoSNotSupported);
        }
        if publication.retain && !self.retain_available {
            return Err(ReasonCode::RetainNotSupported);
        }
        Ok(())
    }
}

fn topic_alias_maximum(connack: &Connack<'_>, version: Version) -> u16 {
    match version {
        Version::V5 => connack.properties.topic_alias_maximum.unwrap_or(0),
        Version::V31 | Version::V311 => 0,
    }
}
