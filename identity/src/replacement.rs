//! A file that is written anew and takes the place of another at once: whoever reads it sees the one or the other.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    },
    path::{Path, PathBuf},
};

/// Begun before the file is read, so that of two programs that change it the second waits for its user to try again.
#[derive(Debug)]
pub struct Replacement {
    target: PathBuf,
    beside: PathBuf,
    file: File,
    /// Owner, group and mode of what is replaced.
    kept: Option<(u32, u32, u32)>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    #[error("{} cannot be written: {error}", path.display())]
    Unwritable { path: PathBuf, error: io::Error },
    #[error("another program is changing {}: try again when it is done", target.display())]
    Busy { target: PathBuf },
    #[error("{} is in the way of a change of {}: if no program is changing that, remove it", beside.display(), target.display())]
    InTheWay { target: PathBuf, beside: PathBuf },
    #[error("{} was taken away while {} was to be changed, which is as it was: try again", beside.display(), target.display())]
    TakenAway { target: PathBuf, beside: PathBuf },
    #[error("{} is no file", path.display())]
    NoFile { path: PathBuf },
    #[error("the owner of {} cannot be kept: {error}. Run this as root or as its owner", path.display())]
    Owner { path: PathBuf, error: io::Error },
}

impl ReplaceError {
    /// The disk has none for it.
    pub fn is_lack_of_room(&self) -> bool {
        let ReplaceError::Unwritable { error, .. } = self else { return false };
        matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

impl Replacement {
    /// The file need not be there. If its name is a link, what the link leads to is replaced, and the link stays.
    pub fn begin(path: &Path) -> Result<Replacement, ReplaceError> {
        Replacement::begin_with(path, lock)
    }

    fn begin_with(path: &Path, lock: Lock) -> Result<Replacement, ReplaceError> {
        let unwritable = |error| ReplaceError::Unwritable { path: path.to_owned(), error };
        let target = match fs::canonicalize(path) {
            Ok(target) => target,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => path.to_owned(),
            Err(error) => return Err(unwritable(error)),
        };
        let kept = match fs::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_file() => {
                Some((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777))
            }
            Ok(_) => return Err(ReplaceError::NoFile { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unwritable(error)),
        };
        let Some(name) = target.file_name() else {
            return Err(ReplaceError::NoFile { path: path.to_owned() });
        };
        let mut beside_name = std::ffi::OsString::from(".");
        beside_name.push(name);
        beside_name.push(".iothub");
        let beside = target.with_file_name(beside_name);
        match make(&beside, lock).map_err(unwritable)? {
            Made::Ours(file) => Ok(Replacement { target, beside, file, kept }),
            Made::Busy => Err(ReplaceError::Busy { target }),
            Made::InTheWay => Err(ReplaceError::InTheWay { target, beside }),
        }
    }

    /// With the owner and mode that the file had; only its owner can read one that was not there.
    pub fn finish(mut self, bytes: &[u8]) -> Result<(), ReplaceError> {
        self.put(bytes)?;
        let folder =
            self.target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| self.unwritable(error))
    }

    /// Whoever comes next can begin from here on.
    fn put(&mut self, bytes: &[u8]) -> Result<(), ReplaceError> {
        if let Some((uid, gid, mode)) = self.kept {
            let made = self.file.metadata().map_err(|error| self.unwritable(error))?;
            if (made.uid(), made.gid()) != (uid, gid) {
                fchown(&self.file, Some(uid), Some(gid))
                    .map_err(|error| ReplaceError::Owner { path: self.target.clone(), error })?;
            }
            // After the owner, whose change takes rights away.
            self.file
                .set_permissions(Permissions::from_mode(mode))
                .map_err(|error| self.unwritable(error))?;
        }
        let written = self.file.write_all(bytes).and_then(|()| self.file.sync_all());
        written.map_err(|error| self.unwritable(error))?;
        if !is_at(&self.file, &self.beside) {
            let (target, beside) = (self.target.clone(), self.beside.clone());
            return Err(ReplaceError::TakenAway { target, beside });
        }
        fs::rename(&self.beside, &self.target).map_err(|error| self.unwritable(error))
    }

    fn unwritable(&self, error: io::Error) -> ReplaceError {
        ReplaceError::Unwritable { path: self.target.clone(), error }
    }
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // After a rename what has this name is another's, and what cannot be removed is named by the next attempt.
        if is_at(&self.file, &self.beside) {
            drop(fs::remove_file(&self.beside));
        }
    }
}

