//! What is refused, and with which reason: one line for each rule.

use mqtt::ReasonCode::{
    MalformedPacket, PacketTooLarge, ProtocolError, TopicAliasInvalid, TopicNameInvalid,
    UnsupportedProtocolVersion,
};
use mqtt::{MAX_PACKET_SIZE, Packet, ReasonCode, Version, Violation, decode, split};

type Refused = (&'static str, &'static [u8], ReasonCode);

/// The first packet in `bytes`, which are expected to hold a whole one.
fn read(bytes: &[u8], version: Version) -> Result<Packet<'_>, Violation> {
    let frame = split(bytes, MAX_PACKET_SIZE)?.expect("the table has whole packets");
    decode(&frame, version)
}

fn check(versions: &[Version], table: &[Refused]) {
    for (name, bytes, reason) in table {
        for version in versions {
            let violation = read(bytes, *version).expect_err(name);
            assert_eq!(violation.reason, *reason, "{name} in {version:?}: {violation}");
        }
    }
}

const V3: [Version; 2] = [Version::V31, Version::V311];
const V5: [Version; 1] = [Version::V5];
const SINCE_V311: [Version; 2] = [Version::V311, Version::V5];

#[test]
fn fixed_headers() {
    check(
        &Version::ALL,
        &[
            ("packet type 0", b"\x00\x00", MalformedPacket),
            ("CONNECT with flags", b"\x11\x00", MalformedPacket),
            ("CONNACK with flags", b"\x28\x00", MalformedPacket),
            ("PUBLISH with QoS 3", b"\x36\x00", MalformedPacket),
            ("PUBACK with flags", b"\x42\x00", MalformedPacket),
            ("PUBREC with flags", b"\x52\x00", MalformedPacket),
            ("PUBREL without its flags", b"\x60\x00", MalformedPacket),
            ("PUBCOMP with flags", b"\x72\x00", MalformedPacket),
            ("SUBSCRIBE without its flags", b"\x80\x00", MalformedPacket),
            ("SUBACK with flags", b"\x92\x00", MalformedPacket),
            ("UNSUBSCRIBE without its flags", b"\xa0\x00", MalformedPacket),
            ("UNSUBACK with flags", b"\xb2\x00", MalformedPacket),
            ("PINGREQ with flags", b"\xc1\x00", MalformedPacket),
            ("PINGRESP with flags", b"\xd8\x00", MalformedPacket),
            ("DISCONNECT with flags", b"\xe4\x00", MalformedPacket),
            ("AUTH with flags", b"\xf1\x00", MalformedPacket),
            ("remaining length of five bytes", b"\x30\x80\x80\x80\x80\x01", MalformedPacket),
            ("remaining length of four bytes and a fifth to come", b"\x30\xff\xff\xff\xff", MalformedPacket),
            ("remaining length longer than it needs", b"\xc0\x80\x00", MalformedPacket),
            ("PINGREQ with a body", b"\xc0\x01\x00", MalformedPacket),
            ("PINGRESP with a body", b"\xd0\x01\x00", MalformedPacket),
        ],
    );
    check(
        &SINCE_V311,
        &[
            ("PUBREL with DUP", b"\x6a\x02\x00\x01", MalformedPacket),
            ("SUBSCRIBE with DUP", b"\x8a\x06\x00\x01\x00\x01a\x00", MalformedPacket),
            ("UNSUBSCRIBE with DUP", b"\xaa\x05\x00\x01\x00\x01a", MalformedPacket),
        ],
    );
}

