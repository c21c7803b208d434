//! Messages on their way to one client: those in flight with their QoS state, and the queue behind them.
//!
//! This file keeps the books. Whether a message may be sent now, and sending it, is `delivery.rs`.

use std::collections::VecDeque;

use mqtt::{PacketId, QoS};
use smallvec::SmallVec;

use crate::{Message, session::Delivery};

/// A message with what is particular to this receiver.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub message: Message,
    pub qos: QoS,
    pub retain: bool,
    pub subscription_ids: SmallVec<[u32; 2]>,
}

impl Queued {
    pub fn new(message: Message, delivery: &Delivery<'_>) -> Queued {
        Queued {
            message,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_ids: SmallVec::from_slice(delivery.subscription_ids),
        }
    }

    pub fn delivery(&self) -> Delivery<'_> {
        Delivery { qos: self.qos, retain: self.retain, subscription_ids: &self.subscription_ids }
    }

    /// With no more subscription ids than stand inline.
    pub fn weight_of(message: &Message) -> usize {
        message.weight() + size_of::<Queued>()
    }

    pub fn weight(&self) -> usize {
        let ids_elsewhere = if self.subscription_ids.spilled() { self.subscription_ids.len() * 4 } else { 0 };
        Queued::weight_of(&self.message) + ids_elsewhere
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outbound {
    pub queue: VecDeque<Queued>,
    pub queue_bytes: usize,
    pub inflight: Inflight,
    /// The log has been told of the loss of messages; once is enough until the queue is empty again.
    pub loss_noted: bool,
}

impl Outbound {
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.inflight.is_empty()
    }

    pub fn push(&mut self, queued: Queued) {
        self.queue_bytes += queued.weight();
        self.queue.push_back(queued);
    }

    pub fn pop(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        self.queue_bytes -= queued.weight();
        if self.queue.is_empty() {
            self.loss_noted = false;
        }
        Some(queued)
    }

    /// Drops what waits at QoS 0; gives back how many they were and their weight.
    pub fn drop_qos0(&mut self) -> (u64, usize) {
        let (messages, bytes) = (self.queue.len(), self.queue_bytes);
        self.queue.retain(|queued| queued.qos != QoS::AtMostOnce);
        self.queue_bytes = self.queue.iter().map(Queued::weight).sum();
        ((messages - self.queue.len()) as u64, bytes - self.queue_bytes)
    }

    /// Of everything that waits here for an acknowledgement or to be sent.
    pub fn weight(&self) -> usize {
        self.queue_bytes + self.inflight.weight
    }

    pub fn messages(&self) -> usize {
        self.queue.len() + self.inflight.publishes()
    }
}

/// What has been sent at QoS 1 or 2 and is not acknowledged to the end.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    /// By packet id less one.
    slots: Vec<Option<Entry>>,
    /// Ids that were used and are free; the longest free comes first, so that an id rests before it is used again.
    free: VecDeque<PacketId>,
    /// Counts sends: the order in which an interrupted session sends again. [MQTT-4.6.0-1]
    sent: u64,
    /// Still to be sent again on this connection, in order.
    again: VecDeque<PacketId>,
    /// PUBLISH packets of this connection without their final acknowledgement: what Receive Maximum counts.
    outstanding: u16,
    entries: usize,
    weight: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    /// Counts in `outstanding`.
    on_this_connection: bool,
    state: State,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Sent, and neither PUBACK nor PUBREC has come.
    Published(Queued),
    /// PUBREC came, PUBREL went out; what is left is PUBCOMP. The message itself is not needed any more.
    Released,
}

/// What to send again after a session is resumed.
pub(crate) enum Again {
    Publish(PacketId, Queued),
    Pubrel(PacketId),
}

impl Inflight {
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub fn len(&self) -> usize {
        self.entries
    }

    pub fn outstanding(&self) -> u16 {
        self.outstanding
    }

    pub fn is_resending(&self) -> bool {
        !self.again.is_empty()
    }

