//! How a connection begins: the socket, the TLS handshake, the upgrade to WebSocket. Blocks, until the target's time is over.

use std::io::{self, ErrorKind};
use std::time::Instant;

use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use transport::Offer;

use super::Link;
use super::layered::{Layered, WebSocket};
use super::socket::Socket;
use crate::target::Target;
use crate::tls::Tls;

pub(super) fn open(target: &Target, chance: [u8; 16]) -> io::Result<Link> {
    let socket = Socket::connect(target)?;
    if target.tls.is_none() && target.websocket.is_none() {
        socket.set_nonblocking()?;
        return Ok(Link::Bare(socket));
    }
    let deadline = Instant::now() + target.connect_timeout;
    let mut layered = Box::new(Layered::new(socket));
    if let Some(tls) = &target.tls {
        layered.shake_hands(tls, target.host(), deadline)?;
    }
    if let Some(path) = &target.websocket {
        layered.upgrade(&Offer::new(&target.authority(), path, chance), deadline)?;
        let [masks @ .., _, _, _, _, _, _, _, _] = chance;
        layered.begin_frames(WebSocket::new(u64::from_le_bytes(masks)))?;
    }
    layered.socket.set_nonblocking()?;
    Ok(Link::Layered(layered))
}

impl Layered {
    fn shake_hands(&mut self, tls: &Tls, host: &str, deadline: Instant) -> io::Result<()> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let mut connection = ClientConnection::new(tls.config.clone(), name).map_err(io::Error::other)?;
        // `write` bounds what waits here, and a part that is not taken would have to be framed again.
        connection.set_buffer_limit(None);
        self.tls = Some(connection);
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            self.flush_by(deadline)?;
            self.receive_by(deadline)?;
        }
        self.flush_by(deadline)
    }

    /// Leaves the beginning of the stream in `plain`.
    fn upgrade(&mut self, offer: &Offer, deadline: Instant) -> io::Result<()> {
        self.unsent.extend_from_slice(offer.request());
        self.flush_by(deadline)?;
        loop {
            match offer.welcome(&self.plain) {
                Ok(Some(welcome)) => {
                    self.plain.drain(..welcome.size);
                    return Ok(());
                }
                Ok(None) => self.receive_by(deadline)?,
                Err(refused) => return Err(io::Error::new(ErrorKind::InvalidData, refused)),
            }
        }
    }

    /// What came behind the welcome are frames.
    fn begin_frames(&mut self, websocket: WebSocket) -> io::Result<()> {
        self.websocket = Some(websocket);
        let frames = std::mem::take(&mut self.plain);
        self.take_in(&frames)
    }

    fn flush_by(&mut self, deadline: Instant) -> io::Result<()> {
        loop {
            self.socket.set_deadline(deadline)?;
            match self.flush() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome.map_err(in_time),
            }
        }
    }

    fn receive_by(&mut self, deadline: Instant) -> io::Result<()> {
        if self.is_ended {
            return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        loop {
            self.socket.set_deadline(deadline)?;
            match self.receive() {
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
