//! MQTT 5.0: one test per normative statement that a server can be seen to follow, by chapter of the specification.
#![allow(clippy::unwrap_used)]

mod acks;
mod client_id;
mod connack;
mod connect;
mod connect_flags;
mod data;
mod delivery;
mod disconnect;
mod flow;
mod publish_actions;
mod publish_flags;
mod publish_properties;
mod session;
mod shared;
mod subscribe;
mod topics;
mod unsubscribe;
