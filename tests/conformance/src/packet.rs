//! Packets from the server, read with a check of everything that the specification fixes: flags, codes, properties.

use crate::build::Version;
use crate::properties::{self as property, Properties};
use crate::reader::Reader;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Connack(Connack),
    Publish(Publish),
    Puback(Ack),
    Pubrec(Ack),
    Pubrel(Ack),
    Pubcomp(Ack),
    Suback(Codes),
    Unsuback(Codes),
    Pingresp,
    Disconnect { code: u8, properties: Properties },
    Auth { code: u8, properties: Properties },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connack {
    pub session_present: bool,
    pub code: u8,
    pub properties: Properties,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    pub packet_id: Option<u16>,
    pub properties: Properties,
    pub payload: Vec<u8>,
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub packet_id: u16,
    pub code: u8,
    pub properties: Properties,
}

/// SUBACK or UNSUBACK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    pub packet_id: u16,
    pub codes: Vec<u8>,
    pub properties: Properties,
}

impl Connack {
    /// How many QoS 1 and QoS 2 messages the server takes at once.
    pub fn receive_maximum(&self) -> u16 {
        self.properties.number(property::RECEIVE_MAXIMUM).map_or(u16::MAX, |value| value as u16)
    }

    pub fn topic_alias_maximum(&self) -> u16 {
        self.properties.number(property::TOPIC_ALIAS_MAXIMUM).map_or(0, |value| value as u16)
    }

    pub fn maximum_packet_size(&self) -> Option<u32> {
        self.properties.number(property::MAXIMUM_PACKET_SIZE)
    }

    pub fn maximum_qos(&self) -> u8 {
        self.properties.number(property::MAXIMUM_QOS).map_or(2, |value| value as u8)
    }

    pub fn retain_available(&self) -> bool {
        self.properties.number(property::RETAIN_AVAILABLE) != Some(0)
    }
}

impl Packet {
    pub fn read(version: Version, first: u8, body: &[u8]) -> Packet {
        let kind = first >> 4;
        let flags = first & 0x0F;
        // [MQTT-2.1.3-1] Only a PUBLISH has flags that vary.
        let reserved = if kind == 6 { 0x02 } else { 0x00 };
        assert!(
            kind == 3 || flags == reserved,
            "flags {flags:#06b} in a packet of type {kind} from the server"
        );
        let mut reader = Reader::new(body);
        let packet = match kind {
            2 => Packet::Connack(Connack::read(version, &mut reader)),
            3 => Packet::Publish(Publish::read(version, flags, &mut reader)),
            4 => Packet::Puback(Ack::read(version, &mut reader, &RECEIVED_CODES, "PUBACK")),
            5 => Packet::Pubrec(Ack::read(version, &mut reader, &RECEIVED_CODES, "PUBREC")),
            6 => Packet::Pubrel(Ack::read(version, &mut reader, &[0x00, 0x92], "PUBREL")),
            7 => Packet::Pubcomp(Ack::read(version, &mut reader, &[0x00, 0x92], "PUBCOMP")),
            9 => Packet::Suback(Codes::read_suback(version, &mut reader)),
            11 => Packet::Unsuback(Codes::read_unsuback(version, &mut reader)),
            13 => Packet::Pingresp,
            14 => {
                let (code, properties) = coded(version, &mut reader, &DISCONNECT_ALLOWED, "DISCONNECT");
                // [MQTT-3.14.2-1]
                assert!(DISCONNECT_CODES.contains(&code), "reason {code:#04x} in a server's DISCONNECT");
                Packet::Disconnect { code, properties }
            }
            15 => {
                let (code, properties) = coded(version, &mut reader, &AUTH_ALLOWED, "AUTH");
                assert!([0x00, 0x18].contains(&code), "reason {code:#04x} in a server's AUTH");
                Packet::Auth { code, properties }
            }
            _ => panic!("a server must not send a packet of type {kind}"),
        };
        assert!(reader.is_empty(), "{:?} follow the end of {packet:?}", reader.rest());
        packet
    }
}

/// DISCONNECT and AUTH: a code and properties that both may be left out.
fn coded(version: Version, reader: &mut Reader, allowed: &[u8], name: &str) -> (u8, Properties) {
    assert_eq!(version, Version::V5, "a server has no {name} before 5.0");
    let code = if reader.is_empty() { 0 } else { reader.byte() };
    let properties = match reader.is_empty() {
        true => Properties::default(),
        false => Properties::read(reader, allowed, name),
    };
    (code, properties)
}

impl Connack {
    fn read(version: Version, reader: &mut Reader) -> Connack {
        let flags = reader.byte();
        // [MQTT-3.2.2-1]
        assert_eq!(flags & 0xFE, 0, "reserved bits in the Connect Acknowledge Flags");
        let code = reader.byte();
        let session_present = flags == 1;
        if version != Version::V5 {
            assert!(code <= 5, "return code {code:#04x} in a CONNACK of {version:?}");
            return Connack { session_present, code, properties: Properties::default() };
        }
        // [MQTT-3.2.2-8]
        assert!(CONNACK_CODES.contains(&code), "reason {code:#04x} in a CONNACK");
        let properties = Properties::read(reader, &CONNACK_ALLOWED, "CONNACK");
        Connack { session_present, code, properties }
    }
}

