//! The records of a store, taken in the order in which they were written, become what a shard kept. Putting it into place
//! is `restore.rs`.

mod owed;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::HashMap;
use mqtt::{PacketId, SubscriptionOptions};

use super::{
    bodies::{Bodies, BodyId},
    entry::{Detached, Entry, MessageEntry, SessionEntry, SessionId},
    fields::Malformed,
    record::Record,
};
use crate::{
    Instant, Message,
    handshakes::Handshakes,
    hashing::{Table, hasher},
    message::{Parts, RetainedId},
    wills::{Published, Will},
};

pub(crate) use owed::{Owed, Owing};

/// What one store holds, as far as its records have been taken.
pub struct Restoring {
    epoch_ms: u64,
    /// In the order in which the log names them. Boxed, because the list grows under them.
    #[allow(clippy::vec_box)]
    sessions: Vec<Box<Kept>>,
    by_id: HashMap<SessionId, usize, ahash::RandomState>,
    /// Records of one session often come together: the last that was asked for, and where it is.
    last: Option<(SessionId, usize)>,
    /// The last session that was made, whether it is there or not.
    pub(crate) newest: SessionId,
    pub(crate) retained: HashMap<Box<str>, Message, ahash::RandomState>,
    retained_count: u64,
    /// On their way to other shards, by name.
    pub(crate) wills: BTreeMap<SessionId, Published>,
    pub(crate) handshakes: Handshakes,
    pub(crate) bodies: Bodies,
}

/// What is known of one session. The record of the session itself can come after others of it, since it is written again
/// when the oldest records are given up.
#[derive(Default)]
pub(crate) struct Kept {
    pub id: SessionId,
    pub own: Option<Own>,
    filters: Vec<(Box<str>, Option<Subscribed>)>,
    pub queue: Owing,
    pub received: BTreeSet<PacketId>,
}

/// The options of a subscription, and its id.
type Subscribed = (SubscriptionOptions, u32);

impl Kept {
    /// What the session subscribes to in the end.
    pub fn take_filters(&mut self) -> impl Iterator<Item = (Box<str>, Subscribed)> + use<> {
        let mut filters = std::mem::take(&mut self.filters);
        // Of each filter the last record counts; it comes first here.
        filters.reverse();
        filters.sort_by(|(one, _), (other, _)| one.cmp(other));
        filters.dedup_by(|(later, _), (kept, _)| later == kept);
        filters.into_iter().filter_map(|(filter, subscribed)| Some((filter, subscribed?)))
    }
}

pub(crate) struct Own {
    pub client_id: Arc<str>,
    pub expiry_s: u32,
    pub detached: Option<Detached>,
    pub will: Option<Box<Will>>,
    pub place: u64,
    /// Of its record.
    pub bytes: u32,
}

impl Restoring {
    /// `epoch_ms` is the unix time of `Instant::START` in this life of the broker.
    pub fn new(epoch_ms: u64) -> Restoring {
        let hasher = |table| hasher(epoch_ms, table);
        Restoring {
            epoch_ms,
            sessions: Vec::new(),
            by_id: HashMap::with_hasher(hasher(Table::ReadSessions)),
            last: None,
            newest: SessionId::default(),
            retained: HashMap::with_hasher(hasher(Table::ReadRetained)),
            retained_count: 0,
            wills: BTreeMap::new(),
            handshakes: Handshakes::default(),
            bodies: Bodies::of_read(epoch_ms),
        }
    }

    /// Takes one record. A group has to be given as a whole or not at all.
    pub fn take(&mut self, record: &Record<'_>) -> Result<(), Malformed> {
        let place = record.position.to_u64();
        match Entry::decode(record)? {
            Entry::Session(entry) => self.take_session(&entry, record.bytes(), place),
            Entry::Subscribed { session, options, subscription_id, filter } => {
                self.of(session).filters.push((filter.into(), Some((options, subscription_id))));
            }
            Entry::Unsubscribed { session, filter } => {
                self.of(session).filters.push((filter.into(), None));
            }
            Entry::Detached(detached) => self.take_detached(detached),
            Entry::WillGone { session } => self.take_will_from(session),
            Entry::WillPublished { will, session, message } => {
                self.take_published_will(will, session, &message);
            }
            Entry::WillOver { will } => {
                self.newest = self.newest.max(will);
                self.wills.remove(&will);
            }
            Entry::SessionGone { session } => self.end(session),
            Entry::Message(entry) => self.take_message(&entry, place),
            Entry::Released { session, number } => {
                let before = self.of(session).queue.insert(number, Owed::Released);
                self.pay(before);
            }
            Entry::Done { session, number } => {
                let before = self.of(session).queue.remove(number);
                self.pay(before);
            }
            Entry::Received { session, packet_id } => {
                self.of(session).received.insert(packet_id);
            }
            Entry::Freed { session, packet_id } => {
                self.of(session).received.remove(&packet_id);
            }
            Entry::Handshake { handshake, share } => {
                self.handshakes.insert(handshake, share);
            }
            Entry::HandshakePart { handshake, first, last } => {
                self.handshakes.insert_part(handshake, (first, last));
            }
            Entry::HandshakeOver(handshake) => {
                self.handshakes.remove(handshake);
            }
            Entry::PublisherGone { home, session } => {
                self.handshakes.remove_all(home, session);
            }
            Entry::RetainedGone { topic } => {
                self.retained.remove(topic);
            }
        }
        Ok(())
    }

