//! The packets' types, ahead of their codec.
#![allow(dead_code, unused_variables, missing_docs)]
use crate::*;

macro_rules! codec { ($($t:ident)*) => { $(impl<'a> $t<'a> {
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> { Err(Violation::malformed("not decoded yet")) }
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {}
})* } }
codec!(Connect Connack Publish Subscribe Suback Unsubscribe Unsuback Disconnect Auth);

pub fn split(bytes: &[u8], max_packet_size: u32) -> Result<Option<Frame<'_>>, Violation> {
    Ok(None)
}
pub fn frame_size(bytes: &[u8]) -> Option<usize> {
    None
}
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    pub kind: PacketKind,
    pub flags: u8,
    pub body: &'a [u8],
    pub size: usize,
}
#[repr(u8)]
#[derive(Copy, Clone, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub enum PacketKind {
    Connect = 1,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    Auth,
}
#[derive(Clone, Debug, PartialEq)]
pub enum Packet<'a> {
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
pub fn decode<'a>(frame: &Frame<'a>, version: Version) -> Result<Packet<'a>, Violation> {
    Err(Violation::malformed("not decoded yet"))
}
impl Packet<'_> {
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {}
    pub fn kind(&self) -> PacketKind {
        PacketKind::Pingreq
    }
    pub fn size(&self, version: Version) -> usize {
        0
    }
    pub fn encode_within(&self, version: Version, max_packet_size: u32, out: &mut Vec<u8>) -> bool {
        false
    }
}
#[derive(Copy, Clone, Default, Debug, PartialEq)]
pub struct UserProperties<'a> {
    block: &'a [u8],
}
impl<'a> UserProperties<'a> {
    pub fn iter(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        std::iter::empty()
    }
    pub fn is_empty(self) -> bool {
        true
    }
}
#[derive(Default, Clone, Debug)]
pub struct UserPropertiesBuf(Vec<u8>);
impl UserPropertiesBuf {
    pub fn push(&mut self, name: &str, value: &str) {}
    #[allow(clippy::should_implement_trait)]
    pub fn as_ref(&self) -> UserProperties<'_> {
        UserProperties { block: &self.0 }
    }
}
#[derive(Copy, Clone, Default, Debug, PartialEq)]
pub struct SubscriptionIds<'a> {
    block: &'a [u8],
}
impl<'a> SubscriptionIds<'a> {
    pub fn iter(self) -> impl Iterator<Item = u32> + 'a {
        std::iter::empty()
    }
    pub fn is_empty(self) -> bool {
        true
    }
}
#[derive(Default, Clone, Debug)]
pub struct SubscriptionIdsBuf(Vec<u8>);
impl SubscriptionIdsBuf {
    pub fn push(&mut self, id: u32) {}
    #[allow(clippy::should_implement_trait)]
    pub fn as_ref(&self) -> SubscriptionIds<'_> {
        SubscriptionIds { block: &self.0 }
    }
}
#[derive(Clone, Debug, PartialEq)]
pub struct Connect<'a> {
    pub version: Version,
    pub clean_start: bool,
    pub keep_alive_s: u16,
    pub client_id: &'a str,
    pub will: Option<Will<'a>>,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    pub properties: ConnectProperties<'a>,
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConnectProperties<'a> {
    pub session_expiry_interval_s: Option<u32>,
    pub receive_maximum: Option<u16>,
    pub maximum_packet_size: Option<u32>,
    pub topic_alias_maximum: Option<u16>,
    pub request_response_information: Option<bool>,
    pub request_problem_information: Option<bool>,
    pub authentication_method: Option<&'a str>,
    pub authentication_data: Option<&'a [u8]>,
    pub user_properties: UserProperties<'a>,
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Will<'a> {
    pub qos: QoS,
    pub retain: bool,
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub properties: WillProperties<'a>,
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct WillProperties<'a> {
    pub delay_interval_s: Option<u32>,
    pub message_expiry_interval_s: Option<u32>,
    pub payload_format: Option<u8>,
    pub content_type: Option<&'a str>,
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    pub user_properties: UserProperties<'a>,
    pub block: &'a [u8],
}
pub fn protocol_of(body: &[u8]) -> Option<(&[u8], u8)> {
    None
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Connack<'a> {
    pub session_present: bool,
    pub reason: ReasonCode,
    pub properties: ConnackProperties<'a>,
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ConnackProperties<'a> {
    pub session_expiry_interval_s: Option<u32>,
    pub receive_maximum: Option<u16>,
    pub maximum_qos: Option<QoS>,
    pub retain_available: Option<bool>,
    pub maximum_packet_size: Option<u32>,
    pub assigned_client_id: Option<&'a str>,
    pub topic_alias_maximum: Option<u16>,
    pub reason_string: Option<&'a str>,
    pub wildcard_subscription_available: Option<bool>,
    pub subscription_identifiers_available: Option<bool>,
    pub shared_subscription_available: Option<bool>,
    pub server_keep_alive_s: Option<u16>,
    pub response_information: Option<&'a str>,
    pub server_reference: Option<&'a str>,
    pub authentication_method: Option<&'a str>,
    pub authentication_data: Option<&'a [u8]>,
    pub user_properties: UserProperties<'a>,
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Publish<'a> {
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    pub topic: &'a str,
    pub packet_id: Option<PacketId>,
    pub properties: PublishProperties<'a>,
    pub payload: &'a [u8],
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct PublishProperties<'a> {
    pub payload_format: Option<u8>,
    pub message_expiry_interval_s: Option<u32>,
    pub topic_alias: Option<u16>,
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    pub content_type: Option<&'a str>,
    pub subscription_ids: SubscriptionIds<'a>,
    pub user_properties: UserProperties<'a>,
    pub block: &'a [u8],
}
pub fn forwardable(block: &[u8], out: &mut Vec<u8>) {}
#[derive(Copy, Clone, Debug)]
pub struct Forward<'a> {
    pub version: Version,
    pub dup: bool,
    pub qos: QoS,
    pub retain: bool,
    pub topic: &'a str,
    pub alias: Alias,
    pub packet_id: Option<PacketId>,
    pub message_expiry_interval_s: Option<u32>,
    pub subscription_ids: &'a [u32],
    pub forwarded: &'a [u8],
    pub payload_len: usize,
}
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum Alias {
    #[default]
    None,
    Define(u16),
    Known(u16),
}
impl Forward<'_> {
    pub fn size(&self) -> usize {
        0
    }
    pub fn encode_head(&self, out: &mut Vec<u8>) {}
    pub fn packet_id_offset(&self) -> Option<usize> {
        None
    }
}
#[derive(Clone, Debug, PartialEq)]
pub struct Ack<'a> {
    pub packet_id: PacketId,
    pub reason: ReasonCode,
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
}
impl<'a> Ack<'a> {
    pub fn new(packet_id: PacketId) -> Self {
        Ack {
            packet_id,
            reason: ReasonCode::Success,
            reason_string: None,
            user_properties: UserProperties::default(),
        }
    }
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        Err(Violation::malformed("not decoded yet"))
    }
    pub fn encode(&self, kind: PacketKind, version: Version, out: &mut Vec<u8>) {}
}
#[derive(Clone, Debug, PartialEq)]
pub struct Subscribe<'a> {
    pub packet_id: PacketId,
    pub subscription_id: Option<u32>,
    pub user_properties: UserProperties<'a>,
    pub filters: Vec<(&'a str, SubscriptionOptions)>,
}
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub struct SubscriptionOptions {
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}
#[repr(u8)]
#[derive(Copy, Clone, Debug, PartialEq, Eq, Default)]
pub enum RetainHandling {
    #[default]
    Send = 0,
    SendIfNew = 1,
    DoNotSend = 2,
}
impl SubscriptionOptions {
    pub fn from_u8(value: u8) -> Option<Self> {
        None
    }
    pub fn to_u8(self) -> u8 {
        0
    }
}
#[derive(Clone, Debug, PartialEq)]
pub struct Suback<'a> {
    pub packet_id: PacketId,
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
    pub codes: Vec<ReasonCode>,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    pub packet_id: PacketId,
    pub user_properties: UserProperties<'a>,
    pub filters: Vec<&'a str>,
}
#[derive(Clone, Debug, PartialEq)]
pub struct Unsuback<'a> {
    pub packet_id: PacketId,
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
    pub codes: Vec<ReasonCode>,
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Disconnect<'a> {
    pub reason: ReasonCode,
    pub session_expiry_interval_s: Option<u32>,
    pub reason_string: Option<&'a str>,
    pub server_reference: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
}
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Auth<'a> {
    pub reason: ReasonCode,
    pub method: Option<&'a str>,
    pub data: Option<&'a [u8]>,
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
}
