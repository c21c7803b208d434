//! Versions, suites and what else a ClientHello offers: what is refused, by which alert, and everything that is ever chosen.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::Instant;

use e2e::PATIENCE;

use super::Sealed;
use e2e::hello::{
    ALERT_HANDSHAKE_FAILURE, ALERT_ILLEGAL_PARAMETER, ALERT_PROTOCOL_VERSION, Answer, Chosen, Hello, SSL_3_0,
    TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3, answer,
};

#[track_caller]
fn chosen(hello: &Hello, port: u16) -> Chosen {
    match hello.ask(port) {
        Answer::Hello(chosen) => chosen,
        other => panic!("a ServerHello was expected, not {other:?}"),
    }
}

/// Every suite that a server chooses when it is offered all there can be, the best one first.
fn suites(hello: &Hello, port: u16) -> Vec<u16> {
    let mut found = Vec::new();
    let signals = BTreeSet::from([RENEGOTIATION_SIGNAL, FALLBACK_SIGNAL]);
    let all: Vec<u16> = (0..=u16::MAX).filter(|suite| !signals.contains(suite)).collect();
    for part in all.chunks(SUITES_AT_ONCE) {
        let mut offered = part.to_vec();
        loop {
            match (Hello { suites: offered.clone(), ..hello.clone() }).ask(port) {
                Answer::Hello(chosen) => {
                    assert!(offered.contains(&chosen.suite), "{:#06x} was not offered", chosen.suite);
                    offered.retain(|suite| *suite != chosen.suite);
                    found.push(chosen.suite);
                }
                Answer::Alert(ALERT_HANDSHAKE_FAILURE) => break,
                other => panic!("{other:?}"),
            }
        }
    }
    found
}

#[test]
fn versions_before_1_2_are_refused_with_the_alert_for_it() {
    let sealed = Sealed::start("tls-versions", "");
    for door in ["tls", "wss", "any"] {
        let port = sealed.port(door);
        for version in [TLS_1_0, TLS_1_1] {
            let answer = Hello::of(version).ask(port);
            assert_eq!(answer, Answer::Alert(ALERT_PROTOCOL_VERSION), "{version:#06x} at {door}");
        }
        // SSL 3.0 has no alert for versions.
        assert_eq!(Hello::of(SSL_3_0).ask(port), Answer::Alert(ALERT_HANDSHAKE_FAILURE), "{door}");
        assert_eq!(chosen(&Hello::of(TLS_1_2), port).version, TLS_1_2);
        assert_eq!(chosen(&Hello::of(TLS_1_3), port).version, TLS_1_3);
    }
}

#[test]
fn the_newest_version_that_both_speak_is_chosen() {
    let sealed = Sealed::start("tls-newest", "");
    let port = sealed.port("tls");
    // Versions that do not exist, as browsers offer them to keep servers tolerant, and one of the future.
    for supported_versions in [vec![0x0A0A, TLS_1_3, TLS_1_2], vec![0x0305, TLS_1_3], vec![TLS_1_2, TLS_1_3]]
    {
        let hello = Hello {
            supported_versions,
            suites: [Hello::of(TLS_1_2).suites, Hello::of(TLS_1_3).suites].concat(),
            ..Hello::of(TLS_1_3)
        };
        assert_eq!(chosen(&hello, port).version, TLS_1_3);
    }
    // A message of a later version than there is, without the extension that names versions.
    let later = Hello { version: 0x0399, ..Hello::of(TLS_1_2) };
    let older = chosen(&later, port);
    assert_eq!(older.version, TLS_1_2);
    assert!(older.random.ends_with(b"DOWNGRD\x01"), "who was talked out of 1.3 can see it");
}

#[test]
fn nothing_before_1_3_is_spoken_where_the_configuration_says_so() {
    let sealed = Sealed::start("tls-strict", "min_version = \"1.3\"\n");
    let port = sealed.port("tls");
    for version in [TLS_1_0, TLS_1_1, TLS_1_2] {
        assert_eq!(Hello::of(version).ask(port), Answer::Alert(ALERT_PROTOCOL_VERSION), "{version:#06x}");
    }
    for (version, told) in [
        (TLS_1_1, "TLS 1.1 at the newest"),
        (TLS_1_2, "TLS 1.2 at the newest, and 1.3 is the oldest that is spoken here (tls.min_version"),
    ] {
        let deadline = Instant::now() + PATIENCE;
        // A shard has one such line a second.
        while !sealed.broker.process.says(told) {
            assert!(Instant::now() < deadline, "{told}");
            assert_eq!(Hello::of(version).ask(port), Answer::Alert(ALERT_PROTOCOL_VERSION));
        }
    }
    assert_eq!(chosen(&Hello::of(TLS_1_3), port).version, TLS_1_3);
}

