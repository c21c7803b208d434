//! Why a broker did not start, in words that say what to do about it.

use std::{
    io,
    path::{Path, PathBuf},
};

use shard::{
    SHARDS_MAX,
    store::log::{FORMAT, Refusal},
};
use thiserror::Error;

use crate::{
    disk::{
        keeper::name_of,
        problem::{Problem, back_from},
        regular::UNFIT,
        repair::kept,
    },
    door::Place,
};

/// Nothing runs when this is returned: what had been started is stopped.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(
        "cannot listen on {address}: the address is in use. Stop the other program (`ss -ltnp` names it) or choose \
         another port"
    )]
    AddressInUse { address: Place },
    #[error(
        "cannot listen on {address}: permission denied. Ports below 1024 need root, CAP_NET_BIND_SERVICE or a lower \
         net.ipv4.ip_unprivileged_port_start"
    )]
    PermissionDenied { address: Place },
    #[error(
        "cannot listen on {address}: this machine has no such address. `ip address` lists those it has; 0.0.0.0 stands \
         for all"
    )]
    AddressNotAvailable { address: Place },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: Place, source: io::Error },
    #[error(
        "cannot listen on unix://{}: something that is no socket of a broker that has ended is there. Remove it, or \
         choose another path", .path.display()
    )]
    PathInUse { path: PathBuf },
    #[error(
        "cannot listen on unix://{}: {source}. The directory has to exist and to be writable for this user, and \
         the whole path has at most 107 bytes", .path.display()
    )]
    Path { path: PathBuf, source: io::Error },
    #[error("there is no address to listen on: name at least one")]
    NoAddress,
    #[error(
        "too little memory may be locked: {limit} bytes, and each shard needs {needed}. Raise it with `ulimit -l \
         unlimited`, LimitMEMLOCK=infinity in a systemd unit, or `--ulimit memlock=-1` for a container"
    )]
    LockedMemory { limit: u64, needed: u64 },
    #[error(
        "io_uring is disabled here{}. Allow it with `sysctl kernel.io_uring_disabled=0`; in a container the seccomp \
         profile must allow io_uring_setup, io_uring_enter and io_uring_register",
        .sysctl.map_or_else(String::new, |value| format!(" (kernel.io_uring_disabled = {value})"))
    )]
    IoUringDisabled { sysctl: Option<u8> },
    #[error("the kernel has no io_uring (this one is {release}). Linux 6.1 or newer is needed")]
    IoUringMissing { release: String },
    #[error("the kernel is too old: {release}. Linux 6.1 or newer is needed")]
    KernelTooOld { release: String },
    #[error("a broker has 1 to {SHARDS_MAX} shards, and {shards} were asked for")]
    Shards { shards: u8 },
    #[error("receive_buffers is {receive_buffers}: it must be a power of two from 8 to 32768")]
    ReceiveBuffers { receive_buffers: u16 },
    #[error("shard {shard} cannot set up its io_uring: {source}")]
    Ring { shard: u8, source: io::Error },
    #[error("shard {shard} cannot start its executor: {what}")]
    Executor { shard: u8, what: String },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a thread or a descriptor for a shard cannot be made: {0}. See `ulimit -u` and `ulimit -n`")]
    Resources(io::Error),
    #[error(
        "not all shards were ready within {seconds} s: see the log for one that ended, or for a machine overloaded"
    )]
    NotReady { seconds: u64 },
}

