//! Arbitrary bytes in arbitrary pieces through PROXY header, TLS and WebSocket, at every kind of door, and within a handshake that is good but for
//! bytes that were changed on the way: no panic, bounded memory, and nothing comes behind the end.
#![no_main]

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use runtime::stack::{HELD_BYTES_MAX, Stack};
use runtime::{Door, Place, Speech};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig};

struct Keys {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let chain = vec![made.cert.der().clone()];
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain.clone(), key).expect("a pair");
    let mut roots = RootCertStore::empty();
    roots.add(chain[0].clone()).expect("a root");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Keys { server: Arc::new(server), client: Arc::new(client) }
});

fuzz_target!(|input: (u8, [u8; 6], u16, u8, &[u8])| {
    let (kind, cuts, place, bits, bytes) = input;
    let is_sealed = kind & 2 != 0;
    let door = Door {
        proxies: (kind & 1 != 0).then(|| vec![transport::Prefix::of(PEER)].into()),
        tls: is_sealed.then(|| Arc::clone(&KEYS.server)),
        speech: [Speech::Mqtt, Speech::WebSocket, Speech::Any, Speech::Any][usize::from(kind >> 2 & 3)],
        ..Door::plain(Place::Tcp((PEER, 0).into()))
    };
    let mut stack = Stack::new(door);
    if kind & 1 != 0 && kind & 16 != 0 {
        receive(&mut stack, &cuts, b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n");
    }
    if is_sealed && kind & 32 != 0 {
        within_tls(&mut stack, &cuts, (usize::from(place), bits), bytes, kind & 64 != 0);
    } else {
        receive(&mut stack, &cuts, bytes);
    }
    stack.finish();
    let before = stack.plain.len();
    stack.receive(bytes);
    assert!(!stack.is_over || stack.plain.len() == before, "nothing comes behind the end");
});

/// A client that shakes hands and says these bytes, one byte of it all spoiled unless the bits are 0.
fn within_tls(stack: &mut Stack, cuts: &[u8], spoiled: (usize, u8), bytes: &[u8], is_upgraded: bool) {
    let name = ServerName::try_from("localhost").expect("a name");
    let mut client = ClientConnection::new(Arc::clone(&KEYS.client), name).expect("a client");
    if is_upgraded {
        client.writer().write_all(REQUEST).expect("memory");
    }
    client.writer().write_all(bytes).expect("memory");
    let mut sent = 0;
    for _ in 0..20 {
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).expect("memory");
        }
        if let Some(byte) = spoiled.0.checked_sub(sent).and_then(|at| flight.get_mut(at)) {
            *byte ^= spoiled.1;
        }
        sent += flight.len();
        receive(stack, cuts, &flight);
        let answer = stack.output();
        if (answer.is_empty() && flight.is_empty()) || stack.is_over {
            return;
        }
        let _ = client.read_tls(&mut answer.as_slice());
        if client.process_new_packets().is_err() {
            return;
        }
    }
}

/// In pieces whose sizes the cuts name, again and again.
fn receive(stack: &mut Stack, cuts: &[u8], bytes: &[u8]) {
    let mut left = bytes;
    for cut in cuts.iter().cycle() {
        if left.is_empty() {
            return;
        }
        let (piece, rest) = left.split_at((usize::from(*cut) + 1).min(left.len()));
        stack.receive(piece);
        assert!(stack.bytes_held() <= HELD_BYTES_MAX, "{} bytes", stack.bytes_held());
        stack.say(b"\xd0\0");
        stack.leave();
        left = rest;
    }
}

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const REQUEST: &[u8] = b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