    /// Notes a message as sent on this connection and gives it an unused id. [MQTT-2.2.1-4]
    pub fn insert(&mut self, queued: Queued) -> PacketId {
        let id = self.unused_id();
        self.weight += queued.weight();
        self.entries += 1;
        self.outstanding += 1;
        self.sent += 1;
        let entry = Entry { number: self.sent, on_this_connection: true, state: State::Published(queued) };
        let slot = &mut self.slots[index(id)];
        assert!(slot.is_none(), "a free id has no message");
        *slot = Some(entry);
        id
    }

    fn unused_id(&mut self) -> PacketId {
        let rested = self.free.len() > RESTING_IDS || self.slots.len() == usize::from(u16::MAX);
        if rested && let Some(id) = self.free.pop_front() {
            return id;
        }
        self.slots.push(None);
        let id = u16::try_from(self.slots.len()).ok().and_then(PacketId::new);
        id.expect("fewer messages are in flight than there are ids")
    }

    fn entry(&mut self, id: PacketId) -> Option<&mut Entry> {
        self.slots.get_mut(index(id))?.as_mut()
    }

    pub fn state(&self, id: PacketId) -> Option<&State> {
        self.slots.get(index(id))?.as_ref().map(|entry| &entry.state)
    }

    /// PUBREC came: the message is the client's; its weight is given back.
    pub fn release(&mut self, id: PacketId) -> usize {
        let Some(entry) = self.entry(id) else { return 0 };
        match std::mem::replace(&mut entry.state, State::Released) {
            State::Published(queued) => {
                let weight = queued.weight();
                self.weight -= weight;
                weight
            }
            State::Released => 0,
        }
    }

    /// The last acknowledgement came. Gives back the message's weight, if it was still held.
    pub fn remove(&mut self, id: PacketId) -> Option<usize> {
        let entry = self.slots.get_mut(index(id))?.take()?;
        self.entries -= 1;
        if entry.on_this_connection {
            self.outstanding -= 1;
        }
        self.free.push_back(id);
        let weight = match entry.state {
            State::Published(queued) => queued.weight(),
            State::Released => 0,
        };
        self.weight -= weight;
        Some(weight)
    }

    /// A connection has resumed the session: all of it is to be sent again, in the order of the first sending.
    pub fn restart(&mut self) {
        self.outstanding = 0;
        let mut order: Vec<(u64, PacketId)> = Vec::with_capacity(self.entries);
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if let Some(entry) = slot {
                entry.on_this_connection = false;
                let id = u16::try_from(at + 1).ok().and_then(PacketId::new).expect("a slot has an id");
                order.push((entry.number, id));
            }
        }
        order.sort_unstable();
        self.again = order.into_iter().map(|(_, id)| id).collect();
    }

    /// The next to be sent again, skipping what has been acknowledged meanwhile.
    pub fn next_again(&mut self) -> Option<Again> {
        while let Some(&id) = self.again.front() {
            match self.state(id) {
                Some(State::Published(queued)) => return Some(Again::Publish(id, queued.clone())),
                Some(State::Released) => return Some(Again::Pubrel(id)),
                None => self.again.pop_front(),
            };
        }
        None
    }

    /// What `next_again` gave is on its way.
    pub fn sent_again(&mut self) {
        let id = self.again.pop_front().expect("it was the next");
        let entry = self.entry(id).expect("only what is in flight is sent again");
        if matches!(entry.state, State::Published(_)) && !entry.on_this_connection {
            entry.on_this_connection = true;
            self.outstanding += 1;
        }
    }

    /// Messages that the client has not taken over.
    pub fn publishes(&self) -> usize {
        let published = |slot: &&Option<Entry>| {
            slot.as_ref().is_some_and(|entry| matches!(entry.state, State::Published(_)))
        };
        self.slots.iter().filter(published).count()
    }
}

fn index(id: PacketId) -> usize {
    usize::from(id.get()) - 1
}

/// That many ids stay free before one is used again, so that a late acknowledgement finds nothing that it could hit.
const RESTING_IDS: usize = 16;

#[cfg(test)]
mod tests;
