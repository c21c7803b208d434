//! UNSUBACK: in 5.0 one reason code for each topic filter of the UNSUBSCRIBE, in 3.x none at all.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink};
use crate::property::{ReasonProperties, put_block};
use crate::{Frame, PacketId, PacketKind, ReasonCode, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug)]
pub struct Unsuback<'a> {
    pub packet_id: PacketId,
    pub reason_string: Option<&'a str>,
    pub user_properties: UserProperties<'a>,
    /// Not on the wire in 3.x.
    pub codes: Vec<ReasonCode>,
}

impl<'a> Unsuback<'a> {
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Unsuback);
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        if version != Version::V5 {
            reader.finish()?;
            let user_properties = UserProperties::default();
            return Ok(Unsuback { packet_id, reason_string: None, user_properties, codes: Vec::new() });
        }
        let ReasonProperties { reason_string, user_properties } =
            ReasonProperties::decode(reader.property_block()?)?;
        let codes: Vec<_> = reader
            .rest()
            .iter()
            .map(|code| ReasonCode::decode(*code, PacketKind::Unsuback))
            .collect::<Result<_, _>>()?;
        // [MQTT-3.10.3-2] [MQTT-3.11.3-1] An UNSUBSCRIBE has a topic filter, so its UNSUBACK has a reason code.
        if codes.is_empty() {
            return Err(Violation::protocol("UNSUBACK without a reason code"));
        }
        Ok(Unsuback { packet_id, reason_string, user_properties, codes })
    }

    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        encode(PacketKind::Unsuback.first_byte(), self, version, out);
    }
}

impl Body for Unsuback<'_> {
    fn put(&self, version: Version, sink: &mut impl Sink) {
        sink.put_u16(self.packet_id.get());
        if version == Version::V5 {
            let Unsuback { reason_string, user_properties, .. } = *self;
            put_block(&ReasonProperties { reason_string, user_properties }, sink);
            for code in &self.codes {
                sink.put_u8(*code as u8);
            }
        }
    }
}
