//! How the broker ends: in order when it is asked, at once when it is asked twice, and never for SIGHUP.
#![allow(clippy::unwrap_used)]

mod drain;
mod signals;
