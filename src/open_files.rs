//! The limit of open files: raised as far as this process may, and compared with what it is to serve.

use std::{
    fs, io,
    os::{fd::AsRawFd, unix::net::UnixDatagram},
};

use crate::api;

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

/// Lets the kernel's table of this process's files grow to so many at once. It doubles otherwise as connections come, and each
/// time it waits until no thread can be reading the smaller one: 5 to 20 ms in which its shard serves nobody.
pub fn reserve(files: u64) -> io::Result<()> {
    let highest = files.min(RESERVED_FILES_MAX).saturating_sub(1);
    let highest = libc::c_int::try_from(highest).map_err(io::Error::other)?;
    let some = UnixDatagram::unbound()?;
    // SAFETY: the call takes numbers only, and the descriptor is open.
    let copy = unsafe { libc::fcntl(some.as_raw_fd(), libc::F_DUPFD_CLOEXEC, highest) };
    if copy < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the copy was made here and nobody else knows it. The table stays as large as it is.
    unsafe { libc::close(copy) };
    Ok(())
}

/// What the process needs for itself, before the first client.
#[derive(Debug, Clone, Copy)]
pub struct Own {
    /// Open already: the standard streams, and what the parent left open.
    pub open: u64,
    pub shards: u64,
    /// Addresses to listen on.
    pub addresses: u64,
    /// Connections to the API.
    pub api: u64,
    /// Streams of the API.
    pub streams: u64,
}

impl Own {
    fn files(self) -> u64 {
        self.open
            + PASSING_FILES
            + CONTROL_FILES
            + self.api
            + self.streams
            + self.shards * (FILES_PER_SHARD + self.addresses)
            + REFUSED_CONNECTIONS
    }

    /// What so many connections take, with what the process needs for itself.
    pub fn needed(self, max_connections: u64) -> u64 {
        self.files() + max_connections
    }

    /// The same with as many streams as the limit has room for: of what is left for clients only a small part goes to those who watch them.
    pub fn with_fewer_streams(self, limit: u64, max_connections: u64) -> Own {
        let without = Own { streams: 0, ..self };
        let left = limit.saturating_sub(without.files());
        let spare = left.saturating_sub(max_connections);
        Own { streams: self.streams.min(spare.max(left / STREAMS_PART)), ..self }
    }

    /// What to say when there are fewer streams than were asked for.
    pub fn fewer_streams(self, limit: u64, max_streams: u64) -> Option<String> {
        let streams = self.streams;
        (streams < max_streams).then(|| {
            format!(
                "at most {streams} streams of the API instead of api.max_streams = {max_streams}: this process may open \
                 {limit} files, and clients come first. Raise the limit (ulimit -n, LimitNOFILE= in systemd, --ulimit \
                 nofile= in Docker) or set api.max_streams to {streams}"
            )
        })
    }

    /// How many of the connections the limit allows; the error says that it does not allow a single one.
    pub fn connections(self, limit: u64, max_connections: u64) -> Result<u64, String> {
        match limit.saturating_sub(self.files()).min(max_connections) {
            0 => Err(self.too_few(limit)),
            connections => Ok(connections),
        }
    }

    fn too_few(self, limit: u64) -> String {
        let least = self.needed(1);
        let enough = least.next_multiple_of(1024);
        let shards = match self.shards {
            1 => "1 shard".to_owned(),
            shards => format!("{shards} shards"),
        };
        let fewer = if self.shards > 1 { ", or start fewer shards (--shards N)" } else { "" };
        format!(
            "too few files may be opened: {limit}, and {shards} and one connection need {least}. Raise the limit (ulimit \
             -n {enough}, LimitNOFILE={enough} in systemd, --ulimit nofile={enough} in Docker){fewer}"
        )
    }

    /// What to say when the limit allows fewer connections than were asked for.
    pub fn shortage(self, limit: u64, connections: u64, max_connections: u64) -> Option<String> {
        let needed = self.needed(max_connections);
        (connections < max_connections).then(|| {
            format!(
                "at most {connections} connections instead of server.max_connections = {max_connections}: this process may \
                 open {limit} files and needs {needed} for all of them. Raise the limit (ulimit -n {needed}, \
                 LimitNOFILE={needed} in systemd, --ulimit nofile={needed} in Docker) or set server.max_connections to \
                 {connections}"
            )
        })
    }
}

