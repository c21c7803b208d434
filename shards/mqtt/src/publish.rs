//! PUBLISH as it arrives, and as a client sends it. How the broker passes a message on is in `forward.rs`.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink, utf8};
use crate::property::{self as property, Properties, PutProperty, once, put_block};
use crate::topic::has_wildcard_or_nul;
use crate::{
    Frame, PacketId, PacketKind, QoS, ReasonCode, SubscriptionIds, UserProperties, Version, Violation,
};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Publish<'a> {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    /// Empty when `properties.topic_alias` alone names the topic.
    pub topic: &'a str,
    /// There if, and only if, the QoS is 1 or 2.
    pub packet_id: Option<PacketId>,
    pub properties: PublishProperties<'a>,
    pub payload: &'a [u8],
}

#[derive(Clone, Debug, Default)]
pub struct PublishProperties<'a> {
    /// 0: unspecified bytes, 1: UTF-8.
    pub payload_format: Option<u8>,
    pub message_expiry_interval_s: Option<u32>,
    pub topic_alias: Option<u16>,
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    pub content_type: Option<&'a str>,
    /// Only a server sends these; that a client does not is the broker's to check.
    pub subscription_ids: SubscriptionIds<'a>,
    pub user_properties: UserProperties<'a>,
    /// The block as it came, checked, for `forwardable`. Neither encoded nor compared.
    pub block: &'a [u8],
}

impl<'a> Publish<'a> {
    #[inline]
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        Publish::decode_expecting(frame, version, "")
    }

    /// `expected` is a topic that may well come and is a topic name: the same bytes need no check of their own.
    #[inline(always)]
    pub fn decode_expecting(
        frame: &Frame<'a>,
        version: Version,
        expected: &'a str,
    ) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Publish);
        let (dup, qos, retain) = decode_flags(frame.flags)?;
        let mut reader = Reader::new(frame.body);
        let topic = decode_topic(reader.binary()?, expected)?;
        // [MQTT-2.2.1-2] A QoS 0 message has no packet identifier.
        let packet_id = if qos == QoS::AtMostOnce { None } else { Some(reader.packet_id()?) };
        let properties = match version {
            Version::V5 => PublishProperties::decode(reader.property_block()?)?,
            Version::V31 | Version::V311 => PublishProperties::default(),
        };
        if topic.is_empty() && properties.topic_alias.is_none() {
            return Err(no_topic(version));
        }
        Ok(Publish { dup, qos, retain, topic, packet_id, properties, payload: reader.rest() })
    }

    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        encode(first_byte(self.dup, self.qos, self.retain), self, version, out);
    }
}

#[inline]
fn decode_flags(flags: u8) -> Result<(bool, QoS, bool), Violation> {
    // [MQTT-3.3.1-4] QoS 3 does not exist.
    let qos =
        QoS::try_from((flags & QOS) >> QOS_SHIFT).map_err(|_| Violation::malformed("PUBLISH has QoS 3"))?;
    let dup = flags & DUP != 0;
    // [MQTT-3.3.1-2] A QoS 0 message is never sent again.
    if dup && qos == QoS::AtMostOnce {
        return Err(Violation::malformed("PUBLISH with QoS 0 has DUP set"));
    }
    Ok((dup, qos, flags & RETAIN != 0))
}

/// The topic in the body of a PUBLISH, without a look at the rest. Empty: an alias stands for it, or it is none.
pub fn topic_of_publish(body: &[u8]) -> &str {
    let (len, rest) = body.split_at_checked(2).unwrap_or_default();
    let len = <[u8; 2]>::try_from(len).map_or(0, u16::from_be_bytes);
    let topic = rest.get(..usize::from(len)).and_then(|topic| std::str::from_utf8(topic).ok());
    topic.filter(|topic| crate::is_topic_name(topic)).unwrap_or_default()
}

#[inline(always)]
fn decode_topic<'a>(bytes: &'a [u8], expected: &'a str) -> Result<&'a str, Violation> {
    if bytes == expected.as_bytes() { Ok(expected) } else { decode_unexpected(bytes) }
}

#[inline(never)]
fn decode_unexpected(bytes: &[u8]) -> Result<&str, Violation> {
    if has_wildcard_or_nul(bytes) {
        return Err(wrong_topic(bytes));
    }
    utf8(bytes)
}

#[cold]
fn wrong_topic(bytes: &[u8]) -> Violation {
    // [MQTT-4.7.3-2] [MQTT-1.5.4-2] A null character makes the string malformed, whatever else it has.
    if bytes.contains(&0) || core::str::from_utf8(bytes).is_err() {
        return Violation::malformed("Topic Name is not a string");
    }
    // [MQTT-3.3.2-2] [MQTT-4.7.0-1] A topic name has no wildcards.
    Violation::new(ReasonCode::TopicNameInvalid, "Topic Name has a wildcard")
}

