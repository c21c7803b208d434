//! CONNECT, sessions, takeover, keep-alive, wills and the ends of connections.

use mqtt::{Connect, ReasonCode, Version, Will, WillProperties};
use shard::{Config, DoorConfig, Full};

use crate::script::{Script, connect};

fn with_will<'a>(client_id: &'a str, delay_s: u32) -> Connect<'a> {
    let properties = WillProperties { delay_interval_s: Some(delay_s), ..WillProperties::default() };
    let will =
        Will { qos: mqtt::QoS::AtMostOnce, retain: false, topic: "will", payload: b"gone", properties };
    Connect { will: Some(will), ..connect(client_id) }
}

#[test]
fn a_session_is_resumed_only_without_clean_start() {
    let mut s = Script::of_one();
    let first = s.join_for_an_hour("c");
    s.disconnect(first, ReasonCode::Success);
    assert!(s.is_closed(first));
    let again = Connect { clean_start: false, ..connect("c") };
    assert_eq!(s.connect(&again).1, ["CONNACK Success present"]);
    let (_, heard) = s.connect(&connect("c"));
    assert_eq!(heard, ["CONNACK Success"]);
}

#[test]
fn takeover_tells_the_holder_and_closes_it() {
    let mut s = Script::of_one();
    let holder = s.join("c");
    let (_, heard) = s.connect(&connect("c"));
    assert_eq!(heard, ["CONNACK Success"]);
    assert_eq!(s.hear(holder), ["DISCONNECT Session taken over"]);
    assert!(s.is_closed(holder));
    assert_eq!(s.counter("takeovers"), 1);
}

#[test]
fn a_session_expires_when_its_interval_has_passed() {
    let mut s = Script::of_one();
    let client = s.join_for_an_hour("c");
    s.subscribe(client, "a", 1);
    s.cut(client);
    s.secs(3599);
    assert_eq!(s.shards[0].gauges().sessions, 1);
    s.secs(2);
    assert_eq!(s.shards[0].gauges().sessions, 0);
    assert_eq!(s.shards[0].gauges().subscriptions, 0);
    assert_eq!(s.counter("sessions_expired"), 1);
}

#[test]
fn keep_alive_runs_out_at_one_and_a_half_times() {
    let mut s = Script::of_one();
    let (client, _) = s.connect(&Connect { keep_alive_s: 10, ..connect("c") });
    s.secs(14);
    assert!(!s.is_closed(client));
    s.secs(2);
    assert_eq!(s.hear(client), ["DISCONNECT Keep Alive timeout"]);
    assert!(s.is_closed(client));
}

#[test]
fn silence_before_connect_ends_the_connection() {
    let mut s = Script::of_one();
    let client = s.open();
    s.secs(9);
    assert!(!s.is_closed(client));
    s.secs(2);
    assert!(s.is_closed(client));
    assert_eq!(s.counter("connect_timeouts"), 1);
    assert_eq!(s.shards[0].gauges().connections, 0);
}

#[test]
fn a_will_is_published_when_the_network_fails_and_not_after_a_disconnect() {
    let mut s = Script::of_one();
    let watcher = s.join("w");
    s.subscribe(watcher, "will", 0);
    s.hear(watcher);
    let (client, _) = s.connect(&with_will("c", 0));
    s.disconnect(client, ReasonCode::Success);
    assert_eq!(s.hear(watcher), Vec::<String>::new());
    let (client, _) = s.connect(&with_will("c", 0));
    s.cut(client);
    assert_eq!(s.hear(watcher), ["will 'gone'"]);
    let (client, _) = s.connect(&with_will("c", 0));
    s.disconnect(client, ReasonCode::DisconnectWithWill);
    assert_eq!(s.hear(watcher), ["will 'gone'"]);
}

#[test]
fn a_delayed_will_waits_and_a_new_connection_cancels_it() {
    let mut s = Script::of_one();
    let watcher = s.join("w");
    s.subscribe(watcher, "will", 0);
    s.hear(watcher);
    let mut wanted = with_will("c", 60);
    wanted.properties.session_expiry_interval_s = Some(3600);
    let (client, _) = s.connect(&wanted);
    s.cut(client);
    s.secs(59);
    let back = Connect { clean_start: false, ..connect("c") };
    let (client, _) = s.connect(&Connect { properties: wanted.properties.clone(), ..back });
    s.secs(60);
    assert_eq!(s.hear(watcher), Vec::<String>::new());
    s.disconnect(client, ReasonCode::Success);
    let (client, _) = s.connect(&wanted);
    s.cut(client);
    s.secs(61);
    assert_eq!(s.hear(watcher), ["will 'gone'"]);
}

