//! CONNECT, its will and its properties. An empty client identifier, credentials and limits are the broker's to
//! judge.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink};
use crate::property::{self as property, Properties, PutProperty, once, put_block};
use crate::topic::is_topic_name;
use crate::{Frame, PacketKind, QoS, ReasonCode, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug)]
pub struct Connect<'a> {
    pub version: Version,
    /// Clean Session in 3.x.
    pub clean_start: bool,
    pub keep_alive_s: u16,
    pub client_id: &'a str,
    pub will: Option<Will<'a>>,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    pub properties: ConnectProperties<'a>,
}

#[derive(Clone, PartialEq, Debug, Default)]
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

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Will<'a> {
    pub qos: QoS,
    pub retain: bool,
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub properties: WillProperties<'a>,
}

#[derive(Clone, Debug, Default)]
pub struct WillProperties<'a> {
    pub delay_interval_s: Option<u32>,
    pub message_expiry_interval_s: Option<u32>,
    /// 0: unspecified bytes, 1: UTF-8.
    pub payload_format: Option<u8>,
    pub content_type: Option<&'a str>,
    pub response_topic: Option<&'a str>,
    pub correlation_data: Option<&'a [u8]>,
    pub user_properties: UserProperties<'a>,
    /// The block as it came, checked, for `forwardable`. Neither encoded nor compared.
    pub block: &'a [u8],
}

impl<'a> Connect<'a> {
    /// `_version` is unused: a CONNECT carries its own.
    pub fn decode(frame: &Frame<'a>, _version: Version) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Connect);
        let mut reader = Reader::new(frame.body);
        let version = Self::decode_protocol(&mut reader)?;
        let flags = Flags::decode(reader.u8()?, version)?;
        let keep_alive_s = reader.u16()?;
        let properties = match version {
            Version::V5 => ConnectProperties::decode(reader.property_block()?)?,
            Version::V31 | Version::V311 => ConnectProperties::default(),
        };
        // [MQTT-3.1.3-1] The payload's fields come in this order. [MQTT-3.1.3-3] The first is always there.
        let client_id = reader.string()?;
        let will = match flags.will {
            Some((qos, retain)) => Some(Will::decode(&mut reader, version, qos, retain)?),
            None => None,
        };
        // MQTT 3.1 lets the packet end before a user name or password that its flags announce, for the sake of
        // clients that are older still. [MQTT-3.1.2-17] [MQTT-3.1.2-19] The later versions do not.
        let ended = |reader: &Reader<'_>| version == Version::V31 && reader.is_empty();
        let username = if flags.username && !ended(&reader) { Some(reader.string()?) } else { None };
        let password = if flags.password && !ended(&reader) { Some(reader.binary()?) } else { None };
        reader.finish()?;
        let clean_start = flags.clean_start;
        Ok(Connect { version, clean_start, keep_alive_s, client_id, will, username, password, properties })
    }

    // [MQTT-3.1.2-1] [MQTT-3.1.2-2] An unknown name or level is answered before anything else is looked at.
    fn decode_protocol(reader: &mut Reader<'a>) -> Result<Version, Violation> {
        let name = reader.binary()?;
        let level = reader.u8()?;
        Version::of(name, level).ok_or(Violation::new(
            ReasonCode::UnsupportedProtocolVersion,
            "protocol name and level are of no version that is spoken here",
        ))
    }

    /// `_version` is unused: `self.version` decides.
    pub fn encode(&self, _version: Version, out: &mut Vec<u8>) {
        encode(PacketKind::Connect.first_byte(), self, self.version, out);
    }
}

impl Body for Connect<'_> {
    fn put(&self, _version: Version, sink: &mut impl Sink) {
        sink.put_string(self.version.protocol_name());
        sink.put_u8(self.version as u8);
        sink.put_u8(Flags::of(self).to_u8());
        sink.put_u16(self.keep_alive_s);
        if self.version == Version::V5 {
            put_block(&self.properties, sink);
        }
        sink.put_string(self.client_id);
        if let Some(will) = &self.will {
            if self.version == Version::V5 {
                put_block(&will.properties, sink);
            }
            sink.put_string(will.topic);
            sink.put_binary(will.payload);
        }
        if let Some(username) = self.username {
            sink.put_string(username);
        }
        if let Some(password) = self.password {
            sink.put_binary(password);
        }
    }
}

