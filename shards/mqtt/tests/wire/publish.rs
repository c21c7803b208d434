//! PUBLISH: bytes and packets.

use crate::build::{Case, case, id, same, subscription_ids, user_properties};
use mqtt::{Packet, Publish, PublishProperties, QoS, Version};

pub fn cases() -> Vec<Case> {
    let mut cases = same(
        "PUBLISH 3.x, QoS 0",
        &[Version::V31, Version::V311],
        b"\x30\x07\x00\x03a/bhi",
        Packet::Publish(Publish { topic: "a/b", payload: b"hi", ..Publish::default() }),
    );
    cases.extend(same(
        "PUBLISH 3.x, QoS 1, retained and empty",
        &[Version::V31, Version::V311],
        b"\x33\x05\x00\x01a\x00\x07",
        Packet::Publish(Publish {
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: "a",
            packet_id: Some(id(7)),
            ..Publish::default()
        }),
    ));
    cases.extend(same(
        "PUBLISH 3.x, QoS 2, sent again",
        &[Version::V31, Version::V311],
        b"\x3c\x06\x00\x01/\xff\xff\x00",
        Packet::Publish(Publish {
            dup: true,
            qos: QoS::ExactlyOnce,
            topic: "/",
            packet_id: Some(id(0xFFFF)),
            payload: b"\x00",
            ..Publish::default()
        }),
    ));
    cases.extend(v5_cases());
    cases
}

fn v5_cases() -> Vec<Case> {
    vec![
        case(
            "PUBLISH 5.0, without properties",
            Version::V5,
            b"\x30\x06\x00\x01a\x00hi",
            Packet::Publish(Publish { topic: "a", payload: b"hi", ..Publish::default() }),
        ),
        case(
            "PUBLISH 5.0, an alias alone",
            Version::V5,
            b"\x32\x09\x00\x00\x00\x01\x03\x23\x00\x05x",
            Packet::Publish(Publish {
                qos: QoS::AtLeastOnce,
                packet_id: Some(id(1)),
                properties: PublishProperties { topic_alias: Some(5), ..Default::default() },
                payload: b"x",
                ..Publish::default()
            }),
        ),
        case(
            "PUBLISH 5.0, every property",
            Version::V5,
            b"\x30\x33\x00\x01a\x2e\
              \x01\x01\x02\x00\x00\x00\x3c\x23\x00\x09\x08\x00\x03r/s\x09\x00\x02\x00\xff\x03\x00\x02ct\
              \x0b\x01\x0b\xff\xff\xff\x7f\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x00!",
            Packet::Publish(Publish {
                topic: "a",
                properties: every_property(),
                payload: b"!",
                ..Publish::default()
            }),
        ),
        case(
            "PUBLISH 5.0, the same properties in another order",
            Version::V5,
            b"\x30\x33\x00\x01a\x2e\
              \x26\x00\x01k\x00\x01v\x0b\x01\x03\x00\x02ct\x09\x00\x02\x00\xff\x08\x00\x03r/s\x23\x00\x09\
              \x02\x00\x00\x00\x3c\x26\x00\x01k\x00\x00\x01\x01\x0b\xff\xff\xff\x7f!",
            Packet::Publish(Publish {
                topic: "a",
                properties: every_property(),
                payload: b"!",
                ..Publish::default()
            }),
        )
        .decode_only(),
    ]
}

fn every_property() -> PublishProperties<'static> {
    PublishProperties {
        payload_format: Some(1),
        message_expiry_interval_s: Some(60),
        topic_alias: Some(9),
        response_topic: Some("r/s"),
        correlation_data: Some(b"\x00\xff"),
        content_type: Some("ct"),
        subscription_ids: subscription_ids(&[1, 268_435_455]),
        user_properties: user_properties(&[("k", "v"), ("k", "")]),
        block: b"",
    }
}

#[test]
fn lists_in_a_block_are_seen_among_its_other_properties() {
    let bytes = cases().pop().expect("there are cases").bytes;
    let frame = mqtt::split(bytes, 1_000).expect("valid").expect("complete");
    let publish = Publish::decode(&frame, Version::V5).expect("valid");
    let properties = publish.properties;
    assert_eq!(properties.block.len(), 46);
    assert!(!properties.user_properties.is_empty());
    assert!(!properties.subscription_ids.is_empty());
    assert_eq!(format!("{:?}", properties.user_properties), r#"[("k", "v"), ("k", "")]"#);
    assert_eq!(format!("{:?}", properties.subscription_ids), "[1, 268435455]");
}
