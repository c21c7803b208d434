//! The layers without sockets: whatever bytes come, in whatever pieces, nothing panics, memory stays bounded, and what is over is over.

use std::{net::Ipv4Addr, sync::Arc};

use super::layered::Keys;
use crate::{
    Door,
    door::{Place, Speech},
    stack::{HELD_BYTES_MAX, Stack},
};
use proptest::prelude::*;
use rustls::ClientConnection;

fn door(keys: &Keys, is_proxied: bool, is_sealed: bool, speech: Speech) -> Door {
    Door {
        proxies: is_proxied.then(|| vec![transport::Prefix::of(Ipv4Addr::LOCALHOST.into())].into()),
        tls: is_sealed.then(|| Arc::clone(&keys.server)),
        speech,
        ..Door::plain(Place::Tcp((Ipv4Addr::LOCALHOST, 0).into()))
    }
}

fn doors(keys: &Keys) -> Vec<Door> {
    let mut doors = Vec::new();
    for speech in [Speech::Mqtt, Speech::WebSocket, Speech::Any] {
        for (is_proxied, is_sealed) in [(false, false), (false, true), (true, false), (true, true)] {
            doors.push(door(keys, is_proxied, is_sealed, speech));
        }
    }
    doors
}

/// Beginnings of everything that can begin here, some of them broken.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let record =
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40), 0..3_u8).prop_map(|(kind, body, more)| {
            let kind = 20 + kind % 5;
            [&[kind, 3, 1 + more, 0, body.len() as u8], &body[..]].concat()
        });
    let handshake = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..30)).prop_map(|(kind, body)| {
        let kind = [1, 2, 11, 16, 20, 24][usize::from(kind) % 6];
        [&[22, 3, 3, 0, body.len() as u8 + 4, kind, 0, 0, body.len() as u8], &body[..]].concat()
    });
    prop_oneof![
        3 => record,
        3 => handshake,
        1 => Just(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec()),
        1 => Just(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\0\0\x01\x0a\0\0\x02\0\x01\0\x02".to_vec()),
        1 => Just(REQUEST.to_vec()),
        1 => Just(b"\x10\x0e\0\x04MQTT\x04\x02\0\0\0\x02id".to_vec()),
        2 => Just(b"\x82\x82\0\0\0\0\xc0\0".to_vec()),
        1 => Just(b"\x89\xfd\0\0\0\0".to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..50),
    ]
}

/// Where a stream is cut.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..400_usize, 0..8)
}

fn pieces<'a>(stream: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|two| &stream[two[0]..two[1]]).collect()
}

/// The client's half of TLS up to the moment in which it may speak, with bytes of it changed on the way.
fn shake(stack: &mut Stack, client: &mut ClientConnection, cuts: &[usize], spoiled: Option<(usize, u8)>) {
    let mut sent = 0;
    for _ in 0..ROUNDS_MAX {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).unwrap();
        }
        for (at, byte) in flight.iter_mut().enumerate() {
            if let Some((place, bits)) = spoiled
                && place == sent + at
            {
                *byte ^= bits;
            }
        }
        sent += flight.len();
        pieces(&flight, cuts).into_iter().for_each(|piece| stack.receive(piece));
        let answer = stack.output();
        if answer.is_empty() && flight.is_empty() {
            return;
        }
        // The broker's own alert ends it for the client as well.
        let _ = client.read_tls(&mut answer.as_slice());
        let _ = client.process_new_packets();
    }
}