/// What became of a file that was to be made.
enum Made {
    Ours(File),
    Busy,
    /// It is not known whether a program has it.
    InTheWay,
}

/// Made here and by nobody else: what may stand there, a link above all, is not written to.
fn make(beside: &Path, lock: Lock) -> io::Result<Made> {
    let make = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).custom_flags(libc::O_EXCL).mode(0o600).open(beside)
    };
    let is_there = |made: &io::Result<File>| {
        made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists)
    };
    let mut made = make();
    if is_there(&made) {
        match left(beside, lock) {
            Left::Removed => made = make(),
            Left::InUse => return Ok(Made::Busy),
            Left::Unknown => return Ok(Made::InTheWay),
        }
    }
    if is_there(&made) {
        return Ok(Made::Busy);
    }
    let file = made?;
    // Where there are no locks, that it was made here has to be enough.
    let is_ours = !matches!(lock(&file), Locked::Others) && is_at(&file, beside);
    Ok(if is_ours { Made::Ours(file) } else { Made::Busy })
}

enum Left {
    Removed,
    InUse,
    Unknown,
}

/// Whoever has one keeps it locked: one that is not was left by a program that was killed, and is removed.
fn left(beside: &Path, lock: Lock) -> Left {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(beside);
    let file = match file {
        Ok(file) => file,
        // Its program was done with it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Left::Removed,
        Err(_) => return Left::Unknown,
    };
    match lock(&file) {
        Locked::Others => return Left::InUse,
        Locked::Nowhere => return Left::Unknown,
        Locked::Ours => {}
    }
    if !is_at(&file, beside) {
        return Left::InUse;
    }
    let is_removed = file.metadata().is_ok_and(|file| file.is_file()) && fs::remove_file(beside).is_ok();
    if is_removed { Left::Removed } else { Left::Unknown }
}

/// Others have not put another one in its place meanwhile.
fn is_at(file: &File, path: &Path) -> bool {
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (file, there) = (file.metadata().map(of), fs::symlink_metadata(path).map(of));
    file.is_ok_and(|file| there.is_ok_and(|there| there == file))
}

type Lock = fn(&File) -> Locked;

enum Locked {
    Ours,
    Others,
    /// There are no locks here, as on some file systems of a network.
    Nowhere,
}

