//! The broker's hot path: a stored message on its way to one receiver. The message's own properties are kept as
//! bytes and copied as bytes; nothing is decoded again.

use crate::frame::put_fixed_header;
use crate::primitive::{Sink, varint_len};
use crate::property::{self as property, Entries, PutProperty};
use crate::publish::first_byte;
use crate::{PacketId, QoS, Version};

/// Appends those properties of a checked PUBLISH or will block that travel with the message.
///
/// They keep their bytes and their order: [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16] [MQTT-3.3.2-17]
/// [MQTT-3.3.2-18] [MQTT-3.3.2-20]. The alias and the subscription identifiers belong to one connection, the
/// expiry interval shrinks while the message waits, and the delay is spent when a will is published.
pub fn forwardable(block: &[u8], out: &mut Vec<u8>) {
    for (id, value) in Entries::of(block) {
        if matches!(
            id,
            property::PAYLOAD_FORMAT_INDICATOR
                | property::CONTENT_TYPE
                | property::RESPONSE_TOPIC
                | property::CORRELATION_DATA
                | property::USER_PROPERTY
        ) {
            out.push(id);
            out.extend_from_slice(value);
        }
    }
}

/// How the topic of a forwarded message is named. Only 5.0 has aliases; 3.x ignores this.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum Alias {
    #[default]
    None,
    /// Topic and alias are sent, so that the receiver learns the pair.
    Define(u16),
    /// The receiver knows the alias, which is sent alone.
    Known(u16),
}

/// One PUBLISH from the broker to one receiver.
#[derive(Copy, Clone, Debug)]
pub struct Forward<'a> {
    pub version: Version,
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    /// Always the message's topic; it is not sent when `alias` is `Known`.
    pub topic: &'a str,
    pub alias: Alias,
    /// There if, and only if, the QoS is 1 or 2.
    pub packet_id: Option<PacketId>,
    /// What is left of it.
    pub message_expiry_interval_s: Option<u32>,
    pub subscription_ids: &'a [u32],
    /// What `forwardable` kept.
    pub forwarded: &'a [u8],
    pub payload_len: usize,
}

impl Forward<'_> {
    /// Of the whole packet. The caller compares it with the receiver's Maximum Packet Size, or with
    /// `MAX_PACKET_SIZE` if there is none, before it encodes: what a broker adds can make a message too large.
    #[inline]
    pub fn size(&self) -> usize {
        let remaining = self.remaining(self.properties_len());
        1 + varint_len(remaining) + remaining
    }

    /// Appends everything but the payload; the caller appends that, or sends it as a segment of its own.
    #[inline]
    pub fn encode_head(&self, out: &mut Vec<u8>) {
        debug_assert_eq!(self.packet_id.is_some(), self.qos != QoS::AtMostOnce);
        let properties_len = self.properties_len();
        let remaining = self.remaining(properties_len);
        put_fixed_header(first_byte(self.dup, self.qos, self.retain), remaining, self.payload_len, out);
        out.put_string(self.topic_sent());
        if let Some(packet_id) = self.packet_id {
            out.put_u16(packet_id.get());
        }
        if self.version == Version::V5 {
            out.put_varint(properties_len);
            self.put_properties(out);
        }
    }

    /// Where in that head the packet identifier is, so that a copy of the head can be patched.
    #[inline]
    pub fn packet_id_offset(&self) -> Option<usize> {
        self.packet_id?;
        let remaining = self.remaining(self.properties_len());
        Some(1 + varint_len(remaining) + TOPIC_LEN_LEN + self.topic_sent().len())
    }

    #[inline]
    fn topic_sent(&self) -> &str {
        match (self.version, self.alias) {
            (Version::V5, Alias::Known(_)) => "",
            _ => self.topic,
        }
    }

    #[inline]
    fn put_properties(&self, out: &mut Vec<u8>) {
        if let Alias::Define(alias) | Alias::Known(alias) = self.alias {
            out.put_u16_property(property::TOPIC_ALIAS, Some(alias));
        }
        out.put_u32_property(property::MESSAGE_EXPIRY_INTERVAL, self.message_expiry_interval_s);
        for id in self.subscription_ids {
            out.put_subscription_id(*id);
        }
        out.extend_from_slice(self.forwarded);
    }

    #[inline]
    fn properties_len(&self) -> usize {
        let alias = if self.alias == Alias::None { 0 } else { ALIAS_LEN };
        let expiry = if self.message_expiry_interval_s.is_some() { EXPIRY_LEN } else { 0 };
        let ids = self.subscription_ids.iter().map(|id| 1 + varint_len(*id as usize)).sum::<usize>();
        alias + expiry + ids + self.forwarded.len()
    }

    #[inline]
    fn remaining(&self, properties_len: usize) -> usize {
        let properties =
            if self.version == Version::V5 { varint_len(properties_len) + properties_len } else { 0 };
        let packet_id = if self.packet_id.is_some() { size_of::<PacketId>() } else { 0 };
        TOPIC_LEN_LEN + self.topic_sent().len() + packet_id + properties + self.payload_len
    }
}

const TOPIC_LEN_LEN: usize = size_of::<u16>();
const ALIAS_LEN: usize = 1 + size_of::<u16>();
const EXPIRY_LEN: usize = 1 + size_of::<u32>();
