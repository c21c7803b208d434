//! The real loop on real sockets, with a script in the place of the shard.

#![allow(clippy::unwrap_used)]

mod broker;
mod client;
mod connections;
mod database;
mod desk;
mod doorkeeper;
mod framed;
mod hand_over;
mod idle;
mod layered;
mod layers;
mod mail;
mod renewal;
mod script;
mod sends;
mod turnstile;
mod unix;
mod watching;
mod wire;
