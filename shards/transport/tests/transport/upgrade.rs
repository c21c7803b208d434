//! Upgrade requests: those that are let in and those that are turned away.

use std::net::IpAddr;

use transport::{Accepted, Answer, Door, HEADERS_MAX, REQUEST_BYTES_MAX, Subprotocol, Turned};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

fn usual() -> Vec<String> {
    [
        "Host: broker.example:8083",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol: mqtt",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn request(line: &str, headers: &[String]) -> Vec<u8> {
    format!("{line}\r\n{}\r\n\r\n", headers.join("\r\n")).into_bytes()
}

/// The usual request with the header of this name replaced by these lines.
fn with(name: &str, lines: &[&str]) -> Vec<u8> {
    let mut headers = usual();
    headers.retain(|line| !line.starts_with(&format!("{name}:")));
    headers.extend(lines.iter().map(|line| (*line).to_owned()));
    request("GET /mqtt HTTP/1.1", &headers)
}

fn answer(door: &Door, bytes: &[u8]) -> Answer {
    door.answer(bytes, None).expect("a whole request is answered")
}

fn accepted(door: &Door, bytes: &[u8]) -> Accepted {
    match answer(door, bytes) {
        Answer::Accept(accepted) => accepted,
        Answer::Refuse(turned) => panic!("{}: {}", turned.what, bytes.escape_ascii()),
    }
}

fn turned(door: &Door, bytes: &[u8], status: u16) -> Turned {
    match answer(door, bytes) {
        Answer::Accept(_) => panic!("let in: {}", bytes.escape_ascii()),
        Answer::Refuse(turned) => {
            assert_eq!(turned.status, status, "{}: {}", turned.what, bytes.escape_ascii());
            let head = format!("HTTP/1.1 {status} ");
            assert!(turned.response.starts_with(head.as_bytes()), "{}", turned.response.escape_ascii());
            turned
        }
    }
}

#[test]
fn the_example_of_the_specification_is_accepted_byte_for_byte() {
    let bytes = request("GET /mqtt HTTP/1.1", &usual());
    let door = Door::default();
    for len in 0..bytes.len() {
        assert_eq!(door.answer(&bytes[..len], None), None, "{len} bytes");
    }
    let accepted = accepted(&door, &[&bytes, &b"\x82\x80\0\0\0\0"[..]].concat());
    assert_eq!(accepted.size, bytes.len());
    assert_eq!(accepted.subprotocol, Some(Subprotocol::Mqtt));
    assert_eq!(accepted.forwarded_for, None);
    let response = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    assert_eq!(String::from_utf8(accepted.response).expect("text"), response);
}

#[test]
fn names_and_lists_are_read_as_http_has_them() {
    for (name, lines) in [
        ("Upgrade", &["upgrade:  WebSocket "][..]),
        ("Upgrade", &["UPGRADE: h2c, websocket"]),
        ("Connection", &["connection: keep-alive, Upgrade"]),
        ("Connection", &["Connection: keep-alive", "Connection: upgrade"]),
        ("Connection", &["Connection:Upgrade,"]),
        ("Host", &["hOST: [::1]:80"]),
        ("Content-Length", &["Content-Length: 0"]),
        (
            "Sec-WebSocket-Extensions",
            &["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"],
        ),
    ] {
        let response = accepted(&Door::default(), &with(name, lines)).response;
        let response = String::from_utf8(response).expect("text");
        assert!(!response.contains("Extensions"), "no extension is agreed on: {response}");
    }
}

#[test]
fn mqtt_is_chosen_wherever_it_stands() {
    for (lines, expected) in [
        (&["Sec-WebSocket-Protocol: mqttv3.1"][..], Some(Subprotocol::MqttV31)),
        (&["Sec-WebSocket-Protocol: mqttv3.1, mqtt"], Some(Subprotocol::Mqtt)),
        (&["Sec-WebSocket-Protocol: chat,mqtt ,mqttv3.1"], Some(Subprotocol::Mqtt)),
        (&["Sec-WebSocket-Protocol: chat", "sec-websocket-protocol: mqttv3.1"], Some(Subprotocol::MqttV31)),
        (&["Sec-WebSocket-Protocol: a, b", "sec-websocket-protocol: c, mqtt"], Some(Subprotocol::Mqtt)),
        (&[], None),
        (&["Sec-WebSocket-Protocol: "], None),
    ] {
        let accepted = accepted(&Door::default(), &with("Sec-WebSocket-Protocol", lines));
        assert_eq!(accepted.subprotocol, expected, "{lines:?}");
        let response = String::from_utf8(accepted.response).expect("text");
        let line = expected.map(|chosen| format!("Sec-WebSocket-Protocol: {}\r\n", chosen.name()));
        assert!(line.is_none_or(|line| response.contains(&line)), "{response}");
        assert_eq!(response.contains("Sec-WebSocket-Protocol"), expected.is_some());
    }
    for lines in [["Sec-WebSocket-Protocol: chat"], ["Sec-WebSocket-Protocol: MQTT, mqttv5"]] {
        turned(&Door::default(), &with("Sec-WebSocket-Protocol", &lines), 400);
    }
}

#[test]
fn the_path_is_compared_without_query_and_host() {
    let door = Door::default();
    for target in ["/mqtt", "/mqtt?token=1", "http://broker.example:8083/mqtt", "ws://b/mqtt?x"] {
        accepted(&door, &request(&format!("GET {target} HTTP/1.1"), &usual()));
    }
    for target in ["/", "/mqtt/", "/MQTT", "/mqtt2", "/x?/mqtt", "*", "http://b", "/http://b/mqtt", "//mqtt"]
    {
        let turned = turned(&door, &request(&format!("GET {target} HTTP/1.1"), &usual()), 404);
        let page = String::from_utf8(turned.response).expect("text");
        assert!(page.ends_with("MQTT over WebSocket is at /mqtt, with the subprotocol mqtt.\n"), "{page}");
    }
    let anywhere = Door { path: None, ..Door::default() };
    accepted(&anywhere, &request("GET /anything/at?all HTTP/1.1", &usual()));
}

#[test]
fn a_browser_that_looks_reads_a_sentence() {
    let bytes = request("GET /mqtt HTTP/1.1", &["Host: broker.example".to_owned()]);
    let turned = turned(&Door::default(), &bytes, 426);
    let page = String::from_utf8(turned.response).expect("text");
    assert!(
        page.contains("\r\nUpgrade: websocket\r\n") && page.contains("\r\nSec-WebSocket-Version: 13\r\n")
    );
    let (head, body) = page.split_once("\r\n\r\n").expect("head and body");
    assert!(body.contains("this is an MQTT broker"), "{body}");
    assert!(head.contains(&format!("\r\nContent-Length: {}", body.len())), "{head}");
}

#[test]
fn other_methods_and_versions_are_turned_away() {
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let turned = turned(&Door::default(), &request(&format!("{method} /mqtt HTTP/1.1"), &usual()), 405);
        assert!(String::from_utf8(turned.response).expect("text").contains("\r\nAllow: GET\r\n"));
    }
    let head = turned(&Door::default(), &request("HEAD /mqtt HTTP/1.1", &usual()), 405);
    assert!(head.response.ends_with(b"\r\n\r\n"), "the answer to HEAD has no body");
    turned(&Door::default(), &request("GET /mqtt HTTP/1.0", &usual()), 505);
    turned(&Door::default(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505);
    let version =
        turned(&Door::default(), &with("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 8"]), 426);
    assert!(String::from_utf8(version.response).expect("text").contains("\r\nSec-WebSocket-Version: 13\r\n"));
    turned(&Door::default(), &with("Sec-WebSocket-Version", &[]), 426);
}

