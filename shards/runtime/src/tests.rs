//! The real loop on real sockets, with a script in the place of the shard.

#![allow(clippy::unwrap_used)]

mod broker;
mod client;
mod connections;
mod database;
mod hand_over;
mod idle;
mod mail;
mod script;
mod sends;
mod wire;
