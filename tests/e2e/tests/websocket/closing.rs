//! How a WebSocket ends, in the cases of the Autobahn test suite's seventh section, and what the limits say.

use client::QoS;
use e2e::socket::{self, string};
use e2e::{Link, PATIENCE, v5};

use super::web::{BINARY, CLOSE, CONTINUATION, FIN, Frame, PING, Web, broker, frame, publish_of};

fn close(payload: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, payload)
}

/// What the broker's close says to this one.
#[track_caller]
fn answered(port: u16, payload: &[u8]) -> Option<u16> {
    let mut web = Web::echo(port, "closing");
    web.send(&close(payload));
    web.closed()
}

#[test]
fn a_message_before_a_close_counts_and_nothing_behind_it_does() {
    let (_broker, port) = broker("web-close");
    let message = frame(FIN | BINARY, &publish_of(20));
    for behind in [&b""[..], &close(b"\x03\xe8"), &frame(FIN | PING, b"late"), &message, &frame(BINARY, b"x")]
    {
        let mut web = Web::echo(port, "closing");
        web.send(&[&message[..], &close(b"\x03\xe8"), behind].concat());
        assert_eq!(web.bytes(20), publish_of(20));
        assert_eq!(web.closed(), Some(1000));
    }
    // In the middle of a message.
    let mut web = Web::echo(port, "closing");
    let stream =
        [frame(BINARY, &publish_of(20)[..9]), close(b"\x03\xe8"), frame(FIN | CONTINUATION, b"rest")];
    web.send(&stream.concat());
    assert_eq!(web.closed(), Some(1000));
    // Behind a large one.
    let mut web = Web::echo(port, "closing");
    let large = publish_of(256 << 10);
    web.send(&[frame(FIN | BINARY, &large), close(b"\x03\xe8"), frame(FIN | PING, b"late")].concat());
    let mut bytes = Vec::new();
    loop {
        match web.frame() {
            Frame::Binary(more) => bytes.extend(more),
            Frame::Close(code) => break assert_eq!(code, Some(1000)),
            other => panic!("{other:?}"),
        }
    }
    assert!(large.starts_with(&bytes), "what comes is the message's own");
}

#[test]
fn a_client_that_leaves_and_closes_at_once_has_left_and_not_vanished() {
    let (broker, port) = broker("web-leave");
    let mut other = Link::connect(broker.port_of("tcp"), v5("other"));
    other.subscribe("will/#", QoS::AtMostOnce);
    for number in 0..8 {
        // CONNECT with a will, for each of the shards.
        let id = format!("leaver-{number}");
        let flags = b"\0\x04MQTT\x04\x06\0\0";
        let body = [flags, &string(&id)[..], &string("will/sent"), &string("gone")].concat();
        let mut web = Web::open(port);
        web.send(&frame(FIN | BINARY, &socket::frame(0x10, &body)));
        assert_eq!(web.bytes(4), [0x20, 2, 0, 0]);
        web.send(&[frame(FIN | BINARY, &[0xE0, 0]), close(b"\x03\xe8")].concat());
        assert_eq!(web.closed(), Some(1000));
        // All at once, before anybody knows where the client lives.
        let mut hasty = Web::open(port);
        let said =
            [&socket::frame(0x10, &body)[..], &socket::publish("will/said", b"last"), &[0xE0, 0]].concat();
        hasty.send(&[frame(FIN | BINARY, &said), close(b"\x03\xe8")].concat());
        hasty.socket.read_to_end(PATIENCE);
        assert_eq!(&*other.message().topic, "will/said");
        // Without the DISCONNECT it has vanished.
        let mut rude = Web::open(port);
        rude.send(&[frame(FIN | BINARY, &socket::frame(0x10, &body)), close(b"\x03\xe8")].concat());
        rude.socket.read_to_end(PATIENCE);
        assert_eq!(&*other.message().topic, "will/sent");
    }
}

#[test]
fn every_close_is_answered_by_its_code_or_by_what_is_wrong_with_it() {
    let (_broker, port) = broker("web-codes");
    assert_eq!(answered(port, b""), None);
    assert_eq!(answered(port, b"\x03\xe8Hello"), Some(1000));
    let longest = [b"\x03\xe8", &[b'*'; 123][..]].concat();
    assert_eq!(answered(port, &longest), Some(1000));
    assert_eq!(answered(port, b"\x03"), Some(1002), "half a code");
    assert_eq!(answered(port, &[longest, vec![b'*']].concat()), Some(1002), "too long for a control frame");
    let no_text = [b"\x03\xe8", &b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited"[..]].concat();
    assert_eq!(answered(port, &no_text), Some(1007));
    for code in [1000u16, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        assert_eq!(answered(port, &code.to_be_bytes()), Some(code));
    }
    for code in [0u16, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535] {
        assert_eq!(answered(port, &code.to_be_bytes()), Some(1002), "{code}");
    }
}

#[test]
fn an_mqtt_client_that_leaves_or_offends_ends_the_websocket_too() {
    let (broker, port) = broker("web-mqtt-end");
    let mut web = Web::echo(port, "leaves");
    web.send(&frame(FIN | BINARY, &[0xE0, 0]));
    assert_eq!(web.closed(), Some(1000));
    // A reserved packet type.
    let mut web = Web::echo(port, "offends");
    web.send(&frame(FIN | BINARY, &[0x00, 0]));
    assert_eq!(web.closed(), Some(1000));
    broker.await_counter("violations", 1);
    // The end of the socket without a word.
    let mut web = Web::echo(port, "vanishes");
    web.socket.stream.shutdown(std::net::Shutdown::Write).unwrap();
    web.socket.read_to_end(PATIENCE);
    broker.await_counter("connections_closed", 3);
}

#[test]
fn what_is_too_long_is_refused_before_it_is_there() {
    let (broker, port) = broker("web-limits");
    // A frame of 2^62 bytes.
    let mut web = Web::echo(port, "endless");
    web.send(&[0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
    assert_eq!(web.closed(), Some(1009));
    // A packet that is larger than packets may be, in frames that are not.
    let mut web = Web::echo(port, "oversized");
    web.send(&frame(BINARY, &socket::publish("e", &vec![0; 2 << 20])[..1000]));
    assert_eq!(web.closed(), Some(1000));
    broker.await_counter("packets_too_large", 1);
    // A frame that no key has masked.
    let mut web = Web::echo(port, "bare");
    web.send(&[0x82, 2, 0xC0, 0]);
    assert_eq!(web.closed(), Some(1002));
}
