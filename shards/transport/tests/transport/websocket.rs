//! Frames by tables of bytes: what is read, what is answered and what ends the WebSocket.

use transport::{Close, CloseCode, FRAME_BYTES_MAX, Head, Side, Socket};

/// What came out of a stream.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    pub plain: Vec<u8>,
    pub replies: Vec<u8>,
    pub close: Option<Close>,
}

/// Receives these pieces one after the other.
pub fn receive<'a>(side: Side, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut socket = Socket::new(side);
    let mut outcome = Outcome::default();
    for piece in pieces {
        let received = socket.receive(piece, &mut outcome.plain, &mut outcome.replies);
        if let Err(close) = received {
            assert_eq!(outcome.close, None, "there is one end");
            outcome.close = Some(close);
        }
    }
    outcome
}

/// A client's frame, masked byte by byte.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xFA, 0x21, 0x3D];
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=65_535 => frame.extend([&[0xFE][..], &(len as u16).to_be_bytes()].concat()),
        len => frame.extend([&[0xFF][..], &(len as u64).to_be_bytes()].concat()),
    }
    frame.extend(key);
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ key[at % 4]));
    frame
}

/// The same from a server.
fn bare(first: u8, payload: &[u8]) -> Vec<u8> {
    [&[first, u8::try_from(payload.len()).expect("short")], payload].concat()
}

fn whole(stream: &[u8]) -> Outcome {
    let outcome = receive(Side::Server, [stream]);
    // In single bytes it is the same.
    assert_eq!(receive(Side::Server, stream.chunks(1)), outcome, "{stream:?}");
    outcome
}

fn code_of(outcome: &Outcome) -> Option<u16> {
    match outcome.close {
        Some(Close::Violation { code, what }) => {
            let payload = [&code.0.to_be_bytes()[..], what.as_bytes()].concat();
            assert!(outcome.replies.ends_with(&bare(0x88, &payload)), "the violation is named to the peer");
            Some(code.0)
        }
        _ => None,
    }
}

