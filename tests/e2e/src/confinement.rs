//! What a machine can lack, made by taking it from one process.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Applied to the child between fork and exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// Bytes of memory that may be locked.
    LockedMemory(u64),
    /// Files that may be open, without the right to raise the limit.
    OpenFiles(u64),
    /// io_uring is refused with this error: EPERM where it is disabled, ENOSYS where the kernel has none.
    NoIoUring(i32),
    /// `uname` tells of Linux 2.6.
    OldKernel,
    /// Ports below `ip_unprivileged_port_start` are refused.
    NoLowPorts,
    /// The modes of files and folders count for root as well.
    NoOverride,
}

impl Confinement {
    pub fn apply_to(self, command: &mut Command) {
        // SAFETY: everything that runs between fork and exec is a system call on values that live here.
        unsafe {
            command.pre_exec(move || self.apply());
        }
    }

    fn apply(self) -> io::Result<()> {
        match self {
            Confinement::LockedMemory(bytes) => set_limit(libc::RLIMIT_MEMLOCK, bytes),
            Confinement::OpenFiles(files) => {
                drop_capability(CAP_SYS_RESOURCE);
                set_limit(libc::RLIMIT_NOFILE, files)
            }
            Confinement::NoIoUring(error) => refuse_io_uring(error),
            // SAFETY: the call takes a number and gives one.
            Confinement::OldKernel => check(unsafe { libc::personality(libc::UNAME26 as libc::c_ulong) }),
            Confinement::NoLowPorts => {
                drop_capability(CAP_NET_BIND_SERVICE);
                Ok(())
            }
            Confinement::NoOverride => {
                drop_capability(CAP_DAC_OVERRIDE);
                drop_capability(CAP_DAC_READ_SEARCH);
                Ok(())
            }
        }
    }
}

fn set_limit(resource: libc::__rlimit_resource_t, value: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
    // SAFETY: the call only reads the structure.
    check(unsafe { libc::setrlimit(resource, &raw const limit) })
}

/// Without privileges there is nothing to drop, and the call fails; that is as good.
fn drop_capability(capability: libc::c_ulong) {
    // SAFETY: the call takes numbers only.
    let _ = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
}

/// A seccomp filter of four instructions: load the number of the system call, compare, allow or refuse.
fn refuse_io_uring(error: i32) -> io::Result<()> {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let mut filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | error as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program points to the filter, which lives until the call has copied it.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        check(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program))
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;
const CAP_NET_BIND_SERVICE: libc::c_ulong = 10;
const CAP_SYS_RESOURCE: libc::c_ulong = 24;
