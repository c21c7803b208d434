//! Wills: from the CONNECT to their publication, and on until everybody who has to store them has done so.
//!
//! A will of a stored session has a name of its own, by which others know it again. If it goes to other shards, it has a
//! record of its own from its publication on: it outlives its session, and a client that comes back may have another one.
//! After a crash it is published once more.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use mqtt::{PacketId, QoS};
use smallvec::SmallVec;

use crate::{
    Effect, Handshake, Instant, Message, Note, Shard, What,
    keys::SessionKey,
    message::Parts,
    router::Carried,
    source::Source,
    store::{
        Companion,
        entry::{Entry, MessageEntry, Receivers, SessionId, WillEntry},
        record,
    },
    turn::Turn,
};

pub(crate) struct Will {
    /// That of nobody, if it is not stored.
    pub name: SessionId,
    pub message: Message,
    /// Of one that is to be retained, where somebody asks for it.
    pub source: Option<Arc<Source>>,
    /// Whose it is, from the end of the connection on. Not stored: after a start nobody knows.
    pub author: Option<Arc<Source>>,
    /// Counts from the publication of the will, not from the CONNECT.
    pub message_expiry_s: Option<u32>,
    pub delay_s: u32,
    /// While the delay runs.
    pub due_at: Option<Instant>,
}

impl Will {
    pub fn of_connect(will: &mqtt::Will<'_>) -> Will {
        let mut forwarded = Vec::new();
        mqtt::forwardable(will.properties.block, &mut forwarded);
        Will::of(&WillEntry {
            will: SessionId::default(),
            qos: will.qos,
            retain: will.retain,
            delay_s: will.properties.delay_interval_s.unwrap_or(0),
            message_expiry_s: will.properties.message_expiry_interval_s,
            topic: will.topic,
            forwarded: &forwarded,
            payload: will.payload,
        })
    }

    pub fn of(entry: &WillEntry<'_>) -> Will {
        let parts = Parts {
            topic: entry.topic,
            qos: entry.qos,
            retain: entry.retain,
            expires_at: None,
            retained_id: None,
            forwarded: entry.forwarded,
            payload: entry.payload,
        };
        Will {
            name: entry.will,
            message: Message::new(&parts),
            source: None,
            author: None,
            message_expiry_s: entry.message_expiry_s,
            delay_s: entry.delay_s,
            due_at: None,
        }
    }

    pub fn entry(&self) -> WillEntry<'_> {
        WillEntry {
            will: self.name,
            qos: self.message.qos(),
            retain: self.message.retain(),
            delay_s: self.delay_s,
            message_expiry_s: self.message_expiry_s,
            topic: self.message.topic(),
            forwarded: self.message.forwarded(),
            payload: self.message.payload(),
        }
    }
}

/// Published wills of sessions that are stored.
#[derive(Default)]
pub(crate) struct Wills {
    /// On their way to other shards, in the order of their questions.
    published: VecDeque<(u64, Published)>,
    /// Stored everywhere, with the batch that says so.
    over: VecDeque<(u64, SessionId)>,
    /// Of an earlier life, until all subscriptions are known.
    restored: BTreeMap<SessionId, Published>,
}

/// A will that others may not have stored.
pub(crate) struct Published {
    /// Names the will.
    pub will: SessionId,
    /// The session whose will it was.
    pub session: SessionId,
    pub message: Message,
}

impl Published {
    /// What its record takes in the store.
    fn bytes(&self) -> usize {
        record::HEADER_BYTES + WILL_FIELDS_BYTES + self.message.bytes()
    }

    fn handshake(&self, shard: &Shard) -> Option<Handshake> {
        shard.handshake_of_will(self.will, self.message.qos())
    }
}

impl Shard {
    pub(crate) fn publish_will(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let session = &mut self.sessions[key];
        let client_id = session.client_id.clone();
        // A server that shuts down keeps what falls due to itself.
        if self.drain.has_begun() {
            if let Some(will) = session.will.as_mut() {
                will.due_at = None;
            }
            return;
        }
        let Some(will) = session.will.take() else { return };
        let id = session.id;
        self.totals.will_bytes -= will.message.weight();
        if self.is_will_denied(key, &will, turn) {
            if self.is_kept(key) {
                self.keep_session(key, false);
            }
            return;
        }
        self.counters.wills_published += 1;
        turn.push(Effect::Note(Note {
            conn: None,
            client_id: Some(client_id),
            user: None,
            what: What::WillPublished,
        }));
        self.count_unstored(key, &will, turn);
        let expires_at = will.message_expiry_s.map(|expiry_s| turn.now.add_secs(u64::from(expiry_s)));
        let mut carried = Carried::new(Parts { expires_at, ..will.message.parts() });
        carried.source = will.source;
        if id != SessionId::default() {
            self.store.set_companion(Companion::Will { session: id, will: will.name });
            carried.handshake = self.handshake_of_will(will.name, carried.parts.qos);
        }
        self.publish(Some(key), &mut carried, turn);
        if carried.handshake.is_some() {
            if self.confirmations.needed() > 0 {
                // An earlier life may have told any of them.
                self.handshakes.set_told(will.name, PacketId::MIN, self.peers().collect());
            }
            self.release_if_over(will.name);
        }
    }

    /// Nobody is told to leave it once more: it goes to all whom it is for, and lives in memory alone. That of a stored session stays
    /// with it until it is stored as a message.
    fn count_unstored(&mut self, key: SessionKey, will: &Will, turn: &Turn<'_>) {
        if let Some(lack) =
            self.store_lack().filter(|_| !self.is_kept(key) && will.message.qos() != QoS::AtMostOnce)
        {
            self.lose(key, lack.of_will(), will.message.topic(), turn.now);
        }
    }

