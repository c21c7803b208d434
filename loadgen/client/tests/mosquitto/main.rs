//! The driver against a real server, mosquitto, and against sockets that misbehave.
#![allow(clippy::unwrap_used)]

mod authority;
mod server;
mod transports;
mod upgrades;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use client::{
    Disconnection, Driver, Error, Event, Farewell, Message, Options, Publication, QoS, ReasonCode, Reconnect,
    Subscription, Target, Unsubscription, Version, Will,
};
use server::Server;

const PATIENCE: Duration = Duration::from_secs(10);
const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];
const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

fn connect(server: &Server, options: Options) -> Driver {
    connect_to(server.target(), options)
}

fn connect_to(target: Target, options: Options) -> Driver {
    let mut driver = Driver::connect(target, options, 1).unwrap();
    assert!(matches!(next(&mut driver), Event::Connected { .. }));
    driver
}

fn next(driver: &mut Driver) -> Event {
    driver.next_event(PATIENCE).unwrap().expect("an event should come")
}

fn next_message(driver: &mut Driver) -> Message {
    loop {
        if let Event::Message(message) = next(driver) {
            return *message;
        }
    }
}

fn subscribe(driver: &mut Driver, filter: &str, qos: QoS) {
    let reasons = driver.subscribe_and_wait(Subscription::new(filter, qos), PATIENCE).unwrap();
    assert_eq!(reasons, [ReasonCode::granted(qos)]);
}

fn reconnecting(version: Version, client_id: &str) -> Options {
    let mut options = Options::new(version, client_id);
    options.clean_start = false;
    options.session_expiry_interval_s = Some(3600);
    let first = Duration::from_millis(20);
    options.reconnect = Some(Reconnect { first, max: Duration::from_millis(100) });
    options
}

#[test]
fn every_version_and_qos_goes_through() {
    let server = Server::start();
    for version in VERSIONS {
        let mut driver = connect(&server, Options::new(version, "through"));
        for qos in ALL_QOS {
            subscribe(&mut driver, "through/#", qos);
            let publication = Publication::new("through/x", "payload", qos);
            assert_eq!(driver.publish_and_wait(publication, PATIENCE).unwrap(), ReasonCode::Success);
            let message = next_message(&mut driver);
            assert_eq!((message.topic.as_str(), message.qos), ("through/x", qos), "{version:?}");
            assert_eq!(message.payload, b"payload");
        }
        let token = driver.unsubscribe(Unsubscription::new("through/#")).unwrap();
        while !matches!(next(&mut driver), Event::Unsubscribed { token: answered, .. } if answered == token) {
        }
        driver.disconnect(&Farewell::default()).unwrap();
        assert!(matches!(next(&mut driver), Event::Disconnected { reason: Disconnection::Requested, .. }));
    }
}

#[test]
fn order_and_number_hold_through_the_queue() {
    let server = Server::start();
    let mut driver = connect(&server, Options::new(Version::V5, "order"));
    subscribe(&mut driver, "order", QoS::ExactlyOnce);
    for number in 0..2_000u32 {
        driver.publish(Publication::new("order", number.to_string(), QoS::ExactlyOnce)).unwrap();
    }
    for number in 0..2_000u32 {
        assert_eq!(next_message(&mut driver).payload, number.to_string().as_bytes());
    }
    while driver.client().unanswered_len() > 0 {
        next(&mut driver);
    }
}

#[test]
fn large_payload_crosses_in_both_directions_at_once() {
    let server = Server::start();
    let mut driver = connect(&server, Options::new(Version::V311, "large"));
    subscribe(&mut driver, "large", QoS::AtLeastOnce);
    let payload: Vec<u8> = (0..4_000_000u32).map(|at| (at % 251) as u8).collect();
    for _ in 0..4 {
        driver.publish(Publication::new("large", payload.clone(), QoS::AtLeastOnce)).unwrap();
    }
    for _ in 0..4 {
        assert!(next_message(&mut driver).payload == payload);
    }
}

#[test]
fn server_assigns_an_id_and_reports_its_limits() {
    let server = Server::start();
    let driver = connect(&server, Options::new(Version::V5, ""));
    let granted = driver.client().granted().unwrap();
    assert!(!granted.client_id.is_empty());
    assert!(granted.topic_alias_maximum > 0, "mosquitto grants aliases");
}

#[test]
fn incoming_aliases_and_properties_survive_the_server() {
    let server = Server::start();
    let mut options = Options::new(Version::V5, "properties");
    options.topic_alias_maximum = Some(10);
    let mut driver = connect(&server, options);
    subscribe(&mut driver, "p/#", QoS::AtLeastOnce);
    for _ in 0..3 {
        let mut publication = Publication::new("p/1", "x", QoS::AtLeastOnce);
        publication.properties.topic_alias = Some(1);
        publication.properties.content_type = Some("text/plain".into());
        publication.properties.correlation_data = Some(b"\x00\xff".to_vec());
        publication.properties.user_properties = vec![("k".into(), "v".into())];
        driver.publish(publication).unwrap();
        let message = next_message(&mut driver);
        assert_eq!(message.topic, "p/1");
        assert_eq!(message.properties.content_type.as_deref(), Some("text/plain"));
        assert_eq!(message.properties.correlation_data.as_deref(), Some(&b"\x00\xff"[..]));
        assert_eq!(message.properties.user_properties, [("k".into(), "v".into())]);
    }
}

