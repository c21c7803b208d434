//! Every way to begin and not to go on, many at once: each is closed when its time is over, however often it sends one byte more.

use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use e2e::hello::{Hello, TLS_1_2, TLS_1_3};
use e2e::socket::{self, Socket};
use e2e::{PATIENCE, resources};

use super::{CONNECT_TIMEOUT, Doors, alone, beside_others};

/// What is said at once at which door, and what follows byte by byte.
struct Slow {
    door: &'static str,
    at_once: Vec<u8>,
    then: Vec<u8>,
}

fn kinds() -> Vec<Slow> {
    let connect = socket::connect("slow", true);
    let request = b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n";
    let upgrade = [&request[..], b"\r\n"].concat();
    let hello = Hello::of(TLS_1_2).records();
    let mut kinds = Vec::new();
    let mut add = |door, at_once: &[u8], then: &[u8]| {
        kinds.push(Slow { door, at_once: at_once.to_vec(), then: then.to_vec() });
    };
    for door in ["tcp", "tls", "ws", "wss", "any", "proxied"] {
        add(door, b"", b"");
    }
    add("proxied", b"PROXY TCP4 ", b"10.0.0.1 10.0.0.2 1 2 and so on and so forth");
    add("proxied", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x02\0", &[0; 400]);
    add("proxied", b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", &connect[..9]);
    for door in ["tls", "wss", "any"] {
        add(door, &hello[..20], &hello[20..hello.len() - 1]);
        // A whole one, so that the broker has done its half of the handshake.
        add(door, &hello, &[22, 3, 3, 0, 70]);
        add(door, &Hello::of(TLS_1_3).records(), &[20, 3, 3, 0]);
    }
    for door in ["ws", "any"] {
        add(
            door,
            b"GET /mq",
            b"tt HTTP/1.1\r\nHost: x\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        );
        add(door, request, b"X-More: b\r\nX-More: b\r\nX-More: b\r\nX-More: b");
        add(door, &upgrade, b"");
        add(door, &upgrade, &[0x82, 0xFE, 0x10, 0, 1, 2, 3, 4, 0x11]);
        // Pings are no CONNECT.
        add(door, &upgrade, &[0x89, 0x80, 0, 0, 0, 0].repeat(8));
    }
    for door in ["tcp", "any"] {
        add(door, &connect[..4], &connect[4..connect.len() - 1]);
    }
    kinds
}

#[test]
fn every_kind_of_half_a_beginning_delays_nobody_and_is_closed_in_time() {
    let _alone = alone();
    let kinds = kinds();
    resources::raise_open_files(kinds.len() * OF_EACH);
    let doors = Doors::open("slowloris", "");
    beside_others(doors.port("tcp"), "slowloris", || {
        let begun = Instant::now();
        let mut sockets: Vec<(Socket, &Slow)> = Vec::new();
        for slow in &kinds {
            let port = doors.port(slow.door);
            for _ in 0..OF_EACH {
                let mut socket = Socket::open(port);
                socket.send(&slow.at_once);
                sockets.push((socket, slow));
            }
        }
        let opened = begun.elapsed();
        for at in 0.. {
            if begun.elapsed() > CONNECT_TIMEOUT + opened {
                break;
            }
            for (socket, slow) in &mut sockets {
                if let Some(byte) = slow.then.get(at) {
                    // Whom the broker has closed already cannot send.
                    let _ = socket.stream.write_all(&[*byte]);
                }
            }
            thread::sleep(BETWEEN_BYTES);
        }
        let count = sockets.len();
        for (mut socket, _) in sockets {
            socket.read_to_end(PATIENCE);
        }
        println!("{count} sockets were opened in {opened:?} and closed after {:?}", begun.elapsed());
        assert!(begun.elapsed() < opened + CONNECT_TIMEOUT * 2, "{:?}", begun.elapsed());
    });
    let timeouts = doors.broker.counter("connect_timeouts") + doors.broker.counter("handshake_timeouts");
    let refused: u64 = ["refused_tls", "refused_websocket", "refused_proxy", "refused_unknown"]
        .iter()
        .map(|name| doors.broker.counter(name))
        .sum();
    let all = (kinds.len() * OF_EACH) as u64;
    assert_eq!(timeouts + refused, all, "each has one end\n{}", doors.broker.process.shown());
    assert!(refused <= all / 10, "{refused} were refused for what they said");
}

/// Of each kind.
const OF_EACH: usize = 60;

const BETWEEN_BYTES: Duration = Duration::from_millis(100);
