//! How much room the disk of the store has, as it was some seconds ago. Whoever shows it never waits for the disk.

use std::{
    ffi::CString,
    io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For who is not root.
    pub free: u64,
    pub all: u64,
}

/// Looks again, unless it did so a moment ago. It may wait for the disk. What cannot be looked at is not known.
pub fn look(dir: &Path) {
    let is_due = |at: Option<Instant>| at.is_none_or(|at| at.elapsed() >= EVERY);
    if is_due(known().0) {
        let room = room(dir).ok();
        *known() = (Some(Instant::now()), room);
    }
}

/// None: it is not known, or nothing is stored.
pub fn told() -> Option<Room> {
    known().1
}

fn room(dir: &Path) -> io::Result<Room> {
    let path = CString::new(dir.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path ends with NUL, and both live until the call has returned.
    if unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so that it has filled it in.
    let found = unsafe { found.assume_init() };
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(Room { free: bytes(found.f_bavail), all: bytes(found.f_blocks) })
}

/// When it was looked at last, and what was found.
type Known = (Option<Instant>, Option<Room>);

fn known() -> MutexGuard<'static, Known> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

static KNOWN: Mutex<Known> = Mutex::new((None, None));

const EVERY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_room_and_what_is_none_has_not() {
        let room = room(&std::env::temp_dir()).expect("there is one");
        assert!(room.all > 0 && room.free <= room.all, "{room:?}");
        assert!(super::room(Path::new("/nowhere/at/all")).is_err());
        assert!(super::room(Path::new("a\0b")).is_err());
    }
}
