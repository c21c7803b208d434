//! Why a shard cannot go on: what the process has to end for.

use std::io;

use thiserror::Error;

#[derive(Debug, Error)]
pub(crate) enum Breakdown {
    #[error("its io_uring failed: {0}")]
    Ring(#[from] io::Error),
    #[error(
        "its store cannot be written: {0}. Nothing more is acknowledged, since nobody knows what the disk has: look at \
         the disk (dmesg), then start again, which recovers all that was acknowledged"
    )]
    Write(String),
    #[error("its store cannot be read back: {0}. Look at the disk (dmesg)")]
    Read(String),
}
