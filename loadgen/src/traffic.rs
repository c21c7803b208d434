//! Messages from publishers to subscribers: the engine of all scenarios with a steady flow of them.
//!
//! Closed loop: at most a window of deliveries is under way, so the broker is as busy as it can be and never asked to
//! hold more than that. Open loop: messages are due at fixed times whatever the broker does, each is sent alone, and its
//! latency counts from when it was due, so that a broker that stalls cannot hide what it made others wait.

pub mod cast;
mod cost;
mod group;
mod publisher;
mod subscriber;
pub mod template;
mod worker;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use client::QoS;
use hdrhistogram::Histogram;

use crate::BrokerArgs;
use crate::churn::Churn;
use crate::connection::{Connection, Hello};
use crate::ledger::Faults;
use crate::process::{Process, allow_open_files};
use crate::report::Report;
use crate::usage::Usage;
use cast::{Cast, Pace, PublisherRole};
use cost::{Cost, Delivered};
use group::Group;
use publisher::{Place, Publisher};
use subscriber::{Expected, Subscriber};
use template::Shape;
use worker::Worker;

/// How long a run is, and against whom.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// Seconds to measure
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub duration: u64,
    /// Seconds of load before the measurement begins
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub warmup: u64,
}

/// What the scenarios with one kind of message have in common.
#[derive(Debug, Args)]
pub struct TrafficArgs {
    #[command(flatten)]
    pub run: RunArgs,
    /// QoS of publications and subscriptions: 0, 1 or 2
    #[arg(long, short, default_value = "0", value_parser = crate::parse_qos)]
    pub qos: QoS,
    /// Closed loop: deliveries under way in all, over all publishers and subscribers [default: 2000, and 1000 at QoS 1
    /// and 2, where a broker drops what a client's queue has no room for]
    #[arg(long, short, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub window: Option<u64>,
    /// Open loop: messages published per second in all, evenly spaced; keeps the sending thread busy
    #[arg(long, short, conflicts_with = "window", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub rate: Option<u64>,
    /// Bytes of a payload
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u32).range(20..=16_777_216))]
    pub payload_bytes: u32,
    /// Topics of each publisher, which publishes to them in turns
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub topics: u32,
    /// Subscribers have sessions that outlive their connections, until the run ends them: a broker with a store keeps what
    /// is on its way to them
    #[arg(long)]
    pub stored: bool,
    /// Threads of this process; the connections are shared out among them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub threads: u32,
}

impl TrafficArgs {
    pub fn window(&self) -> u64 {
        self.window.unwrap_or(if self.qos == QoS::AtMostOnce { WINDOW } else { WINDOW_OF_QUEUES })
    }

    pub fn shape(&self) -> Shape {
        Shape { qos: self.qos, payload_bytes: self.payload_bytes, retain: false }
    }
}

/// What the threads of a run share.
struct Stage {
    epoch: Instant,
    /// The publisher of each stream.
    publishers: Vec<u32>,
    /// What the messages of each stream look like.
    expected: Vec<Expected>,
    /// Deliveries by publisher.
    arrived: Vec<AtomicU64>,
    /// Messages by stream, known when publishing is over.
    sent: Vec<AtomicU64>,
    /// Deliveries by part.
    delivered: Vec<AtomicU64>,
    is_measuring: AtomicBool,
    is_over: AtomicBool,
}

/// What a thread found.
struct Findings {
    faults: Faults,
    /// By part.
    latencies: Vec<Histogram<u64>>,
    /// From when messages were due to their last acknowledgement.
    acknowledgements: Histogram<u64>,
    /// By subscriber.
    received: Vec<(u32, u64)>,
    /// Messages that were due and were never sent.
    unsent: u64,
    churn: Option<Churn>,
}

pub fn run(args: &RunArgs, threads: u32, cast: &Cast) -> Result<Report, String> {
    check(cast)?;
    end_sessions(args, cast)?;
    let report = play(args, threads, cast);
    // Also when it failed: sessions are not to stay behind.
    let ended = end_sessions(args, cast);
    let report = report?;
    ended?;
    Ok(report)
}

