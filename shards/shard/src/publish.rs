//! A client's PUBLISH: what is checked before the message is routed, and the answer.

use std::rc::Rc;

use access::{Action, Ask};
use mqtt::{Ack, Packet, Publish, QoS, ReasonCode, Received, Version, Violation};

use crate::{
    Cause, ConnId, Handshake, IS_WATCHED, Shard,
    fullness::StoreLack,
    keys::SessionKey,
    losses::Owner,
    message::Parts,
    receive::{Breach, Quota, protocol_error},
    router::Carried,
    routes::Known,
    store::Companion,
    turn::Turn,
};

/// What is known of a PUBLISH before its way through the shard begins. Nothing of it has to be.
#[derive(Default)]
pub(crate) struct Way<'a> {
    /// Its bytes, where they are a form for receivers.
    pub received: Option<Received<'a>>,
    /// Where its topic leads.
    pub known: Option<Rc<Known>>,
    /// Its name, where it has one.
    pub handshake: Option<Handshake>,
    /// Why it cannot be retained.
    pub lack: Option<StoreLack>,
}

/// What a publisher is told, and what its message is lost by.
pub(crate) type Refusal = (ReasonCode, Cause);

impl Shard {
    pub(crate) fn on_publish(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        publish: &Publish<'_>,
        way: Way<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Breach> {
        if IS_WATCHED {
            self.counters.publish_bytes_received += publish.payload.len() as u64;
        }
        // [MQTT-3.3.4-6]
        if !publish.properties.subscription_ids.is_empty() {
            return Err(protocol_error("a subscription identifier in a PUBLISH of a client").into());
        }
        if let Some(mount) = self.mount_of(conn) {
            let topic = match publish.properties.topic_alias {
                None => publish.topic.into(),
                Some(alias) => self.resolve_alias(conn, alias, publish.topic)?,
            };
            return Ok(self.take_mounted_publish(conn, session, publish, &topic, &mount, turn)?);
        }
        match publish.properties.topic_alias {
            None => Ok(self.take_publish(conn, session, publish, publish.topic, way, turn)?),
            Some(alias) => {
                let topic = self.resolve_alias(conn, alias, publish.topic)?;
                Ok(self.take_publish(conn, session, publish, &topic, Way::default(), turn)?)
            }
        }
    }

    /// [MQTT-3.3.2-12] The topic that the alias stands for, after it was set if the packet does so.
    fn resolve_alias(&mut self, conn: ConnId, alias: u16, topic: &str) -> Result<Box<str>, Breach> {
        if alias > self.config.limits.topic_alias_max {
            let what = "a topic alias above the maximum in CONNACK";
            return Err(Violation { reason: ReasonCode::TopicAliasInvalid, what }.into());
        }
        let connection = self.connections.get_mut(conn).expect("the packet came from it");
        let aliases = connection.aliases();
        let known = aliases.inbound.get(&alias);
        if topic.is_empty() {
            let known = known.cloned();
            return known.ok_or(protocol_error("a topic alias that was not set on this connection").into());
        }
        let (before, replaced) = (aliases.inbound_bytes, known.map_or(0, |topic| topic.len()));
        let after = before - replaced + topic.len();
        if !self.has_room_for_aliases(before, after) {
            return Err(Quota::AliasMemory.into());
        }
        self.totals.receive_bytes = self.totals.receive_bytes - before + after;
        let connection = self.connections.get_mut(conn).expect("the packet came from it");
        let aliases = connection.aliases();
        aliases.inbound.insert(alias, topic.into());
        aliases.inbound_bytes = after;
        Ok(topic.into())
    }

    pub(crate) fn take_publish(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        publish: &Publish<'_>,
        topic: &str,
        way: Way<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        let lack = match self.admit_publish((conn, session), publish, topic, &way, turn) {
            Ok(lack) => lack,
            Err(refusal) => {
                self.refuse_publish((conn, session), publish, topic, refusal, turn);
                return Ok(());
            }
        };
        if publish.qos == QoS::ExactlyOnce && !self.note_received(conn, session, publish)? {
            self.answer_again(conn, session, publish, turn);
            return Ok(());
        }
        let known = if publish.qos == QoS::ExactlyOnce { self.handshake_of(session, publish) } else { None };
        if let Some(Handshake { session, packet_id, .. }) = known {
            self.store.set_companion(Companion::Received(session, packet_id));
        }
        let matched =
            self.route_publish(session, publish, topic, Way { handshake: known, lack, ..way }, turn);
        let reason = if matched { ReasonCode::Success } else { ReasonCode::NoMatchingSubscribers };
        if let Some(handshake) = known
            && self.confirmations.needed() > 0
        {
            self.await_confirmation(session, conn, handshake.packet_id, reason);
            // What an earlier life has told to others is not known any more: all are told when it is released.
            if publish.dup && self.handshakes.is_earlier(handshake.session) {
                let peers = self.peers().collect();
                self.handshakes.set_told(handshake.session, handshake.packet_id, peers);
            }
            return Ok(());
        }
        self.acknowledge(conn, publish, reason, turn);
        Ok(())
    }

    /// Whether it is taken in, and what the store lacks for it if it is.
    #[inline(always)]
    fn admit_publish(
        &mut self,
        (conn, session): (ConnId, SessionKey),
        publish: &Publish<'_>,
        topic: &str,
        way: &Way<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<Option<StoreLack>, Refusal> {
        self.check_publish(publish, topic, way)?;
        if self.permissions.is_some() && !self.knows(session, publish) {
            let right = self.may_publish(conn, publish, topic, turn);
            right.map_err(|cause| (ReasonCode::NotAuthorized, cause))?;
        }
        match self.store_lack().filter(|_| !self.knows(session, publish)) {
            // What nobody acknowledges is for those who are here, and not stored.
            Some(lack) if publish.qos != QoS::AtMostOnce => {
                Err((ReasonCode::QuotaExceeded, lack.of_publish()))
            }
            lack => Ok(lack),
        }
    }

    /// It has come before, at QoS 2. [MQTT-4.3.3-10]
    fn answer_again(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        publish: &Publish<'_>,
        turn: &mut Turn<'_>,
    ) {
        self.counters.publish_duplicates += 1;
        let packet_id = publish.packet_id.expect("the codec demands an id for QoS 2");
        if !self.handshakes.repeat_unconfirmed(session, packet_id, conn) {
            self.acknowledge(conn, publish, ReasonCode::Success, turn);
        }
    }

    fn may_publish(
        &mut self,
        conn: ConnId,
        publish: &Publish<'_>,
        topic: &str,
        turn: &mut Turn<'_>,
    ) -> Result<(), Cause> {
        let (qos, retain) = (publish.qos as u8, publish.retain);
        self.check_right_to_publish(conn, &Ask { action: Action::Publish, topic, qos, retain }, turn)
    }

    /// What a 5.0 client that wants to know it is told with an acknowledgement.
    pub(crate) fn why_denied(&self, conn: ConnId) -> Option<&'static str> {
        self.says_why(conn).then_some("the access rules do not allow it")
    }

    pub(crate) fn says_why(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(|connection| connection.says_why)
    }

    /// The name of a QoS 2 publication whose publisher's session is stored.
    fn handshake_of(&self, session: SessionKey, publish: &Publish<'_>) -> Option<Handshake> {
        let packet_id = publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce)?;
        let id = self.sessions[session].id;
        self.is_kept(session).then_some(Handshake { home: self.id, session: id, packet_id })
    }

