//! Messages from publishers to subscribers: the engine of `p2p`, `fanin` and `fanout`.
//!
//! Closed loop: at most a window of deliveries is under way, so the broker is as busy as it can be and never asked to
//! hold more than that. Open loop: messages are due at fixed times whatever the broker does, each is sent alone, and its
//! latency counts from when it was due, so that a broker that stalls cannot hide what it made others wait.

mod publisher;
mod subscriber;
mod template;
mod worker;

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use client::QoS;
use hdrhistogram::Histogram;

use crate::BrokerArgs;
use crate::connection::{Connection, Hello};
use crate::ledger::Faults;
use crate::process::{Process, allow_open_files};
use crate::report::{Better, Quantile, Report};
use publisher::Publisher;
use subscriber::Subscriber;
use template::Template;
use worker::{Pace, Worker};

/// What all scenarios with messages have in common.
#[derive(Debug, Args)]
pub struct TrafficArgs {
    #[command(flatten)]
    pub broker: BrokerArgs,
    /// QoS of publications and subscriptions: 0, 1 or 2
    #[arg(long, short, default_value = "0", value_parser = crate::parse_qos)]
    qos: QoS,
    /// Closed loop: deliveries under way in all, over all publishers and subscribers
    #[arg(long, short, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    window: u64,
    /// Open loop: messages published per second in all, evenly spaced; keeps the sending thread busy
    #[arg(long, short, conflicts_with = "window", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: Option<u64>,
    /// Bytes of a payload
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u32).range(20..=16_777_216))]
    payload_bytes: u32,
    /// Seconds to measure
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// Seconds of load before the measurement begins
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3600))]
    warmup: u64,
    /// Threads of this process; the connections are shared out among them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    threads: u32,
}

/// Who publishes where and who gets it.
pub struct Cast {
    pub scenario: &'static str,
    /// The topic of each publisher.
    pub topics: Vec<String>,
    /// The filter of each subscriber, and the publishers whose messages it gets.
    pub subscribers: Vec<(String, std::ops::Range<u32>)>,
    /// Deliveries of each message.
    pub receivers: u64,
}

/// What the threads of a run share.
struct Stage {
    epoch: Instant,
    /// Deliveries by publisher.
    arrived: Vec<AtomicU64>,
    /// Messages by publisher, known when publishing is over.
    sent: Vec<AtomicU64>,
    delivered: AtomicU64,
    is_measuring: AtomicBool,
    is_over: AtomicBool,
}

/// What a thread found.
struct Findings {
    faults: Faults,
    latencies: Histogram<u64>,
}

pub fn run(args: &TrafficArgs, cast: &Cast) -> Result<Report, String> {
    allow_open_files((cast.topics.len() + cast.subscribers.len()) as u64 + FILES_BESIDES)?;
    let broker = args.broker.process()?;
    let this = Process::of(std::process::id())?;
    let counts = || cast.topics.iter().map(|_| AtomicU64::new(0)).collect();
    let stage = Stage {
        epoch: Instant::now(),
        arrived: counts(),
        sent: counts(),
        delivered: AtomicU64::new(0),
        is_measuring: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
    };
    let workers = make_workers(args, cast, &stage)?;
    let (begun, published) = (Barrier::new(workers.len() + 1), Barrier::new(workers.len()));
    thread::scope(|scope| {
        let (begun, published) = (&begun, &published);
        let threads: Vec<_> = workers
            .into_iter()
            .map(|worker| {
                scope.spawn(move || {
                    // Before anything can fail: who waits for the others must never wait in vain.
                    begun.wait();
                    worker.run(published)
                })
            })
            .collect();
        begun.wait();
        thread::sleep(Duration::from_secs(args.warmup));
        let broker_cpu = || broker.as_ref().map(Process::cpu_time).transpose();
        stage.is_measuring.store(true, Ordering::Relaxed);
        let delivered_before = stage.delivered.load(Ordering::Relaxed);
        let (from, broker_before, own_before) = (Instant::now(), broker_cpu(), this.cpu_time());
        thread::sleep(Duration::from_secs(args.duration));
        let delivered = stage.delivered.load(Ordering::Relaxed) - delivered_before;
        let (duration, broker_after, own_after) = (from.elapsed(), broker_cpu(), this.cpu_time());
        let broker_bytes = broker.as_ref().map(Process::resident_bytes).transpose();
        stage.is_measuring.store(false, Ordering::Relaxed);
        stage.is_over.store(true, Ordering::Relaxed);

        let mut report = Report::new(cast.scenario, duration.as_secs_f64());
        let mut all_latencies = latencies();
        for thread in threads {
            let found = thread.join().map_err(|_| "a thread panicked".to_owned())??;
            report.faults += found.faults;
            all_latencies.add(&found.latencies).map_err(|error| error.to_string())?;
        }
        let cost = Cost {
            delivered,
            duration,
            broker: broker_after?.zip(broker_before?).map(|(after, before)| after.saturating_sub(before)),
            broker_bytes: broker_bytes?,
            own: own_after?.saturating_sub(own_before?),
            threads: args.threads,
        };
        cost.report(&mut report);
        report_latencies(&all_latencies, &mut report);
        let sent: u64 = stage.sent.iter().map(|sent| sent.load(Ordering::Relaxed)).sum();
        report.add("published", "published in all", sent as f64, "", Better::Neither);
        Ok(report)
    })
}

