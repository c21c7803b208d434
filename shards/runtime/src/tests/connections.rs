//! Connections come and go: many at once, many in a row, more than may be.

use std::{
    io::{Read, Write},
    sync::atomic::Ordering::SeqCst,
    thread,
};

use super::{
    client::{ask, await_that, config, connect, echoing, start},
    script::pattern,
};
use crate::{Config, worker::BYTES_MAX};

#[test]
fn every_number_of_shards_echoes() {
    for shards in [1, 2, 4, 7] {
        let (broker, _) = start(config(shards));
        let mut streams: Vec<_> = (0..40).map(|_| echoing(&broker)).collect();
        for round in 0..50_u8 {
            for (n, stream) in streams.iter_mut().enumerate() {
                let bytes = [round, n as u8, 7];
                assert_eq!(ask(stream, &bytes, 3), bytes);
            }
        }
        assert_eq!(broker.connections(), 40);
    }
}

#[test]
fn thousands_of_connections_live_and_leave_nothing() {
    let (broker, observed) = start(config(4));
    let mut streams: Vec<_> = (0..3000).map(|_| echoing(&broker)).collect();
    assert_eq!(broker.connections(), 3000);
    for stream in &mut streams {
        assert_eq!(ask(stream, b"again", 5), b"again");
    }
    drop(streams);
    await_that("all connections are closed", || broker.connections() == 0);
    await_that("every end is told", || observed.closed.load(SeqCst) == 3000);
}

#[test]
fn churn_uses_slots_again_but_never_names() {
    // The script asserts that no name comes twice and that no event names a connection that is gone.
    let (broker, observed) = start(config(2));
    thread::scope(|scope| {
        for worker in 0..8 {
            let broker = &broker;
            scope.spawn(move || {
                for n in 0..400 {
                    let mut stream = echoing(broker);
                    match (worker + n) % 4 {
                        // Gone while something is under way in both directions.
                        0 => drop(stream.write_all(&[1; 10_000])),
                        1 => stream.shutdown(std::net::Shutdown::Both).unwrap(),
                        _ => assert_eq!(ask(&mut stream, b"x", 1), b"x"),
                    }
                }
            });
        }
    });
    await_that("all connections are closed", || broker.connections() == 0);
    assert_eq!(observed.opened.load(SeqCst), 3200);
    // A seat is given back a moment before the script hears of the end.
    await_that("every end is told", || observed.closed.load(SeqCst) == 3200);
}

#[test]
fn beyond_the_limit_a_connection_is_opened_to_be_refused_and_beyond_the_reserve_it_is_closed() {
    let (broker, observed) = start(Config { max_connections: 10, ..config(2) });
    let streams: Vec<_> = (0..74).map(|_| echoing(&broker)).collect();
    assert_eq!(observed.refused.load(SeqCst), 64);
    let mut beyond = connect(&broker);
    assert!(matches!(beyond.read(&mut [0]), Ok(0) | Err(_)), "there is no seat left");
    await_that("who gets no seat is counted", || observed.turned_away.load(SeqCst) == 1);
    drop(streams);
    await_that("the seats are given back", || broker.connections() == 0);
    drop(echoing(&broker));
    assert_eq!(observed.refused.load(SeqCst), 64);
}

#[test]
fn few_receive_buffers_serve_many_connections_that_all_send() {
    let small = Config { receive_buffers: 8, receive_buffer_bytes: 64, ..config(1) };
    let (broker, _) = start(small);
    thread::scope(|scope| {
        for worker in 0..20_u8 {
            let broker = &broker;
            scope.spawn(move || {
                let mut stream = echoing(broker);
                let bytes = vec![worker; 10_000];
                for _ in 0..20 {
                    assert_eq!(ask(&mut stream, &bytes, bytes.len()), bytes);
                }
            });
        }
    });
}

#[test]
fn a_flood_ends_a_turn_and_loses_nothing() {
    let large = Config { receive_buffers: 1024, receive_buffer_bytes: 8192, ..config(1) };
    let (broker, observed) = start(large);
    let len = 8_000_000;
    let mut streams: Vec<_> = (0..8).map(|_| echoing(&broker)).collect();
    thread::scope(|scope| {
        for stream in &mut streams {
            let mut writer = stream.try_clone().unwrap();
            scope.spawn(move || writer.write_all(&pattern(len)).unwrap());
            scope.spawn(move || {
                let mut echo = vec![0; len];
                stream.read_exact(&mut echo).unwrap();
                assert!(echo == pattern(len), "what a turn leaves comes next, in order");
            });
        }
    });
    let turn_bytes = observed.turn_bytes_max.load(SeqCst);
    assert!(turn_bytes < BYTES_MAX + 8192, "one turn took {turn_bytes} bytes");
}
