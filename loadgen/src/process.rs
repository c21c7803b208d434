//! What /proc knows of a process: its CPU time, its memory, and what it wrote to disks.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct Process {
    pid: u32,
}

impl Process {
    pub fn of(pid: u32) -> Result<Process, String> {
        let process = Process { pid };
        process.cpu_time()?;
        Ok(process)
    }

    /// What all threads together have used: to the nanosecond from the scheduler, or in ticks where that is not kept.
    /// Ticks count badly what runs for microseconds at a time.
    pub fn cpu_time(&self) -> Result<Duration, String> {
        if let Some(nanos) = self.scheduled_nanos() {
            return Ok(Duration::from_nanos(nanos));
        }
        let stat = self.read("stat")?;
        parse_cpu_ticks(&stat)
            .map(|ticks| Duration::from_millis(ticks * 1000 / ticks_per_second()))
            .ok_or_else(|| format!("/proc/{}/stat is not understood", self.pid))
    }

    /// The processor time once it grows no more: what was asked of the process is then done.
    pub fn settled_cpu_time(&self) -> Result<Duration, String> {
        let mut last = self.cpu_time()?;
        for _ in 0..SETTLE_LOOKS_MAX {
            std::thread::sleep(SETTLE);
            let now = self.cpu_time()?;
            let grown = now.saturating_sub(last);
            last = now;
            if grown < SETTLE / 20 {
                break;
            }
        }
        Ok(last)
    }

    fn scheduled_nanos(&self) -> Option<u64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).ok()?;
        let of_task = |entry: std::io::Result<fs::DirEntry>| {
            let stat = fs::read_to_string(entry.ok()?.path().join("schedstat")).ok()?;
            stat.split_whitespace().next()?.parse::<u64>().ok()
        };
        let nanos: u64 = tasks.filter_map(of_task).sum();
        (nanos > 0).then_some(nanos)
    }

    /// Resident memory: exact from smaps_rollup, or from statm where that may not be read.
    pub fn resident_bytes(&self) -> Result<u64, String> {
        if let Some(kilobytes) = self.read("smaps_rollup").ok().as_deref().and_then(parse_rollup_kilobytes) {
            return Ok(kilobytes * 1024);
        }
        let statm = self.read("statm")?;
        let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        pages
            .map(|pages| pages * page_bytes())
            .ok_or_else(|| format!("/proc/{}/statm is not understood", self.pid))
    }

    /// Bytes that it made dirty in the cache of files: in whole folios, which can be larger than what is written of them.
    /// None: that is not kept here, or not for everybody to see.
    pub fn written_bytes(&self) -> Option<u64> {
        parse_written_bytes(&self.read("io").ok()?)
    }

    fn read(&self, file: &str) -> Result<String, String> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                format!(
                    "there is no process {}: it has ended, or --pid is not the broker's on this machine",
                    self.pid
                )
            }
            _ => format!("cannot read {path}: {error}"),
        })
    }
}

// The name in parentheses may hold spaces and parentheses, so counting begins behind the last one.
fn parse_cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(UTIME_AFTER_NAME);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn parse_written_bytes(io: &str) -> Option<u64> {
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes:"))?;
    line.trim().parse().ok()
}

fn parse_rollup_kilobytes(rollup: &str) -> Option<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn ticks_per_second() -> u64 {
    // SAFETY: the call takes a number and gives one.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).unwrap_or(0).max(1)
}

fn page_bytes() -> u64 {
    // SAFETY: the call takes a number and gives one.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(0)
}

/// Raises the limit of open files as far as it goes, and fails if that is less than `wanted`.
pub fn allow_open_files(wanted: u64) -> Result<(), String> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a pointer to a live structure.
    let failed = unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            true
        } else {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0
        }
    };
    if failed {
        return Err(format!("cannot raise the limit of open files: {}", std::io::Error::last_os_error()));
    }
    if limit.rlim_max < wanted {
        let max = limit.rlim_max;
        return Err(format!("{wanted} open files are needed and {max} are allowed: raise `ulimit -Hn`"));
    }
    Ok(())
}

// The state is the first field behind the name, utime the twelfth.
const UTIME_AFTER_NAME: usize = 11;
const SETTLE: Duration = Duration::from_millis(100);
const SETTLE_LOOKS_MAX: u32 = 100;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 0 0 0 17 5 0 0 20 0 4 0 100 0 0";
        assert_eq!(parse_cpu_ticks(stat), Some(22));
        assert_eq!(parse_cpu_ticks("42 (x) S 1"), None);
    }

    #[test]
    fn resident_memory_is_found_in_the_rollup() {
        assert_eq!(parse_rollup_kilobytes("55-7f [rollup]\nRss:      1234 kB\nPss: 5 kB\n"), Some(1234));
        assert_eq!(parse_rollup_kilobytes("Pss: 5 kB\n"), None);
    }

    #[test]
    fn bytes_for_disks_are_not_those_of_all_writes() {
        let io = "rchar: 1\nwchar: 2\nsyscr: 3\nread_bytes: 4\nwrite_bytes: 8192\ncancelled_write_bytes: 6\n";
        assert_eq!(parse_written_bytes(io), Some(8192));
        assert_eq!(parse_written_bytes("rchar: 1\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_an_unknown_one_is_an_error() {
        assert!(Process::of(std::process::id()).unwrap().resident_bytes().unwrap() > 100_000);
        assert!(Process::of(u32::MAX).is_err());
    }
}
