//! TLS and WebSocket between a connection of the load generator and its socket. Whether anything blocks is the socket's affair.

use std::io::{self, Read, Write};

use client::Layers;
use socket2::Socket;

use crate::destination::Destination;

pub struct Layered {
    layers: Layers,
    /// As much of their output as the socket has taken.
    sent: usize,
    /// What came out of them, and is taken from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    /// The last read of the socket may have left something.
    has_more: bool,
}

impl Layered {
    /// What is between the socket and MQTT on a connection of this client; None where nothing is.
    pub fn of(destination: &Destination, client_id: &str) -> Result<Option<Box<Layered>>, String> {
        let layers =
            Layers::new(&destination.target, chance(client_id)).map_err(|error| error.to_string())?;
        let layered = |layers| Layered { layers, sent: 0, plain: Vec::new(), taken: 0, has_more: false };
        Ok(layers.map(|layers| Box::new(layered(layers))))
    }

    /// MQTT can go through.
    pub fn is_open(&self) -> bool {
        self.layers.is_open()
    }

    /// Whether TLS has gone on with a session of before; None without TLS.
    pub fn is_resumed(&self) -> Option<bool> {
        self.layers.is_resumed()
    }

    /// Nothing is left that has arrived, here or in the socket.
    pub fn is_emptied(&self) -> bool {
        !self.has_more && self.taken == self.plain.len()
    }

    /// Sealed, and not taken by the socket.
    pub fn unsent(&self) -> usize {
        self.layers.output.len() - self.sent
    }

    /// Puts bytes of MQTT through the layers. They go out with `write`.
    pub fn seal(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.layers.send(bytes)
    }

    /// Says in each layer that nothing more will come.
    pub fn say_farewell(&mut self) {
        self.layers.say_farewell();
    }

    /// Gives the socket what is sealed.
    pub fn write(&mut self, mut socket: &Socket) -> io::Result<()> {
        while self.unsent() > 0 {
            match socket.write(&self.layers.output[self.sent..]) {
                Ok(len) => self.sent += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.layers.output.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads from the socket until something comes out of the layers, and fills the buffer with it. 0: nothing more will come.
    pub fn read(&mut self, socket: &Socket, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.plain.len() {
            if self.layers.is_ended() || !self.fill(socket, buffer)? {
                return Ok(0);
            }
        }
        let rest = &self.plain[self.taken..];
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.taken += len;
        Ok(len)
    }

    /// The next byte, when it is there.
    pub fn read_byte(&mut self, socket: &Socket) -> io::Result<u8> {
        let mut space = [0; SPACE_BYTES];
        while self.taken == self.plain.len() {
            if self.layers.is_ended() || !self.fill(socket, &mut space)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.taken += 1;
        Ok(self.plain[self.taken - 1])
    }

    /// Waits until the layers are open.
    pub fn open(&mut self, socket: &Socket) -> io::Result<()> {
        let mut space = [0; SPACE_BYTES];
        self.write(socket)?;
        while !self.is_open() {
            if !self.fill(socket, &mut space)? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.write(socket)?;
        }
        Ok(())
    }

    /// Reads once from the socket, by way of `space`. False: it has ended.
    fn fill(&mut self, mut socket: &Socket, space: &mut [u8]) -> io::Result<bool> {
        if self.taken == self.plain.len() {
            self.plain.clear();
            self.taken = 0;
        }
        let len = match socket.read(space) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            outcome => outcome?,
        };
        self.has_more = len == space.len();
        let received = self.layers.receive(&space[..len], &mut self.plain);
        if received.is_err() {
            // The alert that says why.
            _ = self.write(socket);
        }
        received.map(|()| len > 0)
    }
}

/// Different for each client id (FNV-1a, twice), which is as much as a run needs: nobody here guards against its own broker.
fn chance(client_id: &str) -> [u8; 16] {
    let hash = |start: u64| {
        client_id.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3))
    };
    let (first, second) = (hash(0xCBF2_9CE4_8422_2325), hash(0x9E37_79B9_7F4A_7C15));
    (u128::from(first) << 64 | u128::from(second)).to_le_bytes()
}

const SPACE_BYTES: usize = 4096;
