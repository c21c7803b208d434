//! The real binary with real clients: what the tests need to start both, to watch them and to end them.
#![allow(clippy::unwrap_used)] // A harness that is surprised fails the test that uses it.

pub mod api;
pub mod authority;
pub mod broker;
pub mod collector;
pub mod confinement;
pub mod descriptors;
pub mod dice;
pub mod events;
pub mod hello;
pub mod link;
pub mod memory;
pub mod network;
pub mod pace;
pub mod peer;
pub mod process;
pub mod program;
pub mod proxy;
pub mod resources;
pub mod scram;
pub mod site;
pub mod socket;
pub mod standstill;
pub mod token;

pub use authority::Authority;
pub use broker::{Broker, Ended, Setup};
pub use confinement::Confinement;
pub use link::{Link, v5, v311};
pub use peer::{Peer, Subscriber};
pub use process::Process;

use std::time::Duration;

/// How long anything may take that is expected to happen at once. Generous, because a test waits for the event
/// itself and comes here only when it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);
