//! Every packet that a shard sends, at the moment at which it sends it: flows, limits, aliases. The judgement on what a
//! PUBLISH carries is in `delivery.rs`.

use mqtt::{Packet, PacketKind, Publish, QoS, Version};

use super::{Connection, Ledger, Oracle, session::Outstanding};
use crate::said::Identity;

impl Ledger {
    /// One whole packet for a client that the ledger knows.
    pub fn on_packet(&mut self, socket: usize, packet: &Packet<'_>, size: usize) {
        let Some(connection) = self.connections.get(&socket) else {
            return self
                .fail(Oracle::Protocol, format!("socket {socket}: {:?} before CONNECT", packet.kind()));
        };
        if size as u64 > u64::from(connection.said.maximum_packet_size) {
            let max = connection.said.maximum_packet_size;
            let what =
                format!("socket {socket}: {:?} of {size} bytes, the client takes {max}", packet.kind());
            self.fail(Oracle::PacketSize, what);
        }
        let is_connack = matches!(packet, Packet::Connack(_));
        if !is_connack && !self.connections[&socket].is_accepted {
            return self
                .fail(Oracle::Protocol, format!("socket {socket}: {:?} before CONNACK", packet.kind()));
        }
        match packet {
            Packet::Connack(connack) => self.on_connack(socket, connack),
            Packet::Publish(publish) => self.on_broker_publish(socket, publish),
            Packet::Puback(ack) => self.on_broker_ack(socket, PacketKind::Puback, ack),
            Packet::Pubrec(ack) => self.on_broker_ack(socket, PacketKind::Pubrec, ack),
            Packet::Pubcomp(ack) => self.on_broker_ack(socket, PacketKind::Pubcomp, ack),
            Packet::Pubrel(ack) => self.on_broker_pubrel(socket, ack.packet_id.get()),
            Packet::Suback(suback) => self.on_suback(socket, suback.packet_id.get(), &suback.codes),
            Packet::Unsuback(unsuback) => self.on_unsuback(socket, unsuback.packet_id.get(), &unsuback.codes),
            Packet::Pingresp => self.on_pingresp(socket),
            Packet::Disconnect(disconnect) => {
                let connection = self.connections.get_mut(&socket).expect("looked up above");
                connection.disconnect = Some(disconnect.reason);
                if connection.said.version != Version::V5 {
                    self.fail(Oracle::Protocol, format!("socket {socket}: DISCONNECT to a 3.x client"));
                }
            }
            Packet::Connect(_)
            | Packet::Subscribe(_)
            | Packet::Unsubscribe(_)
            | Packet::Pingreq
            | Packet::Auth(_) => {
                self.fail(Oracle::Protocol, format!("socket {socket}: a server sent {:?}", packet.kind()));
            }
        }
    }

    /// A send is over: what is sent from now on was encoded after this moment.
    pub fn on_send(&mut self, socket: usize) {
        if let Some(connection) = self.connections.get_mut(&socket) {
            // What waits for the store stays behind, and behind that there may be more.
            let before = std::mem::replace(&mut connection.held_since, self.held_since);
            connection.encoded_since = if self.has_store { before } else { self.held_since };
            connection.sent_at_step = self.step;
        }
    }

