//! Properties of MQTT 5.0: built one by one as bytes, and read back with a check of type and place.

use crate::build::{string, varint};
use crate::reader::Reader;

pub const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
pub const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
pub const CONTENT_TYPE: u8 = 0x03;
pub const RESPONSE_TOPIC: u8 = 0x08;
pub const CORRELATION_DATA: u8 = 0x09;
pub const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
pub const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
pub const SERVER_KEEP_ALIVE: u8 = 0x13;
pub const AUTHENTICATION_METHOD: u8 = 0x15;
pub const AUTHENTICATION_DATA: u8 = 0x16;
pub const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub const WILL_DELAY_INTERVAL: u8 = 0x18;
pub const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub const RESPONSE_INFORMATION: u8 = 0x1A;
pub const SERVER_REFERENCE: u8 = 0x1C;
pub const REASON_STRING: u8 = 0x1F;
pub const RECEIVE_MAXIMUM: u8 = 0x21;
pub const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub const TOPIC_ALIAS: u8 = 0x23;
pub const MAXIMUM_QOS: u8 = 0x24;
pub const RETAIN_AVAILABLE: u8 = 0x25;
pub const USER_PROPERTY: u8 = 0x26;
pub const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
pub const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
pub const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;

pub fn byte(id: u8, value: u8) -> Vec<u8> {
    vec![id, value]
}

pub fn two(id: u8, value: u16) -> Vec<u8> {
    [&[id], &value.to_be_bytes()[..]].concat()
}

pub fn four(id: u8, value: u32) -> Vec<u8> {
    [&[id], &value.to_be_bytes()[..]].concat()
}

pub fn text(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![id], string(value)].concat()
}

pub fn user(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![USER_PROPERTY], string(name), string(value)].concat()
}

pub fn subscription_identifier(value: u32) -> Vec<u8> {
    [vec![SUBSCRIPTION_IDENTIFIER], varint(value)].concat()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Number(u32),
    Bytes(Vec<u8>),
    Pair(String, String),
}

/// The properties of one packet, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Properties(Vec<(u8, Value)>);

impl Properties {
    /// Reads a property length and its properties. Only `allowed` ones may appear, each of them once, except for the
    /// User Property and the Subscription Identifier.
    pub fn read(reader: &mut Reader, allowed: &[u8], packet: &str) -> Properties {
        let length = reader.varint() as usize;
        let mut inner = Reader::new(reader.take(length));
        let mut list: Vec<(u8, Value)> = Vec::new();
        while !inner.is_empty() {
            let id = inner.varint() as u8;
            assert!(allowed.contains(&id), "the server sent property {id:#04x} in a {packet}");
            let repeatable = id == USER_PROPERTY || id == SUBSCRIPTION_IDENTIFIER;
            let repeated = list.iter().any(|(other, _)| *other == id);
            assert!(repeatable || !repeated, "the server sent property {id:#04x} twice in a {packet}");
            list.push((id, value(id, &mut inner)));
        }
        Properties(list)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn has(&self, id: u8) -> bool {
        self.0.iter().any(|(other, _)| *other == id)
    }

    pub fn number(&self, id: u8) -> Option<u32> {
        self.numbers(id).first().copied()
    }

    pub fn numbers(&self, id: u8) -> Vec<u32> {
        let number = |value: &Value| match value {
            Value::Number(number) => *number,
            other => panic!("property {id:#04x} holds {other:?}"),
        };
        self.0.iter().filter(|(other, _)| *other == id).map(|(_, value)| number(value)).collect()
    }

    pub fn bytes(&self, id: u8) -> Option<&[u8]> {
        self.0.iter().find(|(other, _)| *other == id).map(|(_, value)| match value {
            Value::Bytes(bytes) => &bytes[..],
            other => panic!("property {id:#04x} holds {other:?}"),
        })
    }

    pub fn text(&self, id: u8) -> Option<&str> {
        self.bytes(id).map(|bytes| std::str::from_utf8(bytes).expect("a string property holds UTF-8"))
    }

    /// The User Properties as (name, value), in order.
    pub fn user(&self) -> Vec<(&str, &str)> {
        let pairs = self.0.iter().filter_map(|(_, value)| match value {
            Value::Pair(name, value) => Some((name.as_str(), value.as_str())),
            _ => None,
        });
        pairs.collect()
    }
}

fn value(id: u8, reader: &mut Reader) -> Value {
    match id {
        PAYLOAD_FORMAT_INDICATOR
        | REQUEST_PROBLEM_INFORMATION
        | REQUEST_RESPONSE_INFORMATION
        | MAXIMUM_QOS
        | RETAIN_AVAILABLE
        | WILDCARD_SUBSCRIPTION_AVAILABLE
        | SUBSCRIPTION_IDENTIFIER_AVAILABLE
        | SHARED_SUBSCRIPTION_AVAILABLE => {
            let value = reader.byte();
            assert!(value <= 1, "property {id:#04x} is {value}, not 0 or 1");
            Value::Number(value.into())
        }
        SERVER_KEEP_ALIVE | TOPIC_ALIAS_MAXIMUM => Value::Number(reader.two().into()),
        RECEIVE_MAXIMUM | TOPIC_ALIAS => {
            let value = reader.two();
            assert!(value > 0, "property {id:#04x} must not be zero");
            Value::Number(value.into())
        }
        MESSAGE_EXPIRY_INTERVAL | SESSION_EXPIRY_INTERVAL | WILL_DELAY_INTERVAL => {
            Value::Number(reader.four())
        }
        MAXIMUM_PACKET_SIZE => {
            let value = reader.four();
            assert!(value > 0, "Maximum Packet Size must not be zero");
            Value::Number(value)
        }
        SUBSCRIPTION_IDENTIFIER => {
            let value = reader.varint();
            assert!(value > 0, "a Subscription Identifier must not be zero");
            Value::Number(value)
        }
        CORRELATION_DATA | AUTHENTICATION_DATA => Value::Bytes(reader.binary().to_vec()),
        USER_PROPERTY => Value::Pair(reader.string(), reader.string()),
        CONTENT_TYPE
        | RESPONSE_TOPIC
        | ASSIGNED_CLIENT_IDENTIFIER
        | AUTHENTICATION_METHOD
        | RESPONSE_INFORMATION
        | SERVER_REFERENCE
        | REASON_STRING => Value::Bytes(reader.string().into_bytes()),
        other => panic!("there is no property {other:#04x}"),
    }
}
