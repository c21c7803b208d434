//! What processes may use and do use: open files, resident memory.

use std::fs;
use std::io;

/// Lets this process open as many files as it may: what a test needs that holds thousands of sockets.
#[track_caller]
pub fn raise_open_files(sockets: usize) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes the structure that it is given and nothing else.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the call only reads the structure.
    let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(result, 0, "{}", io::Error::last_os_error());
    let open_files = limit.rlim_cur;
    assert!(
        open_files > sockets as u64 + 200,
        "this test holds {sockets} sockets and may open {open_files} files: raise the limit with `ulimit -n`"
    );
}

/// Resident memory of a process, bytes.
pub fn resident_bytes(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a running process has memory");
    let kibibytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024
}

/// Sockets and other files that a process holds open.
pub fn open_files(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}
