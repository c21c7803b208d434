//! The HTTP API of the real broker: who may ask, and what comes back.
#![allow(clippy::unwrap_used)]

mod entry;

use e2e::Setup;

/// A broker with the API at a port that the system chooses.
fn setup(name: &str) -> Setup {
    Setup::new(name).with_api().variable("IOTHUB_API__LISTEN", "127.0.0.1:0").shards(2)
}
