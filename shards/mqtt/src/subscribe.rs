//! SUBSCRIBE. Whether a topic filter is valid is the broker's to check, because one bad filter fails alone.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink};
use crate::property::{self as property, Properties, PutProperty, once, put_block};
use crate::{Frame, PacketId, PacketKind, QoS, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug)]
pub struct Subscribe<'a> {
    pub packet_id: PacketId,
    pub subscription_id: Option<u32>,
    pub user_properties: UserProperties<'a>,
    pub filters: Vec<(&'a str, SubscriptionOptions)>,
}

/// The Subscription Options byte. In 3.x it has the QoS alone.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct SubscriptionOptions {
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}

/// When retained messages are sent.
#[repr(u8)]
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub enum RetainHandling {
    /// At every subscribe.
    #[default]
    Send = 0,
    /// At a subscribe that makes a new subscription.
    SendIfNew = 1,
    DoNotSend = 2,
}

impl SubscriptionOptions {
    /// `None`: QoS 3, Retain Handling 3, or a reserved bit.
    pub fn from_u8(value: u8) -> Option<Self> {
        if value & RESERVED != 0 {
            return None;
        }
        Some(SubscriptionOptions {
            qos: QoS::try_from(value & QOS).ok()?,
            no_local: value & NO_LOCAL != 0,
            retain_as_published: value & RETAIN_AS_PUBLISHED != 0,
            retain_handling: match value >> RETAIN_HANDLING_SHIFT {
                0 => RetainHandling::Send,
                1 => RetainHandling::SendIfNew,
                2 => RetainHandling::DoNotSend,
                _ => return None,
            },
        })
    }

    pub fn to_u8(self) -> u8 {
        self.qos as u8
            | if self.no_local { NO_LOCAL } else { 0 }
            | if self.retain_as_published { RETAIN_AS_PUBLISHED } else { 0 }
            | (self.retain_handling as u8) << RETAIN_HANDLING_SHIFT
    }

    fn decode(value: u8, version: Version) -> Result<Self, Violation> {
        // [MQTT-3.8.3-5] Reserved bits are zero; 3.x reserves all but the QoS.
        let reserved = if version == Version::V5 { RESERVED } else { !QOS };
        if value & reserved != 0 {
            return Err(Violation::malformed("reserved bits of the Subscription Options are set"));
        }
        // 3.1.1 calls QoS 3 malformed, 5.0 calls it and Retain Handling 3 protocol errors.
        SubscriptionOptions::from_u8(value).ok_or(match version {
            Version::V5 => Violation::protocol("Subscription Options have QoS 3 or Retain Handling 3"),
            Version::V31 | Version::V311 => Violation::malformed("Requested QoS is 3"),
        })
    }
}

impl<'a> Subscribe<'a> {
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Subscribe);
        frame.check_reserved_flags(version)?;
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let properties = match version {
            Version::V5 => SubscribeProperties::decode(reader.property_block()?)?,
            Version::V31 | Version::V311 => SubscribeProperties::default(),
        };
        let mut filters = Vec::new();
        while !reader.is_empty() {
            // [MQTT-3.8.3-1] Each topic filter is a string.
            let filter = reader.string()?;
            filters.push((filter, SubscriptionOptions::decode(reader.u8()?, version)?));
        }
        // [MQTT-3.8.3-2] There is at least one.
        if filters.is_empty() {
            return Err(Violation::protocol("SUBSCRIBE without a Topic Filter"));
        }
        let SubscribeProperties { subscription_id, user_properties } = properties;
        Ok(Subscribe { packet_id, subscription_id, user_properties, filters })
    }

    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        encode(PacketKind::Subscribe.first_byte(), self, version, out);
    }
}

impl Body for Subscribe<'_> {
    fn put(&self, version: Version, sink: &mut impl Sink) {
        sink.put_u16(self.packet_id.get());
        if version == Version::V5 {
            let Subscribe { subscription_id, user_properties, .. } = *self;
            put_block(&SubscribeProperties { subscription_id, user_properties }, sink);
        }
        for (filter, options) in &self.filters {
            sink.put_string(filter);
            sink.put_u8(if version == Version::V5 { options.to_u8() } else { options.qos as u8 });
        }
    }
}

#[derive(Default)]
struct SubscribeProperties<'a> {
    subscription_id: Option<u32>,
    user_properties: UserProperties<'a>,
}

impl<'a> SubscribeProperties<'a> {
    fn decode(block: &'a [u8]) -> Result<Self, Violation> {
        let mut p = SubscribeProperties::default();
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            match reader.u8()? {
                property::SUBSCRIPTION_IDENTIFIER => {
                    once(&mut p.subscription_id, reader.subscription_id()?)?;
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

impl Properties for SubscribeProperties<'_> {
    fn put(&self, sink: &mut impl Sink) {
        if let Some(id) = self.subscription_id {
            sink.put_subscription_id(id);
        }
        sink.put_user_properties(self.user_properties);
    }
}

const QOS: u8 = 0b0000_0011;
const NO_LOCAL: u8 = 0b0000_0100;
const RETAIN_AS_PUBLISHED: u8 = 0b0000_1000;
const RETAIN_HANDLING_SHIFT: u8 = 4;
const RESERVED: u8 = 0b1100_0000;
