//! Scenario `churn`: clients that come, subscribe, send themselves a message and go, over and over. It shows what a broker
//! pays for sessions that do not last.

mod cycle;

use std::time::{Duration, Instant};

use clap::Args;
use client::QoS;
use hdrhistogram::Histogram;

use crate::BrokerArgs;
use crate::destination::Destination;
use crate::epoll::Epoll;
use crate::latency::{latencies, record, report_latencies};
use crate::ledger::Faults;
use crate::process::{Process, allow_open_files};
use crate::report::{Better, Report};
use crate::traffic::RunArgs;
use crate::usage::Usage;
use cycle::{Cycle, Plan};

#[derive(Debug, Args)]
pub struct ChurnArgs {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    message: MessageArgs,
    /// How many clients there are at a time
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    parallel: u32,
    /// Open loop: clients that come per second, as long as no more than --parallel are there; keeps this process busy
    #[arg(long, short, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
}

#[derive(Debug, Args)]
struct MessageArgs {
    /// QoS of the subscription and of the message: 0, 1 or 2
    #[arg(long, short, default_value = "0", value_parser = crate::parse_qos)]
    qos: QoS,
    /// Bytes of the payload
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u32).range(20..=1_048_576))]
    payload_bytes: u32,
}

/// The clients of a moment.
pub struct Churn {
    epoll: Epoll,
    destination: Destination,
    plan: Plan,
    slots: Vec<Slot>,
    /// Slots without a client.
    free: Vec<usize>,
    interval_ns: Option<f64>,
    began: Option<Instant>,
    /// Clients that have come so far.
    begun: u64,
    buffer: Vec<u8>,
    tokens: Vec<u64>,
    latencies: Histogram<u64>,
    done: u64,
    faults: Faults,
}

#[derive(Default)]
struct Slot {
    cycle: Option<Cycle>,
    number: u64,
}

/// Who comes, and how often.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub qos: QoS,
    pub payload_bytes: u32,
    pub parallel: u32,
    pub rate: Option<u64>,
}

pub fn run(args: &ChurnArgs) -> Result<Report, String> {
    allow_open_files(u64::from(args.parallel) + FILES_BESIDES)?;
    let process = args.run.broker.process()?;
    let this = Process::of(std::process::id())?;
    let MessageArgs { qos, payload_bytes } = args.message;
    let settings = Settings { qos, payload_bytes, parallel: args.parallel, rate: args.rate };
    let mut churn = Churn::new(&args.run.broker, settings)?;
    churn.go_on(Duration::from_secs(args.run.warmup), false)?;
    let (before, own_before, done_before) = (Usage::now(process.as_ref())?, this.cpu_time()?, churn.done);
    let begun = Instant::now();
    churn.go_on(Duration::from_secs(args.run.duration), true)?;
    let seconds = begun.elapsed().as_secs_f64();
    let unsent = churn.overdue();
    let (after, own) = (Usage::now(process.as_ref())?, this.cpu_time()?.saturating_sub(own_before));
    let cycles = (churn.done - done_before) as f64;
    churn.finish()?;
    if churn.done == 0 {
        return Err(format!("no client came to its end within {} s", begun.elapsed().as_secs()));
    }

    let mut report = Report::new("churn", seconds);
    report.add("cycles_per_s", "clients per s", cycles / seconds, "", Better::Higher);
    after.report_cpu_since(&before, cycles, ("broker_cpu_us", "broker CPU per client"), &mut report);
    after.report_share_since(&before, seconds, &mut report);
    after.report_memory(&mut report);
    if args.rate.is_some() {
        report.add("unsent", "due but never begun", unsent as f64, "", Better::Lower);
    }
    let own_percent = own.as_secs_f64() * 100.0 / seconds;
    report.add("own_cpu_percent", "own CPU", own_percent, "% of 1 core(s)", Better::Neither);
    // From the connection, or from when it was due, to the message and its acknowledgement.
    report_latencies(churn.latencies(), &mut report);
    report.faults = churn.faults();
    Ok(report)
}

