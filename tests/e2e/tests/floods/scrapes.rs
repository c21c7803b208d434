//! Who reads the details of ten thousand clients again and again, listens to events without reading them or stops in the midst of an answer,
//! while messages flood both shards: clients of the broker do not feel it, and lose nothing.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::QoS;
use e2e::api::Api;
use e2e::events::EventStream;
use e2e::pace::{Done, Pace};
use e2e::socket::{Socket, publish};
use e2e::{Broker, Link, Setup, resources, socket, v5};

use super::{alone, crossing::beside_streams};

#[test]
fn whatever_is_asked_of_the_api_under_full_load_holds_nobody_up() {
    let _alone = alone();
    resources::raise_open_files(CLIENTS + STREAMS);
    let broker = broker();
    let api = Api::of(&broker);
    api.await_ready();
    let idle = socket::connect_idle(broker.port, CLIENTS);
    let before = under_full_load(&broker, &api, || thread::sleep(TIME / 2));
    let silent: Vec<EventStream> = (0..STREAMS).map(|_| EventStream::ask(&api, "/v1/events")).collect();
    let mut scrapes = 0;
    let during = under_full_load(&broker, &api, || {
        let stopped = (0..STOPPED).map(|_| stop_reading(&api)).collect::<Vec<_>>();
        beside_comings_and_goings(&broker, || scrapes = scrape(&api));
        drop(stopped);
    });
    println!("before: {}\nduring: {}", before.shown(), during.shown());
    if let Some(wrong) = during.held_up_since(&before) {
        panic!("{wrong}");
    }
    assert!(scrapes > 1, "nobody was through in {TIME:?}");
    drop((silent, idle));
}

fn broker() -> Broker {
    let setup = Setup::new("scrapes").with_api().variable("IOTHUB_API__LISTEN", "127.0.0.1:0").shards(2);
    let (clients, streams) = (CLIENTS + 100, STREAMS * 4 / 3 + 1);
    setup.config(&format!("[server]\nmax_connections = {clients}\n[api]\nmax_streams = {streams}\n")).start()
}

/// Round trips while `work` is done and each shard has as many messages for the other as it can take. Beside them go messages of which
/// none may be lost.
fn under_full_load(broker: &Broker, api: &Api, work: impl FnOnce()) -> Pace {
    let (is_over, arrived) = (AtomicBool::new(false), AtomicUsize::new(0));
    let [sources, takers] = ["source", "taker"].map(|prefix| broker.ids_by_home(2, prefix));
    let mut pace = None;
    thread::scope(|scope| {
        for (source, taker) in sources.iter().zip(takers.iter().rev()) {
            let (is_over, arrived) = (&is_over, &arrived);
            scope.spawn(move || flood(broker.port, (source, taker), is_over, arrived));
        }
        let done = Done(&is_over);
        beside_streams(broker, || {
            let (begun, busy) = (Instant::now(), busy(api));
            pace = Some(Pace::during(broker.port, work).1);
            let took = begun.elapsed().as_secs_f64();
            let shares = [0, 1].map(|shard| (self::busy(api)[shard] - busy[shard]) / took);
            println!(
                "shards were busy for {shares:.2?} of the time, {} bytes arrived",
                arrived.load(Ordering::Relaxed)
            );
            assert!(shares.iter().all(|share| *share > FULL), "{shares:?} is no full load");
        });
        drop(done);
    });
    pace.unwrap()
}

/// From a client of one shard to one of the other, as fast as they take it.
fn flood(port: u16, (source, taker): (&str, &str), is_over: &AtomicBool, arrived: &AtomicUsize) {
    let topic = format!("flood/{source}");
    let mut target = Socket::connect(port, taker, true);
    target.subscribe(&topic, QoS::AtMostOnce);
    target.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let messages = publish(&topic, b"01234567890123456789").repeat(100);
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut source = Socket::connect(port, source, true);
            while !is_over.load(Ordering::Relaxed) {
                source.send(&messages);
            }
        });
        let mut bytes = vec![0; 1 << 18];
        while !is_over.load(Ordering::Relaxed) {
            arrived.fetch_add(target.stream.read(&mut bytes).unwrap_or(0), Ordering::Relaxed);
        }
    });
}

/// For how many seconds each shard has had something to do so far.
fn busy(api: &Api) -> [f64; 2] {
    let metrics = api.get("/metrics").text;
    [0, 1].map(|shard| {
        let name = format!("iothub_turn_seconds_sum{{shard=\"{shard}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.and_then(|value| value.parse().ok()).expect("each shard times its turns")
    })
}

/// Clients come and go meanwhile, which all who listen to events are told.
fn beside_comings_and_goings(broker: &Broker, work: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                Link::connect(broker.port, v5("comes-and-goes")).close();
                thread::sleep(PAUSE);
            }
        });
        let done = Done(&is_over);
        work();
        drop(done);
    });
}

/// Asks for more than the sockets hold and reads nothing of it.
fn stop_reading(api: &Api) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&SocketAddr::new(Ipv4Addr::LOCALHOST.into(), api.port).into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let ask = format!(
        "GET /v1/clients?limit=1000 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        api.token
    );
    stream.write_all(ask.repeat(4).as_bytes()).unwrap();
    stream
}

/// Each reader of pages begins anew when it has seen all clients; one more reads the details of one client after the other. Says how
/// often each of them was through at least.
fn scrape(api: &Api) -> usize {
    let until = Instant::now() + TIME;
    thread::scope(|scope| {
        let pages = [(); READERS].map(|()| scope.spawn(|| repeat(until, |_| read_clients(api))));
        let details = scope.spawn(|| repeat(until, |turn| read_client(api, turn * 7 % CLIENTS)));
        let metrics = repeat(until, |_| assert_eq!(api.get("/metrics").status, 200));
        let rounds = pages.map(|reader| reader.join().unwrap());
        let details = details.join().unwrap();
        println!("all clients were read {rounds:?} times, one {details} times, metrics {metrics} times");
        rounds.into_iter().chain([details, metrics]).min().unwrap()
    })
}

/// How often something could be done until then.
fn repeat(until: Instant, mut work: impl FnMut(usize)) -> usize {
    (0..).take_while(|_| Instant::now() < until).map(&mut work).count()
}

fn read_client(api: &Api, number: usize) {
    let client_id = format!("idle-{number}");
    assert_eq!(api.get(&format!("/v1/clients/{client_id}")).expect(200)["client"]["client_id"], *client_id);
}

/// All pages, one after the other: nobody is missing, and nobody is there twice.
fn read_clients(api: &Api) {
    let (mut seen, mut cursor) = (HashSet::new(), String::new());
    loop {
        let page = api.get(&format!("/v1/clients?limit=1000{cursor}")).expect(200);
        for client in page["clients"].as_array().unwrap() {
            let client_id = client["client_id"].as_str().unwrap();
            if client_id.starts_with("idle-") {
                assert!(seen.insert(client_id.to_owned()), "{client_id} is there twice");
            }
        }
        match page["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), CLIENTS);
}

const CLIENTS: usize = 10_000;
const STREAMS: usize = 1000;
/// Clients of the API that ask and do not read.
const STOPPED: usize = 8;
const READERS: usize = 4;
const TIME: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(10);
/// Of the time, what a shard has something to do for when it is full.
const FULL: f64 = 0.5;
