//! The driver through every transport that mosquitto has: unix, WebSocket, TLS, and the last two together.

use std::path::{Path, PathBuf};

use client::{
    Driver, Error, Event, Options, Publication, QoS, Subscription, Target, Tls, TlsError, TlsOptions, Version,
};

use crate::authority::path;
use crate::server::Server;
use crate::{PATIENCE, connect_to, next_message, subscribe};

fn tls_settings(certificate: &str) -> String {
    let [ca, certificate, key] =
        ["ca.pem".to_owned(), format!("{certificate}.pem"), format!("{certificate}.key")]
            .map(|name| path(&name));
    format!("cafile {}\ncertfile {}\nkeyfile {}\n", ca.display(), certificate.display(), key.display())
}

fn socket(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

/// Some builds of mosquitto end at once where all listeners are WebSocket.
fn listener(socket: &Path) -> String {
    format!("listener 0 {}\n", socket.display())
}

fn trusting(ca: &str) -> TlsOptions {
    TlsOptions { ca_file: Some(path(ca)), ..TlsOptions::default() }
}

fn target(server: &Server, options: &TlsOptions) -> Target {
    let tls = Tls::new(options).unwrap();
    Target { tls: Some(tls), ..Target::new("localhost", server.port) }
}

/// What the user reads.
fn refusal(target: Target) -> String {
    let options = Options::new(Version::V5, "refused");
    let error = Driver::connect(target, options, 1).expect_err("there is no connection");
    assert!(matches!(error, Error::Unreachable { .. } | Error::Broken(_)), "{error:?}");
    error.to_string()
}

/// Small and large messages, more than any buffer on the way holds, in both directions at once.
pub fn exchange(target: Target) {
    exchange_of(target, &[0, 1, 100, 126, 65_536, 3_000_000, 2, 3_000_000, 3_000_000]);
}

fn exchange_of(target: Target, sizes: &[u32]) {
    let mut driver = connect_to(target, Options::new(Version::V5, "transports"));
    subscribe(&mut driver, "t/#", QoS::ExactlyOnce);
    let payloads: Vec<Vec<u8>> =
        sizes.iter().map(|len| (0..*len).map(|at| (at % 251) as u8).collect()).collect();
    for payload in &payloads {
        driver.publish(Publication::new("t/x", payload.clone(), QoS::ExactlyOnce)).unwrap();
    }
    for payload in &payloads {
        assert!(next_message(&mut driver).payload == *payload, "{} bytes", payload.len());
    }
    driver.disconnect(&client::Farewell::default()).unwrap();
}

#[test]
fn messages_cross_a_unix_socket() {
    let socket = socket("unix");
    let _server = Server::start_with(listener(&socket));
    exchange(Target::unix(&socket));
    let missing = refusal(Target::unix("/nowhere/at all"));
    assert!(missing.starts_with("cannot reach /nowhere/at all: "), "{missing}");
}

#[test]
fn messages_cross_websocket() {
    let server = Server::start_with("protocol websockets\n".to_owned() + &listener(&socket("beside-ws")));
    exchange_of(Target { websocket: Some("/mqtt".to_owned()), ..server.target() }, WEBSOCKET_SIZES);
}

#[test]
fn messages_cross_tls_of_both_versions() {
    let server = Server::start_with(tls_settings("server"));
    exchange(target(&server, &trusting("ca.pem")));
    exchange(target(&server, &TlsOptions { only_1_3: true, ..trusting("ca.pem") }));
    let by_address = Target { tls: Some(Tls::new(&trusting("ca.pem")).unwrap()), ..server.target() };
    exchange(by_address);
    let server = Server::start_with(tls_settings("server") + "tls_version tlsv1.2\nciphers ECDHE+AESGCM\n");
    exchange(target(&server, &trusting("ca.pem")));
}

#[test]
fn messages_cross_websocket_within_tls() {
    let server = Server::start_with(
        tls_settings("server") + "protocol websockets\n" + &listener(&socket("beside-wss")),
    );
    let target = Target { websocket: Some("/".to_owned()), ..target(&server, &trusting("ca.pem")) };
    exchange_of(target, WEBSOCKET_SIZES);
}

#[test]
fn a_directory_of_authorities_is_read() {
    let server = Server::start_with(tls_settings("server"));
    let options =
        TlsOptions { ca_path: Some(crate::authority::directory().to_owned()), ..TlsOptions::default() };
    exchange(target(&server, &options));
}

#[test]
fn who_is_not_trusted_is_not_spoken_to() {
    let server = Server::start_with(tls_settings("server"));
    let told = refusal(target(&server, &trusting("other-ca.pem")));
    assert!(told.contains("invalid peer certificate: UnknownIssuer"), "{told}");
    let any_name = TlsOptions { any_name: true, ..trusting("other-ca.pem") };
    let told = refusal(target(&server, &any_name));
    assert!(told.contains("UnknownIssuer"), "any name is not any authority: {told}");
}

#[test]
fn a_certificate_of_another_name_is_taken_only_on_request() {
    let server = Server::start_with(tls_settings("elsewhere"));
    let told = refusal(target(&server, &trusting("ca.pem")));
    assert!(told.contains("not valid for name"), "{told}");
    exchange(target(&server, &TlsOptions { any_name: true, ..trusting("ca.pem") }));
}

#[test]
fn a_server_that_asks_who_is_there_gets_a_certificate() {
    let server = Server::start_with(tls_settings("server") + "require_certificate true\n");
    let told = refusal(target(&server, &trusting("ca.pem")));
    assert!(told.contains("CertificateRequired") || told.contains("HandshakeFailure"), "{told}");
    let identity = Some((path("client.pem"), path("client.key")));
    exchange(target(&server, &TlsOptions { identity, ..trusting("ca.pem") }));
}

#[test]
fn a_connection_that_is_lost_is_made_again() {
    let mut server = Server::start_with(tls_settings("server"));
    let options = crate::reconnecting(Version::V5, "again");
    let mut driver = connect_to(target(&server, &trusting("ca.pem")), options);
    server.restart();
    while !matches!(crate::next(&mut driver), Event::Connected { .. }) {}
    let reasons = driver.subscribe_and_wait(Subscription::new("a", QoS::AtMostOnce), PATIENCE).unwrap();
    assert_eq!(reasons.len(), 1);
}

#[test]
fn files_that_do_not_fit_are_named() {
    let told = |options: TlsOptions| Tls::new(&options).expect_err("no TLS").to_string();
    let missing = told(trusting("missing.pem"));
    assert!(missing.starts_with("cannot read ") && missing.contains("missing.pem"), "{missing}");
    let key = told(trusting("ca.key"));
    assert!(key.contains("ca.key: no certificate in PEM"), "{key}");
    let identity = Some((path("client.pem"), path("ca.pem")));
    let swapped = told(TlsOptions { identity, ..trusting("ca.pem") });
    assert!(swapped.contains("no private key in PEM"), "{swapped}");
    let identity = Some((path("client.pem"), path("server.key")));
    let other = Tls::new(&TlsOptions { identity, ..trusting("ca.pem") });
    assert!(matches!(other, Err(TlsError::Refused(_))), "a key of another certificate: {other:?}");
}

// Larger messages stay in mosquitto 2.0.11 over WebSocket, whoever sends them; `upgrades.rs` has those.
const WEBSOCKET_SIZES: &[u32] = &[0, 1, 100, 126, 10_000, 65_000, 65_536, 100_000];
