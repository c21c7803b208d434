//! Clients of the API that stop reading in the middle of a large answer: each is ended in time, holds its own place until then, and nobody else
//! notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use e2e::api::Api;
use e2e::pace::Pace;
use e2e::{Link, resources, v5};

use super::{retain, setup};

#[test]
fn who_stops_reading_an_answer_is_ended_in_time_and_nobody_else_notices() {
    let config = "[control]\nsocket = \"control.sock\"\n[api]\nmax_connections = 4\n";
    let broker = setup("api-unread").config(config).start();
    let api = Api::of(&broker);
    api.await_ready();
    let mut publisher = Link::connect(broker.port, v5("publisher"));
    for number in 0..TOPICS {
        retain(&mut publisher, &format!("{number}/{}", "x".repeat(TOPIC_BYTES)), "m");
    }
    let whole = api.get(LARGE);
    assert_eq!(whole.status, 200);
    let length = whole.text.len() * REQUESTS;
    assert!(length > LENGTH_MIN, "{length} bytes");
    let before = Pace::of(broker.port, 1000);
    let request = format!(
        "GET {LARGE} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\r\n",
        api.port, api.token
    );
    let requests = request.repeat(REQUESTS);
    let ((), during) = Pace::during(broker.port, || {
        let files = || resources::open_files(broker.process.id());
        let files_before = files();
        // Two of the three seats that one address may have.
        let mut by_tcp = [0; 2].map(|_| TcpStream::connect(("127.0.0.1", api.port)).unwrap());
        let mut by_socket = UnixStream::connect(broker.folder().join("control.sock")).unwrap();
        by_tcp.iter_mut().for_each(|stream| begin(stream, &requests));
        begin(&mut by_socket, &requests);
        let begun = Instant::now();
        assert!(files() >= files_before + 3);
        let mut ended = None;
        // One of four seats is left, and the three that one address may have are not all held.
        while ended.is_none() {
            assert!(begun.elapsed() < ENDED, "they are held for {:?}", begun.elapsed());
            answers_at_once(&api, "/livez");
            answers_at_once(&api, "/v1/clients");
            thread::sleep(Duration::from_millis(100));
            ended = (files() <= files_before).then(|| begun.elapsed());
        }
        assert!(ended > Some(Duration::from_secs(5)), "who only pauses is not cut off: {ended:?}");
        for stream in &mut by_tcp {
            is_cut(stream, length);
        }
        is_cut(&mut by_socket, length);
    });
    println!("before: {}; during: {}", before.shown(), during.shown());
    if let Some(wrong) = during.held_up_since(&before) {
        panic!("{wrong}");
    }
}

/// Whoever finds no seat waits for five seconds.
#[track_caller]
fn answers_at_once(api: &Api, path: &str) {
    let asked = Instant::now();
    assert_eq!(api.get(path).status, 200, "{path}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{path}: {:?}", asked.elapsed());
}

/// Asks, and reads no more than the beginning.
fn begin(stream: &mut (impl Read + Write), request: &str) {
    stream.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
}

/// What was on its way still comes, and then the end.
fn is_cut(stream: &mut impl Read, length: usize) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < length, "{} of {length} bytes came", rest.len());
}

const LARGE: &str = "/v1/retained?filter=%23&limit=1000";
const TOPICS: usize = 200;
const TOPIC_BYTES: usize = 8000;
/// One behind the other on each connection, as many as may wait to be read at once.
const REQUESTS: usize = 30;
/// More than the kernel keeps for a connection.
const LENGTH_MIN: usize = 12 << 20;

/// Ten seconds without a byte that is taken, and what a busy machine adds.
const ENDED: Duration = Duration::from_secs(25);
