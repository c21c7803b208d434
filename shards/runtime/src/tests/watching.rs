//! Clients that go while they are not read.

use std::{
    io::Write,
    net::TcpStream,
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::client::{ask, await_that, config, connect, echoing, start};
use crate::Broker;

fn watched(broker: &Broker) -> TcpStream {
    let mut stream = connect(broker);
    assert_eq!(ask(&mut stream, b"L", 1), b"L");
    stream
}

#[test]
fn the_end_of_who_is_not_read_is_noticed_and_all_that_came_before_it_is_read() {
    let (broker, observed) = start(config(2));
    for n in 1..=20 {
        let mut stream = watched(&broker);
        // No more than the socket takes while nobody reads. The answers find nobody.
        stream.write_all(&[7; 30_000]).unwrap();
        drop(stream);
        await_that("the end is told", || observed.closed.load(SeqCst) == n);
        assert_eq!(observed.leaving.load(SeqCst), n);
        assert_eq!(observed.late_bytes.load(SeqCst), n * 30_000);
    }
    assert_eq!(broker.connections(), 0);
}

#[test]
fn who_cuts_its_connection_while_it_is_not_read_gives_its_seat_back() {
    let (broker, observed) = start(config(1));
    let mut stream = watched(&broker);
    stream.write_all(&[7; 10_000]).unwrap();
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    await_that("the end is told", || observed.closed.load(SeqCst) == 1 && broker.connections() == 0);
}

#[test]
fn who_stays_is_not_read_and_the_broker_ends_all_the_same() {
    let (broker, observed) = start(config(1));
    let mut streams: Vec<_> = (0..10).map(|_| watched(&broker)).collect();
    streams.iter_mut().for_each(|stream| stream.write_all(b"more").unwrap());
    let mut other = echoing(&broker);
    (0..100).for_each(|_| assert_eq!(ask(&mut other, b"x", 1), b"x"));
    assert_eq!((observed.leaving.load(SeqCst), observed.late_bytes.load(SeqCst)), (0, 0));
    let begun = Instant::now();
    drop(broker);
    // Operations that do not end are given up after two seconds.
    assert!(begun.elapsed() < Duration::from_millis(1500), "it took {:?}", begun.elapsed());
}
