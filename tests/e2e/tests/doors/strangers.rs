//! Floods of those who never become clients: what they leave in the audit log and in the log.

use std::fs;
use std::io::Read;
use std::time::Instant;

use e2e::{
    Broker,
    hello::{Hello, TLS_1_2},
    socket::Socket,
};
use serde_json::Value;

use super::audit::audited;

/// CONNECT of a 3.1.1 client `a` without a user, and the same with a version that there is not.
const ANONYMOUS: &[u8] = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a";
const UNKNOWN_VERSION: &[u8] = b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01a";

const ATTEMPTS: u64 = 150;

/// What each shard logs of such lines before it keeps to one a second.
const LOGGED_AT_ONCE: u64 = 16;
const SHARDS: u64 = 2;

struct Flooded {
    broker: Broker,
    began: Instant,
}

impl Flooded {
    fn new(name: &str) -> Flooded {
        Flooded { broker: audited(name, ""), began: Instant::now() }
    }

    /// One after the other sends this and waits for its end.
    fn send(&self, bytes: &[u8]) {
        for _ in 0..ATTEMPTS {
            let mut socket = Socket::open(self.broker.port);
            socket.send(bytes);
            // The broker resets a connection of which it has not read everything.
            let _ = socket.stream.read_to_end(&mut Vec::new());
        }
    }

    /// The lines of the audit log and of the log once the broker has ended, and how many seconds that took, and two.
    fn end(mut self) -> (Vec<Value>, Vec<String>, u64) {
        let path = self.broker.folder().join("audit");
        self.broker.process.signal(libc::SIGTERM);
        self.broker.process.wait();
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        (lines, self.broker.process.lines(), self.began.elapsed().as_secs() + 2)
    }
}

/// One line a second, and a count of all others.
#[track_caller]
fn check_audit(lines: &[Value], event: &str, attempts: u64, lines_max: u64) {
    let those: Vec<&Value> = lines.iter().filter(|line| line["event"] == event).collect();
    assert!(those.len() as u64 <= lines_max, "{} lines of {event}", those.len());
    let told: u64 = those.iter().map(|line| line["more"].as_u64().unwrap_or(1)).sum();
    assert_eq!(told, attempts, "{those:?}");
    assert!(those.iter().all(|line| line["address"].as_str().unwrap().starts_with("127.0.0.1")), "{those:?}");
}

#[track_caller]
fn check_log(lines: &[String], text: &str, lines_max: u64) {
    let count = lines.iter().filter(|line| line.contains(text)).count() as u64;
    assert!((1..=lines_max).contains(&count), "{count} lines with {text:?}");
}

#[test]
fn empty_connections_leave_no_line() {
    let flooded = Flooded::new("flood-empty");
    for _ in 0..ATTEMPTS {
        drop(Socket::open(flooded.broker.port));
    }
    flooded.broker.await_counter("connections_closed", ATTEMPTS);
    let (audit, log, _) = flooded.end();
    assert!(audit.is_empty(), "{audit:?}");
    assert!(!log.iter().any(|line| line.contains("disconnected")), "{log:?}");
}

#[test]
fn other_protocols_at_a_plain_listener_are_a_line_a_second_and_a_count() {
    let flooded = Flooded::new("flood-protocols");
    flooded.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..ATTEMPTS {
        drop(Hello::of(TLS_1_2).ask(flooded.broker.port));
    }
    let (audit, log, lines_max) = flooded.end();
    check_audit(&audit, "violation", 2 * ATTEMPTS, lines_max);
    check_log(&log, "protocol violation", SHARDS * (LOGGED_AT_ONCE + lines_max));
    assert!(audit.iter().all(|line| line["event"] != "disconnected"), "{audit:?}");
}

#[test]
fn refused_connects_are_a_line_a_second_and_a_count() {
    let flooded = Flooded::new("flood-refused");
    flooded.send(UNKNOWN_VERSION);
    flooded.send(ANONYMOUS);
    let (audit, log, lines_max) = flooded.end();
    check_audit(&audit, "refused", 2 * ATTEMPTS, lines_max);
    check_log(&log, " refused", SHARDS * (LOGGED_AT_ONCE + lines_max));
    assert!(audit.iter().all(|line| line["event"] != "disconnected"), "{audit:?}");
}

#[test]
fn what_the_log_left_out_is_told_although_nobody_else_comes() {
    let flooded = Flooded::new("flood-over");
    flooded.send(UNKNOWN_VERSION);
    flooded.broker.process.await_text("lines were left out, too many come: ");
}
