//! Makes and deletes the files of the log, on a thread for all shards: directories and zeros take their time.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    thread::{Builder, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use shard::store::log::FileId;

use super::{private, unused};
use crate::mesh::Waker;

/// One shard's side.
pub(crate) struct Keeper {
    dir: PathBuf,
    bytes: u32,
    orders: Sender<Order>,
    reply: Sender<Made>,
    made: Receiver<Made>,
    waker: Waker,
    /// The number of the next file.
    next: u32,
    /// Files that were ordered and have not come.
    coming: u32,
    /// Nothing was stored in the folder yet, and it is marked so.
    is_unused: bool,
}

pub(crate) enum Order {
    Make {
        id: FileId,
        path: PathBuf,
        bytes: u32,
        reply: Sender<Made>,
        waker: Waker,
    },
    /// The first commit was written to this file of the folder.
    Begin {
        dir: PathBuf,
        path: PathBuf,
    },
    Delete(PathBuf),
}

/// A file that was ordered, or why there is none.
pub(crate) struct Made {
    pub id: FileId,
    pub file: io::Result<File>,
}

impl Keeper {
    pub fn new(dir: PathBuf, bytes: u32, next: u32, orders: Sender<Order>, waker: Waker) -> Keeper {
        let is_unused = unused::is_unused(&dir);
        // No more than were ordered.
        let (reply, made) = unbounded();
        Keeper { dir, bytes, orders, reply, made, waker, next, coming: 0, is_unused }
    }

    pub fn path(&self, id: FileId) -> PathBuf {
        self.dir.join(name_of(id))
    }

    pub fn coming(&self) -> u32 {
        self.coming
    }

    pub fn has_made(&self) -> bool {
        !self.made.is_empty()
    }

    pub fn take_made(&mut self) -> Option<Made> {
        let made = self.made.try_recv().ok()?;
        self.coming -= 1;
        Some(made)
    }

    pub fn make(&mut self) {
        let id = FileId(self.next);
        self.next += 1;
        self.coming += 1;
        let path = self.path(id);
        // A keeper that has ended does so with the process.
        let (reply, waker) = (self.reply.clone(), self.waker.clone());
        let _ = self.orders.send(Order::Make { id, path, bytes: self.bytes, reply, waker });
    }

    /// Something was stored, and the first commit is in this file.
    pub fn begin(&mut self, id: FileId) {
        if std::mem::take(&mut self.is_unused) {
            let _ = self.orders.send(Order::Begin { dir: self.dir.clone(), path: self.path(id) });
        }
    }

    pub fn delete(&mut self, id: FileId) {
        let _ = self.orders.send(Order::Delete(self.path(id)));
    }
}

/// Starts the thread. It ends when no shard is left that could order anything.
pub(crate) fn spawn(ordered: Receiver<Order>) -> io::Result<JoinHandle<()>> {
    Builder::new().name("store".to_owned()).spawn(move || {
        while let Ok(order) = ordered.recv() {
            match order {
                Order::Make { id, path, bytes, reply, waker } => {
                    // A shard that has ended needs no file.
                    if reply.send(Made { id, file: make(&path, bytes) }).is_ok() {
                        waker.wake();
                    }
                }
                Order::Begin { dir, path } => unused::begin(&dir, &path),
                Order::Delete(path) => {
                    if let Err(error) = fs::remove_file(&path) {
                        tracing::warn!(path = %path.display(), %error, "a file of the store cannot be deleted");
                    }
                }
            }
        }
    })
}

/// A file full of zeros, of which the disk knows that it is there: writing to it changes nothing but its contents. It gets
/// its name when it has its length, so that a shorter one of that name has come to harm.
fn make(path: &Path, bytes: u32) -> io::Result<File> {
    let part = path.with_extension(PART);
    let made = fill(&part, bytes).and_then(|file| {
        fs::rename(&part, path)?;
        let dir = path.parent().expect("a file of the store is in a directory");
        File::open(dir)?.sync_all()?;
        Ok(file)
    });
    if made.is_err() {
        // Half a file would take the room that is lacking. It has the one name or the other.
        let _ = fs::remove_file(&part);
        let _ = fs::remove_file(path);
    }
    made
}

fn fill(path: &Path, bytes: u32) -> io::Result<File> {
    let mut file =
        private::options().read(true).write(true).create(true).custom_flags(libc::O_EXCL).open(path)?;
    let zeros = vec![0; ZEROS_BYTES];
    let mut left = bytes as usize;
    while left > 0 {
        let piece = left.min(zeros.len());
        file.write_all(&zeros[..piece])?;
        left -= piece;
    }
    file.sync_all()?;
    Ok(file)
}

/// Removes files of which a crash has left a part.
pub(super) fn remove_parts(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let is_part = path.extension().is_some_and(|extension| extension == PART);
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if is_part && stem.and_then(id_of).is_some() {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

pub(crate) fn name_of(id: FileId) -> String {
    format!("segment-{:08}", id.0)
}

/// None: the file is not one of ours.
pub(crate) fn id_of(name: &str) -> Option<FileId> {
    let digits = name.strip_prefix("segment-")?;
    let id = digits.parse().ok().map(FileId)?;
    // Another name of the same number would be another file.
    (name_of(id) == name).then_some(id)
}

pub(super) const ZEROS_BYTES: usize = 1 << 20;

/// What a file's name ends with until it is full of zeros.
const PART: &str = "part";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_number_in_its_name() {
        for id in [FileId(0), FileId(7), FileId(u32::MAX)] {
            assert_eq!(id_of(&name_of(id)), Some(id));
        }
        for name in
            ["segment-", "segment-1", "segment-0000000x", "segment-0000000099", "lock", "segment-99999999999"]
        {
            assert_eq!(id_of(name), None, "{name}");
        }
    }
}
