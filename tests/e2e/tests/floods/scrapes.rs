//! Who reads the details of ten thousand clients again and again, and the metrics, while messages flow: clients of the broker do not feel it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::QoS;
use e2e::api::Api;
use e2e::pace::{Done, Pace};
use e2e::{Broker, Link, Setup, resources, socket, v5};

use super::alone;

#[test]
fn scrapes_of_ten_thousand_clients_under_load_hold_nobody_up() {
    let _alone = alone();
    resources::raise_open_files(CLIENTS);
    let broker = broker();
    let api = Api::of(&broker);
    api.await_ready();
    let idle = socket::connect_idle(broker.port, CLIENTS);
    let (before, messages_before) = under_load(&broker, || thread::sleep(TIME / 2));
    let (during, messages) = under_load(&broker, || scrape(&api));
    println!("before: {}, {messages_before} messages", before.shown());
    println!("during: {}, {messages} messages", during.shown());
    if let Some(wrong) = during.held_up_since(&before) {
        panic!("{wrong}");
    }
    assert!(during.worst() < SLOW, "{}", during.shown());
    assert!(messages > MESSAGES_MIN, "{messages} messages are no load");
    drop(idle);
}

fn broker() -> Broker {
    let setup = Setup::new("scrapes").with_api().variable("IOTHUB_API__LISTEN", "127.0.0.1:0").shards(2);
    setup.config(&format!("[server]\nmax_connections = {}\n", CLIENTS + 100)).start()
}

/// Round trips while messages flow and `work` is done, and how many messages arrived meanwhile.
fn under_load(broker: &Broker, work: impl FnOnce()) -> (Pace, usize) {
    let (is_over, arrived) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for pair in 0..PAIRS {
            let (is_over, arrived) = (&is_over, &arrived);
            scope.spawn(move || {
                let topic = format!("load/{pair}");
                let mut subscriber = Link::connect(broker.port, v5(&format!("subscriber-{pair}")));
                subscriber.subscribe(&topic, QoS::AtLeastOnce);
                let mut publisher = Link::connect(broker.port, v5(&format!("publisher-{pair}")));
                while !is_over.load(Ordering::Relaxed) {
                    publisher.publish(&topic, vec![b'm'; 100], QoS::AtLeastOnce);
                    subscriber.message();
                    arrived.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let done = Done(&is_over);
        let ((), pace) = Pace::during(broker.port, work);
        drop(done);
        (pace, arrived.load(Ordering::Relaxed))
    })
}

/// Each reader of pages begins anew when it has seen all clients; one more reads the details of one client after the other.
fn scrape(api: &Api) {
    let until = Instant::now() + TIME;
    thread::scope(|scope| {
        let pages = [(); READERS].map(|()| scope.spawn(|| repeat(until, |_| read_clients(api))));
        let details = scope.spawn(|| repeat(until, |turn| read_client(api, turn * 7 % CLIENTS)));
        let metrics = repeat(until, |_| assert_eq!(api.get("/metrics").status, 200));
        let rounds = pages.map(|reader| reader.join().unwrap());
        let details = details.join().unwrap();
        println!("all clients were read {rounds:?} times, one {details} times, metrics {metrics} times");
        assert!(rounds.iter().chain([&details, &metrics]).all(|turns| *turns > 1));
    });
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
const READERS: usize = 4;
const PAIRS: usize = 4;
const TIME: Duration = Duration::from_secs(10);
const MESSAGES_MIN: usize = 1000;
/// Much slower than a broker that is not held up, much quicker than one that is.
const SLOW: Duration = Duration::from_millis(500);
