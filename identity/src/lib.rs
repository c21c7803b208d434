//! Who is it? Passwords, certificates, tokens and call-outs, judged once per process on threads of their own.
//!
//! What is here may block and may be slow: a hash of argon2id takes a core for 50 ms. So nothing here runs on a shard. It
//! knows no shard, no packet and no runtime; whoever starts the broker joins them. Start at `password_file.rs` for what a
//! file of users may hold, and at `password.rs` for the formats of its hashes.

#![deny(unsafe_code)]

pub mod password;
mod password_file;
mod private_file;
mod secret;

pub use password::{Cost, Hash, HashError, Kind};
pub use password_file::{LoadError, Match, PasswordFile, Problem, ProblemKind, Warning};
pub use private_file::FileError;
pub use secret::Secret;
