//! Messages on their way to one client: those in flight with their QoS state, and the queue behind them.
//!
//! This file keeps the books. Whether a message may be sent now, and sending it, is `delivery.rs`.

use std::{collections::VecDeque, ops::Range};

use mqtt::{PacketId, QoS};
use smallvec::SmallVec;

use crate::{Message, session::Delivery};

/// A message with what is particular to this receiver.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub message: Message,
    /// Counts the messages of the session at QoS 1 and 2. At QoS 0 it is that of the message before.
    pub number: u64,
    pub qos: QoS,
    pub retain: bool,
    pub subscription_ids: SmallVec<[u32; 2]>,
}

impl Queued {
    pub fn new(message: Message, delivery: &Delivery<'_>) -> Queued {
        Queued {
            message,
            number: 0,
            qos: delivery.qos,
            retain: delivery.retain,
            subscription_ids: SmallVec::from_slice(delivery.subscription_ids),
        }
    }

    pub fn delivery(&self) -> Delivery<'_> {
        Delivery { qos: self.qos, retain: self.retain, subscription_ids: &self.subscription_ids }
    }

    /// Of a message that has its number.
    pub fn packet_id(&self) -> PacketId {
        packet_id(self.number)
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
    /// Of the message at QoS 1 or 2 that came last.
    last_number: u64,
    /// The log has been told of the loss of messages; once is enough until the queue is empty again.
    pub loss_noted: bool,
}