#[test]
fn requests_that_are_not_as_specified_are_turned_away() {
    let key = format!("Sec-WebSocket-Key: {KEY}");
    for (name, lines, status) in [
        ("Upgrade", &[][..], 426),
        ("Upgrade", &["Upgrade: websockets"], 426),
        ("Connection", &["Connection: keep-alive"], 426),
        ("Host", &[], 400),
        ("Host", &["Host: a", "Host: b"], 400),
        ("Sec-WebSocket-Key", &[], 400),
        ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: "], 400),
        ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="], 400),
        ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"], 400),
        ("Sec-WebSocket-Key", &["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!=="], 400),
        ("Sec-WebSocket-Key", &[&key, &key], 400),
        ("Sec-WebSocket-Version", &["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"], 400),
        ("Content-Length", &["Content-Length: 5"], 400),
        ("Transfer-Encoding", &["Transfer-Encoding: chunked"], 400),
        ("X", &["X: a\r\n folded"], 400),
        ("X", &["X : a"], 400),
        ("X", &["X\0: a"], 400),
    ] {
        turned(&Door::default(), &with(name, lines), status);
    }
    turned(&Door::default(), b"\x10\x0c\0\x04MQTT", 400);
}

#[test]
fn only_listed_pages_may_connect_where_there_is_a_list() {
    let origins = vec!["https://app.example".to_owned(), "http://localhost:3000".to_owned()];
    let door = Door { origins, ..Door::default() };
    accepted(&door, &with("Origin", &[]));
    accepted(&door, &with("Origin", &["Origin: https://APP.example"]));
    accepted(&door, &with("Origin", &["Origin: http://localhost:3000"]));
    for origin in ["http://app.example", "https://app.example.evil.example", "null", "", "http://localhost"] {
        turned(&door, &with("Origin", &[&format!("Origin: {origin}")]), 403);
    }
    turned(&door, &with("Origin", &["Origin: https://app.example", "Origin: https://evil.example"]), 400);
    accepted(&Door::default(), &with("Origin", &["Origin: https://evil.example"]));
}

