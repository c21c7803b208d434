//! CONNACK: bytes and packets, and the return codes of 3.x.

use crate::build::{Case, case, same, user_properties};
use mqtt::{Connack, ConnackProperties, Packet, QoS, ReasonCode, Version};

pub fn cases() -> Vec<Case> {
    let mut cases = same(
        "CONNACK 3.x, accepted",
        &[Version::V31, Version::V311],
        b"\x20\x02\x00\x00",
        refused_with(ReasonCode::Success),
    );
    for (bytes, reason) in [
        (b"\x20\x02\x00\x01", ReasonCode::UnsupportedProtocolVersion),
        (b"\x20\x02\x00\x02", ReasonCode::ClientIdentifierNotValid),
        (b"\x20\x02\x00\x03", ReasonCode::ServerUnavailable),
        (b"\x20\x02\x00\x04", ReasonCode::BadUserNameOrPassword),
        (b"\x20\x02\x00\x05", ReasonCode::NotAuthorized),
    ] {
        let packet = refused_with(reason);
        cases.extend(same("CONNACK 3.x, refused", &[Version::V31, Version::V311], bytes, packet));
    }
    cases.extend([
        case(
            "CONNACK 3.1, a byte that 3.1 does not use",
            Version::V31,
            b"\x20\x02\x01\x00",
            refused_with(ReasonCode::Success),
        )
        .decode_only(),
        case(
            "CONNACK 3.1.1, session present",
            Version::V311,
            b"\x20\x02\x01\x00",
            Packet::Connack(Connack { session_present: true, ..Connack::default() }),
        ),
        case("CONNACK 5.0, refused", Version::V5, b"\x20\x03\x00\x8a\x00", refused_with(ReasonCode::Banned)),
        with_every_property(),
    ]);
    cases
}

fn refused_with(reason: ReasonCode) -> Packet<'static> {
    Packet::Connack(Connack { reason, ..Connack::default() })
}

fn with_every_property() -> Case {
    let properties = ConnackProperties {
        session_expiry_interval_s: Some(1),
        receive_maximum: Some(2),
        maximum_qos: Some(QoS::AtLeastOnce),
        retain_available: Some(false),
        maximum_packet_size: Some(3),
        assigned_client_id: Some("id"),
        topic_alias_maximum: Some(4),
        reason_string: Some("why"),
        wildcard_subscription_available: Some(true),
        subscription_identifiers_available: Some(false),
        shared_subscription_available: Some(true),
        server_keep_alive_s: Some(5),
        response_information: Some("ri"),
        server_reference: Some("sr"),
        authentication_method: Some("am"),
        authentication_data: Some(b"ad"),
        user_properties: user_properties(&[("", "")]),
    };
    case(
        "CONNACK 5.0, every property",
        Version::V5,
        b"\x20\x44\x01\x00\x41\
          \x11\x00\x00\x00\x01\x21\x00\x02\x24\x01\x25\x00\x27\x00\x00\x00\x03\x12\x00\x02id\x22\x00\x04\
          \x1f\x00\x03why\x28\x01\x29\x00\x2a\x01\x13\x00\x05\x1a\x00\x02ri\x1c\x00\x02sr\x15\x00\x02am\
          \x16\x00\x02ad\x26\x00\x00\x00\x00",
        Packet::Connack(Connack { session_present: true, reason: ReasonCode::Success, properties }),
    )
}

#[test]
fn session_present_is_not_sent_with_a_refusal_or_to_3_1() {
    let mut out = Vec::new();
    let refusal = Connack { session_present: true, reason: ReasonCode::NotAuthorized, ..Connack::default() };
    refusal.encode(Version::V5, &mut out);
    refusal.encode(Version::V311, &mut out);
    Connack { session_present: true, ..Connack::default() }.encode(Version::V31, &mut out);
    assert_eq!(out, b"\x20\x03\x00\x87\x00\x20\x02\x00\x05\x20\x02\x00\x00");
}

#[test]
fn a_refusal_without_a_return_code_is_not_written_in_3_x() {
    let mut out = Vec::new();
    let refusal = Connack { reason: ReasonCode::MalformedPacket, ..Connack::default() };
    refusal.encode(Version::V31, &mut out);
    refusal.encode(Version::V311, &mut out);
    assert_eq!(out, b"");
    assert_eq!(Packet::Connack(refusal.clone()).size(Version::V311), 0);
    refusal.encode(Version::V5, &mut out);
    assert_eq!(out, b"\x20\x03\x00\x81\x00");
}