/// How many files are open now.
pub fn open() -> u64 {
    // One of them is the folder that is being read: a reserve of one.
    fs::read_dir("/proc/self/fd").map_or(STANDARD_STREAMS, |entries| entries.count() as u64)
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

/// The table takes 8 bytes each: half a MiB of the kernel's memory. Who has more waits once or twice more.
const RESERVED_FILES_MAX: u64 = 65_536;
const STANDARD_STREAMS: u64 = 3;
/// What opens and closes on the way: names that are resolved, ports that are tried, what glommio reads about the machine.
const PASSING_FILES: u64 = 8;
/// The control socket, those who ask there, and how its thread waits.
const CONTROL_FILES: u64 = api::CONTROL_CONNECTIONS_MAX + 4;
/// The rings of a shard and of its executor with their event descriptors, and the doorbell: measured, without listeners.
const FILES_PER_SHARD: u64 = 6;
/// Where files are few, one in so many of those that are left is for a stream.
const STREAMS_PART: u64 = 8;
/// Connections beyond the limit that the runtime lets in just to tell them so.
const REFUSED_CONNECTIONS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raising_never_lowers_the_limit() {
        let before = current().expect("the limit can be read").rlim_cur;
        assert!(raise(1).expect("a limit") >= before);
    }

    const FOUR_SHARDS: Own = Own { open: 3, shards: 4, addresses: 2, api: 0, streams: 0 };

    #[test]
    fn a_shortage_names_both_numbers_and_the_remedies() {
        let own = FOUR_SHARDS;
        assert_eq!(own.needed(10_000), 10_119);
        assert_eq!(own.connections(20_000, 10_000), Ok(10_000));
        assert_eq!(own.shortage(20_000, 10_000, 10_000), None);
        let connections = own.connections(1024, 10_000).expect("some");
        assert_eq!(own.needed(connections), 1024);
        let text = own.shortage(1024, connections, 10_000).expect("too few");
        assert!(
            text.starts_with("at most 905 connections instead of server.max_connections = 10000: "),
            "{text}"
        );
        assert!(text.contains("may open 1024 files and needs 10119"), "{text}");
        assert!(text.contains("LimitNOFILE=10119") && text.ends_with("max_connections to 905"), "{text}");
    }

    #[test]
    fn a_limit_below_the_own_needs_is_an_error_with_its_remedy() {
        let own = FOUR_SHARDS;
        assert_eq!(own.connections(120, 10_000), Ok(1));
        let text = own.connections(119, 10_000).expect_err("none");
        assert_eq!(
            text,
            "too few files may be opened: 119, and 4 shards and one connection need 120. Raise the limit (ulimit -n \
             1024, LimitNOFILE=1024 in systemd, --ulimit nofile=1024 in Docker), or start fewer shards (--shards N)"
        );
        let alone = Own { shards: 1, ..own };
        assert!(!alone.connections(0, 1).expect_err("none").contains("--shards"));
    }

    #[test]
    fn streams_give_way_to_clients_where_files_are_few() {
        let wanted = Own { streams: 64, ..FOUR_SHARDS };
        let streams = |limit, max_connections| wanted.with_fewer_streams(limit, max_connections).streams;
        assert_eq!((streams(100_000, 10_000), streams(1024, 10_000)), (64, 64));
        // 119 files are for the broker itself.
        assert_eq!((streams(119 + 24, 10_000), streams(119 + 7, 10_000), streams(20, 10_000)), (3, 0, 0));
        assert_eq!((streams(119 + 60, 20), streams(119 + 100, 20)), (40, 64), "what no client may have");
        let own = wanted.with_fewer_streams(119 + 24, 10_000);
        assert_eq!(own.connections(119 + 24, 10_000), Ok(21));
        let text = own.fewer_streams(143, 64).expect("too few");
        assert!(text.starts_with("at most 3 streams of the API instead of api.max_streams = 64: "), "{text}");
        assert_eq!(wanted.fewer_streams(100_000, 64), None);
    }

    #[test]
    fn what_is_reserved_is_there_and_takes_no_descriptor() {
        let size = || {
            let status = fs::read_to_string("/proc/self/status").expect("a status");
            let line = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("a size");
            line.trim().parse::<u64>().expect("a number")
        };
        let limit = raise(0).expect("a limit");
        let wanted = (size() + 1).min(limit);
        reserve(wanted).expect("room");
        assert!(size() >= wanted, "{} of {wanted}", size());
        let error = reserve(limit + 1).map(|()| limit).err();
        assert!(limit >= RESERVED_FILES_MAX || error.is_some(), "beyond {limit}");
    }

    #[test]
    fn what_is_opened_counts() {
        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").expect("a file")).collect();
        assert!(open() > files.len() as u64);
    }
}
