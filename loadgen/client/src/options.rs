//! What a client is told once: what its CONNECT says, and the limits it keeps itself.

use std::time::Duration;

use mqtt::{Connect, ConnectProperties, Disconnect, ReasonCode, Version, WillProperties};

use crate::backoff::Reconnect;
use crate::publication::{Publication, user_properties_of};
use crate::refusal::{Refusal, check_binary, check_string, check_user_properties};

#[derive(Clone, Debug)]
pub struct Options {
    pub version: Version,
    /// Empty: the server makes one. A 5.0 server tells it, and the client keeps it for its next connections.
    pub client_id: String,
    /// Holds for the first connection. A later one asks for the session of the one before, if it can have survived.
    pub clean_start: bool,
    /// The longest silence that the client allows itself; zero for no limit. A server's own value takes precedence.
    pub keep_alive_s: u16,
    pub will: Option<Will>,
    pub username: Option<String>,
    pub password: Option<Vec<u8>>,

    pub session_expiry_interval_s: Option<u32>,
    pub receive_maximum: Option<u16>,
    /// Kept in every version; announced in 5.0.
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: Option<u16>,
    pub request_response_information: Option<bool>,
    pub request_problem_information: Option<bool>,
    pub authentication_method: Option<String>,
    pub authentication_data: Option<Vec<u8>>,
    pub user_properties: Vec<(String, String)>,

    /// `None`: a connection that ended is not made again.
    pub reconnect: Option<Reconnect>,
    /// How long CONNACK and PINGRESP may take.
    pub answer_timeout: Duration,
    /// No more QoS 1 and 2 publications than this are unacknowledged at a time, whatever the server would take.
    pub in_flight_max: u16,
    /// No more QoS 1 and 2 publications than this wait behind those.
    pub queue_max: usize,
    /// No more subscriptions and unsubscriptions than this are unanswered.
    pub requests_max: usize,
    /// While this many bytes wait for the transport, publications are refused.
    pub output_bytes_max: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    pub publication: Publication,
    pub delay_interval_s: Option<u32>,
}

/// What a DISCONNECT says. 3.1 and 3.1.1 carry none of it, and know no way to ask for the will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    pub reason: ReasonCode,
    pub session_expiry_interval_s: Option<u32>,
    pub reason_string: Option<String>,
    pub user_properties: Vec<(String, String)>,
}

impl Options {
    pub fn new(version: Version, client_id: impl Into<String>) -> Options {
        Options {
            version,
            client_id: client_id.into(),
            clean_start: true,
            keep_alive_s: 60,
            will: None,
            username: None,
            password: None,
            session_expiry_interval_s: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: None,
            request_response_information: None,
            request_problem_information: None,
            authentication_method: None,
            authentication_data: None,
            user_properties: Vec::new(),
            reconnect: None,
            answer_timeout: Duration::from_secs(10),
            in_flight_max: IN_FLIGHT_MAX,
            queue_max: QUEUE_MAX,
            requests_max: REQUESTS_MAX,
            output_bytes_max: OUTPUT_BYTES_MAX,
        }
    }

    /// Names what could not be encoded or what every server must refuse.
    pub fn check(&self) -> Result<(), Refusal> {
        check_string("client id", &self.client_id)?;
        check_string("user name", self.username.as_deref().unwrap_or_default())?;
        check_binary("password", self.password.as_deref().unwrap_or_default())?;
        check_string("authentication method", self.authentication_method.as_deref().unwrap_or_default())?;
        check_binary("authentication data", self.authentication_data.as_deref().unwrap_or_default())?;
        check_user_properties(&self.user_properties)?;
        if let Some(will) = &self.will {
            will.publication.check()?;
            check_binary("will payload", &will.publication.payload)?;
        }
        if self.version != Version::V5 {
            if self.password.is_some() && self.username.is_none() {
                return Err(Refusal::PasswordAlone);
            }
            if self.client_id.is_empty() && !self.clean_start {
                return Err(Refusal::NoClientId);
            }
        }
        Ok(())
    }

    /// Whether the session of a connection that ended can be there for the next one.
    pub(crate) fn session_outlives_connection(&self) -> bool {
        match self.version {
            Version::V5 => self.session_expiry_interval_s.is_some_and(|seconds| seconds > 0),
            Version::V31 | Version::V311 => !self.clean_start,
        }
    }

    pub(crate) fn encode_connect(&self, client_id: &str, clean_start: bool, out: &mut Vec<u8>) {
        let user_properties = user_properties_of(&self.user_properties);
        let will_user_properties = match &self.will {
            Some(will) => user_properties_of(&will.publication.properties.user_properties),
            None => user_properties_of(&[]),
        };
        let connect = Connect {
            version: self.version,
            clean_start,
            keep_alive_s: self.keep_alive_s,
            client_id,
            will: self.will.as_ref().map(|will| will.on_wire(will_user_properties.as_ref())),
            username: self.username.as_deref(),
            password: self.password.as_deref(),
            properties: ConnectProperties {
                session_expiry_interval_s: self.session_expiry_interval_s,
                receive_maximum: self.receive_maximum,
                maximum_packet_size: self.maximum_packet_size,
                topic_alias_maximum: self.topic_alias_maximum,
                request_response_information: self.request_response_information,
                request_problem_information: self.request_problem_information,
                authentication_method: self.authentication_method.as_deref(),
                authentication_data: self.authentication_data.as_deref(),
                user_properties: user_properties.as_ref(),
            },
        };
        connect.encode(self.version, out);
    }
}

impl Will {
    pub fn new(publication: Publication) -> Will {
        Will { publication, delay_interval_s: None }
    }

    fn on_wire<'a>(&'a self, user_properties: mqtt::UserProperties<'a>) -> mqtt::Will<'a> {
        let properties = &self.publication.properties;
        mqtt::Will {
            qos: self.publication.qos,
            retain: self.publication.retain,
            topic: &self.publication.topic,
            payload: &self.publication.payload,
            properties: WillProperties {
                delay_interval_s: self.delay_interval_s,
                message_expiry_interval_s: properties.message_expiry_interval_s,
                payload_format: properties.payload_format,
                content_type: properties.content_type.as_deref(),
                response_topic: properties.response_topic.as_deref(),
                correlation_data: properties.correlation_data.as_deref(),
                user_properties,
                ..WillProperties::default()
            },
        }
    }
}

impl Default for Farewell {
    fn default() -> Farewell {
        Farewell {
            reason: ReasonCode::Success,
            session_expiry_interval_s: None,
            reason_string: None,
            user_properties: Vec::new(),
        }
    }
}

impl Farewell {
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        check_string("reason string", self.reason_string.as_deref().unwrap_or_default())?;
        check_user_properties(&self.user_properties)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let user_properties = user_properties_of(&self.user_properties);
        let disconnect = Disconnect {
            reason: self.reason,
            session_expiry_interval_s: self.session_expiry_interval_s,
            reason_string: self.reason_string.as_deref(),
            server_reference: None,
            user_properties: user_properties.as_ref(),
        };
        disconnect.encode(version, out);
    }
}

const IN_FLIGHT_MAX: u16 = 1024;
const QUEUE_MAX: usize = 10_000;
const REQUESTS_MAX: usize = 1_000;
const OUTPUT_BYTES_MAX: usize = 1 << 20;

// Packet ids serve publications and requests alike: the defaults leave room for both.
const _: () = assert!((IN_FLIGHT_MAX as usize) + REQUESTS_MAX < u16::MAX as usize);
