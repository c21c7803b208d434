//! Large sends, slow readers and the last bytes of a connection.

use std::{
    io::{ErrorKind, Read, Write},
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use super::{
    client::{HANGS, ask, await_that, config, connect, echoing, start},
    script::pattern,
};
use crate::Config;

fn request(kind: u8, len: u32) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&len.to_be_bytes());
    bytes
}

#[test]
fn a_slow_reader_gets_all_bytes_and_delays_nobody() {
    let (broker, _) = start(config(1));
    let len = 20_000_000;
    let mut slow = connect(&broker);
    slow.write_all(&request(b'B', len)).unwrap();
    let mut quick = echoing(&broker);
    for n in 0..200_u8 {
        assert_eq!(ask(&mut quick, &[n], 1), [n]);
    }
    let mut bytes = Vec::new();
    let mut piece = vec![0; 50_000];
    while bytes.len() < len as usize {
        let got = slow.read(&mut piece).unwrap();
        assert!(got > 0, "the connection stays");
        bytes.extend_from_slice(&piece[..got]);
        // Somebody else has a turn between the short sends.
        assert_eq!(ask(&mut quick, b"x", 1), b"x");
    }
    assert!(bytes == pattern(len as usize), "no byte is lost, doubled or moved");
    assert_eq!(ask(&mut slow, b"E", 1), b"E");
}

#[test]
fn closing_while_a_send_is_outstanding_loses_no_byte() {
    let (broker, observed) = start(config(2));
    let len = 5_000_000;
    let mut stream = connect(&broker);
    stream.write_all(&request(b'Q', len)).unwrap();
    // Unread bytes in a closed socket would end the connection with a reset, and the last bytes with it.
    stream.write_all(&[0; 1000]).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert!(bytes == pattern(len as usize));
    drop(stream);
    await_that("the connection is gone", || broker.connections() == 0);
    assert_eq!((observed.sent.load(SeqCst), observed.unsent.load(SeqCst)), (1, 0));
}

#[test]
fn a_closed_connection_that_reads_nothing_ends_with_the_linger_time() {
    let (broker, observed) = start(Config { linger: Duration::from_millis(200), ..config(1) });
    let start = Instant::now();
    let mut stream = connect(&broker);
    stream.write_all(&request(b'Q', 50_000_000)).unwrap();
    await_that("the connection was opened", || broker.connections() == 1);
    await_that("the connection is gone", || broker.connections() == 0);
    assert!(start.elapsed() >= Duration::from_millis(200));
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes);
    assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    assert!(bytes.len() < 50_000_000);
    await_that("it is told", || observed.unsent.load(SeqCst) == 1);
    let taken_bytes = observed.taken_bytes.load(SeqCst);
    assert!(taken_bytes >= bytes.len() && taken_bytes < 50_000_000, "{taken_bytes}, {} read", bytes.len());
}

#[test]
fn a_closed_connection_whose_peer_stays_ends_with_the_linger_time() {
    let (broker, _) = start(Config { linger: Duration::from_millis(100), ..config(1) });
    let mut stream = connect(&broker);
    stream.write_all(b"X").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "our side has ended");
    await_that("the connection is gone", || broker.connections() == 0);
}

#[test]
fn a_peer_that_ends_its_side_still_gets_what_is_under_way() {
    let (broker, observed) = start(config(1));
    let len = 10_000_000;
    let mut stream = connect(&broker);
    stream.write_all(&request(b'B', len)).unwrap();
    // The answer has begun when its first byte is here.
    let mut first = [0];
    stream.read_exact(&mut first).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest == pattern(len as usize)[1..]);
    await_that("the connection is gone", || broker.connections() == 0);
    assert_eq!((observed.sent.load(SeqCst), observed.unsent.load(SeqCst)), (1, 0));
}

#[test]
fn a_reader_that_vanishes_during_a_send_is_closed() {
    let (broker, observed) = start(config(1));
    for _ in 0..20 {
        let mut stream = connect(&broker);
        stream.write_all(&request(b'B', 10_000_000)).unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        drop(stream);
    }
    let start = Instant::now();
    await_that("the connections are gone", || broker.connections() == 0);
    assert!(start.elapsed() < HANGS);
    await_that("what became of their bytes is told", || observed.unsent.load(SeqCst) == 20);
    let taken_bytes = observed.taken_bytes.load(SeqCst);
    assert!((20 * 100..20 * 10_000_000).contains(&taken_bytes), "{taken_bytes}");
    assert_eq!(observed.sent.load(SeqCst), 0);
}
