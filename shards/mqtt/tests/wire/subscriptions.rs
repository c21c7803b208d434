//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK: bytes and packets.

use crate::build::{Case, case, id, same, user_properties};
use mqtt::{
    Packet, QoS, ReasonCode, RetainHandling, Suback, Subscribe, SubscriptionOptions, Unsuback, Unsubscribe,
    UserProperties, Version,
};

const V3: [Version; 2] = [Version::V31, Version::V311];

pub fn cases() -> Vec<Case> {
    [subscribe_cases(), suback_cases(), unsubscribe_cases(), unsuback_cases()].concat()
}

fn qos(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions { qos, ..SubscriptionOptions::default() }
}

fn subscribe_cases() -> Vec<Case> {
    let plain = Packet::Subscribe(Subscribe {
        packet_id: id(10),
        subscription_id: None,
        user_properties: UserProperties::default(),
        filters: vec![("a/b", qos(QoS::AtLeastOnce)), ("#", qos(QoS::ExactlyOnce))],
    });
    let mut cases =
        same("SUBSCRIBE 3.x", &V3, b"\x82\x0c\x00\x0a\x00\x03a/b\x01\x00\x01#\x02", plain.clone());
    cases.extend([
        case(
            "SUBSCRIBE 3.1, sent again",
            Version::V31,
            b"\x8a\x0c\x00\x0a\x00\x03a/b\x01\x00\x01#\x02",
            plain.clone(),
        )
        .decode_only(),
        case(
            "SUBSCRIBE 5.0, without properties",
            Version::V5,
            b"\x82\x0d\x00\x0a\x00\x00\x03a/b\x01\x00\x01#\x02",
            plain,
        ),
        case(
            "SUBSCRIBE 5.0, all there is, and filters that only the broker may refuse",
            Version::V5,
            b"\x82\x19\x00\x01\x0a\x0b\x80\x01\x26\x00\x01k\x00\x01v\x00\x02a#\x2e\x00\x00\x10\x00\x01+\x00",
            Packet::Subscribe(Subscribe {
                packet_id: id(1),
                subscription_id: Some(128),
                user_properties: user_properties(&[("k", "v")]),
                filters: vec![
                    (
                        "a#",
                        SubscriptionOptions {
                            qos: QoS::ExactlyOnce,
                            no_local: true,
                            retain_as_published: true,
                            retain_handling: RetainHandling::DoNotSend,
                        },
                    ),
                    (
                        "",
                        SubscriptionOptions {
                            retain_handling: RetainHandling::SendIfNew,
                            ..SubscriptionOptions::default()
                        },
                    ),
                    ("+", SubscriptionOptions::default()),
                ],
            }),
        ),
    ]);
    cases
}

fn suback(codes: Vec<ReasonCode>) -> Suback<'static> {
    Suback { packet_id: id(10), reason_string: None, user_properties: UserProperties::default(), codes }
}

fn suback_cases() -> Vec<Case> {
    let granted = vec![
        ReasonCode::GrantedQoS0,
        ReasonCode::GrantedQoS1,
        ReasonCode::GrantedQoS2,
        ReasonCode::UnspecifiedError,
    ];
    let mut cases =
        same("SUBACK 3.x", &V3, b"\x90\x06\x00\x0a\x00\x01\x02\x80", Packet::Suback(suback(granted)));
    cases.push(case(
        "SUBACK 5.0, every property",
        Version::V5,
        b"\x90\x12\x00\x0a\x0d\x1f\x00\x03why\x26\x00\x01k\x00\x01v\x00\x8f",
        Packet::Suback(Suback {
            reason_string: Some("why"),
            user_properties: user_properties(&[("k", "v")]),
            ..suback(vec![ReasonCode::Success, ReasonCode::TopicFilterInvalid])
        }),
    ));
    cases
}

fn unsubscribe_cases() -> Vec<Case> {
    let plain = Packet::Unsubscribe(Unsubscribe {
        packet_id: id(10),
        user_properties: UserProperties::default(),
        filters: vec!["a", "b/#"],
    });
    let mut cases = same("UNSUBSCRIBE 3.x", &V3, b"\xa2\x0a\x00\x0a\x00\x01a\x00\x03b/#", plain.clone());
    cases.extend([
        case("UNSUBSCRIBE 3.1, sent again", Version::V31, b"\xaa\x0a\x00\x0a\x00\x01a\x00\x03b/#", plain)
            .decode_only(),
        case(
            "UNSUBSCRIBE 5.0, every property",
            Version::V5,
            b"\xa2\x0d\x00\x0a\x07\x26\x00\x01k\x00\x01v\x00\x01a",
            Packet::Unsubscribe(Unsubscribe {
                packet_id: id(10),
                user_properties: user_properties(&[("k", "v")]),
                filters: vec!["a"],
            }),
        ),
    ]);
    cases
}

fn unsuback_cases() -> Vec<Case> {
    let plain = Unsuback {
        packet_id: id(10),
        reason_string: None,
        user_properties: UserProperties::default(),
        codes: vec![],
    };
    let mut cases = same("UNSUBACK 3.x", &V3, b"\xb0\x02\x00\x0a", Packet::Unsuback(plain.clone()));
    cases.push(case(
        "UNSUBACK 5.0, every property",
        Version::V5,
        b"\xb0\x12\x00\x0a\x0d\x1f\x00\x03why\x26\x00\x01k\x00\x01v\x00\x11",
        Packet::Unsuback(Unsuback {
            reason_string: Some("why"),
            user_properties: user_properties(&[("k", "v")]),
            codes: vec![ReasonCode::Success, ReasonCode::NoSubscriptionExisted],
            ..plain
        }),
    ));
    cases
}

#[test]
fn every_failure_is_0x80_in_a_suback_of_3_x() {
    let codes = vec![ReasonCode::NotAuthorized, ReasonCode::TopicFilterInvalid, ReasonCode::GrantedQoS1];
    let mut out = Vec::new();
    Packet::Suback(suback(codes)).encode(Version::V311, &mut out);
    assert_eq!(out, b"\x90\x05\x00\x0a\x80\x80\x01");
}

#[test]
fn an_unsuback_of_3_x_has_no_codes() {
    let unsuback = Unsuback {
        packet_id: id(3),
        reason_string: Some("why"),
        user_properties: UserProperties::default(),
        codes: vec![ReasonCode::Success],
    };
    let mut out = Vec::new();
    Packet::Unsuback(unsuback).encode(Version::V31, &mut out);
    assert_eq!(out, b"\xb0\x02\x00\x03");
}

#[test]
fn options_are_read_and_written_by_the_same_table() {
    let valid: Vec<u8> = (0..=u8::MAX).filter(|byte| SubscriptionOptions::from_u8(*byte).is_some()).collect();
    // Three QoS levels, three Retain Handlings, two flags.
    assert_eq!(valid.len(), 3 * 3 * 2 * 2);
    for byte in valid {
        assert_eq!(SubscriptionOptions::from_u8(byte).map(SubscriptionOptions::to_u8), Some(byte));
    }
}

#[test]
fn only_the_qos_of_the_options_is_sent_in_3_x() {
    let options = SubscriptionOptions { no_local: true, ..qos(QoS::AtLeastOnce) };
    let subscribe = Subscribe {
        packet_id: id(1),
        subscription_id: Some(5),
        user_properties: user_properties(&[("k", "v")]),
        filters: vec![("a", options)],
    };
    let mut out = Vec::new();
    Packet::Subscribe(subscribe).encode(Version::V311, &mut out);
    assert_eq!(out, b"\x82\x06\x00\x01\x00\x01a\x01");
}
