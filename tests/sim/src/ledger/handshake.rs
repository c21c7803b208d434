//! The handshakes of QoS 1 and 2 in both directions: what is owed, and what answers nothing.

use mqtt::{Ack, PacketKind, QoS, ReasonCode};

use super::{Ledger, Oracle};
use crate::said::PublicationId;

impl Ledger {
    pub(super) fn owe_publish(&mut self, socket: usize, id: PublicationId, packet_id: u16, qos: QoS) {
        let connection = self.connections.get_mut(&socket).expect("the caller has looked it up");
        match qos {
            QoS::AtMostOnce => {}
            QoS::AtLeastOnce => {
                connection.owed.puback.insert(packet_id, id);
            }
            QoS::ExactlyOnce => {
                connection.owed.pubrec.insert(packet_id, id);
            }
        }
    }

    pub fn on_ping(&mut self, socket: usize) {
        if let Some(connection) = self.connections.get_mut(&socket) {
            connection.owed.pingresp += 1;
        }
    }

    /// The client has released a QoS 2 message of its own.
    pub fn on_pubrel(&mut self, socket: usize, packet_id: u16) {
        let Some(session) = self.open_connection(socket).map(|connection| connection.session) else { return };
        self.sessions[session].inbound.remove(&packet_id);
        self.sessions[session].inbound_doubtful.remove(&packet_id);
        let connection = self.connections.get_mut(&socket).expect("it was open a moment ago");
        connection.owed.pubcomp.insert(packet_id);
    }

    /// The client acknowledges a message of the broker.
    pub fn on_client_ack(&mut self, socket: usize, kind: PacketKind, packet_id: u16, is_error: bool) {
        let Some(session) = self.open_connection(socket).map(|connection| connection.session) else { return };
        let Some(outstanding) = self.sessions[session].outstanding.get_mut(&packet_id) else { return };
        let is_last = match kind {
            PacketKind::Puback => !outstanding.is_qos2,
            PacketKind::Pubrec => outstanding.is_qos2 && is_error,
            PacketKind::Pubcomp => outstanding.is_qos2 && outstanding.is_released,
            _ => false,
        };
        let sent_on = outstanding.sent_on;
        let connection = self.connections.get_mut(&socket).expect("it was open a moment ago");
        if kind == PacketKind::Pubrec && outstanding.is_qos2 && !is_error {
            outstanding.is_released = true;
            connection.owed.pubrel.insert(packet_id);
        }
        if is_last {
            let step = self.step;
            let session = &mut self.sessions[session];
            session.finished.extend(session.outstanding.remove(&packet_id).map(|it| (step, packet_id, it)));
            if sent_on == socket {
                connection.inflight = connection.inflight.saturating_sub(1);
            }
        }
    }

    /// The broker acknowledges a message of the client.
    pub(super) fn on_broker_ack(&mut self, socket: usize, kind: PacketKind, ack: &Ack<'_>) {
        let packet_id = ack.packet_id.get();
        let connection = self.connections.get_mut(&socket).expect("the caller has looked it up");
        let owed = &mut connection.owed;
        let answered = match kind {
            PacketKind::Puback => owed.puback.remove(&packet_id).map(Some),
            PacketKind::Pubrec => owed.pubrec.remove(&packet_id).map(Some),
            PacketKind::Pubcomp => owed.pubcomp.remove(&packet_id).then_some(None),
            _ => None,
        };
        let session = connection.session;
        let Some(id) = answered else {
            return self
                .fail(Oracle::Protocol, format!("socket {socket}: {kind:?} {packet_id} answers nothing"));
        };
        if let Some(id) = id {
            let heard = self.publications[id].arrivals.last().map_or(0, |arrival| arrival.step);
            if !ack.reason.is_error() {
                self.check_promise(socket, heard, "a publication is acknowledged");
            }
            let has_failed = self.is_store_failed(self.connections[&socket].shard);
            let publication = &mut self.publications[id];
            publication.is_certain |= !ack.reason.is_error();
            // What was sent again by another connection meanwhile has an answer of its own, at QoS 1.
            let answered = publication.arrivals.iter().rposition(|arrival| arrival.socket == Some(socket));
            let answered = answered.or(publication.arrivals.len().checked_sub(1));
            if let Some(at) = answered {
                publication.arrivals[at].is_acknowledged |= !ack.reason.is_error();
            }
            publication.is_refused |= ack.reason.is_error();
            if ack.reason.is_error() {
                self.sessions[session].inbound.remove(&packet_id);
                if (self.store_gets_full || has_failed) && ack.reason == ReasonCode::QuotaExceeded {
                    self.refused_for_want_of_room += 1;
                    return;
                }
                let what = format!("{} was refused with {:?}", self.describe(id), ack.reason);
                self.fail(Oracle::Content, what);
            }
        }
        if kind == PacketKind::Pubrec
            && let Some(is_answered) = self.sessions[session].inbound.get_mut(&packet_id)
        {
            *is_answered = true;
        }
        if id.is_none() && ack.reason != ReasonCode::Success {
            let was_known = !self.sessions[session].is_unclear;
            if was_known && ack.reason != ReasonCode::PacketIdentifierNotFound {
                self.fail(
                    Oracle::Content,
                    format!("socket {socket}: PUBCOMP {packet_id} says {:?}", ack.reason),
                );
            }
        }
    }

    /// The broker releases a QoS 2 message of its own: for the first time, or again on a new connection.
    pub(super) fn on_broker_pubrel(&mut self, socket: usize, packet_id: u16) {
        let connection = self.connections.get_mut(&socket).expect("the caller has looked it up");
        connection.owed.pubrel.remove(&packet_id);
        let connection_ended = connection.ended.is_some();
        let session = &mut self.sessions[connection.session];
        let is_small = session.packet_size_min < u32::MAX;
        let outstanding = session.outstanding.get_mut(&packet_id);
        // A message that a resumed connection is too small for is dropped, and its id released. It may have been encoded for
        // a connection that ended before the send.
        let was_never_seen = is_small && outstanding.is_none() && !session.absences.is_empty();
        let is_known = was_never_seen
            || outstanding.is_some_and(|known| {
                let was_dropped = is_small && known.is_qos2 && known.sent_on != socket;
                known.is_released |= was_dropped;
                known.is_release_sent = true;
                known.is_release_doubtful = false;
                known.is_doubtful = false;
                known.is_released
            });
        // The end of a session does not call back what is on its way.
        if !is_known && session.ended.is_none() && !connection_ended {
            self.fail(Oracle::Protocol, format!("socket {socket}: PUBREL {packet_id} releases nothing"));
        }
    }

    pub(super) fn on_pingresp(&mut self, socket: usize) {
        let connection = self.connections.get_mut(&socket).expect("the caller has looked it up");
        match connection.owed.pingresp.checked_sub(1) {
            Some(left) => connection.owed.pingresp = left,
            None => self.fail(Oracle::Protocol, format!("socket {socket}: PINGRESP answers nothing")),
        }
    }
}
