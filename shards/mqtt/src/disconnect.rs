//! DISCONNECT: in 3.x a client's farewell without a body, in 5.0 either side's last word with a reason.

use crate::frame::{Body, encode};
use crate::primitive::{Count, Reader, Sink};
use crate::property::{self as property, Properties, PutProperty, once, put_block};
use crate::{Frame, PacketKind, ReasonCode, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Disconnect<'a> {
    pub reason: ReasonCode,
    /// Only a client sends this.
    pub session_expiry_interval_s: Option<u32>,
    pub reason_string: Option<&'a str>,
    pub server_reference: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
}

impl<'a> Disconnect<'a> {
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Disconnect);
        let mut reader = Reader::new(frame.body);
        let mut disconnect = Disconnect::default();
        // The reason can be left out when it is Normal disconnection and nothing follows, and the property length
        // can be left out when it is 0.
        if version == Version::V5 && !reader.is_empty() {
            let reason = ReasonCode::decode(reader.u8()?, PacketKind::Disconnect)?;
            if !reader.is_empty() {
                disconnect = Disconnect::decode_properties(reader.property_block()?)?;
            }
            disconnect.reason = reason;
        }
        reader.finish()?;
        Ok(disconnect)
    }

    fn decode_properties(block: &'a [u8]) -> Result<Self, Violation> {
        let mut p = Disconnect::default();
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            match reader.u8()? {
                property::SESSION_EXPIRY_INTERVAL => {
                    once(&mut p.session_expiry_interval_s, reader.u32()?)?;
                }
                property::REASON_STRING => once(&mut p.reason_string, reader.string()?)?,
                property::SERVER_REFERENCE => once(&mut p.server_reference, reader.string()?)?,
                property::USER_PROPERTY => {
                    reader.string_pair()?;
                    p.user_properties = UserProperties::of(block);
                }
                _ => return Err(property::NOT_IN_THIS_PACKET),
            }
        }
        Ok(p)
    }

    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        encode(PacketKind::Disconnect.first_byte(), self, version, out);
    }
}

impl Body for Disconnect<'_> {
    fn put(&self, version: Version, sink: &mut impl Sink) {
        if version != Version::V5 {
            return;
        }
        let mut properties = Count::default();
        Properties::put(self, &mut properties);
        if properties.0 > 0 {
            sink.put_u8(self.reason as u8);
            put_block(self, sink);
        } else if self.reason != ReasonCode::Success {
            sink.put_u8(self.reason as u8);
        }
    }
}

impl Properties for Disconnect<'_> {
    fn put(&self, sink: &mut impl Sink) {
        sink.put_u32_property(property::SESSION_EXPIRY_INTERVAL, self.session_expiry_interval_s);
        sink.put_string_property(property::REASON_STRING, self.reason_string);
        sink.put_string_property(property::SERVER_REFERENCE, self.server_reference);
        sink.put_user_properties(self.user_properties);
    }
}
