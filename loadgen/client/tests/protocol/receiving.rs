//! Incoming publications: exactly once, aliases, limits.

use client::{Event, Message, Options, QoS, ReasonCode, Version};

use crate::script::{Script, options, persistent, plain_connack, resumed_connack};

fn messages(script: &mut Script) -> Vec<Message> {
    let message = |event| match event {
        Event::Message(message) => Some(*message),
        _ => None,
    };
    script.events().into_iter().filter_map(message).collect()
}

fn payloads(script: &mut Script) -> Vec<Vec<u8>> {
    messages(script).into_iter().map(|message| message.payload).collect()
}

#[test]
fn each_qos_is_delivered_and_acknowledged_in_order() {
    let mut script = Script::online(options(Version::V311));
    script.receive(b"\x31\x04\x00\x01a0\x32\x06\x00\x01a\x00\x071\x34\x06\x00\x01a\x00\x082");
    assert_eq!(script.sent(), b"\x40\x02\x00\x07\x50\x02\x00\x08");
    let messages = messages(&mut script);
    let qos: Vec<QoS> = messages.iter().map(|message| message.qos).collect();
    assert_eq!(qos, [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
    assert!(messages[0].retain && !messages[1].retain);
    assert_eq!(messages[0].topic, "a");
    assert_eq!(messages[2].packet_id.unwrap().get(), 8);
}

#[test]
fn properties_reach_the_user() {
    let mut script = Script::online(options(Version::V5));
    script.receive(
        b"\x30\x2b\x00\x01a\x26\x01\x01\x02\x00\x00\x00\x3c\x03\x00\x01t\x08\x00\x01r\x09\x00\x01c\x0b\x05\x0b\x80\x01\
          \x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01wx",
    );
    let message = messages(&mut script).remove(0);
    let properties = message.properties;
    assert_eq!(properties.payload_format, Some(1));
    assert_eq!(properties.message_expiry_interval_s, Some(60));
    assert_eq!(properties.content_type.as_deref(), Some("t"));
    assert_eq!(properties.response_topic.as_deref(), Some("r"));
    assert_eq!(properties.correlation_data.as_deref(), Some(&b"c"[..]));
    assert_eq!(properties.subscription_ids, [5, 128]);
    assert_eq!(properties.user_properties, [("k".into(), "v".into()), ("k".into(), "w".into())]);
    assert_eq!(message.payload, b"x");
}

#[test]
fn qos_2_is_delivered_once_until_it_is_released() {
    let mut script = Script::online(persistent(Version::V311));
    script.receive(b"\x34\x06\x00\x01a\x00\x01x");
    script.receive(b"\x3c\x06\x00\x01a\x00\x01x");
    assert_eq!(payloads(&mut script), [b"x"]);
    assert_eq!(script.sent(), b"\x50\x02\x00\x01\x50\x02\x00\x01", "each is answered all the same");
    script.break_and_open();
    script.receive(resumed_connack(Version::V311));
    script.receive(b"\x3c\x06\x00\x01a\x00\x01x");
    assert_eq!(payloads(&mut script), Vec::<Vec<u8>>::new(), "nor again on the next connection");
    script.receive(b"\x62\x02\x00\x01");
    assert_eq!(script.sent(), b"\x50\x02\x00\x01\x70\x02\x00\x01");
    script.receive(b"\x34\x06\x00\x01a\x00\x01y");
    assert_eq!(payloads(&mut script), [b"y"], "a released id names a new message");
}

#[test]
fn lost_session_forgets_what_was_received() {
    let mut script = Script::online(persistent(Version::V311));
    script.receive(b"\x34\x06\x00\x01a\x00\x01x");
    script.break_and_open();
    script.receive(plain_connack(Version::V311));
    script.events();
    script.receive(b"\x34\x06\x00\x01a\x00\x01y");
    assert_eq!(payloads(&mut script), [b"y"]);
}

#[test]
fn pubrel_of_an_unknown_id_is_answered() {
    let mut new = Script::online(options(Version::V5));
    new.receive(b"\x62\x02\x00\x05");
    assert_eq!(new.sent(), b"\x70\x03\x00\x05\x92");
    let mut old = Script::online(options(Version::V311));
    old.receive(b"\x62\x02\x00\x05");
    assert_eq!(old.sent(), b"\x70\x02\x00\x05");
}

#[test]
fn topic_aliases_are_resolved_and_redefined() {
    let aliases = Options { topic_alias_maximum: Some(2), ..options(Version::V5) };
    let mut script = Script::online(aliases);
    script.receive(b"\x30\x08\x00\x01a\x03\x23\x00\x021");
    script.receive(b"\x30\x07\x00\x00\x03\x23\x00\x022");
    script.receive(b"\x30\x08\x00\x01b\x03\x23\x00\x023");
    script.receive(b"\x30\x07\x00\x00\x03\x23\x00\x024");
    let topics: Vec<String> = messages(&mut script).into_iter().map(|message| message.topic).collect();
    assert_eq!(topics, ["a", "a", "b", "b"]);
}

#[test]
fn topic_alias_beyond_the_maximum_is_a_violation() {
    for maximum in [None, Some(1)] {
        let mut script = Script::online(Options { topic_alias_maximum: maximum, ..options(Version::V5) });
        script.receive(b"\x30\x08\x00\x01a\x03\x23\x00\x02x");
        script.assert_violated(ReasonCode::TopicAliasInvalid);
    }
}

#[test]
fn topic_alias_is_unknown_before_it_is_defined_and_on_the_next_connection() {
    let aliases = Options { topic_alias_maximum: Some(2), ..persistent(Version::V5) };
    let mut fresh = Script::online(aliases.clone());
    fresh.receive(b"\x30\x07\x00\x00\x03\x23\x00\x02x");
    fresh.assert_violated(ReasonCode::ProtocolError);

    let mut resumed = Script::online(aliases);
    resumed.receive(b"\x30\x08\x00\x01a\x03\x23\x00\x02x");
    resumed.break_and_open();
    resumed.receive(resumed_connack(Version::V5));
    resumed.receive(b"\x30\x07\x00\x00\x03\x23\x00\x02x");
    resumed.assert_violated(ReasonCode::ProtocolError);
}

#[test]
fn own_receive_maximum_is_enforced() {
    let mut script = Script::online(Options { receive_maximum: Some(2), ..options(Version::V5) });
    script.receive(b"\x34\x07\x00\x01a\x00\x01\x00x\x34\x07\x00\x01a\x00\x02\x00x");
    script.receive(b"\x62\x02\x00\x01");
    script.receive(b"\x34\x07\x00\x01a\x00\x03\x00x");
    assert_eq!(payloads(&mut script).len(), 3, "a released message makes room");
    script.receive(b"\x34\x07\x00\x01a\x00\x04\x00x");
    script.assert_violated(ReasonCode::ReceiveMaximumExceeded);
}

#[test]
fn own_maximum_packet_size_is_enforced() {
    let mut script = Script::online(Options { maximum_packet_size: Some(7), ..options(Version::V5) });
    script.receive(b"\x30\x05\x00\x01a\x00x");
    assert_eq!(payloads(&mut script), [b"x"]);
    script.sent();
    script.receive(b"\x30\x06");
    script.assert_violated(ReasonCode::PacketTooLarge);
    assert_eq!(script.sent()[..3], *b"\xe0\x01\x95", "the server is told, before the rest has come");
}

#[test]
fn stream_may_be_cut_anywhere() {
    let stream =
        b"\x32\x06\x00\x01a\x00\x071\xd0\x00\x34\x06\x00\x01a\x00\x082\x62\x02\x00\x08\x31\x04\x00\x01a0";
    for cut in 0..stream.len() {
        let mut script = Script::online(options(Version::V311));
        script.receive(&stream[..cut]);
        script.receive(&stream[cut..]);
        assert_eq!(payloads(&mut script), [b"1", b"2", b"0"], "cut at {cut}");
        assert_eq!(script.sent(), b"\x40\x02\x00\x07\x50\x02\x00\x08\x70\x02\x00\x08");
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut state = 1u64;
    for round in 0..20_000 {
        let version = [Version::V31, Version::V311, Version::V5][round % 3];
        let mut script = Script::online(options(version));
        let mut bytes = Vec::new();
        for _ in 0..24 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            bytes.push((state >> 56) as u8);
        }
        bytes[1] %= 24;
        script.receive(&bytes);
    }
}
