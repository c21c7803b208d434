//! AUTH, which only 5.0 has. The exchange itself is the broker's.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink};
use crate::property::{self as property, Properties, PutProperty, once, put_block};
use crate::{Frame, PacketKind, ReasonCode, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug, Default)]
pub struct Auth<'a> {
    pub reason: ReasonCode,
    /// Always there, unless the packet has no body.
    pub method: Option<&'a str>,
    pub data: Option<&'a [u8]>,
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
}

impl<'a> Auth<'a> {
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Auth);
        if version != Version::V5 {
            return Err(Violation::malformed("packet type 15 is reserved before 5.0"));
        }
        let mut reader = Reader::new(frame.body);
        // Success without properties is said by an empty body.
        if reader.is_empty() {
            return Ok(Auth::default());
        }
        let reason = ReasonCode::decode(reader.u8()?, PacketKind::Auth)?;
        let auth = Auth { reason, ..Auth::decode_properties(reader.property_block()?)? };
        reader.finish()?;
        if auth.method.is_none() {
            return Err(Violation::protocol("AUTH without an Authentication Method"));
        }
        Ok(auth)
    }

    fn decode_properties(block: &'a [u8]) -> Result<Self, Violation> {
        let mut p = Auth::default();
        let mut reader = Reader::new(block);
        while !reader.is_empty() {
            match reader.u8()? {
                property::AUTHENTICATION_METHOD => once(&mut p.method, reader.string()?)?,
                property::AUTHENTICATION_DATA => once(&mut p.data, reader.binary()?)?,
                property::REASON_STRING => once(&mut p.reason_string, reader.string()?)?,
                property::USER_PROPERTY => {
                    reader.string_pair()?;
                    p.user_properties = UserProperties::of(block);
                }
                _ => return Err(property::NOT_IN_THIS_PACKET),
            }
        }
        Ok(p)
    }

    /// Nothing is written for a version that has no AUTH.
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        debug_assert_eq!(version, Version::V5, "only 5.0 has AUTH");
        if version == Version::V5 {
            encode(PacketKind::Auth.first_byte(), self, version, out);
        }
    }
}

impl Body for Auth<'_> {
    fn put(&self, _version: Version, sink: &mut impl Sink) {
        if *self == Auth::default() {
            return;
        }
        sink.put_u8(self.reason as u8);
        put_block(self, sink);
    }
}

impl Properties for Auth<'_> {
    fn put(&self, sink: &mut impl Sink) {
        sink.put_string_property(property::AUTHENTICATION_METHOD, self.method);
        sink.put_binary_property(property::AUTHENTICATION_DATA, self.data);
        sink.put_string_property(property::REASON_STRING, self.reason_string);
        sink.put_user_properties(self.user_properties);
    }
}
