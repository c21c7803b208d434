//! Any packet: decoding by its kind, encoding, and encoding within the receiver's limit.

use crate::ack::PLAIN_ACK_BYTES;
use crate::frame::{Body, encode};
use crate::ping::Ping;
use crate::{
    Ack, Auth, Connack, Connect, Disconnect, Frame, MAX_PACKET_SIZE, PacketKind, Publish, Suback, Subscribe,
    Unsuback, Unsubscribe, UserProperties, Version, Violation,
};

#[derive(Clone, PartialEq, Debug)]
pub enum Packet<'a> {
    // Boxed: once in the life of a connection, and larger than all others.
    Connect(Box<Connect<'a>>),
    Connack(Connack<'a>),
    Publish(Publish<'a>),
    Puback(Ack<'a>),
    Pubrec(Ack<'a>),
    Pubrel(Ack<'a>),
    Pubcomp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    Suback(Suback<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Unsuback(Unsuback<'a>),
    Pingreq,
    Pingresp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

/// `version` is that of the connection; a CONNECT ignores it and carries its own. Never panics, whatever the
/// bytes.
pub fn decode<'a>(frame: &Frame<'a>, version: Version) -> Result<Packet<'a>, Violation> {
    Ok(match frame.kind {
        PacketKind::Connect => Packet::Connect(Box::new(Connect::decode(frame, version)?)),
        PacketKind::Connack => Packet::Connack(Connack::decode(frame, version)?),
        PacketKind::Publish => Packet::Publish(Publish::decode(frame, version)?),
        PacketKind::Puback => Packet::Puback(Ack::decode(frame, version)?),
        PacketKind::Pubrec => Packet::Pubrec(Ack::decode(frame, version)?),
        PacketKind::Pubrel => Packet::Pubrel(Ack::decode(frame, version)?),
        PacketKind::Pubcomp => Packet::Pubcomp(Ack::decode(frame, version)?),
        PacketKind::Subscribe => Packet::Subscribe(Subscribe::decode(frame, version)?),
        PacketKind::Suback => Packet::Suback(Suback::decode(frame, version)?),
        PacketKind::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(frame, version)?),
        PacketKind::Unsuback => Packet::Unsuback(Unsuback::decode(frame, version)?),
        PacketKind::Pingreq => Ping::decode(frame).map(|_| Packet::Pingreq)?,
        PacketKind::Pingresp => Ping::decode(frame).map(|_| Packet::Pingresp)?,
        PacketKind::Disconnect => Packet::Disconnect(Disconnect::decode(frame, version)?),
        PacketKind::Auth => Packet::Auth(Auth::decode(frame, version)?),
    })
}

impl<'a> Packet<'a> {
    pub fn kind(&self) -> PacketKind {
        match self {
            Packet::Connect(_) => PacketKind::Connect,
            Packet::Connack(_) => PacketKind::Connack,
            Packet::Publish(_) => PacketKind::Publish,
            Packet::Puback(_) => PacketKind::Puback,
            Packet::Pubrec(_) => PacketKind::Pubrec,
            Packet::Pubrel(_) => PacketKind::Pubrel,
            Packet::Pubcomp(_) => PacketKind::Pubcomp,
            Packet::Subscribe(_) => PacketKind::Subscribe,
            Packet::Suback(_) => PacketKind::Suback,
            Packet::Unsubscribe(_) => PacketKind::Unsubscribe,
            Packet::Unsuback(_) => PacketKind::Unsuback,
            Packet::Pingreq => PacketKind::Pingreq,
            Packet::Pingresp => PacketKind::Pingresp,
            Packet::Disconnect(_) => PacketKind::Disconnect,
            Packet::Auth(_) => PacketKind::Auth,
        }
    }

    /// Appends the packet to `out`.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match self {
            Packet::Connect(connect) => connect.encode(version, out),
            Packet::Connack(connack) => connack.encode(version, out),
            Packet::Publish(publish) => publish.encode(version, out),
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
                ack.encode(self.kind(), version, out);
            }
            Packet::Subscribe(subscribe) => subscribe.encode(version, out),
            Packet::Suback(suback) => suback.encode(version, out),
            Packet::Unsubscribe(unsubscribe) => unsubscribe.encode(version, out),
            Packet::Unsuback(unsuback) => unsuback.encode(version, out),
            Packet::Pingreq | Packet::Pingresp => encode(self.kind().first_byte(), &Ping, version, out),
            Packet::Disconnect(disconnect) => disconnect.encode(version, out),
            Packet::Auth(auth) => auth.encode(version, out),
        }
    }

    /// How many bytes `encode` appends.
    pub fn size(&self, version: Version) -> usize {
        match self {
            Packet::Connect(connect) => connect.size(connect.version),
            Packet::Connack(connack) if !connack.can_be_said(version) => 0,
            Packet::Connack(connack) => connack.size(version),
            Packet::Publish(publish) => publish.size(version),
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
                ack.size(version)
            }
            Packet::Subscribe(subscribe) => subscribe.size(version),
            Packet::Suback(suback) => suback.size(version),
            Packet::Unsubscribe(unsubscribe) => unsubscribe.size(version),
            Packet::Unsuback(unsuback) => unsuback.size(version),
            Packet::Pingreq | Packet::Pingresp => Ping.size(version),
            Packet::Disconnect(disconnect) => disconnect.size(version),
            Packet::Auth(auth) => auth.size(version),
        }
    }

    /// Encodes within the receiver's Maximum Packet Size. A packet that is too large goes without its user
    /// properties, then also without its reason string. `false`: it still does not fit, and nothing is appended.
    // [MQTT-3.1.2-24] and, for each packet that has the two properties, [MQTT-3.2.2-19] [MQTT-3.2.2-20]
    // [MQTT-3.4.2-2] [MQTT-3.4.2-3] and their like in 3.5 to 3.15.
    pub fn encode_within(&self, version: Version, max_packet_size: u32, out: &mut Vec<u8>) -> bool {
        if let Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) = self
            && ack.is_plain(version)
            && max_packet_size >= PLAIN_ACK_BYTES
        {
            ack.encode(self.kind(), version, out);
            return true;
        }
        let limit = max_packet_size.min(MAX_PACKET_SIZE) as usize;
        if self.size(version) <= limit {
            self.encode(version, out);
            return true;
        }
        let mut reduced = self.clone();
        for omit in [Packet::omit_user_properties, Packet::omit_reason_string] {
            omit(&mut reduced);
            if reduced.size(version) <= limit {
                reduced.encode(version, out);
                return true;
            }
        }
        false
    }

    // Those of a PUBLISH or a request are part of what is said; those of an answer only explain it.
    fn omit_user_properties(&mut self) {
        let properties = match self {
            Packet::Connack(connack) => &mut connack.properties.user_properties,
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
                &mut ack.user_properties
            }
            Packet::Suback(suback) => &mut suback.user_properties,
            Packet::Unsuback(unsuback) => &mut unsuback.user_properties,
            Packet::Disconnect(disconnect) => &mut disconnect.user_properties,
            Packet::Auth(auth) => &mut auth.user_properties,
            _ => return,
        };
        *properties = UserProperties::default();
    }

    fn omit_reason_string(&mut self) {
        let reason_string = match self {
            Packet::Connack(connack) => &mut connack.properties.reason_string,
            Packet::Puback(ack) | Packet::Pubrec(ack) | Packet::Pubrel(ack) | Packet::Pubcomp(ack) => {
                &mut ack.reason_string
            }
            Packet::Suback(suback) => &mut suback.reason_string,
            Packet::Unsuback(unsuback) => &mut unsuback.reason_string,
            Packet::Disconnect(disconnect) => &mut disconnect.reason_string,
            Packet::Auth(auth) => &mut auth.reason_string,
            _ => return,
        };
        *reason_string = None;
    }
}
