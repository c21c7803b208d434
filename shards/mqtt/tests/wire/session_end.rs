//! PINGREQ, PINGRESP, DISCONNECT and AUTH: bytes and packets.

use crate::build::{Case, case, same, user_properties};
use mqtt::{Auth, Disconnect, Packet, ReasonCode, Version};

pub fn cases() -> Vec<Case> {
    let mut cases = same("PINGREQ", &Version::ALL, b"\xc0\x00", Packet::Pingreq);
    cases.extend(same("PINGRESP", &Version::ALL, b"\xd0\x00", Packet::Pingresp));
    cases.extend(same("DISCONNECT", &Version::ALL, b"\xe0\x00", Packet::Disconnect(Disconnect::default())));
    cases.extend(disconnect_cases());
    cases.extend(auth_cases());
    cases
}

fn disconnect_cases() -> Vec<Case> {
    let reason = |reason| Packet::Disconnect(Disconnect { reason, ..Disconnect::default() });
    vec![
        case(
            "DISCONNECT 5.0, a reason alone",
            Version::V5,
            b"\xe0\x01\x8e",
            reason(ReasonCode::SessionTakenOver),
        ),
        case(
            "DISCONNECT 5.0, Normal disconnection said in full",
            Version::V5,
            b"\xe0\x02\x00\x00",
            reason(ReasonCode::NormalDisconnection),
        )
        .decode_only(),
        case(
            "DISCONNECT 5.0, every property",
            Version::V5,
            b"\xe0\x19\x9c\x17\x11\x00\x00\x00\x0a\x1f\x00\x03why\x1c\x00\x02sr\x26\x00\x01k\x00\x01v",
            Packet::Disconnect(Disconnect {
                reason: ReasonCode::UseAnotherServer,
                session_expiry_interval_s: Some(10),
                reason_string: Some("why"),
                server_reference: Some("sr"),
                user_properties: user_properties(&[("k", "v")]),
            }),
        ),
    ]
}

fn auth_cases() -> Vec<Case> {
    vec![
        case("AUTH 5.0, Success", Version::V5, b"\xf0\x00", Packet::Auth(Auth::default())),
        case(
            "AUTH 5.0, every property",
            Version::V5,
            b"\xf0\x19\x18\x17\x15\x00\x02am\x16\x00\x02ad\x1f\x00\x03why\x26\x00\x01k\x00\x01v",
            Packet::Auth(Auth {
                reason: ReasonCode::ContinueAuthentication,
                method: Some("am"),
                data: Some(b"ad"),
                reason_string: Some("why"),
                user_properties: user_properties(&[("k", "v")]),
            }),
        ),
    ]
}

#[test]
fn a_disconnect_of_3_x_has_no_reason() {
    let disconnect = Disconnect { reason: ReasonCode::ServerBusy, ..Disconnect::default() };
    let mut out = Vec::new();
    Packet::Disconnect(disconnect).encode(Version::V311, &mut out);
    assert_eq!(out, b"\xe0\x00");
}
