//! Scenario `p2p`: how many messages a broker passes on, and what each costs.
//!
//! A closed loop: a pair has at most a window of messages under way, so the broker is as busy as it can be and never
//! asked to hold more than that. The rate that comes out is the broker's, as long as this process has time to spare,
//! which the report says.

mod pair;

use std::fmt;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use client::QoS;

use crate::BrokerArgs;
use crate::epoll::Epoll;
use crate::ledger::Faults;
use crate::process::{Process, allow_open_files};
use pair::Pair;

#[derive(Debug, Args)]
pub struct P2pArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// How many publishers, each with a subscriber of its own
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pairs: u32,
    /// QoS of publications and subscriptions: 0, 1 or 2
    #[arg(long, short, default_value = "0", value_parser = crate::parse_qos)]
    qos: QoS,
    /// Messages of a pair that may be under way
    #[arg(long, short, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=30_000))]
    window: u32,
    /// Bytes of a payload
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u32).range(12..=16_777_216))]
    payload_bytes: u32,
    /// Seconds to measure
    #[arg(long, short, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: u64,
    /// Threads of this process; the pairs are shared out among them
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    threads: u32,
}

pub struct Report {
    duration: Duration,
    tally: Tally,
    broker_cpu: Option<Duration>,
    own_cpu: Duration,
    threads: u32,
}

/// What a thread counted.
#[derive(Debug, Default)]
struct Tally {
    published: u64,
    /// Within the time that was measured.
    delivered: u64,
    faults: Faults,
}

pub fn run(args: &P2pArgs) -> Result<Report, String> {
    allow_open_files(2 * u64::from(args.pairs) + FILES_BESIDES)?;
    let broker = args.broker.process()?;
    let this = Process::of(std::process::id())?;
    let mut shares: Vec<Vec<Pair>> = (0..args.threads).map(|_| Vec::new()).collect();
    for index in 0..args.pairs {
        shares[(index % args.threads) as usize].push(Pair::connect(args, index)?);
    }
    let barrier = Barrier::new(shares.len() + 1);
    thread::scope(|scope| {
        let barrier = &barrier;
        let workers: Vec<_> = shares
            .into_iter()
            .map(|pairs| {
                scope.spawn(move || {
                    // Before anything can fail: who waits for the others must never wait in vain.
                    barrier.wait();
                    Worker::new(pairs)?.run(Duration::from_secs(args.duration))
                })
            })
            .collect();
        let broker_cpu = || broker.as_ref().map(Process::cpu_time).transpose();
        barrier.wait();
        let (begun, broker_before, own_before) = (Instant::now(), broker_cpu(), this.cpu_time());
        thread::sleep(Duration::from_secs(args.duration));
        let (duration, broker_after, own_after) = (begun.elapsed(), broker_cpu(), this.cpu_time());
        let mut tally = Tally::default();
        for worker in workers {
            let counted = worker.join().map_err(|_| "a thread panicked".to_owned())??;
            tally.published += counted.published;
            tally.delivered += counted.delivered;
            tally.faults += counted.faults;
        }
        let broker_cpu =
            broker_after?.zip(broker_before?).map(|(after, before)| after.saturating_sub(before));
        let own_cpu = own_after?.saturating_sub(own_before?);
        Ok(Report { duration, tally, broker_cpu, own_cpu, threads: args.threads })
    })
}

/// One thread with its share of the pairs.
struct Worker {
    epoll: Epoll,
    pairs: Vec<Pair>,
    tokens: Vec<u64>,
    buffer: Vec<u8>,
}

impl Worker {
    fn new(pairs: Vec<Pair>) -> Result<Worker, String> {
        let epoll = Epoll::new().map_err(|error| error.to_string())?;
        for (at, pair) in pairs.iter().enumerate() {
            pair.register(&epoll, 2 * at as u64)?;
        }
        Ok(Worker { epoll, pairs, tokens: Vec::new(), buffer: vec![0; READ_BYTES] })
    }

    fn run(mut self, duration: Duration) -> Result<Tally, String> {
        let begun = Instant::now();
        for pair in &mut self.pairs {
            pair.top_up()?;
        }
        let mut tally = Tally::default();
        let mut checked = begun;
        while begun.elapsed() < duration {
            tally.delivered += self.turn(true)?;
            if checked.elapsed() >= STALL {
                checked = Instant::now();
                for pair in &mut self.pairs {
                    pair.write_off_if_stalled()?;
                }
            }
        }
        // What is under way may still arrive; after that it is lost.
        let stopped = Instant::now();
        while stopped.elapsed() < DRAIN && self.pairs.iter().any(Pair::is_unfinished) {
            self.turn(false)?;
        }
        for pair in &self.pairs {
            tally.published += pair.published();
            tally.faults += pair.faults();
        }
        Ok(tally)
    }

    /// Handles all that is ready; gives the number of deliveries.
    fn turn(&mut self, publishing: bool) -> Result<u64, String> {
        self.epoll.wait(TICK, &mut self.tokens).map_err(|error| error.to_string())?;
        let mut delivered = 0;
        for token in self.tokens.drain(..) {
            let pair = &mut self.pairs[(token / 2) as usize];
            if token % 2 == PUBLISHER {
                pair.receive_acknowledgements(&mut self.buffer)?;
            } else {
                delivered += pair.receive_deliveries(&mut self.buffer)?;
            }
            if publishing {
                pair.top_up()?;
            }
        }
        Ok(delivered)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.duration.as_secs_f64();
        let Faults { lost, duplicated, reordered } = self.tally.faults;
        writeln!(f, "deliveries per s           {:>12.0}", self.tally.delivered as f64 / seconds)?;
        if let Some(cpu) = self.broker_cpu {
            let delivered = self.tally.delivered.max(1) as f64;
            writeln!(f, "broker CPU per delivery    {:>12.2} us", cpu.as_secs_f64() * 1e6 / delivered)?;
            writeln!(
                f,
                "broker CPU                 {:>12.0} % of a core",
                cpu.as_secs_f64() * 100.0 / seconds
            )?;
        }
        let own = self.own_cpu.as_secs_f64() * 100.0 / seconds;
        writeln!(f, "own CPU                    {own:>12.0} % of {} core(s)", self.threads)?;
        writeln!(f, "published                  {:>12}", self.tally.published)?;
        writeln!(f, "lost                       {lost:>12}")?;
        writeln!(f, "duplicated                 {duplicated:>12}")?;
        writeln!(f, "reordered                  {reordered:>12}")
    }
}

// The lowest bit of a token tells the two connections of a pair apart.
const PUBLISHER: u64 = 0;
const READ_BYTES: usize = 256 * 1024;
const TICK: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(3);
const FILES_BESIDES: u64 = 64;
