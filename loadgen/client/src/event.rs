//! What a client tells its user.

use mqtt::{PacketId, QoS, ReasonCode, Violation};

use crate::granted::Granted;
use crate::instant::Instant;
use crate::publication::Properties;

/// Names one publication, subscription or unsubscription from the call to its answer, across reconnections.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub(crate) u64);

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The server accepted the connection. With `session_present` false the server knows no subscription of this
    /// client; publications in flight are sent again as new ones.
    Connected {
        session_present: bool,
        granted: Box<Granted>,
    },
    Message(Box<Message>),
    /// The end of a publication: QoS 0 when it was handed to the transport, QoS 1 and 2 when the server took it or
    /// refused it (`reason.is_error()`). A reason can also be this client's own, when a server that was found after
    /// the call announces that it does not take such a message.
    Published {
        token: Token,
        reason: ReasonCode,
        reason_string: Option<String>,
    },
    /// One reason per filter, in their order.
    Subscribed {
        token: Token,
        reasons: Vec<ReasonCode>,
        reason_string: Option<String>,
    },
    /// One reason per filter in 5.0; none in 3.1 and 3.1.1, whose UNSUBACK carries none.
    Unsubscribed {
        token: Token,
        reasons: Vec<ReasonCode>,
        reason_string: Option<String>,
    },
    /// The server asks for the next step of an enhanced authentication, or has ended a re-authentication.
    Authenticate {
        reason: ReasonCode,
        method: Option<String>,
        data: Option<Vec<u8>>,
    },
    /// The connection ended or did not come about. Without `reconnect_at` the client stays offline until it is
    /// asked to connect.
    Disconnected {
        reason: Disconnection,
        reconnect_at: Option<Instant>,
    },
}

/// An incoming PUBLISH, its topic alias resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    pub retain: bool,
    pub dup: bool,
    pub packet_id: Option<PacketId>,
    pub properties: Properties,
}

/// Why there is no connection (any more).
#[derive(Clone, Debug, PartialEq)]
pub enum Disconnection {
    /// The user asked for it.
    Requested,
    /// The transport could not be opened.
    Unreachable,
    /// The transport was closed or failed under the connection.
    Lost,
    /// The server refused in its CONNACK.
    Refused { reason: ReasonCode, reason_string: Option<String>, server_reference: Option<String> },
    /// The server sent a DISCONNECT.
    Ended { reason: ReasonCode, reason_string: Option<String>, server_reference: Option<String> },
    /// The server broke the protocol.
    Violated(Violation),
    /// The named packet did not arrive in time.
    NoAnswer(&'static str),
}

impl std::fmt::Display for Disconnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, reason, reason_string) = match self {
            Disconnection::Requested => return f.write_str("the connection was closed as asked"),
            Disconnection::Unreachable => return f.write_str("the server cannot be reached"),
            Disconnection::Lost => return f.write_str("the connection was lost"),
            Disconnection::Violated(violation) => {
                return write!(f, "the server broke the protocol: {}", violation.what);
            }
            Disconnection::NoAnswer(packet) => {
                return write!(f, "the server sent no {packet} in time");
            }
            Disconnection::Refused { reason, reason_string, .. } => {
                ("the server refused the connection", reason, reason_string)
            }
            Disconnection::Ended { reason, reason_string, .. } => {
                ("the server ended the connection", reason, reason_string)
            }
        };
        write!(f, "{what}: {} (0x{:02X})", reason.name(), *reason as u8)?;
        match reason_string {
            Some(text) => write!(f, ", `{text}`"),
            None => Ok(()),
        }
    }
}

impl Disconnection {
    /// Whether another attempt can be expected to end otherwise. Being replaced by another client of the same id is
    /// final as well: two clients that take a session from each other for ever help nobody.
    pub fn is_final(&self) -> bool {
        match self {
            Disconnection::Requested => true,
            Disconnection::Refused { reason, .. } | Disconnection::Ended { reason, .. } => matches!(
                reason,
                ReasonCode::UnsupportedProtocolVersion
                    | ReasonCode::ClientIdentifierNotValid
                    | ReasonCode::BadUserNameOrPassword
                    | ReasonCode::NotAuthorized
                    | ReasonCode::Banned
                    | ReasonCode::BadAuthenticationMethod
                    | ReasonCode::SessionTakenOver
                    | ReasonCode::UseAnotherServer
                    | ReasonCode::ServerMoved
                    | ReasonCode::MalformedPacket
                    | ReasonCode::ProtocolError
                    | ReasonCode::PacketTooLarge
                    | ReasonCode::RetainNotSupported
                    | ReasonCode::QoSNotSupported
            ),
            Disconnection::Unreachable
            | Disconnection::Lost
            | Disconnection::Violated(_)
            | Disconnection::NoAnswer(_) => false,
        }
    }
}