    fn of(&mut self, session: SessionId) -> &mut Kept {
        let at = match self.last {
            Some((last, at)) if last == session => at,
            _ => self.find(session),
        };
        &mut self.sessions[at]
    }

    fn find(&mut self, session: SessionId) -> usize {
        self.newest = self.newest.max(session);
        let at = *self.by_id.entry(session).or_insert_with(|| {
            self.sessions.push(Box::new(Kept { id: session, ..Kept::default() }));
            self.sessions.len() - 1
        });
        self.last = Some((session, at));
        at
    }

    /// All sessions that there are, in the order of their slots: the same store makes the same shard.
    pub(crate) fn take_sessions(&mut self) -> impl Iterator<Item = Box<Kept>> + use<> {
        let sessions = std::mem::take(&mut self.sessions);
        let own = |at: &usize| sessions[*at].own.is_some();
        let mut order: Vec<(u64, usize)> =
            (0..sessions.len()).filter(own).map(|at| (sessions[at].id.0.rotate_left(32), at)).collect();
        order.sort_unstable();
        let mut sessions: Vec<Option<Box<Kept>>> = sessions.into_iter().map(Some).collect();
        order.into_iter().filter_map(move |(_, at)| sessions[at].take())
    }

    fn take_session(&mut self, entry: &SessionEntry<'_>, bytes: usize, place: u64) {
        let will = entry.will.as_ref().map(|will| Box::new(Will::of(will)));
        self.newest = self.newest.max(will.as_ref().map_or(SessionId::default(), |will| will.name));
        let kept = self.of(entry.session);
        if entry.is_whole {
            kept.filters.clear();
            kept.received.clear();
        }
        let place = if entry.is_whole { place } else { kept.own.as_ref().map_or(0, |own| own.place) };
        kept.own = Some(Own {
            client_id: entry.client_id.into(),
            expiry_s: entry.expiry_s,
            detached: entry.detached,
            will,
            place,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        });
    }

    fn take_detached(&mut self, detached: Detached) {
        if let Some(own) = self.of(detached.session).own.as_mut() {
            own.expiry_s = detached.expiry_s;
            own.detached = Some(detached);
            if detached.will_at_ms.is_none() {
                own.will = None;
            }
        }
    }

    fn take_will_from(&mut self, session: SessionId) {
        if let Some(own) = self.of(session).own.as_mut() {
            own.will = None;
        }
    }

    fn take_published_will(&mut self, will: SessionId, session: SessionId, message: &MessageEntry<'_>) {
        self.newest = self.newest.max(will);
        let parts = message.parts(message.expires_at_ms.map(|at| self.instant(at)));
        self.wills.insert(will, Published { will, session, message: Message::new(&parts) });
    }

    /// What was owed is not any more.
    fn pay(&mut self, owed: impl IntoIterator<Item = Owed>) {
        owed.into_iter().filter_map(Owed::body).for_each(|body| self.bodies.pay(body));
    }

    fn end(&mut self, session: SessionId) {
        let kept = std::mem::take(self.of(session));
        self.pay(kept.queue.all());
        self.by_id.remove(&session);
        self.last = None;
    }

    fn take_message(&mut self, entry: &MessageEntry<'_>, place: u64) {
        let body = self.bodies.add(place);
        let bytes = entry.topic.len() + entry.forwarded.len() + entry.payload.len();
        let bytes = u32::try_from(bytes).expect("a message is shorter than a segment");
        let expires_at = entry.expires_at_ms.map(|at| self.instant(at));
        for receiver in entry.receivers.iter() {
            let owed = Owed::Message { body, bytes, qos: receiver.qos, expires_at };
            let before = self.of(receiver.session).queue.insert(receiver.number, owed);
            self.pay(before);
            self.bodies.owe(body, entry.topic);
        }
        if entry.is_retained {
            self.take_retained(entry, body, expires_at);
        }
    }

    fn take_retained(&mut self, entry: &MessageEntry<'_>, body: BodyId, expires_at: Option<Instant>) {
        // Retained messages are told apart by their ids; those of an earlier life have no publisher any more.
        self.retained_count += 1;
        let parts =
            Parts { retained_id: Some(RetainedId::new(0, self.retained_count)), ..entry.parts(expires_at) };
        self.retained.insert(entry.topic.into(), Message::with_body(&parts, body));
    }

    pub(crate) fn instant(&self, unix_ms: u64) -> Instant {
        super::instant_of(self.epoch_ms, unix_ms)
    }
}
