//! A PUBLISH as its publisher sent it, which is byte for byte what many of its receivers get. They differ in the packet
//! identifier at most, so that a copy with two bytes patched stands for encoding it again.

use crate::frame::Frame;
use crate::{Alias, Forward, PacketId, Publish, QoS, Version};

#[derive(Copy, Clone, Debug)]
pub struct Received<'a> {
    bytes: &'a [u8],
    qos: QoS,
    has_properties: bool,
    packet_id_at: usize,
}

impl<'a> Received<'a> {
    /// `None`: no receiver gets the message in just this form. DUP and RETAIN are the publisher's own matter, and properties
    /// change on their way. [MQTT-1.5.5-1] Lengths have one encoding only, so that everybody's header is the same.
    #[inline]
    pub fn of(frame: &Frame<'a>, publish: &Publish<'a>, version: Version) -> Option<Received<'a>> {
        if publish.dup || publish.retain || !publish.properties.block.is_empty() {
            return None;
        }
        let has_properties = version == Version::V5;
        let packet_id_len = if publish.packet_id.is_some() { size_of::<PacketId>() } else { 0 };
        let behind_topic = packet_id_len + usize::from(has_properties) + publish.payload.len();
        let packet_id_at = frame.bytes.len() - behind_topic;
        Some(Received { bytes: frame.bytes, qos: publish.qos, has_properties, packet_id_at })
    }

    /// The same from its bytes. `topic_end` is as `topic_end` gave it, and the rest as in `of`.
    #[inline]
    pub fn again(bytes: &'a [u8], qos: QoS, has_properties: bool, topic_end: usize) -> Received<'a> {
        Received { bytes, qos, has_properties, packet_id_at: topic_end }
    }

    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The topic ends where the packet identifier stands, if there is one.
    #[inline]
    pub fn topic_end(&self) -> usize {
        self.packet_id_at
    }

    #[inline]
    pub fn has_properties(&self) -> bool {
        self.has_properties
    }

    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        let packet_id_len = if self.qos == QoS::AtMostOnce { 0 } else { size_of::<PacketId>() };
        &self.bytes[self.packet_id_at + packet_id_len + usize::from(self.has_properties)..]
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether these bytes, but for the packet identifier, are what `forward` and the payload behind it would be.
    /// `forward` is of the same message.
    #[inline]
    pub fn is_like(&self, forward: &Forward<'_>) -> bool {
        self.qos == forward.qos
            && self.has_properties == (forward.version == Version::V5)
            && !forward.dup
            && !forward.retain
            && forward.alias == Alias::None
            && forward.message_expiry_interval_s.is_none()
            && forward.subscription_ids.is_empty()
    }

    #[inline]
    pub fn encode(&self, packet_id: Option<PacketId>, out: &mut Vec<u8>) {
        debug_assert_eq!(packet_id.is_some(), self.qos != QoS::AtMostOnce);
        let start = out.len();
        out.extend_from_slice(self.bytes);
        if let Some(packet_id) = packet_id {
            let at = start + self.packet_id_at;
            out[at..at + size_of::<PacketId>()].copy_from_slice(&packet_id.get().to_be_bytes());
        }
    }
}
