//! What is gathered for the record of a message while it is on its way through the shard: who gets it, whether it is the
//! retained one of its topic, and what counts only together with it.

use std::sync::Arc;

use mqtt::PacketId;

use super::{
    Store,
    entry::{Receiver, Receivers, SessionId},
};
use crate::Handshake;

/// A record that belongs to the same group as the message.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Companion {
    Received(SessionId, PacketId),
    /// Of a publication of another shard's client.
    Handshake(Handshake),
    /// Of the same, for shared subscriptions only.
    SharedHandshake(Handshake),
    /// Of this session, whose will has this name.
    Will {
        session: SessionId,
        will: SessionId,
    },
    /// Of an earlier life.
    WillAgain {
        will: SessionId,
    },
}

pub(crate) struct Routed {
    receivers: Vec<u8>,
    pub count: u32,
    pub is_retained: bool,
    pub companion: Option<Companion>,
    pub shares: Vec<Arc<str>>,
    /// Other records with receivers of the message belong to the group.
    pub has_parts: bool,
}

impl Routed {
    pub fn receivers(&self) -> Receivers<'_> {
        Receivers { count: self.count, bytes: &self.receivers }
    }

    pub fn into_receivers(self) -> Vec<u8> {
        self.receivers
    }
}

impl Store {
    /// Takes back a receiver of the message that is on its way. False: it is none.
    pub fn remove_receiver(&mut self, session: SessionId, number: u64) -> bool {
        let receivers = Receivers { count: self.receiver_count, bytes: &self.receivers };
        let is_it = |receiver: &Receiver| receiver.session == session && receiver.number == number;
        if !receivers.iter().any(|receiver| is_it(&receiver)) {
            return false;
        }
        let mut left = Vec::with_capacity(self.receivers.len());
        receivers.iter().filter(|receiver| !is_it(receiver)).for_each(|receiver| receiver.encode(&mut left));
        self.receivers = left;
        self.receiver_count -= 1;
        true
    }

    pub fn add_receiver(&mut self, receiver: &Receiver) {
        receiver.encode(&mut self.receivers);
        self.receiver_count += 1;
        self.needed = self.number;
    }

    /// One record has enough receivers.
    #[inline]
    pub fn is_crowded(&self, payload_bytes: usize) -> bool {
        self.receivers.len() >= RECEIVERS_BYTES_MIN
            && self.receivers.len() >= (4 * payload_bytes).min(RECEIVERS_BYTES_MAX)
    }

    /// The receivers so far, and the retained messages, for a record of their own.
    pub fn take_part(&mut self) -> Routed {
        self.has_parts = true;
        Routed {
            receivers: std::mem::take(&mut self.receivers),
            count: std::mem::take(&mut self.receiver_count),
            is_retained: std::mem::take(&mut self.is_retained),
            companion: None,
            shares: Vec::new(),
            has_parts: true,
        }
    }

    pub fn set_retained(&mut self) {
        self.is_retained = true;
    }

    pub fn set_companion(&mut self, companion: Companion) {
        self.companion = Some(companion);
    }

    /// A shared subscription has taken the message.
    pub fn add_share(&mut self, name: &Arc<str>) {
        self.shares.push(name.clone());
    }

    /// What was gathered for the message: its receivers, whether it is a retained one, what goes with it.
    pub fn take_routed(&mut self) -> Routed {
        let has_parts = self.has_parts;
        let part = self.take_part();
        self.has_parts = false;
        Routed {
            companion: self.companion.take(),
            shares: std::mem::take(&mut self.shares),
            has_parts,
            ..part
        }
    }

    /// Gives back the room that the receivers took.
    pub fn put_back(&mut self, mut receivers: Vec<u8>) {
        receivers.clear();
        self.receivers = receivers;
    }
}

/// A message for a crowd is stored in parts: who reads it back for one of the crowd reads the names of all others of its
/// part, and whoever has got so many names can afford the message once more.
const RECEIVERS_BYTES_MIN: usize = 16 << 10;

/// So that each record fits a segment.
const RECEIVERS_BYTES_MAX: usize = 256 << 10;
