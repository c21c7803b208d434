//! The layers of one connection, driven by hand as a port drives them. No interface of the runtime: it exists for tests, and with the
//! feature `fuzz` for a fuzz target.

use std::net::{IpAddr, Ipv4Addr};

use shard::Outgoing;

use crate::{
    Door,
    layers::{At, Layers, Scratch},
};

pub struct Stack {
    door: Door,
    layers: Layers,
    scratch: Scratch,
    /// What has come out as MQTT.
    pub plain: Vec<u8>,
    /// There was a refusal, now or earlier.
    pub is_over: bool,
}

impl Stack {
    /// A connection from this machine.
    pub fn new(door: Door) -> Stack {
        let layers = Layers::new(At { door: &door, peer: Some(PEER) }).expect("this machine is trusted");
        Stack { layers, door, scratch: Scratch::default(), plain: Vec::new(), is_over: false }
    }

    /// Takes bytes behind a refusal as well, which a port does not: nothing may come of it.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.scratch.plain.clear();
        let at = At { door: &self.door, peer: Some(PEER) };
        let result = self.layers.receive(&mut bytes.to_vec(), at, &mut self.scratch);
        if result.is_ok() && !self.is_over {
            self.plain.extend_from_slice(&self.scratch.plain);
        }
        self.is_over |= result.is_err();
    }

    /// The shard says something, if it may by now.
    pub fn say(&mut self, bytes: &[u8]) {
        if self.is_established() {
            let outgoing = Box::new(Outgoing::of_bytes(bytes.to_vec()));
            let _ = self.layers.send(outgoing, &mut self.scratch);
            self.layers.of_shard = None;
        }
    }

    pub fn is_established(&self) -> bool {
        self.layers.is_established()
    }

    /// The shard has had what came, and the peer had left behind that. Says whether it had.
    pub fn leave(&mut self) -> bool {
        let has_left = self.layers.leave(&mut self.scratch).is_some();
        self.is_over |= has_left;
        has_left
    }

    pub fn finish(&mut self) {
        self.layers.finish(&mut self.scratch);
    }

    /// What goes to the peer.
    pub fn output(&mut self) -> Vec<u8> {
        self.layers.output.take().map(|output| output.bytes).unwrap_or_default()
    }

    /// Where a proxy says that the client is.
    pub fn source(&self) -> Option<IpAddr> {
        self.layers.source.map(|source| source.ip())
    }

    pub fn bytes_held(&self) -> usize {
        self.layers.bytes_held()
    }
}

/// More than a handshake message, a request and what may wait to be sent take together.
pub const HELD_BYTES_MAX: usize = 256 << 10;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
