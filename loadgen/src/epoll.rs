//! Readiness of many sockets: the three calls of epoll(7), edge-triggered.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

pub struct Epoll {
    descriptor: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: the call takes no pointers; the result is checked and then owned here alone.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made and belongs to nobody else.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Epoll { descriptor, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX] })
    }

    /// Reports the token whenever bytes have arrived on the socket or it takes bytes again. One registration lasts
    /// for the life of the socket, because edges need no change of interest.
    pub fn add(&self, socket: &impl AsRawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token)
    }

    /// Reports the token once more if there is still something to read or room to write.
    pub fn renew(&self, socket: &impl AsRawFd, token: u64) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token)
    }

    fn control(&self, operation: libc::c_int, socket: &impl AsRawFd, token: u64) -> io::Result<()> {
        let interest = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: interest as u32, u64: token };
        let (epoll, socket) = (self.descriptor.as_raw_fd(), socket.as_raw_fd());
        // SAFETY: the event is copied by the call; both descriptors are open.
        let failed = unsafe { libc::epoll_ctl(epoll, operation, socket, &raw mut event) } < 0;
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Appends the tokens of all sockets that are ready, waiting for the first one. A socket whose other side has
    /// ended is there twice: a first look may stop at its last bytes, and no edge comes after them.
    pub fn wait(&mut self, timeout: Duration, tokens: &mut Vec<u64>) -> io::Result<()> {
        let timeout_ms = i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        let room = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        let epoll = self.descriptor.as_raw_fd();
        // SAFETY: the kernel writes at most `room` events, which is how many there are.
        let ready = unsafe { libc::epoll_wait(epoll, self.events.as_mut_ptr(), room, timeout_ms) };
        match usize::try_from(ready) {
            Ok(ready) => {
                for event in &self.events[..ready] {
                    tokens.push(event.u64);
                    if event.events & ENDED != 0 {
                        tokens.push(event.u64);
                    }
                }
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

const EVENTS_MAX: usize = 1024;
const ENDED: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn an_end_that_comes_with_the_last_bytes_is_reported_on_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let mut epoll = Epoll::new().unwrap();
        epoll.add(&near, 7).unwrap();
        far.write_all(b"last").unwrap();
        let mut tokens = Vec::new();
        epoll.wait(Duration::from_secs(5), &mut tokens).unwrap();
        assert_eq!(tokens, [7], "bytes are one look");
        tokens.clear();
        epoll.renew(&near, 7).unwrap();
        epoll.wait(Duration::from_secs(5), &mut tokens).unwrap();
        assert_eq!(tokens, [7], "bytes that nobody has read are looked at again");
        drop(far);
        tokens.clear();
        epoll.wait(Duration::from_secs(5), &mut tokens).unwrap();
        assert_eq!(tokens, [7, 7], "the end is one more");
    }
}
