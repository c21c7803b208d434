//! CONNECT, CONNACK, refusals, reconnection and farewells.

use std::time::Duration;

use client::{
    Action, Client, Disconnection, Event, Farewell, Instant, Publication, QoS, ReasonCode, Reconnect,
    Refusal, Version, Will,
};

use crate::script::{Script, options, persistent, plain_connack, resumed_connack};

fn connect_of(options: client::Options) -> Vec<u8> {
    let mut client = Client::new(options, 1).unwrap();
    client.connect();
    assert_eq!(client.poll_action(), Some(Action::Open));
    client.handle_opened(Instant::ZERO);
    client.output().to_vec()
}

fn reconnecting(version: Version) -> client::Options {
    let mut options = options(version);
    options.reconnect = Some(Reconnect { first: Duration::from_secs(1), max: Duration::from_secs(8) });
    options
}

#[test]
fn connect_of_each_version_names_its_protocol() {
    assert_eq!(connect_of(options(Version::V31)), b"\x10\x0f\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01c");
    assert_eq!(connect_of(options(Version::V311)), b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01c");
    assert_eq!(connect_of(options(Version::V5)), b"\x10\x0e\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x01c");
}

#[test]
fn connect_carries_will_and_credentials() {
    let mut options = options(Version::V311);
    options.will = Some(Will::new(Publication::new("w", "gone", QoS::AtLeastOnce).retained()));
    options.username = Some("u".into());
    options.password = Some(b"p".to_vec());
    assert_eq!(
        connect_of(options),
        b"\x10\x1c\x00\x04MQTT\x04\xee\x00\x3c\x00\x01c\x00\x01w\x00\x04gone\x00\x01u\x00\x01p"
    );
}

#[test]
fn connect_carries_every_property_of_5_0() {
    let mut options = options(Version::V5);
    options.session_expiry_interval_s = Some(1);
    options.receive_maximum = Some(2);
    options.maximum_packet_size = Some(300);
    options.topic_alias_maximum = Some(4);
    options.request_response_information = Some(true);
    options.request_problem_information = Some(false);
    options.authentication_method = Some("m".into());
    options.authentication_data = Some(b"d".to_vec());
    options.user_properties = vec![("k".into(), "v".into())];
    let connect = connect_of(options);
    let parts: [&[u8]; 9] = [
        b"\x11\x00\x00\x00\x01",
        b"\x21\x00\x02",
        b"\x27\x00\x00\x01\x2c",
        b"\x22\x00\x04",
        b"\x19\x01",
        b"\x17\x00",
        b"\x15\x00\x01m",
        b"\x16\x00\x01d",
        b"\x26\x00\x01k\x00\x01v",
    ];
    for part in parts {
        assert!(connect.windows(part.len()).any(|window| window == part), "{part:x?} in {connect:x?}");
    }
}

#[test]
fn options_that_no_server_can_take_are_refused() {
    let mut alone = options(Version::V311);
    alone.password = Some(b"p".to_vec());
    assert_eq!(Client::new(alone.clone(), 1).err(), Some(Refusal::PasswordAlone));
    alone.version = Version::V5;
    assert!(Client::new(alone, 1).is_ok(), "5.0 allows a password alone");

    let mut nameless = options(Version::V311);
    nameless.client_id = String::new();
    nameless.clean_start = false;
    assert_eq!(Client::new(nameless, 1).err(), Some(Refusal::NoClientId));

    let mut long = options(Version::V5);
    long.client_id = "x".repeat(65_536);
    assert_eq!(Client::new(long, 1).err(), Some(Refusal::TooLong { what: "client id", len: 65_536 }));
}

#[test]
fn connack_in_single_bytes_is_understood() {
    let mut script = Script::opened(options(Version::V5));
    let (last, first) = plain_connack(Version::V5).split_last().unwrap();
    for byte in first {
        script.receive(&[*byte]);
        assert_eq!(script.events(), []);
    }
    script.receive(&[*last]);
    assert!(matches!(script.event(), Event::Connected { session_present: false, .. }));
}

#[test]
fn connack_properties_are_granted() {
    let script = Script::online_with(
        options(Version::V5),
        b"\x20\x19\x00\x00\x16\x21\x00\x0a\x24\x01\x25\x00\x27\x00\x00\x04\x00\x22\x00\x07\x13\x00\x1e\x12\x00\x01s",
    );
    let granted = script.client.granted().unwrap();
    assert_eq!(granted.receive_maximum, 10);
    assert_eq!(granted.maximum_qos, QoS::AtLeastOnce);
    assert!(!granted.retain_available);
    assert_eq!(granted.maximum_packet_size, 1024);
    assert_eq!(granted.topic_alias_maximum, 7);
    assert_eq!(granted.keep_alive, Duration::from_secs(30));
    assert_eq!(granted.client_id, "s");
    assert!(granted.wildcard_subscription_available);
}

#[test]
fn assigned_client_id_is_kept_for_the_next_connection() {
    let mut nameless = options(Version::V5);
    nameless.client_id = String::new();
    nameless.session_expiry_interval_s = Some(60);
    let mut script = Script::online_with(nameless, b"\x20\x07\x00\x00\x04\x12\x00\x01s");
    let connect = script.break_and_open();
    assert_eq!(
        connect, b"\x10\x13\x00\x04MQTT\x05\x00\x00\x3c\x05\x11\x00\x00\x00\x3c\x00\x01s",
        "clean start is gone"
    );
}

#[test]
fn clean_start_is_repeated_where_no_session_can_survive() {
    let flags = |connect: &[u8]| connect[9];
    for version in [Version::V311, Version::V5] {
        let mut script = Script::online(options(version));
        assert_eq!(flags(&script.break_and_open()), 0x02, "{version:?}");
    }
}

#[test]
fn refusal_with_a_final_reason_is_not_tried_again() {
    let mut script = Script::opened(reconnecting(Version::V5));
    script.receive(b"\x20\x03\x00\x86\x00");
    let reason = Disconnection::Refused {
        reason: ReasonCode::BadUserNameOrPassword,
        reason_string: None,
        server_reference: None,
    };
    assert_eq!(script.event(), Event::Disconnected { reason, reconnect_at: None });
    assert_eq!(script.client.poll_action(), Some(Action::Close));
    assert_eq!(script.client.next_deadline(), None);
}

#[test]
fn return_codes_of_3_1_1_are_reasons() {
    let codes = [
        (1, ReasonCode::UnsupportedProtocolVersion),
        (2, ReasonCode::ClientIdentifierNotValid),
        (3, ReasonCode::ServerUnavailable),
        (4, ReasonCode::BadUserNameOrPassword),
        (5, ReasonCode::NotAuthorized),
    ];
    for (code, expected) in codes {
        let mut script = Script::opened(options(Version::V311));
        script.receive(&[0x20, 2, 0, code]);
        let Event::Disconnected { reason: Disconnection::Refused { reason, .. }, .. } = script.event() else {
            panic!("code {code} is a refusal");
        };
        assert_eq!(reason, expected);
    }
}

#[test]
fn busy_server_is_tried_again_after_a_growing_wait() {
    let mut script = Script::opened(reconnecting(Version::V5));
    let mut ceiling = Duration::from_secs(1);
    for _ in 0..6 {
        script.receive(b"\x20\x03\x00\x89\x00");
        let Event::Disconnected { reconnect_at: Some(until), .. } = script.event() else {
            panic!("a busy server is worth another attempt");
        };
        let wait = until.duration_since(script.now);
        assert!(wait >= ceiling / 2 && wait <= ceiling, "{wait:?} within {ceiling:?}");
        assert_eq!(script.client.poll_action(), Some(Action::Close));
        assert_eq!(script.client.next_deadline(), Some(until));
        script.pass(wait);
        assert!(!script.open().is_empty());
        ceiling = (ceiling * 2).min(Duration::from_secs(8));
    }
}

#[test]
fn backoff_starts_anew_after_a_connection_that_lasted() {
    let mut script = Script::opened(reconnecting(Version::V311));
    for _ in 0..5 {
        script.client.handle_closed(script.now);
        script.pass(Duration::from_secs(8));
        script.open();
    }
    script.receive(plain_connack(Version::V311));
    script.events();
    script.pass(Duration::from_secs(8));
    script.client.handle_closed(script.now);
    let Event::Disconnected { reason: Disconnection::Lost, reconnect_at: Some(until) } = script.event()
    else {
        panic!("a lost connection is made again");
    };
    assert!(until.duration_since(script.now) <= Duration::from_secs(1));
}

#[test]
fn transport_that_cannot_be_opened_is_unreachable() {
    let mut client = Client::new(reconnecting(Version::V311), 1).unwrap();
    client.connect();
    assert_eq!(client.poll_action(), Some(Action::Open));
    client.handle_closed(Instant::ZERO);
    let event = client.poll_event().unwrap();
    assert!(
        matches!(event, Event::Disconnected { reason: Disconnection::Unreachable, reconnect_at: Some(_) }),
        "{event:?}"
    );
}

#[test]
fn missing_connack_ends_the_attempt() {
    let mut script = Script::opened(options(Version::V311));
    script.pass(Duration::from_secs(9));
    assert_eq!(script.events(), []);
    script.pass(Duration::from_secs(1));
    let reason = Disconnection::NoAnswer("CONNACK");
    assert_eq!(script.event(), Event::Disconnected { reason, reconnect_at: None });
    assert_eq!(script.client.poll_action(), Some(Action::Close));
}

#[test]
fn takeover_is_not_answered_with_a_takeover() {
    let mut script = Script::online(reconnecting(Version::V5));
    script.receive(b"\xe0\x02\x8e\x00");
    let event = script.event();
    assert!(
        matches!(
            event,
            Event::Disconnected {
                reason: Disconnection::Ended { reason: ReasonCode::SessionTakenOver, .. },
                reconnect_at: None
            }
        ),
        "{event:?}"
    );
}

#[test]
fn shutdown_of_the_server_is_waited_out() {
    let mut script = Script::online(reconnecting(Version::V5));
    script.receive(b"\xe0\x01\x8b");
    assert!(matches!(script.event(), Event::Disconnected { reconnect_at: Some(_), .. }));
}

#[test]
fn packets_other_than_connack_come_too_early() {
    for early in [&b"\xd0\x00"[..], b"\x30\x04\x00\x01a\x00", b"\xe0\x01\x00"] {
        let mut script = Script::opened(options(Version::V5));
        script.receive(early);
        script.assert_violated(ReasonCode::ProtocolError);
        assert_eq!(script.sent(), b"", "a DISCONNECT has no place before the CONNACK");
    }
}

#[test]
fn second_connack_is_a_protocol_error_and_the_server_is_told() {
    let mut script = Script::online(options(Version::V5));
    script.receive(plain_connack(Version::V5));
    script.assert_violated(ReasonCode::ProtocolError);
    assert_eq!(script.sent()[..3], *b"\xe0\x01\x82");
}

#[test]
fn packets_of_clients_are_not_for_servers_to_send() {
    for packet in
        [&b"\xc0\x00"[..], b"\x82\x06\x00\x01\x00\x01a\x00", b"\xa2\x05\x00\x01\x00\x01a", b"\xe0\x00"]
    {
        let mut script = Script::online(options(Version::V311));
        script.receive(packet);
        script.assert_violated(ReasonCode::ProtocolError);
    }
}

#[test]
fn session_after_a_clean_start_is_a_protocol_error() {
    let mut script = Script::opened(options(Version::V311));
    script.receive(resumed_connack(Version::V311));
    script.assert_violated(ReasonCode::ProtocolError);

    let mut kept = Script::opened(persistent(Version::V311));
    kept.receive(resumed_connack(Version::V311));
    assert!(matches!(kept.event(), Event::Connected { session_present: true, .. }));
}

#[test]
fn disconnect_says_farewell_and_stays_offline() {
    let mut script = Script::online(reconnecting(Version::V5));
    let farewell = Farewell { reason: ReasonCode::DisconnectWithWill, ..Farewell::default() };
    script.client.disconnect(&farewell).unwrap();
    assert_eq!(script.client.poll_action(), Some(Action::Close));
    assert_eq!(script.sent()[..3], *b"\xe0\x01\x04");
    let reason = Disconnection::Requested;
    assert_eq!(script.event(), Event::Disconnected { reason, reconnect_at: None });
    assert_eq!(script.client.next_deadline(), None);
}

#[test]
fn abort_says_nothing() {
    let mut script = Script::online(options(Version::V311));
    script.client.abort();
    assert_eq!(script.sent(), b"");
    assert_eq!(script.client.poll_action(), Some(Action::Close));
    assert!(matches!(script.event(), Event::Disconnected { reason: Disconnection::Requested, .. }));
}

#[test]
fn connect_that_is_taken_back_opens_nothing() {
    let mut client = Client::new(options(Version::V311), 1).unwrap();
    client.connect();
    client.abort();
    assert_eq!(client.poll_action(), None);
}

#[test]
fn disconnect_and_connect_close_before_they_open() {
    let mut script = Script::online(options(Version::V311));
    script.client.disconnect(&Farewell::default()).unwrap();
    script.client.connect();
    assert_eq!(script.client.poll_action(), Some(Action::Close));
    assert_eq!(script.sent(), b"\xe0\x00");
    assert_eq!(script.client.poll_action(), Some(Action::Open));
}

#[test]
fn bytes_after_the_end_are_void() {
    let mut script = Script::online(options(Version::V5));
    script.receive(b"\xe0\x01\x8b\x30\x05\x00\x01a\x00x");
    assert!(matches!(script.event(), Event::Disconnected { .. }));
    assert_eq!(script.events(), [], "the PUBLISH behind the DISCONNECT is not delivered");
    script.receive(b"\x30\x05\x00\x01a\x00x");
    assert_eq!(script.events(), []);
}

#[test]
fn enhanced_authentication_goes_back_and_forth() {
    let mut authenticated = options(Version::V5);
    authenticated.authentication_method = Some("m".into());
    let mut script = Script::opened(authenticated);
    script.receive(b"\xf0\x0a\x18\x08\x15\x00\x01m\x16\x00\x01q");
    let asked = Event::Authenticate {
        reason: ReasonCode::ContinueAuthentication,
        method: Some("m".into()),
        data: Some(b"q".to_vec()),
    };
    assert_eq!(script.event(), asked);
    script.client.authenticate(script.now, ReasonCode::ContinueAuthentication, b"a").unwrap();
    assert_eq!(script.sent(), b"\xf0\x0a\x18\x08\x15\x00\x01m\x16\x00\x01a");
    script.receive(plain_connack(Version::V5));
    assert!(matches!(script.event(), Event::Connected { .. }));
}

#[test]
fn auth_without_a_method_is_a_protocol_error() {
    let mut script = Script::online(options(Version::V5));
    script.receive(b"\xf0\x0a\x18\x08\x15\x00\x01m\x16\x00\x01q");
    script.assert_violated(ReasonCode::ProtocolError);
}
