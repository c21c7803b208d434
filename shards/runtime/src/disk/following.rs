//! Copies the log of one shard, which its broker may go on writing meanwhile.
//!
//! A segment only grows until the next one is begun, and its file is used again only when a later commit counts on it no
//! more. So the oldest segments are copied first and the newest last: whatever was stored before is in what its last commit
//! counts on, and if one of those is gone by the time it is read, a later commit does without it, and the files are listed
//! again.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use shard::store::log::{FileId, START_BYTES, Whole};

use super::{
    keeper::{id_of, name_of},
    private, unused,
};
use crate::StoreError;

pub(crate) struct Following {
    from: PathBuf,
    to: PathBuf,
    /// By generation.
    copied: BTreeMap<u32, Copied>,
    /// Nobody writes: commits behind one that is not whole are void.
    pub takes_torn: bool,
}

struct Copied {
    whole: Whole,
    /// It was the newest when it was read, and may have grown.
    is_open: bool,
}

impl Following {
    pub fn begin(from: &Path, to: &Path) -> Result<Following, StoreError> {
        private::create_folder(to).map_err(|error| StoreError::io(to, error))?;
        Ok(Following { from: from.to_owned(), to: to.to_owned(), copied: BTreeMap::new(), takes_torn: false })
    }

    /// Everything anew.
    pub fn start_again(&mut self) -> Result<(), StoreError> {
        self.copied.clear();
        let io_error = |error| StoreError::io(&self.to, error);
        fs::remove_dir_all(&self.to).map_err(io_error)?;
        private::create_folder(&self.to).map_err(io_error)
    }

    /// Takes what has come since the last time. Gives the number of the last commit; `None`: files have changed under it,
    /// and it is to be called once more.
    pub fn catch_up(&mut self) -> Result<Option<u64>, StoreError> {
        // Before its files: it goes when one of them is a segment.
        let is_unused = unused::is_unused(&self.from);
        let listed = self.list()?;
        let Some((newest, tail)) = self.newest(&listed)? else {
            // Nothing that was begun is stored.
            self.start_again()?;
            if !is_unused {
                return Ok(None);
            }
            unused::mark(&self.to).map_err(|error| StoreError::io(&self.to, error))?;
            return Ok(Some(0));
        };
        unused::unmark(&self.to).map_err(|error| StoreError::io(&self.to, error))?;
        for (generation, file) in listed.range(tail..=newest) {
            if self.copied.get(generation).is_none_or(|copied| copied.is_open)
                && !self.copy(*generation, *file, *generation == newest)?
            {
                return Ok(None);
            }
        }
        Ok(self.last_commit(newest))
    }

    /// The last commit, if everything is there that it counts on.
    fn last_commit(&mut self, newest: u32) -> Option<u64> {
        let mut whole = self.copied.get(&newest)?.whole;
        let (number, tail) = whole.last?;
        while whole.generation > tail {
            whole = self.copied.get(&whole.previous_generation)?.whole;
        }
        let is_needed = |generation: &u32| (tail..=newest).contains(generation);
        for generation in self.copied.keys().filter(|generation| !is_needed(generation)) {
            // What it leaves behind would be void, and no harm.
            let _ = fs::remove_file(self.to.join(name_of(FileId(*generation))));
        }
        self.copied.retain(|generation, _| is_needed(generation));
        Some(number)
    }

    fn list(&self) -> Result<BTreeMap<u32, FileId>, StoreError> {
        let mut listed = BTreeMap::new();
        let entries = match fs::read_dir(&self.from) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listed),
            Err(error) => return Err(StoreError::io(&self.from, error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| StoreError::io(&self.from, error))?;
            let Some(file) = entry.file_name().to_str().and_then(id_of) else { continue };
            if let Some(whole) = self.read(file, START_BYTES as usize)?.as_deref().and_then(Whole::of) {
                listed.insert(whole.generation, file);
            }
        }
        Ok(listed)
    }

    /// The newest segment that has a commit, and the oldest that it counts on.
    fn newest(&self, listed: &BTreeMap<u32, FileId>) -> Result<Option<(u32, u32)>, StoreError> {
        for (generation, file) in listed.iter().rev() {
            let whole = self.read(*file, usize::MAX)?.as_deref().and_then(Whole::of);
            let whole = whole.filter(|whole| whole.generation == *generation);
            if let Some((_, tail)) = whole.and_then(|whole| whole.last) {
                return Ok(Some((*generation, tail)));
            }
        }
        Ok(None)
    }

    /// False: the file is another segment by now.
    fn copy(&mut self, generation: u32, file: FileId, is_open: bool) -> Result<bool, StoreError> {
        let Some(bytes) = self.read(file, usize::MAX)? else { return Ok(false) };
        let whole = Whole::of(&bytes).filter(|whole| whole.generation == generation);
        let Some(whole) = whole else { return Ok(false) };
        if is_open && whole.is_followed && !self.takes_torn {
            return Ok(false);
        }
        let path = self.to.join(name_of(FileId(generation)));
        let write = || {
            let target = private::create_file(&path)?;
            target.write_all_at(&bytes[..whole.end as usize], 0)?;
            target.set_len(bytes.len() as u64)
        };
        write().map_err(|error| StoreError::io(&path, error))?;
        self.copied.insert(generation, Copied { whole, is_open });
        Ok(true)
    }

    /// `None`: it was deleted meanwhile.
    fn read(&self, file: FileId, bytes_max: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.from.join(name_of(file));
        let read = || {
            let file = File::open(&path)?;
            let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
            let mut contents = vec![0; bytes.min(bytes_max)];
            let mut at = 0;
            while at < contents.len() {
                match file.read_at(&mut contents[at..], at as u64)? {
                    0 => break,
                    read => at += read,
                }
            }
            contents.truncate(at);
            io::Result::Ok(contents)
        };
        match read() {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(&path, error)),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.to
    }

    /// Everything is on disk.
    pub fn sync(&self) -> Result<(), StoreError> {
        let io_error = |error| StoreError::io(&self.to, error);
        for entry in fs::read_dir(&self.to).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            File::open(&path)
                .and_then(|file| file.sync_all())
                .map_err(|error| StoreError::io(&path, error))?;
        }
        File::open(&self.to).and_then(|folder| folder.sync_all()).map_err(io_error)
    }
}
