//! Too much of everything: each is refused for its size, before it costs memory, and nobody feels it.

use std::fs;
use std::io::Write;
use std::process::Command;

use client::Version;
use client::wire::{Connect, ConnectProperties};
use e2e::hello::{Hello, TLS_1_2};
use e2e::socket::{self, Socket};
use e2e::{PATIENCE, program, resources};

use super::{Doors, alone, beside_others};

/// Sends it all, also when the broker has closed, and reads until it has.
#[track_caller]
fn refused(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut socket = Socket::open(port);
    let _ = socket.stream.write_all(bytes);
    socket.read_to_end(PATIENCE)
}

fn connect(username: &str, password: &[u8], method: Option<(&str, &[u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let connect = Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_s: 0,
        client_id: "oversized",
        will: None,
        username: Some(username),
        password: Some(password),
        properties: ConnectProperties {
            authentication_method: method.map(|(name, _)| name),
            authentication_data: method.map(|(_, data)| data),
            ..ConnectProperties::default()
        },
    };
    connect.encode(Version::V5, &mut bytes);
    bytes
}

/// Files for every provider that looks at what a client says.
fn asking(name: &str) -> Doors {
    let folder = program::fresh_folder(name);
    let file = |name: &str| folder.join(name).display().to_string();
    let run = |args: &[&str]| {
        let mut command = program::command(program::iothub());
        assert!(command.args(args).status().unwrap().success(), "{args:?}");
    };
    run(&["passwd", "-c", "-b", "-H", "sha512", &file("users"), "anna", "geheim"]);
    run(&["scram", "-c", "-b", &file("keys"), "anna", "geheim"]);
    fs::write(file("secret"), "a secret of thirty-two bytes or more, as HS256 wants it").unwrap();
    run_chmod(&file("secret"));
    let text = format!(
        "[authentication]\npassword_file = \"{}\"\nscram_file = \"{}\"\njwt_keys = \"{}\"\n",
        file("users"),
        file("keys"),
        file("secret")
    );
    Doors::open(name, &text)
}

fn run_chmod(file: &str) {
    assert!(Command::new("chmod").args(["600", file]).status().unwrap().success());
}

#[test]
fn whatever_is_too_large_is_refused_and_costs_nobody_anything() {
    let _alone = alone();
    let doors = asking("oversized");
    let resident_before = resources::resident_bytes(doors.broker.process.id());
    beside_others(doors.port("tcp"), "oversized everything", || {
        for _ in 0..ROUNDS {
            before_mqtt(&doors);
            of_identity(&doors);
        }
    });
    let grown = resources::resident_bytes(doors.broker.process.id()).saturating_sub(resident_before);
    println!("{} KiB more than before", grown / 1024);
    assert!(grown < GROWN_BYTES_MAX, "{grown}");
}

fn before_mqtt(doors: &Doors) {
    // The header of a proxy: a line without end, and as many bytes as its length can say.
    assert!(refused(doors.port("proxied"), &[b"PROXY TCP4 ", &[b'1'; 4000][..]].concat()).is_empty());
    let binary = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", &[0; 0xFFFF][..]].concat();
    assert!(refused(doors.port("proxied"), &[&binary[..], b"\xe0\0"].concat()).is_empty());
    // A ClientHello of 64 KiB, one that says it has 16 MiB, and a record that is longer than records are.
    let large = Hello { suites: (0..32_000).collect(), ..Hello::of(TLS_1_2) }.records();
    let endless = [&[22, 3, 1, 0x40, 0, 1, 0xFF, 0xFF, 0xFF][..], &[0; 0x3FFC]].concat().repeat(8);
    let long = [&[22, 3, 1, 0x48, 0x01][..], &[1; 0x4801]].concat();
    for door in ["tls", "wss", "any"] {
        for bytes in [&large, &endless, &long] {
            refused(doors.port(door), bytes);
        }
    }
    // Requests: a path, one header and many of them without end.
    let head = "GET /mqtt HTTP/1.1\r\nHost: x\r\n";
    for request in [
        format!("GET /{} HTTP/1.1\r\n", "a".repeat(100_000)),
        format!("{head}X-Long: {}\r\n\r\n", "b".repeat(100_000)),
        format!("{head}{}\r\n", "X-Many: c\r\n".repeat(10_000)),
    ] {
        for door in ["ws", "any"] {
            let answer = String::from_utf8(refused(doors.port(door), request.as_bytes())).unwrap();
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
    }
}

fn of_identity(doors: &Doors) {
    let port = doors.port("tcp");
    let large = vec![b'x'; 0xFFFF];
    let name = "x".repeat(0xFFFF);
    let token = [b"eyJhbGciOiJIUzI1NiJ9.", &b"e".repeat(60_000)[..], b".AAAA"].concat();
    for bytes in [
        connect(&name, b"geheim", None),
        connect("anna", &large, None),
        connect(&name, &large, None),
        connect("anna", &token, None),
        connect("anna", b"", Some(("SCRAM-SHA-256", &large))),
        connect("anna", b"", Some((&name, &large))),
        connect("anna", b"", Some(("JWT", &token))),
    ] {
        let answer = refused(port, &bytes);
        assert!(answer.is_empty() || (answer[0] == 0x20 && answer[3] >= 0x80), "{answer:?}");
    }
    // A packet that is larger than packets may be.
    let publish = socket::publish("t", &vec![0; 2 << 20]);
    let answer = refused(port, &[socket::connect("large", true), publish].concat());
    assert_eq!(answer, [0x20, 2, 0, 0]);
}

#[test]
fn a_chain_of_a_hundred_certificates_is_refused() {
    let _alone = alone();
    let doors = Doors::open("chain", "");
    let folder = doors.broker.folder();
    doors.authority.issue("client");
    let one = fs::read_to_string(folder.join("client.pem")).unwrap();
    fs::write(folder.join("chain.pem"), one.repeat(200)).unwrap();
    let run = |chain: &str| {
        let mut command = program::command(program::installed("timeout"));
        command.args(["20", "openssl", "s_client", "-connect", &format!("127.0.0.1:{}", doors.port("tls"))]);
        command
            .args(["-CAfile", "ca.pem", "-cert", "client.pem", "-key", "client.key"])
            .args(["-cert_chain", chain]);
        let output = command.current_dir(folder).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    beside_others(doors.port("tcp"), "long chains", || {
        for _ in 0..ROUNDS {
            run("chain.pem");
        }
    });
    doors.broker.await_counter("refused_tls", ROUNDS as u64);
}

const ROUNDS: usize = 20;

/// Buffers that a shard keeps for the next message, and what the allocator does not give back.
const GROWN_BYTES_MAX: u64 = 48 << 20;
