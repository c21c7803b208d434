//! PUBACK, PUBREC, PUBREL and PUBCOMP: bytes and packets.

use crate::build::{Case, case, id, same, user_properties};
use mqtt::{Ack, Packet, ReasonCode, Version};

pub fn cases() -> Vec<Case> {
    let ack = Ack::new(id(0x0102));
    let mut cases = Vec::new();
    for (name, bytes, packet) in [
        ("PUBACK", b"\x40\x02\x01\x02", Packet::Puback(ack.clone())),
        ("PUBREC", b"\x50\x02\x01\x02", Packet::Pubrec(ack.clone())),
        ("PUBREL", b"\x62\x02\x01\x02", Packet::Pubrel(ack.clone())),
        ("PUBCOMP", b"\x70\x02\x01\x02", Packet::Pubcomp(ack.clone())),
    ] {
        cases.extend(same(name, &Version::ALL, bytes, packet));
    }
    cases.push(
        case("PUBREL 3.1, sent again", Version::V31, b"\x6a\x02\x01\x02", Packet::Pubrel(ack)).decode_only(),
    );
    cases.extend(v5_cases());
    cases
}

fn v5_cases() -> Vec<Case> {
    let success = Ack::new(id(1));
    let reason = |reason| Ack { reason, ..Ack::new(id(1)) };
    let full = |reason| Ack {
        reason,
        reason_string: Some("why"),
        user_properties: user_properties(&[("k", "v")]),
        ..Ack::new(id(1))
    };
    vec![
        case(
            "PUBACK 5.0, a reason alone",
            Version::V5,
            b"\x40\x03\x00\x01\x10",
            Packet::Puback(reason(ReasonCode::NoMatchingSubscribers)),
        ),
        case(
            "PUBACK 5.0, Success said in full",
            Version::V5,
            b"\x40\x03\x00\x01\x00",
            Packet::Puback(success.clone()),
        )
        .decode_only(),
        case(
            "PUBACK 5.0, Success and no properties said in full",
            Version::V5,
            b"\x40\x04\x00\x01\x00\x00",
            Packet::Puback(success),
        )
        .decode_only(),
        case(
            "PUBREC 5.0, every property",
            Version::V5,
            b"\x50\x11\x00\x01\x97\x0d\x1f\x00\x03why\x26\x00\x01k\x00\x01v",
            Packet::Pubrec(full(ReasonCode::QuotaExceeded)),
        ),
        case(
            "PUBREL 5.0, every property",
            Version::V5,
            b"\x62\x11\x00\x01\x92\x0d\x1f\x00\x03why\x26\x00\x01k\x00\x01v",
            Packet::Pubrel(full(ReasonCode::PacketIdentifierNotFound)),
        ),
        case(
            "PUBCOMP 5.0, Success and every property",
            Version::V5,
            b"\x70\x11\x00\x01\x00\x0d\x1f\x00\x03why\x26\x00\x01k\x00\x01v",
            Packet::Pubcomp(full(ReasonCode::Success)),
        ),
    ]
}

#[test]
fn a_reason_is_not_sent_to_3_x() {
    let ack = Ack { reason: ReasonCode::QuotaExceeded, reason_string: Some("full"), ..Ack::new(id(9)) };
    let mut out = Vec::new();
    Packet::Puback(ack).encode(Version::V311, &mut out);
    assert_eq!(out, b"\x40\x02\x00\x09");
}
