//! Scenario `idle`: what a broker pays for connections that do nothing.

use std::time::{Duration, Instant};

use clap::Args;
use client::QoS;
use client::wire::Packet;

use crate::BrokerArgs;
use crate::connection::{Connection, Hello};
use crate::epoll::Epoll;
use crate::process::allow_open_files;
use crate::report::{Better, Report};

#[derive(Debug, Args)]
pub struct IdleArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// How many connections
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Seconds to hold them open
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    hold: u64,
    /// Keep-alive in seconds; every connection pings when three quarters of it have passed
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(4..))]
    keep_alive: u16,
}

struct Memory {
    before_bytes: u64,
    after_bytes: u64,
    cpu: Duration,
}

pub fn run(args: &IdleArgs) -> Result<Report, String> {
    allow_open_files(u64::from(args.connections) + FILES_BESIDES)?;
    let process = args.broker.process()?;
    let before_bytes = process.as_ref().map(|process| process.resident_bytes()).transpose()?;
    let begun = Instant::now();
    let mut crowd = Crowd::connect(args)?;
    let connecting = begun.elapsed();
    let cpu_before = process.as_ref().map(|process| process.cpu_time()).transpose()?;
    let held = Instant::now();
    crowd.hold(Duration::from_secs(args.hold), Duration::from_secs(u64::from(args.keep_alive)) * 3 / 4)?;
    let connections = f64::from(args.connections);
    let mut report = Report::new("idle", held.elapsed().as_secs_f64());
    report.add("connections", "connections", connections, "", Better::Neither);
    let rate = connections / connecting.as_secs_f64();
    report.add("made_per_s", "made one after the other", rate, "per s", Better::Neither);
    report.add("dropped", "dropped by the broker", crowd.dropped as f64, "", Better::Lower);
    report.add("pings", "pings sent", crowd.pings as f64, "", Better::Neither);
    if let (Some(process), Some(before_bytes), Some(cpu_before)) = (&process, before_bytes, cpu_before) {
        let cpu = process.cpu_time()?.saturating_sub(cpu_before);
        Memory { before_bytes, after_bytes: process.resident_bytes()?, cpu }.report(connections, &mut report);
    }
    Ok(report)
}

impl Memory {
    fn report(&self, connections: f64, report: &mut Report) {
        let grown = self.after_bytes as f64 - self.before_bytes as f64;
        report.add(
            "broker_rss_before_bytes",
            "broker memory before",
            self.before_bytes as f64,
            "bytes",
            Better::Lower,
        );
        report.add("broker_rss_bytes", "broker memory", self.after_bytes as f64, "bytes", Better::Lower);
        report.add(
            "bytes_per_connection",
            "memory per connection",
            grown / connections,
            "bytes",
            Better::Lower,
        );
        let cpu_ms = self.cpu.as_secs_f64() * 1000.0;
        report.add("idle_cpu_ms", "broker CPU while idle", cpu_ms, "ms", Better::Lower);
    }
}

struct Crowd {
    epoll: Epoll,
    members: Vec<Option<Connection>>,
    dropped: u64,
    pings: u64,
}

impl Crowd {
    fn connect(args: &IdleArgs) -> Result<Crowd, String> {
        let destination = args.broker.destination()?;
        let epoll = Epoll::new().map_err(|error| error.to_string())?;
        let mut members = Vec::with_capacity(args.connections as usize);
        for index in 0..args.connections as usize {
            let topic = args.broker.topic(&format!("idle/{index}"));
            let client_id = args.broker.client_id(&format!("idle-{index}"));
            let hello = Hello {
                keep_alive_s: args.keep_alive,
                subscription: Some((&topic, QoS::AtLeastOnce)),
                ..args.broker.hello(&client_id)
            };
            let connection = Connection::open(destination, index, &hello)
                .map_err(|error| format!("after {index} connections: {error}"))?;
            epoll.add(&connection, index as u64).map_err(|error| error.to_string())?;
            members.push(Some(connection));
        }
        Ok(Crowd { epoll, members, dropped: 0, pings: 0 })
    }

    /// Pings are spread over the interval, as those of independent clients are.
    fn hold(&mut self, duration: Duration, ping_interval: Duration) -> Result<(), String> {
        let begun = Instant::now();
        let mut pingreq = Vec::new();
        Packet::Pingreq.encode(client::Version::V311, &mut pingreq);
        let mut pinged = 0u64;
        let mut buffer = vec![0; READ_BYTES];
        let mut tokens = Vec::new();
        while begun.elapsed() < duration && self.dropped < self.members.len() as u64 {
            let left = duration.saturating_sub(begun.elapsed());
            self.epoll.wait(left.min(TICK), &mut tokens).map_err(|error| error.to_string())?;
            for token in tokens.drain(..) {
                self.receive(token as usize, &mut buffer);
            }
            let due = begun.elapsed().as_secs_f64() / ping_interval.as_secs_f64() * self.members.len() as f64;
            while pinged < due as u64 {
                self.ping((pinged % self.members.len() as u64) as usize, &pingreq);
                pinged += 1;
            }
        }
        Ok(())
    }

    fn receive(&mut self, index: usize, buffer: &mut [u8]) {
        let Some(member) = &mut self.members[index] else { return };
        let is_open = member.read(buffer, |_, _| Ok(())).unwrap_or(false);
        if !is_open || member.look_again(&self.epoll, index as u64).is_err() {
            self.drop_member(index);
        }
    }

    fn ping(&mut self, index: usize, pingreq: &[u8]) {
        let Some(member) = &mut self.members[index] else { return };
        member.output.extend_from_slice(pingreq);
        self.pings += 1;
        if member.flush().is_err() {
            self.drop_member(index);
        }
    }

    fn drop_member(&mut self, index: usize) {
        self.members[index] = None;
        self.dropped += 1;
    }
}

const READ_BYTES: usize = 4096;
const TICK: Duration = Duration::from_millis(10);
// The standard streams, the epoll descriptor and some air.
const FILES_BESIDES: u64 = 64;
