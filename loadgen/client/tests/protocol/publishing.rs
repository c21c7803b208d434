//! Outgoing publications: acknowledgements, quota, order, redelivery.

use client::{Event, Options, Publication, QoS, ReasonCode, Refusal, Token, Version};

use crate::script::{Script, options, persistent, plain_connack, published, published_with, resumed_connack};

/// The PUBLISH of 3.1.1 that `Script::publish` causes.
fn publish_bytes(first: u8, packet_id: u8, payload: &str) -> Vec<u8> {
    let mut bytes = vec![first, 5 + u8::try_from(payload.len()).unwrap(), 0, 1, b'a', 0, packet_id];
    bytes.extend_from_slice(payload.as_bytes());
    bytes
}

fn tokens(script: &mut Script) -> Vec<(Token, ReasonCode)> {
    let published = |event| match event {
        Event::Published { token, reason, .. } => Some((token, reason)),
        _ => None,
    };
    script.events().into_iter().filter_map(published).collect()
}

#[test]
fn qos_0_is_published_when_it_is_sent() {
    let mut script = Script::online(options(Version::V311));
    let token = script.publish(QoS::AtMostOnce, "x");
    assert_eq!(script.sent(), b"\x30\x04\x00\x01ax");
    assert_eq!(script.events(), [published(token)]);
}

#[test]
fn qos_1_is_published_with_its_puback() {
    let mut script = Script::online(options(Version::V311));
    let token = script.publish(QoS::AtLeastOnce, "x");
    assert_eq!(script.sent(), publish_bytes(0x32, 1, "x"));
    assert_eq!(script.events(), []);
    script.receive(b"\x40\x02\x00\x01");
    assert_eq!(script.events(), [published(token)]);
    assert_eq!(script.client.unanswered_len(), 0);
}

#[test]
fn qos_2_takes_four_packets() {
    let mut script = Script::online(options(Version::V311));
    let token = script.publish(QoS::ExactlyOnce, "x");
    assert_eq!(script.sent(), publish_bytes(0x34, 1, "x"));
    script.receive(b"\x50\x02\x00\x01");
    assert_eq!(script.sent(), b"\x62\x02\x00\x01");
    assert_eq!(script.events(), []);
    script.receive(b"\x70\x02\x00\x01");
    assert_eq!(script.events(), [published(token)]);
}

#[test]
fn properties_travel_in_5_0() {
    let mut script = Script::online(options(Version::V5));
    let mut publication = Publication::new("a", "x", QoS::AtMostOnce).retained();
    publication.properties.payload_format = Some(1);
    publication.properties.user_properties = vec![("k".into(), "v".into())];
    script.client.publish(script.now, publication).unwrap();
    assert_eq!(script.sent(), b"\x31\x0e\x00\x01a\x09\x01\x01\x26\x00\x01k\x00\x01vx");
}

#[test]
fn puback_with_an_error_ends_the_exchange() {
    let mut script = Script::online(options(Version::V5));
    let token = script.publish(QoS::AtLeastOnce, "x");
    script.receive(b"\x40\x03\x00\x01\x87");
    assert_eq!(script.events(), [published_with(token, ReasonCode::NotAuthorized)]);
}

#[test]
fn pubrec_with_an_error_ends_the_exchange_without_pubrel() {
    let mut script = Script::online(options(Version::V5));
    let token = script.publish(QoS::ExactlyOnce, "x");
    script.sent();
    script.receive(b"\x50\x03\x00\x01\x97");
    assert_eq!(script.events(), [published_with(token, ReasonCode::QuotaExceeded)]);
    assert_eq!(script.sent(), b"");
}

#[test]
fn acknowledgements_of_unknown_ids_are_harmless() {
    let mut script = Script::online(options(Version::V5));
    script.receive(b"\x40\x02\x00\x09\x70\x02\x00\x09");
    assert_eq!(script.sent(), b"");
    script.receive(b"\x50\x02\x00\x09");
    assert_eq!(script.sent(), b"\x62\x03\x00\x09\x92", "PUBREL: Packet Identifier not found");
    assert_eq!(script.events(), []);
}

#[test]
fn puback_does_not_answer_a_qos_2_publication() {
    let mut script = Script::online(options(Version::V311));
    script.publish(QoS::ExactlyOnce, "x");
    script.receive(b"\x40\x02\x00\x01");
    script.receive(b"\x70\x02\x00\x01");
    assert_eq!(script.events(), [], "nor does a PUBCOMP before the PUBREC");
    assert_eq!(script.client.unanswered_len(), 1);
}