impl Outbound {
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.inflight.is_empty()
    }

    /// Gives a message its place among all that the session gets, sent at once or queued.
    pub fn number(&mut self, queued: &mut Queued) {
        self.last_number += u64::from(queued.qos != QoS::AtMostOnce);
        queued.number = self.last_number;
    }

    /// The next message gets the number after this one.
    pub fn set_last_number(&mut self, number: u64) {
        self.last_number = number;
    }

    /// The number of the last message that was sent, if what waits tells it.
    pub fn sent(&self) -> u64 {
        let waiting = self.queue.iter().find(|queued| queued.qos != QoS::AtMostOnce);
        waiting.map_or(self.last_number, |queued| queued.number - 1)
    }

    /// The message with this number, if the client has not taken it over.
    pub fn find(&self, number: u64) -> Option<&Queued> {
        if let Some(State::Published(queued)) = self.inflight.of_number(number) {
            return Some(queued);
        }
        // A message at QoS 0 has the number of the one before it.
        let at = self.queue.partition_point(|queued| queued.number < number);
        self.queue.get(at).filter(|queued| queued.number == number && queued.qos != QoS::AtMostOnce)
    }

    /// Everything at QoS 1 and 2 that the client has not taken over.
    pub fn kept(&self) -> impl Iterator<Item = &Queued> {
        let inflight = self.inflight.entries.iter().filter_map(|entry| match &entry.state {
            Some(State::Published(queued)) => Some(queued),
            Some(State::Released) | None => None,
        });
        inflight.chain(self.queue.iter().filter(|queued| queued.qos != QoS::AtMostOnce))
    }

    /// Whether the packet id of the message that is sent next is free.
    pub fn has_packet_id(&self) -> bool {
        // No number is given twice, so whatever waits has a lower one than this.
        if self.inflight.has_id_for(self.last_number + 1) {
            return true;
        }
        let next = self.queue.iter().find(|queued| queued.qos != QoS::AtMostOnce);
        next.is_some_and(|next| self.inflight.has_id_for(next.number))
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

/// What has been sent at QoS 1 or 2 and is not acknowledged to the end, in the order of the first sending. [MQTT-4.6.0-1]
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    /// By number. Those that are acknowledged stay among the others until there are too many of them.
    entries: VecDeque<Entry>,
    /// Entries that are not acknowledged to the end.
    len: usize,
    /// Numbers of what an earlier connection left open and that is still to be sent again.
    again: Range<u64>,
    /// PUBLISH packets of this connection without their final acknowledgement: what Receive Maximum counts.
    outstanding: u16,
    weight: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    packet_id: PacketId,
    /// Counts in `outstanding`.
    on_this_connection: bool,
    /// None: the last acknowledgement came.
    state: Option<State>,
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
        self.len == 0
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn outstanding(&self) -> u16 {
        self.outstanding
    }

    pub fn is_resending(&self) -> bool {
        !self.again.is_empty()
    }

    /// Whether the message with this number may be sent: its packet id is free.
    pub fn has_id_for(&self, number: u64) -> bool {
        self.entries.front().is_none_or(|oldest| number - oldest.number < PACKET_IDS)
    }

    /// Notes a message as sent on this connection. The caller has asked whether its id is free. [MQTT-2.2.1-4]
    pub fn insert(&mut self, queued: Queued) {
        let number = queued.number;
        assert!(self.has_id_for(number), "an id in use is not given again");
        assert!(self.entries.back().is_none_or(|last| last.number < number), "messages are sent in order");
        self.weight += queued.weight();
        self.len += 1;
        self.outstanding += 1;
        self.entries.push_back(Entry {
            number,
            packet_id: packet_id(number),
            on_this_connection: true,
            state: Some(State::Published(queued)),
        });
    }

    /// The client took over the message in an earlier life of the broker; PUBCOMP is left.
    pub fn restore_released(&mut self, number: u64) {
        assert!(self.entries.back().is_none_or(|last| last.number < number), "messages come in order");
        self.len += 1;
        self.entries.push_back(Entry {
            number,
            packet_id: packet_id(number),
            on_this_connection: false,
            state: Some(State::Released),
        });
    }

    /// The entry of this id.
    #[inline]
    fn find(&self, id: PacketId) -> Option<usize> {
        let first = self.entries.front()?;
        // Most acknowledgements are for the oldest. Those that are done do not stay in front.
        if first.packet_id == id {
            return Some(0);
        }
        self.find_behind(first, id)
    }

    /// Numbers of all entries are less than a round of ids apart. Without gaps the distance is the place.
    fn find_behind(&self, first: &Entry, id: PacketId) -> Option<usize> {
        let (id, first_id) = (usize::from(id.get()), usize::from(first.packet_id.get()));
        let distance = if id > first_id { id - first_id } else { id + PACKET_IDS as usize - first_id };
        let number = first.number + distance as u64;
        let at = match self.entries.get(distance) {
            Some(entry) if entry.number == number => distance,
            _ => self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?,
        };
        self.entries[at].state.is_some().then_some(at)
    }

    pub fn of_number(&self, number: u64) -> Option<&State> {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries[at].state.as_ref()
    }

    pub fn state(&self, id: PacketId) -> Option<&State> {
        self.find(id).and_then(|at| self.entries[at].state.as_ref())
    }

    /// PUBREC came: the message is the client's, and is given back.
    pub fn release(&mut self, id: PacketId) -> Option<Queued> {
        let at = self.find(id)?;
        match self.entries[at].state.replace(State::Released) {
            Some(State::Published(queued)) => {
                self.weight -= queued.weight();
                Some(queued)
            }
            Some(State::Released) | None => None,
        }
    }

    /// The last acknowledgement came. Gives back the message's number, and the message if it was still held.
    pub fn remove(&mut self, id: PacketId) -> Option<(u64, Option<Queued>)> {
        let at = self.find(id)?;
        let entry = &mut self.entries[at];
        let number = entry.number;
        self.len -= 1;
        if std::mem::take(&mut entry.on_this_connection) {
            self.outstanding -= 1;
        }
        let queued = match entry.state.take() {
            Some(State::Published(queued)) => Some(queued),
            Some(State::Released) | None => None,
        };
        self.weight -= queued.as_ref().map_or(0, Queued::weight);
        self.sweep();
        Some((number, queued))
    }

    /// Lets go of entries that are done: at the front at once, elsewhere when they outnumber the others.
    fn sweep(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.state.is_none()) {
            self.entries.pop_front();
        }
        if self.entries.len() > self.len * 2 + DONE_ALWAYS {
            self.entries.retain(|entry| entry.state.is_some());
        }
    }

    /// A connection has resumed the session: all of it is to be sent again, in the order of the first sending.
    pub fn restart(&mut self) {
        self.outstanding = 0;
        for entry in &mut self.entries {
            entry.on_this_connection = false;
        }
        let ends = self.entries.front().zip(self.entries.back());
        self.again = ends.map_or(0..0, |(first, last)| first.number..last.number + 1);
    }

    /// The next to be sent again, skipping what has been acknowledged meanwhile.
    pub fn next_again(&mut self) -> Option<Again> {
        while !self.again.is_empty() {
            let number = self.again.start;
            let at = self.entries.partition_point(|entry| entry.number < number);
            let Some(entry) = self.entries.get(at) else { break };
            self.again.start = entry.number;
            let id = entry.packet_id;
            match &entry.state {
                Some(State::Published(queued)) => return Some(Again::Publish(id, queued.clone())),
                Some(State::Released) => return Some(Again::Pubrel(id)),
                None => self.again.start += 1,
            }
        }
        self.again = 0..0;
        None
    }

    /// What `next_again` gave is on its way.
    pub fn sent_again(&mut self) {
        let number = self.again.start;
        self.again.start += 1;
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number);
        let entry = &mut self.entries[at.expect("only what is in flight is sent again")];
        if matches!(entry.state, Some(State::Published(_))) && !entry.on_this_connection {
            entry.on_this_connection = true;
            self.outstanding += 1;
        }
    }

    /// Messages that the client has not taken over.
    pub fn publishes(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry.state, Some(State::Published(_)))).count()
    }
}

/// The packet id of a message follows from its number, so that whoever knows the one knows the other; and an id rests for
/// a whole round before it is used again: a late acknowledgement finds nothing that it could hit.
fn packet_id(number: u64) -> PacketId {
    let id = u16::try_from((number - 1) % PACKET_IDS + 1).ok().and_then(PacketId::new);
    id.expect("the remainder is less than the number of ids")
}

/// 1 to 65,535.
const PACKET_IDS: u64 = u16::MAX as u64;

/// So many entries that are done may stay even where none is left that is not.
const DONE_ALWAYS: usize = 16;

#[cfg(test)]
mod tests;
