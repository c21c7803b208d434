//! A connection as the driver sees it: bytes of MQTT in and out, whatever is around them. Plain sockets have nothing around
//! them and pay nothing for it.

mod layered;
mod opening;
mod socket;

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};

use layered::Layered;
use socket::Socket;

use crate::target::Target;

#[derive(Debug)]
pub(crate) enum Link {
    Bare(Socket),
    Layered(Box<Layered>),
}

impl Link {
    /// Connects and waits for all handshakes; from then on nothing blocks. `chance` is different each time.
    pub(crate) fn open(target: &Target, chance: [u8; 16]) -> io::Result<Link> {
        opening::open(target, chance)
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Link::Bare(socket) => socket.read(buffer),
            Link::Layered(layered) => layered.read(buffer),
        }
    }

    /// Takes a part of the bytes. What it has taken may wait in a layer: see `has_unsent`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Link::Bare(socket) => socket.write(bytes),
            Link::Layered(layered) => layered.write(bytes),
        }
    }

    /// Sends what waits in the layers.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match self {
            Link::Bare(_) => Ok(()),
            Link::Layered(layered) => layered.flush(),
        }
    }

    pub(crate) fn has_unsent(&self) -> bool {
        match self {
            Link::Bare(_) => false,
            Link::Layered(layered) => layered.has_unsent(),
        }
    }

    /// There is something to read that the socket does not hold any more: bytes, or the end of a layer.
    pub(crate) fn has_input(&self) -> bool {
        match self {
            Link::Bare(_) => false,
            Link::Layered(layered) => layered.is_ended || layered.has_plain(),
        }
    }

    /// Says in each layer that nothing more will come.
    pub(crate) fn say_farewell(&mut self) {
        if let Link::Layered(layered) = self {
            layered.say_farewell();
        }
    }

    pub(crate) fn shutdown_write(&self) -> io::Result<()> {
        self.socket().shutdown_write()
    }

    fn socket(&self) -> &Socket {
        match self {
            Link::Bare(socket) => socket,
            Link::Layered(layered) => layered.socket(),
        }
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.socket().as_raw_fd()
    }
}
