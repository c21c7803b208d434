//! Lists of processors such as `0,2-3`, and keeping a process on them.

use std::fmt;
use std::fs;
use std::io;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus(Vec<usize>);

impl Cpus {
    /// A list as the kernel and `taskset` write it.
    pub fn parse(text: &str) -> Result<Cpus, String> {
        let mut cpus = Vec::new();
        for part in text.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (first.parse::<usize>(), last.parse::<usize>()) {
                (Ok(first), Ok(last)) if first <= last && last < CPUS_MAX => cpus.extend(first..=last),
                _ => return Err(format!("`{part}` is no processor: write 0 or 0,2 or 0-3")),
            }
        }
        Ok(Cpus(cpus))
    }

    /// A list of processors that this machine has.
    pub fn parse_present(text: &str) -> Result<Cpus, String> {
        let cpus = Cpus::parse(text)?;
        let Some(online) = online() else { return Ok(cpus) };
        match cpus.0.iter().find(|cpu| !online.0.contains(cpu)) {
            Some(cpu) => Err(format!("there is no processor {cpu}: this machine has {online}")),
            None => Ok(cpus),
        }
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Keeps the calling thread, and what it starts, on these processors. Calls nothing but the kernel.
    pub fn hold_this_thread(&self) -> io::Result<()> {
        // SAFETY: the set is plain bytes, every index is below its size, and the call only reads it.
        let result = unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            for cpu in &self.0 {
                libc::CPU_SET(*cpu, &mut set);
            }
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// The processors that this machine runs on.
pub fn online() -> Option<Cpus> {
    Cpus::parse(&fs::read_to_string("/sys/devices/system/cpu/online").ok()?).ok()
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&texts.join(","))
    }
}

const CPUS_MAX: usize = libc::CPU_SETSIZE as usize;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lists_and_ranges_are_read() {
        assert_eq!(Cpus::parse("0,2-4\n").unwrap().to_string(), "0,2,3,4");
        for text in ["", "a", "2-1", "0,", "-1", "99999"] {
            assert!(Cpus::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_processor_that_is_not_there_is_named() {
        let error = Cpus::parse_present("1023").unwrap_err();
        assert!(error.contains("there is no processor 1023"), "{error}");
    }
}
