//! Reason codes against the specification's table in section 2.4: value, name and the packets that carry each.

use mqtt::PacketKind::{Auth, Connack, Disconnect, Puback, Pubcomp, Pubrec, Pubrel, Suback, Unsuback};
use mqtt::{NotAQoS, PacketKind, QoS, ReasonCode, Version};

const TABLE: &[(u8, &str, &[PacketKind])] = &[
    (0x00, "Success", &[Connack, Puback, Pubrec, Pubrel, Pubcomp, Unsuback, Auth, Disconnect, Suback]),
    (0x01, "Granted QoS 1", &[Suback]),
    (0x02, "Granted QoS 2", &[Suback]),
    (0x04, "Disconnect with Will Message", &[Disconnect]),
    (0x10, "No matching subscribers", &[Puback, Pubrec]),
    (0x11, "No subscription existed", &[Unsuback]),
    (0x18, "Continue authentication", &[Auth]),
    (0x19, "Re-authenticate", &[Auth]),
    (0x80, "Unspecified error", &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
    (0x81, "Malformed Packet", &[Connack, Disconnect]),
    (0x82, "Protocol Error", &[Connack, Disconnect]),
    (0x83, "Implementation specific error", &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
    (0x84, "Unsupported Protocol Version", &[Connack]),
    (0x85, "Client Identifier not valid", &[Connack]),
    (0x86, "Bad User Name or Password", &[Connack]),
    (0x87, "Not authorized", &[Connack, Puback, Pubrec, Suback, Unsuback, Disconnect]),
    (0x88, "Server unavailable", &[Connack]),
    (0x89, "Server busy", &[Connack, Disconnect]),
    (0x8A, "Banned", &[Connack]),
    (0x8B, "Server shutting down", &[Disconnect]),
    (0x8C, "Bad authentication method", &[Connack, Disconnect]),
    (0x8D, "Keep Alive timeout", &[Disconnect]),
    (0x8E, "Session taken over", &[Disconnect]),
    (0x8F, "Topic Filter invalid", &[Suback, Unsuback, Disconnect]),
    (0x90, "Topic Name invalid", &[Connack, Puback, Pubrec, Disconnect]),
    (0x91, "Packet Identifier in use", &[Puback, Pubrec, Suback, Unsuback]),
    (0x92, "Packet Identifier not found", &[Pubrel, Pubcomp]),
    (0x93, "Receive Maximum exceeded", &[Disconnect]),
    (0x94, "Topic Alias invalid", &[Disconnect]),
    (0x95, "Packet too large", &[Connack, Disconnect]),
    (0x96, "Message rate too high", &[Disconnect]),
    (0x97, "Quota exceeded", &[Connack, Puback, Pubrec, Suback, Disconnect]),
    (0x98, "Administrative action", &[Disconnect]),
    (0x99, "Payload format invalid", &[Connack, Puback, Pubrec, Disconnect]),
    (0x9A, "Retain not supported", &[Connack, Disconnect]),
    (0x9B, "QoS not supported", &[Connack, Disconnect]),
    (0x9C, "Use another server", &[Connack, Disconnect]),
    (0x9D, "Server moved", &[Connack, Disconnect]),
    (0x9E, "Shared Subscriptions not supported", &[Suback, Disconnect]),
    (0x9F, "Connection rate exceeded", &[Connack, Disconnect]),
    (0xA0, "Maximum connect time", &[Disconnect]),
    (0xA1, "Subscription Identifiers not supported", &[Suback, Disconnect]),
    (0xA2, "Wildcard Subscriptions not supported", &[Suback, Disconnect]),
];

#[test]
fn codes_have_the_values_names_and_packets_of_the_table() {
    for value in 0..=u8::MAX {
        let expected = TABLE.iter().find(|(listed, _, _)| *listed == value);
        let found = ReasonCode::from_u8(value);
        assert_eq!(found.map(|code| code as u8), expected.map(|(value, _, _)| *value));
        let (Some(code), Some((_, name, packets))) = (found, expected) else { continue };
        assert_eq!(code.name(), *name);
        assert_eq!(code.to_string(), *name);
        for kind in PacketKind::ALL {
            assert_eq!(code.is_allowed_in(kind), packets.contains(&kind), "{name} in {kind:?}");
        }
    }
}

#[test]
fn errors_start_at_0x80() {
    assert!(!ReasonCode::Reauthenticate.is_error());
    assert!(ReasonCode::UnspecifiedError.is_error());
}

#[test]
fn return_codes_of_3_x_name_the_closest_of_six_answers() {
    for code in (0..=5).filter_map(ReasonCode::of_connect_return_code) {
        let returned = code.connect_return_code().and_then(ReasonCode::of_connect_return_code);
        assert_eq!(returned, Some(code));
    }
    assert_eq!(ReasonCode::of_connect_return_code(6), None);
    for (code, expected) in [
        (ReasonCode::Success, Some(0)),
        (ReasonCode::ServerBusy, Some(3)),
        (ReasonCode::ServerMoved, Some(3)),
        (ReasonCode::QuotaExceeded, Some(3)),
        (ReasonCode::Banned, Some(5)),
        (ReasonCode::MalformedPacket, None),
        (ReasonCode::ProtocolError, None),
        (ReasonCode::PacketTooLarge, None),
    ] {
        assert_eq!(code.connect_return_code(), expected, "{code}");
    }
}

#[test]
fn a_granted_qos_is_a_code_of_the_same_value() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        assert_eq!(ReasonCode::granted(qos) as u8, qos as u8);
        assert_eq!(QoS::try_from(qos as u8), Ok(qos));
    }
    assert_eq!(QoS::try_from(3), Err(NotAQoS(3)));
    assert_eq!(NotAQoS(3).to_string(), "3 is not a QoS");
    assert_eq!(ReasonCode::granted(QoS::AtMostOnce), ReasonCode::GrantedQoS0);
}

#[test]
fn a_version_has_its_name_and_its_level() {
    for version in Version::ALL {
        assert_eq!(Version::of(version.protocol_name().as_bytes(), version as u8), Some(version));
    }
    assert_eq!(Version::of(b"MQTT", 3), None);
    assert_eq!(Version::of(b"MQIsdp", 4), None);
}

#[test]
fn kinds_are_the_numbers_1_to_15() {
    for value in 0..=u8::MAX {
        let kind = PacketKind::from_u8(value);
        assert_eq!(kind.map(|kind| kind as u8), (1..=15).contains(&value).then_some(value));
    }
}
