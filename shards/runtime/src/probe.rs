//! Looks whether this machine can run a broker, before anything is started.

use std::{ffi::CStr, fs, io, mem::MaybeUninit, thread};

use io_uring::IoUring;

use crate::StartError;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    pub kernel: String,
    /// Bytes that may be locked; `u64::MAX` is no limit.
    pub locked_memory_max: u64,
    /// The cores that this process may use.
    pub cores: Vec<usize>,
}

/// Checks the kernel, io_uring and the limit on locked memory.
pub fn probe() -> Result<Probe, StartError> {
    let release = kernel_release();
    let locked_memory_max = locked_memory_max();
    check_ring(&release)?;
    if version_of(&release).is_some_and(|version| version < KERNEL_MIN) {
        return Err(StartError::KernelTooOld { release });
    }
    if locked_memory_max < LOCKED_MEMORY_MIN {
        return Err(StartError::LockedMemory { limit: locked_memory_max, needed: LOCKED_MEMORY_MIN });
    }
    Ok(Probe { kernel: release, locked_memory_max, cores: cores() })
}

fn check_ring(release: &str) -> Result<(), StartError> {
    match make_ring()? {
        Ok(()) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => {
                Err(StartError::IoUringDisabled { sysctl: io_uring_disabled() })
            }
            Some(libc::ENOSYS) => Err(StartError::IoUringMissing { release: release.to_owned() }),
            Some(libc::ENOMEM) => {
                Err(StartError::LockedMemory { limit: locked_memory_max(), needed: LOCKED_MEMORY_MIN })
            }
            _ => Err(StartError::Ring { shard: 0, source: error }),
        },
    }
}

/// In a thread of its own: when the kernel takes a ring down, it interrupts a call of the thread that made it, at any later time.
fn make_ring() -> Result<io::Result<()>, StartError> {
    thread::scope(|scope| {
        let maker = thread::Builder::new().name("probe".to_owned());
        let maker = maker.spawn_scoped(scope, || IoUring::new(8).map(drop)).map_err(StartError::Resources)?;
        Ok(maker.join().expect("making a ring does not panic"))
    })
}

/// 0 allows it to everyone, 1 to privileged processes, 2 to nobody; older kernels have no such setting.
fn io_uring_disabled() -> Option<u8> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn kernel_release() -> String {
    let mut names = MaybeUninit::<libc::utsname>::zeroed();
    // SAFETY: `uname` fills the structure that it is given, and all zeroes are a valid one should it fail.
    let names = unsafe {
        libc::uname(names.as_mut_ptr());
        names.assume_init()
    };
    // SAFETY: the kernel ends every field with a zero byte, and so do the zeroes.
    let release = unsafe { CStr::from_ptr(names.release.as_ptr()) };
    release.to_string_lossy().into_owned()
}

/// Major and minor number, if the name begins with them.
fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(crate) fn locked_memory_max() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `getrlimit` writes the structure that it is given and nothing else.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    // A limit that cannot be read is not the reason to refuse a start.
    if result == 0 { limit.rlim_cur } else { u64::MAX }
}

/// The cores that this process may run on; never empty.
pub fn cores() -> Vec<usize> {
    // SAFETY: a CPU set is a plain array of bits, for which all zeroes are valid.
    let mut set: libc::cpu_set_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the set is as large as its size says.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    // SAFETY: the index stays below the number of bits of the set.
    let allowed = |&core: &usize| unsafe { libc::CPU_ISSET(core, &set) };
    let cores: Vec<usize> = (0..libc::CPU_SETSIZE as usize).filter(allowed).collect();
    if result != 0 || cores.is_empty() { vec![0] } else { cores }
}

/// A number that nobody can guess, for seeds.
pub(crate) fn random_seed() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the kernel writes at most the eight bytes that the array has.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == 8 { Ok(u64::from_ne_bytes(bytes)) } else { Err(io::Error::last_os_error()) }
}

/// Multishot receive came with 6.0, deferred task work with 6.1.
const KERNEL_MIN: (u32, u32) = (6, 1);

/// What glommio asks for each executor.
pub(crate) const LOCKED_MEMORY_MIN: u64 = 512 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_give_their_version() {
        assert_eq!(version_of("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(version_of("5.15.0-91-generic"), Some((5, 15)));
        assert_eq!(version_of("6.1"), Some((6, 1)));
        assert_eq!(version_of("unknown"), None);
    }

    #[test]
    fn this_machine_passes() {
        let found = probe().expect("the tests need a machine that can run the broker");
        assert!(!found.cores.is_empty());
    }
}
