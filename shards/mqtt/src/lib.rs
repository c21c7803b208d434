//! The wire of MQTT 3.1, 3.1.1 and 5.0: bytes to packets and back. Pure: no state between packets, no sockets,
//! no clock. What a packet means for a session is the broker's business and not decided here.
#![forbid(unsafe_code)]

mod qos;
mod reason;
mod stub;
mod topic;
mod version;
mod violation;

pub use qos::{NotAQoS, QoS};
pub use reason::ReasonCode;
pub use stub::*;
pub use topic::{SharedFilter, is_topic_filter, is_topic_name, level_count, matches, shared_filter};
pub use version::Version;
pub use violation::Violation;

/// [MQTT-2.2.1-3] Packet identifiers are never zero.
pub type PacketId = core::num::NonZeroU16;

/// The largest packet that the fixed header can express, itself included. A peer that announces no Maximum Packet
/// Size accepts up to this.
pub const MAX_PACKET_SIZE: u32 = 268_435_455 + 5;