fn make_workers<'a>(args: &TrafficArgs, cast: &Cast, stage: &'a Stage) -> Result<Vec<Worker<'a>>, String> {
    let (server, version) = (args.broker.address()?, args.broker.protocol_version);
    let pace = match args.rate {
        Some(rate) => Pace::open(rate, args.threads),
        None => Pace::Window((args.window / (cast.topics.len() as u64 * cast.receivers.max(1))).max(1)),
    };
    let threads = args.threads as usize;
    let mut workers = Vec::new();
    for thread in 0..threads {
        workers.push(Worker::new(stage, pace, thread, threads).map_err(|error| error.to_string())?);
    }
    let open = |role: &str, index: usize, connections: usize, subscription| {
        let client_id = format!("loadgen-{}-{role}-{index}", cast.scenario);
        let hello = Hello { version, client_id: &client_id, keep_alive_s: 0, subscription };
        Connection::open(server, connections, &hello)
    };
    for (index, (filter, publishers)) in cast.subscribers.iter().enumerate() {
        let connection = open("subscriber", index, index, Some((filter, args.qos)))?;
        let subscriber = Subscriber::new(connection, version, index as u32, publishers.clone());
        workers[index % threads].add_subscriber(subscriber)?;
    }
    for (index, topic) in cast.topics.iter().enumerate() {
        let connection = open("publisher", index, cast.subscribers.len() + index, None)?;
        let template = Template::new(topic, args.qos, args.payload_bytes as usize, version);
        let publisher = Publisher::new(connection, version, template, index as u32, cast.receivers);
        workers[index % threads].add_publisher(publisher)?;
    }
    Ok(workers)
}

/// What the time that was measured has cost.
struct Cost {
    delivered: u64,
    duration: Duration,
    broker: Option<Duration>,
    broker_bytes: Option<u64>,
    own: Duration,
    threads: u32,
}

impl Cost {
    fn report(&self, report: &mut Report) {
        let seconds = self.duration.as_secs_f64();
        let delivered = self.delivered as f64;
        report.add("deliveries_per_s", "deliveries per s", delivered / seconds, "", Better::Higher);
        if let Some(cpu) = self.broker.map(|cpu| cpu.as_secs_f64()) {
            let each_us = cpu * 1e6 / delivered.max(1.0);
            report.add("broker_cpu_us", "broker CPU per delivery", each_us, "us", Better::Lower);
            let percent = cpu * 100.0 / seconds;
            report.add("broker_cpu_percent", "broker CPU", percent, "% of a core", Better::Neither);
        }
        if let Some(bytes) = self.broker_bytes {
            report.add("broker_rss_bytes", "broker memory", bytes as f64, "bytes", Better::Lower);
        }
        let own = self.own.as_secs_f64() * 100.0 / seconds;
        let unit = format!("% of {} core(s)", self.threads);
        report.add("own_cpu_percent", "own CPU", own, &unit, Better::Neither);
    }
}

/// Adds percentiles and the curve.
pub fn report_latencies(latencies: &Histogram<u64>, report: &mut Report) {
    if latencies.is_empty() {
        return;
    }
    let us = |nanos: u64| nanos as f64 / 1000.0;
    for (key, label, fraction) in [
        ("latency_p50_us", "latency p50", 0.5),
        ("latency_p90_us", "latency p90", 0.9),
        ("latency_p99_us", "latency p99", 0.99),
        ("latency_p999_us", "latency p99.9", 0.999),
    ] {
        report.add(key, label, us(latencies.value_at_quantile(fraction)), "us", Better::Lower);
    }
    report.add("latency_max_us", "latency max", us(latencies.max()), "us", Better::Lower);
    let curve = latencies.iter_quantiles(QUANTILES_PER_HALVING);
    report.latency = curve
        .map(|step| Quantile { fraction: step.quantile_iterated_to(), us: us(step.value_iterated_to()) })
        .collect();
}

/// From a nanosecond to a minute, three digits exact.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3).expect("the bounds are in order")
}

const LATENCY_MAX_NS: u64 = 60_000_000_000;
const FILES_BESIDES: u64 = 64;
const QUANTILES_PER_HALVING: u32 = 4;
