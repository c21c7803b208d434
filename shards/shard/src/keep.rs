//! What of the shard's state is stored, and when: each change of a session that is to live on, of its queue and of the
//! retained messages becomes a record in the same turn.

use std::sync::Arc;

use mqtt::{PacketId, QoS};
use smallvec::SmallVec;

use crate::{
    Effect, Handshake, Message, Shard,
    keys::SessionKey,
    outbound::Queued,
    router::Carried,
    session::Session,
    shard::Deadline,
    store::{
        Companion, Holder, Piece, Routed,
        entry::{Detached, Entry, MessageEntry, Receiver, SessionEntry, SessionId},
        place_of, record,
    },
    trie::Subscription,
    turn::Turn,
};

impl Shard {
    /// Whether what happens to this session is stored.
    pub(crate) fn is_kept(&self, key: SessionKey) -> bool {
        self.kept_id(key).is_some()
    }

    /// Under which name it is stored.
    fn kept_id(&self, key: SessionKey) -> Option<SessionId> {
        Some(self.sessions[key].id).filter(|id| *id != SessionId::default())
    }

    /// A connection has made the session, or has come back to it. One that ends with its connection is not worth a record
    /// until it has one.
    pub(crate) fn keep_connected(&mut self, key: SessionKey) {
        if !self.store.is_on() {
            return;
        }
        let is_known = self.is_kept(key);
        if !is_known && self.sessions[key].expiry_s == 0 {
            return;
        }
        if !is_known {
            let session = &mut self.sessions[key];
            // One that was not to live on has ended with its connection: no queue of it was ever without its records.
            debug_assert!(session.outbound.is_none() && session.filters.iter().next().is_none());
            session.id = self.store.new_session_id(key);
        }
        if let Some(will) = self.sessions[key].will.as_mut() {
            will.name = self.store.new_session_id(key);
        }
        self.keep_session(key, !is_known);
    }

    /// Writes the session itself; as a whole with all that belongs to it but its queue.
    pub(crate) fn keep_session(&mut self, key: SessionKey, is_whole: bool) {
        let detached = self.sessions[key].conn.is_none().then(|| self.detached(key));
        let session = &self.sessions[key];
        let filters: Vec<&str> = if is_whole { session.filters.iter().collect() } else { Vec::new() };
        // What others have to confirm is not received yet: it is repeated after a crash, and has to find its way then.
        let is_confirmed = |packet_id: &PacketId| !self.handshakes.is_unconfirmed(key, *packet_id);
        let received: Vec<PacketId> = match session.received.as_ref() {
            Some(received) if is_whole => received.iter().filter(is_confirmed).collect(),
            _ => Vec::new(),
        };
        let entry = Entry::Session(SessionEntry {
            session: session.id,
            is_whole,
            client_id: &session.client_id,
            expiry_s: session.expiry_s,
            detached,
            will: session.will.as_ref().map(|will| will.entry()),
        });
        let mut left = filters.len() + received.len();
        let at = self.store.append(&entry, left > 0);
        let base_bytes = self.store.len_from(at);
        for filter in filters {
            let held = self.trie.subscription(filter, key).or_else(|| self.groups.member(filter, key));
            let held = held.expect("a filter of the session stands in the trie or in its group");
            left -= 1;
            self.store.append(&subscribed(session.id, filter, &held), left > 0);
        }
        for packet_id in received {
            left -= 1;
            self.store.append(&Entry::Received { session: session.id, packet_id }, left > 0);
        }
        let id = session.id;
        if is_whole {
            self.store.tell(at, Holder::Session(key, id));
        }
        let session = &mut self.sessions[key];
        let before =
            std::mem::replace(&mut session.kept_bytes, u32::try_from(base_bytes).unwrap_or(u32::MAX));
        self.store.add_live(session.kept_bytes as usize);
        self.store.remove_live(before as usize);
    }

    fn detached(&self, key: SessionKey) -> Detached {
        let session = &self.sessions[key];
        Detached {
            session: session.id,
            expiry_s: session.expiry_s,
            ends_at_ms: session.ends_at.map(|at| self.store.unix_ms(at)),
            will_at_ms: session.will.as_ref().and_then(|will| will.due_at).map(|at| self.store.unix_ms(at)),
            sent: session.outbound.as_ref().map_or(0, |outbound| outbound.sent()),
        }
    }

    pub(crate) fn keep_detached(&mut self, key: SessionKey) {
        if self.is_kept(key) {
            let detached = self.detached(key);
            self.store.append(&Entry::Detached(detached), false);
        }
    }

