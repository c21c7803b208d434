//! What the records of a store come to, in numbers, and where they contradict each other because some are lost. It keeps
//! names and numbers only: payloads stay where they are.

use std::collections::{BTreeMap, BTreeSet};

use mqtt::PacketId;

use super::{
    entry::{Detached, Entry, MessageEntry, SessionEntry, SessionId},
    fields::Malformed,
    record::Record,
};
use crate::{Handshake, ShardId};

/// Takes the records of one log in their order.
#[derive(Default)]
pub struct Sums {
    kinds: BTreeMap<u8, Kind>,
    sessions: BTreeMap<SessionId, Known>,
    retained: BTreeMap<Box<str>, MessageIndex>,
    handshakes: BTreeMap<(ShardId, SessionId), BTreeSet<PacketId>>,
    /// On their way to other shards, each with the length of its record.
    wills: BTreeMap<SessionId, usize>,
    messages: Messages,
}

/// All records of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kind {
    pub records: u64,
    pub bytes: u64,
}

/// What a broker would find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub sessions: u64,
    /// Of those: neither detached nor ended when the log ends.
    pub connected: u64,
    pub wills: u64,
    pub subscriptions: u64,
    /// Messages that sessions are owed: one for ten sessions counts ten times.
    pub queued: u64,
    pub retained: u64,
    /// QoS 2 publications that their publishers have not released.
    pub handshakes: u64,
    /// Sessions of which something is left, but not the session itself.
    pub strays: u64,
    /// Of records that are needed.
    pub live_bytes: u64,
}

#[derive(Default)]
struct Known {
    own: Option<Own>,
    /// Each with the length of its record.
    filters: BTreeMap<Box<str>, usize>,
    queue: BTreeMap<u64, Option<MessageIndex>>,
    received: BTreeSet<PacketId>,
}

struct Own {
    client_id: Box<str>,
    is_connected: bool,
    has_will: bool,
    bytes: usize,
}

/// Message records by their order, each with its length and how many need it.
#[derive(Default)]
struct Messages {
    places: Vec<(u32, u32)>,
    free: Vec<MessageIndex>,
    live_bytes: u64,
}

type MessageIndex = u32;

impl Sums {
    pub fn take(&mut self, record: &Record<'_>) -> Result<(), Malformed> {
        let entry = Entry::decode(record)?;
        self.count(record);
        match entry {
            Entry::Session(entry) => self.take_session(&entry, record.bytes()),
            Entry::Subscribed { session, filter, .. } => {
                self.of(session).filters.insert(filter.into(), record.bytes());
            }
            Entry::Unsubscribed { session, filter } => {
                self.of(session).filters.remove(filter);
            }
            Entry::Detached(detached) => self.take_detached(detached),
            Entry::WillGone { session } => self.take_will_from(session),
            Entry::WillPublished { will, .. } => {
                self.wills.insert(will, record.bytes());
            }
            Entry::WillOver { will } => {
                self.wills.remove(&will);
            }
            Entry::SessionGone { session } => self.end(session),
            Entry::Message(entry) => self.take_message(&entry, record.bytes()),
            Entry::Released { session, number } => self.owe(session, number, None),
            Entry::Done { session, number } => {
                if let Some(Some(message)) = self.of(session).queue.remove(&number) {
                    self.messages.let_go(message);
                }
            }
            Entry::Received { session, packet_id } => {
                self.of(session).received.insert(packet_id);
            }
            Entry::Freed { session, packet_id } => {
                self.of(session).received.remove(&packet_id);
            }
            Entry::Handshake { handshake: Handshake { home, session, packet_id }, .. }
            | Entry::HandshakePart { handshake: Handshake { home, session, packet_id }, .. } => {
                self.handshakes.entry((home, session)).or_default().insert(packet_id);
            }
            Entry::HandshakeOver(handshake) => self.end_handshake(handshake),
            Entry::PublisherGone { home, session } => {
                self.handshakes.remove(&(home, session));
            }
            Entry::RetainedGone { topic } => self.retain(topic, None),
        }
        Ok(())
    }

    fn count(&mut self, record: &Record<'_>) {
        let kind = self.kinds.entry(record.kind).or_default();
        kind.records += 1;
        kind.bytes += record.bytes() as u64;
    }

    fn of(&mut self, session: SessionId) -> &mut Known {
        self.sessions.entry(session).or_default()
    }

    fn take_session(&mut self, entry: &SessionEntry<'_>, bytes: usize) {
        let known = self.of(entry.session);
        if entry.is_whole {
            known.filters.clear();
            known.received.clear();
        }
        let before = known.own.as_ref().map_or(0, |own| own.bytes);
        known.own = Some(Own {
            client_id: entry.client_id.into(),
            is_connected: entry.detached.is_none(),
            has_will: entry.will.is_some(),
            bytes: if entry.is_whole { bytes } else { before },
        });
    }

    fn take_detached(&mut self, detached: Detached) {
        if let Some(own) = self.of(detached.session).own.as_mut() {
            own.is_connected = false;
            own.has_will &= detached.will_at_ms.is_some();
        }
    }

