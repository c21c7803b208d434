//! Waiting for a socket, for a time, or for a signal, whichever comes first.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

/// Waits until the socket is readable, or writable if that is asked for, and says whether it is readable: after an
/// error or a hang-up it is, because reading tells what happened. Without a socket it only waits. A signal ends the
/// wait with `ErrorKind::Interrupted`, so that a program can look at what its handler noted.
pub(crate) fn wait(stream: Option<&impl AsRawFd>, want_write: bool, timeout: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd {
        fd: stream.map_or(NO_DESCRIPTOR, AsRawFd::as_raw_fd),
        events: if want_write { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN },
        revents: 0,
    };
    // Rounded up: a wait that ends a little too early would be begun again and again.
    let timeout_ms = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    // SAFETY: the pointer is to one entry, which outlives the call; poll ignores a negative descriptor.
    let ready = unsafe { libc::poll(&mut entry, 1, timeout_ms) };
    if ready < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(entry.revents & (libc::POLLIN | libc::POLLERR | libc::POLLHUP) != 0)
}

const NO_DESCRIPTOR: RawFd = -1;
