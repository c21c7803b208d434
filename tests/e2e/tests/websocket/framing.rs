//! The cases of the Autobahn test suite that concern binary messages, in its order, over real sockets: framing, pings, reserved
//! bits, opcodes, fragments. Where that suite wants its message back, a client here publishes to itself.

use super::web::{BINARY, CONTINUATION, FIN, Frame, PING, PONG, TEXT, Web, broker, frame, publish_of, shake};

/// How the bytes of a case are cut: at once, in odd pieces, byte by byte.
const PIECES: [usize; 3] = [usize::MAX, 997, 1];

/// Sends a case on a connection of its own for each way to cut it.
#[track_caller]
fn each_way(port: u16, stream: &[u8], check: impl Fn(&mut Web)) {
    for pieces in PIECES {
        // A hundred thousand packets of one byte show nothing that a thousand do not.
        if pieces == 1 && stream.len() > 1000 {
            continue;
        }
        let mut web = Web::echo(port, &format!("case-{pieces}"));
        web.send_chopped(stream, pieces);
        check(&mut web);
    }
}

#[test]
fn section_1_messages_of_every_length_come_back() {
    let (_broker, port) = broker("web-framing");
    for size in [5, 125, 126, 127, 128, 129, 131, 65_535, 65_536, 65_537] {
        let message = publish_of(size);
        each_way(port, &frame(FIN | BINARY, &message), |web| {
            assert_eq!(web.bytes(size), message, "{size} bytes");
            web.assert_serves();
        });
    }
    // A message of no bytes is none of MQTT's business.
    each_way(port, &frame(FIN | BINARY, b""), Web::assert_serves);
    // MQTT is binary.
    for text in [frame(FIN | TEXT, b""), frame(FIN | TEXT, b"text"), frame(TEXT, b"te")] {
        each_way(port, &text, |web| assert_eq!(web.closed(), Some(1003)));
    }
}

#[test]
fn section_2_each_ping_has_its_pong_and_pongs_have_nothing() {
    let (_broker, port) = broker("web-pings");
    for payload in [&b""[..], b"Hello", b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", &[0xFE; 125]] {
        each_way(port, &frame(FIN | PING, payload), |web| {
            assert_eq!(web.frame(), Frame::Pong(payload.to_vec()));
            web.assert_serves();
        });
    }
    each_way(port, &frame(FIN | PING, &[0xFE; 126]), |web| assert_eq!(web.closed(), Some(1002)));
    let pong = [frame(FIN | PONG, b""), frame(FIN | PONG, b"nobody asked"), frame(FIN | PING, b"ping")];
    each_way(port, &pong.concat(), |web| {
        assert_eq!(web.frame(), Frame::Pong(b"ping".to_vec()));
    });
    let ten: Vec<u8> = (0..10).flat_map(|number| frame(FIN | PING, &[number])).collect();
    each_way(port, &ten, |web| {
        for number in 0..10 {
            assert_eq!(web.frame(), Frame::Pong(vec![number]));
        }
    });
}

#[test]
fn section_3_reserved_bits_end_it_and_what_came_before_counts() {
    let (broker, port) = broker("web-reserved");
    for bits in 1..8 {
        let message = publish_of(20);
        for (opcode, payload) in [(BINARY, &message[..]), (PING, b"p"), (PONG, b""), (8, b"\x03\xe8")] {
            let stream = [
                frame(FIN | BINARY, &message),
                frame(FIN | bits << 4 | opcode, payload),
                frame(FIN | PING, b"late"),
            ];
            each_way(port, &stream.concat(), |web| {
                assert_eq!(web.bytes(20), message);
                assert_eq!(web.closed(), Some(1002), "bits {bits}, opcode {opcode}");
            });
        }
    }
    let violations = 7 * 4 * PIECES.len() as u64;
    broker.await_counter("refused_websocket", violations);
    assert_eq!(broker.counter("refused_websocket"), violations);
}

