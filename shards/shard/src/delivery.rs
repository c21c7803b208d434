//! From the router to one client: sent at once if that may be, queued if not, dropped and counted if it must be.
//!
//! The order of the messages is the order in which they came here, whatever their QoS: nothing overtakes the queue.

use mqtt::{Ack, Alias, Forward, Packet, PacketId, QoS, Received, Version};

use crate::{
    Cause, Effect, IS_WATCHED, Instant, Note, Outgoing, QueueFull, Shard, What,
    confirm::Needs,
    connection::{Aliases, Connection},
    keys::SessionKey,
    losses::{TOPIC_BYTES_MAX, cut},
    message::Parts,
    outbound::{Again, First, Load, Outbound, Popped, Queued, Taken},
    outgoing::{SHARED_PAYLOAD_BYTES_MIN, SHARED_PAYLOADS_MAX},
    recorder::{Direction, Entry},
    router::Carried,
    session::Delivery,
    takers::{Obstacle, takers},
    turn::Turn,
};

impl Shard {
    pub(crate) fn deliver(
        &mut self,
        key: SessionKey,
        delivery: &Delivery<'_>,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) {
        if self.permissions.is_some() && !self.may_receive(key, carried.parts.topic, turn) {
            return;
        }
        let session = &self.sessions[key];
        if session.conn.is_none() && !takers!(self).waits_for_absent(delivery.qos) {
            self.lose(key, Cause::OfflineQos0, carried.parts.topic, turn.now);
        } else if carried.is_expired(turn.now) {
            self.lose(key, Cause::Expired, carried.parts.topic, turn.now);
        } else if let Some(obstacle) = takers!(self).obstacle(key, delivery.qos) {
            self.enqueue(key, Queued::new(carried.keep(), delivery), obstacle, turn);
        } else if delivery.qos == QoS::AtMostOnce {
            self.transmit(key, &Sending { delivery, packet_id: None, dup: false }, carried, turn);
        } else {
            let mut queued = Queued::new(carried.keep(), delivery);
            self.sessions[key].outbound().number(&mut queued);
            let sending = Sending { delivery, packet_id: Some(queued.packet_id()), dup: false };
            // What the client does not take is nobody's: there is nothing to keep.
            if self.transmit(key, &sending, carried, turn) {
                self.keep_queued(key, &queued);
                self.note_sent(key, queued, turn.now);
            }
        }
    }

    /// It was sent at QoS 1 or 2.
    fn note_sent(&mut self, key: SessionKey, queued: Queued, now: Instant) {
        self.hold_back(key, &queued);
        self.totals.queued_bytes += queued.weight();
        self.totals.inflight_messages += 1;
        self.sessions[key].outbound().inflight.insert(queued, now);
    }