impl Churn {
    pub fn new(broker: &BrokerArgs, settings: Settings) -> Result<Churn, String> {
        let Settings { qos, payload_bytes, parallel, rate } = settings;
        Ok(Churn {
            epoll: Epoll::new().map_err(|error| error.to_string())?,
            destination: broker.destination()?.clone(),
            plan: Plan { broker: broker.clone(), qos, payload_bytes },
            slots: (0..parallel).map(|_| Slot::default()).collect(),
            free: (0..parallel as usize).rev().collect(),
            interval_ns: rate.map(|rate| 1e9 / rate as f64),
            began: None,
            begun: 0,
            buffer: vec![0; READ_BYTES],
            tokens: Vec::new(),
            latencies: latencies(),
            done: 0,
            faults: Faults::default(),
        })
    }

    fn go_on(&mut self, duration: Duration, is_measuring: bool) -> Result<(), String> {
        let begun = Instant::now();
        let (mut looked, mut done) = (Instant::now(), self.done);
        // Whoever is due must not wait for the end of a sleep.
        let tick = if self.interval_ns.is_some() { Duration::ZERO } else { TICK };
        while begun.elapsed() < duration {
            self.begin_due()?;
            self.turn(tick, is_measuring)?;
            if self.done > done {
                (looked, done) = (Instant::now(), self.done);
            } else if looked.elapsed() >= PATIENCE && self.free.len() < self.slots.len() {
                return Err(format!("no client came to its end for {} s", PATIENCE.as_secs()));
            }
        }
        Ok(())
    }

    /// Lets come who is due.
    pub fn begin_due(&mut self) -> Result<(), String> {
        let began = *self.began.get_or_insert_with(Instant::now);
        while let Some(slot) = self.free.last().copied() {
            let due = match self.interval_ns {
                Some(interval_ns) => began + Duration::from_nanos((self.begun as f64 * interval_ns) as u64),
                None => Instant::now(),
            };
            if due > Instant::now() {
                break;
            }
            self.free.pop();
            self.begin(slot, due)?;
        }
        Ok(())
    }

    fn begin(&mut self, slot: usize, due: Instant) -> Result<(), String> {
        // Ports of connections that have ended stay taken for a while: the next ones come from other addresses.
        let address = (self.begun % CLIENTS_PER_ROUND) as usize;
        self.begun += 1;
        let Slot { cycle, number } = &mut self.slots[slot];
        *number += 1;
        let begun = Cycle::begin(&self.plan, &self.destination, address, (slot as u32, *number), due)?;
        self.epoll.add(&begun.connection, slot as u64).map_err(|error| error.to_string())?;
        *cycle = Some(begun);
        Ok(())
    }

    /// Handles all that is ready.
    pub fn turn(&mut self, timeout: Duration, is_measuring: bool) -> Result<(), String> {
        self.epoll.wait(timeout, &mut self.tokens).map_err(|error| error.to_string())?;
        for slot in std::mem::take(&mut self.tokens) {
            let slot = slot as usize;
            let Some(cycle) = &mut self.slots[slot].cycle else { continue };
            let is_done = cycle.receive(&self.plan, &mut self.buffer)?;
            cycle.connection.look_again(&self.epoll, slot as u64)?;
            if !is_done {
                continue;
            }
            if is_measuring {
                record(&mut self.latencies, cycle.due.elapsed());
            }
            self.faults.duplicated += cycle.duplicated;
            self.done += 1;
            self.slots[slot].cycle = None;
            self.free.push(slot);
        }
        Ok(())
    }

    /// How many clients should have come by now, beside those of the last moment.
    fn overdue(&self) -> u64 {
        let elapsed = self.began.map_or(Duration::ZERO, |began| began.elapsed()).saturating_sub(OVERDUE);
        let due = self.interval_ns.map_or(0, |interval_ns| (elapsed.as_nanos() as f64 / interval_ns) as u64);
        due.saturating_sub(self.begun)
    }

    /// Waits for those that are still there; what they do not get is lost.
    pub fn finish(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while self.free.len() < self.slots.len() && begun.elapsed() < PATIENCE {
            self.turn(TICK, false)?;
        }
        self.faults.lost += (self.slots.len() - self.free.len()) as u64;
        Ok(())
    }

    pub fn latencies(&self) -> &Histogram<u64> {
        &self.latencies
    }

    pub fn faults(&self) -> Faults {
        self.faults
    }
}

/// Twenty thousand from each of a hundred addresses.
const CLIENTS_PER_ROUND: u64 = 2_000_000;
const OVERDUE: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 4096;
const TICK: Duration = Duration::from_millis(1);
const PATIENCE: Duration = Duration::from_secs(10);
const FILES_BESIDES: u64 = 64;