#[test]
fn the_end_of_the_session_brings_out_a_delayed_will() {
    let mut s = Script::of_one();
    let watcher = s.join("w");
    s.subscribe(watcher, "will", 0);
    s.hear(watcher);
    let (client, _) = s.connect(&with_will("c", 60));
    s.cut(client);
    assert_eq!(s.hear(watcher), ["will 'gone'"]);
}

#[test]
fn a_refused_connection_is_told_and_closed() {
    for (full, counter, why) in [
        (Full::Server, "refused_max_connections", "server.max_connections is reached"),
        (
            Full::Listener,
            "refused_listener_max_connections",
            "max_connections of the listener tcp://127.0.0.1:1 is reached",
        ),
    ] {
        let door = DoorConfig { name: "tcp://127.0.0.1:1".into(), ..DoorConfig::default() };
        let mut s = Script::new(Config { doors: vec![door], ..Config::default() });
        let client = s.open_by_at(0, Some(full), 0);
        let mut bytes = Vec::new();
        mqtt::Packet::Connect(Box::new(connect("c"))).encode(Version::V5, &mut bytes);
        s.bytes(client, &bytes);
        assert_eq!(s.hear(client), ["CONNACK Connection rate exceeded"]);
        assert!(s.is_closed(client));
        let counters = ["refused_max_connections", "refused_listener_max_connections"];
        assert_eq!(counters.map(|name| s.counter(name)), counters.map(|name| u64::from(name == counter)));
        assert!(s.notes.iter().any(|note| note.contains(&format!("{why:?}"))), "{:?}", s.notes);
    }
}

#[test]
fn an_empty_client_id_gets_one_assigned() {
    let mut s = Script::of_one();
    let (_, heard) = s.connect(&connect(""));
    assert_eq!(heard, ["CONNACK Success"]);
    let v311 = Connect { version: Version::V311, clean_start: false, ..connect("") };
    let (client, heard) = s.connect(&v311);
    assert_eq!(heard, ["CONNACK Client Identifier not valid"]);
    assert!(s.is_closed(client));
}

#[test]
fn drain_tells_every_client_and_keeps_wills() {
    let mut s = Script::of_one();
    let watcher = s.join("w");
    s.subscribe(watcher, "will", 0);
    s.hear(watcher);
    let (client, _) = s.connect(&with_will("c", 0));
    s.event(0, shard::Event::Drain);
    s.settle();
    assert_eq!(s.hear(watcher), ["DISCONNECT Server shutting down"]);
    assert_eq!(s.hear(client), ["DISCONNECT Server shutting down"]);
    assert!(s.is_closed(client) && s.is_closed(watcher));
    assert_eq!(s.drained, 1);
}

#[test]
fn the_keep_alive_ceiling_is_told_to_those_who_can_be_told() {
    let mut config = shard::Config::default();
    config.limits.keep_alive_s_max = 20;
    let mut s = Script::new(config);
    let (told, _) = s.connect(&Connect { keep_alive_s: 600, ..connect("told") });
    let (old, _) = s.connect(&Connect { keep_alive_s: 600, version: Version::V311, ..connect("old") });
    assert_eq!(s.counter("keep_alive_lowered"), 1);
    s.secs(31);
    assert!(s.is_closed(told));
    assert!(!s.is_closed(old));
    assert_eq!(s.counter("keep_alive_timeouts"), 1);
}

#[test]
fn the_session_expiry_has_a_ceiling() {
    let mut config = shard::Config::default();
    config.limits.session_expiry_s_max = 100;
    config.limits.session_expiry_s_v3 = 50;
    let mut s = Script::new(config);
    let client = s.join_for_an_hour("c");
    let v3 = Connect { version: Version::V311, clean_start: false, ..connect("v3") };
    let (old, _) = s.connect(&v3);
    assert_eq!(s.counter("session_expiry_lowered"), 1);
    s.cut(client);
    s.cut(old);
    s.secs(60);
    assert_eq!(s.shards[0].gauges().sessions, 1);
    s.secs(60);
    assert_eq!(s.shards[0].gauges().sessions, 0);
}

#[test]
fn timers_of_connections_that_are_gone_do_not_pile_up() {
    let mut s = Script::of_one();
    let stays = s.connect(&Connect { keep_alive_s: 10, ..connect("stays") }).0;
    for _ in 0..5000 {
        let (client, _) = s.connect(&Connect { keep_alive_s: 10, ..connect("c") });
        s.cut(client);
    }
    assert!(s.shards[0].gauges().timers < 2500, "{}", s.shards[0].gauges().timers);
    s.secs(14);
    assert!(!s.is_closed(stays), "it still has time");
    s.secs(2);
    assert!(s.is_closed(stays), "its own timer is still there");
}