    /// Encodes a PUBLISH into the client's outbox. False: it exceeds the client's maximum packet size, or is nothing that the client can
    /// see, and was dropped.
    /// [MQTT-3.1.2-24] [MQTT-3.1.2-25]
    pub(crate) fn transmit(
        &mut self,
        key: SessionKey,
        sending: &Sending<'_>,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(topic) = self.seen_by(key, carried.parts.topic) else {
            self.lose(key, Cause::BeyondMount, carried.parts.topic, turn.now);
            return false;
        };
        let session = &mut self.sessions[key];
        let conn = session.conn.expect("only a connected client is sent to");
        let connection = self.connections.get_mut(conn).expect("a session's connection is in the table");
        let delivery = sending.delivery;
        let mut forward = make_forward(connection.version, sending, &carried.parts, turn.now);
        forward.topic = topic;
        forward.alias = connection.alias_for(topic);
        let received = carried.received.filter(|received| {
            topic.len() == carried.parts.topic.len()
                && received.len() < SHARED_PAYLOAD_BYTES_MIN
                && received.len() <= connection.packet_bytes_max as usize
                && received.is_like(&forward)
        });
        if received.is_none() && !connection.lets_fit(&mut forward) {
            self.lose(key, Cause::PacketTooLarge, carried.parts.topic, turn.now);
            return false;
        }
        if let Alias::Define(alias) = forward.alias {
            connection.aliases().outbound.insert(topic.into(), alias);
        }
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(conn);
        }
        let is_metered = connection.meters().is_some();
        let outbox = connection.outbox(turn.effects);
        let begin = outbox.bytes.len();
        let bytes = encode(outbox, received, &forward, carried);
        self.totals.unsent_bytes += bytes;
        if IS_WATCHED {
            self.counters.publish_sent += 1;
            self.counters.publish_bytes_sent += carried.parts.payload.len() as u64;
        }
        let first = outbox.bytes.get(begin).copied().unwrap_or(0);
        let topic = carried.parts.topic;
        let entry = Entry::publish(Direction::Sent, turn.now, bytes, sending.packet_id, first);
        self.recording.publish(&mut session.recorder, entry, topic, delivery.topic);
        if self.is_tapped() {
            self.tap_sent(conn, key, begin, topic, carried.parts.payload, turn);
        }
        if is_metered {
            self.pay_delivery(conn, bytes, turn.now);
        }
        true
    }

    fn enqueue(&mut self, key: SessionKey, mut queued: Queued, obstacle: Obstacle, turn: &mut Turn<'_>) {
        let load = queued.load();
        if takers!(self).queue_lacks(key, load).is_some() {
            self.drop_expired(key, turn);
        }
        while let Some(cause) = takers!(self).queue_lacks(key, load) {
            if self.drops_first_expired(key, turn.now) {
                continue;
            }
            self.note_loss(key, cause.into(), queued.message.topic(), turn);
            match self.oldest_that_gives_way(key, load) {
                Some(oldest) => {
                    self.lose_popped(key, cause.into(), &oldest, turn.now);
                    self.give_up(key, &oldest);
                    self.note_giving_way();
                }
                None => return self.lose(key, cause.into(), queued.message.topic(), turn.now),
            }
        }
        self.totals.queued_bytes += load.weight;
        self.totals.queued_messages += 1;
        let window = self.queue_window(key);
        self.sessions[key].outbound().number(&mut queued);
        self.keep_queued(key, &queued);
        let expires = queued.message.expires_at().is_some();
        self.sessions[key].outbound().queue.push(queued, window);
        self.counters.waited_unsent += u64::from(obstacle == Obstacle::Socket);
        self.note_spilling(key);
        if expires && let Some(due_at) = self.sessions[key].due_at() {
            self.arm_session(key, due_at, turn);
        }
    }

    /// [MQTT-3.3.2-5] What nobody may get any more takes no room from what they may. One tick looks at so many messages of all
    /// queues; the others follow in the next ones.
    pub(crate) fn drop_expired(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let is_due = |outbound: &Outbound| outbound.queue.expiry_look_at().is_some_and(|at| at <= turn.now);
        let looks_max = self.expiry_looks;
        if looks_max == 0 || !self.sessions[key].outbound.as_deref().is_some_and(is_due) {
            return;
        }
        let expired = self.with_outbound(key, |outbound, _| outbound.drop_expired(turn.now, looks_max));
        self.expiry_looks -= expired.looks;
        for popped in &expired.messages {
            self.lose_popped(key, Cause::Expired, popped, turn.now);
            self.give_up(key, popped);
            self.note_giving_way();
        }
    }

    /// The message that is sent next has expired. True: it is gone. What it takes is part of what this tick may look at.
    fn drops_first_expired(&mut self, key: SessionKey, now: Instant) -> bool {
        let outbound = self.sessions[key].outbound.as_deref();
        if !outbound.is_some_and(|outbound| outbound.queue.is_first_expired(now)) {
            return false;
        }
        if let Some(popped) = self.pop_queued(key) {
            self.expiry_looks = self.expiry_looks.saturating_sub(1);
            self.lose_popped(key, Cause::Expired, &popped, now);
            self.give_up(key, &popped);
            self.note_giving_way();
        }
        true
    }

    /// None: it is the newest that is dropped. Nothing is sacrificed for a message that could not be queued even then.
    fn oldest_that_gives_way(&mut self, key: SessionKey, load: Load) -> Option<Popped> {
        let limits = &self.config.limits;
        if limits.queue_full == QueueFull::DropNewest || load.waiting_bytes > limits.queued_bytes_max {
            return None;
        }
        let outbound = self.sessions[key].outbound.as_mut()?;
        let others = self.totals.queued_bytes + self.totals.unsent_bytes - outbound.queue.weight();
        if others + load.weight > limits.queue_memory_max {
            return None;
        }
        self.pop_queued(key)
    }

    pub(crate) fn pop_queued(&mut self, key: SessionKey) -> Option<Popped> {
        self.with_outbound(key, |outbound, _| outbound.pop())
    }

    fn note_loss(&mut self, key: SessionKey, cause: Cause, topic: &str, turn: &mut Turn<'_>) {
        let session = &mut self.sessions[key];
        let (conn, client_id) = (session.conn, Some(session.client_id.clone()));
        let outbound = session.outbound();
        if !outbound.loss_noted {
            outbound.loss_noted = true;
            let what = What::QueueFull { cause, topic: cut(topic, TOPIC_BYTES_MAX).into() };
            turn.push(Effect::Note(Note { conn, client_id, user: None, what }));
        }
    }

    /// Sends what may be sent now: first again what an earlier connection left open, then the queue.
    pub(crate) fn pump(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        while self.send_again(key, turn) {}
        while self.send_queued(key, turn) {}
        self.fetch_more(key, turn);
        self.replay_on(key, turn);
    }

    /// The connected client that can take more bytes.
    pub(crate) fn ready(&self, key: SessionKey) -> Option<&Connection> {
        let connection = self.connections.get(self.sessions[key].conn?)?;
        let has_room = connection.unsent_bytes() < self.config.limits.outbox_bytes_max;
        (has_room && !connection.is_held_back()).then_some(connection)
    }

    /// [MQTT-4.4.0-1] Once per connection, with the original packet ids and in the original order.
    fn send_again(&mut self, key: SessionKey, turn: &mut Turn<'_>) -> bool {
        let Some(receive_maximum) = self.ready(key).map(|connection| connection.receive_maximum) else {
            return false;
        };
        let session = &mut self.sessions[key];
        let Some(outbound) = session.outbound.as_mut() else { return false };
        match outbound.inflight.next_again() {
            None | Some(Again::Away) => return false,
            Some(Again::Pubrel(packet_id)) => {
                outbound.inflight.sent_again();
                let conn = session.conn.expect("only a connected client is ready");
                self.reply(conn, &Packet::Pubrel(Ack::new(packet_id)), turn);
            }
            Some(Again::Publish(packet_id, queued)) => {
                if outbound.inflight.outstanding() >= receive_maximum {
                    return false;
                }
                outbound.inflight.sent_again();
                let sending = Sending { delivery: &queued.delivery(), packet_id: Some(packet_id), dup: true };
                let is_denied =
                    self.permissions.is_some() && !self.may_receive(key, queued.message.topic(), turn);
                if !is_denied && self.transmit(key, &sending, &mut Carried::of(&queued.message), turn) {
                    self.hold_back(key, &queued);
                } else {
                    self.give_up_redelivery(key, packet_id, queued.qos, turn);
                }
            }
        }
        true
    }

    /// The message does not fit the client, and counts as delivered. At QoS 2 the client may hold its packet id since the
    /// first sending, so that the handshake goes on. [MQTT-3.1.2-25]
    fn give_up_redelivery(&mut self, key: SessionKey, packet_id: PacketId, qos: QoS, turn: &mut Turn<'_>) {
        if qos != QoS::ExactlyOnce {
            self.forget_inflight(key, packet_id);
            return;
        }
        self.release_inflight(key, packet_id);
        if let Some(conn) = self.sessions[key].conn {
            self.reply(conn, &Packet::Pubrel(Ack::new(packet_id)), turn);
        }
    }

    /// The first of the queue may not go to its client. True: it is gone.
    fn drops_denied(&mut self, key: SessionKey, turn: &mut Turn<'_>) -> bool {
        let Some(outbound) = self.sessions[key].outbound.as_ref() else { return false };
        let Some(First::Here(front)) = outbound.queue.first() else { return false };
        let message = front.message.clone();
        if outbound.inflight.is_resending() || self.may_receive(key, message.topic(), turn) {
            return false;
        }
        if let Some(popped) = self.pop_queued(key) {
            self.give_up(key, &popped);
        }
        true
    }

    fn send_queued(&mut self, key: SessionKey, turn: &mut Turn<'_>) -> bool {
        if self.permissions.is_some() && self.ready(key).is_some() && self.drops_denied(key, turn) {
            return true;
        }
        let Some(connection) = self.ready(key) else { return false };
        let session = &self.sessions[key];
        let Some(outbound) = session.outbound.as_ref() else { return false };
        let Some(First::Here(front)) = outbound.queue.first() else { return false };
        if outbound.inflight.is_resending() {
            return false;
        }
        // [MQTT-3.3.2-5]
        let expired = front.message.is_expired(turn.now);
        if !expired && front.qos != QoS::AtMostOnce && !takers!(self).has_quota(session, connection) {
            self.counters.waited_inflight += 1;
            return false;
        }
        let dup = outbound.is_maybe_sent(front);
        let Some(popped) = self.pop_queued(key) else { return false };
        if expired {
            self.lose_popped(key, Cause::Expired, &popped, turn.now);
            self.give_up(key, &popped);
            return true;
        }
        let Popped::Here(queued) = popped else { unreachable!("the first message is here") };
        let message = queued.message.clone();
        let carried = &mut Carried::of(&message);
        let delivery = queued.delivery();
        if queued.qos == QoS::AtMostOnce {
            self.transmit(key, &Sending { delivery: &delivery, packet_id: None, dup }, carried, turn);
        } else {
            let sending = Sending { delivery: &delivery, packet_id: Some(queued.packet_id()), dup };
            if self.transmit(key, &sending, carried, turn) {
                self.note_sent(key, queued, turn.now);
            } else {
                self.give_up(key, &Popped::Here(queued));
            }
        }
        true
    }

    /// A session has a connection again.
    pub(crate) fn resume_session(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        if let Some(outbound) = self.sessions[key].outbound.as_mut() {
            outbound.inflight.restart();
        }
        self.pump(key, turn);
        self.watch_losses(key, turn);
    }

    pub(crate) fn forget_inflight(&mut self, key: SessionKey, packet_id: PacketId) {
        let Some((number, taken)) = self.sessions[key].outbound().inflight.remove(packet_id) else { return };
        self.let_go_of(key, &taken);
        self.keep_done(key, number);
    }

    /// PUBREC came, or is not waited for.
    pub(crate) fn release_inflight(&mut self, key: SessionKey, packet_id: PacketId) {
        let Some((number, taken)) = self.sessions[key].outbound().inflight.release(packet_id) else { return };
        if matches!(taken, Taken::Released) {
            return;
        }
        self.keep_released(key, number);
        self.let_go_of(key, &taken);
    }

    /// The client has taken over what was in flight.
    fn let_go_of(&mut self, key: SessionKey, taken: &Taken) {
        let (body, bytes) = match taken {
            Taken::Here(queued) => {
                self.totals.queued_bytes -= queued.weight();
                (queued.message.body(), queued.message.bytes())
            }
            Taken::Away(away) => (away.body, away.bytes as usize),
            Taken::Released => return,
        };
        self.totals.inflight_messages -= 1;
        if self.is_kept(key) {
            self.store.let_go(body, bytes);
        }
    }

    /// A message that was queued is not sent.
    pub(crate) fn give_up(&mut self, key: SessionKey, popped: &Popped) {
        if !self.is_kept(key) {
            return;
        }
        let (number, body, bytes) = match popped {
            Popped::Here(queued) if queued.qos == QoS::AtMostOnce => return,
            Popped::Here(queued) => (queued.number, queued.message.body(), queued.message.bytes()),
            Popped::Away(away) => (away.number, away.body, away.bytes as usize),
        };
        let is_stored = self.store.bodies.is_stored(body);
        // It may give way to another copy of itself: then it is not in the record yet.
        if !is_stored && self.store.remove_receiver(self.sessions[key].id, number) {
            return;
        }
        self.keep_done(key, number);
        self.store.let_go(body, bytes);
    }

    /// A message at QoS 2 goes out when it is stored: if we came back without it, its packet id would be given to another
    /// message, which the client would take for this one. What made room for it in the window is stored by then as well:
    /// if we came back without that, it would stand beyond the window and count as never sent.
    fn hold_back(&mut self, key: SessionKey, queued: &Queued) {
        if queued.qos == QoS::ExactlyOnce && self.is_kept(key) {
            let batch = self.store.last();
            self.store.hurry();
            if let Some(connection) = self.sessions[key].conn.and_then(|conn| self.connections.get_mut(conn))
            {
                connection.needs = connection.needs.and(Needs { batch, question: 0 });
            }
        }
    }
}

