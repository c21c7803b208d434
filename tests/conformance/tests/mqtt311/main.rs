//! MQTT 3.1.1: one test per normative statement that a server can be seen to follow. And MQTT 3.1, which has no
//! numbered statements, and messages that cross between the versions.
#![allow(clippy::unwrap_used)]

mod connect;
mod crossing;
mod data;
mod delivery;
mod mqtt31;
mod payload;
mod publish;
mod subscribe;
mod topics;
mod will;