    fn route_publish(
        &mut self,
        session: SessionKey,
        publish: &Publish<'_>,
        topic: &str,
        way: Way<'_>,
        turn: &mut Turn<'_>,
    ) -> bool {
        self.count_published(topic);
        let properties = &publish.properties;
        let mut forwarded = Vec::new();
        if !properties.block.is_empty() {
            mqtt::forwardable(properties.block, &mut forwarded);
        }
        let expiry_s = properties.message_expiry_interval_s;
        let parts = Parts {
            topic,
            qos: publish.qos,
            retain: publish.retain && way.lack.is_none(),
            expires_at: expiry_s.map(|expiry_s| turn.now.add_secs(u64::from(expiry_s))),
            retained_id: None,
            forwarded: &forwarded,
            payload: publish.payload,
        };
        if let Some(lack) = way.lack.filter(|_| publish.retain) {
            let client_id = self.sessions[session].client_id.clone();
            self.lose_retained(Owner::Client(&client_id), lack.of_retained(), topic, turn);
        }
        let mut carried = Carried::new(parts);
        carried.received = way.received;
        carried.route = way.known;
        carried.handshake = way.handshake;
        if self.tracing.is_some() {
            return self.publish_traced(session, publish, &mut carried, turn);
        }
        self.publish(Some(session), &mut carried, turn)
    }