#[test]
fn the_client_is_the_last_address_that_is_no_trusted_proxy() {
    let trusted_proxies = ["10.0.0.0/8", "::1"].map(|text| text.parse().expect("a prefix")).to_vec();
    let door = Door { trusted_proxies, ..Door::default() };
    for (peer, lines, expected) in [
        ("10.0.0.1", &["X-Forwarded-For: 192.0.2.7"][..], Some("192.0.2.7")),
        ("::1", &["x-forwarded-for: 192.0.2.7"], Some("192.0.2.7")),
        ("::ffff:10.0.0.1", &["x-forwarded-for: 192.0.2.7"], Some("192.0.2.7")),
        // Whoever stands before the first proxy may have written anything.
        ("10.0.0.1", &["X-Forwarded-For: 1.1.1.1, 192.0.2.7"], Some("192.0.2.7")),
        ("10.0.0.1", &["X-Forwarded-For: 1.1.1.1, 192.0.2.7, 10.0.0.2"], Some("192.0.2.7")),
        (
            "10.0.0.1",
            &["X-Forwarded-For: 1.1.1.1, 192.0.2.7", "X-Forwarded-For: 10.0.0.2"],
            Some("192.0.2.7"),
        ),
        ("10.0.0.1", &["X-Forwarded-For: nonsense, 192.0.2.7"], Some("192.0.2.7")),
        ("10.0.0.1", &["X-Forwarded-For: 192.0.2.7, nonsense"], None),
        ("10.0.0.1", &["X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.2"], None),
        ("10.0.0.1", &["X-Forwarded-For: 10.0.0.3, 10.0.0.2"], Some("10.0.0.3")),
        ("10.0.0.1", &["X-Forwarded-For: 192.0.2.7:4711"], Some("192.0.2.7")),
        ("10.0.0.1", &["X-Forwarded-For: [2001:db8::1]:80"], Some("2001:db8::1")),
        ("10.0.0.1", &["X-Forwarded-For: [2001:db8::1]"], Some("2001:db8::1")),
        ("10.0.0.1", &["X-Forwarded-For: ::ffff:192.0.2.7"], Some("192.0.2.7")),
        ("10.0.0.1", &[], None),
        // The word of anybody else counts nothing.
        ("192.0.2.9", &["X-Forwarded-For: 192.0.2.7"], None),
    ] {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let Some(Answer::Accept(accepted)) = door.answer(&with("X", lines), Some(ip(peer))) else {
            panic!("{peer} {lines:?} is let in");
        };
        assert_eq!(accepted.forwarded_for, expected.map(ip), "{peer} {lines:?}");
        assert!(accepted.is_relayed, "{peer} {lines:?}");
    }
    for (line, is_relayed) in [
        ("X-Real-IP: 192.0.2.7", true),
        ("forwarded: for=192.0.2.7", true),
        ("Via: 1.1 proxy", true),
        ("X-Forwarded-Proto: https", true),
        ("x-forwarded-port: 443", true),
        ("X-Forwarded: 192.0.2.7", true),
        ("Forwarded-For: 192.0.2.7", true),
        ("X-Client-IP: 192.0.2.7", true),
        ("X-Cluster-Client-Ip: 192.0.2.7", true),
        ("True-Client-IP: 192.0.2.7", true),
        ("CF-Connecting-IP: 192.0.2.7", true),
        ("User-Agent: a browser", false),
        ("X-Forward: 192.0.2.7", false),
    ] {
        assert_eq!(accepted(&door, &with("X", &[line])).is_relayed, is_relayed, "{line}");
    }
    assert_eq!(accepted(&door, &with("X", &["X-Forwarded-For: 192.0.2.7"])).forwarded_for, None);
}

