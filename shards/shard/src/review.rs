//! What is alive in the oldest part of the store is written again, so that the part can be given up.
//!
//! A record is alive where it stands only if the shard knows that place: what was written again since then stands
//! elsewhere. Records that say that something is over, and changes to a session, are never alive here: what they belong to
//! is older than they are, or has been written again as a whole.

use crate::{
    Message, Shard,
    keys::SessionKey,
    store::{
        Holder,
        bodies::BodyId,
        entry::{Entry, MessageEntry, Receiver, SessionId},
        log::Position,
        record::Record,
    },
};

impl Shard {
    /// One record of a part that is to be given up. When everything is stored that was written by then
    /// (`Shard::last_batch`), it is not needed any more.
    pub(crate) fn handle_review(&mut self, record: &Record<'_>) {
        match Entry::decode(record) {
            Ok(Entry::Session(entry)) if entry.is_whole => {
                self.review_session(entry.session, record.position)
            }
            Ok(Entry::Message(entry)) => self.review_message(&entry, record.position),
            Ok(Entry::WillPublished { will, .. }) => self.review_will(will),
            Ok(Entry::Released { session, number }) => self.review_released(session, number),
            Ok(Entry::Handshake { handshake, share }) if self.handshakes.is_stored(handshake, share) => {
                self.store.append(&Entry::Handshake { handshake, share }, false);
            }
            Ok(Entry::HandshakePart { handshake, first, last })
                if self.handshakes.has_part(handshake, (first, last)) =>
            {
                self.store.append(&Entry::HandshakePart { handshake, first, last }, false);
            }
            // What cannot be read was refused when the store was opened, or was written by us.
            Ok(_) | Err(_) => {}
        }
    }

    pub(crate) fn kept_session(&self, id: SessionId) -> Option<SessionKey> {
        let key = id.key();
        self.sessions.get(key).is_some_and(|session| session.id == id).then_some(key)
    }

    fn review_session(&mut self, id: SessionId, position: Position) {
        let Some(key) = self.kept_session(id) else { return };
        if self.sessions[key].place == position.to_u64() {
            self.keep_session(key, true);
        }
    }

    fn review_message(&mut self, entry: &MessageEntry<'_>, position: Position) {
        let place = position.to_u64();
        let mut alive: Option<BodyId> = None;
        for receiver in entry.receivers.iter() {
            if let Some(body) =
                self.body_for(&receiver).filter(|body| self.store.bodies.place(*body) == place)
            {
                self.store.add_receiver(&receiver);
                alive = Some(body);
            }
        }
        if entry.is_retained
            && let Some(held) = self.retained.get(entry.topic).map(Message::body)
            && self.store.bodies.place(held) == place
        {
            alive = Some(held);
            self.store.set_retained();
        }
        if let Some(body) = alive {
            let routed = self.store.take_routed();
            let is_retained = routed.is_retained;
            let entry = MessageEntry { receivers: routed.receivers(), is_retained, ..entry.clone() };
            let at = self.store.append(&Entry::Message(entry), false);
            self.store.tell(at, Holder::Message(body));
            self.store.put_back(routed.into_receivers());
        }
    }

    /// The message in the queue of this receiver, or in flight to it.
    fn body_for(&self, receiver: &Receiver) -> Option<BodyId> {
        let key = self.kept_session(receiver.session)?;
        self.sessions[key].outbound.as_ref()?.body(receiver.number)
    }

    fn review_released(&mut self, session: SessionId, number: u64) {
        let Some(key) = self.kept_session(session) else { return };
        if self.sessions[key].outbound.as_ref().is_some_and(|outbound| outbound.inflight.is_released(number))
        {
            self.keep_released(key, number);
        }
    }
}
