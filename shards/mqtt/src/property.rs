//! Property blocks of 5.0: identifiers, reading, writing, and the two properties that repeat. Which packet has
//! which properties is in the packet's own file.

use crate::primitive::{Count, Reader, Sink};
use crate::topic::is_topic_name;
use crate::{PacketId, QoS, Violation};
use std::fmt;

pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
pub(crate) const REASON_STRING: u8 = 0x1F;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const MAXIMUM_QOS: u8 = 0x24;
pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
pub(crate) const SUBSCRIPTION_IDENTIFIERS_AVAILABLE: u8 = 0x29;
pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;

/// An identifier that is unknown, or known but not in this packet: [MQTT 5.0, 2.2.2.2] makes no difference.
pub(crate) const NOT_IN_THIS_PACKET: Violation =
    Violation::malformed("property is unknown or does not belong into this packet");

/// Keeps the first value of a property and refuses a second one.
#[inline]
pub(crate) fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Violation> {
    if slot.replace(value).is_some() {
        return Err(Violation::protocol("property occurs more than once"));
    }
    Ok(())
}

/// Values that only properties have, and the restrictions that several packets share.
impl<'a> Reader<'a> {
    /// A length and as many bytes of properties.
    #[inline]
    pub fn property_block(&mut self) -> Result<&'a [u8], Violation> {
        let len = self.varint()?;
        self.take(len as usize)
    }

    pub fn bool(&mut self) -> Result<bool, Violation> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Violation::protocol("property is neither 0 nor 1")),
        }
    }

    pub fn payload_format(&mut self) -> Result<u8, Violation> {
        self.bool().map(u8::from)
    }

    pub fn maximum_qos(&mut self) -> Result<QoS, Violation> {
        Ok(if self.bool()? { QoS::AtLeastOnce } else { QoS::AtMostOnce })
    }

    pub fn receive_maximum(&mut self) -> Result<u16, Violation> {
        match self.u16()? {
            0 => Err(Violation::protocol("Receive Maximum is 0")),
            maximum => Ok(maximum),
        }
    }

    pub fn maximum_packet_size(&mut self) -> Result<u32, Violation> {
        match self.u32()? {
            0 => Err(Violation::protocol("Maximum Packet Size is 0")),
            maximum => Ok(maximum),
        }
    }

    pub fn subscription_id(&mut self) -> Result<u32, Violation> {
        match self.varint()? {
            0 => Err(Violation::protocol("Subscription Identifier is 0")),
            id => Ok(id),
        }
    }

    // [MQTT-3.3.2-14] The Response Topic has no wildcards, and it is a topic name in all other respects too.
    pub fn response_topic(&mut self) -> Result<&'a str, Violation> {
        let topic = self.string()?;
        if !is_topic_name(topic) {
            return Err(Violation::protocol("Response Topic is not a topic name"));
        }
        Ok(topic)
    }

    // [MQTT-2.2.1-3] [MQTT-2.2.1-4] Zero can be read, so it is not malformed, but no sender may assign it.
    #[inline]
    pub fn packet_id(&mut self) -> Result<PacketId, Violation> {
        PacketId::new(self.u16()?).ok_or(Violation::protocol("Packet Identifier is 0"))
    }
}

/// The properties of one packet, as it writes them.
pub(crate) trait Properties {
    fn put(&self, sink: &mut impl Sink);
}

/// [MQTT-2.2.2-1] The length is written even where there are no properties.
pub(crate) fn put_block(properties: &impl Properties, sink: &mut impl Sink) {
    let mut len = Count::default();
    properties.put(&mut len);
    sink.put_varint(len.0);
    properties.put(sink);
}

/// Writes one property each, if it is there.
pub(crate) trait PutProperty: Sink {
    fn put_byte_property(&mut self, id: u8, value: Option<u8>) {
        if let Some(value) = value {
            self.put(&[id, value]);
        }
    }

    fn put_bool_property(&mut self, id: u8, value: Option<bool>) {
        self.put_byte_property(id, value.map(u8::from));
    }

    fn put_u16_property(&mut self, id: u8, value: Option<u16>) {
        if let Some(value) = value {
            self.put_u8(id);
            self.put_u16(value);
        }
    }

    fn put_u32_property(&mut self, id: u8, value: Option<u32>) {
        if let Some(value) = value {
            self.put_u8(id);
            self.put_u32(value);
        }
    }

    fn put_string_property(&mut self, id: u8, value: Option<&str>) {
        self.put_binary_property(id, value.map(str::as_bytes));
    }

    fn put_binary_property(&mut self, id: u8, value: Option<&[u8]>) {
        if let Some(value) = value {
            self.put_u8(id);
            self.put_binary(value);
        }
    }

    fn put_subscription_id(&mut self, id: u32) {
        self.put_u8(SUBSCRIPTION_IDENTIFIER);
        self.put_varint(id as usize);
    }

    fn put_user_property(&mut self, name: &str, value: &str) {
        self.put_u8(USER_PROPERTY);
        self.put_string(name);
        self.put_string(value);
    }

    fn put_user_properties(&mut self, properties: UserProperties<'_>) {
        for (name, value) in properties.iter() {
            self.put_user_property(name, value);
        }
    }
}

impl<S: Sink> PutProperty for S {}

/// The properties of all packets that report a reason and nothing more.
#[derive(Copy, Clone, Default, Debug)]
pub(crate) struct ReasonProperties<'a> {
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
}

