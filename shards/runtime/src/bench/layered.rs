//! The layers of one connection, with a client's TLS at their other end. The handshakes are done when it is made.

use std::{io::Write, net::SocketAddr, sync::Arc};

use rustls::{ClientConfig, ClientConnection, ServerConfig};
use shard::Spare;

use crate::{
    Door, Place,
    layers::{At, Layers, Scratch},
};

pub struct Layered {
    layers: Layers,
    door: Door,
    scratch: Scratch,
    client: ClientConnection,
    /// What the client has sent, as it comes from the socket.
    received: Vec<u8>,
    /// Of the shard.
    spare: Spare,
}

impl Layered {
    pub fn new(server: Arc<ServerConfig>, client: Arc<ClientConfig>) -> Layered {
        let place = Place::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
        let door = Door { tls: Some(server), ..Door::plain(place) };
        let name = "localhost".try_into().expect("it is a name");
        let client = ClientConnection::new(client, name).expect("a good configuration");
        let layers = Layers::new(At { door: &door, peer: None }).expect("no proxy is asked for");
        let (scratch, spare) = (Scratch::default(), Spare::default());
        let mut layered = Layered { layers, door, scratch, client, received: Vec::new(), spare };
        while layered.client.is_handshaking() {
            layered.receive(&[]);
            layered.answer();
        }
        layered.receive(&[]);
        layered
    }

    /// The client sends these bytes, and they come out of the layers. Says how many did.
    pub fn receive(&mut self, bytes: &[u8]) -> usize {
        self.received.clear();
        self.client.writer().write_all(bytes).expect("memory takes everything");
        while self.client.wants_write() {
            self.client.write_tls(&mut self.received).expect("memory takes everything");
        }
        self.scratch.plain.clear();
        let at = At { door: &self.door, peer: None };
        self.layers
            .receive(&mut self.received, at, &mut self.scratch)
            .expect("the client says nothing wrong");
        self.scratch.plain.len()
    }

    /// The shard sends these bytes, and the socket takes them. Says how many came out of the layers.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        let mut outgoing = self.spare.outgoing();
        outgoing.bytes.extend_from_slice(bytes);
        self.layers.send(outgoing, &mut self.scratch).expect("the layers stand");
        let output = self.layers.output.take().expect("something was said");
        let taken = output.len();
        self.scratch.spare.recycle(output);
        self.spare.recycle(self.layers.of_shard.take().expect("it goes back"));
        taken
    }

    fn answer(&mut self) {
        let Some(output) = self.layers.output.take() else { return };
        let mut rest = output.bytes.as_slice();
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).expect("memory gives everything");
            self.client.process_new_packets().expect("the broker says nothing wrong");
        }
    }
}
