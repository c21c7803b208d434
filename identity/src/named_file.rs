//! Files that a configuration names, as all of them are read: at once, to their end, and never more than so much.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

/// Why a file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{} cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is no regular file, and is not read: name a file, or a link to one", path.display())]
    NoFile { path: PathBuf },
    #[error("{} has more than {max} bytes, and is not read: is it the file that was meant?", path.display())]
    TooLarge { path: PathBuf, max: u64 },
    #[error("others on this machine can {what} {}, which {}: {remedy}", path.display(), holds.words())]
    Open { path: PathBuf, what: &'static str, holds: Holds, remedy: String },
    #[error("{} is empty; it should hold a secret", path.display())]
    Empty { path: PathBuf },
}

/// Why it matters who can get at a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Others may neither read nor change it.
    Secrets,
    /// Others may read it, and not change it.
    Rights,
}

impl Holds {
    fn words(self) -> &'static str {
        match self {
            Holds::Secrets => "holds secrets",
            Holds::Rights => "says who may do what",
        }
    }
}

/// The whole of a regular file of at most so many bytes. Links are followed, as those of mounted secrets must be.
pub fn read(path: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    NamedFile::open(path)?.read(bytes_max)
}

/// A regular file that is open.
pub(crate) struct NamedFile<'a> {
    path: &'a Path,
    file: File,
    pub metadata: Metadata,
}

impl NamedFile<'_> {
    pub fn open(path: &Path) -> Result<NamedFile<'_>, FileError> {
        let unreadable = |error| FileError::Unreadable { path: path.to_owned(), error };
        // A pipe would make us wait for somebody who writes, and whoever reads the files also ends the broker.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
        let file = file.map_err(unreadable)?;
        // Asked of the open file: what a name stands for can change in between.
        let metadata = file.metadata().map_err(unreadable)?;
        match metadata.is_file() {
            true => Ok(NamedFile { path, file, metadata }),
            false => Err(FileError::NoFile { path: path.to_owned() }),
        }
    }

    pub fn read(self, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let too_large = || FileError::TooLarge { path: self.path.to_owned(), max: bytes_max };
        if self.metadata.len() > bytes_max {
            return Err(too_large());
        }
        // With room for all of it, so that no part of a secret stays behind where the vector grew from.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.metadata.len() as usize + 1));
        let read = (&self.file).take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| FileError::Unreadable { path: self.path.to_owned(), error })?;
        // Some files of the kernel have no size, and others grow meanwhile.
        if bytes.len() as u64 > bytes_max { Err(too_large()) } else { Ok(bytes) }
    }
}

/// Room for a million users with the longest of hashes, or for millions of rules.
pub const FILE_BYTES_MAX: u64 = 512 << 20;

#[cfg(test)]
mod tests {
    use std::{
        env, fs,
        process::{self, Command},
    };

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let pipe = env::temp_dir().join(format!("iothub-named-pipe-{}", process::id()));
        let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
        assert!(made.success());
        for path in [&*pipe, &env::temp_dir(), Path::new("/dev/zero")] {
            let error = read(path, 10).expect_err("refused");
            assert!(matches!(error, FileError::NoFile { .. }), "{error}");
            assert!(error.to_string().ends_with("name a file, or a link to one"), "{error}");
        }
        fs::remove_file(pipe).expect("removed");
        assert!(matches!(read(Path::new("/nowhere/at/all"), 10), Err(FileError::Unreadable { .. })));
    }

    #[test]
    fn a_file_is_read_up_to_a_size() {
        let path = env::temp_dir().join(format!("iothub-named-size-{}", process::id()));
        fs::write(&path, b"12345").expect("a file");
        assert_eq!(*read(&path, 5).expect("read"), b"12345");
        assert!(matches!(read(&path, 4), Err(FileError::TooLarge { max: 4, .. })));
        fs::remove_file(path).expect("removed");
        // It has no size until it is read.
        assert!(matches!(read(Path::new("/proc/self/status"), 4), Err(FileError::TooLarge { .. })));
    }
}
