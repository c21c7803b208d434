//! What the tables are built from. Strings and lists are leaked: packets borrow, and a table outlives its maker.

use mqtt::{
    Packet, PacketId, SubscriptionIds, SubscriptionIdsBuf, UserProperties, UserPropertiesBuf, Version,
};

/// One packet and its bytes.
#[derive(Clone)]
pub struct Case {
    pub name: &'static str,
    pub version: Version,
    pub bytes: &'static [u8],
    pub packet: Packet<'static>,
    pub direction: Direction,
}

/// Some packets have more than one form on the wire; only one of them is written.
#[derive(Copy, Clone, PartialEq, Eq)]
pub enum Direction {
    Both,
    DecodeOnly,
}

pub fn case(name: &'static str, version: Version, bytes: &'static [u8], packet: Packet<'static>) -> Case {
    Case { name, version, bytes, packet, direction: Direction::Both }
}

/// The same packet in every version that writes it in the same way.
pub fn same(
    name: &'static str,
    versions: &[Version],
    bytes: &'static [u8],
    packet: Packet<'static>,
) -> Vec<Case> {
    versions.iter().map(|version| case(name, *version, bytes, packet.clone())).collect()
}

impl Case {
    pub fn decode_only(mut self) -> Case {
        self.direction = Direction::DecodeOnly;
        self
    }
}

pub fn id(value: u16) -> PacketId {
    PacketId::new(value).expect("tests use packet identifiers other than 0")
}

pub fn user_properties(pairs: &[(&str, &str)]) -> UserProperties<'static> {
    let properties: &'static mut UserPropertiesBuf = Box::leak(Box::default());
    for (name, value) in pairs {
        properties.push(name, value);
    }
    properties.as_ref()
}

pub fn subscription_ids(ids: &[u32]) -> SubscriptionIds<'static> {
    let list: &'static mut SubscriptionIdsBuf = Box::leak(Box::default());
    for id in ids {
        list.push(*id);
    }
    list.as_ref()
}
