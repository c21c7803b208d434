//! SUBACK: one reason code for each topic filter of the SUBSCRIBE, in its order.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink};
use crate::property::{ReasonProperties, put_block};
use crate::{Frame, PacketId, PacketKind, ReasonCode, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug)]
pub struct Suback<'a> {
    pub packet_id: PacketId,
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
    pub codes: Vec<ReasonCode>,
}

impl<'a> Suback<'a> {
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Suback);
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let ReasonProperties { reason_string, user_properties } = match version {
            Version::V5 => ReasonProperties::decode(reader.property_block()?)?,
            Version::V31 | Version::V311 => ReasonProperties::default(),
        };
        let codes: Vec<_> =
            reader.rest().iter().map(|code| decode_code(*code, version)).collect::<Result<_, _>>()?;
        // [MQTT-3.8.3-2] [MQTT-3.8.4-6] A SUBSCRIBE has a topic filter, so its SUBACK has a reason code.
        if codes.is_empty() {
            return Err(Violation::protocol("SUBACK without a reason code"));
        }
        Ok(Suback { packet_id, reason_string, user_properties, codes })
    }

    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        encode(PacketKind::Suback.first_byte(), self, version, out);
    }
}

impl Body for Suback<'_> {
    fn put(&self, version: Version, sink: &mut impl Sink) {
        sink.put_u16(self.packet_id.get());
        if version == Version::V5 {
            let Suback { reason_string, user_properties, .. } = *self;
            put_block(&ReasonProperties { reason_string, user_properties }, sink);
        }
        for code in &self.codes {
            // 3.1.1 has one code for every failure. 3.1 has none, and this one is what its clients get elsewhere.
            let code = if version != Version::V5 && code.is_error() { FAILURE } else { *code };
            sink.put_u8(code as u8);
        }
    }
}

fn decode_code(code: u8, version: Version) -> Result<ReasonCode, Violation> {
    let code = ReasonCode::decode(code, PacketKind::Suback)?;
    // [MQTT-3.9.3-2] in 3.1.1: other codes than the granted QoS and Failure are reserved.
    if version != Version::V5 && code.is_error() && code != FAILURE {
        return Err(Violation::malformed("return code of SUBACK is reserved"));
    }
    Ok(code)
}

const FAILURE: ReasonCode = ReasonCode::UnspecifiedError;