#[test]
fn receive_maximum_holds_publications_back_and_nothing_else() {
    let connack = b"\x20\x06\x00\x00\x03\x21\x00\x02";
    let mut script = Script::online_with(options(Version::V5), connack);
    let first = script.publish(QoS::ExactlyOnce, "1");
    script.publish(QoS::AtLeastOnce, "2");
    let third = script.publish(QoS::AtLeastOnce, "3");
    assert_eq!(script.sent(), b"\x34\x07\x00\x01a\x00\x01\x001\x32\x07\x00\x01a\x00\x02\x002");
    script.publish(QoS::AtMostOnce, "0");
    assert_eq!(script.sent(), b"\x30\x05\x00\x01a\x000", "QoS 0 is not held back");
    script.receive(b"\x50\x02\x00\x01");
    assert_eq!(script.sent(), b"\x62\x02\x00\x01", "PUBREC alone frees no quota");
    script.receive(b"\x70\x02\x00\x01");
    assert_eq!(script.sent(), b"\x32\x07\x00\x01a\x00\x03\x003");
    script.receive(b"\x40\x02\x00\x03");
    assert_eq!(tokens(&mut script).iter().filter(|(token, _)| [first, third].contains(token)).count(), 2);
}

#[test]
fn quota_never_runs_dry() {
    let mut script = Script::online_with(options(Version::V5), b"\x20\x06\x00\x00\x03\x21\x00\x02");
    for round in 0..5_000u16 {
        script.publish(QoS::AtLeastOnce, "x");
        let sent = script.sent();
        assert!(!sent.is_empty(), "round {round} is sent at once");
        script.receive(&[0x40, 2, sent[5], sent[6]]);
    }
    assert_eq!(script.client.unanswered_len(), 0);
}

#[test]
fn own_limit_applies_below_the_servers() {
    let narrow = Options { in_flight_max: 1, ..options(Version::V311) };
    let mut script = Script::online(narrow);
    script.publish(QoS::AtLeastOnce, "1");
    script.publish(QoS::AtLeastOnce, "2");
    assert_eq!(script.sent(), publish_bytes(0x32, 1, "1"));
    script.receive(b"\x40\x02\x00\x01");
    assert_eq!(script.sent(), publish_bytes(0x32, 2, "2"));
}

#[test]
fn queue_is_bounded() {
    let narrow = Options { in_flight_max: 1, queue_max: 2, ..options(Version::V311) };
    let mut script = Script::online(narrow);
    for _ in 0..3 {
        script.publish(QoS::AtLeastOnce, "x");
    }
    let refused = script.client.publish(script.now, Publication::new("a", "x", QoS::AtLeastOnce));
    assert_eq!(refused, Err(Refusal::QueueFull { limit: 2 }));
    assert!(!script.client.has_room(QoS::AtLeastOnce));
    script.receive(b"\x40\x02\x00\x01");
    assert!(script.client.has_room(QoS::AtLeastOnce));
}

#[test]
fn unwritten_output_is_bounded() {
    let narrow = Options { output_bytes_max: 10, ..options(Version::V311) };
    let mut script = Script::online(narrow);
    script.publish(QoS::AtMostOnce, "12345678");
    let refused = script.client.publish(script.now, Publication::new("a", "x", QoS::AtMostOnce));
    assert_eq!(refused, Err(Refusal::OutputFull { limit: 10 }));
    script.sent();
    script.publish(QoS::AtMostOnce, "x");
}

#[test]
fn offline_publications_wait_except_qos_0() {
    let mut script = Script::opened(options(Version::V311));
    let refused = script.client.publish(script.now, Publication::new("a", "x", QoS::AtMostOnce));
    assert_eq!(refused, Err(Refusal::NotConnected));
    script.publish(QoS::AtLeastOnce, "x");
    assert_eq!(script.sent(), b"");
    script.receive(plain_connack(Version::V311));
    assert_eq!(script.sent(), publish_bytes(0x32, 1, "x"));
}

#[test]
fn invalid_topics_are_refused() {
    let mut script = Script::online(options(Version::V311));
    for topic in ["", "a/+", "#", "a\0b"] {
        let publication = Publication::new(topic, "x", QoS::AtMostOnce);
        assert!(script.client.publish(script.now, publication).is_err(), "{topic:?}");
    }
    assert_eq!(script.sent(), b"");
}

#[test]
fn limits_of_the_server_are_honoured() {
    // Maximum QoS 1, no retained messages, packets of at most 12 bytes.
    let connack = b"\x20\x0c\x00\x00\x09\x24\x01\x25\x00\x27\x00\x00\x00\x0c";
    let mut script = Script::online_with(options(Version::V5), connack);
    let refused = |script: &mut Script, publication| script.client.publish(script.now, publication);
    assert_eq!(
        refused(&mut script, Publication::new("a", "x", QoS::ExactlyOnce)),
        Err(Refusal::Unsupported(ReasonCode::QoSNotSupported))
    );
    assert_eq!(
        refused(&mut script, Publication::new("a", "x", QoS::AtMostOnce).retained()),
        Err(Refusal::Unsupported(ReasonCode::RetainNotSupported))
    );
    let large = script.publish(QoS::AtLeastOnce, "12345");
    assert_eq!(script.events(), [published_with(large, ReasonCode::PacketTooLarge)]);
    let large = script.publish(QoS::AtMostOnce, "1234567");
    assert_eq!(script.events(), [published_with(large, ReasonCode::PacketTooLarge)]);
    assert_eq!(script.sent(), b"");
    script.publish(QoS::AtLeastOnce, "1234");
    assert_eq!(script.sent().len(), 12);
}

