//! MQTT in WebSocket as frames on a real socket, and as a page in a real browser.
#![allow(clippy::unwrap_used)]

mod browser;
mod closing;
mod framing;
mod page;
mod relayed;
mod web;
