//! What stands between a socket and MQTT, as bytes in and bytes out: which protocol a connection speaks, PROXY headers,
//! the HTTP upgrade and WebSocket frames. Pure: no sockets, no clock, no log; TLS is not here.
//!
//! A server calls `tell` on the first bytes of a connection, `proxy::decode` where a proxy is expected, `Door::answer`
//! on an HTTP request and then hands everything to a `Socket`. The client's side of the same is `Offer` and again a
//! `Socket`. Nothing is decided here about whom to trust: `Prefix` lets the caller say it.
#![forbid(unsafe_code)]

mod first;
mod http;
mod offer;
mod prefix;
pub mod proxy;
mod upgrade;
mod websocket;

pub use first::{FIRST_BYTES_MAX, Kind, Strange, tell};
pub use offer::{Offer, Refused, Welcome};
pub use prefix::{BadPrefix, Prefix};
pub use upgrade::{Accepted, Answer, Door, HEADERS_MAX, REQUEST_BYTES_MAX, Subprotocol, Turned};
pub use websocket::{Close, CloseCode, FRAME_BYTES_MAX, Head, Side, Socket};
