//! PUBACK, PUBREC, PUBREL and PUBCOMP: four packets of one shape.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink};
use crate::property::{ReasonProperties, put_block};
use crate::{Frame, PacketId, PacketKind, ReasonCode, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug)]
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

    #[inline]
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        debug_assert!(is_ack(frame.kind));
        frame.check_reserved_flags(version)?;
        let mut reader = Reader::new(frame.body);
        let mut ack = Ack::new(reader.packet_id()?);
        if reader.is_empty() {
            return Ok(ack);
        }
        if version == Version::V5 {
            ack.decode_reason(frame.kind, &mut reader)?;
        }
        reader.finish()?;
        Ok(ack)
    }

    // The reason can be left out when it is Success and nothing follows, and the property length can be left out
    // when it is 0.
    fn decode_reason(&mut self, kind: PacketKind, reader: &mut Reader<'a>) -> Result<(), Violation> {
        self.reason = ReasonCode::decode(reader.u8()?, kind)?;
        if !reader.is_empty() {
            let properties = ReasonProperties::decode(reader.property_block()?)?;
            self.reason_string = properties.reason_string;
            self.user_properties = properties.user_properties;
        }
        Ok(())
    }

    /// Says nothing but the packet identifier.
    #[inline]
    pub(crate) fn is_plain(&self, version: Version) -> bool {
        version != Version::V5
            || (self.reason == ReasonCode::Success
                && self.reason_string.is_none()
                && self.user_properties.is_empty())
    }

    pub fn encode(&self, kind: PacketKind, version: Version, out: &mut Vec<u8>) {
        debug_assert!(is_ack(kind));
        if self.is_plain(version) {
            let [high, low] = self.packet_id.get().to_be_bytes();
            out.extend_from_slice(&[kind.first_byte(), size_of::<PacketId>() as u8, high, low]);
            return;
        }
        encode(kind.first_byte(), self, version, out);
    }
}

/// Of an acknowledgement that says nothing but its packet identifier.
pub(crate) const PLAIN_ACK_BYTES: u32 = 4;

impl Body for Ack<'_> {
    fn put(&self, version: Version, sink: &mut impl Sink) {
        sink.put_u16(self.packet_id.get());
        if version != Version::V5 {
            return;
        }
        let properties =
            ReasonProperties { reason_string: self.reason_string, user_properties: self.user_properties };
        if !properties.is_empty() {
            sink.put_u8(self.reason as u8);
            put_block(&properties, sink);
        } else if self.reason != ReasonCode::Success {
            sink.put_u8(self.reason as u8);
        }
    }
}

fn is_ack(kind: PacketKind) -> bool {
    matches!(kind, PacketKind::Puback | PacketKind::Pubrec | PacketKind::Pubrel | PacketKind::Pubcomp)
}