    fn on_broker_publish(&mut self, socket: usize, publish: &Publish<'_>) {
        let Some(topic) = self.resolve_alias(socket, publish) else { return };
        let identity = Identity::of(publish.payload);
        let Some(packet_id) = publish.packet_id.map(|id| id.get()) else {
            self.judge(socket, &topic, identity, publish);
            return;
        };
        let connection = &self.connections[&socket];
        let (session, limit) = (connection.session, self.inflight_limit(connection));
        // The last words to a connection whose session is elsewhere by now. Whoever reads them says so.
        let has_moved_on = self.sessions[session].newest_socket != Some(socket);
        if connection.ended.is_some() && (has_moved_on || self.sessions[session].ended.is_some()) {
            return;
        }
        self.settle_doubt(session, packet_id, identity, publish);
        let takes_all = self.sessions[session].packet_size_min == u32::MAX;
        let is_unclear = self.sessions[session].is_unclear;
        let outstanding = &mut self.sessions[session].outstanding;
        let is_other =
            outstanding.get(&packet_id).is_some_and(|known| !publish.dup || known.identity != identity);
        if is_other && (!takes_all || is_unclear) {
            // What one of its connections was too small for was dropped when it should have been sent again, and another
            // session begins with ids of its own.
            outstanding.remove(&packet_id);
        }
        match self.sessions[session].outstanding.get_mut(&packet_id) {
            Some(known) => {
                let is_redelivery = (publish.dup || known.is_from_earlier_life)
                    && known.sent_on != socket
                    && known.identity == identity
                    && !known.is_released
                    && known.is_qos2 == (publish.qos == QoS::ExactlyOnce);
                known.sent_on = socket;
                known.is_from_earlier_life = false;
                if !is_redelivery {
                    let what = format!(
                        "socket {socket}: PUBLISH {packet_id} uses an id that is in use: {identity:?}"
                    );
                    self.fail(Oracle::Protocol, what);
                }
            }
            None => {
                // What was encoded for a connection that ended before the send counts as sent.
                if publish.dup && self.sessions[session].absences.is_empty() {
                    let what = format!(
                        "socket {socket}: PUBLISH {packet_id} says DUP and was never sent: {identity:?}"
                    );
                    self.fail(Oracle::Protocol, what);
                }
                let delivery = self.judge(socket, &topic, identity, publish);
                let is_qos2 = publish.qos == QoS::ExactlyOnce;
                if let (Some(heard), Some(delivery)) =
                    (self.sessions[session].heard.remove(&packet_id), delivery)
                    && publish.dup
                    && identity == Identity::Known(heard)
                {
                    self.deliveries[delivery].is_received = true;
                }
                let outstanding = Outstanding {
                    identity,
                    delivery,
                    is_qos2,
                    retain: publish.retain,
                    is_released: false,
                    sent_on: socket,
                    is_release_sent: false,
                    is_doubtful: false,
                    is_release_doubtful: false,
                    is_from_earlier_life: false,
                };
                self.sessions[session].outstanding.insert(packet_id, outstanding);
            }
        }
        let connection = self.connections.get_mut(&socket).expect("the caller has looked it up");
        connection.inflight += 1;
        if connection.inflight > limit {
            let what =
                format!("socket {socket}: {} messages unacknowledged, {limit} allowed", connection.inflight);
            self.fail(Oracle::ReceiveMaximum, what);
        }
    }

    /// Whether the broker remembers after a crash what it once sent shows when it uses the id again.
    fn settle_doubt(&mut self, session: usize, packet_id: u16, identity: Identity, publish: &Publish<'_>) {
        let outstanding = &mut self.sessions[session].outstanding;
        let Some(known) = outstanding.get_mut(&packet_id) else { return };
        if known.is_release_doubtful {
            (known.is_released, known.is_release_doubtful) = (false, false);
        }
        let is_same = known.identity == identity
            && known.retain == publish.retain
            && known.is_qos2 == (publish.qos == QoS::ExactlyOnce);
        if known.is_doubtful && (!is_same || known.is_released) {
            outstanding.remove(&packet_id);
        } else {
            known.is_doubtful = false;
        }
    }

    fn inflight_limit(&self, connection: &Connection) -> u32 {
        let own = u32::from(self.inflight_max);
        match connection.said.version {
            Version::V5 => own.min(u32::from(connection.said.receive_maximum)),
            Version::V31 | Version::V311 => own,
        }
    }

    /// The topic that the client understands; none if it does not.
    fn resolve_alias(&mut self, socket: usize, publish: &Publish<'_>) -> Option<String> {
        let connection = self.connections.get_mut(&socket).expect("the caller has looked it up");
        let Some(alias) = publish.properties.topic_alias else { return Some(publish.topic.to_owned()) };
        let max = connection.said.topic_alias_maximum;
        if alias == 0 || alias > max {
            self.fail(Oracle::AliasMaximum, format!("socket {socket}: topic alias {alias}, {max} allowed"));
            return None;
        }
        if !publish.topic.is_empty() {
            connection.aliases.insert(alias, publish.topic.to_owned());
        }
        let topic = connection.aliases.get(&alias).cloned();
        if topic.is_none() {
            self.fail(
                Oracle::AliasMaximum,
                format!("socket {socket}: topic alias {alias} was never defined"),
            );
        }
        topic
    }
}
