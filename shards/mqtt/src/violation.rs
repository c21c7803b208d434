//! What a peer did wrong, as an error. Faults of the world and of this program are not violations.

use crate::ReasonCode;

/// The peer's fault. The reason goes on the wire where the version has a place for it; `what` goes into one
/// line of the log and never to the peer.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{reason}: {what}")]
pub struct Violation {
    pub reason: ReasonCode,
    pub what: &'static str,
}

impl Violation {
    pub const fn new(reason: ReasonCode, what: &'static str) -> Self {
        Violation { reason, what }
    }

    /// The bytes cannot be read as the packet that they claim to be.
    pub const fn malformed(what: &'static str) -> Self {
        Violation::new(ReasonCode::MalformedPacket, what)
    }

    /// The packet can be read but says something that the protocol does not allow.
    pub const fn protocol(what: &'static str) -> Self {
        Violation::new(ReasonCode::ProtocolError, what)
    }
}
