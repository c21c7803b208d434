//! CONNACK and its properties, with the return codes of 3.x.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink};
use crate::property::{self as property, Properties, PutProperty, once, put_block};
use crate::{Frame, PacketKind, QoS, ReasonCode, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Connack<'a> {
    pub session_present: bool,
    pub reason: ReasonCode,
    pub properties: ConnackProperties<'a>,
}

#[derive(Clone, PartialEq, Debug, Default)]
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

impl<'a> Connack<'a> {
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Connack);
        let mut reader = Reader::new(frame.body);
        let session_present = match (reader.u8()?, version) {
            // 3.1 does not use the byte at all.
            (_, Version::V31) => false,
            (flags @ 0..=1, _) => flags == 1,
            // [MQTT-3.2.2-1] Bits 7-1 are reserved.
            _ => return Err(Violation::malformed("reserved flags of CONNACK are set")),
        };
        let code = reader.u8()?;
        let (reason, properties) = match version {
            Version::V5 => {
                let reason = ReasonCode::decode(code, PacketKind::Connack)?;
                (reason, ConnackProperties::decode(reader.property_block()?)?)
            }
            Version::V31 | Version::V311 => {
                let reason = ReasonCode::of_connect_return_code(code)
                    .ok_or(Violation::malformed("return code of CONNACK is reserved"))?;
                (reason, ConnackProperties::default())
            }
        };
        reader.finish()?;
        // [MQTT-3.2.2-6] A refused connection has no session.
        if session_present && reason != ReasonCode::Success {
            return Err(Violation::protocol("Session Present with a refusal"));
        }
        Ok(Connack { session_present, reason, properties })
    }

    /// A refusal for which 3.x has no return code is not written at all: the connection is closed without one.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        if self.can_be_said(version) {
            encode(PacketKind::Connack.first_byte(), self, version, out);
        }
    }

    pub(crate) fn can_be_said(&self, version: Version) -> bool {
        version == Version::V5 || self.reason.connect_return_code().is_some()
    }
}

impl Body for Connack<'_> {
    fn put(&self, version: Version, sink: &mut impl Sink) {
        // [MQTT-3.2.2-6] A refused connection has no session, and 3.1 has no such flag.
        let session_present =
            self.session_present && self.reason == ReasonCode::Success && version != Version::V31;
        sink.put_u8(u8::from(session_present));
        if version == Version::V5 {
            sink.put_u8(self.reason as u8);
            put_block(&self.properties, sink);
        } else {
            sink.put_u8(self.reason.connect_return_code().unwrap_or(SERVER_UNAVAILABLE));
        }
    }
}

impl<'a> ConnackProperties<'a> {
    fn decode(block: &'a [u8]) -> Result<Self, Violation> {
        let mut p = ConnackProperties::default();
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            let id = reader.u8()?;
            p.decode_one(id, &mut reader)?;
            if id == property::USER_PROPERTY {
                p.user_properties = UserProperties::of(block);
            }
        }
        Ok(p)
    }

    fn decode_one(&mut self, id: u8, reader: &mut Reader<'a>) -> Result<(), Violation> {
        match id {
            property::SESSION_EXPIRY_INTERVAL => once(&mut self.session_expiry_interval_s, reader.u32()?),
            property::RECEIVE_MAXIMUM => once(&mut self.receive_maximum, reader.receive_maximum()?),
            property::MAXIMUM_QOS => once(&mut self.maximum_qos, reader.maximum_qos()?),
            property::RETAIN_AVAILABLE => once(&mut self.retain_available, reader.bool()?),
            property::MAXIMUM_PACKET_SIZE => {
                once(&mut self.maximum_packet_size, reader.maximum_packet_size()?)
            }
            property::ASSIGNED_CLIENT_IDENTIFIER => once(&mut self.assigned_client_id, reader.string()?),
            property::TOPIC_ALIAS_MAXIMUM => once(&mut self.topic_alias_maximum, reader.u16()?),
            property::REASON_STRING => once(&mut self.reason_string, reader.string()?),
            property::WILDCARD_SUBSCRIPTION_AVAILABLE => {
                once(&mut self.wildcard_subscription_available, reader.bool()?)
            }
            property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE => {
                once(&mut self.subscription_identifiers_available, reader.bool()?)
            }
            property::SHARED_SUBSCRIPTION_AVAILABLE => {
                once(&mut self.shared_subscription_available, reader.bool()?)
            }
            property::SERVER_KEEP_ALIVE => once(&mut self.server_keep_alive_s, reader.u16()?),
            property::RESPONSE_INFORMATION => once(&mut self.response_information, reader.string()?),
            property::SERVER_REFERENCE => once(&mut self.server_reference, reader.string()?),
            property::AUTHENTICATION_METHOD => once(&mut self.authentication_method, reader.string()?),
            property::AUTHENTICATION_DATA => once(&mut self.authentication_data, reader.binary()?),
            property::USER_PROPERTY => reader.string_pair().map(drop),
            _ => Err(property::NOT_IN_THIS_PACKET),
        }
    }
}

impl Properties for ConnackProperties<'_> {
    fn put(&self, sink: &mut impl Sink) {
        debug_assert!(self.maximum_qos != Some(QoS::ExactlyOnce), "QoS 2 is said by leaving Maximum QoS out");
        sink.put_u32_property(property::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval_s);
        sink.put_u16_property(property::RECEIVE_MAXIMUM, self.receive_maximum);
        sink.put_byte_property(property::MAXIMUM_QOS, self.maximum_qos.map(|qos| qos as u8));
        sink.put_bool_property(property::RETAIN_AVAILABLE, self.retain_available);
        sink.put_u32_property(property::MAXIMUM_PACKET_SIZE, self.maximum_packet_size);
        sink.put_string_property(property::ASSIGNED_CLIENT_IDENTIFIER, self.assigned_client_id);
        sink.put_u16_property(property::TOPIC_ALIAS_MAXIMUM, self.topic_alias_maximum);
        sink.put_string_property(property::REASON_STRING, self.reason_string);
        sink.put_bool_property(
            property::WILDCARD_SUBSCRIPTION_AVAILABLE,
            self.wildcard_subscription_available,
        );
        sink.put_bool_property(
            property::SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
            self.subscription_identifiers_available,
        );
        sink.put_bool_property(property::SHARED_SUBSCRIPTION_AVAILABLE, self.shared_subscription_available);
        sink.put_u16_property(property::SERVER_KEEP_ALIVE, self.server_keep_alive_s);
        sink.put_string_property(property::RESPONSE_INFORMATION, self.response_information);
        sink.put_string_property(property::SERVER_REFERENCE, self.server_reference);
        sink.put_string_property(property::AUTHENTICATION_METHOD, self.authentication_method);
        sink.put_binary_property(property::AUTHENTICATION_DATA, self.authentication_data);
        sink.put_user_properties(self.user_properties);
    }
}

// What a size is computed with when there is no code and nothing is written.
const SERVER_UNAVAILABLE: u8 = 3;