impl<'a> ReasonProperties<'a> {
    pub fn decode(block: &'a [u8]) -> Result<Self, Violation> {
        let mut p = ReasonProperties::default();
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            match reader.u8()? {
                REASON_STRING => once(&mut p.reason_string, reader.string()?)?,
                USER_PROPERTY => {
                    reader.string_pair()?;
                    p.user_properties = UserProperties::of(block);
                }
                _ => return Err(NOT_IN_THIS_PACKET),
            }
        }
        Ok(p)
    }

    pub fn is_empty(&self) -> bool {
        self.reason_string.is_none() && self.user_properties.is_empty()
    }
}

impl Properties for ReasonProperties<'_> {
    fn put(&self, sink: &mut impl Sink) {
        sink.put_string_property(REASON_STRING, self.reason_string);
        sink.put_user_properties(self.user_properties);
    }
}

/// The properties of a block that has been checked: identifiers and the bytes of their values.
#[derive(Clone, Debug)]
pub(crate) struct Entries<'a>(Reader<'a>);

impl<'a> Entries<'a> {
    pub fn of(block: &'a [u8]) -> Self {
        Entries(Reader::new(block))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.0.u8().ok()?;
        let at_value = self.0;
        skip_value(id, &mut self.0)?;
        let value = at_value.rest();
        Some((id, &value[..value.len() - self.0.len()]))
    }
}

// Strings are not looked at again: the block has been checked when its packet was decoded.
fn skip_value(id: u8, reader: &mut Reader<'_>) -> Option<()> {
    match id {
        PAYLOAD_FORMAT_INDICATOR
        | REQUEST_PROBLEM_INFORMATION
        | REQUEST_RESPONSE_INFORMATION
        | MAXIMUM_QOS
        | RETAIN_AVAILABLE
        | WILDCARD_SUBSCRIPTION_AVAILABLE
        | SUBSCRIPTION_IDENTIFIERS_AVAILABLE
        | SHARED_SUBSCRIPTION_AVAILABLE => reader.take(1).ok().map(drop),
        SERVER_KEEP_ALIVE | RECEIVE_MAXIMUM | TOPIC_ALIAS_MAXIMUM | TOPIC_ALIAS => {
            reader.take(2).ok().map(drop)
        }
        MESSAGE_EXPIRY_INTERVAL | SESSION_EXPIRY_INTERVAL | WILL_DELAY_INTERVAL | MAXIMUM_PACKET_SIZE => {
            reader.take(4).ok().map(drop)
        }
        SUBSCRIPTION_IDENTIFIER => reader.varint().ok().map(drop),
        CONTENT_TYPE
        | RESPONSE_TOPIC
        | CORRELATION_DATA
        | ASSIGNED_CLIENT_IDENTIFIER
        | AUTHENTICATION_METHOD
        | AUTHENTICATION_DATA
        | RESPONSE_INFORMATION
        | SERVER_REFERENCE
        | REASON_STRING => reader.binary().ok().map(drop),
        USER_PROPERTY => reader.binary().and_then(|_| reader.binary()).ok().map(drop),
        _ => None,
    }
}

/// User properties, borrowed from a property block that has been checked. They keep their order, and a name may
/// occur more than once.
#[derive(Copy, Clone, Default)]
pub struct UserProperties<'a> {
    block: &'a [u8],
}

impl<'a> UserProperties<'a> {
    pub(crate) fn of(block: &'a [u8]) -> Self {
        UserProperties { block }
    }

    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        Entries::of(self.block)
            .filter(|(id, _)| *id == USER_PROPERTY)
            .filter_map(|(_, value)| Reader::new(value).string_pair().ok())
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        Entries::of(self.block).all(|(id, _)| id != USER_PROPERTY)
    }
}

impl PartialEq for UserProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for UserProperties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// User properties under construction, in the form they have on the wire.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct UserPropertiesBuf(Vec<u8>);

impl UserPropertiesBuf {
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.put_user_property(name, value);
    }

    pub fn as_ref(&self) -> UserProperties<'_> {
        UserProperties::of(&self.0)
    }
}

/// The subscription identifiers of a PUBLISH, borrowed from a property block that has been checked.
#[derive(Copy, Clone, Default)]
pub struct SubscriptionIds<'a> {
    block: &'a [u8],
}

impl<'a> SubscriptionIds<'a> {
    pub(crate) fn of(block: &'a [u8]) -> Self {
        SubscriptionIds { block }
    }

    pub fn iter(self) -> impl Iterator<Item = u32> {
        Entries::of(self.block)
            .filter(|(id, _)| *id == SUBSCRIPTION_IDENTIFIER)
            .filter_map(|(_, value)| Reader::new(value).varint().ok())
    }

    #[inline]
    pub fn is_empty(self) -> bool {
        self.iter().next().is_none()
    }
}

impl PartialEq for SubscriptionIds<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl fmt::Debug for SubscriptionIds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Subscription identifiers under construction, in the form they have on the wire.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct SubscriptionIdsBuf(Vec<u8>);

impl SubscriptionIdsBuf {
    pub fn push(&mut self, id: u32) {
        self.0.put_subscription_id(id);
    }

    pub fn as_ref(&self) -> SubscriptionIds<'_> {
        SubscriptionIds::of(&self.0)
    }
}
