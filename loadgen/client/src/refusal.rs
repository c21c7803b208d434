//! Why a call was refused before anything was sent: the caller's fault, or no room at the moment.

use mqtt::ReasonCode;
use thiserror::Error;

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("the {what} is {len} bytes long: MQTT carries at most 65535")]
    TooLong { what: &'static str, len: usize },
    #[error("the {what} contains a NUL character, which MQTT forbids")]
    Nul { what: &'static str },
    #[error("`{0}` is not a topic name: it must be non-empty and without `+` and `#`")]
    TopicName(String),
    #[error("`{0}` is not a topic filter: `+` and `#` must be whole levels, and `#` the last one")]
    TopicFilter(String),
    #[error("at least one topic filter is needed")]
    NoFilter,
    #[error("the subscription identifier is {0}: it must be from 1 to {SUBSCRIPTION_ID_MAX}")]
    SubscriptionId(u32),
    #[error("MQTT 3.1 and 3.1.1 carry a password only together with a user name")]
    PasswordAlone,
    #[error("an empty client id needs a clean session")]
    NoClientId,
    #[error("{limit} publications are waiting already")]
    QueueFull { limit: usize },
    #[error("{limit} subscriptions and unsubscriptions are waiting already")]
    RequestsFull { limit: usize },
    #[error("{limit} bytes are waiting to be sent already")]
    OutputFull { limit: usize },
    #[error("there is no connection, and a QoS 0 publication is not kept for later")]
    NotConnected,
    /// What the server announced in its CONNACK rules it out; the reason is the one that the server would give.
    #[error("the server does not accept this: {}", .0.name())]
    Unsupported(ReasonCode),
}

impl Refusal {
    /// Whether the same call may succeed after the client has made progress.
    pub fn is_temporary(&self) -> bool {
        match self {
            Refusal::QueueFull { .. }
            | Refusal::RequestsFull { .. }
            | Refusal::OutputFull { .. }
            | Refusal::NotConnected => true,
            Refusal::TooLong { .. }
            | Refusal::Nul { .. }
            | Refusal::TopicName(_)
            | Refusal::TopicFilter(_)
            | Refusal::NoFilter
            | Refusal::SubscriptionId(_)
            | Refusal::PasswordAlone
            | Refusal::NoClientId
            | Refusal::Unsupported(_) => false,
        }
    }
}

/// What the wire's two-byte length and its rule for strings allow.
pub(crate) fn check_string(what: &'static str, text: &str) -> Result<(), Refusal> {
    check_binary(what, text.as_bytes())?;
    if text.contains('\0') { Err(Refusal::Nul { what }) } else { Ok(()) }
}

pub(crate) fn check_binary(what: &'static str, bytes: &[u8]) -> Result<(), Refusal> {
    if bytes.len() > usize::from(u16::MAX) {
        return Err(Refusal::TooLong { what, len: bytes.len() });
    }
    Ok(())
}

pub(crate) fn check_user_properties(pairs: &[(String, String)]) -> Result<(), Refusal> {
    for (name, value) in pairs {
        check_string("name of a user property", name)?;
        check_string("value of a user property", value)?;
    }
    Ok(())
}

// The largest variable byte integer.
pub(crate) const SUBSCRIPTION_ID_MAX: u32 = 268_435_455;
