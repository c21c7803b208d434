//! The real binary with real clients.