    /// The session has ended, with its queue and its filters.
    pub(crate) fn keep_session_gone(&mut self, session: &Session) {
        if session.id == SessionId::default() {
            return;
        }
        self.store.append(&Entry::SessionGone { session: session.id }, false);
        self.store.note_end(self.placement.hash(&session.client_id));
        let filters_bytes: usize = session.filters.iter().map(subscribed_bytes).sum();
        self.store.remove_live(session.kept_bytes as usize + filters_bytes);
        for (body, bytes) in session.outbound.iter().flat_map(|outbound| outbound.bodies()) {
            self.store.let_go(body, bytes);
        }
    }

    pub(crate) fn keep_subscribed(&mut self, filter: &str, subscription: &Subscription, is_new: bool) {
        if let Some(id) = self.kept_id(subscription.session) {
            self.store.append(&subscribed(id, filter, subscription), false);
            if is_new {
                self.store.add_live(subscribed_bytes(filter));
            }
        }
    }

    /// The session gives up the filter, or ends with it.
    pub(crate) fn keep_unsubscribed(&mut self, key: SessionKey, filter: &str) {
        if let Some(id) = self.kept_id(key) {
            self.store.append(&Entry::Unsubscribed { session: id, filter }, false);
            self.store.remove_live(subscribed_bytes(filter));
        }
    }

    /// The message has got its number in the session's queue.
    pub(crate) fn keep_queued(&mut self, key: SessionKey, queued: &Queued) {
        if queued.qos == QoS::AtMostOnce {
            return;
        }
        if let Some(session) = self.kept_id(key) {
            self.store.add_receiver(&Receiver {
                session,
                number: queued.number,
                qos: queued.qos,
                retain: queued.retain,
                subscription_ids: queued.subscription_ids.clone(),
            });
        }
    }

    /// A message on its way to a crowd: those who have got it so far have a record of their own, and a block of their own. It
    /// counts only together with the others.
    #[inline(always)]
    pub(crate) fn keep_part(&mut self, carried: &mut Carried<'_>) {
        if self.store.is_crowded(carried.parts.payload.len()) {
            self.keep_crowd(carried);
        }
    }

    #[inline(never)]
    fn keep_crowd(&mut self, carried: &mut Carried<'_>) {
        let routed = self.store.take_part();
        self.append_held(&carried.keep(), &routed, true);
        self.store.put_back(routed.into_receivers());
        carried.begin_block(self.store.new_body());
    }

    /// The way of the message through this shard is over: its record says who holds it here.
    #[inline(always)]
    pub(crate) fn keep_message(&mut self, carried: &mut Carried<'_>) {
        if self.store.is_on() {
            self.keep_routed(carried);
        }
    }

    #[inline(never)]
    fn keep_routed(&mut self, carried: &mut Carried<'_>) {
        let mut routed = self.store.take_routed();
        let shares = std::mem::take(&mut routed.shares);
        let is_stored = routed.count > 0 || routed.has_parts;
        let message = matches!(routed.companion, Some(Companion::Will { .. })).then(|| carried.keep());
        let mut companions = self.companions(routed.companion.take(), message.as_ref(), &shares, is_stored);
        // Repeated after a crash, a publication of our own finds out here who has got it.
        let is_unconfirmed = self.confirmations.needed() > 0;
        if let Some(handshake) = carried.handshake.filter(|it| is_unconfirmed && it.home == self.id) {
            let copies = is_stored.then_some("").into_iter().chain(shares.iter().map(|share| &**share));
            companions.extend(copies.filter_map(|share| self.handshake_stored(handshake, share)));
        }
        let has_holders = routed.count > 0 || routed.is_retained;
        // A group that has begun with parts has an end.
        if has_holders || (routed.has_parts && companions.is_empty()) {
            self.append_held(&carried.keep(), &routed, !companions.is_empty());
        }
        for (at, companion) in companions.iter().enumerate() {
            self.store.append(companion, at + 1 < companions.len());
        }
        self.store.put_back(routed.into_receivers());
        // Nobody has to keep it.
        self.store.bodies.sweep(carried.body());
    }

