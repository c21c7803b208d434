//! A proxy on this machine, whose clients may be anywhere, and a page from elsewhere in a browser here.

use std::io::Write as _;

use e2e::Setup;
use e2e::socket::{self, Socket};

use super::web::{BINARY, FIN, Frame, Web, frame, shake};

/// The return code of a CONNECT that says nothing about who it is.
fn anonymous(port: u16, before: &str, headers: &str) -> u8 {
    let mut socket = Socket::open(port);
    socket.stream.write_all(before.as_bytes()).unwrap();
    let response = shake(&mut socket, headers);
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    let mut web = Web { socket };
    web.send(&frame(FIN | BINARY, &socket::connect("somebody", true)));
    match web.frame() {
        Frame::Binary(connack) => connack[3],
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_comes_by_a_proxy_on_this_machine_is_not_on_this_machine() {
    let plain = "\"tcp://127.0.0.1:0\"";
    for trusted in ["", "[websocket]\ntrusted_proxies = [\"127.0.0.1\"]\n"] {
        let addresses = format!("{plain}, \"ws://127.0.0.1:0\", \"any://127.0.0.1:0\"");
        let config = format!("[server]\nlisten_addresses = [{addresses}]\n{trusted}");
        let broker = Setup::bare("web-relayed").shards(2).config(&config).start();
        for port in [broker.port_of("ws"), broker.port_of("any")] {
            for header in [
                "X-Forwarded-For: 8.8.8.8",
                "X-Forwarded-For: unknown",
                "X-Forwarded-Proto: https",
                "Via: 1.1 proxy",
                "Origin: https://elsewhere.example",
            ] {
                let header = format!("{header}\r\n");
                assert_eq!(anonymous(port, "", &header), 5, "{trusted:?} {header:?}");
            }
            let direct = if trusted.is_empty() { 0 } else { 5 };
            assert_eq!(anonymous(port, "", ""), direct, "{trusted:?}");
        }
    }
    let listener = "[[listener]]\naddress = \"ws://127.0.0.1:0\"\nproxy_protocol_from = [\"127.0.0.1\"]\n";
    let config = format!("[server]\nlisten_addresses = [{plain}]\n{listener}");
    let broker = Setup::bare("web-proxied").shards(2).config(&config).start();
    for before in ["PROXY UNKNOWN\r\n", "PROXY TCP4 8.8.8.8 127.0.0.1 1 2\r\n"] {
        assert_eq!(anonymous(broker.port_of("ws"), before, ""), 5, "{before:?}");
    }
}