/// Those that would outlive their connections.
fn end_sessions(args: &RunArgs, cast: &Cast) -> Result<(), String> {
    for index in 0..if cast.is_stored { cast.subscribers.len() } else { 0 } {
        let client_id = client_id(args, cast, "subscriber", index);
        let connection = Connection::open(args.broker.destination()?, index, &args.broker.hello(&client_id))?;
        connection.end(args.broker.protocol_version)?;
    }
    Ok(())
}

fn client_id(args: &RunArgs, cast: &Cast, role: &str, index: usize) -> String {
    args.broker.client_id(&format!("{}-{role}-{index}", cast.scenario))
}

fn play(args: &RunArgs, threads: u32, cast: &Cast) -> Result<Report, String> {
    let broker = args.broker.process()?;
    let stage = Stage::new(cast);
    let groups = groups_of(cast);
    let workers = make_workers(args, threads, cast, &stage, &groups)?;
    let (begun, published) = (Barrier::new(workers.len() + 1), Barrier::new(workers.len()));
    let (failed, failure) = mpsc::channel();
    thread::scope(|scope| {
        let (begun, published) = (&begun, &published);
        let running: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                let failed = failed.clone();
                scope.spawn(move || {
                    // Before anything can fail: who waits for the others must never wait in vain.
                    begun.wait();
                    worker.run(published, &failed)
                })
            })
            .collect();
        begun.wait();
        let measured = measure(args, broker.as_ref(), threads, &stage, &failure);
        stage.is_over.store(true, Ordering::Relaxed);
        let mut findings = Vec::new();
        for thread in running {
            findings.push(thread.join().map_err(|_| "a thread panicked".to_owned())??);
        }
        let sent = |stream: u32| stage.sent[stream as usize].load(Ordering::Relaxed);
        let mut faults = Faults::default();
        for group in &groups {
            faults += group.faults(sent);
        }
        let published = (0..stage.sent.len() as u32).map(sent).sum();
        let delivered = Delivered { cast, findings, faults, published };
        let mut report = Report::new(&cast.scenario, args.duration as f64);
        let cost = measured?;
        cost.report(&mut report);
        delivered.report(&cost, &mut report)?;
        Ok(report)
    })
}

/// Waits for the time of the measurement to pass, or for the failure that ends it.
fn measure(
    args: &RunArgs,
    broker: Option<&Process>,
    threads: u32,
    stage: &Stage,
    failure: &mpsc::Receiver<()>,
) -> Result<Cost, String> {
    let pause = |seconds| match failure.recv_timeout(Duration::from_secs(seconds)) {
        Err(mpsc::RecvTimeoutError::Timeout) => Ok(()),
        _ => Err("a thread failed".to_owned()),
    };
    let this = Process::of(std::process::id())?;
    pause(args.warmup)?;
    let delivered = || stage.delivered.iter().map(|part| part.load(Ordering::Relaxed)).collect::<Vec<_>>();
    stage.is_measuring.store(true, Ordering::Relaxed);
    let delivered_before = delivered();
    let (from, broker_before, own_before) = (Instant::now(), Usage::now(broker)?, this.cpu_time()?);
    pause(args.duration)?;
    let delivered_after = delivered();
    let (duration, broker_after, own_after) = (from.elapsed(), Usage::now(broker)?, this.cpu_time()?);
    stage.is_measuring.store(false, Ordering::Relaxed);
    Ok(Cost {
        delivered: delivered_after
            .iter()
            .zip(&delivered_before)
            .map(|(after, before)| after - before)
            .collect(),
        duration,
        broker_before,
        broker_after,
        own: own_after.saturating_sub(own_before),
        threads,
    })
}

