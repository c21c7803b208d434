//! A simulated client that keeps the rules: what it knows, and what it makes of the broker's packets. What it decides to
//! do is chosen in `actor.rs`; the packets that it writes are made in `client/speak.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt::{Connack, Packet, PacketKind, QoS, Version};

use crate::{
    ledger::{Ledger, Oracle},
    said::{Identity, PublicationId, Said},
};

mod speak;
#[cfg(test)]
mod tests;

pub use speak::ConnectPlan;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Offline,
    /// CONNECT is sent.
    Connecting,
    Online,
}

pub struct Client {
    pub index: usize,
    pub client_id: String,
    pub version: Version,
    pub socket: Option<usize>,
    pub phase: Phase,
    /// The session that it believes to share with the broker.
    session: Option<usize>,
    packet_id: u16,
    /// Messages of its own that are not acknowledged to the end, in order.
    pub outbound: Vec<Outbound>,
    /// SUBSCRIBE and UNSUBSCRIBE without an answer.
    pub requests: BTreeSet<u16>,
    /// Messages that were sent on this connection ahead of its CONNACK.
    pub ahead: BTreeSet<u16>,
    /// QoS 2 messages of the broker that are not released.
    inbound: BTreeSet<u16>,
    /// Acknowledgements that it owes, in the order of the messages.
    pub acks: VecDeque<(PacketKind, u16)>,
    input: Vec<u8>,
    aliases: BTreeMap<String, u16>,
    pub server: Server,
    pub keep_alive_s: u16,
    pub session_expiry_s: u32,
    pub has_will: bool,
    /// It says nothing more, and is to lose its connection for it.
    pub is_silent: bool,
    pub acks_are_slow: bool,
    pub acks_due: bool,
    /// What it has subscribed to at some time, to unsubscribe from.
    pub filters: Vec<String>,
    /// Written and not yet given to the socket.
    pub out: Vec<(Vec<u8>, Said)>,
    /// The connection is to be closed from this side.
    pub wants_close: bool,
    /// It does not know any more which session it shares with the broker, and begins a clean one.
    pub must_clean: bool,
    /// Its CONNECT says so: CONNACK ends the doubt. One of an earlier life of the broker, still on its way, does not.
    cleans: bool,
}

/// What the broker said of itself in CONNACK.
#[derive(Debug, Clone, Copy)]
pub struct Server {
    pub receive_maximum: u16,
    pub topic_alias_maximum: u16,
}

#[derive(Debug, Clone)]
pub struct Outbound {
    pub packet_id: u16,
    pub id: PublicationId,
    /// PUBREC has come.
    pub is_released: bool,
}

impl Client {
    pub fn new(index: usize, client_id: String, version: Version) -> Client {
        Client {
            index,
            client_id,
            version,
            socket: None,
            phase: Phase::Offline,
            session: None,
            packet_id: 0,
            outbound: Vec::new(),
            requests: BTreeSet::new(),
            ahead: BTreeSet::new(),
            inbound: BTreeSet::new(),
            acks: VecDeque::new(),
            input: Vec::new(),
            aliases: BTreeMap::new(),
            server: Server { receive_maximum: u16::MAX, topic_alias_maximum: 0 },
            keep_alive_s: 0,
            session_expiry_s: 0,
            has_will: false,
            is_silent: false,
            acks_are_slow: false,
            acks_due: false,
            filters: Vec::new(),
            out: Vec::new(),
            wants_close: false,
            must_clean: false,
            cleans: false,
        }
    }

    /// The connection is gone, or left to its fate.
    pub fn leave(&mut self) {
        self.socket = None;
        self.phase = Phase::Offline;
        self.acks.clear();
        self.requests.clear();
        self.ahead.clear();
        self.input.clear();
        self.aliases.clear();
        self.out.clear();
        self.is_silent = false;
        self.wants_close = false;
    }

    /// A crash has left nobody who can tell which session it has.
    pub fn begin_anew(&mut self) {
        self.must_clean = true;
        self.cleans = false;
    }

    pub fn is_waiting(&self) -> bool {
        self.phase == Phase::Connecting
            || !self.requests.is_empty()
            || !self.outbound.is_empty()
            || !self.acks.is_empty()
    }

