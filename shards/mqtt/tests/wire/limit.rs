//! Encoding within the receiver's Maximum Packet Size, and reserving for a packet that is still to come.

use crate::all_cases;
use crate::build::{id, user_properties};
use mqtt::{
    Ack, Auth, Connack, ConnackProperties, Disconnect, MAX_PACKET_SIZE, Packet, Publish, PublishProperties,
    ReasonCode, Suback, Unsuback, UserProperties, Version, decode, frame_size, split,
};

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    packet.encode(version, &mut out);
    out
}

/// Every answer that explains itself, with the given explanation.
fn answers(
    user_properties: UserProperties<'static>,
    reason_string: Option<&'static str>,
) -> Vec<Packet<'static>> {
    let ack = Ack { reason_string, user_properties, ..Ack::new(id(1)) };
    let codes = vec![ReasonCode::Success];
    vec![
        Packet::Connack(Connack {
            properties: ConnackProperties {
                server_keep_alive_s: Some(1),
                reason_string,
                user_properties,
                ..ConnackProperties::default()
            },
            ..Connack::default()
        }),
        Packet::Puback(ack.clone()),
        Packet::Pubrec(ack.clone()),
        Packet::Pubrel(ack.clone()),
        Packet::Pubcomp(ack),
        Packet::Suback(Suback { packet_id: id(1), reason_string, user_properties, codes: codes.clone() }),
        Packet::Unsuback(Unsuback { packet_id: id(1), reason_string, user_properties, codes }),
        Packet::Disconnect(Disconnect {
            reason: ReasonCode::ServerBusy,
            reason_string,
            user_properties,
            ..Disconnect::default()
        }),
        Packet::Auth(Auth { method: Some("m"), reason_string, user_properties, ..Auth::default() }),
    ]
}

#[test]
fn an_answer_loses_its_user_properties_and_then_its_reason_string() {
    let properties = user_properties(&[("a name", "a value")]);
    let whole = answers(properties, Some("a reason"));
    let without_properties = answers(UserProperties::default(), Some("a reason"));
    let bare = answers(UserProperties::default(), None);
    for ((whole, without_properties), bare) in whole.iter().zip(&without_properties).zip(&bare) {
        let forms = [whole, without_properties, bare].map(|packet| encoded(packet, Version::V5));
        for limit in 0..=forms[0].len() as u32 + 1 {
            let expected = forms.iter().find(|form| form.len() <= limit as usize);
            let mut out = Vec::new();
            let fits = whole.encode_within(Version::V5, limit, &mut out);
            assert_eq!(fits, expected.is_some(), "{:?} within {limit}", whole.kind());
            assert_eq!(Some(&out), expected.or(Some(&Vec::new())), "{:?} within {limit}", whole.kind());
        }
    }
}

#[test]
fn a_publish_is_sent_whole_or_not_at_all() {
    let properties =
        PublishProperties { user_properties: user_properties(&[("k", "v")]), ..Default::default() };
    let publish = Packet::Publish(Publish { topic: "a", properties, ..Publish::default() });
    let whole = encoded(&publish, Version::V5);
    let mut out = Vec::new();
    assert!(!publish.encode_within(Version::V5, whole.len() as u32 - 1, &mut out));
    assert_eq!(out, b"");
    assert!(publish.encode_within(Version::V5, whole.len() as u32, &mut out));
    assert_eq!(out, whole);
}

#[test]
fn every_packet_fits_into_its_size_and_not_into_less_than_two_bytes() {
    for case in all_cases() {
        let whole = encoded(&case.packet, case.version);
        let mut out = Vec::new();
        assert!(case.packet.encode_within(case.version, whole.len() as u32, &mut out), "{}", case.name);
        assert_eq!(out, whole, "{}", case.name);
        assert!(!case.packet.encode_within(case.version, 1, &mut out), "{}", case.name);
    }
}

#[test]
fn a_packet_beyond_the_remaining_length_is_not_encoded() {
    // The header of this one takes 1 + 4 bytes, its topic 3.
    let payload = vec![0; MAX_PACKET_SIZE as usize - 5 - 3];
    let packet = |payload| Packet::Publish(Publish { topic: "a", payload, ..Publish::default() });
    let mut out = Vec::new();
    assert!(packet(&payload).encode_within(Version::V311, u32::MAX, &mut out));
    assert_eq!(out.len(), MAX_PACKET_SIZE as usize);
    let frame = split(&out, MAX_PACKET_SIZE).expect("valid").expect("complete");
    assert_eq!(decode(&frame, Version::V311), Ok(packet(&payload)));
    // In 5.0 the empty property block is one byte more, and that is one too many.
    assert!(!packet(&payload).encode_within(Version::V5, u32::MAX, &mut out));
}

#[test]
fn frame_size_is_known_as_soon_as_the_fixed_header_is() {
    assert_eq!(frame_size(b""), None);
    assert_eq!(frame_size(b"\x30"), None);
    assert_eq!(frame_size(b"\x30\x80"), None);
    assert_eq!(frame_size(b"\x30\x80\x01"), Some(3 + 128));
    assert_eq!(frame_size(b"\xc0\x00"), Some(2));
    assert_eq!(frame_size(b"\x30\xff\xff\xff\x7f"), Some(MAX_PACKET_SIZE as usize));
    assert_eq!(frame_size(b"\x30\xff\xff\xff\xff"), None);
}