#[test]
fn will_is_published_after_an_abort_and_not_after_a_disconnect() {
    let server = Server::start();
    let mut watcher = connect(&server, Options::new(Version::V5, "watcher"));
    subscribe(&mut watcher, "will/#", QoS::AtLeastOnce);
    let mortal = |client_id: &str| {
        let mut options = Options::new(Version::V311, client_id);
        let topic = format!("will/{client_id}");
        options.will = Some(Will::new(Publication::new(topic, "gone", QoS::AtLeastOnce)));
        connect(&server, options)
    };
    mortal("polite").disconnect(&Farewell::default()).unwrap();
    mortal("rude").abort();
    assert_eq!(next_message(&mut watcher).topic, "will/rude", "and none of the other before it");
}

#[test]
fn keep_alive_holds_an_idle_connection_open() {
    let server = Server::start();
    let mut driver = connect(&server, Options { keep_alive_s: 1, ..Options::new(Version::V311, "idle") });
    assert_eq!(driver.next_event(Duration::from_millis(3_500)).unwrap(), None, "three pings, no end");
    assert!(driver.client().is_online());
}

#[test]
fn session_is_resumed_and_missed_messages_arrive() {
    let server = Server::start();
    for version in [Version::V311, Version::V5] {
        let options = reconnecting(version, "resumed");
        let mut subscriber = connect(&server, options.clone());
        subscribe(&mut subscriber, "missed", QoS::ExactlyOnce);
        subscriber.abort();
        drop(subscriber);
        let mut publisher = connect(&server, Options::new(version, "publisher"));
        for number in 0..10 {
            let publication = Publication::new("missed", number.to_string(), QoS::ExactlyOnce);
            publisher.publish_and_wait(publication, PATIENCE).unwrap();
        }
        let mut subscriber = Driver::connect(server.target(), options, 1).unwrap();
        assert!(matches!(next(&mut subscriber), Event::Connected { session_present: true, .. }));
        for number in 0..10 {
            assert_eq!(next_message(&mut subscriber).payload, number.to_string().as_bytes());
        }
        subscriber
            .disconnect(&Farewell { session_expiry_interval_s: Some(0), ..Farewell::default() })
            .unwrap();
    }
}

#[test]
fn publications_wait_for_a_server_that_restarts() {
    let mut server = Server::start();
    let mut driver = connect(&server, reconnecting(Version::V5, "patient"));
    server.stop();
    let ended = next(&mut driver);
    assert!(
        matches!(ended, Event::Disconnected { reason: Disconnection::Lost, reconnect_at: Some(_) }),
        "{ended:?}"
    );
    let token = driver.publish(Publication::new("later", "x", QoS::AtLeastOnce)).unwrap();
    assert!(matches!(next(&mut driver), Event::Disconnected { reason: Disconnection::Unreachable, .. }));
    server.restart();
    let published = loop {
        match next(&mut driver) {
            Event::Published { token, .. } => break token,
            Event::Connected { session_present, .. } => {
                assert!(!session_present, "a new server knows nobody")
            }
            _ => {}
        }
    };
    assert_eq!(published, token);
}

#[test]
fn closed_port_is_unreachable() {
    // Port 1 belongs to a service that nobody has run for decades, and is not among those given out to tests.
    let refused = Driver::connect(Target::new("127.0.0.1", 1), Options::new(Version::V311, "c"), 1);
    let error = refused.err().unwrap();
    assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().starts_with("cannot reach 127.0.0.1:1: "), "{error}");
}

#[test]
fn server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
    let hasty = Options { answer_timeout: Duration::from_millis(100), ..Options::new(Version::V311, "c") };
    let begun = Instant::now();
    let accepting = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    });
    let error = Driver::connect(target, hasty, 1).err().unwrap();
    assert!(matches!(error, Error::Disconnected(Disconnection::NoAnswer("CONNACK"))), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    accepting.join().unwrap();
}

#[test]
fn reason_of_a_server_that_closes_at_once_is_not_lost() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
    let refusing = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"\x20\x02\x00\x05").unwrap();
    });
    let error = Driver::connect(target, Options::new(Version::V311, "c"), 1).err().unwrap();
    let reason = ReasonCode::NotAuthorized;
    assert!(
        matches!(&error, Error::Disconnected(Disconnection::Refused { reason: given, .. }) if *given == reason),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "the server refused the connection: Not authorized (0x87)");
    refusing.join().unwrap();
}

#[test]
fn next_event_returns_when_the_time_is_over() {
    let server = Server::start();
    let mut driver = connect(&server, Options::new(Version::V311, "waiting"));
    let begun = Instant::now();
    assert_eq!(driver.next_event(Duration::from_millis(50)).unwrap(), None);
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert!(begun.elapsed() < Duration::from_secs(5));
}