#[test]
fn the_examples_of_the_specification_are_read() {
    let hello = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(whole(&hello), Outcome { plain: b"Hello".to_vec(), ..Outcome::default() });
    let ping = [0x89, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(whole(&ping), Outcome { replies: b"\x8a\x05Hello".to_vec(), ..Outcome::default() });
    let from_server = receive(Side::Client, [&b"\x02\x03Hel\x89\x01x\x80\x02lo"[..]]);
    assert_eq!(from_server.plain, b"Hello");
    assert_eq!(from_server.replies, b"\x8a\x81\0\0\0\0x", "a client masks its answers");
}

#[test]
fn messages_of_any_length_and_number_of_packets_are_one_stream() {
    for len in [0, 1, 2, 7, 8, 9, 124, 125, 126, 127, 128, 65_535, 65_536, 70_001] {
        let payload: Vec<u8> = (0..len).map(|at| at as u8).collect();
        let stream = [masked(0x82, &payload), masked(0x82, b"next")].concat();
        let outcome = whole(&stream);
        assert_eq!((outcome.plain, outcome.close), ([&payload[..], b"next"].concat(), None), "{len} bytes");
    }
}

#[test]
fn control_frames_come_between_fragments() {
    let stream = [
        masked(0x02, b"ab"),
        masked(0x89, b"1"),
        masked(0x00, b""),
        masked(0x8A, b"nobody asked"),
        masked(0x00, b"cd"),
        masked(0x89, &[7; 125]),
        masked(0x80, b"ef"),
        masked(0x82, b"gh"),
    ];
    let outcome = whole(&stream.concat());
    assert_eq!((outcome.plain, outcome.close), (b"abcdefgh".to_vec(), None));
    assert_eq!(outcome.replies, [bare(0x8A, b"1"), bare(0x8A, &[7; 125])].concat());
}

#[test]
fn violations_end_the_websocket_with_their_code() {
    let long = |len: &[u8]| [&[0x82], len, &[0; 4]].concat();
    for (stream, code, why) in [
        (bare(0x82, b"x"), 1002, "not masked"),
        (masked(0xC2, b"x"), 1002, "reserved bit 1"),
        (masked(0xA2, b"x"), 1002, "reserved bit 2"),
        (masked(0x92, b"x"), 1002, "reserved bit 3"),
        (masked(0xC9, b""), 1002, "reserved bit of a ping"),
        (masked(0x83, b"x"), 1002, "opcode 3"),
        (masked(0x87, b"x"), 1002, "opcode 7"),
        (masked(0x8B, b"x"), 1002, "opcode 11"),
        (masked(0x8F, b"x"), 1002, "opcode 15"),
        (masked(0x80, b"x"), 1002, "continuation of nothing"),
        (masked(0x00, b"x"), 1002, "continuation of nothing that goes on"),
        ([masked(0x02, b"x"), masked(0x82, b"y")].concat(), 1002, "message within another"),
        ([masked(0x02, b"x"), masked(0x81, b"y")].concat(), 1002, "text within another message"),
        ([masked(0x82, b"x"), masked(0x80, b"y")].concat(), 1002, "continuation after the last"),
        (masked(0x09, b"x"), 1002, "fragmented ping"),
        (masked(0x08, b""), 1002, "fragmented close"),
        (masked(0x89, &[0; 126]), 1002, "ping of 126 bytes"),
        (masked(0x88, &[0x03; 126]), 1002, "close of 126 bytes"),
        (masked(0x81, b"text"), 1003, "text"),
        (masked(0x01, b"text"), 1003, "fragmented text"),
        (long(&[0xFE, 0, 125]), 1002, "two bytes for 125"),
        (long(&[0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), 1002, "eight bytes for 65,535"),
        (long(&[0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]), 1002, "first bit of a length"),
        (long(&[0xFF, 0, 0, 0, 1, 0, 0, 0, 0]), 1009, "a length that does not fit"),
        (long(&[&[0xFF][..], &(u64::from(FRAME_BYTES_MAX) + 1).to_be_bytes()].concat()), 1009, "too long"),
    ] {
        let before = [masked(0x82, b"before"), masked(0x89, b"p")].concat();
        let stream = if why.contains("continuation") { stream } else { [before, stream].concat() };
        let outcome = whole(&[&stream[..], &masked(0x82, b"behind")].concat());
        assert_eq!(code_of(&outcome), Some(code), "{why}");
        assert!(!outcome.plain.ends_with(b"behind"), "{why}: what follows is not read");
        assert!(why.contains("continuation") || outcome.plain.starts_with(b"before"), "{why}");
    }
    let most = long(&[&[0xFF][..], &u64::from(FRAME_BYTES_MAX).to_be_bytes()].concat());
    assert_eq!(whole(&most).close, None);
    assert_eq!(code_of_client(&masked(0x82, b"x")), Some(CloseCode::PROTOCOL_ERROR), "masked by a server");
}

fn code_of_client(stream: &[u8]) -> Option<CloseCode> {
    match receive(Side::Client, [stream]).close {
        Some(Close::Violation { code, .. }) => Some(code),
        _ => None,
    }
}

#[test]
fn each_first_byte_of_a_frame_is_judged_by_itself() {
    for first in 0..=u8::MAX {
        let outcome = whole(&masked(first, b""));
        // Within a message, which begins with this frame.
        let within = whole(&[masked(0x02, b""), masked(first, b"")].concat());
        let codes = (code_of(&outcome), code_of(&within));
        let is_closed = (outcome.close.is_some(), within.close.is_some());
        match first {
            0x82 | 0x02 => assert_eq!((codes, is_closed), ((None, Some(1002)), (false, true)), "{first:#x}"),
            0x80 | 0x00 => assert_eq!((codes, is_closed), ((Some(1002), None), (true, false)), "{first:#x}"),
            0x81 | 0x01 => assert_eq!(codes, (Some(1003), Some(1002)), "{first:#x}"),
            0x88 => assert_eq!((codes, is_closed), ((None, None), (true, true)), "{first:#x}"),
            0x89 | 0x8A => assert_eq!((codes, is_closed), ((None, None), (false, false)), "{first:#x}"),
            _ => assert_eq!(codes, (Some(1002), Some(1002)), "{first:#x}"),
        }
    }
}

#[test]
fn what_is_wrong_is_said_before_the_rest_is_there() {
    for (stream, len) in [
        (masked(0xC2, b"x"), 1),
        (masked(0x81, b"text"), 1),
        (bare(0x82, b"x"), 2),
        (masked(0x89, &[0; 126]), 2),
    ] {
        for at in 0..len {
            assert_eq!(receive(Side::Server, [&stream[..at]]).close, None);
        }
        assert!(receive(Side::Server, [&stream[..len]]).close.is_some(), "{stream:?}");
    }
}

#[test]
fn a_close_is_echoed_and_ends_everything() {
    let stream = [masked(0x82, b"last"), masked(0x88, b"\x03\xe8bye"), masked(0x82, b"late")].concat();
    let outcome = whole(&stream);
    assert_eq!(outcome.plain, b"last");
    assert_eq!(outcome.replies, b"\x88\x02\x03\xe8");
    assert_eq!(outcome.close, Some(Close::ByPeer { code: Some(CloseCode::NORMAL) }));
    let empty = whole(&masked(0x88, b""));
    assert_eq!((empty.replies, empty.close), (b"\x88\0".to_vec(), Some(Close::ByPeer { code: None })));
    let within = whole(&[masked(0x02, b"half"), masked(0x88, b"\x03\xe9")].concat());
    assert_eq!(within.close, Some(Close::ByPeer { code: Some(CloseCode::GOING_AWAY) }));
    let mut socket = Socket::new(Side::Server);
    let (mut plain, mut replies) = (Vec::new(), Vec::new());
    assert!(socket.receive(&masked(0x88, b""), &mut plain, &mut replies).is_err());
    replies.clear();
    assert_eq!(socket.receive(&masked(0x89, b"x"), &mut plain, &mut replies), Ok(()));
    assert!(plain.is_empty() && replies.is_empty(), "behind a close nothing is read");
}

#[test]
fn codes_of_a_close_are_those_that_may_be_sent() {
    let close = |code: u16| whole(&masked(0x88, &code.to_be_bytes()));
    let good =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
    for code in good {
        let outcome = close(code);
        assert_eq!(outcome.close, Some(Close::ByPeer { code: Some(CloseCode(code)) }));
        assert_eq!(outcome.replies, bare(0x88, &code.to_be_bytes()));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(code_of(&close(code)), Some(1002), "{code}");
    }
    assert_eq!(code_of(&whole(&masked(0x88, b"\x03"))), Some(1002), "half a code");
    assert_eq!(
        code_of(&whole(&masked(0x88, b"\x03\xe8\xce\xba\xff"))),
        Some(1007),
        "a reason that is no text"
    );
    let longest = [b"\x03\xe8", "\u{e9}".repeat(61).as_bytes(), b"x"].concat();
    assert_eq!(longest.len(), 125);
    assert!(matches!(whole(&masked(0x88, &longest)).close, Some(Close::ByPeer { .. })));
}

#[test]
fn heads_of_outgoing_frames_are_as_short_as_can_be() {
    for (len, expected) in [
        (0, &b"\x82\x00"[..]),
        (125, b"\x82\x7d"),
        (126, b"\x82\x7e\x00\x7e"),
        (65_535, b"\x82\x7e\xff\xff"),
        (65_536, b"\x82\x7f\0\0\0\0\0\x01\0\0"),
        (268_435_460, b"\x82\x7f\0\0\0\0\x10\0\0\x04"),
    ] {
        assert_eq!(Head::binary(len).as_bytes(), expected, "{len}");
    }
}

#[test]
fn what_one_side_writes_the_other_reads() {
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let payload = vec![0xA5; len];
        let mut stream = Vec::new();
        Socket::put_masked(&payload, [1, 2, 3, 4], &mut stream);
        assert_eq!(receive(Side::Server, [&stream[..]]).plain, payload);
        let stream = [Head::binary(len).as_bytes(), &payload].concat();
        assert_eq!(receive(Side::Client, [&stream[..]]).plain, payload);
    }
    let mut stream = Vec::new();
    Socket::put_masked(b"\x11\x12\x13\x14\x15", [1, 2, 3, 4], &mut stream);
    assert_eq!(stream, b"\x82\x85\x01\x02\x03\x04\x10\x10\x10\x10\x14");
    for (writer, reader) in [(Side::Server, Side::Client), (Side::Client, Side::Server)] {
        let mut stream = Vec::new();
        Socket::put_ping(writer, &mut stream);
        assert_eq!(receive(reader, [&stream[..]]).replies[..1], [0x8A]);
        Socket::put_close(writer, CloseCode::GOING_AWAY, &"\u{20ac}".repeat(100), &mut stream);
        let close = receive(reader, [&stream[..]]).close;
        assert_eq!(close, Some(Close::ByPeer { code: Some(CloseCode::GOING_AWAY) }));
    }
}

#[test]
fn a_socket_is_idle_between_messages_only() {
    let mut socket = Socket::new(Side::Server);
    let (mut plain, mut replies) = (Vec::new(), Vec::new());
    for (bytes, idle) in [
        (masked(0x82, b"abc"), true),
        (masked(0x82, b"abc")[..3].to_vec(), false),
        (masked(0x82, b"abc")[3..8].to_vec(), false),
        (masked(0x82, b"abc")[8..].to_vec(), true),
        (masked(0x02, b"abc"), false),
        (masked(0x80, b""), true),
    ] {
        socket.receive(&bytes, &mut plain, &mut replies).expect("good frames");
        assert_eq!(socket.is_idle(), idle, "{bytes:?}");
    }
    assert_eq!(plain, b"abcabcabc");
}
