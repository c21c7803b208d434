//! The client's side of MQTT 3.1, 3.1.1 and 5.0: a pure state machine, and a blocking driver over TCP,
//! TLS, WebSocket and sockets of the file system.
//!
//! [`Client`] is the protocol and nothing else: bytes, answers and the time go in; bytes, [`Action`]s and [`Event`]s
//! come out. It owns no socket, clock or thread, so a simulator drives it as well as a program does. [`Driver`] is
//! that program's part: one socket, the real clock, calls that block up to a timeout.
//!
//! A client asks for nothing behind its user's back: it does not subscribe again after a session was lost, because
//! [`Event::Connected`] says so and only the user knows what is still wanted.

mod backoff;
mod client;
mod driver;
mod event;
mod granted;
mod inbound;
mod instant;
mod layers;
mod link;
mod options;
mod outbound;
mod outlet;
mod packet_id;
mod poll;
mod publication;
mod refusal;
mod request;
mod target;
mod tls;

pub use backoff::Reconnect;
pub use client::{Action, Client};
pub use driver::{Driver, Error, Tap};
pub use event::{Disconnection, Event, Message, Token};
pub use granted::Granted;
pub use instant::Instant;
pub use layers::Layers;
/// The packets themselves, for a tool that must be faster than a state machine which owns its messages.
pub use mqtt as wire;
pub use mqtt::{PacketId, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version, Violation, matches};
pub use options::{Farewell, Options, Will};
pub use publication::{Properties, Publication};
pub use refusal::Refusal;
pub use request::{Subscription, Unsubscription};
pub use target::{Place, Target};
pub use tls::{Tls, TlsError, TlsOptions};
