//! A PUBLISH that is passed on as it came is what encoding it for the receiver gives.

use mqtt::{Alias, Forward, PacketId, Publish, PublishProperties, QoS, Received, Version};

const TOPIC: &str = "a/b";

fn publish(qos: QoS, payload: &[u8]) -> Publish<'_> {
    let packet_id = PacketId::new(7).filter(|_| qos > QoS::AtMostOnce);
    let properties = PublishProperties::default();
    Publish { dup: false, qos, retain: false, topic: TOPIC, packet_id, properties, payload }
}

fn forward(version: Version, qos: QoS, payload: &[u8]) -> Forward<'static> {
    Forward {
        version,
        dup: false,
        qos,
        retain: false,
        topic: TOPIC,
        alias: Alias::None,
        packet_id: PacketId::new(0x0102).filter(|_| qos > QoS::AtMostOnce),
        message_expiry_interval_s: None,
        subscription_ids: &[],
        forwarded: &[],
        payload_len: payload.len(),
    }
}

fn received<'a>(bytes: &'a [u8], version: Version) -> Option<Received<'a>> {
    let frame = mqtt::split(bytes, mqtt::MAX_PACKET_SIZE).expect("valid").expect("whole");
    Received::of(&frame, &Publish::decode(&frame, version).expect("valid"), version)
}

const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const LEVELS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

#[test]
fn what_is_alike_is_what_encoding_gives() {
    let mut alike = 0;
    for from in VERSIONS {
        for sent in LEVELS {
            for payload in [&b""[..], b"x", &[b'x'; 117], &[b'x'; 200], &[b'x'; 20_000]] {
                let mut bytes = Vec::new();
                publish(sent, payload).encode(from, &mut bytes);
                let received = received(&bytes, from).expect("plain");
                assert_eq!(received.len(), bytes.len());
                for to in VERSIONS {
                    for granted in LEVELS {
                        let forward = forward(to, granted, payload);
                        let expected = sent == granted && (from == Version::V5) == (to == Version::V5);
                        assert_eq!(
                            received.is_like(&forward),
                            expected,
                            "{from:?} {sent:?} {to:?} {granted:?}"
                        );
                        if expected {
                            alike += 1;
                            let (mut copied, mut encoded) = (b"before".to_vec(), b"before".to_vec());
                            received.encode(forward.packet_id, &mut copied);
                            forward.encode_head(&mut encoded);
                            encoded.extend_from_slice(payload);
                            assert_eq!(copied, encoded);
                        }
                    }
                }
            }
        }
    }
    assert_eq!(alike, 5 * 3 * 5, "five pairs of versions, three levels, five payloads");
}

#[test]
fn what_only_one_receiver_gets_is_like_none_that_the_publisher_sent() {
    let mut bytes = Vec::new();
    publish(QoS::AtMostOnce, b"x").encode(Version::V5, &mut bytes);
    let received = received(&bytes, Version::V5).expect("plain");
    let plain = forward(Version::V5, QoS::AtMostOnce, b"x");
    assert!(received.is_like(&plain));
    let others = [
        Forward { retain: true, ..plain },
        Forward { dup: true, ..plain },
        Forward { alias: Alias::Define(1), ..plain },
        Forward { alias: Alias::Known(1), ..plain },
        Forward { message_expiry_interval_s: Some(1), ..plain },
        Forward { subscription_ids: &[3], ..plain },
    ];
    for other in others {
        assert!(!received.is_like(&other), "{other:?}");
    }
}

#[test]
fn forms_that_are_not_passed_on() {
    assert!(received(b"\x30\x06\0\x03a/bx", Version::V311).is_some());
    assert!(received(b"\x31\x06\0\x03a/bx", Version::V311).is_none(), "RETAIN");
    assert!(received(b"\x3A\x08\0\x03a/b\0\x07x", Version::V311).is_none(), "DUP");
    assert!(received(b"\x30\x07\0\x03a/b\0x", Version::V5).is_some());
    assert!(received(b"\x30\x09\0\x03a/b\x02\x01\x01x", Version::V5).is_none(), "a property");
    for overlong in [&b"\x30\x86\x00\0\x03a/bx"[..], b"\x30\x08\0\x03a/b\x80\x00x"] {
        let frame = mqtt::split(overlong, mqtt::MAX_PACKET_SIZE);
        let decoded = frame.map(|frame| Publish::decode(&frame.expect("whole"), Version::V5).map(drop));
        assert!(matches!(decoded, Err(_) | Ok(Err(_))), "a length has one encoding: {overlong:02x?}");
    }
}
