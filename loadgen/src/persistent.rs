//! Scenario `persistent`: sessions whose clients are away. Their queues are filled, and drained when they come back.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use clap::Args;
use client::wire::{Connack, PacketKind, Publish};
use client::{QoS, Version};
use hdrhistogram::Histogram;

use crate::BrokerArgs;
use crate::acknowledgement::{acknowledge, complete, unexpected};
use crate::connection::{Connection, Hello, unusable};
use crate::epoll::Epoll;
use crate::feed::Feed;
use crate::latency::{latencies, record, report_latencies};
use crate::ledger::{Faults, Ledger};
use crate::payload::Stamp;
use crate::process::{Process, allow_open_files};
use crate::report::{Better, Report};
use crate::usage::Usage;

#[derive(Debug, Args)]
pub struct PersistentArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// QoS of publications and subscriptions: 1 or 2
    #[arg(long, short, default_value = "1", value_parser = crate::parse_qos)]
    qos: QoS,
    /// How many sessions
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: u32,
    /// How many messages are queued for each
    #[arg(long, short, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    messages: u32,
    /// How many of them come back at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    parallel: u32,
    /// Bytes of a payload
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u32).range(20..=16_777_216))]
    payload_bytes: u32,
}

pub fn run(args: &PersistentArgs) -> Result<Report, String> {
    if args.qos == QoS::AtMostOnce {
        return Err(
            "messages of QoS 0 need not be queued for a client that is away: take -q 1 or -q 2".to_owned()
        );
    }
    let all = u64::from(args.sessions) * u64::from(args.messages);
    if all > MESSAGES_MAX {
        return Err(format!(
            "{} sessions with {} messages each are {all} messages, and {MESSAGES_MAX} are a run at most: take fewer",
            args.sessions, args.messages
        ));
    }
    allow_open_files(u64::from(args.parallel.min(args.sessions)) + FILES_BESIDES)?;
    let process = args.broker.process()?;
    let measured = fill_and_drain(args, process.as_ref());
    // Also when it failed: sessions are not to stay behind.
    let ended = (0..args.sessions).try_for_each(|session| args.end_session(session));
    let report = measured?;
    ended?;
    Ok(report)
}

fn fill_and_drain(args: &PersistentArgs, process: Option<&Process>) -> Result<Report, String> {
    for session in 0..args.sessions {
        args.begin_session(session)?;
    }
    let before = Usage::settled(process)?;
    let begun = Instant::now();
    args.fill()?;
    let filling = begun.elapsed();
    let filled = Usage::settled(process)?;
    let begun = Instant::now();
    let mut crowd = Crowd::new(args)?;
    crowd.drain(args)?;
    let draining = crowd.last_arrival.saturating_duration_since(begun);
    let drained = Usage::settled(process)?;

    let messages = f64::from(args.sessions) * f64::from(args.messages);
    let mut report = Report::new("persistent", draining.as_secs_f64());
    report.add("messages", "messages queued", messages, "", Better::Neither);
    report.add("queued_per_s", "queued per s", messages / filling.as_secs_f64(), "", Better::Higher);
    if let Some((cpu_us, bytes)) = filled.since(&before) {
        report.add("queue_cpu_us", "broker CPU per queued", cpu_us / messages, "us", Better::Lower);
        report.add("bytes_per_message", "memory per queued", bytes / messages, "bytes", Better::Lower);
    }
    filled.report_memory(&mut report);
    let delivered = crowd.delivered as f64;
    let rate = delivered / draining.as_secs_f64().max(f64::EPSILON);
    report.add("deliveries_per_s", "drained per s", rate, "", Better::Higher);
    if let Some((cpu_us, _)) = drained.since(&filled) {
        let each = cpu_us / delivered.max(1.0);
        report.add("broker_cpu_us", "broker CPU per drained", each, "us", Better::Lower);
    }
    if let Some((_, bytes)) = drained.since(&before) {
        let each = bytes / f64::from(args.sessions);
        report.add("bytes_left_per_session", "memory left per session", each, "bytes", Better::Lower);
    }
    // Of a session, from its connection to its last message.
    report_latencies(&crowd.latencies, &mut report);
    report.faults = crowd.faults;
    Ok(report)
}

impl PersistentArgs {
    fn client_id(&self, session: u32) -> String {
        self.broker.client_id(&format!("persistent-{session}"))
    }

    fn topic(&self, session: u32) -> String {
        self.broker.topic(&format!("persistent/{session}"))
    }

    fn open(
        &self,
        session: u32,
        clean_start: bool,
        subscription: Option<(&str, QoS)>,
    ) -> Result<Connection, String> {
        let client_id = self.client_id(session);
        let hello = Hello { clean_start, subscription, ..self.broker.hello(&client_id) };
        Connection::open(self.broker.address()?, session as usize, &hello)
    }

    /// A session with nothing of an earlier run in it, which stays when its connection is gone.
    fn begin_session(&self, session: u32) -> Result<(), String> {
        self.end_session(session)?;
        let subscription = Some((&*self.topic(session), self.qos));
        self.open(session, false, subscription)?.end(self.broker.protocol_version)
    }

    /// A clean start discards what there is, and leaves nothing.
    fn end_session(&self, session: u32) -> Result<(), String> {
        self.open(session, true, None)?.end(self.broker.protocol_version)
    }

    fn fill(&self) -> Result<(), String> {
        let mut feed = Feed::open(&self.broker, "persistent-publisher", 0, self.qos)?;
        let topics: Vec<String> = (0..self.sessions).map(|session| self.topic(session)).collect();
        let mut payload = vec![b'x'; self.payload_bytes as usize];
        for sequence in 0..u64::from(self.messages) {
            for (stream, topic) in (0..).zip(&topics) {
                Stamp { stream, sequence, due_ns: 0 }.write(&mut payload);
                feed.publish(topic, &payload, false)?;
            }
        }
        feed.finish()
    }
}

