//! UNSUBSCRIBE. A topic filter that nobody could have subscribed to is no error here: it just does not exist.

use crate::frame::{Body, encode};
use crate::primitive::{Reader, Sink};
use crate::property::{self as property, Properties, PutProperty, put_block};
use crate::{Frame, PacketId, PacketKind, UserProperties, Version, Violation};

#[derive(Clone, PartialEq, Debug)]
pub struct Unsubscribe<'a> {
    pub packet_id: PacketId,
    pub user_properties: UserProperties<'a>,
    pub filters: Vec<&'a str>,
}

impl<'a> Unsubscribe<'a> {
    pub fn decode(frame: &Frame<'a>, version: Version) -> Result<Self, Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Unsubscribe);
        frame.check_reserved_flags(version)?;
        let mut reader = Reader::new(frame.body);
        let packet_id = reader.packet_id()?;
        let user_properties = match version {
            Version::V5 => decode_properties(reader.property_block()?)?,
            Version::V31 | Version::V311 => UserProperties::default(),
        };
        let mut filters = Vec::new();
        while !reader.is_empty() {
            // [MQTT-3.10.3-1] Each topic filter is a string.
            filters.push(reader.string()?);
        }
        // [MQTT-3.10.3-2] There is at least one.
        if filters.is_empty() {
            return Err(Violation::protocol("UNSUBSCRIBE without a Topic Filter"));
        }
        Ok(Unsubscribe { packet_id, user_properties, filters })
    }

    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        encode(PacketKind::Unsubscribe.first_byte(), self, version, out);
    }
}

impl Body for Unsubscribe<'_> {
    fn put(&self, version: Version, sink: &mut impl Sink) {
        sink.put_u16(self.packet_id.get());
        if version == Version::V5 {
            put_block(self, sink);
        }
        for filter in &self.filters {
            sink.put_string(filter);
        }
    }
}

fn decode_properties(block: &[u8]) -> Result<UserProperties<'_>, Violation> {
    let mut reader = Reader::new(block);
    while !reader.is_empty() {
        match reader.u8()? {
            property::USER_PROPERTY => reader.string_pair()?,
            _ => return Err(property::NOT_IN_THIS_PACKET),
        };
    }
    Ok(UserProperties::of(block))
}

impl Properties for Unsubscribe<'_> {
    fn put(&self, sink: &mut impl Sink) {
        sink.put_user_properties(self.user_properties);
    }
}