#[test]
fn section_4_opcodes_that_mean_nothing_end_it() {
    let (_broker, port) = broker("web-opcodes");
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        for payload in [&b""[..], b"payload"] {
            let stream =
                [frame(FIN | BINARY, &publish_of(20)), frame(FIN | opcode, payload), frame(FIN | PING, b"")];
            each_way(port, &stream.concat(), |web| {
                assert_eq!(web.bytes(20), publish_of(20));
                assert_eq!(web.closed(), Some(1002), "opcode {opcode}");
            });
        }
    }
}

#[test]
fn section_5_fragments_are_one_message_with_control_frames_between_them() {
    let (_broker, port) = broker("web-fragments");
    let message = publish_of(60);
    let parts: Vec<&[u8]> = message.chunks(12).collect();
    let whole = [
        frame(BINARY, parts[0]),
        frame(FIN | PING, b"1"),
        frame(CONTINUATION, parts[1]),
        frame(FIN | PONG, b""),
        frame(CONTINUATION, parts[2]),
        frame(CONTINUATION, b""),
        frame(CONTINUATION, parts[3]),
        frame(FIN | PING, b"2"),
        frame(FIN | CONTINUATION, parts[4]),
    ];
    each_way(port, &whole.concat(), |web| {
        assert_eq!(web.frame(), Frame::Pong(b"1".to_vec()));
        assert_eq!(web.frame(), Frame::Pong(b"2".to_vec()));
        assert_eq!(web.bytes(60), message);
        web.assert_serves();
    });
    for (what, stream) in [
        ("a ping in fragments", [frame(PING, b"fr"), frame(FIN | CONTINUATION, b"ag")].concat()),
        ("a pong in fragments", [frame(PONG, b"fr"), frame(FIN | CONTINUATION, b"ag")].concat()),
        ("the end of nothing", frame(FIN | CONTINUATION, parts[0])),
        ("the middle of nothing", frame(CONTINUATION, parts[0])),
        ("the end behind an end", [frame(BINARY, b""), frame(FIN, b""), frame(FIN, b"")].concat()),
        ("a message within another", [frame(BINARY, b""), frame(FIN | BINARY, parts[0])].concat()),
        ("a beginning within another", [frame(BINARY, b""), frame(BINARY, parts[0])].concat()),
        ("text within a message", [frame(BINARY, b""), frame(TEXT, b"x")].concat()),
    ] {
        each_way(port, &stream, |web| assert_eq!(web.closed(), Some(1002), "{what}"));
    }
}

#[test]
fn section_9_large_messages_come_back_however_they_are_cut() {
    let (_broker, port) = broker("web-large");
    // The largest packet that is taken unless the configuration says otherwise.
    for size in [256 << 10, 1 << 20] {
        let message = publish_of(size);
        for fragment in [size, 64 << 10, 4 << 10, 256] {
            let mut web = Web::echo(port, "large");
            for (at, part) in message.chunks(fragment).enumerate() {
                let opcode = if at == 0 { BINARY } else { CONTINUATION };
                let is_last = (at + 1) * fragment >= size;
                web.send(&frame(if is_last { FIN | opcode } else { opcode }, part));
            }
            assert_eq!(web.bytes(size), message, "{size} bytes in fragments of {fragment}");
        }
        let mut web = Web::echo(port, "large");
        web.send_chopped(&frame(FIN | BINARY, &message), 1300);
        assert_eq!(web.bytes(size), message, "{size} bytes in pieces");
    }
    // A thousand round trips of each size.
    for size in [5, 16, 64, 256, 1024, 4096] {
        let (mut web, message) = (Web::echo(port, "round-trips"), publish_of(size));
        let sent = frame(FIN | BINARY, &message);
        for _ in 0..1000 {
            web.send(&sent);
            assert_eq!(web.bytes(size), message);
        }
    }
}

#[test]
fn section_12_compression_is_offered_by_clients_and_not_taken() {
    let (_broker, port) = broker("web-deflate");
    let mut socket = e2e::socket::Socket::open(port);
    let lines = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let response = shake(&mut socket, lines);
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    assert!(!response.to_ascii_lowercase().contains("sec-websocket-extensions"), "{response}");
}
