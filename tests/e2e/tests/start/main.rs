//! How the broker starts: from which configuration, with which words, and why it does not.
#![allow(clippy::unwrap_used)]

mod commandline;
mod configuration;
mod log;
mod machine;
mod mistakes;
