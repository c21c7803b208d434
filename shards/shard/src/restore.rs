//! What a store gave back becomes the state of a shard, before the first event.

use mqtt::PacketId;

use crate::{
    Effect, Instant, Message, Shard, ShardSet,
    announce::filter_of_group,
    filters::is_shared,
    keep::subscribed_bytes,
    keys::SessionKey,
    outbound::{Away, State},
    session::{Session, Sessions},
    store::{
        bodies::{Bodies, BodyId},
        entry::{Detached, SessionId},
        restoring::{Kept, Owed, Own, Restoring},
    },
    trie::Subscription,
    turn::Turn,
};

impl Shard {
    /// Puts everything into its place and tells the other shards what is subscribed to here. `Effect::Restored` follows when
    /// this is known of them, too; until all shards have said it nobody should be let in. Sessions whose time is over
    /// meanwhile end after that.
    pub fn restore(&mut self, mut restoring: Restoring, now: Instant, effects: &mut crate::Effects) {
        assert!(self.sessions.len() == 0, "a shard is restored before anything happens to it");
        let turn = &mut Turn { now, effects };
        self.store.bodies.take_over(std::mem::replace(&mut restoring.bodies, Bodies::new(0)));
        let mut retained: Vec<Message> = restoring.retained.drain().map(|(_, message)| message).collect();
        retained.sort_unstable_by(|one, other| one.topic_bytes().cmp(other.topic_bytes()));
        for message in retained {
            self.restore_retained(message, now);
        }
        self.arm_retained(now);
        self.tell_of_retained_beyond_limits(turn);
        self.store.add_live(restoring.handshakes.bytes());
        self.handshakes = std::mem::take(&mut restoring.handshakes);
        self.store.skip_session_id(restoring.newest);
        self.handshakes.set_earlier(restoring.newest);
        self.restore_wills(std::mem::take(&mut restoring.wills));
        let told = self.restore_sessions(restoring, now);
        self.keep_detaching();
        // What was replaced, or acknowledged, was somebody's for a while.
        self.store.bodies.sweep_all();
        // Who stored what was not released is not known any more: all are told when it is.
        let peers: ShardSet = self.peers().collect();
        for (key, packet_id) in told {
            self.handshakes.set_told(self.sessions[key].id, packet_id, peers);
        }
        self.ask_for_publishers(turn);
        self.announce_restored(turn);
    }

    /// Gives back what publishers have not released.
    fn restore_sessions(&mut self, mut restoring: Restoring, now: Instant) -> Vec<(SessionKey, PacketId)> {
        let mut sessions: Vec<Box<Kept>> = restoring.take_sessions().collect();
        let mut sent = Vec::with_capacity(sessions.len());
        let mut table = std::mem::replace(&mut self.sessions, Sessions::new(0));
        table.restore(sessions.iter_mut().map(|kept| {
            let own = kept.own.take().expect("a session without a record of its own is none");
            sent.push(own.detached.map(|detached| detached.sent));
            (kept.id.key(), self.restored_session(kept.id, own, now))
        }));
        self.sessions = table;
        let mut told = Vec::new();
        for (mut kept, sent) in sessions.into_iter().zip(sent) {
            let session = kept.id.key();
            for (filter, (options, subscription_id)) in kept.take_filters() {
                self.restore_subscription(&filter, Subscription { session, options, subscription_id });
            }
            let queue = kept.queue.sorted();
            self.restore_queue(session, &queue, sent);
            if !kept.received.is_empty() {
                let ids = self.sessions[session].received.get_or_insert_default();
                for packet_id in kept.received {
                    ids.insert(packet_id);
                    told.push((session, packet_id));
                }
            }
            // Without a queue the numbers begin anew.
            if self.sessions[session].place == 0 {
                // Its own record is lost, and what came after it is all that there is.
                self.keep_session(session, true);
            } else if sent.is_none() || queue.is_empty() && sent != Some(0) {
                self.detaching.push(session);
            }
        }
        told
    }

    /// The ends of connections that nobody saw are stored a part at a time: all of a million clients may have been connected.
    pub(crate) fn keep_detaching(&mut self) {
        for _ in 0..DETACHED_PER_BATCH {
            let Some(key) = self.detaching.pop() else { return };
            if self.sessions.get(key).is_some_and(|session| session.conn.is_none()) {
                self.keep_detached(key);
            }
        }
    }

