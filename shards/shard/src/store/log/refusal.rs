//! Why a log is not taken as it is. What a user should do about it is said where the files have names.

use thiserror::Error;

use super::{FileId, header::FORMAT};

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("file {} has format {format}; this program knows {FORMAT}", file.0)]
    Newer { file: FileId, format: u32 },
    #[error("file {} belongs to shard {shard} of {shards}", file.0)]
    Foreign { file: FileId, shard: u16, shards: u16 },
    #[error("files {} and {} are both segment generation {generation}", files[0].0, files[1].0)]
    Twice { generation: u32, files: [FileId; 2] },
    /// With a file whose header cannot be read, if there is one: it may be that segment.
    #[error("segment generation {generation} is missing")]
    Missing { generation: u32, suspect: Option<FileId> },
    /// Too short for a header: a file that was emptied, whichever segment it was.
    #[error("file {} has {bytes} bytes, and no segment is as short", file.0)]
    Emptied { file: FileId, bytes: u32 },
    /// Something was stored for certain, and there is not one commit.
    #[error("there is nothing of what was stored")]
    Lost,
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// Something that was stored for certain is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("file {} at offset {offset:#x}: {fault}", file.0)]
pub struct Damage {
    pub file: FileId,
    pub generation: u32,
    /// The exact place.
    pub offset: u32,
    /// From the beginning of the commit that is not whole to the next commit: what is lost if this is skipped.
    pub from: u32,
    pub until: u32,
    pub fault: Fault,
    /// The commit that is not whole; 0 where that cannot be told.
    pub commit: u64,
    /// A commit behind it, which proves that this one was stored.
    pub behind: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    #[error("the segment's header is not valid")]
    Header,
    #[error("there is no valid commit record")]
    Commit,
    #[error("the commit's number is out of order")]
    Order,
    #[error("record checksum does not match")]
    Record,
    #[error("the file ends too early")]
    End,
}