/// A delivery with what this very sending adds.
pub(crate) struct Sending<'a> {
    pub delivery: &'a Delivery<'a>,
    pub packet_id: Option<PacketId>,
    pub dup: bool,
}

fn make_forward<'a>(
    version: Version,
    sending: &'a Sending<'_>,
    parts: &Parts<'a>,
    now: Instant,
) -> Forward<'a> {
    Forward {
        version,
        dup: sending.dup,
        qos: sending.delivery.qos,
        retain: sending.delivery.retain,
        topic: parts.topic,
        alias: Alias::None,
        packet_id: sending.packet_id,
        message_expiry_interval_s: parts.expires_at.map(|at| seconds_left(at, now)),
        subscription_ids: sending.delivery.subscription_ids,
        forwarded: parts.forwarded,
        payload_len: parts.payload.len(),
    }
}

/// [MQTT-3.3.2-6] Whole seconds that have passed are taken off; a second that has begun still counts.
fn seconds_left(at: Instant, now: Instant) -> u32 {
    let left = at.since(now);
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Gives back how many bytes it takes. `received`: it goes out as it came.
#[inline(always)]
fn encode(
    outbox: &mut Outgoing,
    received: Option<Received<'_>>,
    forward: &Forward<'_>,
    carried: &mut Carried<'_>,
) -> usize {
    let before = outbox.len();
    match received {
        Some(received) => received.encode(forward.packet_id, &mut outbox.bytes),
        None => {
            forward.encode_head(&mut outbox.bytes);
            push_payload(outbox, carried);
        }
    }
    outbox.packets += 1;
    outbox.len() - before
}

fn push_payload(outbox: &mut Outgoing, carried: &mut Carried<'_>) {
    let payload = carried.parts.payload;
    if payload.len() >= SHARED_PAYLOAD_BYTES_MIN && outbox.shared_count() < SHARED_PAYLOADS_MAX {
        outbox.push_shared(carried.keep());
    } else {
        outbox.bytes.extend_from_slice(payload);
    }
}

impl Connection {
    /// Within what the client takes, at the cost of a topic alias if need be. [MQTT-3.1.2-24]
    #[inline(always)]
    fn lets_fit(&self, forward: &mut Forward<'_>) -> bool {
        let most = self.packet_bytes_max as usize;
        if forward.size() <= most {
            return true;
        }
        forward.alias = Alias::None;
        forward.size() <= most
    }

    /// [MQTT-3.1.2-26] An alias within the client's maximum, if this topic has one or one is left.
    fn alias_for(&self, topic: &str) -> Alias {
        if self.topic_alias_max == 0 || !ALIASED_TOPIC_BYTES.contains(&topic.len()) {
            return Alias::None;
        }
        let known: Option<&Aliases> = self.aliases.as_deref();
        match known.and_then(|aliases| aliases.outbound.get(topic)) {
            Some(alias) => Alias::Known(*alias),
            None => {
                let used = known.map_or(0, |aliases| aliases.outbound.len());
                let next = u16::try_from(used + 1).ok().filter(|next| *next <= self.topic_alias_max);
                next.map_or(Alias::None, Alias::Define)
            }
        }
    }
}

/// An alias takes three bytes itself, so that shorter topics gain nothing; longer ones would cost too much memory.
const ALIASED_TOPIC_BYTES: std::ops::RangeInclusive<usize> = 4..=1024;
