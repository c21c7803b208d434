//! Packets of a client as bytes, in every version. It builds what it is told, also what no client should send.

use crate::properties;
use crate::unique::unique;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V31 = 3,
    V311 = 4,
    V5 = 5,
}

pub fn varint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let digit = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(digit);
            return bytes;
        }
        bytes.push(digit | 0x80);
    }
}

/// A UTF-8 Encoded String or Binary Data: two bytes of length, then the content.
pub fn string(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = u16::try_from(content.len()).expect("a string of at most 65,535 bytes");
    [&length.to_be_bytes()[..], content].concat()
}

/// A packet: its first byte, its remaining length and its body.
pub fn frame(first: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    [vec![first], varint(body.len() as u32), body.to_vec()].concat()
}

/// The length of the properties and the properties in 5.0, nothing in the versions without them.
pub fn block(version: Version, properties: &[u8]) -> Vec<u8> {
    match version {
        Version::V5 => [varint(properties.len() as u32), properties.to_vec()].concat(),
        _ => {
            assert!(properties.is_empty(), "{version:?} has no properties");
            Vec::new()
        }
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP in its shortest form, which means success.
pub fn ack(first: u8, packet_id: u16) -> Vec<u8> {
    frame(first, packet_id.to_be_bytes())
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP of 5.0 with a Reason Code.
pub fn ack_with(first: u8, packet_id: u16, reason: u8) -> Vec<u8> {
    frame(first, [&packet_id.to_be_bytes()[..], &[reason]].concat())
}

pub fn subscribe(version: Version, packet_id: u16, list: &[(&str, u8)], properties: &[u8]) -> Vec<u8> {
    let mut body = [packet_id.to_be_bytes().to_vec(), block(version, properties)].concat();
    for (filter, options) in list {
        body.extend(string(filter));
        body.push(*options);
    }
    frame(SUBSCRIBE, body)
}

pub fn unsubscribe(version: Version, packet_id: u16, filters: &[&str]) -> Vec<u8> {
    let mut body = [packet_id.to_be_bytes().to_vec(), block(version, &[])].concat();
    filters.iter().for_each(|filter| body.extend(string(filter)));
    frame(UNSUBSCRIBE, body)
}

/// A message as the client publishes it.
#[derive(Debug, Clone)]
pub struct Message {
    pub topic: Vec<u8>,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub packet_id: u16,
    retain: bool,
    dup: bool,
    properties: Vec<u8>,
}

impl Message {
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Message {
        Message {
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            packet_id: 0,
            retain: false,
            dup: false,
            properties: Vec::new(),
        }
    }

    pub fn qos(self, qos: u8) -> Message {
        Message { qos, ..self }
    }

    /// The packet id for [`Client::send`](crate::Client::send); `Client::publish` chooses one itself.
    pub fn id(self, packet_id: u16) -> Message {
        Message { packet_id, ..self }
    }

    pub fn retain(self) -> Message {
        Message { retain: true, ..self }
    }

    pub fn dup(self) -> Message {
        Message { dup: true, ..self }
    }

    pub fn with(mut self, property: Vec<u8>) -> Message {
        self.properties.extend(property);
        self
    }

    pub fn bytes(&self, version: Version) -> Vec<u8> {
        let first = PUBLISH | u8::from(self.dup) << 3 | self.qos << 1 | u8::from(self.retain);
        let mut body = string(&self.topic);
        if self.qos > 0 {
            body.extend(self.packet_id.to_be_bytes());
        }
        body.extend(block(version, &self.properties));
        body.extend(&self.payload);
        frame(first, body)
    }
}

/// A message of QoS 0, to be changed with the methods of [`Message`].
pub fn message(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Message {
    Message::new(topic, payload)
}

#[derive(Debug, Clone)]
pub struct Will {
    message: Message,
}

impl Will {
    pub fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Will {
        Will { message: Message::new(topic, payload) }
    }

    pub fn qos(self, qos: u8) -> Will {
        Will { message: self.message.qos(qos) }
    }

    pub fn retain(self) -> Will {
        Will { message: self.message.retain() }
    }

    pub fn with(self, property: Vec<u8>) -> Will {
        Will { message: self.message.with(property) }
    }

    pub fn delay(self, seconds: u32) -> Will {
        self.with(properties::four(properties::WILL_DELAY_INTERVAL, seconds))
    }
}

/// A CONNECT packet. It starts a clean session without keep alive unless told otherwise.
#[derive(Debug, Clone)]
pub struct Connect {
    pub version: Version,
    pub client_id: Vec<u8>,
    /// What the client says it can take; the tests' client fails when the server sends more.
    pub packet_size_max: Option<u32>,
    pub topic_alias_maximum: u16,
    clean: bool,
    keep_alive: u16,
    properties: Vec<u8>,
    will: Option<Will>,
    user_name: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
    /// Bits that are turned over in the Connect Flags, to break them.
    flipped_flags: u8,
}

/// A client of MQTT 5.0 with a client id of its own.
pub fn v5(name: &str) -> Connect {
    Connect::new(Version::V5, unique(name))
}

pub fn v311(name: &str) -> Connect {
    Connect::new(Version::V311, unique(name))
}

pub fn v31(name: &str) -> Connect {
    Connect::new(Version::V31, unique(name))
}

impl Connect {
    pub fn new(version: Version, client_id: impl AsRef<[u8]>) -> Connect {
        Connect {
            version,
            client_id: client_id.as_ref().to_vec(),
            packet_size_max: None,
            topic_alias_maximum: 0,
            clean: true,
            keep_alive: 0,
            properties: Vec::new(),
            will: None,
            user_name: None,
            password: None,
            flipped_flags: 0,
        }
    }

    /// Clean Start in 5.0, Clean Session before.
    pub fn clean(self, clean: bool) -> Connect {
        Connect { clean, ..self }
    }

    /// A session that stays when its connection ends: a minute in 5.0, for good before.
    pub fn lasting(self) -> Connect {
        match self.version {
            Version::V5 => self.clean(false).session_expiry(60),
            _ => self.clean(false),
        }
    }

    pub fn session_expiry(self, seconds: u32) -> Connect {
        self.with(properties::four(properties::SESSION_EXPIRY_INTERVAL, seconds))
    }

    pub fn receive_maximum(self, count: u16) -> Connect {
        self.with(properties::two(properties::RECEIVE_MAXIMUM, count))
    }

    pub fn packet_size_max(mut self, bytes: u32) -> Connect {
        self.packet_size_max = Some(bytes);
        self.with(properties::four(properties::MAXIMUM_PACKET_SIZE, bytes))
    }

    pub fn topic_alias_maximum(mut self, count: u16) -> Connect {
        self.topic_alias_maximum = count;
        self.with(properties::two(properties::TOPIC_ALIAS_MAXIMUM, count))
    }

    pub fn with(mut self, property: Vec<u8>) -> Connect {
        self.properties.extend(property);
        self
    }

    pub fn keep_alive(self, seconds: u16) -> Connect {
        Connect { keep_alive: seconds, ..self }
    }

    pub fn will(self, will: Will) -> Connect {
        Connect { will: Some(will), ..self }
    }

    pub fn user_name(self, user_name: impl AsRef<[u8]>) -> Connect {
        Connect { user_name: Some(user_name.as_ref().to_vec()), ..self }
    }

    pub fn password(self, password: impl AsRef<[u8]>) -> Connect {
        Connect { password: Some(password.as_ref().to_vec()), ..self }
    }

    pub fn flip_flags(self, bits: u8) -> Connect {
        Connect { flipped_flags: bits, ..self }
    }

    pub fn bytes(&self) -> Vec<u8> {
        frame(CONNECT, [self.variable_header(), self.payload()].concat())
    }

    pub fn variable_header(&self) -> Vec<u8> {
        let name = if self.version == Version::V31 { "MQIsdp" } else { "MQTT" };
        let mut body = string(name);
        body.extend([self.version as u8, self.flags() ^ self.flipped_flags]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(block(self.version, &self.properties));
        body
    }

    fn flags(&self) -> u8 {
        let mut flags = u8::from(self.clean) << 1;
        if let Some(Will { message }) = &self.will {
            flags |= WILL_FLAG | message.qos << 3 | u8::from(message.retain) << 5;
        }
        flags |= u8::from(self.password.is_some()) << 6;
        flags | u8::from(self.user_name.is_some()) << 7
    }

    pub fn payload(&self) -> Vec<u8> {
        let mut body = string(&self.client_id);
        if let Some(Will { message }) = &self.will {
            body.extend(block(self.version, &message.properties));
            body.extend(string(&message.topic));
            body.extend(string(&message.payload));
        }
        self.user_name.iter().chain(&self.password).for_each(|field| body.extend(string(field)));
        body
    }
}

/// First bytes of a client's packets, with the flags that the specification asks for.
pub const CONNECT: u8 = 0x10;
pub const PUBLISH: u8 = 0x30;
pub const PUBACK: u8 = 0x40;
pub const PUBREC: u8 = 0x50;
pub const PUBREL: u8 = 0x62;
pub const PUBCOMP: u8 = 0x70;
pub const SUBSCRIBE: u8 = 0x82;
pub const UNSUBSCRIBE: u8 = 0xA2;
pub const PINGREQ: u8 = 0xC0;
pub const DISCONNECT: u8 = 0xE0;
pub const AUTH: u8 = 0xF0;

pub const WILL_FLAG: u8 = 0x04;

/// Subscription Options of 5.0, to be combined with a QoS.
pub const NO_LOCAL: u8 = 0x04;
pub const RETAIN_AS_PUBLISHED: u8 = 0x08;
pub const RETAIN_FIRST_TIME: u8 = 0x10;
pub const RETAIN_NEVER: u8 = 0x20;