#[cold]
fn no_topic(version: Version) -> Violation {
    match version {
        Version::V5 => Violation::protocol("empty Topic Name without a Topic Alias"),
        // [MQTT-4.7.3-1] A topic name has at least one character.
        Version::V31 | Version::V311 => Violation::malformed("empty Topic Name"),
    }
}

/// The first byte of a PUBLISH.
#[inline]
pub(crate) fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
    PacketKind::Publish.first_byte()
        | if dup { DUP } else { 0 }
        | (qos as u8) << QOS_SHIFT
        | if retain { RETAIN } else { 0 }
}

impl Body for Publish<'_> {
    fn put(&self, version: Version, sink: &mut impl Sink) {
        sink.put_string(self.topic);
        if self.qos != QoS::AtMostOnce {
            let packet_id = self.packet_id.expect("a message with QoS 1 or 2 has a packet identifier");
            sink.put_u16(packet_id.get());
        }
        if version == Version::V5 {
            put_block(&self.properties, sink);
        }
        sink.put(self.payload);
    }
}

impl<'a> PublishProperties<'a> {
    #[inline]
    fn decode(block: &'a [u8]) -> Result<Self, Violation> {
        // Most messages have no properties, and that answer belongs into the caller's code.
        if block.is_empty() { Ok(PublishProperties::default()) } else { Self::decode_block(block) }
    }

    fn decode_block(block: &'a [u8]) -> Result<Self, Violation> {
        let mut p = PublishProperties { block, ..PublishProperties::default() };
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            match reader.u8()? {
                property::PAYLOAD_FORMAT_INDICATOR => once(&mut p.payload_format, reader.payload_format()?)?,
                property::MESSAGE_EXPIRY_INTERVAL => {
                    once(&mut p.message_expiry_interval_s, reader.u32()?)?;
                }
                property::TOPIC_ALIAS => once(&mut p.topic_alias, decode_alias(&mut reader)?)?,
                property::RESPONSE_TOPIC => once(&mut p.response_topic, reader.response_topic()?)?,
                property::CORRELATION_DATA => once(&mut p.correlation_data, reader.binary()?)?,
                property::CONTENT_TYPE => once(&mut p.content_type, reader.string()?)?,
                property::SUBSCRIPTION_IDENTIFIER => {
                    reader.subscription_id()?;
                    p.subscription_ids = SubscriptionIds::of(block);
                }
                property::USER_PROPERTY => {
                    reader.string_pair()?;
                    p.user_properties = UserProperties::of(block);
                }
                _ => return Err(property::NOT_IN_THIS_PACKET),
            }
        }
        Ok(p)
    }
}

// [MQTT-3.3.2-8] The alias 0 does not exist. What the maximum is, the broker knows.
fn decode_alias(reader: &mut Reader<'_>) -> Result<u16, Violation> {
    match reader.u16()? {
        0 => Err(Violation::new(ReasonCode::TopicAliasInvalid, "Topic Alias is 0")),
        alias => Ok(alias),
    }
}

impl Properties for PublishProperties<'_> {
    fn put(&self, sink: &mut impl Sink) {
        sink.put_byte_property(property::PAYLOAD_FORMAT_INDICATOR, self.payload_format);
        sink.put_u32_property(property::MESSAGE_EXPIRY_INTERVAL, self.message_expiry_interval_s);
        sink.put_u16_property(property::TOPIC_ALIAS, self.topic_alias);
        sink.put_string_property(property::RESPONSE_TOPIC, self.response_topic);
        sink.put_binary_property(property::CORRELATION_DATA, self.correlation_data);
        sink.put_string_property(property::CONTENT_TYPE, self.content_type);
        for id in self.subscription_ids.iter() {
            sink.put_subscription_id(id);
        }
        sink.put_user_properties(self.user_properties);
    }
}

// Two messages are equal when they say the same, in whatever order their blocks say it.
impl PartialEq for PublishProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.payload_format == other.payload_format
            && self.message_expiry_interval_s == other.message_expiry_interval_s
            && self.topic_alias == other.topic_alias
            && self.response_topic == other.response_topic
            && self.correlation_data == other.correlation_data
            && self.content_type == other.content_type
            && self.subscription_ids == other.subscription_ids
            && self.user_properties == other.user_properties
    }
}

const DUP: u8 = 0b1000;
const QOS: u8 = 0b0110;
const QOS_SHIFT: u8 = 1;
const RETAIN: u8 = 0b0001;
