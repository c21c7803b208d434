//! Who uses a data directory: a lock on its file `lock`, which ends with the process that has it.
//!
//! It is one of an open file, not of the process (`F_OFD_SETLK`), because only such a lock can be asked for without being
//! taken: whoever only looks keeps nobody out, however short a look is.

use std::{fs::File, io, os::fd::AsRawFd, path::Path};

use super::{private, regular};
use crate::StoreError;

/// Keeps others out of the directory for as long as the file is open.
pub(crate) fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join(LOCK);
    let file = private::options().read(true).write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(|source| StoreError::io(&path, source))?;
    match control(&file, libc::F_OFD_SETLK, &mut whole_file()) {
        Ok(()) => Ok(file),
        Err(source) => Err(match source.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => StoreError::InUse { path: dir.to_owned() },
            _ => StoreError::io(&path, source),
        }),
    }
}

/// Whether somebody has it now. A file that may not be looked at counts as free.
pub(crate) fn is_locked(dir: &Path) -> bool {
    let Ok(file) = regular::open(&dir.join(LOCK)) else { return false };
    let mut asked = whole_file();
    let is_told = control(&file, libc::F_OFD_GETLK, &mut asked).is_ok();
    is_told && i32::from(asked.l_type) != libc::F_UNLCK
}

fn control(file: &File, command: libc::c_int, lock: &mut libc::flock) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the call reads and writes the one structure that it is given.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), command, std::ptr::from_mut(lock)) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// For one who writes. The length of zero is up to the end, wherever that is; a process must not be named.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

pub(crate) const LOCK: &str = "lock";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::{
        fs, process,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn whoever_looks_keeps_nobody_out_and_whoever_has_it_does() {
        let dir = std::env::temp_dir().join(format!("runtime-lock-{}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert!(!is_locked(&dir), "there is no such file yet");
        let held = lock(&dir).unwrap();
        assert!(is_locked(&dir));
        assert!(matches!(lock(&dir), Err(StoreError::InUse { .. })));
        drop(held);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut looks = 0_u64;
                while !is_over.load(Ordering::Relaxed) {
                    is_locked(&dir);
                    looks += 1;
                }
                looks
            });
            let refused = (0..TURNS).filter(|_| lock(&dir).is_err()).count();
            is_over.store(true, Ordering::Relaxed);
            assert!(looking.join().unwrap() > 0);
            assert_eq!(refused, 0, "of {TURNS}");
        });
        assert!(!is_locked(&dir));
        fs::remove_dir_all(dir).unwrap();
    }

    const TURNS: u32 = 20_000;
}