/// Protocol name and level of a CONNECT body, as far as they can be read: to answer an unknown version in its
/// own form.
pub fn protocol_of(body: &[u8]) -> Option<(&[u8], u8)> {
    let mut reader = Reader::new(body);
    Some((reader.binary().ok()?, reader.u8().ok()?))
}

/// The Connect Flags byte.
struct Flags {
    username: bool,
    password: bool,
    will: Option<(QoS, bool)>,
    clean_start: bool,
}

impl Flags {
    fn decode(byte: u8, version: Version) -> Result<Self, Violation> {
        // [MQTT-3.1.2-3] The reserved flag is zero.
        if byte & RESERVED != 0 {
            return Err(Violation::malformed("reserved flag of CONNECT is set"));
        }
        let will = if byte & WILL != 0 {
            // [MQTT-3.1.2-12] The Will QoS is 0, 1 or 2.
            let qos = QoS::try_from((byte & WILL_QOS) >> WILL_QOS_SHIFT)
                .map_err(|_| Violation::malformed("Will QoS is 3"))?;
            Some((qos, byte & WILL_RETAIN != 0))
        } else if byte & (WILL_QOS | WILL_RETAIN) != 0 {
            // [MQTT-3.1.2-11] [MQTT-3.1.2-13] Without a will, Will QoS and Will Retain are zero.
            return Err(Violation::malformed("Will QoS or Will Retain without a will"));
        } else {
            None
        };
        let (username, password) = (byte & USERNAME != 0, byte & PASSWORD != 0);
        // 3.1.1 numbers this rule [MQTT-3.1.2-22]; 5.0 lifted it, so that a token can be sent as a password alone.
        if password && !username && version != Version::V5 {
            return Err(Violation::malformed("password without a user name"));
        }
        Ok(Flags { username, password, will, clean_start: byte & CLEAN_START != 0 })
    }

    fn of(connect: &Connect<'_>) -> Self {
        Flags {
            username: connect.username.is_some(),
            password: connect.password.is_some(),
            will: connect.will.as_ref().map(|will| (will.qos, will.retain)),
            clean_start: connect.clean_start,
        }
    }

    fn to_u8(&self) -> u8 {
        let mut byte = 0;
        for (set, flag) in
            [(self.username, USERNAME), (self.password, PASSWORD), (self.clean_start, CLEAN_START)]
        {
            byte |= if set { flag } else { 0 };
        }
        if let Some((qos, retain)) = self.will {
            byte |= WILL | (qos as u8) << WILL_QOS_SHIFT | if retain { WILL_RETAIN } else { 0 };
        }
        byte
    }
}

impl<'a> ConnectProperties<'a> {
    fn decode(block: &'a [u8]) -> Result<Self, Violation> {
        let mut p = ConnectProperties::default();
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            match reader.u8()? {
                property::SESSION_EXPIRY_INTERVAL => {
                    once(&mut p.session_expiry_interval_s, reader.u32()?)?;
                }
                property::RECEIVE_MAXIMUM => once(&mut p.receive_maximum, reader.receive_maximum()?)?,
                property::MAXIMUM_PACKET_SIZE => {
                    once(&mut p.maximum_packet_size, reader.maximum_packet_size()?)?;
                }
                property::TOPIC_ALIAS_MAXIMUM => once(&mut p.topic_alias_maximum, reader.u16()?)?,
                property::REQUEST_RESPONSE_INFORMATION => {
                    once(&mut p.request_response_information, reader.bool()?)?;
                }
                property::REQUEST_PROBLEM_INFORMATION => {
                    once(&mut p.request_problem_information, reader.bool()?)?;
                }
                property::AUTHENTICATION_METHOD => once(&mut p.authentication_method, reader.string()?)?,
                property::AUTHENTICATION_DATA => once(&mut p.authentication_data, reader.binary()?)?,
                property::USER_PROPERTY => {
                    reader.string_pair()?;
                    p.user_properties = UserProperties::of(block);
                }
                _ => return Err(property::NOT_IN_THIS_PACKET),
            }
        }
        if p.authentication_data.is_some() && p.authentication_method.is_none() {
            return Err(Violation::protocol("Authentication Data without an Authentication Method"));
        }
        Ok(p)
    }
}

