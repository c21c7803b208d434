//! How much room the disk of the store has, as it was some seconds ago. Whoever shows it never waits for the disk.

use std::{
    ffi::CString,
    io,
    mem::MaybeUninit,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// In bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For who is not root.
    pub free: u64,
    pub all: u64,
}

/// Starts the thread that looks again and again, and does nothing else: the disk may let it wait for ever.
pub fn start(dir: PathBuf) -> io::Result<()> {
    let look = move || {
        loop {
            let room = room(&dir).ok();
            *known() = Some(Known { room, at: Instant::now() });
            thread::sleep(PERIOD);
        }
    };
    thread::Builder::new().name("disk-room".to_owned()).spawn(look).map(drop)
}

/// None: it is not known, or not any more, or nothing is stored.
pub fn told() -> Option<Room> {
    known().as_ref()?.told(Instant::now())
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

/// What was found, and when. None: what cannot be looked at.
struct Known {
    room: Option<Room>,
    at: Instant,
}

impl Known {
    fn told(&self, now: Instant) -> Option<Room> {
        self.room.filter(|_| now.saturating_duration_since(self.at) <= TOLD_MAX)
    }
}

fn known() -> MutexGuard<'static, Option<Known>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(10);
/// A disk that does not answer for so long may have become full meanwhile.
const TOLD_MAX: Duration = Duration::from_secs(30);
const _: () =
    assert!(TOLD_MAX.as_secs() > 2 * PERIOD.as_secs(), "a look that comes late is none that is missing");

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

    #[test]
    fn what_a_disk_had_that_does_not_answer_any_more_is_told_for_a_while() {
        let (at, room) = (Instant::now(), Room { free: 7, all: 9 });
        let known = Known { room: Some(room), at };
        assert_eq!(known.told(at), Some(room));
        assert_eq!(known.told(at + TOLD_MAX), Some(room));
        assert_eq!(known.told(at + TOLD_MAX + PERIOD), None);
        assert_eq!(Known { room: None, at }.told(at), None);
    }
}
