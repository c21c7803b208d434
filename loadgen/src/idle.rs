//! Scenario `idle`: what a broker pays for connections that do nothing.

use std::fmt;
use std::time::{Duration, Instant};

use clap::Args;
use client::QoS;
use client::wire::Packet;

use crate::BrokerArgs;
use crate::connection::{Connection, Hello};
use crate::epoll::Epoll;
use crate::process::allow_open_files;

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

pub struct Report {
    connections: u64,
    connecting: Duration,
    dropped: u64,
    pings: u64,
    memory: Option<Memory>,
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
    crowd.hold(Duration::from_secs(args.hold), Duration::from_secs(u64::from(args.keep_alive)) * 3 / 4)?;
    let memory = match (&process, before_bytes, cpu_before) {
        (Some(process), Some(before_bytes), Some(cpu_before)) => {
            let cpu = process.cpu_time()?.saturating_sub(cpu_before);
            Some(Memory { before_bytes, after_bytes: process.resident_bytes()?, cpu })
        }
        _ => None,
    };
    let connections = u64::from(args.connections);
    Ok(Report { connections, connecting, dropped: crowd.dropped, pings: crowd.pings, memory })
}

struct Crowd {
    epoll: Epoll,
    members: Vec<Option<Connection>>,
    dropped: u64,
    pings: u64,
}

impl Crowd {
    fn connect(args: &IdleArgs) -> Result<Crowd, String> {
        let server = args.broker.address()?;
        let epoll = Epoll::new().map_err(|error| error.to_string())?;
        let mut members = Vec::with_capacity(args.connections as usize);
        for index in 0..args.connections as usize {
            let topic = format!("loadgen/idle/{index}");
            let hello = Hello {
                version: args.broker.protocol_version,
                client_id: &format!("loadgen-idle-{index}"),
                keep_alive_s: args.keep_alive,
                subscription: Some((&topic, QoS::AtLeastOnce)),
            };
            let connection = Connection::open(server, index, &hello)
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
        while begun.elapsed() < duration {
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
        if !matches!(member.read(buffer, |_, _| Ok(())), Ok(true)) {
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.connections as f64 / self.connecting.as_secs_f64();
        writeln!(f, "connections                {:>12}", self.connections)?;
        writeln!(f, "connections made per s     {rate:>12.0}")?;
        writeln!(f, "dropped by the broker      {:>12}", self.dropped)?;
        writeln!(f, "pings sent                 {:>12}", self.pings)?;
        let Some(memory) = &self.memory else { return Ok(()) };
        let grown = memory.after_bytes as f64 - memory.before_bytes as f64;
        writeln!(f, "broker RSS before, kB      {:>12}", memory.before_bytes / 1024)?;
        writeln!(f, "broker RSS after, kB       {:>12}", memory.after_bytes / 1024)?;
        writeln!(f, "broker RSS per connection  {:>12.0} bytes", grown / self.connections as f64)?;
        writeln!(f, "broker CPU while idle      {:>12} ms", memory.cpu.as_millis())
    }
}

const READ_BYTES: usize = 4096;
const TICK: Duration = Duration::from_millis(10);
// The standard streams, the epoll descriptor and some air.
const FILES_BESIDES: u64 = 64;