#[test]
fn a_handshake_that_fails_in_its_middle_is_answered_with_an_alert_and_over() {
    let keys = Keys::new();
    // Each leaves a message begun behind it, or a whole one that nobody waits for.
    for (bytes, is_told) in [
        (&[20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 4, 20, 0, 0, 0][..], true),
        (&[22, 3, 1, 0, 4, 20, 0, 0, 0, 22, 3, 1, 0, 1, 1], true),
        (&[22, 3, 1, 0, 6, 20, 0, 0, 0, 1, 0], true),
        // Too long for a handshake's message, for which rustls has no alert; the client's own alert, which has no answer.
        (&[22, 3, 1, 0, 4, 1, 0xFF, 0xFF, 0xFF], false),
        (&[22, 3, 1, 0, 2, 1, 0, 21, 3, 1, 0, 2, 2, 40], false),
    ] {
        for size in [bytes.len(), 1, 7] {
            let mut stack = Stack::new(door(&keys, false, true, Speech::Mqtt));
            bytes.chunks(size).for_each(|piece| stack.receive(piece));
            assert!(stack.is_over, "{bytes:?} in pieces of {size}");
            assert_eq!(stack.output().first(), is_told.then_some(&21), "{bytes:?} in pieces of {size}");
            stack.receive(bytes);
            stack.finish();
            assert!(stack.output().is_empty() && stack.plain.is_empty());
        }
    }
}

#[test]
fn a_websocket_in_tls_behind_a_proxy_brings_out_what_went_in() {
    let keys = Keys::new();
    let mut stack = Stack::new(door(&keys, true, true, Speech::Any));
    let mut client = keys.begin();
    stack.receive(b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n");
    use std::io::Write;
    client.writer().write_all(&[REQUEST, b"\x82\x82\0\0\0\0\xc0\0"].concat()).unwrap();
    shake(&mut stack, &mut client, &[1, 2, 3, 100], None);
    assert!(!stack.is_over && stack.is_established());
    assert_eq!(stack.plain, b"\xc0\0");
    assert_eq!(stack.source(), Some(Ipv4Addr::new(10, 0, 0, 1).into()));
}

#[test]
fn what_comes_before_the_end_of_a_websocket_counts_and_is_answered_before_ours() {
    let close = b"\x88\x82\0\0\0\0\x03\xe8";
    // A DISCONNECT and the close at once, a PINGREQ and a frame that is none, and what is behind them.
    for (last, answer) in [(&close[..], &b"\x88\x02\x03\xe8"[..]), (b"\xf2\x80\0\0\0\0", b"\x88")] {
        let mut stack = Stack::new(door(Keys::shared(), false, false, Speech::WebSocket));
        stack.receive(REQUEST);
        stack.output();
        stack.receive(&[b"\x82\x82\0\0\0\0\xe0\0", last, b"\x89\x80\0\0\0\0"].concat());
        stack.receive(b"\x82\x82\0\0\0\0\xe0\0");
        assert!(!stack.is_over);
        assert_eq!(stack.plain, b"\xe0\0");
        stack.say(b"\xd0\0");
        assert!(stack.leave() && !stack.leave());
        let output = stack.output();
        assert!(output.starts_with(&[b"\x82\x02\xd0\0", answer].concat()), "{output:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_do_no_harm(
        parts in prop::collection::vec(piece(), 1..8), cuts in cuts(), which in 0..12_usize,
    ) {
        let keys = Keys::shared();
        let mut stack = Stack::new(doors(keys).swap_remove(which));
        for piece in pieces(&parts.concat(), &cuts) {
            stack.receive(piece);
            assert!(stack.bytes_held() <= HELD_BYTES_MAX, "{}", stack.bytes_held());
            stack.say(b"\xd0\0");
            stack.leave();
        }
        stack.finish();
        stack.receive(b"\x16\x03\x01");
    }

    #[test]
    fn a_handshake_with_bytes_changed_on_its_way_does_no_harm(
        cuts in cuts(), place in 0..2500_usize, bits in 1..=u8::MAX, inside in prop::collection::vec(piece(), 0..4),
        which in 0..3_usize,
    ) {
        let keys = Keys::shared();
        let speech = [Speech::Mqtt, Speech::WebSocket, Speech::Any][which];
        let mut stack = Stack::new(door(keys, false, true, speech));
        let mut client = keys.begin();
        use std::io::Write;
        client.writer().write_all(&inside.concat()).unwrap();
        shake(&mut stack, &mut client, &cuts, Some((place, bits)));
        stack.say(b"\xd0\0");
        stack.finish();
        stack.receive(&inside.concat());
    }
}

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// More than any handshake takes.
const ROUNDS_MAX: usize = 20;
