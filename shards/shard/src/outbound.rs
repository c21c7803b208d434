//! Messages on their way to one client: those in flight with their QoS state, and the queue behind them.
//!
//! This file keeps the books. Whether a message may be sent now, and sending it, is `delivery.rs`.

mod inflight;
mod queue;
mod sieve;

use mqtt::{PacketId, QoS};
use smallvec::SmallVec;

use crate::{Instant, Message, session::Delivery, store::bodies::BodyId};
pub(crate) use inflight::{Again, Inflight, State, Taken};
use queue::PLACE_BYTES;
pub(crate) use queue::{Away, Expired, First, Popped, Queue};

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
        Delivery { qos: self.qos, retain: self.retain, subscription_ids: &self.subscription_ids, topic: None }
    }

    /// Of a message that has its number.
    pub fn packet_id(&self) -> PacketId {
        packet_id(self.number)
    }

    /// With no more subscription ids than stand inline.
    fn weight_of(message: &Message) -> usize {
        message.weight() + size_of::<Queued>()
    }

    /// As above.
    pub fn load_of(message: &Message) -> Load {
        Load { weight: Queued::weight_of(message), waiting_bytes: message.bytes() + PLACE_BYTES }
    }

    pub fn load(&self) -> Load {
        Load { weight: self.weight(), waiting_bytes: self.message.bytes() + PLACE_BYTES }
    }

    pub fn weight(&self) -> usize {
        let ids_elsewhere = if self.subscription_ids.spilled() { self.subscription_ids.len() * 4 } else { 0 };
        Queued::weight_of(&self.message) + ids_elsewhere
    }
}

/// What a message takes of a queue that it is to wait in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    /// In memory.
    pub weight: usize,
    /// As [`Queue::waiting_bytes`] counts it.
    pub waiting_bytes: usize,
}

impl Load {
    /// With a payload that is larger by so much.
    pub fn and(self, payload_bytes: usize) -> Load {
        let Load { weight, waiting_bytes } = self;
        Load {
            weight: weight.saturating_add(payload_bytes),
            waiting_bytes: waiting_bytes.saturating_add(payload_bytes),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Outbound {
    pub queue: Queue,
    pub inflight: Inflight,
    /// Of the message at QoS 1 or 2 that came last.
    last_number: u64,
    /// Messages up to this number may have been sent in an earlier life of the broker.
    maybe_sent: u64,
    /// How many messages are on their way back from the store.
    pub fetching: usize,
    /// It is noted that messages wait to be stored before they leave the memory.
    pub is_spilling: bool,
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

    /// The number of the last message that was sent, or may have been, as far as what waits tells it.
    pub fn sent(&self) -> u64 {
        self.queue.first_number().map_or(self.last_number, |first| first - 1).max(self.maybe_sent)
    }

    pub fn set_maybe_sent(&mut self, number: u64) {
        self.maybe_sent = number;
    }

    /// [MQTT-3.3.1-1] Nobody knows whether the client has got it before.
    pub fn is_maybe_sent(&self, queued: &Queued) -> bool {
        queued.qos != QoS::AtMostOnce && queued.number <= self.maybe_sent
    }

    /// Under which the store knows the message with this number, if the client has not taken it over.
    pub fn body(&self, number: u64) -> Option<BodyId> {
        self.inflight.body(number).or_else(|| self.queue.body(number))
    }

    /// Everything at QoS 1 and 2 that the client has not taken over: under which the store knows it, and how long it is.
    pub fn bodies(&self) -> impl Iterator<Item = (BodyId, usize)> {
        self.inflight.bodies().chain(self.queue.bodies())
    }

    /// The messages that the store alone has.
    pub fn elsewhere(&self) -> impl Iterator<Item = BodyId> {
        self.inflight.elsewhere().chain(self.queue.elsewhere())
    }

    /// Whether the packet id of the message that is sent next is free.
    pub fn has_packet_id(&self) -> bool {
        // No number is given twice, so whatever waits has a lower one than this.
        self.inflight.has_id_for(self.last_number + 1)
            || self.queue.first_number().is_some_and(|number| self.inflight.has_id_for(number))
    }

    pub fn pop(&mut self) -> Option<Popped> {
        let popped = self.queue.pop()?;
        self.note_room();
        Some(popped)
    }

    pub fn drop_expired(&mut self, now: Instant, looks_max: usize) -> Expired {
        let expired = self.queue.drop_expired(now, looks_max);
        self.note_room();
        expired
    }

    fn note_room(&mut self) {
        if self.queue.is_empty() {
            self.loss_noted = false;
        }
    }

    /// The message with this number, if the store alone has it.
    pub fn away(&self, number: u64) -> Option<Away> {
        self.inflight.away(number).or_else(|| self.queue.away(number))
    }

    /// A message that the store alone had is here again.
    pub fn bring_back(&mut self, queued: Queued) {
        if self.inflight.away(queued.number).is_some() {
            self.inflight.bring_back(queued);
        } else {
            self.queue.bring_back(queued);
        }
    }

    /// Something that is to be sent soon is elsewhere.
    pub fn wants_more(&self) -> bool {
        self.inflight.wants_more() || self.queue.wants_more()
    }

    /// What to bring back next, about `window` of it, and one at least.
    pub fn wanted(&self, window: usize) -> impl Iterator<Item = Away> {
        let mut left = window.max(1);
        self.inflight.wanted().chain(self.queue.wanted()).take_while(move |away| {
            let is_wanted = left > 0;
            left = left.saturating_sub(away.bytes as usize + size_of::<Queued>());
            is_wanted
        })
    }

    /// The client is away: what is stored does not stay in memory beyond `window`.
    pub fn retreat(&mut self, window: usize, mut leaves: impl FnMut(BodyId, &str) -> bool) {
        if self.weight() > window {
            self.inflight.retreat(&mut leaves);
            self.queue.retreat(window, leaves);
        }
    }

    /// Of everything that waits here for an acknowledgement or to be sent.
    pub fn weight(&self) -> usize {
        self.queue.weight() + self.inflight.weight()
    }

    pub fn messages(&self) -> usize {
        self.queue.len() + self.inflight.publishes()
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

#[cfg(test)]
mod tests;
