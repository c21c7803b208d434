//! What the kernel says of this process. What cannot be read is left out.

use std::{fs, time::Duration};

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Process {
    pub cpu: Option<Duration>,
    pub resident_bytes: Option<u64>,
    /// Of the resident ones, those that stand for no file: heap and stacks.
    pub anonymous_bytes: Option<u64>,
    pub virtual_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub open_files_max: Option<u64>,
    pub threads: Option<u64>,
}

impl Process {
    pub fn look() -> Process {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name: &str| field(&status, name).map(|kib| kib * 1024);
        Process {
            cpu: cpu(),
            resident_bytes: kib("VmRSS:"),
            anonymous_bytes: kib("RssAnon:"),
            virtual_bytes: kib("VmSize:"),
            open_files: open_files(),
            open_files_max: open_files_max(),
            threads: field(&status, "Threads:"),
        }
    }
}

/// The number behind a name in `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn cpu() -> Option<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the time into the value that it is given.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    let (secs, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    (result == 0).then(|| Duration::new(secs, nanos))
}

/// The kernel has counted them (since Linux 6.2); to list them would take as long as there are connections.
fn open_files() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    (size > 0).then_some(size)
}

fn open_files_max() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes the limit into the value that it is given.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    (result == 0).then_some(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_a_limit_of_files() {
        let process = Process::look();
        assert!(process.resident_bytes > Some(0) && process.threads > Some(0));
        assert!(process.anonymous_bytes <= process.resident_bytes);
        assert!(process.resident_bytes <= process.virtual_bytes);
        assert!(process.open_files_max > Some(0) && process.cpu > Some(Duration::ZERO));
    }

    #[test]
    fn a_field_is_the_first_number_of_its_line() {
        let status = "Name:\tx\nVmRSS:\t  12 kB\nThreads:\t7\n";
        assert_eq!((field(status, "VmRSS:"), field(status, "Threads:")), (Some(12), Some(7)));
        assert_eq!((field(status, "RssAnon:"), field(status, "Name:")), (None, None));
    }
}