    fn restore_retained(&mut self, message: Message, now: Instant) {
        if message.is_expired(now) {
            return;
        }
        self.store.hold_retained(message.body(), message.bytes());
        self.retained.restore(message);
    }

    fn restored_session(&mut self, id: SessionId, own: Own, now: Instant) -> Session {
        let mut session = Session::new(own.client_id);
        self.totals.session_bytes += session.client_id.len();
        session.id = id;
        session.place = own.place;
        session.kept_bytes = own.bytes;
        self.store.add_live(own.bytes as usize);
        session.expiry_s = own.expiry_s;
        session.will = own.will;
        let ends_at =
            |now: Instant| (own.expiry_s != u32::MAX).then(|| now.add_secs(u64::from(own.expiry_s)));
        let (ends_at, will_at) = match own.detached {
            Some(Detached { ends_at_ms, will_at_ms, .. }) => {
                (ends_at_ms.map(|at| self.store.instant(at)), will_at_ms.map(|at| self.store.instant(at)))
            }
            // It lost its connection when the broker ended.
            None => {
                let delay_s = session.will.as_ref().map(|will| will.delay_s);
                (ends_at(now), delay_s.map(|delay_s| now.add_secs(u64::from(delay_s))))
            }
        };
        session.ends_at = ends_at;
        if let Some(will) = session.will.as_mut() {
            will.due_at = will_at;
            self.totals.will_bytes += will.message.weight();
        }
        session
    }

    fn restore_subscription(&mut self, filter: &str, subscription: Subscription) {
        if is_shared(filter) {
            let joined = self.groups.join(filter, subscription, false);
            if joined.created {
                self.trie.add_group(filter_of_group(filter), joined.key);
            }
        } else {
            self.trie.subscribe(filter, subscription);
        }
        self.take_filter(subscription.session, filter);
        self.store.add_live(subscribed_bytes(filter));
    }

    /// What may have been sent is sent again, as such; what was certainly not is sent for the first time. The messages
    /// themselves stay where they are.
    fn restore_queue(&mut self, key: SessionKey, queue: &[(u64, Owed)], sent: Option<u64>) {
        let Some(&(last, _)) = queue.last() else { return };
        let mut inflight_left = usize::from(self.config.limits.inflight_max);
        let last_released = queue.iter().rfind(|(_, owed)| *owed == Owed::Released);
        let last_released = last_released.map_or(0, |(number, _)| *number);
        // Nobody knows what went out to a client that was connected.
        let maybe_sent = sent.unwrap_or(last);
        self.with_outbound(key, |outbound, _| {
            // Numbers of what was acknowledged are not given again: they would count as sent.
            outbound.set_last_number(last.max(maybe_sent));
            outbound.set_maybe_sent(maybe_sent);
            for &(number, owed) in queue {
                let has_id = outbound.inflight.has_id_for(number);
                let (body, bytes, qos, expires_at) = match owed {
                    Owed::Message { body, bytes, qos, expires_at } => (body, bytes, qos, expires_at),
                    // Without an id it was not in flight together with the oldest: what ended that one is lost.
                    Owed::Released if !has_id => continue,
                    Owed::Released => {
                        outbound.inflight.restore(number, State::Released);
                        continue;
                    }
                };
                let may_be_sent = number <= maybe_sent && inflight_left > 0 && outbound.queue.is_empty();
                if has_id && (number < last_released || may_be_sent) {
                    inflight_left = inflight_left.saturating_sub(1);
                    outbound.inflight.restore(number, State::Away { body, bytes, qos });
                } else {
                    outbound.queue.restore(Away { number, body, bytes }, expires_at);
                }
            }
        });
        self.totals.inflight_messages += self.sessions[key].outbound().inflight.publishes();
        let bodies: Vec<(BodyId, usize)> = self.sessions[key].outbound().bodies().collect();
        for (body, bytes) in bodies {
            self.store.hold(body, bytes);
        }
    }

    /// All subscriptions of other shards are known, so that what time brings about finds its way: wills, for one.
    pub(crate) fn finish_restore(&mut self, turn: &mut Turn<'_>) {
        for key in self.sessions.keys() {
            if let Some(at) = self.sessions[key].due_at() {
                self.arm_session(key, at.max(turn.next_instant()), turn);
            }
        }
        self.publish_restored_wills(turn);
        turn.push(Effect::Restored);
    }
}

/// They stand in one batch, and others wait for it.
const DETACHED_PER_BATCH: usize = 10_000;
