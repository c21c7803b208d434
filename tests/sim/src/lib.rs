//! The seeded simulator: N shards, their mesh, sockets and clients in one thread under a virtual clock, and the oracles
//! that judge what happens; where there is a store, also their disks, and crashes of the whole broker. It shows that the
//! shards and their log keep their promises; it says nothing about real sockets and files.
//!
//! `run.rs` is a run from beginning to end; `world.rs` moves it; `ledger.rs` judges it. A run follows from its seed, its
//! profile and its number of shards alone.

mod actor;
mod agenda;
mod client;
mod crash;
mod disk;
mod fault;
mod ledger;
mod malice;
mod mesh;
mod profile;
mod random;
mod run;
mod said;
mod settings;
mod socket;
mod tap;
mod trace;
mod world;

pub use crash::{Point, Schedule};
pub use fault::Fault;
pub use ledger::{Failure, Oracle};
pub use profile::Profile;
pub use run::{Plan, Report, run, run_caught};
