//! A thousand who listen to events, most of whom never read: clients of the broker do not feel it, its memory does not grow with it, and
//! who reads hears everything or how much it has missed.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::{QoS, Version};
use e2e::api::Api;
use e2e::events::EventStream;
use e2e::link::lasting;
use e2e::{Broker, Link, PATIENCE, Setup, resources, v5};
use serde_json::Value;

use super::{alone, beside_others};

#[test]
fn a_thousand_streams_that_hardly_anybody_reads_hold_nobody_up() {
    let _alone = alone();
    resources::raise_open_files(STREAMS);
    let broker = broker();
    let api = Api::of(&broker);
    api.await_ready();
    let process = broker.process.id();
    let mut away = Link::connect(broker.port, lasting(Version::V5, "away"));
    away.subscribe("away/#", QoS::AtLeastOnce);
    away.close();
    // Of the same load without anybody who listens.
    beside_others(broker.port, "load", || cause_events(&broker, "before", LOAD_TIME / 4));
    let memory = resources::resident_bytes(process);

    let readers: Vec<EventStream> = (0..READERS).map(|_| EventStream::open(&api, "/v1/events")).collect();
    let mut silent: Vec<EventStream> =
        (0..STREAMS - READERS).map(|_| EventStream::ask(&api, "/v1/events")).collect();
    // No more than the beginning is read of any.
    assert!(silent.iter_mut().all(|stream| stream.status() == 200));
    let files = resources::open_files(process);
    let lost_before = broker.counter("dropped_queue_messages");
    let (cycles, heard, peak) = beside_others(broker.port, "a thousand streams", || {
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers: Vec<_> =
                readers.into_iter().map(|reader| scope.spawn(move || hear(reader))).collect();
            let watching = scope.spawn(|| {
                let mut peak = 0;
                while !is_over.load(Ordering::Relaxed) {
                    peak = peak.max(resources::resident_bytes(process));
                    thread::sleep(Duration::from_millis(50));
                }
                peak
            });
            let cycles = cause_events(&broker, "client", LOAD_TIME);
            // Who takes nothing for ten seconds is cut off meanwhile.
            await_files(process, files - silent.len() + 20);
            say_goodbye(&broker);
            is_over.store(true, Ordering::Relaxed);
            let heard: Vec<Heard> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
            (cycles, heard, watching.join().unwrap())
        })
    });
    drop(silent);
    let lost = broker.counter("dropped_queue_messages") - lost_before;
    let grown = peak.saturating_sub(memory) >> 20;
    println!("{cycles} clients came and went, {lost} messages were lost, memory grew by {grown} MiB");
    assert!(cycles > 100 && lost > 100, "{cycles} clients, {lost} messages: no load");
    assert!(grown < MEMORY_MIB_MAX, "{grown} MiB for {STREAMS} streams");
    for heard in &heard {
        heard.check(cycles, lost);
    }
    let complete = heard.iter().filter(|heard| heard.missed == 0).count();
    println!("{complete} of {READERS} readers missed nothing");
}

fn broker() -> Broker {
    let setup = Setup::new("streams").with_api().variable("IOTHUB_API__LISTEN", "127.0.0.1:0").shards(2);
    std::fs::write(setup.folder().join("acl"), "topic readwrite #\ntopic deny closed/#\n").unwrap();
    let text = format!(
        "[access]\nacl_file = \"acl\"\n[session]\nmax_queued_messages = 1\n[log]\nlevel = \"info\"\n\
         [api]\nmax_streams = {}\n",
        STREAMS * 4 / 3 + 1
    );
    setup.config(&text).start()
}

/// Clients that come, are denied something, have a message lost for somebody who is away, and go. Says how many there were.
fn cause_events(broker: &Broker, name: &str, time: Duration) -> usize {
    let until = Instant::now() + time;
    let count = AtomicUsize::new(0);
    thread::scope(|scope| {
        for publisher in 0..PUBLISHERS {
            let count = &count;
            scope.spawn(move || {
                for n in 0.. {
                    if Instant::now() > until {
                        return;
                    }
                    let mut link = Link::connect(broker.port, v5(&format!("{name}-{publisher}-{n}")));
                    link.publish("closed/x", "", QoS::AtMostOnce);
                    for _ in 0..4 {
                        link.publish("away/t", "lost", QoS::AtLeastOnce);
                    }
                    link.close();
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(PAUSE);
                }
            });
        }
    });
    count.into_inner()
}

/// What every reader waits for.
fn say_goodbye(broker: &Broker) {
    // Losses are told later than what they came with.
    thread::sleep(Duration::from_millis(500));
    for _ in 0..3 {
        Link::connect(broker.port, v5(GOODBYE)).close();
    }
}

struct Heard {
    came: usize,
    denied: usize,
    went: usize,
    messages: u64,
    refused: u64,
    missed: u64,
}

fn hear(mut stream: EventStream) -> Heard {
    let mut heard = Heard { came: 0, denied: 0, went: 0, messages: 0, refused: 0, missed: 0 };
    let is_load = |event: &Value| event["client_id"].as_str().is_some_and(|id| id.starts_with("client-"));
    while let Some(event) = stream.next_event() {
        match event["event"].as_str().unwrap() {
            "connected" if event["client_id"] == GOODBYE => return heard,
            "connected" => heard.came += usize::from(is_load(&event)),
            "denied" => heard.denied += usize::from(is_load(&event)),
            "disconnected" => heard.went += usize::from(is_load(&event)),
            "dropped" if event["cause"] == "queue_messages" => {
                heard.messages += event["count"].as_u64().unwrap()
            }
            "dropped" => {
                assert_eq!(event["cause"], "publish_denied", "{event}");
                heard.refused += event["count"].as_u64().unwrap();
            }
            "lost" => heard.missed += event["count"].as_u64().unwrap(),
            _ => {}
        }
    }
    panic!("a stream that is read ends: {} clients came", heard.came)
}

impl Heard {
    fn check(&self, cycles: usize, lost: u64) {
        let Heard { came, denied, went, messages, refused, missed } = *self;
        let shown = format!(
            "{came} came, {denied} denied, {refused} refused, {went} went of {cycles}, {messages} of {lost}, {missed} missed"
        );
        assert!(came <= cycles && denied <= cycles && went <= cycles && messages <= lost, "{shown}");
        let absent = (3 * cycles - came - denied - went) as u64;
        assert!(absent <= missed, "{shown}");
        assert!(missed > 0 || (messages, refused) == (lost, cycles as u64), "{shown}");
    }
}

#[track_caller]
fn await_files(process: u32, most: usize) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while resources::open_files(process) > most {
        let open = resources::open_files(process);
        assert!(Instant::now() < deadline, "{open} files are open, and {most} should be");
        thread::sleep(Duration::from_millis(20));
    }
}

const STREAMS: usize = 1000;
const READERS: usize = 8;
const PUBLISHERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(10);
const LOAD_TIME: Duration = Duration::from_secs(12);
const GOODBYE: &str = "goodbye";
/// A ring of 8 MiB for all, and what a connection of the API takes while it writes.
const MEMORY_MIB_MAX: u64 = 128;
