//! MQTT 5.0: one test per normative statement that a server can be seen to follow, by chapter of the specification.
#![allow(clippy::unwrap_used)]

mod data;
mod connect;
mod connect_flags;
