//! TLS and WebSocket around a socket: what they still have to send, and what came out of them. How they begin is in
//! `opening.rs`.

use std::io::{self, ErrorKind, Read, Write};

use rustls::ClientConnection;
use transport::{Close, CloseCode, Side};

use super::socket::Socket;

#[derive(Debug)]
pub(crate) struct Layered {
    pub(super) socket: Socket,
    pub(super) tls: Option<ClientConnection>,
    pub(super) websocket: Option<WebSocket>,
    /// What came out of the layers. The user has taken some of it.
    pub(super) plain: Vec<u8>,
    taken: usize,
    /// Bytes for the layer below WebSocket. A socket has taken some of it; TLS takes all.
    pub(super) unsent: Vec<u8>,
    sent: usize,
    /// Nothing more will come.
    pub(super) is_ended: bool,
    scratch: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct WebSocket {
    socket: transport::Socket,
    masks: u64,
}

impl Layered {
    pub(super) fn new(socket: Socket) -> Layered {
        Layered {
            socket,
            tls: None,
            websocket: None,
            plain: Vec::new(),
            taken: 0,
            unsent: Vec::new(),
            sent: 0,
            is_ended: false,
            scratch: vec![0; SCRATCH_BYTES],
        }
    }

    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.has_plain() {
            if self.is_ended {
                return Ok(0);
            }
            self.receive()?;
        }
        let rest = &self.plain[self.taken..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.taken += len;
        if self.taken == self.plain.len() {
            self.plain.clear();
            self.taken = 0;
        }
        Ok(len)
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush()?;
        let bytes = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        match &mut self.websocket {
            Some(websocket) => {
                let key = websocket.key();
                transport::Socket::put_masked(bytes, key, &mut self.unsent);
            }
            None => self.unsent.extend_from_slice(bytes),
        }
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(bytes.len()),
        }
    }

    /// `WouldBlock`: some of it is still unsent.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else { return self.flush_bare() };
        tls.writer().write_all(&self.unsent)?;
        self.unsent.clear();
        while tls.wants_write() {
            tls.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    fn flush_bare(&mut self) -> io::Result<()> {
        while self.sent < self.unsent.len() {
            self.sent += self.socket.write(&self.unsent[self.sent..])?;
        }
        self.unsent.clear();
        self.sent = 0;
        Ok(())
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    pub(super) fn has_plain(&self) -> bool {
        self.taken < self.plain.len()
    }

    pub(super) fn say_farewell(&mut self) {
        if self.websocket.is_some() && !self.is_ended {
            transport::Socket::put_close(Side::Client, CloseCode::NORMAL, "", &mut self.unsent);
        }
        // What does not fit now is sent with the rest.
        _ = self.flush();
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            _ = self.flush();
        }
    }

    /// Reads once from the socket, through all layers.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        if self.tls.is_some() {
            return self.receive_tls();
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let outcome = self.socket.read(&mut scratch).and_then(|len| {
            self.is_ended |= len == 0;
            self.take_in(&scratch[..len])
        });
        self.scratch = scratch;
        outcome
    }

    fn receive_tls(&mut self) -> io::Result<()> {
        let tls = self.tls.as_mut().expect("the caller has looked");
        self.is_ended |= tls.read_tls(&mut self.socket)? == 0;
        let state = match tls.process_new_packets() {
            Ok(state) => state,
            Err(error) => {
                // The alert that says so.
                _ = tls.write_tls(&mut self.socket);
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        };
        self.is_ended |= state.peer_has_closed();
        let mut decrypted = vec![0; state.plaintext_bytes_to_read()];
        tls.reader().read_exact(&mut decrypted)?;
        self.take_in(&decrypted)?;
        // Updates of keys are answered.
        self.flush_if_possible()
    }

    /// Takes bytes that are free of TLS.
    pub(super) fn take_in(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(websocket) = &mut self.websocket else {
            self.plain.extend_from_slice(bytes);
            return Ok(());
        };
        let outcome = websocket.socket.receive(bytes, &mut self.plain, &mut self.unsent);
        self.is_ended |= outcome.is_err();
        self.flush_if_possible()?;
        match outcome {
            Err(close @ Close::Violation { .. }) => Err(io::Error::new(ErrorKind::InvalidData, close)),
            _ => Ok(()),
        }
    }

    fn flush_if_possible(&mut self) -> io::Result<()> {
        if !self.has_unsent() {
            return Ok(());
        }
        match self.flush() {
            // What has arrived before the peer closed is still to be read.
            Err(error) if error.kind() != ErrorKind::WouldBlock && !self.is_ended => Err(error),
            _ => Ok(()),
        }
    }
}

impl WebSocket {
    pub(super) fn new(masks: u64) -> WebSocket {
        WebSocket { socket: transport::Socket::new(Side::Client), masks }
    }

    /// A key that whoever chose the payload does not know (splitmix64).
    fn key(&mut self) -> [u8; 4] {
        self.masks = self.masks.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.masks;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) as u32).to_le_bytes()
    }
}

const SCRATCH_BYTES: usize = 16 * 1024;
// What one write hands to the layers, which keep what the socket does not take.
const WRITE_BYTES_MAX: usize = 64 * 1024;
