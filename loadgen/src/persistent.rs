//! Scenario `persistent`: sessions whose clients are away. Their queues are filled, and drained when they come back.

mod beginning;
mod crowd;

use std::time::Instant;

use clap::Args;
use client::QoS;

use crate::BrokerArgs;
use crate::connection::{Connection, Hello};
use crate::feed::Feed;
use crate::latency::report_latencies;
use crate::payload::Stamp;
use crate::process::{Process, allow_open_files};
use crate::report::{Better, Report};
use crate::usage::Usage;
use beginning::Beginning;
use crowd::Crowd;

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
    /// How many messages are queued for each; 0 only with --keep
    #[arg(long, short, default_value_t = 500, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    messages: u32,
    /// How many of them begin or come back at a time
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    parallel: u32,
    /// Bytes of a payload
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u32).range(20..=16_777_216))]
    payload_bytes: u32,
    /// Fills the queues and leaves sessions and messages in the broker
    #[arg(long)]
    keep: bool,
    /// The sessions are there, without messages: an earlier run with --keep and no fewer sessions has left them
    #[arg(long, conflicts_with = "keep")]
    begun: bool,
    /// The sessions are there and their queues are filled: an earlier run with --keep and the same numbers has left them
    #[arg(long, conflicts_with_all = ["keep", "begun"])]
    filled: bool,
}

pub fn run(args: &PersistentArgs) -> Result<Report, String> {
    check(args)?;
    allow_open_files(u64::from(args.parallel.min(args.sessions)) + FILES_BESIDES)?;
    let process = args.broker.process()?;
    let measured = fill_and_drain(args, process.as_ref());
    if args.keep && measured.is_ok() {
        return measured;
    }
    // Also when it failed: sessions are not to stay behind.
    let ended = (0..args.sessions).try_for_each(|session| args.end_session(session));
    let report = measured?;
    ended?;
    Ok(report)
}

fn check(args: &PersistentArgs) -> Result<(), String> {
    if args.qos == QoS::AtMostOnce {
        return Err(
            "messages of QoS 0 need not be queued for a client that is away: take -q 1 or -q 2".to_owned()
        );
    }
    if args.messages == 0 && !args.keep {
        return Err("without messages nobody has anything to come back for: take -m 1, or --keep".to_owned());
    }
    let all = u64::from(args.sessions) * u64::from(args.messages);
    if all > MESSAGES_MAX {
        return Err(format!(
            "{} sessions with {} messages each are {all} messages, and {MESSAGES_MAX} are a run at most: take fewer",
            args.sessions, args.messages
        ));
    }
    Ok(())
}

fn fill_and_drain(args: &PersistentArgs, process: Option<&Process>) -> Result<Report, String> {
    let mut report = Report::new("persistent", 0.0);
    let before = Usage::settled(process)?;
    if !args.begun && !args.filled {
        let begun = Instant::now();
        Beginning::new(args)?.begin_all()?;
        report.seconds = begun.elapsed().as_secs_f64();
        let rate = f64::from(args.sessions) / report.seconds;
        report.add("sessions_per_s", "sessions begun per s", rate, "", Better::Higher);
        report_begun(args, &Usage::settled(process)?, &before, &mut report);
    }
    let before = Usage::settled(process)?;
    if !args.filled && args.messages > 0 {
        args.fill(process, &before, &mut report)?;
    }
    if !args.keep {
        drain(args, process, &before, &mut report)?;
    }
    Ok(report)
}

fn report_begun(args: &PersistentArgs, after: &Usage, before: &Usage, report: &mut Report) {
    let sessions = f64::from(args.sessions);
    after.report_cpu_since(before, sessions, ("session_cpu_us", "broker CPU per session"), report);
    after.report_memory_since(before, sessions, ("bytes_per_session", "memory per session"), report);
    let names = ("written_bytes_per_session", "dirtied for disks per session");
    after.report_written_since(before, sessions, names, report);
}

/// `before`: when nothing was queued.
fn drain(
    args: &PersistentArgs,
    process: Option<&Process>,
    before: &Usage,
    report: &mut Report,
) -> Result<(), String> {
    let filled = Usage::settled(process)?;
    let begun = Instant::now();
    let mut crowd = Crowd::new(args)?;
    crowd.drain(args)?;
    let draining = crowd.last_arrival.saturating_duration_since(begun);
    let drained = Usage::settled(process)?;
    report.seconds = draining.as_secs_f64();
    let delivered = crowd.delivered as f64;
    let rate = delivered / draining.as_secs_f64().max(f64::EPSILON);
    report.add("deliveries_per_s", "drained per s", rate, "", Better::Higher);
    let names = ("broker_cpu_us", "broker CPU per drained");
    drained.report_cpu_since(&filled, delivered, names, report);
    let names = ("bytes_left_per_session", "memory left per session");
    drained.report_memory_since(before, args.sessions.into(), names, report);
    let names = ("written_bytes_per_drained", "dirtied for disks per drained");
    drained.report_written_since(&filled, delivered, names, report);
    report_latencies(&crowd.latencies, report);
    report.faults = crowd.faults;
    Ok(())
}

impl PersistentArgs {
    fn client_id(&self, session: u32) -> String {
        self.broker.client_id(&format!("persistent-{session}"))
    }

    fn topic(&self, session: u32) -> String {
        self.broker.topic(&format!("persistent/{session}"))
    }

    /// A clean start discards what there is, and leaves nothing.
    fn end_session(&self, session: u32) -> Result<(), String> {
        let client_id = self.client_id(session);
        let hello = Hello { clean_start: true, ..self.broker.hello(&client_id) };
        let connection = Connection::open(self.broker.destination()?, session as usize, &hello)?;
        connection.end(self.broker.protocol_version)
    }

    fn fill(&self, process: Option<&Process>, before: &Usage, report: &mut Report) -> Result<(), String> {
        let begun = Instant::now();
        self.publish_all()?;
        let filling = begun.elapsed();
        let filled = Usage::settled(process)?;
        report.seconds = filling.as_secs_f64();
        let messages = f64::from(self.sessions) * f64::from(self.messages);
        report.add("messages", "messages queued", messages, "", Better::Neither);
        report.add("queued_per_s", "queued per s", messages / filling.as_secs_f64(), "", Better::Higher);
        filled.report_cpu_since(before, messages, ("queue_cpu_us", "broker CPU per queued"), report);
        filled.report_memory_since(before, messages, ("bytes_per_message", "memory per queued"), report);
        let names = ("written_bytes_per_message", "dirtied for disks per queued");
        filled.report_written_since(before, messages, names, report);
        filled.report_memory(report);
        Ok(())
    }

    fn publish_all(&self) -> Result<(), String> {
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

const MESSAGES_MAX: u64 = 1_000_000_000;
const FILES_BESIDES: u64 = 64;