#[test]
fn a_page_from_elsewhere_is_somebody_from_elsewhere_unless_it_is_listed() {
    let listing = |origins: &[&str]| Door {
        origins: origins.iter().map(|origin| (*origin).to_owned()).collect(),
        ..Door::default()
    };
    let is_relayed = |door: &Door, lines: &[&str]| accepted(door, &with("Origin", lines)).is_relayed;
    for (origin, expected) in [
        ("http://127.0.0.1:8080", false),
        ("https://127.1.2.3", false),
        ("http://[::1]:8080", false),
        ("http://[::ffff:127.0.0.1]", false),
        ("http://localhost:3000", false),
        ("https://LocalHost", false),
        ("https://evil.example", true),
        ("https://evil.example:8083", true),
        ("http://localhost.evil.example", true),
        ("http://127.0.0.1.evil.example", true),
        ("http://192.0.2.7", true),
        ("http://0.0.0.0", true),
        ("http://[::2]", true),
        ("http://[::1", true),
        ("http://localhost:80@evil.example", true),
        ("http://evil.example/localhost", true),
        ("localhost", true),
        ("null", true),
        ("file://", true),
        ("", true),
    ] {
        assert_eq!(is_relayed(&Door::default(), &[&format!("Origin: {origin}")]), expected, "{origin}");
    }
    assert!(!is_relayed(&Door::default(), &[]), "what is no browser names no page");
    assert!(is_relayed(&Door::default(), &["Origin: http://localhost", "Origin: https://evil.example"]));
    let page = ["Origin: https://Panel.example"];
    assert!(!is_relayed(&listing(&["https://panel.example"]), &page), "whoever lists a page means it");
}

#[test]
fn requests_within_the_limits_are_read_and_others_are_turned_away() {
    let of_size = |size: usize| {
        let bare = with("X", &["X: "]).len();
        with("X", &[&format!("X: {}", "x".repeat(size - bare))])
    };
    accepted(&Door::default(), &of_size(REQUEST_BYTES_MAX));
    turned(&Door::default(), &of_size(REQUEST_BYTES_MAX + 1), 431);
    let endless = of_size(REQUEST_BYTES_MAX + 1);
    assert_eq!(Door::default().answer(&endless[..REQUEST_BYTES_MAX - 1], None), None);
    turned(&Door::default(), &endless[..REQUEST_BYTES_MAX], 431);
    let most = vec!["X: x"; HEADERS_MAX - usual().len()];
    accepted(&Door::default(), &with("X", &most));
    turned(&Door::default(), &with("X", &[&most[..], &["X: x"]].concat()), 431);
}
