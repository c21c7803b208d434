//! Opens files of the data directory, and only those that are files: a pipe of that name would be waited for without end.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use shard::store::log::{BLOCK_BYTES, FileId};

/// For reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_with(path, OpenOptions::new().read(true))
}

/// A file of a shard's log, and its length.
pub(crate) fn open_segment(path: &Path, id: FileId, options: &mut OpenOptions) -> io::Result<(File, u32)> {
    // The next file gets the next number.
    if id == FileId(u32::MAX) {
        return Err(unfit("no broker numbers a file as high".to_owned()));
    }
    let file = open_with(path, options)?;
    let bytes = file.metadata()?.len();
    match u32::try_from(bytes) {
        Ok(bytes) if bytes <= SEGMENT_BYTES_MAX => Ok((file, bytes)),
        _ => Err(unfit(format!(
            "it has {bytes} bytes, and no broker makes one of more than {SEGMENT_BYTES_MAX}"
        ))),
    }
}

/// A short text of ours. What is no text is shown as well as it can be, and what is too long is cut: neither is taken for one
/// of ours, and whoever refuses it can say what is there.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    open(path)?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn open_with(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = match options.custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) => return Err(why_not(path, error)),
    };
    if !file.metadata()?.is_file() {
        return Err(unfit("it is no regular file".to_owned()));
    }
    // Whoever writes to it through a ring is not to be told to try again.
    // SAFETY: the calls take a descriptor that is open, and numbers.
    let result = unsafe {
        let flags = libc::fcntl(file.as_raw_fd(), libc::F_GETFL);
        if flags < 0 {
            flags
        } else {
            libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK)
        }
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(file) }
}

/// A file that is not there, and is there nevertheless: a broker deletes no links.
fn why_not(path: &Path, error: io::Error) -> io::Error {
    let Ok(found) = fs::symlink_metadata(path) else { return error };
    match error.kind() {
        io::ErrorKind::NotFound if found.is_symlink() => {
            unfit("it is a symbolic link to a file that is not there".to_owned())
        }
        // A socket.
        _ if !found.is_file() && !found.is_symlink() && !found.is_dir() => {
            unfit("it is no regular file".to_owned())
        }
        _ => error,
    }
}

fn unfit(what: String) -> io::Error {
    io::Error::new(UNFIT, what)
}

/// Of an error that says what is at a place where a file of ours should be.
pub(crate) const UNFIT: io::ErrorKind = io::ErrorKind::Unsupported;

/// A backup's label has a number for each shard.
const TEXT_BYTES_MAX: u64 = 4096;

/// Every place in a segment, and the end of its last block, has a number of 32 bits.
const SEGMENT_BYTES_MAX: u32 = u32::MAX - (BLOCK_BYTES - 1);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{ffi::CString, os::unix::ffi::OsStrExt, path::PathBuf, process};

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let folder = std::env::temp_dir().join(format!("runtime-regular-{}-{name}", process::id()));
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn refused(path: &Path) -> String {
        let both = [OpenOptions::new().read(true), OpenOptions::new().read(true).write(true)]
            .map(|options| open_segment(path, FileId(7), options).unwrap_err());
        assert!(both.iter().all(|error| error.kind() == UNFIT), "{both:?}");
        both[0].to_string()
    }

    #[test]
    fn what_is_no_file_is_told_and_not_waited_for() {
        let folder = Folder::new("kinds");
        let pipe = folder.0.join("pipe");
        let name = CString::new(pipe.as_os_str().as_bytes()).unwrap();
        // SAFETY: the name ends with a zero byte.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        assert_eq!(refused(&pipe), "it is no regular file");
        assert_eq!(read_text(&pipe).unwrap_err().kind(), UNFIT);
        let link = folder.0.join("link");
        std::os::unix::fs::symlink(folder.0.join("nowhere"), &link).unwrap();
        assert!(refused(&link).contains("symbolic link"));
        let socket = folder.0.join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(refused(&socket), "it is no regular file");
        assert_eq!(open(&folder.0).unwrap_err().kind(), UNFIT);
        assert_eq!(open(&folder.0.join("absent")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_no_broker_makes_is_told() {
        let folder = Folder::new("sizes");
        let path = folder.0.join("segment");
        let file = File::create(&path).unwrap();
        file.set_len(5 << 30).unwrap();
        assert!(refused(&path).contains("5368709120 bytes"));
        file.set_len(u64::from(SEGMENT_BYTES_MAX)).unwrap();
        let mut options = OpenOptions::new();
        let (_, bytes) = open_segment(&path, FileId(7), options.read(true)).unwrap();
        assert_eq!(bytes, SEGMENT_BYTES_MAX);
        assert_eq!(open_segment(&path, FileId(u32::MAX), options.read(true)).unwrap_err().kind(), UNFIT);
    }

    #[test]
    fn a_file_is_opened_as_by_anybody_else() {
        let folder = Folder::new("flags");
        let path = folder.0.join("file");
        fs::write(&path, "text").unwrap();
        assert_eq!(read_text(&path).unwrap(), "text");
        // SAFETY: the descriptor is open.
        let flags = unsafe { libc::fcntl(open(&path).unwrap().as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
    }
}
