//! What is spoken at a place where a broker did not answer as it was asked, and how to ask it right.

use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use crate::config::{Address, Place, Scheme};

/// By its answer to a CONNECT without anything around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Mqtt,
    Tls,
    Http,
    /// The connection is closed without a word.
    Nothing,
}

/// What to do about it, if that can be found out. `trouble` is what came of asking.
pub fn remedy(asked: &Address, trouble: &str, timeout: Duration) -> Option<String> {
    let Place::Host { host, port } = &asked.place else { return None };
    let found = found(host, *port, timeout)?;
    let at = |scheme| Address { scheme, place: asked.place.clone() };
    sentence(found, asked.scheme, trouble, &at)
}

fn found(host: &str, port: u16, timeout: Duration) -> Option<Found> {
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let mut stream = TcpStream::connect_timeout(&address, timeout).ok()?;
    stream.set_read_timeout(Some(timeout)).ok()?;
    stream.set_write_timeout(Some(timeout)).ok()?;
    stream.write_all(CONNECT).ok()?;
    let mut answer = [0; 5];
    let mut len = 0;
    while len < answer.len() {
        match stream.read(&mut answer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(_) if len > 0 => break,
            Err(_) => return None,
        }
    }
    match &answer[..len] {
        [] => Some(Found::Nothing),
        [CONNACK, ..] => Some(Found::Mqtt),
        [TLS_ALERT, TLS_MAJOR, ..] => Some(Found::Tls),
        b"HTTP/" => Some(Found::Http),
        _ => None,
    }
}

fn sentence(found: Found, asked: Scheme, trouble: &str, at: &dyn Fn(Scheme) -> Address) -> Option<String> {
    use Scheme::{SecureWebSocket, Tcp, Tls, WebSocket};
    let is_of_what_is_within = ["broke the protocol", "no WebSocket", "closed the connection"]
        .iter()
        .any(|what| trouble.contains(what));
    match (found, asked) {
        (Found::Tls, Tls | SecureWebSocket) if trouble.contains("invalid peer certificate") => Some(
            "its certificate is not trusted: name the authority that has signed it (--cafile FILE), or the broker's configuration \
             (-c FILE), with which the certificate is not judged"
                .to_owned(),
        ),
        (Found::Tls, Tls | SecureWebSocket) if !is_of_what_is_within => None,
        (Found::Tls, Tls) => Some(format!("TLS is spoken there, and within it something else: ask {}", at(SecureWebSocket))),
        (Found::Tls, SecureWebSocket) => {
            Some(format!("TLS is spoken there, and within it something else: ask {}", at(Tls)))
        }
        (Found::Tls, _) => Some(format!("TLS is spoken there: ask {} or {}", at(Tls), at(SecureWebSocket))),
        (Found::Http, WebSocket) => None,
        (Found::Http, _) => Some(format!(
            "HTTP without TLS is spoken there: ask {}, if it is a listener for WebSocket; an API has /livez",
            at(WebSocket)
        )),
        (Found::Mqtt, Tls | WebSocket | SecureWebSocket) => {
            Some(format!("MQTT is spoken there with nothing around it: ask {}", at(Tcp)))
        }
        (Found::Mqtt, _) => None,
        (Found::Nothing, _) => Some(
            "it closes the connection without a word, as a listener does that a PROXY header has to come to first \
             (proxy_protocol_from): ask at another listener, or by the proxy"
                .to_owned(),
        ),
    }
}

/// MQTT 5.0, and nothing that a server could refuse it for.
const CONNECT: &[u8] = b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00";
const CONNACK: u8 = 0x20;
const TLS_ALERT: u8 = 0x15;
const TLS_MAJOR: u8 = 3;

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// What is found where this is the answer.
    fn found_by(answer: &'static [u8]) -> Option<Found> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("it has one").port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut asked = [0; CONNECT.len()];
            stream.read_exact(&mut asked).expect("a CONNECT");
            stream.write_all(answer).expect("it reads");
        });
        let found = found("127.0.0.1", port, Duration::from_secs(5));
        server.join().expect("it answers");
        found
    }

    #[test]
    fn what_is_spoken_is_told_by_the_first_bytes() {
        assert_eq!(found_by(b"\x20\x03\0\0\0"), Some(Found::Mqtt));
        assert_eq!(found_by(b"\x15\x03\x03\x00\x02\x02\x32"), Some(Found::Tls));
        assert_eq!(found_by(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Some(Found::Http));
        assert_eq!(found_by(b""), Some(Found::Nothing));
        assert_eq!(found_by(b"SSH-2.0-x\r\n"), None);
    }

    #[test]
    fn the_remedy_names_another_way_than_the_one_that_was_tried() {
        let at = |scheme| Address { scheme, place: Place::Host { host: "h".to_owned(), port: 1 } };
        for (found, asked, expected) in [
            (Found::Tls, Scheme::Tcp, Some("ask tls://h:1 or wss://h:1")),
            (Found::Tls, Scheme::WebSocket, Some("ask tls://h:1 or wss://h:1")),
            (Found::Tls, Scheme::Tls, Some("ask wss://h:1")),
            (Found::Tls, Scheme::SecureWebSocket, Some("ask tls://h:1")),
            (Found::Http, Scheme::Tls, Some("ask ws://h:1,")),
            (Found::Http, Scheme::WebSocket, None),
            (Found::Mqtt, Scheme::Tls, Some("ask tcp://h:1")),
            (Found::Mqtt, Scheme::Tcp, None),
            (Found::Nothing, Scheme::Tcp, Some("a PROXY header")),
        ] {
            let told = sentence(found, asked, "the server closed the connection", &at);
            assert_eq!(told.is_some(), expected.is_some(), "{found:?} {asked:?}: {told:?}");
            assert!(
                told.is_none_or(|told| told.contains(expected.unwrap_or_default())),
                "{found:?} {asked:?}"
            );
        }
        let told = sentence(Found::Tls, Scheme::Tls, "invalid peer certificate", &at);
        assert!(told.is_some_and(|told| told.contains("--cafile FILE")));
        let told = sentence(Found::Tls, Scheme::Tls, "received fatal alert: CertificateRequired", &at);
        assert_eq!(told, None, "it is asked right");
    }
}