impl Properties for ConnectProperties<'_> {
    fn put(&self, sink: &mut impl Sink) {
        sink.put_u32_property(property::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval_s);
        sink.put_u16_property(property::RECEIVE_MAXIMUM, self.receive_maximum);
        sink.put_u32_property(property::MAXIMUM_PACKET_SIZE, self.maximum_packet_size);
        sink.put_u16_property(property::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        sink.put_bool_property(property::REQUEST_RESPONSE_INFORMATION, self.request_response_information);
        sink.put_bool_property(property::REQUEST_PROBLEM_INFORMATION, self.request_problem_information);
        sink.put_string_property(property::AUTHENTICATION_METHOD, self.authentication_method);
        sink.put_binary_property(property::AUTHENTICATION_DATA, self.authentication_data);
        sink.put_user_properties(self.user_properties);
    }
}

impl<'a> Will<'a> {
    // [MQTT-3.1.2-9] With the Will Flag, properties, topic and payload are there.
    fn decode(reader: &mut Reader<'a>, version: Version, qos: QoS, retain: bool) -> Result<Self, Violation> {
        let properties = match version {
            Version::V5 => WillProperties::decode(reader.property_block()?)?,
            Version::V31 | Version::V311 => WillProperties::default(),
        };
        let topic = reader.string()?;
        if !is_topic_name(topic) {
            return Err(Violation::new(ReasonCode::TopicNameInvalid, "Will Topic is not a topic name"));
        }
        Ok(Will { qos, retain, topic, payload: reader.binary()?, properties })
    }
}

impl<'a> WillProperties<'a> {
    fn decode(block: &'a [u8]) -> Result<Self, Violation> {
        let mut p = WillProperties { block, ..WillProperties::default() };
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            match reader.u8()? {
                property::WILL_DELAY_INTERVAL => once(&mut p.delay_interval_s, reader.u32()?)?,
                property::MESSAGE_EXPIRY_INTERVAL => {
                    once(&mut p.message_expiry_interval_s, reader.u32()?)?;
                }
                property::PAYLOAD_FORMAT_INDICATOR => once(&mut p.payload_format, reader.payload_format()?)?,
                property::CONTENT_TYPE => once(&mut p.content_type, reader.string()?)?,
                property::RESPONSE_TOPIC => once(&mut p.response_topic, reader.response_topic()?)?,
                property::CORRELATION_DATA => once(&mut p.correlation_data, reader.binary()?)?,
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

impl Properties for WillProperties<'_> {
    fn put(&self, sink: &mut impl Sink) {
        sink.put_u32_property(property::WILL_DELAY_INTERVAL, self.delay_interval_s);
        sink.put_u32_property(property::MESSAGE_EXPIRY_INTERVAL, self.message_expiry_interval_s);
        sink.put_byte_property(property::PAYLOAD_FORMAT_INDICATOR, self.payload_format);
        sink.put_string_property(property::CONTENT_TYPE, self.content_type);
        sink.put_string_property(property::RESPONSE_TOPIC, self.response_topic);
        sink.put_binary_property(property::CORRELATION_DATA, self.correlation_data);
        sink.put_user_properties(self.user_properties);
    }
}

// Two wills are equal when they say the same, in whatever order their blocks say it.
impl PartialEq for WillProperties<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.delay_interval_s == other.delay_interval_s
            && self.message_expiry_interval_s == other.message_expiry_interval_s
            && self.payload_format == other.payload_format
            && self.content_type == other.content_type
            && self.response_topic == other.response_topic
            && self.correlation_data == other.correlation_data
            && self.user_properties == other.user_properties
    }
}

const USERNAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL_QOS: u8 = 0x18;
const WILL_QOS_SHIFT: u8 = 3;
const WILL: u8 = 0x04;
const CLEAN_START: u8 = 0x02;
const RESERVED: u8 = 0x01;