    /// A QoS 2 message was received before, and is not released yet.
    fn knows(&self, session: SessionKey, publish: &Publish<'_>) -> bool {
        let Some(packet_id) = publish.packet_id.filter(|_| publish.qos == QoS::ExactlyOnce) else {
            return false;
        };
        self.sessions[session].received.as_ref().is_some_and(|received| received.contains(packet_id))
    }

    /// False: the message was received before and is not released yet.
    fn note_received(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        publish: &Publish<'_>,
    ) -> Result<bool, Violation> {
        let packet_id = publish.packet_id.expect("the codec demands an id for QoS 2");
        let received = self.sessions[session].received.get_or_insert_default();
        if received.contains(packet_id) {
            return Ok(false);
        }
        let version = self.connections.get(conn).map(|connection| connection.version);
        // [MQTT-3.3.4-7] QoS 1 is acknowledged in the same turn and never counts.
        if version == Some(Version::V5) && received.len() >= usize::from(self.config.limits.receive_maximum) {
            self.counters.receive_maximum_exceeded += 1;
            let what = "more unacknowledged messages than the Receive Maximum in CONNACK";
            return Err(Violation { reason: ReasonCode::ReceiveMaximumExceeded, what });
        }
        received.insert(packet_id);
        Ok(true)
    }

    /// What this server does not accept although the packet is well formed.
    fn check_publish(&mut self, publish: &Publish<'_>, topic: &str, way: &Way<'_>) -> Result<(), Refusal> {
        if way.known.is_none() && mqtt::level_count(topic) > usize::from(self.config.limits.topic_levels_max)
        {
            self.counters.topic_levels_exceeded += 1;
            return Err((ReasonCode::TopicNameInvalid, Cause::PublishTopic));
        }
        if is_of_server(topic.as_bytes()) {
            return Err((ReasonCode::NotAuthorized, Cause::PublishTopic));
        }
        let says_utf8 = publish.properties.payload_format == Some(1);
        if self.config.validate_payload_format && says_utf8 && std::str::from_utf8(publish.payload).is_err() {
            return Err((ReasonCode::PayloadFormatInvalid, Cause::PublishFormat));
        }
        Ok(())
    }

    /// A 5.0 client gets the reason in its acknowledgement. Elsewhere the message is dropped: [MQTT-3.3.5-2] of 3.1.1 asks
    /// for a positive acknowledgement, and QoS 0 has none. In each case the message is lost for its publisher.
    pub(crate) fn refuse_publish(
        &mut self,
        (conn, session): (ConnId, SessionKey),
        publish: &Publish<'_>,
        topic: &str,
        (reason, cause): Refusal,
        turn: &mut Turn<'_>,
    ) {
        self.lose(session, cause, topic, turn.now);
        self.acknowledge(conn, publish, reason, turn);
        let says_reasons =
            self.connections.get(conn).is_some_and(|connection| connection.version == Version::V5);
        if let Some(packet_id) = publish.packet_id.filter(|_| !says_reasons) {
            self.record_unsaid((conn, session), packet_id, reason);
        }
    }

    fn acknowledge(&mut self, conn: ConnId, publish: &Publish<'_>, reason: ReasonCode, turn: &mut Turn<'_>) {
        let Some(packet_id) = publish.packet_id else { return };
        let mut ack = Ack { reason, ..Ack::new(packet_id) };
        if reason == ReasonCode::NotAuthorized {
            ack.reason_string = self.why_denied(conn);
        }
        let packet = match publish.qos {
            QoS::AtMostOnce => return,
            QoS::AtLeastOnce => Packet::Puback(ack),
            QoS::ExactlyOnce => Packet::Pubrec(ack),
        };
        self.reply(conn, &packet, turn);
    }
}

/// What the server says of itself; nobody else may.
pub(crate) fn is_of_server(topic: &[u8]) -> bool {
    topic.strip_prefix(b"$SYS").is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}