    fn take_will_from(&mut self, session: SessionId) {
        if let Some(own) = self.of(session).own.as_mut() {
            own.has_will = false;
        }
    }

    fn end_handshake(&mut self, Handshake { home, session, packet_id }: Handshake) {
        if let Some(open) = self.handshakes.get_mut(&(home, session)) {
            open.remove(&packet_id);
        }
    }

    /// As the record of its end does.
    pub fn end(&mut self, session: SessionId) {
        let Some(known) = self.sessions.remove(&session) else { return };
        known.queue.into_values().flatten().for_each(|message| self.messages.let_go(message));
    }

    fn take_message(&mut self, entry: &MessageEntry<'_>, bytes: usize) {
        let message = self.messages.add(bytes);
        for receiver in entry.receivers.iter() {
            self.owe(receiver.session, receiver.number, Some(message));
        }
        if entry.is_retained {
            self.retain(entry.topic, Some(message));
        }
        self.messages.sweep(message);
    }

    fn owe(&mut self, session: SessionId, number: u64, message: Option<MessageIndex>) {
        if let Some(message) = message {
            self.messages.hold(message);
        }
        if let Some(Some(before)) = self.of(session).queue.insert(number, message) {
            self.messages.let_go(before);
        }
    }

    fn retain(&mut self, topic: &str, message: Option<MessageIndex>) {
        if let Some(message) = message {
            self.messages.hold(message);
        }
        let before = match message {
            Some(message) => self.retained.insert(topic.into(), message),
            None => self.retained.remove(topic),
        };
        if let Some(before) = before {
            self.messages.let_go(before);
        }
    }

    /// By the number of the kind.
    pub fn kinds(&self) -> &BTreeMap<u8, Kind> {
        &self.kinds
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            retained: self.retained.len() as u64,
            handshakes: self.handshakes.values().map(BTreeSet::len).sum::<usize>() as u64,
            live_bytes: self.messages.live_bytes + self.wills.values().sum::<usize>() as u64,
            wills: self.wills.len() as u64,
            ..Totals::default()
        };
        for known in self.sessions.values() {
            let Some(own) = &known.own else {
                totals.strays += 1;
                continue;
            };
            totals.sessions += 1;
            totals.connected += u64::from(own.is_connected);
            totals.wills += u64::from(own.has_will);
            totals.subscriptions += known.filters.len() as u64;
            totals.queued += known.queue.len() as u64;
            totals.live_bytes += (own.bytes + known.filters.values().sum::<usize>()) as u64;
        }
        totals
    }

    /// Sessions that can only be there because the record of their end is lost: another one, which is younger, has their
    /// client id or their place.
    pub fn superseded(&self) -> Vec<SessionId> {
        let (mut clients, mut places) = (BTreeSet::new(), BTreeSet::new());
        let sessions = self.sessions.iter().rev().filter_map(|(id, known)| Some((id, known.own.as_ref()?)));
        let doubled = sessions.filter(|(id, own)| {
            let is_known_client = !clients.insert(&*own.client_id);
            let is_taken_place = !places.insert(id.key());
            is_known_client || is_taken_place
        });
        doubled.map(|(id, _)| *id).collect()
    }

    /// The client id of a session, as far as it is known.
    pub fn client_id(&self, session: SessionId) -> Option<&str> {
        self.sessions.get(&session)?.own.as_ref().map(|own| &*own.client_id)
    }
}

impl Totals {
    /// Of several logs together.
    #[must_use]
    pub fn plus(self, other: Totals) -> Totals {
        Totals {
            sessions: self.sessions + other.sessions,
            connected: self.connected + other.connected,
            wills: self.wills + other.wills,
            subscriptions: self.subscriptions + other.subscriptions,
            queued: self.queued + other.queued,
            retained: self.retained + other.retained,
            handshakes: self.handshakes + other.handshakes,
            strays: self.strays + other.strays,
            live_bytes: self.live_bytes + other.live_bytes,
        }
    }
}

impl Messages {
    fn add(&mut self, bytes: usize) -> MessageIndex {
        let place = (u32::try_from(bytes).unwrap_or(u32::MAX), 0);
        if let Some(free) = self.free.pop() {
            self.places[free as usize] = place;
            return free;
        }
        self.places.push(place);
        u32::try_from(self.places.len() - 1).expect("four billion messages fit no memory")
    }

    fn hold(&mut self, message: MessageIndex) {
        let (bytes, holders) = &mut self.places[message as usize];
        if *holders == 0 {
            self.live_bytes += u64::from(*bytes);
        }
        *holders += 1;
    }

    fn let_go(&mut self, message: MessageIndex) {
        let (bytes, holders) = &mut self.places[message as usize];
        *holders -= 1;
        if *holders == 0 {
            self.live_bytes -= u64::from(*bytes);
            self.free.push(message);
        }
    }

    /// Whoever is given a message needs it from then on: nobody was.
    fn sweep(&mut self, message: MessageIndex) {
        if self.places[message as usize].1 == 0 {
            self.free.push(message);
        }
    }
}

#[cfg(test)]
mod tests;
