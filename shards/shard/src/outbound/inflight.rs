//! Messages in flight to one client, with their QoS state.

use std::{collections::VecDeque, ops::Range, time::Duration};

use mqtt::{PacketId, QoS};

use super::{Away, PACKET_IDS, Queued, packet_id};
use crate::{Instant, store::bodies::BodyId};

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
    /// For the first time. Whole seconds of the clock; `SENT_BEFORE` of what an earlier life of the broker has sent.
    sent_at_s: u32,
    /// None: the last acknowledgement came.
    state: Option<State>,
}

#[derive(Debug)]
pub(crate) enum State {
    /// Sent, and neither PUBACK nor PUBREC has come.
    Published(Queued),
    /// The same, and the store alone has the message.
    Away { body: BodyId, bytes: u32, qos: QoS },
    /// PUBREC came, PUBREL went out; what is left is PUBCOMP. The message itself is not needed any more.
    Released,
}

/// What to send again after a session is resumed.
pub(crate) enum Again {
    Publish(PacketId, Queued),
    Pubrel(PacketId),
    /// Not before it is brought back from the store.
    Away,
}

/// What was in flight: the message itself, where it was held.
#[derive(Debug)]
pub(crate) enum Taken {
    Here(Queued),
    Away(Away),
    /// The client had taken it over before.
    Released,
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
    pub fn insert(&mut self, queued: Queued, now: Instant) {
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
            sent_at_s: now.as_secs() as u32,
            state: Some(State::Published(queued)),
        });
    }

    /// What an earlier life of the broker has sent. Numbers come in order.
    pub fn restore(&mut self, number: u64, state: State) {
        assert!(self.has_id_for(number), "an id in use is not given again");
        assert!(self.entries.back().is_none_or(|last| last.number < number), "messages come in order");
        self.len += 1;
        let packet_id = packet_id(number);
        let (on_this_connection, sent_at_s) = (false, SENT_BEFORE);
        self.entries.push_back(Entry {
            number,
            packet_id,
            on_this_connection,
            sent_at_s,
            state: Some(state),
        });
    }

    /// How long ago the oldest of it was sent for the first time, but for a second. None: there is nothing, or an earlier life of the
    /// broker has sent it.
    pub fn oldest(&self, now: Instant) -> Option<Duration> {
        let sent_at_s = self.entries.front()?.sent_at_s;
        (sent_at_s != SENT_BEFORE).then(|| now.since(Instant::START.add_secs(sent_at_s.into())))
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

    fn of_number(&self, number: u64) -> Option<&State> {
        let at = self.entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        self.entries[at].state.as_ref()
    }

    pub fn is_released(&self, number: u64) -> bool {
        matches!(self.of_number(number), Some(State::Released))
    }

    /// Under which the store knows the message with this number, if the client has not taken it over.
    pub fn body(&self, number: u64) -> Option<BodyId> {
        self.of_number(number).and_then(body_of).map(|(body, _)| body)
    }

    pub fn bodies(&self) -> impl Iterator<Item = (BodyId, usize)> {
        self.entries.iter().filter_map(|entry| entry.state.as_ref().and_then(body_of))
    }

    /// The messages that are in memory and that the client has not taken over.
    pub fn here(&self) -> impl Iterator<Item = &Queued> {
        self.entries.iter().filter_map(|entry| match &entry.state {
            Some(State::Published(queued)) => Some(queued),
            _ => None,
        })
    }

    pub fn away(&self, number: u64) -> Option<Away> {
        match self.of_number(number)? {
            State::Away { body, bytes, .. } => Some(Away { number, body: *body, bytes: *bytes }),
            State::Published(_) | State::Released => None,
        }
    }

    /// What is to be sent again next is elsewhere.
    pub fn wants_more(&self) -> bool {
        let next = self.left_to_send_again().find_map(|entry| entry.state.as_ref());
        matches!(next, Some(State::Away { .. }))
    }

    /// What is elsewhere of all that is to be sent again.
    pub fn wanted(&self) -> impl Iterator<Item = Away> {
        self.left_to_send_again().filter_map(|entry| match entry.state {
            Some(State::Away { body, bytes, .. }) => Some(Away { number: entry.number, body, bytes }),
            _ => None,
        })
    }

    fn left_to_send_again(&self) -> impl Iterator<Item = &Entry> {
        let from = self.entries.partition_point(|entry| entry.number < self.again.start);
        self.entries.range(from..).take_while(|entry| entry.number < self.again.end)
    }

    pub fn bring_back(&mut self, queued: Queued) {
        let at = self.entries.binary_search_by_key(&queued.number, |entry| entry.number);
        let at = at.expect("the caller has asked whether it is away");
        self.weight += queued.weight();
        self.entries[at].state = Some(State::Published(queued));
    }

    /// The messages that the store alone has.
    pub fn elsewhere(&self) -> impl Iterator<Item = BodyId> {
        self.entries.iter().filter_map(|entry| match entry.state {
            Some(State::Away { body, .. }) => Some(body),
            _ => None,
        })
    }

    /// Nothing that is stored stays in memory.
    pub fn retreat(&mut self, mut leaves: impl FnMut(BodyId, &str) -> bool) {
        for entry in &mut self.entries {
            if let Some(State::Published(queued)) = &entry.state
                && leaves(queued.message.body(), queued.message.topic())
            {
                self.weight -= queued.weight();
                let bytes =
                    u32::try_from(queued.message.bytes()).expect("a message is shorter than a packet");
                let (body, qos) = (queued.message.body(), queued.qos);
                entry.state = Some(State::Away { body, bytes, qos });
            }
        }
    }

    #[cfg(test)]
    pub fn entries(&self) -> usize {
        self.entries.len()
    }

    pub fn weight(&self) -> usize {
        self.weight
    }

    pub fn state(&self, id: PacketId) -> Option<&State> {
        self.find(id).and_then(|at| self.entries[at].state.as_ref())
    }

    /// PUBREC came: the message is the client's. Gives back its number, and what was held of it.
    pub fn release(&mut self, id: PacketId) -> Option<(u64, Taken)> {
        let at = self.find(id)?;
        let entry = &mut self.entries[at];
        let (number, state) = (entry.number, entry.state.replace(State::Released)?);
        Some((number, self.taken(number, state)))
    }

    /// The last acknowledgement came. Gives back the message's number, and what was held of it.
    pub fn remove(&mut self, id: PacketId) -> Option<(u64, Taken)> {
        let at = self.find(id)?;
        let entry = &mut self.entries[at];
        let (number, state) = (entry.number, entry.state.take()?);
        self.len -= 1;
        if std::mem::take(&mut entry.on_this_connection) {
            self.outstanding -= 1;
        }
        let taken = self.taken(number, state);
        self.sweep();
        Some((number, taken))
    }

    fn taken(&mut self, number: u64, state: State) -> Taken {
        match state {
            State::Published(queued) => {
                self.weight -= queued.weight();
                Taken::Here(queued)
            }
            State::Away { body, bytes, .. } => Taken::Away(Away { number, body, bytes }),
            State::Released => Taken::Released,
        }
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
                Some(State::Away { .. }) => return Some(Again::Away),
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
        self.entries
            .iter()
            .filter(|entry| entry.state.as_ref().is_some_and(|state| body_of(state).is_some()))
            .count()
    }
}

fn body_of(state: &State) -> Option<(BodyId, usize)> {
    match state {
        State::Published(queued) => Some((queued.message.body(), queued.message.bytes())),
        State::Away { body, bytes, .. } => Some((*body, *bytes as usize)),
        State::Released => None,
    }
}

const SENT_BEFORE: u32 = u32::MAX;

const _: () =
    assert!(size_of::<Entry>() <= size_of::<Option<State>>() + 16, "when it was sent costs no room");

/// So many entries that are done may stay even where none is left that is not.
pub(super) const DONE_ALWAYS: usize = 16;
