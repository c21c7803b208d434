//! One test per normative statement of MQTT 3.1.1 and 5.0, over a real socket: the client that the tests drive. It
//! shares no code with the broker, so an error in the broker's codec cannot hide itself.
#![allow(clippy::unwrap_used)] // A client that is surprised fails the test that drives it.

pub mod broker;
pub mod build;
pub mod client;
pub mod packet;
pub mod properties;
pub mod reader;
pub mod unique;

pub use build::*;
pub use client::{Client, let_time_pass};
pub use packet::{Ack, Connack, Packet, Publish};
pub use properties as property;
pub use unique::unique;