#[test]
fn of_all_suites_only_those_with_forward_secrecy_and_authenticated_encryption_are_chosen() {
    let sealed = Sealed::start("tls-suites", "");
    let port = sealed.port("tls");
    assert_eq!(sorted(suites(&Hello::of(TLS_1_2), port)), ECDSA_1_2);
    assert_eq!(sorted(suites(&Hello::of(TLS_1_3), port)), ALL_1_3);
    let rsa = Sealed::with_rsa("tls-suites-rsa");
    let port = rsa.port("tls");
    assert_eq!(sorted(suites(&Hello::of(TLS_1_2), port)), RSA_1_2);
    assert_eq!(sorted(suites(&Hello::of(TLS_1_3), port)), ALL_1_3);
}

#[test]
fn nothing_is_compressed_and_no_heartbeat_is_agreed_on() {
    let sealed = Sealed::start("tls-compression", "");
    let port = sealed.port("tls");
    let deflate = Hello { compressions: vec![1, 0], ..Hello::of(TLS_1_2) };
    let agreed = chosen(&deflate, port);
    assert_eq!(agreed.compression, 0);
    assert!(agreed.extensions.contains(&0xFF01), "secure renegotiation is announced: {agreed:?}");
    assert!(!agreed.extensions.contains(&HEARTBEAT), "{agreed:?}");
    for hello in [Hello::of(TLS_1_2), Hello::of(TLS_1_3)] {
        let only = Hello { compressions: vec![1], ..hello };
        assert_eq!(only.ask(port), Answer::Alert(ALERT_ILLEGAL_PARAMETER));
    }
}

#[test]
fn what_is_no_handshake_ends_the_connection_and_never_gets_a_hello() {
    let sealed = Sealed::start("tls-nonsense", "");
    let port = sealed.port("tls");
    let hello = Hello::of(TLS_1_2).records();
    for (what, bytes) in [
        ("a hello of SSL 2.0", [&[0x80, 46, 1, 0, 2, 0, 21, 0, 0, 0, 16][..], &[7; 37]].concat()),
        ("plain MQTT", b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\x02id".to_vec()),
        ("a request of HTTP", b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("application data", [&[23, 3, 3, 0, 32][..], &[9; 32]].concat()),
        ("a heartbeat", vec![24, 3, 3, 0, 3, 1, 0x40, 0]),
        ("a change of keys", vec![20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 4, 20, 0, 0, 0]),
        ("a record that is too long", [&[22, 3, 1, 0xFF, 0xFF][..], &[0; 40_000]].concat()),
        ("an empty record", [&[22, 3, 1, 0, 0][..], &hello].concat()),
        ("a hello whose length lies", vec![22, 3, 1, 0, 4, 1, 0xFF, 0xFF, 0xFF]),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // The broker may have closed before it has all.
        let _ = stream.write_all(&bytes);
        let said = answer(&mut stream);
        assert!(!matches!(said, Answer::Hello(_)), "{what}: {said:?}");
    }
    sealed.broker.await_counter("refused_tls", 9);
}

fn sorted(mut suites: Vec<u16>) -> Vec<u16> {
    suites.sort_unstable();
    suites
}

/// AES in GCM with 128 and 256 bits, ChaCha20-Poly1305; in 1.2 each with ECDHE and the server's kind of key.
const ALL_1_3: [u16; 3] = [0x1301, 0x1302, 0x1303];
const ECDSA_1_2: [u16; 3] = [0xC02B, 0xC02C, 0xCCA9];
const RSA_1_2: [u16; 3] = [0xC02F, 0xC030, 0xCCA8];

/// What stands among the suites and is none.
const RENEGOTIATION_SIGNAL: u16 = 0x00FF;
const FALLBACK_SIGNAL: u16 = 0x5600;

/// A ClientHello must have less than 64 KiB.
const SUITES_AT_ONCE: usize = 16_000;

const HEARTBEAT: u16 = 15;