#[test]
fn resumed_session_gets_everything_again_in_order() {
    let mut script = Script::online(persistent(Version::V311));
    let all = ["1", "2", "3", "4"];
    let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce, QoS::AtLeastOnce];
    let asked: Vec<Token> = all.iter().zip(qos).map(|(payload, qos)| script.publish(qos, payload)).collect();
    script.sent();
    script.receive(b"\x50\x02\x00\x03");
    script.break_and_open();
    let fifth = script.publish(QoS::AtLeastOnce, "5");
    script.receive(resumed_connack(Version::V311));
    let expected = [
        publish_bytes(0x3a, 1, "1"),
        publish_bytes(0x3c, 2, "2"),
        b"\x62\x02\x00\x03".to_vec(),
        publish_bytes(0x3a, 4, "4"),
        publish_bytes(0x32, 5, "5"),
    ];
    assert_eq!(script.sent(), expected.concat());
    script.receive(b"\x40\x02\x00\x01\x50\x02\x00\x02\x70\x02\x00\x03\x40\x02\x00\x04\x40\x02\x00\x05");
    script.receive(b"\x70\x02\x00\x02");
    let answered: Vec<Token> = tokens(&mut script).into_iter().map(|(token, _)| token).collect();
    assert_eq!(answered, [asked[0], asked[2], asked[3], fifth, asked[1]]);
}

#[test]
fn redelivery_keeps_to_the_quota_but_pubrel_does_not_wait() {
    let mut script = Script::online(persistent(Version::V5));
    for payload in ["1", "2", "3"] {
        script.publish(QoS::ExactlyOnce, payload);
    }
    script.receive(b"\x50\x02\x00\x03");
    script.break_and_open();
    script.receive(b"\x20\x06\x01\x00\x03\x21\x00\x01");
    assert_eq!(script.sent(), b"\x3c\x07\x00\x01a\x00\x01\x001\x62\x02\x00\x03");
    script.receive(b"\x70\x02\x00\x03");
    assert_eq!(script.sent(), b"", "that PUBCOMP freed no quota: its PUBLISH was sent on another connection");
    script.receive(b"\x50\x02\x00\x01\x70\x02\x00\x01");
    assert_eq!(script.sent(), b"\x62\x02\x00\x01\x3c\x07\x00\x01a\x00\x02\x002");
}

#[test]
fn lost_session_gets_publications_as_new_ones() {
    let mut script = Script::online(persistent(Version::V311));
    script.publish(QoS::AtLeastOnce, "1");
    let second = script.publish(QoS::ExactlyOnce, "2");
    script.publish(QoS::ExactlyOnce, "3");
    script.receive(b"\x50\x02\x00\x02");
    script.break_and_open();
    script.publish(QoS::AtLeastOnce, "4");
    script.receive(plain_connack(Version::V311));
    let expected =
        [publish_bytes(0x32, 4, "1"), publish_bytes(0x34, 5, "3"), publish_bytes(0x32, 6, "4")].concat();
    assert_eq!(script.sent(), expected);
    assert_eq!(
        tokens(&mut script),
        [(second, ReasonCode::Success)],
        "its PUBREC had come: the server has it"
    );
}

#[test]
fn smaller_server_after_a_reconnection_does_not_get_what_it_cannot_take() {
    let mut script = Script::online(persistent(Version::V5));
    let large = script.publish(QoS::AtLeastOnce, "0123456789");
    script.publish(QoS::AtLeastOnce, "x");
    let exact = script.publish(QoS::ExactlyOnce, "y");
    script.break_and_open();
    script.receive(b"\x20\x08\x01\x00\x05\x27\x00\x00\x00\x0c");
    assert_eq!(script.sent(), b"\x3a\x07\x00\x01a\x00\x02\x00x\x3c\x07\x00\x01a\x00\x03\x00y");
    assert_eq!(tokens(&mut script), [(large, ReasonCode::PacketTooLarge)]);
    script.break_and_open();
    let queued = script.publish(QoS::ExactlyOnce, "z");
    script.receive(b"\x20\x05\x00\x00\x02\x24\x01");
    assert_eq!(script.sent(), b"\x32\x07\x00\x01a\x00\x04\x00x");
    let refused = [(exact, ReasonCode::QoSNotSupported), (queued, ReasonCode::QoSNotSupported)];
    assert_eq!(tokens(&mut script), refused);
}

#[test]
fn topic_alias_is_sent_with_its_topic_and_only_where_granted() {
    let mut aliased = Publication::new("a", "x", QoS::AtMostOnce);
    aliased.properties.topic_alias = Some(2);
    let mut without = Script::online(options(Version::V5));
    without.client.publish(without.now, aliased.clone()).unwrap();
    assert_eq!(without.sent(), b"\x30\x05\x00\x01a\x00x");
    let mut with = Script::online_with(options(Version::V5), b"\x20\x06\x00\x00\x03\x22\x00\x02");
    with.client.publish(with.now, aliased).unwrap();
    assert_eq!(with.sent(), b"\x30\x08\x00\x01a\x03\x23\x00\x02x");
}
