//! What a shard keeps on disk, as pure code: how records are framed, where they go and how they are found again.
//!
//! Nothing here reads or writes a file: `log.rs` says what is to be written where, and takes what was read. The
//! format is described byte by byte in `docs/storage.md`.

pub mod log;
pub mod record;

pub use log::{
    BLOCK_BYTES, Cleaning, Config, Damage, FORMAT, Fault, FileId, Found, Full, Log, Piece, Placed, Position,
    Purpose, Recovered, Recovery, Refusal, Report, Retired, START_BYTES, Torn, Wanted, Write,
};
pub use record::Record;