#[test]
fn connects_of_any_version() {
    check(
        &V3,
        &[
            ("no body", b"\x10\x00", MalformedPacket),
            ("another name", b"\x10\x0c\x00\x04MQTL\x04\x02\x00\x3c\x00\x00", UnsupportedProtocolVersion),
            ("the name in lower case", b"\x10\x07\x00\x04mqtt\x04", UnsupportedProtocolVersion),
            ("MQTT at level 3", b"\x10\x07\x00\x04MQTT\x03", UnsupportedProtocolVersion),
            ("MQTT at level 6, unreadable beyond", b"\x10\x07\x00\x04MQTT\x06", UnsupportedProtocolVersion),
            ("a bridge's level", b"\x10\x07\x00\x04MQTT\x84", UnsupportedProtocolVersion),
            ("MQIsdp at level 4", b"\x10\x09\x00\x06MQIsdp\x04", UnsupportedProtocolVersion),
            ("no level", b"\x10\x06\x00\x04MQTT", MalformedPacket),
            ("no flags", b"\x10\x07\x00\x04MQTT\x04", MalformedPacket),
            ("the reserved flag", b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x3c\x00\x00", MalformedPacket),
            ("Will QoS without a will", b"\x10\x0c\x00\x04MQTT\x04\x0a\x00\x3c\x00\x00", MalformedPacket),
            ("Will Retain without a will", b"\x10\x0c\x00\x04MQTT\x04\x22\x00\x3c\x00\x00", MalformedPacket),
            ("Will QoS 3", b"\x10\x11\x00\x04MQTT\x04\x1e\x00\x3c\x00\x00\x00\x01w\x00\x00", MalformedPacket),
            (
                "a password without a user name",
                b"\x10\x0f\x00\x04MQTT\x04\x42\x00\x3c\x00\x00\x00\x01p",
                MalformedPacket,
            ),
            ("no user name", b"\x10\x0c\x00\x04MQTT\x04\x82\x00\x3c\x00\x00", MalformedPacket),
            ("no password", b"\x10\x0f\x00\x04MQTT\x04\xc2\x00\x3c\x00\x00\x00\x01u", MalformedPacket),
            ("no will", b"\x10\x0c\x00\x04MQTT\x04\x06\x00\x3c\x00\x00", MalformedPacket),
            ("half a will", b"\x10\x0f\x00\x04MQTT\x04\x06\x00\x3c\x00\x00\x00\x01w", MalformedPacket),
            (
                "a wildcard in the Will Topic",
                b"\x10\x11\x00\x04MQTT\x04\x06\x00\x3c\x00\x00\x00\x01#\x00\x00",
                TopicNameInvalid,
            ),
            (
                "an empty Will Topic",
                b"\x10\x10\x00\x04MQTT\x04\x06\x00\x3c\x00\x00\x00\x00\x00\x00",
                TopicNameInvalid,
            ),
            ("a byte too many", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x00\x00", MalformedPacket),
            ("a surrogate", b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x3c\x00\x03\xed\xa0\x80", MalformedPacket),
            ("an over-long form", b"\x10\x0e\x00\x04MQTT\x04\x02\x00\x3c\x00\x02\xc1\x81", MalformedPacket),
            ("U+0000", b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01\x00", MalformedPacket),
            (
                "3.1: half a user name",
                b"\x10\x11\x00\x06MQIsdp\x03\x80\x00\x00\x00\x01a\x00\x01",
                MalformedPacket,
            ),
            ("3.1: a byte too many", b"\x10\x10\x00\x06MQIsdp\x03\x00\x00\x00\x00\x01a\x00", MalformedPacket),
        ],
    );
}

#[test]
fn connects_of_5_0() {
    check(
        &V5,
        &[
            ("no property length", b"\x10\x0a\x00\x04MQTT\x05\x00\x00\x00", MalformedPacket),
            (
                "a property length beyond the packet",
                b"\x10\x0d\x00\x04MQTT\x05\x00\x00\x00\x03\x00\x00",
                MalformedPacket,
            ),
            (
                "a property cut short by the length",
                b"\x10\x0f\x00\x04MQTT\x05\x00\x00\x00\x02\x21\x00\x00\x00",
                MalformedPacket,
            ),
            (
                "an unknown property",
                b"\x10\x0f\x00\x04MQTT\x05\x00\x00\x00\x02\x7f\x00\x00\x00",
                MalformedPacket,
            ),
            (
                "a property of PUBLISH",
                b"\x10\x10\x00\x04MQTT\x05\x00\x00\x00\x03\x23\x00\x01\x00\x00",
                MalformedPacket,
            ),
            (
                "Receive Maximum twice",
                b"\x10\x13\x00\x04MQTT\x05\x00\x00\x00\x06\x21\x00\x01\x21\x00\x01\x00\x00",
                ProtocolError,
            ),
            (
                "Receive Maximum 0",
                b"\x10\x10\x00\x04MQTT\x05\x00\x00\x00\x03\x21\x00\x00\x00\x00",
                ProtocolError,
            ),
            (
                "Maximum Packet Size 0",
                b"\x10\x12\x00\x04MQTT\x05\x00\x00\x00\x05\x27\x00\x00\x00\x00\x00\x00",
                ProtocolError,
            ),
            (
                "Request Problem Information 2",
                b"\x10\x0f\x00\x04MQTT\x05\x00\x00\x00\x02\x17\x02\x00\x00",
                ProtocolError,
            ),
            (
                "Authentication Data alone",
                b"\x10\x11\x00\x04MQTT\x05\x00\x00\x00\x04\x16\x00\x01d\x00\x00",
                ProtocolError,
            ),
            (
                "a user property with half a pair",
                b"\x10\x11\x00\x04MQTT\x05\x00\x00\x00\x04\x26\x00\x01k\x00\x00",
                MalformedPacket,
            ),
            (
                "a will without a property length",
                b"\x10\x0d\x00\x04MQTT\x05\x04\x00\x00\x00\x00\x00",
                MalformedPacket,
            ),
            (
                "a will with an alias",
                b"\x10\x16\x00\x04MQTT\x05\x04\x00\x00\x00\x00\x00\x03\x23\x00\x01\x00\x01w\x00\x00",
                MalformedPacket,
            ),
            (
                "a will with its delay twice",
                b"\x10\x1d\x00\x04MQTT\x05\x04\x00\x00\x00\x00\x00\x0a\x18\x00\x00\x00\x01\x18\x00\x00\x00\x01\
                  \x00\x01w\x00\x00",
                ProtocolError,
            ),
            (
                "a will with payload format 2",
                b"\x10\x15\x00\x04MQTT\x05\x04\x00\x00\x00\x00\x00\x02\x01\x02\x00\x01w\x00\x00",
                ProtocolError,
            ),
            (
                "a will with a wildcard in its Response Topic",
                b"\x10\x17\x00\x04MQTT\x05\x04\x00\x00\x00\x00\x00\x04\x08\x00\x01+\x00\x01w\x00\x00",
                ProtocolError,
            ),
        ],
    );
}

#[test]
fn connacks() {
    check(
        &V3,
        &[
            ("a reserved return code", b"\x20\x02\x00\x06", MalformedPacket),
            ("no return code", b"\x20\x01\x00", MalformedPacket),
            ("a byte too many", b"\x20\x03\x00\x00\x00", MalformedPacket),
        ],
    );
    check(&[Version::V311], &[("a session with a refusal", b"\x20\x02\x01\x05", ProtocolError)]);
    check(
        &V5,
        &[
            ("reserved flags", b"\x20\x03\x02\x00\x00", MalformedPacket),
            ("a session with a refusal", b"\x20\x03\x01\x80\x00", ProtocolError),
            ("a code of another packet", b"\x20\x03\x00\x8e\x00", ProtocolError),
            ("a code that does not exist", b"\x20\x03\x00\xff\x00", ProtocolError),
            ("no property length", b"\x20\x02\x00\x00", MalformedPacket),
            ("Maximum QoS 2", b"\x20\x05\x00\x00\x02\x24\x02", ProtocolError),
            ("Retain Available twice", b"\x20\x07\x00\x00\x04\x25\x00\x25\x00", ProtocolError),
            ("a property of PUBLISH", b"\x20\x06\x00\x00\x03\x23\x00\x01", MalformedPacket),
            ("a byte too many", b"\x20\x04\x00\x00\x00\x00", MalformedPacket),
        ],
    );
}

#[test]
fn publishes() {
    check(
        &Version::ALL,
        &[
            ("no topic", b"\x30\x01\x00", MalformedPacket),
            ("DUP with QoS 0", b"\x38\x04\x00\x01a\x00", MalformedPacket),
            ("half a packet identifier", b"\x32\x04\x00\x01a\x00", MalformedPacket),
            ("packet identifier 0", b"\x32\x06\x00\x01a\x00\x00\x00", ProtocolError),
            ("+ in the topic", b"\x30\x06\x00\x03a/+\x00", TopicNameInvalid),
            ("# in the topic", b"\x30\x06\x00\x03a#b\x00", TopicNameInvalid),
            ("U+0000 in the topic", b"\x30\x06\x00\x03a\x00b\x00", MalformedPacket),
            ("U+0000 and a wildcard in the topic", b"\x30\x06\x00\x03#\x00b\x00", MalformedPacket),
            ("ill-formed UTF-8 in the topic", b"\x30\x06\x00\x03a\xffb\x00", MalformedPacket),
            ("ill-formed UTF-8 and a wildcard in the topic", b"\x30\x06\x00\x03a\xff+\x00", MalformedPacket),
        ],
    );
    check(&V3, &[("an empty topic", b"\x30\x03\x00\x00x", MalformedPacket)]);
    check(
        &V5,
        &[
            ("an empty topic without an alias", b"\x30\x03\x00\x00\x00", ProtocolError),
            ("no property length", b"\x30\x03\x00\x01a", MalformedPacket),
            ("a property length longer than it needs", b"\x30\x05\x00\x01a\x80\x00", MalformedPacket),
            ("an endless property length", b"\x30\x07\x00\x01a\xff\xff\xff\xff", MalformedPacket),
            ("alias 0", b"\x30\x07\x00\x01a\x03\x23\x00\x00", TopicAliasInvalid),
            ("two aliases", b"\x30\x0a\x00\x01a\x06\x23\x00\x01\x23\x00\x01", ProtocolError),
            ("payload format 2", b"\x30\x06\x00\x01a\x02\x01\x02", ProtocolError),
            ("subscription identifier 0", b"\x30\x06\x00\x01a\x02\x0b\x00", ProtocolError),
            ("a wildcard in the Response Topic", b"\x30\x08\x00\x01a\x04\x08\x00\x01#", ProtocolError),
            ("an empty Response Topic", b"\x30\x07\x00\x01a\x03\x08\x00\x00", ProtocolError),
            ("two content types", b"\x30\x0a\x00\x01a\x06\x03\x00\x00\x03\x00\x00", ProtocolError),
            ("two correlations", b"\x30\x0a\x00\x01a\x06\x09\x00\x00\x09\x00\x00", ProtocolError),
            ("a property of CONNECT", b"\x30\x07\x00\x01a\x03\x21\x00\x01", MalformedPacket),
            ("an identifier of two bytes", b"\x30\x07\x00\x01a\x03\x81\x01\x00", MalformedPacket),
            ("U+0000 in a user property", b"\x30\x0a\x00\x01a\x06\x26\x00\x01\x00\x00\x00", MalformedPacket),
        ],
    );
}

#[test]
fn acks() {
    check(
        &Version::ALL,
        &[
            ("no packet identifier", b"\x40\x00", MalformedPacket),
            ("half a packet identifier", b"\x50\x01\x00", MalformedPacket),
            ("packet identifier 0", b"\x62\x02\x00\x00", ProtocolError),
        ],
    );
    check(&V3, &[("a reason", b"\x40\x03\x00\x01\x00", MalformedPacket)]);
    check(
        &V5,
        &[
            ("a reason of PUBACK in a PUBREL", b"\x62\x03\x00\x01\x10", ProtocolError),
            ("a reason of PUBREL in a PUBREC", b"\x50\x03\x00\x01\x92", ProtocolError),
            ("a reason that does not exist", b"\x70\x03\x00\x01\x05", ProtocolError),
            ("a property length beyond the packet", b"\x40\x04\x00\x01\x00\x01", MalformedPacket),
            ("two reason strings", b"\x40\x0a\x00\x01\x00\x06\x1f\x00\x00\x1f\x00\x00", ProtocolError),
            ("another property", b"\x40\x06\x00\x01\x00\x02\x01\x01", MalformedPacket),
            ("a byte too many", b"\x40\x05\x00\x01\x00\x00\x00", MalformedPacket),
        ],
    );
}

#[test]
fn subscribes_and_subacks() {
    check(
        &V3,
        &[
            ("no filter", b"\x82\x02\x00\x01", ProtocolError),
            ("packet identifier 0", b"\x82\x06\x00\x00\x00\x01a\x00", ProtocolError),
            ("no QoS", b"\x82\x05\x00\x01\x00\x01a", MalformedPacket),
            ("QoS 3", b"\x82\x06\x00\x01\x00\x01a\x03", MalformedPacket),
            ("options of 5.0", b"\x82\x06\x00\x01\x00\x01a\x04", MalformedPacket),
            ("U+0000 in a filter", b"\x82\x06\x00\x01\x00\x01\x00\x00", MalformedPacket),
            ("SUBACK without a code", b"\x90\x02\x00\x01", ProtocolError),
            ("SUBACK with a code of 5.0", b"\x90\x03\x00\x01\x87", MalformedPacket),
            ("SUBACK with code 3", b"\x90\x03\x00\x01\x03", ProtocolError),
        ],
    );
    check(
        &V5,
        &[
            ("no filter", b"\x82\x03\x00\x01\x00", ProtocolError),
            ("packet identifier 0", b"\x82\x07\x00\x00\x00\x00\x01a\x00", ProtocolError),
            ("QoS 3", b"\x82\x07\x00\x01\x00\x00\x01a\x03", ProtocolError),
            ("Retain Handling 3", b"\x82\x07\x00\x01\x00\x00\x01a\x30", ProtocolError),
            ("a reserved option", b"\x82\x07\x00\x01\x00\x00\x01a\x40", MalformedPacket),
            ("subscription identifier 0", b"\x82\x09\x00\x01\x02\x0b\x00\x00\x01a\x00", ProtocolError),
            (
                "two subscription identifiers",
                b"\x82\x0b\x00\x01\x04\x0b\x01\x0b\x02\x00\x01a\x00",
                ProtocolError,
            ),
            ("another property", b"\x82\x0a\x00\x01\x03\x1f\x00\x00\x00\x01a\x00", MalformedPacket),
            ("SUBACK without a code", b"\x90\x03\x00\x01\x00", ProtocolError),
            ("SUBACK with a code of another packet", b"\x90\x04\x00\x01\x00\x11", ProtocolError),
            ("SUBACK with another property", b"\x90\x06\x00\x01\x02\x01\x00\x00", MalformedPacket),
        ],
    );
}

#[test]
fn unsubscribes_and_unsubacks() {
    check(
        &V3,
        &[
            ("no filter", b"\xa2\x02\x00\x01", ProtocolError),
            ("packet identifier 0", b"\xa2\x05\x00\x00\x00\x01a", ProtocolError),
            ("half a filter", b"\xa2\x05\x00\x01\x00\x02a", MalformedPacket),
            ("UNSUBACK with a code", b"\xb0\x03\x00\x01\x00", MalformedPacket),
        ],
    );
    check(
        &V5,
        &[
            ("no filter", b"\xa2\x03\x00\x01\x00", ProtocolError),
            ("another property", b"\xa2\x08\x00\x01\x02\x0b\x01\x00\x01a", MalformedPacket),
            ("UNSUBACK without a code", b"\xb0\x03\x00\x01\x00", ProtocolError),
            ("UNSUBACK with a code of SUBACK", b"\xb0\x04\x00\x01\x00\x01", ProtocolError),
        ],
    );
}

#[test]
fn disconnects_and_auths() {
    check(
        &V3,
        &[
            ("DISCONNECT with a body", b"\xe0\x01\x00", MalformedPacket),
            ("AUTH", b"\xf0\x00", MalformedPacket),
        ],
    );
    check(
        &V5,
        &[
            ("DISCONNECT with a code of another packet", b"\xe0\x01\x01", ProtocolError),
            ("DISCONNECT with another property", b"\xe0\x04\x00\x02\x01\x00", MalformedPacket),
            (
                "DISCONNECT with its expiry twice",
                b"\xe0\x0c\x00\x0a\x11\x00\x00\x00\x00\x11\x00\x00\x00\x00",
                ProtocolError,
            ),
            ("DISCONNECT with a byte too many", b"\xe0\x03\x00\x00\x00", MalformedPacket),
            ("AUTH without a property length", b"\xf0\x01\x18", MalformedPacket),
            ("AUTH without a method", b"\xf0\x02\x18\x00", ProtocolError),
            ("AUTH with data alone", b"\xf0\x05\x00\x03\x16\x00\x00", ProtocolError),
            ("AUTH with two methods", b"\xf0\x0a\x18\x08\x15\x00\x01a\x15\x00\x01a", ProtocolError),
            ("AUTH with a code of another packet", b"\xf0\x02\x80\x00", ProtocolError),
            ("AUTH with another property", b"\xf0\x04\x18\x02\x01\x00", MalformedPacket),
            ("AUTH with a byte too many", b"\xf0\x07\x18\x04\x15\x00\x01a\x00", MalformedPacket),
        ],
    );
}

#[test]
fn a_packet_above_the_limit_is_refused_before_its_body_is_there() {
    let refused = Err(PacketTooLarge);
    for (bytes, limit) in [(&b"\x30\x10"[..], 17), (b"\x30\x80\x01", 130), (b"\x30\xff\xff\xff\x7f", 1_000)] {
        let result = split(bytes, limit).map(|frame| frame.is_some()).map_err(|violation| violation.reason);
        assert_eq!(result, refused);
    }
    assert_eq!(split(b"\x30\x10", 18), Ok(None));
    assert_eq!(split(b"\x30\xff\xff\xff\x7f", MAX_PACKET_SIZE), Ok(None));
}

#[test]
fn a_wrong_first_byte_is_refused_alone() {
    for first in [0x00, 0x0f, 0x36, 0x60, 0x66, 0x81, 0xc8, 0xff] {
        let violation = split(&[first], MAX_PACKET_SIZE).expect_err("no packet starts so");
        assert_eq!(violation.reason, MalformedPacket, "{first:#x}");
    }
}

#[test]
fn a_violation_says_what_and_why() {
    let violation = read(b"\xc0\x01\x00", Version::V311).expect_err("a PINGREQ has no body");
    assert_eq!(violation.to_string(), "Malformed Packet: bytes after the last field");
}