    /// Bytes from the broker, cut anywhere.
    pub fn receive(&mut self, bytes: &[u8], ledger: &mut Ledger) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = &input[..];
        while let Some(socket) = self.socket.filter(|_| !self.wants_close) {
            let frame = match mqtt::split(rest, mqtt::MAX_PACKET_SIZE) {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(violation) => {
                    ledger.fail(Oracle::Undecodable, format!("client {}: {violation}", self.index));
                    return;
                }
            };
            rest = &rest[frame.size..];
            match mqtt::decode(&frame, self.version) {
                Ok(packet) => self.on_packet(socket, &packet, ledger),
                Err(violation) => {
                    let what = format!("client {}: {:?} {violation}", self.index, frame.kind);
                    ledger.fail(Oracle::Undecodable, what);
                }
            }
        }
        self.input = rest.to_vec();
    }

    fn on_packet(&mut self, socket: usize, packet: &Packet<'_>, ledger: &mut Ledger) {
        match packet {
            Packet::Connack(connack) => self.on_connack(socket, connack, ledger),
            Packet::Publish(publish) => {
                let identity = Identity::of(publish.payload);
                let packet_id = publish.packet_id.map(|id| id.get());
                let is_new = match (publish.qos, packet_id) {
                    (QoS::ExactlyOnce, Some(id)) => self.inbound.insert(id),
                    _ => true,
                };
                if is_new {
                    ledger.on_received(socket, identity, publish);
                }
                match (publish.qos, packet_id) {
                    (QoS::AtLeastOnce, Some(id)) => self.acks.push_back((PacketKind::Puback, id)),
                    (QoS::ExactlyOnce, Some(id)) => self.acks.push_back((PacketKind::Pubrec, id)),
                    _ => {}
                }
            }
            Packet::Puback(ack) => {
                self.on_ack(PacketKind::Puback, ack.packet_id.get(), ack.reason.is_error(), ledger)
            }
            Packet::Pubrec(ack) => {
                self.on_ack(PacketKind::Pubrec, ack.packet_id.get(), ack.reason.is_error(), ledger)
            }
            Packet::Pubcomp(ack) => self.on_ack(PacketKind::Pubcomp, ack.packet_id.get(), false, ledger),
            Packet::Pubrel(ack) => {
                self.inbound.remove(&ack.packet_id.get());
                self.acks.push_back((PacketKind::Pubcomp, ack.packet_id.get()));
            }
            Packet::Suback(suback) => self.on_answer(suback.packet_id.get(), ledger),
            Packet::Unsuback(unsuback) => self.on_answer(unsuback.packet_id.get(), ledger),
            Packet::Disconnect(_) => self.wants_close = true,
            _ => {}
        }
    }

    fn on_connack(&mut self, socket: usize, connack: &Connack<'_>, ledger: &mut Ledger) {
        if connack.reason.is_error() {
            self.wants_close = true;
            return;
        }
        self.phase = Phase::Online;
        self.must_clean &= !self.cleans;
        if let Some(assigned) = connack.properties.assigned_client_id {
            self.client_id = assigned.to_owned();
        }
        self.server = Server {
            receive_maximum: connack.properties.receive_maximum.unwrap_or(u16::MAX),
            topic_alias_maximum: connack.properties.topic_alias_maximum.unwrap_or(0),
        };
        // A client cannot see that the session is a new one of the same name; the simulation can, and helps it, because
        // what would follow is a fault of the protocol and not of the broker.
        let session = ledger.session_of(socket);
        let is_absent = !connack.session_present && self.version != Version::V31;
        if session != self.session || is_absent {
            self.session = session;
            self.inbound.clear();
            // What was sent ahead of CONNACK belongs to the new session.
            let ahead: Vec<u16> = self.sent_ahead();
            self.outbound.retain(|outbound| ahead.contains(&outbound.packet_id));
        } else {
            self.send_again(ledger);
        }
    }

    fn on_ack(&mut self, kind: PacketKind, packet_id: u16, is_error: bool, ledger: &mut Ledger) {
        let Some(at) = self.outbound.iter().position(|outbound| outbound.packet_id == packet_id) else {
            let what = format!("client {}: {kind:?} {packet_id} acknowledges nothing", self.index);
            return ledger.fail(Oracle::Protocol, what);
        };
        match kind {
            PacketKind::Pubrec if !is_error => {
                self.outbound[at].is_released = true;
                self.acks.push_back((PacketKind::Pubrel, packet_id));
            }
            _ => {
                self.outbound.remove(at);
            }
        }
    }

    fn on_answer(&mut self, packet_id: u16, ledger: &mut Ledger) {
        if !self.requests.remove(&packet_id) {
            let what = format!("client {}: an answer to request {packet_id} that was not made", self.index);
            ledger.fail(Oracle::Protocol, what);
        }
    }

    /// Writes up to `n` of the acknowledgements that are owed.
    pub fn acknowledge(&mut self, n: usize) {
        for _ in 0..n.min(self.acks.len()) {
            if let Some((kind, packet_id)) = self.acks.pop_front() {
                self.say_ack(kind, packet_id);
            }
        }
    }
}