/// Why the store cannot be used as it is. Nothing in it was changed.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("the store at {}: {source}. {}", path.display(), remedy(source))]
    Io { path: PathBuf, source: io::Error },
    #[error("there is no store in {}: it has no file `layout`. Name the data directory of a broker", path.display())]
    NoStore { path: PathBuf },
    #[error(
        "the folder {} is missing, with everything that its shard had stored. Nothing was changed. Bring it back, or a backup \
         (`iothub store restore`). If there is none, `iothub store repair --data-dir {}` goes on without it",
        folder.display(), dir.display()
    )]
    FolderLost { dir: PathBuf, folder: PathBuf },
    #[error("the folder {} is missing. Nothing was changed. {}", folder.display(), back_from(kept, folder))]
    FolderKept { folder: PathBuf, kept: PathBuf },
    #[error(
        "{} at offset {offset:#x} cannot be read: {source}. Nothing was changed. The disk itself fails (dmesg says more): copy the \
         data directory to another one, as far as that goes. There `iothub store check` says what is damaged and what is left, \
         and `iothub store repair` saves that",
        path.display()
    )]
    Unreadable { path: PathBuf, offset: u64, source: io::Error },
    #[error(
        "the folder {} has nothing of what its shard had stored: {what}. Nothing was changed. Bring back what was there, or a \
         backup (`iothub store restore`). If there is none, `iothub store repair --data-dir {}` goes on without it",
        folder.display(), dir.display()
    )]
    LogLost { dir: PathBuf, folder: PathBuf, what: String },
    #[error(
        "{} has shards of a store, or a restore that did not get to its end (`restoring-...`), and the file `layout` is missing, \
         which says how many shards there are and where each client has its home. Bring that file back from a backup or \
         another copy of the directory. If it was a restore, do that again",
        path.display()
    )]
    LayoutLost { path: PathBuf },
    #[error(
        "the data directory {} is in use by another process. Stop that one, or give this one a directory of its own with \
         --data-dir",
        path.display()
    )]
    InUse { path: PathBuf },
    #[error(
        "{} has the store format {format}, and this version knows {known}: it was written by a newer iothub. Start that \
         one, or another directory",
        path.display()
    )]
    Newer { path: PathBuf, format: u32, known: u32 },
    #[error(
        "{} at offset {offset:#x} is damaged: {what}. Nothing was changed. `iothub store check --data-dir {shown}` says what \
         is damaged and what is left. Then bring back a backup (`iothub store restore`), or save what is left with `iothub \
         store repair --data-dir {shown}`",
        path.display(), shown = dir.display()
    )]
    Damaged { dir: PathBuf, path: PathBuf, offset: u32, what: String },
    #[error(
        "{} is not complete: {what}. Nothing was changed. Bring the file back, or a backup (`iothub store restore`). If there \
         is none, `iothub store repair --data-dir {}` saves what is left",
        path.display(), dir.display()
    )]
    Incomplete { dir: PathBuf, path: PathBuf, what: String },
    #[error("{}: {what}. {meaning}. Nothing was changed. Move that file out of the data directory", path.display())]
    Stray { path: PathBuf, what: String, meaning: String },
    #[error("the store in {} is damaged: {what}", dir.display())]
    NotWhole { dir: PathBuf, what: String },
    #[error(
        "{} is being moved to another number of shards: try again when its broker has said where it listens",
        path.display()
    )]
    Moved { path: PathBuf },
    #[error("{} changes faster than it can be read: try again when its broker has less to do", path.display())]
    Restless { path: PathBuf },
    #[error("{} is not empty. Nothing was changed: name a directory that is not there yet, or is empty", path.display())]
    NotEmpty { path: PathBuf },
    #[error(
        "{} has no name at its end. Nothing was changed: name the directory for the backup itself, for example backup-1",
        path.display()
    )]
    Nameless { path: PathBuf },
    #[error(
        "{} is within the data directory. Nothing was changed: a backup goes elsewhere, best to another disk",
        path.display()
    )]
    Within { path: PathBuf },
    #[error(
        "{} has a store already. Nothing was changed. With --force that one is moved aside, within the directory",
        path.display()
    )]
    Occupied { path: PathBuf },
    #[error("{} cannot be restored to itself", path.display())]
    Itself { path: PathBuf },
    #[error("{} does not say what the backup has: {}. It was made by another version, or came to harm", path.display(), excerpt(text))]
    Label { path: PathBuf, text: String },
    #[error("{what}. It is not damaged, and nothing was changed")]
    OtherVersion { what: String },
    #[error(
        "{} needs {needed} bytes more on its disk, and {free} are free. Make room (df), then try again. Nothing was changed",
        path.display()
    )]
    NoSpace { path: PathBuf, needed: u64, free: u64 },
    #[error(
        "what was written to {} is not what it should be. The store itself was not touched. Look at the disk (dmesg), and try \
         again on a copy of the data directory on another disk",
        path.display()
    )]
    NotRepaired { path: PathBuf },
    #[error(
        "{} does not say for whom the directory was laid out: {}. Nothing was changed. It should have four lines, \
         `format = 1`, `shards = N`, `placement_seed = N` and a checksum of these, and is not changed by hand: bring it back from \
         a backup or another copy of the directory",
        path.display(), excerpt(text)
    )]
    Layout { path: PathBuf, text: String },
    #[error(
        "the data directory {} was laid out for {from} shards, and {to} were asked for: for a while that takes up to {needed} \
         bytes more, and its disk has {free} free. Nothing was changed. Make room, or start with --shards {from}",
        path.display()
    )]
    Room { path: PathBuf, from: u8, to: u8, needed: u64, free: u64 },
    #[error(
        "{} at offset {offset:#x} has a record that this version does not understand. Nothing was changed. Start the \
         version that has written it",
        path.display()
    )]
    Malformed { path: PathBuf, offset: u32 },
}

