//! What the terminal is that the results are shown on.

/// How many columns standard output has; `None` where it is no terminal.
pub fn columns() -> Option<usize> {
    // SAFETY: the structure is plain data, and lives through the call that fills it.
    let (result, size) = unsafe {
        let mut size: libc::winsize = std::mem::zeroed();
        (libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size), size)
    };
    // A serial line may not know.
    (result == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}
