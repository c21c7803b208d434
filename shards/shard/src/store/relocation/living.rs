//! What is alive in the log of one shard, as far as its records were taken: keys, numbers and places, and of each session its
//! own record. The messages stay where they are.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use mqtt::{PacketId, SubscriptionOptions};

use crate::{
    Handshake, ShardId,
    store::{
        entry::{Detached, Entry, MessageEntry, SessionEntry, SessionId},
        fields::Malformed,
        record::Record,
    },
};

#[derive(Default)]
pub(super) struct Living {
    pub sessions: HashMap<SessionId, Known, ahash::RandomState>,
    /// By topic, where the message stands.
    pub retained: HashMap<Box<str>, u64, ahash::RandomState>,
    pub handshakes: BTreeMap<Handshake, Copies>,
    /// On their way to other shards: where each stands, and whose it was.
    pub wills: BTreeMap<SessionId, (u64, SessionId)>,
}

/// What is stored of a publication that may come a second time.
#[derive(Default)]
pub(super) struct Copies {
    /// By the shared subscription that has got it; empty for everybody else.
    pub shares: BTreeSet<Box<str>>,
    /// Those who alone have got it of everybody else.
    pub parts: BTreeSet<(SessionId, SessionId)>,
}

/// One session. Its own record can come after others of it.
#[derive(Default)]
pub(super) struct Known {
    pub own: Option<Own>,
    pub filters: BTreeMap<Box<str>, (SubscriptionOptions, u32)>,
    pub received: BTreeSet<PacketId>,
    /// By number, where the message stands; `RELEASED` for one that the client has taken over.
    pub queue: BTreeMap<u64, u64>,
    /// Where it goes, once that is decided.
    pub home: Option<(ShardId, SessionId)>,
}

/// The session's last record, and what has changed since.
pub(super) struct Own {
    body: Box<[u8]>,
    expiry_s: u32,
    detached: Option<Detached>,
    is_will_gone: bool,
}

impl Own {
    /// The session as it is now.
    pub fn entry(&self) -> SessionEntry<'_> {
        let mut entry = SessionEntry::of(&self.body).expect("it was decoded when it was taken");
        entry.expiry_s = self.expiry_s;
        entry.detached = self.detached;
        if self.is_will_gone {
            entry.will = None;
        }
        entry
    }
}

impl Living {
    pub fn take(&mut self, record: &Record<'_>) -> Result<(), Malformed> {
        match Entry::decode(record)? {
            Entry::Session(entry) => self.take_session(&entry, record.body),
            Entry::Subscribed { session, options, subscription_id, filter } => {
                self.of(session).filters.insert(filter.into(), (options, subscription_id));
            }
            Entry::Unsubscribed { session, filter } => {
                self.of(session).filters.remove(filter);
            }
            Entry::Detached(detached) => self.take_detached(detached),
            Entry::WillGone { session } => self.take_will_from(session),
            Entry::WillPublished { will, session, .. } => {
                self.wills.insert(will, (record.position.to_u64(), session));
            }
            Entry::WillOver { will } => {
                self.wills.remove(&will);
            }
            Entry::SessionGone { session } => {
                self.sessions.remove(&session);
            }
            Entry::Message(entry) => self.take_message(&entry, record.position.to_u64()),
            Entry::Released { session, number } => {
                self.of(session).queue.insert(number, RELEASED);
            }
            Entry::Done { session, number } => {
                self.of(session).queue.remove(&number);
            }
            Entry::Received { session, packet_id } => {
                self.of(session).received.insert(packet_id);
            }
            Entry::Freed { session, packet_id } => {
                self.of(session).received.remove(&packet_id);
            }
            Entry::Handshake { handshake, share } => {
                self.handshakes.entry(handshake).or_default().shares.insert(share.into());
            }
            Entry::HandshakePart { handshake, first, last } => {
                self.handshakes.entry(handshake).or_default().parts.insert((first, last));
            }
            Entry::HandshakeOver(handshake) => {
                self.handshakes.remove(&handshake);
            }
            Entry::PublisherGone { home, session } => self.forget_publisher(home, session),
            Entry::RetainedGone { topic } => {
                self.retained.remove(topic);
            }
        }
        Ok(())
    }

    fn of(&mut self, session: SessionId) -> &mut Known {
        self.sessions.entry(session).or_default()
    }

    fn take_session(&mut self, entry: &SessionEntry<'_>, body: &[u8]) {
        let known = self.of(entry.session);
        if entry.is_whole {
            known.filters.clear();
            known.received.clear();
        }
        known.own = Some(Own {
            body: body.into(),
            expiry_s: entry.expiry_s,
            detached: entry.detached,
            is_will_gone: false,
        });
    }

    fn take_detached(&mut self, detached: Detached) {
        if let Some(own) = self.of(detached.session).own.as_mut() {
            own.expiry_s = detached.expiry_s;
            own.detached = Some(detached);
            own.is_will_gone |= detached.will_at_ms.is_none();
        }
    }

    fn take_will_from(&mut self, session: SessionId) {
        if let Some(own) = self.of(session).own.as_mut() {
            own.is_will_gone = true;
        }
    }

    fn take_message(&mut self, entry: &MessageEntry<'_>, place: u64) {
        for receiver in entry.receivers.iter() {
            self.of(receiver.session).queue.insert(receiver.number, place);
        }
        if entry.is_retained {
            self.retained.insert(entry.topic.into(), place);
        }
    }

    fn forget_publisher(&mut self, home: ShardId, session: SessionId) {
        let name = |packet_id| Handshake { home, session, packet_id };
        let all = name(PacketId::MIN)..=name(PacketId::MAX);
        while let Some((first, _)) = self.handshakes.range(all.clone()).next() {
            let first = *first;
            self.handshakes.remove(&first);
        }
    }
}

/// No record stands there: every segment has a generation.
pub(super) const RELEASED: u64 = 0;