impl Publish {
    fn read(version: Version, flags: u8, reader: &mut Reader) -> Publish {
        let (dup, qos, retain) = (flags & 8 != 0, flags >> 1 & 3, flags & 1 != 0);
        assert!(qos < 3, "a PUBLISH with QoS 3");
        assert!(!(qos == 0 && dup), "a QoS 0 PUBLISH with DUP");
        let topic = reader.string();
        assert!(!topic.contains(['+', '#']), "a wildcard in the topic name `{topic}`");
        let packet_id = (qos > 0).then(|| reader.two());
        assert_ne!(packet_id, Some(0), "a PUBLISH with packet id 0");
        let properties = match version {
            Version::V5 => Properties::read(reader, &PUBLISH_ALLOWED, "PUBLISH"),
            _ => Properties::default(),
        };
        Publish { dup, qos, retain, topic, packet_id, properties, payload: reader.rest().to_vec() }
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).expect("the tests' payloads are text")
    }

    pub fn id(&self) -> u16 {
        self.packet_id.expect("a QoS above 0")
    }
}

impl Ack {
    fn read(version: Version, reader: &mut Reader, codes: &[u8], name: &str) -> Ack {
        let packet_id = reader.two();
        if version != Version::V5 || reader.is_empty() {
            return Ack { packet_id, code: 0, properties: Properties::default() };
        }
        let code = reader.byte();
        // [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1]
        assert!(codes.contains(&code), "reason {code:#04x} in a {name}");
        let properties = match reader.is_empty() {
            true => Properties::default(),
            false => Properties::read(reader, &REASON_ALLOWED, name),
        };
        Ack { packet_id, code, properties }
    }
}

impl Codes {
    fn read_suback(version: Version, reader: &mut Reader) -> Codes {
        let packet_id = reader.two();
        let properties = match version {
            Version::V5 => Properties::read(reader, &REASON_ALLOWED, "SUBACK"),
            _ => Properties::default(),
        };
        let codes = reader.rest().to_vec();
        let allowed = if version == Version::V5 { &SUBACK_CODES[..] } else { &[0, 1, 2, 0x80] };
        assert!(
            codes.iter().all(|code| allowed.contains(code)),
            "reasons {codes:x?} in a SUBACK of {version:?}"
        );
        Codes { packet_id, codes, properties }
    }

    fn read_unsuback(version: Version, reader: &mut Reader) -> Codes {
        let packet_id = reader.two();
        if version != Version::V5 {
            return Codes { packet_id, codes: Vec::new(), properties: Properties::default() };
        }
        let properties = Properties::read(reader, &REASON_ALLOWED, "UNSUBACK");
        let codes = reader.rest().to_vec();
        // [MQTT-3.11.3-2]
        assert!(codes.iter().all(|code| UNSUBACK_CODES.contains(code)), "reasons {codes:x?} in an UNSUBACK");
        Codes { packet_id, codes, properties }
    }
}

const CONNACK_CODES: [u8; 22] = [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
    0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
];
const RECEIVED_CODES: [u8; 9] = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const SUBACK_CODES: [u8; 12] = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2];
const UNSUBACK_CODES: [u8; 7] = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
const DISCONNECT_CODES: [u8; 29] = [
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
];

const CONNACK_ALLOWED: [u8; 17] = [
    property::SESSION_EXPIRY_INTERVAL,
    property::RECEIVE_MAXIMUM,
    property::MAXIMUM_QOS,
    property::RETAIN_AVAILABLE,
    property::MAXIMUM_PACKET_SIZE,
    property::ASSIGNED_CLIENT_IDENTIFIER,
    property::TOPIC_ALIAS_MAXIMUM,
    property::REASON_STRING,
    property::USER_PROPERTY,
    property::WILDCARD_SUBSCRIPTION_AVAILABLE,
    property::SUBSCRIPTION_IDENTIFIER_AVAILABLE,
    property::SHARED_SUBSCRIPTION_AVAILABLE,
    property::SERVER_KEEP_ALIVE,
    property::RESPONSE_INFORMATION,
    property::SERVER_REFERENCE,
    property::AUTHENTICATION_METHOD,
    property::AUTHENTICATION_DATA,
];
const PUBLISH_ALLOWED: [u8; 8] = [
    property::PAYLOAD_FORMAT_INDICATOR,
    property::MESSAGE_EXPIRY_INTERVAL,
    property::TOPIC_ALIAS,
    property::RESPONSE_TOPIC,
    property::CORRELATION_DATA,
    property::USER_PROPERTY,
    property::SUBSCRIPTION_IDENTIFIER,
    property::CONTENT_TYPE,
];
const REASON_ALLOWED: [u8; 2] = [property::REASON_STRING, property::USER_PROPERTY];
// [MQTT-3.14.2-2] The Session Expiry Interval is not among them.
const DISCONNECT_ALLOWED: [u8; 3] =
    [property::REASON_STRING, property::USER_PROPERTY, property::SERVER_REFERENCE];
const AUTH_ALLOWED: [u8; 4] = [
    property::AUTHENTICATION_METHOD,
    property::AUTHENTICATION_DATA,
    property::REASON_STRING,
    property::USER_PROPERTY,
];
