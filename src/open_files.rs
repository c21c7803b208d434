//! The limit of open files: raised as far as this process may, and compared with what it is to serve.

use std::io;

/// Raises the limit as far as `needed` asks and this process may, and gives what it got.
pub fn raise(needed: u64) -> io::Result<u64> {
    let mut limit = current()?;
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        set(&limit)?;
    }
    if limit.rlim_max < needed {
        // Only a privileged process may go beyond; for the others the refusal is no error.
        let beyond = libc::rlimit { rlim_cur: needed, rlim_max: needed };
        if set(&beyond).is_ok() {
            limit = beyond;
        }
    }
    Ok(limit.rlim_cur)
}

/// What so many connections take, with what the process needs for itself.
pub fn needed(max_connections: u64, shards: u64) -> u64 {
    max_connections + OWN_FILES + shards * FILES_PER_SHARD
}

/// What to do about a limit that is too low.
pub fn shortage(limit: u64, needed: u64, max_connections: u64) -> Option<String> {
    (limit < needed).then(|| {
        let connections = max_connections.saturating_sub(needed - limit);
        format!(
            "this process may open {limit} files and needs {needed} for server.max_connections = {max_connections}: \
             raise the limit (ulimit -n {needed}, LimitNOFILE={needed} in systemd, --ulimit nofile={needed} in Docker) \
             or set server.max_connections to {connections} or less"
        )
    })
}

fn current() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live rlimit, which the call fills.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } {
        0 => Ok(limit),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set(limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: the pointer is to a live rlimit, which the call only reads.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Standard streams, the log, and the reserve of connections beyond the limit that are refused with an answer.
const OWN_FILES: u64 = 128;
/// The rings of a shard and of its executor, doorbell and listeners.
const FILES_PER_SHARD: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_never_lowers_the_limit() {
        let before = current().expect("the limit can be read").rlim_cur;
        assert!(raise(1).expect("a limit") >= before);
    }

    #[test]
    fn a_shortage_names_the_remedies_with_their_numbers() {
        assert_eq!(shortage(20_000, 10_080, 10_000), None);
        let text = shortage(1024, 10_080, 10_000).expect("too few");
        assert!(text.contains("may open 1024 files and needs 10080"), "{text}");
        assert!(
            text.contains("LimitNOFILE=10080") && text.contains("max_connections to 944 or less"),
            "{text}"
        );
    }
}
