//! The folder in which one broker keeps its data for one run.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// It is removed with its end.
pub struct DataFolder(PathBuf);

impl DataFolder {
    pub fn make(below: &Path, port: u16) -> Result<DataFolder, String> {
        let path = below.join(format!("loadgen-{}-{port}", std::process::id()));
        let error = |error: io::Error| format!("cannot make the folder {}: {error}", path.display());
        fs::create_dir_all(&path).and_then(|()| path.canonicalize()).map(DataFolder).map_err(error)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What its files take on the disk.
    pub fn bytes(&self) -> u64 {
        let mut bytes = 0;
        each_file(&self.0, &mut |path| bytes += fs::metadata(path).map_or(0, |file| file.len()));
        bytes
    }

    /// Has the disk take everything, and the memory forget it: who reads it now reads it from the disk.
    pub fn forget(&self) {
        each_file(&self.0, &mut |path| {
            let Ok(file) = File::open(path) else { return };
            let _ = file.sync_all();
            // SAFETY: the call takes numbers only. It is advice: what is not heeded costs a figure its sharpness.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        });
    }
}

impl Drop for DataFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn each_file(folder: &Path, look: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { each_file(&path, look) } else { look(&path) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_counts_its_files_and_is_gone_with_its_end() {
        let below = std::env::temp_dir().join(format!("loadgen-data-{}", std::process::id()));
        let folder = DataFolder::make(&below, 7).unwrap();
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/b"), [0; 5000]).unwrap();
        fs::write(folder.path().join("c"), [0; 7]).unwrap();
        folder.forget();
        assert_eq!(folder.bytes(), 5007);
        drop(folder);
        assert_eq!(fs::read_dir(&below).unwrap().count(), 0);
        fs::remove_dir(below).unwrap();
    }
}
