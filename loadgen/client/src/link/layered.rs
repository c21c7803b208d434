//! A socket with layers around it: what they still have to send, and what came out of them. How they begin is in
//! `opening.rs`.

use std::io::{self, ErrorKind, Read, Write};

use super::socket::Socket;
use crate::layers::Layers;

#[derive(Debug)]
pub(crate) struct Layered {
    pub(super) socket: Socket,
    pub(super) layers: Layers,
    /// What came out of the layers. The user has taken some of it.
    plain: Vec<u8>,
    taken: usize,
    /// As much of the layers' output as the socket has taken.
    sent: usize,
    /// Nothing more will come.
    pub(super) is_ended: bool,
    scratch: Vec<u8>,
}

impl Layered {
    pub(super) fn new(socket: Socket, layers: Layers) -> Layered {
        Layered {
            socket,
            layers,
            plain: Vec::new(),
            taken: 0,
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
        self.layers.send(bytes)?;
        match self.flush() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(bytes.len()),
        }
    }

    /// `WouldBlock`: some of it is still unsent.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while self.has_unsent() {
            self.sent += self.socket.write(&self.layers.output[self.sent..])?;
        }
        self.layers.output.clear();
        self.sent = 0;
        Ok(())
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.layers.output.len()
    }

    pub(super) fn has_plain(&self) -> bool {
        self.taken < self.plain.len()
    }

    pub(super) fn say_farewell(&mut self) {
        self.layers.say_farewell();
        // What does not fit now is sent with the rest.
        _ = self.flush();
    }

    /// Reads once from the socket, through all layers.
    pub(super) fn receive(&mut self) -> io::Result<()> {
        let len = self.socket.read(&mut self.scratch)?;
        let outcome = self.layers.receive(&self.scratch[..len], &mut self.plain);
        self.is_ended |= len == 0 || self.layers.is_ended();
        let flushed = self.flush();
        outcome?;
        match flushed {
            // What has arrived before the peer closed is still to be read.
            Err(error) if error.kind() != ErrorKind::WouldBlock && !self.is_ended => Err(error),
            _ => Ok(()),
        }
    }
}

const SCRATCH_BYTES: usize = 16 * 1024;
// What one write hands to the layers, which keep what the socket does not take.
const WRITE_BYTES_MAX: usize = 64 * 1024;
