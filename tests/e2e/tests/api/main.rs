//! The HTTP API of the real broker: who may ask, what it tells, and what it does.
#![allow(clippy::unwrap_used)]

mod acts;
mod answers;
mod backups;
mod comings;
mod ctl;
mod described;
mod entry;
mod events;
mod looks;
mod published;
mod roles;
mod seats;
mod steered;
mod unread;
mod users;

use client::{Publication, QoS};
use e2e::{Link, Setup};

/// A broker with the API at a port that the system chooses.
fn setup(name: &str) -> Setup {
    Setup::new(name).with_api().variable("IOTHUB_API__LISTEN", "127.0.0.1:0").shards(2)
}

fn retain(link: &mut Link, topic: &str, payload: impl Into<Vec<u8>>) {
    link.publish_with(Publication { retain: true, ..Publication::new(topic, payload, QoS::AtLeastOnce) });
}