/// The clients that come back.
struct Crowd {
    epoll: Epoll,
    version: Version,
    qos: QoS,
    messages: u64,
    members: Vec<Member>,
    /// Those that are connected or about to be, in the order of their coming.
    present: VecDeque<u32>,
    delivered: u64,
    faults: Faults,
    latencies: Histogram<u64>,
    last_arrival: Instant,
}

struct Member {
    connection: Option<Connection>,
    ledger: Ledger,
    arrived: u64,
    /// QoS 2: those whose last acknowledgement went out.
    completed: u64,
    begun: Instant,
}

impl Crowd {
    fn new(args: &PersistentArgs) -> Result<Crowd, String> {
        Ok(Crowd {
            epoll: Epoll::new().map_err(|error| error.to_string())?,
            version: args.broker.protocol_version,
            qos: args.qos,
            messages: args.messages.into(),
            members: Vec::with_capacity(args.sessions as usize),
            present: VecDeque::new(),
            delivered: 0,
            faults: Faults::default(),
            latencies: latencies(),
            last_arrival: Instant::now(),
        })
    }

    fn drain(&mut self, args: &PersistentArgs) -> Result<(), String> {
        let mut tokens = Vec::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut progress = Instant::now();
        loop {
            while self.members.len() < args.sessions as usize && self.present.len() < args.parallel as usize {
                self.bring_back(args)?;
            }
            if self.present.is_empty() {
                return Ok(());
            }
            self.epoll.wait(TICK, &mut tokens).map_err(|error| error.to_string())?;
            for token in tokens.drain(..) {
                if self.look_at(token as usize, &mut buffer)? {
                    progress = Instant::now();
                }
            }
            if progress.elapsed() >= PATIENCE {
                // Whoever waits has not got all: what is missing was dropped.
                progress = Instant::now();
                for session in std::mem::take(&mut self.present) {
                    self.leave(session as usize);
                }
            }
        }
    }

    fn bring_back(&mut self, args: &PersistentArgs) -> Result<(), String> {
        let session = self.members.len() as u32;
        let client_id = args.client_id(session);
        let hello = Hello { clean_start: false, ..args.broker.hello(&client_id) };
        let begun = Instant::now();
        let mut connection = Connection::begin(args.broker.address()?, session as usize, &hello)?;
        connection.expect_payloads(args.payload_bytes);
        self.epoll.add(&connection, session.into()).map_err(|error| error.to_string())?;
        self.members.push(Member {
            connection: Some(connection),
            ledger: Ledger::default(),
            arrived: 0,
            completed: 0,
            begun,
        });
        self.present.push_back(session);
        Ok(())
    }

    /// True if it has come further.
    fn look_at(&mut self, session: usize, buffer: &mut [u8]) -> Result<bool, String> {
        let Member { connection: Some(connection), ledger, arrived, completed, .. } =
            &mut self.members[session]
        else {
            return Ok(false);
        };
        let (version, before) = (self.version, (*arrived, *completed));
        connection.flush()?;
        let open = connection.read(buffer, |frame, output| match frame.kind {
            PacketKind::Connack => {
                let connack = Connack::decode(frame, version);
                check_connack(&connack.map_err(unusable)?, session)
            }
            PacketKind::Publish => {
                let publish = Publish::decode(frame, version).map_err(unusable)?;
                acknowledge(&publish, version, output);
                match Stamp::read(publish.payload) {
                    Some(stamp) if stamp.stream as usize == session => {
                        *arrived += u64::from(ledger.on_delivery(stamp.sequence));
                        Ok(())
                    }
                    _ => Err(format!("a message that was not queued for session {session} came to it")),
                }
            }
            PacketKind::Pubrel => {
                *completed = self.messages.min(*completed + 1);
                complete(frame, version, output)
            }
            _ => Err(unexpected(frame, version, &format!("session {session}"))),
        })?;
        connection.flush()?;
        connection.look_again(&self.epoll, session as u64)?;
        if !open {
            return Err(format!("the broker closed the connection of session {session}"));
        }
        let is_further = (*arrived, *completed) > before;
        if *arrived > before.0 {
            self.last_arrival = Instant::now();
        }
        if *arrived >= self.messages && (self.qos != QoS::ExactlyOnce || *completed >= self.messages) {
            self.present.retain(|present| *present as usize != session);
            self.leave(session);
        }
        Ok(is_further)
    }

    /// Takes the account of a session, whose connection ends with that.
    fn leave(&mut self, session: usize) {
        let Member { connection, ledger, arrived, begun, .. } = &mut self.members[session];
        let Some(connection) = connection.take() else { return };
        if *arrived >= self.messages {
            record(&mut self.latencies, begun.elapsed());
        }
        self.delivered += *arrived;
        self.faults += ledger.faults(self.messages);
        drop(connection);
    }
}

fn check_connack(connack: &Connack<'_>, session: usize) -> Result<(), String> {
    if connack.reason.is_error() {
        return Err(format!("the broker refused session {session}: {}", connack.reason.name()));
    }
    if !connack.session_present {
        return Err(format!("the broker has not kept session {session} while its client was away"));
    }
    Ok(())
}

const MESSAGES_MAX: u64 = 1_000_000_000;
const READ_BYTES: usize = 256 * 1024;
const TICK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(3);
const FILES_BESIDES: u64 = 64;
