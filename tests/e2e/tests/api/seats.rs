//! Tokens that hold as many connections and streams as they may, on a machine where everybody is one address: who may do more has an answer
//! nevertheless, and of those who may do the same none keeps the other out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use e2e::api::Api;
use e2e::events::EventStream;
use e2e::{Broker, PATIENCE, Process, program};

use super::setup;

/// And the API with the token of its administrator.
fn broker(name: &str, more: &str) -> (Broker, Api) {
    let config = format!("[api]\ntokens_file = \"tokens\"\n{more}");
    let broker = setup(name).config(&config).start();
    let admin = Api::of(&broker);
    admin.await_ready();
    (broker, admin)
}

/// The same API with one more token.
fn add(broker: &Broker, admin: &Api, name: &str, role: &str) -> Api {
    let mut command = program::command(program::iothub());
    command.args(["token", "add", name, "--role", role, "--file"]).arg(broker.folder().join("tokens"));
    let mut process = Process::start("iothub token", &mut command);
    process.succeed();
    admin.with_token(&process.out_lines()[0])
}

/// A connection that asks, and has its seat.
fn sit(api: &Api) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", api.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(goes_on(&mut stream, api), "it has no seat");
    stream
}

/// Whether it is still answered.
fn goes_on(stream: &mut TcpStream, api: &Api) -> bool {
    let head = format!(
        "GET /v1/caller HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\r\n",
        api.port, api.token
    );
    let mut bytes = [0; 4096];
    stream.write_all(head.as_bytes()).is_ok()
        && matches!(stream.read(&mut bytes), Ok(count @ 1..) if bytes[..count].starts_with(b"HTTP/1.1 200"))
}

/// What comes of it while these ask on, since who asks nothing for five seconds is let go.
fn while_they_ask<T>(seated: &mut [TcpStream], api: &Api, work: impl FnOnce() -> T) -> T {
    let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
    thread::scope(|scope| {
        let asks = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) && begun.elapsed() < PATIENCE {
                assert!(seated.iter_mut().all(|stream| goes_on(stream, api)), "they keep their seats");
                thread::sleep(Duration::from_millis(200));
            }
        });
        let outcome = work();
        is_over.store(true, Ordering::Relaxed);
        asks.join().unwrap();
        outcome
    })
}

#[test]
fn a_token_that_holds_all_seats_of_the_machine_keeps_no_higher_role_out() {
    let (broker, admin) = broker("api-seats-roles", "max_connections = 4\n");
    let viewer = add(&broker, &admin, "eye", "viewer");
    let mut held = [sit(&viewer), sit(&viewer), sit(&viewer)];
    assert!(held[1..].iter_mut().all(|stream| goes_on(stream, &viewer)));
    for _ in 0..3 {
        let asked = Instant::now();
        assert_eq!(admin.get("/v1/clients").status, 200);
        assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    }
    let left: Vec<bool> = held.iter_mut().map(|stream| goes_on(stream, &viewer)).collect();
    assert_eq!(left, [false, true, true], "who has asked nothing for longest makes room, and nobody else");
    // Whoever has it does not have to give it to a viewer.
    let mut seated = [sit(&admin), sit(&admin), sit(&admin)];
    let refused = while_they_ask(&mut seated, &admin, || viewer.get("/v1/clients"));
    assert!(refused.status == 503 && refused.text.contains("api.max_connections"), "{refused:?}");
}

#[test]
fn of_two_tokens_of_the_same_role_neither_keeps_the_other_out() {
    let (broker, admin) = broker("api-seats-tokens", "max_connections = 8\n");
    let [viewer, other] = ["eye", "glass"].map(|name| add(&broker, &admin, name, "viewer"));
    let mut held: Vec<TcpStream> = (0..6).map(|_| sit(&viewer)).collect();
    let begun = Instant::now();
    let mut of_other: Vec<TcpStream> = (0..3).map(|_| sit(&other)).collect();
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let left = held.iter_mut().map(|stream| goes_on(stream, &viewer));
    assert_eq!(left.collect::<Vec<_>>(), [false, false, false, true, true, true]);
    let refused = while_they_ask(&mut held[3..], &viewer, || {
        while_they_ask(&mut of_other, &other, || other.get("/v1/caller"))
    });
    assert_eq!(refused.status, 503, "both have three");
}

#[test]
fn streams_that_a_token_holds_and_nobody_reads_keep_no_higher_role_out() {
    let (broker, admin) = broker("api-seats-streams", "max_streams = 40\n");
    let [viewer, operator] = ["viewer", "operator"].map(|role| add(&broker, &admin, role, role));
    let mut held = Vec::new();
    // As many of each kind as this machine may have, and as many of all.
    for (path, holder, share) in [("/v1/trace", &operator, 6), ("/v1/log", &viewer, 12)] {
        let mut of_kind: Vec<EventStream> = (0..share).map(|_| EventStream::ask(holder, path)).collect();
        assert!(of_kind.iter_mut().all(|stream| stream.status() == 200), "{path}");
        assert_eq!(EventStream::ask(holder, path).status(), 503, "{path}: it has its share");
        held.push(begin_at_once(&admin, path));
        assert!(of_kind[0].ends_within(PATIENCE), "{path}: the first one makes room");
        held.extend(of_kind);
    }
    let mut events: Vec<EventStream> = (0..12).map(|_| EventStream::ask(&viewer, "/v1/events")).collect();
    assert!(events.iter_mut().all(|stream| stream.status() == 200));
    assert_eq!(EventStream::ask(&viewer, "/v1/events").status(), 503);
    for api in [&admin, &operator] {
        held.push(begin_at_once(api, "/v1/events"));
    }
    assert_eq!(EventStream::ask(&viewer, "/v1/events").status(), 503, "and never the other way");
}

#[track_caller]
fn begin_at_once(api: &Api, path: &str) -> EventStream {
    let asked = Instant::now();
    let mut stream = EventStream::ask(api, path);
    assert_eq!(stream.status(), 200, "{path}");
    assert!(asked.elapsed() < AT_ONCE, "{path}: {:?}", asked.elapsed());
    stream
}

/// Whoever finds no seat waits for five seconds.
const AT_ONCE: Duration = Duration::from_secs(4);