/// Ends with the program.
#[allow(unsafe_code)]
fn lock(file: &File) -> Locked {
    // SAFETY: the descriptor is open, and nothing else is given.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 } {
        return Locked::Ours;
    }
    match io::Error::last_os_error().kind() {
        io::ErrorKind::WouldBlock => Locked::Others,
        _ => Locked::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use std::{env, os::unix::fs::symlink, process};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = env::temp_dir().join(format!("iothub-replacement-{}-{name}", process::id()));
        // Another run of the same number may have left it.
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).expect("a folder");
        folder
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("a file").mode() & 0o7777
    }

    fn replace(path: &Path, bytes: &[u8]) -> Result<(), ReplaceError> {
        Replacement::begin(path)?.finish(bytes)
    }

    #[test]
    fn a_made_file_is_its_owners_alone_and_a_replaced_one_keeps_its_mode() {
        let folder = folder("mode");
        let path = folder.join("users");
        replace(&path, b"one").expect("made");
        assert_eq!((fs::read(&path).expect("read"), mode(&path)), (b"one".to_vec(), 0o600));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its mode");
        replace(&path, b"two").expect("replaced");
        assert_eq!((fs::read(&path).expect("read"), mode(&path)), (b"two".to_vec(), 0o640));
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 1);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let folder = folder("link");
        fs::create_dir(folder.join("real")).expect("a folder");
        let (real, link) = (folder.join("real/users"), folder.join("users"));
        fs::write(&real, b"one").expect("a file");
        symlink("real/users", &link).expect("a link");
        replace(&link, b"two").expect("replaced");
        assert!(link.is_symlink() && fs::read(&real).expect("read") == b"two");
        // One that leads nowhere might lead anywhere by the time it is written.
        fs::remove_file(&real).expect("removed");
        assert!(matches!(replace(&link, b"three"), Err(ReplaceError::Unwritable { .. })));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn of_two_that_change_a_file_the_second_is_told() {
        let folder = folder("two");
        let path = folder.join("users");
        let first = Replacement::begin(&path).expect("begun");
        assert!(matches!(Replacement::begin(&path), Err(ReplaceError::Busy { .. })));
        // One that is given up leaves nothing behind.
        drop(first);
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 0);
        // A link in the place of the file beside is not followed.
        let victim = folder.join("victim");
        fs::write(&victim, b"mine").expect("a file");
        symlink(&victim, folder.join(".users.iothub")).expect("a link");
        assert!(matches!(replace(&path, b"two"), Err(ReplaceError::InTheWay { .. })));
        assert_eq!(fs::read(&victim).expect("read"), b"mine");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn what_a_program_left_that_was_killed_is_in_nobodys_way() {
        let folder = folder("left");
        let path = folder.join("users");
        fs::write(folder.join(".users.iothub"), b"the begin").expect("a file");
        replace(&path, b"two").expect("replaced");
        assert_eq!((fs::read(&path).expect("read"), mode(&path)), (b"two".to_vec(), 0o600));
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 1);
        fs::create_dir(folder.join(".users.iothub")).expect("a folder");
        assert!(matches!(replace(&path, b"three"), Err(ReplaceError::InTheWay { .. })));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn the_end_of_one_takes_nothing_from_whoever_comes_next() {
        let folder = folder("next");
        let path = folder.join("users");
        let mut first = Replacement::begin(&path).expect("begun");
        first.put(b"one").expect("put");
        let second = Replacement::begin(&path).expect("begun");
        drop(first);
        assert_eq!(fs::read(&path).expect("read"), b"one");
        second.finish(b"two").expect("finished");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 1);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn nobody_puts_what_another_has_begun() {
        let folder = folder("another");
        let path = folder.join("users");
        let first = Replacement::begin(&path).expect("begun");
        fs::remove_file(folder.join(".users.iothub")).expect("removed by hand");
        let second = Replacement::begin(&path).expect("begun");
        let refused = first.finish(b"one").expect_err("another's");
        assert!(matches!(refused, ReplaceError::TakenAway { .. }), "{refused}");
        assert!(!path.exists());
        second.finish(b"two").expect("finished");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn where_there_are_no_locks_files_are_replaced_and_what_is_left_is_named() {
        let folder = folder("unlocked");
        let path = folder.join("users");
        let begin = || Replacement::begin_with(&path, |_| Locked::Nowhere);
        for bytes in [b"one", b"two"] {
            begin().and_then(|begun| begun.finish(bytes)).expect("replaced");
            assert_eq!(fs::read(&path).expect("read"), bytes);
        }
        let begun = begin().expect("begun");
        let refused = begin().expect_err("begun already");
        assert!(refused.to_string().contains("remove"), "{refused}");
        drop(begun);
        assert_eq!(fs::read_dir(&folder).expect("read").count(), 1);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_lack_of_room_is_told_from_other_errors() {
        let failed =
            |kind: io::ErrorKind| ReplaceError::Unwritable { path: "users".into(), error: kind.into() };
        assert!(failed(io::ErrorKind::StorageFull).is_lack_of_room());
        assert!(failed(io::ErrorKind::QuotaExceeded).is_lack_of_room());
        assert!(!failed(io::ErrorKind::PermissionDenied).is_lack_of_room());
        assert!(!ReplaceError::NoFile { path: "users".into() }.is_lack_of_room());
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let folder = folder("none");
        assert!(matches!(replace(&folder, b""), Err(ReplaceError::NoFile { .. })));
        let nowhere = folder.join("a/b");
        assert!(matches!(replace(&nowhere, b""), Err(ReplaceError::Unwritable { .. })));
        fs::remove_dir_all(folder).expect("removed");
    }
}
