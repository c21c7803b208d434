//! The edge: glommio drives one shard on one pinned core, and everything outside the pure core happens here.
//!
//! Start at `worker.rs` for the loop of one core, at `port.rs` for its sockets, at `mesh.rs` for the way to other
//! cores and at `broker.rs` for start and stop. A shard's events and effects are defined by the crate `shard`; nothing
//! here knows a packet, and nothing outside knows that io_uring exists.

mod auditor;
mod backend;
mod background;
mod bans;
mod bell;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod brain;
mod breakdown;
mod broker;
mod buffers;
mod clock;
mod config;
mod connection;
mod control;
mod desk;
mod disk;
mod door;
mod doorkeeper;
mod error;
mod executor;
mod journal;
mod layers;
mod listener;
mod mesh;
mod operation;
mod port;
mod probe;
mod renewal;
mod ring;
mod seats;
mod sending;
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
pub mod stack;
mod strangers;
#[cfg(test)]
mod tests;
mod thinning;
mod timings;
mod tracer;
mod words;
mod worker;

pub use auditor::{Auditor, Occasion};
pub use background::Background;
pub use bans::{Ban, Banned, Whom};
pub use broker::{Broker, start};
pub use config::{Config, StoreConfig};
pub use connection::Peer;
pub use control::{Depth, Failure, Snapshot};
pub use desk::{Desk, Looked, Reply, Unreachable};
pub use disk::{
    backup::Label,
    check::{Behind, Checked, Incomplete},
    directory::DataDir,
    laid::Laid,
    leftover::{Cause, Leftover, backups_cut_short, leftovers},
    problem::Problem,
    reading::Walked,
    repair::{Repair, Repaired, Superseded},
    restore::Restored,
};
pub use door::{Door, DoorUse, Place, Speech, listen_at};
pub use doorkeeper::{Answering, Doorkeeper, Question};
pub use error::{StartError, StoreError};
pub use journal::lines_left_out;
pub use probe::{Probe, cores, probe};
pub use renewal::{Hung, Prepared, Renewal};
pub use thinning::{LeftOut, LinePace, Source, Thinning, Verdict};
pub use timings::Timings;
pub use tracer::{TimedSpan, Tracer};
pub use words::Words;
