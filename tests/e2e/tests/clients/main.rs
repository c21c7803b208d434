//! Every client with every other one, in both versions: what one of them publishes, the others receive.
#![allow(clippy::unwrap_used)]

mod commands;
mod crossing;
mod tools;
