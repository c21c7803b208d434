//! A proxy on this machine, whose clients may be anywhere, and a page from elsewhere in a browser here.

use std::io::Write as _;

use e2e::socket::{self, Socket};
use e2e::{Broker, Setup};

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

/// Where the broker says that somebody comes from who connects here with these headers.
fn address_by(broker: &Broker, client_id: &str, headers: &str) -> String {
    let mut socket = Socket::open(broker.port_of("ws"));
    let response = shake(&mut socket, headers);
    assert!(response.starts_with("HTTP/1.1 101 "), "{response}");
    let mut web = Web { socket };
    web.send(&frame(FIN | BINARY, &socket::connect(client_id, true)));
    assert_eq!(web.bytes(4), [0x20, 2, 0, 0]);
    let line = broker.process.await_line("who comes", |line| {
        let is_it = line.contains(" connected ") && line.contains(&format!("client_id={client_id:?}"));
        is_it.then(|| line.to_owned())
    });
    let address = line.split_whitespace().find_map(|word| word.strip_prefix("address="));
    address.expect("a line has the address").to_owned()
}

#[test]
fn the_address_is_the_last_one_that_no_trusted_proxy_has_and_strangers_are_not_believed() {
    let headers = "X-Forwarded-For: 198.51.100.6, 203.0.113.5, 10.0.0.2\r\n";
    for (trusted, seen) in [
        ("\"127.0.0.1\", \"10.0.0.0/8\"", "203.0.113.5"),
        ("\"127.0.0.1\"", "10.0.0.2"),
        ("\"10.0.0.0/8\"", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let config = format!(
            "[server]\nlisten_addresses = [\"tcp://127.0.0.1:0\", \"ws://127.0.0.1:0\"]\n\
             [authentication]\nanonymous = \"always\"\n[websocket]\ntrusted_proxies = [{trusted}]\n"
        );
        let broker = Setup::bare("web-forwarded").shards(2).config(&config).start();
        let address = address_by(&broker, "relayed", headers);
        // Of itself a connection has a port; of the client a proxy does not tell it.
        let (ip, port) = address.split_once(':').unwrap_or((&address, ""));
        assert_eq!(
            (ip, port.is_empty()),
            (seen, seen == "203.0.113.5" || seen == "10.0.0.2"),
            "{trusted}: {address}"
        );
    }
}
