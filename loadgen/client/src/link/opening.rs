//! How a connection begins: the socket, the TLS handshake, the upgrade to WebSocket. Blocks, until the target's time is over.

use std::io::{self, ErrorKind};
use std::time::Instant;

use super::Link;
use super::layered::Layered;
use super::socket::Socket;
use crate::layers::Layers;
use crate::target::Target;

pub(super) fn open(target: &Target, chance: [u8; 16]) -> io::Result<Link> {
    let socket = Socket::connect(target)?;
    let Some(layers) = Layers::new(target, chance)? else {
        socket.set_nonblocking()?;
        return Ok(Link::Bare(socket));
    };
    let deadline = Instant::now() + target.connect_timeout;
    let mut layered = Box::new(Layered::new(socket, layers));
    layered.by(deadline, Layered::flush)?;
    while !layered.layers.is_open() {
        if layered.is_ended {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        layered.by(deadline, Layered::receive)?;
    }
    // The last words of a handshake.
    layered.by(deadline, Layered::flush)?;
    layered.socket.set_nonblocking()?;
    Ok(Link::Layered(layered))
}

impl Layered {
    fn by(&mut self, deadline: Instant, step: fn(&mut Layered) -> io::Result<()>) -> io::Result<()> {
        loop {
            self.socket.set_deadline(deadline)?;
            match step(self) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome.map_err(in_time),
            }
        }
    }
}

/// A socket whose time is over says that it would block.
fn in_time(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::WouldBlock { ErrorKind::TimedOut.into() } else { error }
}
