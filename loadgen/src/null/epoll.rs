//! The relay on epoll: recv what is ready, send what became of it, once per connection and round.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::relay::Relay;
use crate::epoll::Epoll;

pub fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut server = Server {
        epoll: Epoll::new()?,
        relay: Relay::default(),
        streams: Vec::new(),
        buffer: vec![0; READ_BYTES],
    };
    server.epoll.add(&listener, LISTENER)?;
    let mut tokens = Vec::new();
    loop {
        server.epoll.wait(FOR_EVER, &mut tokens)?;
        for token in tokens.drain(..) {
            if token == LISTENER {
                server.accept(&listener)?;
            } else {
                server.serve_one(token as usize);
            }
        }
        server.flush();
    }
}

struct Server {
    epoll: Epoll,
    relay: Relay,
    streams: Vec<Option<TcpStream>>,
    buffer: Vec<u8>,
}

impl Server {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            let free = self.streams.iter().position(Option::is_none);
            let peer = free.unwrap_or(self.streams.len());
            if free.is_none() {
                self.streams.push(None);
            }
            self.epoll.add(&stream, peer as u64)?;
            self.streams[peer] = Some(stream);
            self.relay.open(peer);
        }
    }

    fn serve_one(&mut self, peer: usize) {
        // A full socket may take bytes again.
        if !self.relay.peers[peer].out.is_empty() {
            self.write(peer);
        }
        while let Some(stream) = &mut self.streams[peer] {
            match stream.read(&mut self.buffer) {
                Ok(len) if len > 0 => {
                    if let Err(reason) = self.relay.receive(peer, &self.buffer[..len]) {
                        eprintln!("loadgen null: {reason}");
                        self.close(peer);
                    } else if len < self.buffer.len() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.close(peer),
            }
        }
    }

    fn flush(&mut self) {
        while let Some(peer) = self.relay.next_dirty() {
            self.write(peer);
        }
    }

    /// What the socket does not take waits for its next edge.
    fn write(&mut self, peer: usize) {
        let (Some(stream), out) = (&mut self.streams[peer], &mut self.relay.peers[peer].out) else { return };
        match stream.write(out) {
            Ok(len) if len == out.len() => out.clear(),
            Ok(len) => drop(out.drain(..len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.close(peer),
        }
    }

    fn close(&mut self, peer: usize) {
        self.streams[peer] = None;
        self.relay.close(peer);
    }
}

const LISTENER: u64 = u64::MAX;
const READ_BYTES: usize = 256 * 1024;
const FOR_EVER: Duration = Duration::from_secs(86_400);