    /// The records that belong to that of the message. `is_stored`: somebody's queue has got it.
    fn companions<'a>(
        &mut self,
        companion: Option<Companion>,
        will: Option<&'a Message>,
        shares: &'a [Arc<str>],
        is_stored: bool,
    ) -> SmallVec<[Entry<'a>; 2]> {
        let mut companions = SmallVec::new();
        match companion {
            // As long as others have to confirm the publication it is not taken in.
            Some(Companion::Received(session, packet_id)) if self.confirmations.needed() == 0 => {
                self.forget_handshake(Handshake { home: self.id, session, packet_id });
                companions.push(Entry::Received { session, packet_id });
            }
            Some(Companion::Handshake(handshake)) if is_stored => {
                companions.extend(self.handshake_stored(handshake, ""));
            }
            Some(Companion::SharedHandshake(handshake)) => {
                companions.extend(shares.iter().filter_map(|share| self.handshake_stored(handshake, share)));
            }
            Some(Companion::Will { session, will: name }) => {
                let message = will.expect("it goes with its message");
                companions.extend(self.will_published(session, name, message));
            }
            Some(Companion::WillAgain { will }) => companions.extend(self.will_published_again(will)),
            Some(Companion::Received(..) | Companion::Handshake(_)) | None => {}
        }
        companions
    }

    /// The message's record, and those for whom it is kept.
    fn append_held(&mut self, message: &Message, routed: &Routed, more: bool) {
        let at = self.append_message(message, routed, more);
        (0..routed.count).for_each(|_| self.store.hold(message.body(), message.bytes()));
        if routed.is_retained {
            self.store.hold_retained(message.body(), message.bytes());
        }
        self.store.tell(at, Holder::Message(message.body()));
    }

    pub(crate) fn append_message(&mut self, message: &Message, routed: &Routed, more: bool) -> usize {
        let entry = MessageEntry {
            qos: message.qos(),
            retain: message.retain(),
            is_retained: routed.is_retained,
            expires_at_ms: message.expires_at().map(|at| self.store.unix_ms(at)),
            topic: message.topic(),
            forwarded: message.forwarded(),
            payload: message.payload(),
            receivers: routed.receivers(),
        };
        self.store.append(&Entry::Message(entry), more)
    }

    /// A message of the session's queue is not owed any more: acknowledged, expired or given up.
    pub(crate) fn keep_done(&mut self, key: SessionKey, number: u64) {
        if let Some(session) = self.kept_id(key) {
            self.store.append_unawaited(&Entry::Done { session, number });
        }
    }

    pub(crate) fn keep_released(&mut self, key: SessionKey, number: u64) {
        if let Some(session) = self.kept_id(key) {
            self.store.append(&Entry::Released { session, number }, false);
        }
    }

    pub(crate) fn keep_freed(&mut self, key: SessionKey, packet_id: PacketId) {
        if let Some(session) = self.kept_id(key) {
            self.store.append(&Entry::Freed { session, packet_id }, false);
        }
    }

    pub(crate) fn keep_retained_gone(&mut self, topic: &str) {
        if self.store.is_on() {
            self.store.append(&Entry::RetainedGone { topic }, false);
        }
    }

    /// A batch is stored: those who wait for it go on with the next flush.
    pub(crate) fn handle_stored(&mut self, batch: u64, pieces: &[Piece]) {
        for (at, holder) in self.store.on_stored(batch) {
            let place = place_of(pieces, at);
            match holder {
                Holder::Session(key, id) => {
                    if let Some(session) = self.sessions.get_mut(key).filter(|session| session.id == id) {
                        session.place = place;
                    }
                }
                Holder::Message(body) => self.store.bodies.stored(body, place),
            }
        }
        self.spill_stored();
        self.keep_detaching();
        self.wake_waiting();
    }

    /// Those who wait look at the next flush whether they may go on.
    pub(crate) fn wake_waiting(&mut self) {
        for conn in self.store.take_waiting() {
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.waits = false;
            }
            self.mark_dirty(conn);
        }
    }

    pub(crate) fn send_batch(&mut self, turn: &mut Turn<'_>) {
        if self.drain.has_begun() {
            self.store.hurry();
        }
        if let Some(batch) = self.store.next_batch(turn.now) {
            turn.push(Effect::Store(batch));
        } else if let Some(at) = self.store.arm(turn.now) {
            self.timers.insert(at, Deadline::Store);
        }
    }
}

fn subscribed<'a>(session: SessionId, filter: &'a str, subscription: &Subscription) -> Entry<'a> {
    Entry::Subscribed {
        session,
        options: subscription.options,
        subscription_id: subscription.subscription_id,
        filter,
    }
}

pub(crate) fn subscribed_bytes(filter: &str) -> usize {
    record::HEADER_BYTES + 13 + filter.len()
}
