//! The sockets that another process holds, as this one may look at them: what the kernel was told about each.

use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use socket2::{SockRef, Socket};

/// Duplicates of the TCP sockets of a child of this process that have this port of their own.
#[track_caller]
pub fn sockets_at(process: u32, port: u16) -> Vec<Socket> {
    // SAFETY: the call takes numbers and gives a descriptor that nobody else has.
    let child = unsafe { owned(libc::syscall(libc::SYS_pidfd_open, process, 0)) }.unwrap();
    let names = fs::read_dir(format!("/proc/{process}/fd")).unwrap();
    let numbers = names.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let duplicates = numbers.filter_map(|number: RawFd| duplicate(&child, number));
    duplicates
        .map(Socket::from)
        .filter(|socket| {
            let own = socket.local_addr().ok().and_then(|address| address.as_socket());
            own.is_some_and(|own| own.port() == port)
        })
        .collect()
}

/// None where the process has closed it since it was listed.
#[track_caller]
fn duplicate(child: &OwnedFd, number: RawFd) -> Option<OwnedFd> {
    // SAFETY: the call takes numbers and gives a descriptor that nobody else has.
    match unsafe { owned(libc::syscall(libc::SYS_pidfd_getfd, child.as_raw_fd(), number, 0)) } {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => panic!(
            "this test looks at the sockets of the broker that it has started, which needs pidfd_getfd: in a container allow it by \
             `--cap-add SYS_PTRACE`"
        ),
        result => result.ok(),
    }
}

pub fn is_listening(socket: &Socket) -> bool {
    socket.is_listener().unwrap()
}

/// Connections that may wait to be accepted: the kernel tells it of a socket that listens, in the place of what a connection has acknowledged.
pub fn backlog(socket: &Socket) -> u32 {
    assert!(is_listening(socket), "a connection has no backlog");
    // SAFETY: numbers only, for which zeros are values, and the call writes no more than its size.
    unsafe {
        let mut info: libc::tcp_info = mem::zeroed();
        let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
        let descriptor = SockRef::from(socket).as_raw_fd();
        let info_at = (&raw mut info).cast();
        let status = libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, info_at, &raw mut size);
        assert_eq!(status, 0, "{}", io::Error::last_os_error());
        info.tcpi_sacked
    }
}

/// # Safety
/// A result that is not negative is a descriptor that belongs to nobody yet.
unsafe fn owned(result: libc::c_long) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it belongs to nobody, says whoever calls.
    Ok(unsafe { OwnedFd::from_raw_fd(result as RawFd) })
}
