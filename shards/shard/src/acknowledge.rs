//! PUBACK, PUBREC, PUBREL and PUBCOMP of a client: both halves of the QoS 1 and QoS 2 handshakes.

use mqtt::{Ack, Packet, PacketId, QoS, ReasonCode};

use crate::{Cause, ConnId, Instant, Shard, keys::SessionKey, losing::UNKNOWN, outbound::State, turn::Turn};

/// What an id that comes in an acknowledgement stands for.
enum Held {
    Published(QoS),
    Released,
    Nothing,
}

impl Shard {
    fn held(&self, session: SessionKey, ack: &Ack<'_>) -> Held {
        let outbound = self.sessions[session].outbound.as_ref();
        match outbound.and_then(|outbound| outbound.inflight.state(ack.packet_id)) {
            Some(State::Published(queued)) => Held::Published(queued.qos),
            Some(State::Away { qos, .. }) => Held::Published(*qos),
            Some(State::Released) => Held::Released,
            None => Held::Nothing,
        }
    }

    fn lose_refused(&mut self, session: SessionKey, packet_id: PacketId, now: Instant) {
        let outbound = self.sessions[session].outbound.as_ref();
        let topic: Box<str> = match outbound.and_then(|outbound| outbound.inflight.state(packet_id)) {
            Some(State::Published(queued)) => queued.message.topic().into(),
            Some(State::Away { body, .. }) => self.store.bodies.topic(*body).into(),
            Some(State::Released) | None => UNKNOWN.into(),
        };
        self.lose(session, Cause::RefusedByClient, &topic, now);
    }

    /// An acknowledgement that fits nothing is ignored: after a reconnect a late one is no fault.
    pub(crate) fn on_puback(&mut self, session: SessionKey, ack: &Ack<'_>, turn: &mut Turn<'_>) {
        if let Held::Published(QoS::AtLeastOnce) = self.held(session, ack) {
            if ack.reason.is_error() {
                self.lose_refused(session, ack.packet_id, turn.now);
            }
            self.forget_inflight(session, ack.packet_id);
            self.pump(session, turn);
        }
    }

    pub(crate) fn on_pubrec(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        ack: &Ack<'_>,
        turn: &mut Turn<'_>,
    ) {
        let held = self.held(session, ack);
        // [MQTT-4.4.0-2] An error ends the handshake, and there is nothing to release.
        if ack.reason.is_error() {
            if let Held::Published(QoS::ExactlyOnce) = held {
                self.lose_refused(session, ack.packet_id, turn.now);
                self.forget_inflight(session, ack.packet_id);
                self.pump(session, turn);
            }
            return;
        }
        let reason = match held {
            Held::Published(QoS::ExactlyOnce) => {
                self.release_inflight(session, ack.packet_id);
                ReasonCode::Success
            }
            Held::Released => ReasonCode::Success,
            Held::Published(_) | Held::Nothing => ReasonCode::PacketIdentifierNotFound,
        };
        // [MQTT-4.3.3-4]
        self.reply(conn, &Packet::Pubrel(Ack { reason, ..Ack::new(ack.packet_id) }), turn);
    }

    pub(crate) fn on_pubcomp(&mut self, session: SessionKey, ack: &Ack<'_>, turn: &mut Turn<'_>) {
        if let Held::Released = self.held(session, ack) {
            self.forget_inflight(session, ack.packet_id);
            self.pump(session, turn);
        }
    }

    /// [MQTT-4.3.3-11] The client gives up its copy; from now on the id stands for a message of its own again.
    pub(crate) fn on_pubrel(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        ack: &Ack<'_>,
        turn: &mut Turn<'_>,
    ) {
        // PUBREC has not gone out: this is no answer to it.
        let is_early = self.handshakes.is_unconfirmed(session, ack.packet_id);
        let received = self.sessions[session].received.as_mut().filter(|_| !is_early);
        let known = received.is_some_and(|received| received.remove(ack.packet_id));
        if known {
            self.keep_freed(session, ack.packet_id);
        }
        if !is_early {
            self.release_handshake(self.sessions[session].id, ack.packet_id, turn);
        }
        let reason = if known { ReasonCode::Success } else { ReasonCode::PacketIdentifierNotFound };
        self.reply(conn, &Packet::Pubcomp(Ack { reason, ..Ack::new(ack.packet_id) }), turn);
    }
}