#[test]
fn timers_of_sessions_that_are_gone_do_not_pile_up() {
    let mut s = Script::of_one();
    for _ in 0..1000 {
        let client = s.join_for_an_hour("c");
        s.cut(client);
        s.connect(&connect("c"));
    }
    assert!(s.shards[0].gauges().timers < 2 * 1000 + 100, "{}", s.shards[0].gauges().timers);
    s.secs(100);
    assert!(s.shards[0].gauges().timers < 10, "{}", s.shards[0].gauges().timers);
}

#[test]
fn who_comes_back_too_late_but_before_the_timer_is_too_late() {
    let mut s = Script::of_one();
    let watcher = s.join("w");
    s.subscribe(watcher, "will", 0);
    s.hear(watcher);
    let mut wanted = with_will("c", 2);
    for (expiry_s, present) in [(3600, " present"), (1, "")] {
        wanted.properties.session_expiry_interval_s = Some(expiry_s);
        let (client, _) = s.connect(&wanted);
        s.cut(client);
        s.now = s.now.add_secs(3);
        let (client, heard) = s.connect(&Connect { clean_start: false, will: None, ..wanted.clone() });
        assert_eq!(heard, [format!("CONNACK Success{present}")]);
        assert_eq!(s.hear(watcher), ["will 'gone'"]);
        s.disconnect(client, ReasonCode::Success);
    }
}

#[test]
fn a_delayed_will_that_falls_due_in_a_drain_stays_unpublished() {
    let mut s = Script::of_one();
    let watcher = s.join("w");
    s.subscribe(watcher, "will", 0);
    s.hear(watcher);
    let mut wanted = with_will("c", 2);
    wanted.properties.session_expiry_interval_s = Some(3600);
    let (client, _) = s.connect(&wanted);
    s.cut(client);
    s.stick(watcher);
    s.packet(watcher, &mqtt::Packet::Pingreq);
    s.event(0, shard::Event::Drain);
    s.settle();
    s.secs(3);
    s.unstick(watcher);
    assert_eq!(s.hear(watcher), ["PINGRESP", "DISCONNECT Server shutting down"]);
}

#[test]
fn a_drain_waits_for_what_is_queued_and_not_for_who_takes_nothing() {
    let mut config = shard::Config::default();
    config.limits.outbox_bytes_max = 1000;
    let mut s = Script::new(config);
    let (publisher, slow, stuck) = (s.join("p"), s.join("slow"), s.join("stuck"));
    for client in [slow, stuck] {
        s.subscribe(client, "a", 0);
        s.hear(client);
        s.stick(client);
    }
    for n in 0..50 {
        s.publish(publisher, "a", &format!("{n:02}{}", "x".repeat(100)));
    }
    s.event(0, shard::Event::Drain);
    s.settle();
    s.secs(3);
    s.unstick(slow);
    let heard = s.hear(slow);
    assert_eq!(
        (heard.len(), heard.last().map(String::as_str)),
        (51, Some("DISCONNECT Server shutting down"))
    );
    assert!(!s.is_closed(stuck));
    s.secs(20);
    assert!(s.is_closed(stuck));
    assert_eq!(s.drained, 1);
}

#[test]
fn who_comes_with_another_protocol_is_named() {
    for (bytes, named) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "this is TLS, at a listener without TLS"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "this is HTTP, at"),
        (b"POST /v1 HTTP/1.1\r\n", "this is HTTP, at"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "this is HTTP, at"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.9 700 1883\r\n", "this is the header of a proxy, at"),
        (b"\r\n\r\n\x00\r\nQUIT\n\x21\x11", "this is the header of a proxy, at"),
        (b"\x30\x03\x00\x01a", "the first packet is not CONNECT"),
    ] {
        let mut s = Script::of_one();
        let client = s.open();
        s.bytes(client, bytes);
        assert!(s.is_closed(client) && s.hear(client).is_empty(), "{named}");
        assert!(s.notes.iter().any(|note| note.contains(named)), "{named}: {:?}", s.notes);
        assert_eq!(s.counter("violations"), 1);
    }
    // What a client says later is its own business.
    let mut s = Script::of_one();
    let client = s.join("c");
    s.bytes(client, b"PROXY ");
    assert!(!s.notes.iter().any(|note| note.contains("proxy")), "{:?}", s.notes);
}

#[test]
fn a_refusal_names_whom_the_client_says_to_be() {
    let mut s = Script::of_one();
    let (client, _) = s.connect(&Connect {
        username: Some("ada"),
        properties: mqtt::ConnectProperties { authentication_method: Some("X"), ..Default::default() },
        ..connect("c")
    });
    assert!(s.is_closed(client));
    let named = "claim: Some(Claim { client_id: \"c\", user_name: Some(\"ada\") })";
    assert!(s.notes.iter().any(|note| note.contains(named)), "{:?}", s.notes);
}