    /// Nobody else wants the will, and the batch that is open says that it is over. An earlier life may have told others.
    fn release_if_over(&mut self, will: SessionId) {
        if self.confirmations.needed() == 0 {
            self.wills.over.push_back((self.store.needed(), will));
        }
    }

    /// As if the will were a publisher that has one publication. At QoS 1, too: no client waits for its acknowledgement and
    /// sends it again, so that only a crash of the broker could double it.
    fn handshake_of_will(&self, will: SessionId, qos: QoS) -> Option<Handshake> {
        let handshake = Handshake { home: self.id, session: will, packet_id: PacketId::MIN };
        (qos != QoS::AtMostOnce).then_some(handshake)
    }

    /// What is stored together with the message that a will has become.
    pub(crate) fn will_published<'a>(
        &mut self,
        session: SessionId,
        will: SessionId,
        message: &'a Message,
    ) -> SmallVec<[Entry<'a>; 2]> {
        let gone = Entry::WillGone { session };
        if self.confirmations.needed() == 0 {
            return SmallVec::from_iter([gone]);
        }
        let published = Published { will, session, message: message.clone() };
        self.store.add_live(published.bytes());
        self.totals.will_bytes += message.weight();
        self.wills.published.push_back((self.confirmations.needed(), published));
        SmallVec::from_iter([gone, Entry::WillPublished { will, session, message: self.will_entry(message) }])
    }

    /// The same for one of an earlier life, which has its record.
    pub(crate) fn will_published_again(&mut self, will: SessionId) -> Option<Entry<'static>> {
        let published = self.wills.restored.remove(&will).expect("it is published as one that was restored");
        if self.confirmations.needed() > 0 {
            self.wills.published.push_back((self.confirmations.needed(), published));
            return None;
        }
        self.forget_will(&published);
        Some(Entry::WillOver { will })
    }

    fn will_entry<'a>(&self, message: &'a Message) -> MessageEntry<'a> {
        MessageEntry {
            qos: message.qos(),
            retain: message.retain(),
            is_retained: false,
            expires_at_ms: message.expires_at().map(|at| self.store.unix_ms(at)),
            topic: message.topic(),
            forwarded: message.forwarded(),
            payload: message.payload(),
            receivers: Receivers::default(),
        }
    }

    fn forget_will(&mut self, published: &Published) {
        self.store.remove_live(published.bytes());
        self.totals.will_bytes -= published.message.weight();
        if let Some(handshake) = published.handshake(self) {
            self.forget_handshake(handshake);
        }
    }

    /// Wills that all others have stored by now need not be published again after a crash.
    pub(crate) fn give_up_wills(&mut self) {
        while let Some((question, _)) = self.wills.published.front()
            && self.confirmations.is_confirmed(*question)
            && let Some((_, published)) = self.wills.published.pop_front()
        {
            self.store.append(&Entry::WillOver { will: published.will }, false);
            self.forget_will(&published);
            self.wills.over.push_back((self.store.needed(), published.will));
        }
    }

    /// Others need not know a will any more when it is certain that it is not published again. A server that shuts down
    /// makes no mail: what is left is found out at the next start.
    pub(crate) fn release_wills(&mut self, turn: &mut Turn<'_>) {
        while let Some(&(batch, will)) = self.wills.over.front()
            && self.store.is_stored(batch)
            && !self.drain.has_begun()
        {
            self.wills.over.pop_front();
            self.release_handshake(will, PacketId::MIN, turn);
        }
    }

    pub(crate) fn restore_wills(&mut self, wills: BTreeMap<SessionId, Published>) {
        for published in wills.values() {
            self.store.add_live(published.bytes());
            self.totals.will_bytes += published.message.weight();
            if published.message.qos() != QoS::AtMostOnce {
                self.handshakes.set_told(published.will, PacketId::MIN, self.peers().collect());
            }
        }
        self.wills.restored = wills;
    }

    /// All shards know of all subscriptions.
    pub(crate) fn publish_restored_wills(&mut self, turn: &mut Turn<'_>) {
        let wills: Vec<(SessionId, SessionId, Message)> =
            self.wills.restored.values().map(|it| (it.will, it.session, it.message.clone())).collect();
        for (will, session, message) in wills {
            self.begin_answer();
            self.counters.wills_published += 1;
            self.store.set_companion(Companion::WillAgain { will });
            let mut carried = Carried::new(message.parts());
            carried.handshake = self.handshake_of_will(will, message.qos());
            self.publish(self.kept_session(session), &mut carried, turn);
            self.release_if_over(will);
        }
    }

    /// The name is that of a will that others may have stored.
    pub(crate) fn is_will(&self, name: SessionId) -> bool {
        let session = self.sessions.get(name.key());
        let will = session.and_then(|session| session.will.as_ref());
        will.is_some_and(|will| will.name == name)
            || self.wills.restored.contains_key(&name)
            || self.wills.published.iter().any(|(_, published)| published.will == name)
    }

    /// The record of a will is alive for as long as the will is on its way.
    pub(crate) fn review_will(&mut self, name: SessionId) {
        let on_their_way = self.wills.published.iter().map(|(_, published)| published);
        let all = on_their_way.chain(self.wills.restored.values());
        let Some(Published { will, session, message }) = { all }.find(|it| it.will == name) else { return };
        let (will, session, message) = (*will, *session, message.clone());
        let entry = Entry::WillPublished { will, session, message: self.will_entry(&message) };
        self.store.append(&entry, false);
    }
}

/// Beside topic, forwarded properties and payload.
const WILL_FIELDS_BYTES: usize = 41;
