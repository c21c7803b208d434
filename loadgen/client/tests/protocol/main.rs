//! The state machine under scripts of literal bytes: what the server sends, what the client must send, what it must
//! tell its user. No sockets, no clock.
#![allow(clippy::unwrap_used)]

mod connecting;
mod keeping_alive;
mod publishing;
mod receiving;
mod script;
mod subscribing;