/// In quotes, and not more of it than a line holds.
fn excerpt(text: &str) -> String {
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{:?} and so on", &text[..end]),
        None => format!("{text:?}"),
    }
}

const EXCERPT_CHARS_MAX: usize = 120;

/// What to do about an error of the system.
fn remedy(error: &io::Error) -> &'static str {
    if error.kind() == UNFIT && error.raw_os_error().is_none() {
        return "Nothing was changed. Move it out of the data directory, and keep it until `iothub store check` finds all whole \
                without it";
    }
    match error.raw_os_error() {
        Some(libc::ENOTDIR | libc::EEXIST) => {
            "A file is where a directory should be: move it away, or name another directory with --data-dir"
        }
        Some(libc::EACCES | libc::EPERM) => {
            "The user that runs iothub must own the directory and what is in it (chown -R), and may enter those above it"
        }
        Some(libc::EROFS) => {
            "The file system is mounted for reading only: mount it for writing, or use another one"
        }
        Some(libc::ENOSPC | libc::EDQUOT) => "Make room on its disk (df), then try again",
        Some(libc::ENOENT) => "Look whether the path is right, and its disk is mounted",
        Some(libc::EMFILE | libc::ENFILE) => {
            "Raise the limit of open files: `ulimit -n 65536`, LimitNOFILE=65536"
        }
        _ => "Look at the disk and its mount (dmesg, df)",
    }
}

impl StoreError {
    pub(crate) fn io(path: &Path, source: io::Error) -> StoreError {
        StoreError::Io { path: path.to_owned(), source }
    }

    /// A shard has no folder in this directory.
    pub(crate) fn folder_lost(dir: &Path, folder: PathBuf) -> StoreError {
        match kept(&folder) {
            Some(kept) => StoreError::FolderKept { folder, kept },
            None => StoreError::FolderLost { dir: dir.to_owned(), folder },
        }
    }

    /// `folder` is that of a shard.
    pub(crate) fn refused(folder: &Path, refusal: &Refusal) -> StoreError {
        let problem = Problem::of_refusal(folder, refusal);
        let dir = folder.parent().unwrap_or(folder).to_owned();
        let (path, _) = problem.place();
        let what = problem.what();
        match refusal {
            Refusal::Newer { format, .. } => StoreError::Newer { path, format: *format, known: FORMAT },
            Refusal::Damage(damage) => StoreError::Damaged { dir, path, offset: damage.offset, what },
            Refusal::Lost => StoreError::LogLost { dir, folder: path, what },
            Refusal::Emptied { .. } => StoreError::Incomplete { dir, path, what },
            Refusal::Foreign { .. } | Refusal::Twice { .. } => {
                StoreError::Stray { path, what, meaning: problem.meaning() }
            }
            Refusal::Missing { suspect, .. } => {
                let suspect = suspect.map(name_of);
                let suspect = suspect.map(|name| format!(", and the header of {name} cannot be read"));
                StoreError::Incomplete { dir, path, what: what + &suspect.unwrap_or_default() }
            }
        }
    }
}

impl StartError {
    /// A refusal to bind or to listen.
    pub(crate) fn listen(place: &Place, source: io::Error) -> StartError {
        let address = place.clone();
        match source.raw_os_error() {
            Some(libc::EADDRINUSE) => StartError::AddressInUse { address },
            Some(libc::EACCES | libc::EPERM) => StartError::PermissionDenied { address },
            Some(libc::EADDRNOTAVAIL) => StartError::AddressNotAvailable { address },
            _ => StartError::Listen { address, source },
        }
    }
}
