//! Queues that are longer than memory: what is stored leaves it, and comes back before it is sent.
//!
//! A message leaves only when its record is stored and its session stands there as a receiver. Where the record is, the
//! store knows by the message's number (`store/bodies.rs`), so that it may be written again elsewhere meanwhile.

use crate::{
    Effect, Fetch, Message, Shard,
    keys::SessionKey,
    outbound::{Away, Outbound, Queued},
    store::{Store, entry::Entry, log::Position, record::Record},
    takers::{BYTES_ALWAYS, takers},
    turn::Turn,
};

impl Shard {
    /// How much of the session's queue may stay in memory although it is stored.
    pub(crate) fn queue_window(&self, key: SessionKey) -> usize {
        if !self.is_kept(key) {
            return usize::MAX;
        }
        let window = self.config.limits.queue_window_bytes;
        match (takers!(self).is_memory_short(), self.sessions[key].conn) {
            (false, Some(_)) => window,
            (false, None) => (window / 16).min(ABSENT_WINDOW_BYTES),
            (true, Some(_)) => window.min(BYTES_ALWAYS),
            (true, None) => 0,
        }
    }

    /// Changes what a session has outbound, and keeps the sums over all sessions.
    pub(crate) fn with_outbound<R>(
        &mut self,
        key: SessionKey,
        change: impl FnOnce(&mut Outbound, &mut Store) -> R,
    ) -> R {
        let outbound = self.sessions[key].outbound();
        let before = (outbound.weight(), outbound.queue.away_bytes(), outbound.queue.len());
        let result = change(outbound, &mut self.store);
        self.totals.queued_bytes = self.totals.queued_bytes + outbound.weight() - before.0;
        self.totals.queued_away_bytes =
            self.totals.queued_away_bytes + outbound.queue.away_bytes() - before.1;
        self.totals.queued_messages = self.totals.queued_messages + outbound.queue.len() - before.2;
        result
    }

    /// The end of the queue leaves the memory when it is stored.
    #[inline]
    pub(crate) fn note_spilling(&mut self, key: SessionKey) {
        let Some(outbound) = self.sessions[key].outbound.as_mut() else { return };
        if outbound.queue.has_unseen() && !outbound.is_spilling && self.store.is_on() {
            outbound.is_spilling = true;
            self.spilling.push(self.sessions[key].id);
        }
    }

    /// A batch is stored, and knows its place.
    pub(crate) fn spill_stored(&mut self) {
        let mut spilling = std::mem::take(&mut self.spilling);
        spilling.retain(|id| {
            let Some(key) = self.kept_session(*id) else { return false };
            let window = self.queue_window(key);
            self.with_outbound(key, |outbound, store| {
                outbound.is_spilling =
                    outbound.queue.spill(window, |body, topic| store.bodies.leaves(body, topic));
                outbound.is_spilling
            })
        });
        self.spilling = spilling;
    }

    /// The session has no connection any more.
    pub(crate) fn retreat(&mut self, key: SessionKey) {
        if self.is_kept(key) && self.sessions[key].outbound.is_some() {
            let window = self.queue_window(key);
            self.with_outbound(key, |outbound, store| {
                outbound.retreat(window, |body, topic| store.bodies.leaves(body, topic));
            });
            self.note_spilling(key);
        }
    }

    /// Brings back what the client is sent next, if it is elsewhere.
    pub(crate) fn fetch_more(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let Some(outbound) = self.sessions[key].outbound.as_ref() else { return };
        if outbound.fetching > 0 || !outbound.wants_more() || self.ready(key).is_none() {
            return;
        }
        let (session, window) = (self.sessions[key].id, self.queue_window(key));
        let Some(outbound) = self.sessions[key].outbound.as_mut() else { return };
        let mut count = 0;
        for Away { number, body, bytes } in outbound.wanted(window) {
            let position = Position::from_u64(self.store.bodies.place(body));
            turn.push(Effect::Fetch(Fetch { session, number, position, bytes }));
            count += 1;
        }
        outbound.fetching = count;
        outbound.queue.count_ready();
    }

    pub(crate) fn handle_fetched(&mut self, fetch: Fetch, record: Option<&Record<'_>>, turn: &mut Turn<'_>) {
        let Some(key) = self.kept_session(fetch.session) else { return };
        let session = &mut self.sessions[key];
        let is_connected = session.conn.is_some();
        let Some(outbound) = session.outbound.as_mut().filter(|outbound| outbound.fetching > 0) else {
            return;
        };
        outbound.fetching -= 1;
        // It stands there and nowhere else: nothing behind it can be sent, and to ask again would bring no more.
        if record.is_none()
            && self.store.has_failed()
            && let Some(away) = outbound.away(fetch.number)
            && self.store.bodies.place(away.body) == fetch.position.to_u64()
            && let Some(conn) = session.conn
        {
            return self.give_up_waiting(conn, turn);
        }
        if is_connected
            && let Some(away) = outbound.away(fetch.number)
            && let Some(record) = record
            // It may have been written again elsewhere, or the number be that of another message by now.
            && self.store.bodies.place(away.body) == fetch.position.to_u64()
        {
            let queued = self.queued_again(&fetch, &away, record);
            self.with_outbound(key, |outbound, _| outbound.bring_back(queued));
        }
        let outbound = self.sessions[key].outbound();
        if outbound.fetching == 0 {
            outbound.queue.count_ready();
            self.pump(key, turn);
        }
    }

    fn queued_again(&self, fetch: &Fetch, away: &Away, record: &Record<'_>) -> Queued {
        let Ok(Entry::Message(entry)) = Entry::decode(record) else {
            panic!("{:?} is the place of a message", fetch.position);
        };
        let is_it = |session, number| session == fetch.session && number == fetch.number;
        let receiver = entry.receivers.iter().find(|receiver| is_it(receiver.session, receiver.number));
        let receiver = receiver.expect("a message names those whose queues it is in");
        let expires_at = entry.expires_at_ms.map(|at| self.store.instant(at));
        let message = Message::with_body(&entry.parts(expires_at), away.body);
        Queued {
            message,
            number: fetch.number,
            qos: receiver.qos,
            retain: receiver.retain,
            subscription_ids: receiver.subscription_ids,
        }
    }
}

/// What a session that is away keeps in memory of what is stored: enough for a client that comes back to a few messages.
const ABSENT_WINDOW_BYTES: usize = 16 << 10;
