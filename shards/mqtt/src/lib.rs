//! The wire of MQTT 3.1, 3.1.1 and 5.0: bytes to packets and back. Pure: no state between packets, no sockets,
//! no clock. What a packet means for a session is the broker's business and not decided here.
//!
//! A reader calls `split` on what it has received, then `decode` or, where it knows the kind, the packet's own
//! `decode`. Every packet borrows from the bytes it came from. There is one file per packet; `forward.rs` and
//! `received.rs` are how the broker passes a message on, and `topic.rs` defines which filter matches which topic.
#![forbid(unsafe_code)]

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod forward;
mod frame;
mod packet;
mod ping;
mod primitive;
mod property;
mod publish;
mod qos;
mod reason;
mod received;
mod suback;
mod subscribe;
mod topic;
mod unsuback;
mod unsubscribe;
mod version;
mod violation;

pub use ack::Ack;
pub use auth::Auth;
pub use connack::{Connack, ConnackProperties};
pub use connect::{Connect, ConnectProperties, Will, WillProperties, protocol_of};
pub use disconnect::Disconnect;
pub use forward::{Alias, Forward, forwardable};
pub use frame::{Frame, PacketKind, beginning, frame_size, split};
pub use packet::{Packet, decode};
pub use property::{SubscriptionIds, SubscriptionIdsBuf, UserProperties, UserPropertiesBuf};
pub use publish::{Publish, PublishProperties, topic_of_publish};
pub use qos::{NotAQoS, QoS};
pub use reason::ReasonCode;
pub use received::Received;
pub use suback::Suback;
pub use subscribe::{RetainHandling, Subscribe, SubscriptionOptions};
pub use topic::{SharedFilter, is_topic_filter, is_topic_name, level_count, matches, shared_filter};
pub use unsuback::Unsuback;
pub use unsubscribe::Unsubscribe;
pub use version::Version;
pub use violation::Violation;

/// [MQTT-2.2.1-3] Packet identifiers are never zero.
pub type PacketId = core::num::NonZeroU16;

/// The largest packet that the fixed header can express, itself included. A peer that announces no Maximum Packet
/// Size accepts up to this.
pub const MAX_PACKET_SIZE: u32 = 268_435_455 + 5;
