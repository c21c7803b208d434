//! Scenario `connect`: how fast a broker takes clients in, and what each costs from the first SYN to its CONNACK, and
//! again from its DISCONNECT to the end.

use std::time::{Duration, Instant};

use clap::Args;
use client::Version;
use client::wire::{Connack, Packet, PacketKind};
use hdrhistogram::Histogram;

use crate::BrokerArgs;
use crate::acknowledgement::unexpected;
use crate::connection::{Connection, Hello, refusal, unusable};
use crate::epoll::Epoll;
use crate::latency::{latencies, record, report_latencies};
use crate::process::{Process, allow_open_files};
use crate::report::{Better, Report};

#[derive(Debug, Args)]
pub struct ConnectArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// How many connections; all stay open until the last one is made
    #[arg(long, short = 'n', default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// How many are being made at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    parallel: u32,
}

pub fn run(args: &ConnectArgs) -> Result<Report, String> {
    allow_open_files(u64::from(args.connections) + FILES_BESIDES)?;
    let broker = args.broker.process()?;
    let cpu = || broker.as_ref().map(Process::cpu_time).transpose();
    let this = Process::of(std::process::id())?;
    let mut crowd = Crowd::new(args)?;
    let (begun, cpu_before, own_before) = (Instant::now(), cpu()?, this.cpu_time()?);
    crowd.connect(args)?;
    let (seconds, cpu_between) = (begun.elapsed().as_secs_f64(), cpu()?);
    let own = this.cpu_time()?.saturating_sub(own_before).as_secs_f64();
    crowd.disconnect()?;
    // The broker learns of the last ends a moment later than this process.
    let cpu_after = broker.as_ref().map(Process::settled_cpu_time).transpose()?;

    let connections = f64::from(args.connections);
    let mut report = Report::new("connect", seconds);
    report.add("connects_per_s", "connections per s", connections / seconds, "", Better::Higher);
    let each_us =
        |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() * 1e6 / connections;
    if let (Some(before), Some(between), Some(after)) = (cpu_before, cpu_between, cpu_after) {
        report.add(
            "broker_cpu_us",
            "broker CPU per connection",
            each_us(between, before),
            "us",
            Better::Lower,
        );
        report.add("close_cpu_us", "broker CPU per end", each_us(after, between), "us", Better::Lower);
    }
    crowd.report_handshakes(&mut report);
    report.add("own_cpu_percent", "own CPU", own * 100.0 / seconds, "% of 1 core(s)", Better::Neither);
    report_latencies(&crowd.latencies, &mut report);
    Ok(report)
}

struct Crowd {
    epoll: Epoll,
    version: Version,
    members: Vec<Member>,
    made: u32,
    /// Of those that are made, over TLS: begun anew, and gone on with.
    full: u32,
    resumed: u32,
    latencies: Histogram<u64>,
}

struct Member {
    connection: Connection,
    begun: Instant,
    is_made: bool,
}

impl Crowd {
    fn new(args: &ConnectArgs) -> Result<Crowd, String> {
        Ok(Crowd {
            epoll: Epoll::new().map_err(|error| error.to_string())?,
            version: args.broker.protocol_version,
            members: Vec::with_capacity(args.connections as usize),
            made: 0,
            full: 0,
            resumed: 0,
            latencies: latencies(),
        })
    }

    fn connect(&mut self, args: &ConnectArgs) -> Result<(), String> {
        let mut tokens = Vec::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut progress = Instant::now();
        while self.made < args.connections {
            while self.members.len() < args.connections as usize
                && self.members.len() - (self.made as usize) < args.parallel as usize
            {
                self.begin_one(args)?;
            }
            self.epoll.wait(TICK, &mut tokens).map_err(|error| error.to_string())?;
            let made_before = self.made;
            for token in tokens.drain(..) {
                self.look_at(token as usize, &mut buffer)?;
            }
            if self.made > made_before {
                progress = Instant::now();
            } else if progress.elapsed() >= PATIENCE {
                return Err(format!(
                    "no CONNACK for {} s after {} connections",
                    PATIENCE.as_secs(),
                    self.made
                ));
            }
        }
        Ok(())
    }

    fn begin_one(&mut self, args: &ConnectArgs) -> Result<(), String> {
        let index = self.members.len();
        let client_id = args.broker.client_id(&format!("connect-{index}"));
        let hello = Hello { keep_alive_s: 60, ..args.broker.hello(&client_id) };
        let begun = Instant::now();
        let connection = Connection::begin(args.broker.destination()?, index, &hello)?;
        self.epoll.add(&connection, index as u64).map_err(|error| error.to_string())?;
        self.members.push(Member { connection, begun, is_made: false });
        Ok(())
    }

    fn look_at(&mut self, index: usize, buffer: &mut [u8]) -> Result<(), String> {
        let Crowd { epoll, members, made, full, resumed, latencies, version } = self;
        let version = *version;
        let Member { connection, begun, is_made } = &mut members[index];
        if *is_made {
            return Ok(());
        }
        connection.flush()?;
        let open = connection.read(buffer, |frame, _| match (frame.kind, frame.body) {
            (PacketKind::Connack, [_, 0, ..]) if !*is_made => {
                *is_made = true;
                *made += 1;
                record(latencies, begun.elapsed());
                Ok(())
            }
            (PacketKind::Connack, _) if !*is_made => {
                let connack = Connack::decode(frame, version).map_err(unusable)?;
                Err(format!("the broker refused connection {index}: {}", refusal(connack.reason)))
            }
            _ => Err(unexpected(frame, version, &format!("connection {index}"))),
        });
        let open = open?;
        if *is_made {
            match connection.is_resumed() {
                Some(true) => *resumed += 1,
                Some(false) => *full += 1,
                None => {}
            }
        }
        connection.look_again(epoll, index as u64)?;
        match open {
            true => Ok(()),
            false => Err(format!("the broker closed connection {index} before its CONNACK")),
        }
    }

    fn report_handshakes(&self, report: &mut Report) {
        if self.full + self.resumed > 0 {
            report.add("tls_full", "TLS handshakes in full", f64::from(self.full), "", Better::Neither);
            report.add("tls_resumed", "TLS sessions resumed", f64::from(self.resumed), "", Better::Neither);
        }
    }

    fn disconnect(&mut self) -> Result<(), String> {
        let mut disconnect = Vec::new();
        Packet::Disconnect(client::wire::Disconnect::default()).encode(self.version, &mut disconnect);
        for Member { connection, .. } in &mut self.members {
            connection.output.extend_from_slice(&disconnect);
            connection.flush()?;
        }
        self.members.clear();
        Ok(())
    }
}

const READ_BYTES: usize = 4096;
const TICK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);
const FILES_BESIDES: u64 = 64;
