//! CONNECT: bytes and packets.

use crate::build::{Case, case, user_properties};
use mqtt::{Connect, ConnectProperties, Packet, QoS, Version, Will, WillProperties, protocol_of};

pub fn cases() -> Vec<Case> {
    [v31_cases(), v311_cases(), v5_cases()].concat()
}

fn connect(version: Version, client_id: &'static str) -> Connect<'static> {
    Connect {
        version,
        clean_start: false,
        keep_alive_s: 0,
        client_id,
        will: None,
        username: None,
        password: None,
        properties: ConnectProperties::default(),
    }
}

fn packet(connect: Connect<'static>) -> Packet<'static> {
    Packet::Connect(Box::new(connect))
}

fn v31_cases() -> Vec<Case> {
    vec![
        case(
            "3.1, clean session",
            Version::V31,
            b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a",
            packet(Connect { clean_start: true, keep_alive_s: 60, ..connect(Version::V31, "a") }),
        ),
        case(
            "3.1, flags announce a user name and a password that are not there",
            Version::V31,
            b"\x10\x0f\x00\x06MQIsdp\x03\xc0\x00\x00\x00\x01a",
            packet(connect(Version::V31, "a")),
        )
        .decode_only(),
        case(
            "3.1, flags announce a password that is not there",
            Version::V31,
            b"\x10\x12\x00\x06MQIsdp\x03\xc0\x00\x00\x00\x01a\x00\x01u",
            packet(Connect { username: Some("u"), ..connect(Version::V31, "a") }),
        )
        .decode_only(),
    ]
}

fn v311_cases() -> Vec<Case> {
    vec![
        case(
            "3.1.1, without a client identifier",
            Version::V311,
            b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00",
            packet(Connect { clean_start: true, keep_alive_s: 60, ..connect(Version::V311, "") }),
        ),
        case(
            "3.1.1, with all there is",
            Version::V311,
            b"\x10\x1d\x00\x04MQTT\x04\xee\xff\xff\x00\x02id\x00\x01w\x00\x03bye\x00\x01u\x00\x02\x00\xff",
            packet(Connect {
                clean_start: true,
                keep_alive_s: 65_535,
                will: Some(Will {
                    qos: QoS::AtLeastOnce,
                    retain: true,
                    topic: "w",
                    payload: b"bye",
                    properties: WillProperties::default(),
                }),
                username: Some("u"),
                password: Some(b"\x00\xff"),
                ..connect(Version::V311, "id")
            }),
        ),
        case(
            "3.1.1, an empty will payload at QoS 2",
            Version::V311,
            b"\x10\x12\x00\x04MQTT\x04\x14\x00\x00\x00\x01a\x00\x01w\x00\x00",
            packet(Connect {
                will: Some(Will { qos: QoS::ExactlyOnce, topic: "w", ..Will::default() }),
                ..connect(Version::V311, "a")
            }),
        ),
        case(
            "3.1.1, a user name without a password",
            Version::V311,
            b"\x10\x10\x00\x04MQTT\x04\x80\x00\x00\x00\x01a\x00\x01u",
            packet(Connect { username: Some("u"), ..connect(Version::V311, "a") }),
        ),
        case(
            "3.1.1, a client identifier with U+FEFF and a non-character",
            Version::V311,
            b"\x10\x12\x00\x04MQTT\x04\x00\x00\x00\x00\x06\xef\xbb\xbf\xef\xbf\xbf",
            packet(connect(Version::V311, "\u{FEFF}\u{FFFF}")),
        ),
    ]
}

fn v5_cases() -> Vec<Case> {
    vec![
        case(
            "5.0, without properties",
            Version::V5,
            b"\x10\x0e\x00\x04MQTT\x05\x00\x00\x0a\x00\x00\x01a",
            packet(Connect { keep_alive_s: 10, ..connect(Version::V5, "a") }),
        ),
        case(
            "5.0, a password without a user name",
            Version::V5,
            b"\x10\x12\x00\x04MQTT\x05\x40\x00\x00\x00\x00\x01a\x00\x02pw",
            packet(Connect { password: Some(b"pw"), ..connect(Version::V5, "a") }),
        ),
        case(
            "5.0, every property",
            Version::V5,
            b"\x10\x3d\x00\x04MQTT\x05\x02\x00\x00\x2f\
              \x11\xff\xff\xff\xff\x21\x00\x14\x27\x00\x01\x00\x00\x22\x00\x0a\x19\x01\x17\x00\
              \x15\x00\x05SCRAM\x16\x00\x02\x01\x02\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01w\
              \x00\x01a",
            packet(Connect {
                clean_start: true,
                properties: ConnectProperties {
                    session_expiry_interval_s: Some(u32::MAX),
                    receive_maximum: Some(20),
                    maximum_packet_size: Some(65_536),
                    topic_alias_maximum: Some(10),
                    request_response_information: Some(true),
                    request_problem_information: Some(false),
                    authentication_method: Some("SCRAM"),
                    authentication_data: Some(b"\x01\x02"),
                    user_properties: user_properties(&[("k", "v"), ("k", "w")]),
                },
                ..connect(Version::V5, "a")
            }),
        ),
        case(
            "5.0, a will with every property",
            Version::V5,
            b"\x10\x38\x00\x04MQTT\x05\x04\x00\x00\x00\x00\x01a\x22\
              \x18\x00\x00\x00\x05\x02\x00\x00\x00\x3c\x01\x01\x03\x00\x04json\x08\x00\x01r\x09\x00\x01c\
              \x26\x00\x01k\x00\x01v\x00\x01w\x00\x02hi",
            packet(Connect {
                will: Some(Will {
                    qos: QoS::AtMostOnce,
                    retain: false,
                    topic: "w",
                    payload: b"hi",
                    properties: WillProperties {
                        delay_interval_s: Some(5),
                        message_expiry_interval_s: Some(60),
                        payload_format: Some(1),
                        content_type: Some("json"),
                        response_topic: Some("r"),
                        correlation_data: Some(b"c"),
                        user_properties: user_properties(&[("k", "v")]),
                        block: b"",
                    },
                }),
                ..connect(Version::V5, "a")
            }),
        ),
    ]
}

#[test]
fn the_version_is_that_of_the_packet_not_of_the_caller() {
    for case in cases() {
        let frame = mqtt::split(case.bytes, 1_000).expect(case.name).expect(case.name);
        for version in Version::ALL {
            assert_eq!(mqtt::decode(&frame, version).as_ref(), Ok(&case.packet), "{}", case.name);
        }
    }
}

#[test]
fn protocol_is_readable_in_any_body_that_has_one() {
    assert_eq!(protocol_of(b"\x00\x04MQTT\x06 whatever"), Some((&b"MQTT"[..], 6)));
    assert_eq!(protocol_of(b"\x00\x00\x00"), Some((&b""[..], 0)));
    assert_eq!(protocol_of(b"\x00\x04MQTT"), None);
    assert_eq!(protocol_of(b"\x00\x05MQTT\x04"), None);
    assert_eq!(protocol_of(b""), None);
}
