//! PINGREQ, PINGRESP and the intervals between them.

use std::time::Duration;

use client::{Action, Disconnection, Event, Options, QoS, Version};

use crate::script::{Script, options};

fn with_keep_alive(keep_alive_s: u16) -> Options {
    Options { keep_alive_s, ..options(Version::V311) }
}

#[test]
fn silence_is_broken_by_a_ping_before_the_interval_is_over() {
    let mut script = Script::online(with_keep_alive(8));
    script.pass(Duration::from_secs(6));
    assert_eq!(script.sent(), b"");
    let due = script.client.next_deadline().unwrap();
    script.pass(due.duration_since(script.now));
    assert_eq!(script.sent(), b"\xc0\x00");
    assert!(script.now.as_nanos() < 8_000_000_000, "within the keep-alive");
}

#[test]
fn traffic_in_both_directions_makes_pings_needless() {
    let mut script = Script::online(with_keep_alive(8));
    for _ in 0..20 {
        script.pass(Duration::from_secs(5));
        script.publish(QoS::AtMostOnce, "x");
        script.receive(b"\x30\x04\x00\x01ax");
        assert_eq!(script.sent(), b"\x30\x04\x00\x01ax");
    }
}

#[test]
fn client_that_only_sends_still_asks_whether_anyone_hears() {
    let mut script = Script::online(with_keep_alive(8));
    let mut pings = 0;
    for _ in 0..3 {
        script.pass(Duration::from_secs(4));
        pings += usize::from(script.sent() == b"\xc0\x00");
        script.publish(QoS::AtMostOnce, "x");
        script.sent();
    }
    assert_eq!(pings, 1);
}

#[test]
fn pingresp_satisfies_and_the_next_interval_begins() {
    let mut script = Script::online(with_keep_alive(8));
    for _ in 0..3 {
        script.pass(Duration::from_secs(7));
        assert_eq!(script.sent(), b"\xc0\x00");
        script.receive(b"\xd0\x00");
    }
    assert_eq!(script.events(), []);
}

#[test]
fn missing_pingresp_ends_the_connection() {
    let mut script = Script::online(with_keep_alive(8));
    script.pass(Duration::from_secs(7));
    assert_eq!(script.sent(), b"\xc0\x00");
    script.pass(Duration::from_secs(9));
    assert_eq!(script.events(), []);
    script.pass(Duration::from_secs(1));
    let reason = Disconnection::NoAnswer("PINGRESP");
    assert_eq!(script.event(), Event::Disconnected { reason, reconnect_at: None });
    assert_eq!(script.client.poll_action(), Some(Action::Close));
}

#[test]
fn keep_alive_of_the_server_takes_precedence() {
    let asked = Options { keep_alive_s: 600, ..options(Version::V5) };
    let mut script = Script::online_with(asked, b"\x20\x06\x00\x00\x03\x13\x00\x08");
    script.pass(Duration::from_secs(7));
    assert_eq!(script.sent(), b"\xc0\x00");
}

#[test]
fn keep_alive_zero_means_no_pings() {
    let script = Script::online(with_keep_alive(0));
    assert_eq!(script.client.next_deadline(), None);
}