impl Stage {
    fn new(cast: &Cast) -> Stage {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let indexed = (0..).zip(&cast.publishers);
        let publishers: Vec<u32> =
            indexed.flat_map(|(index, role)| role.topics.iter().map(move |_| index)).collect();
        let expected = |role: &PublisherRole| {
            let Shape { qos, payload_bytes, .. } = role.shape;
            let of_topic = move |topic: &String| Expected { topic: topic.clone(), payload_bytes, qos };
            role.topics.iter().map(of_topic).collect::<Vec<_>>()
        };
        Stage {
            epoch: Instant::now(),
            expected: cast.publishers.iter().flat_map(expected).collect(),
            arrived: zeros(cast.publishers.len()),
            sent: zeros(publishers.len()),
            publishers,
            delivered: zeros(cast.parts.len()),
            is_measuring: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }
}

/// Refuses what this machine could not hold.
fn check(cast: &Cast) -> Result<(), String> {
    let accounts = cast.accounts();
    if accounts > ACCOUNTS_MAX {
        return Err(format!(
            "all subscribers together would get messages from {accounts} topics, each with its account, and {ACCOUNTS_MAX} \
             fit: take fewer topics, publishers or subscribers"
        ));
    }
    let parallel = cast.churn.map_or(0, |settings| u64::from(settings.parallel));
    let connections = (cast.publishers.len() + cast.subscribers.len()) as u64;
    allow_open_files(connections + parallel + FILES_BESIDES)
}

fn groups_of(cast: &Cast) -> Vec<Arc<Group>> {
    let of_group = |group| cast.subscribers.iter().find(|subscriber| subscriber.group == Some(group));
    let groups = (0..cast.groups).filter_map(of_group);
    groups.map(|member| Arc::new(Group::new(Arc::clone(&member.streams)))).collect()
}

fn make_workers<'a>(
    args: &RunArgs,
    threads: u32,
    cast: &Cast,
    stage: &'a Stage,
    groups: &[Arc<Group>],
) -> Result<Vec<Worker<'a>>, String> {
    let (destination, version) = (args.broker.destination()?, args.broker.protocol_version);
    let threads = threads as usize;
    let mut workers = Vec::new();
    for thread in 0..threads {
        workers.push(Worker::new(stage, thread, threads).map_err(|error| error.to_string())?);
    }
    if let Some(settings) = cast.churn {
        workers[0].add_churn(Churn::new(&args.broker, settings)?);
    }
    let open = |role: &str, index: usize, connections: usize, clean_start, subscription| {
        let client_id = client_id(args, cast, role, index);
        let hello = Hello { clean_start, subscription, ..args.broker.hello(&client_id) };
        Connection::open(destination, connections, &hello)
    };
    let payload_bytes_max = cast.publishers.iter().map(|role| role.shape.payload_bytes).max().unwrap_or(0);
    for (index, role) in cast.subscribers.iter().enumerate() {
        let subscription = Some((&*role.filter, role.qos));
        let mut connection = open("subscriber", index, index, !cast.is_stored, subscription)?;
        connection.expect_payloads(payload_bytes_max);
        let group = role.group.map(|group| Arc::clone(&groups[group]));
        let subscriber = Subscriber::new(connection, version, index as u32, role, group);
        workers[index % threads].add_subscriber(subscriber)?;
    }
    let receivers = cast.receivers();
    let mut first_stream = 0;
    for (index, role) in cast.publishers.iter().enumerate() {
        let connection = open("publisher", index, cast.subscribers.len() + index, true, None)?;
        let place = Place { index: index as u32, first_stream: first_stream as u32 };
        let receivers = &receivers[first_stream..first_stream + role.topics.len()];
        first_stream += role.topics.len();
        let worker = &mut workers[index % threads];
        worker.add_publisher(Publisher::new(connection, version, place, role, receivers))?;
        if let Pace::Rate(rate) = role.pace {
            worker.schedule_last(rate, cast.interval_ns(rate));
        }
    }
    Ok(workers)
}

const WINDOW: u64 = 2000;
const WINDOW_OF_QUEUES: u64 = 1000;
const FILES_BESIDES: u64 = 64;
const ACCOUNTS_MAX: u64 = 20_000_000;
