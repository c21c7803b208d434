//! Scenario `retained`: what it costs to store retained messages, to keep them, and to replay those that a wildcard
//! matches.

use std::time::{Duration, Instant};

use clap::Args;
use client::wire::{Frame, PacketKind, Publish, Unsubscribe, UserProperties};
use client::{PacketId, QoS, Version};
use hdrhistogram::Histogram;

use crate::BrokerArgs;
use crate::acknowledgement::{acknowledge, complete, unexpected};
use crate::connection::{Connection, check_suback, subscribe_packet, unusable};
use crate::epoll::Epoll;
use crate::feed::Feed;
use crate::latency::{latencies, record, report_latencies};
use crate::ledger::Faults;
use crate::payload::Stamp;
use crate::process::Process;
use crate::report::{Better, Report};
use crate::usage::Usage;

#[derive(Debug, Args)]
pub struct RetainedArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// QoS of publications and subscriptions: 0, 1 or 2
    #[arg(long, short, default_value = "1", value_parser = crate::parse_qos)]
    qos: QoS,
    /// How many retained messages, each on a topic of its own: PREFIX/retained/A/B/C
    #[arg(long, short = 'n', default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    messages: u32,
    /// How many of them one subscription to PREFIX/retained/+/B/# matches
    #[arg(long, short, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    matches: u32,
    /// How many subscriptions are made, one after the other
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    subscriptions: u32,
    /// Bytes of a payload
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u32).range(20..=16_777_216))]
    payload_bytes: u32,
    /// Leaves the messages in the broker; without it they are cleared at the end
    #[arg(long)]
    keep: bool,
}

pub fn run(args: &RetainedArgs) -> Result<Report, String> {
    let library = Library::new(args)?;
    let process = args.broker.process()?;
    let mut feed = Feed::open(&args.broker, "retained-publisher", 0, args.qos)?;
    let measured = store_and_replay(args, process.as_ref(), &library, &mut feed);
    if args.keep {
        return measured;
    }
    if measured.is_err() {
        // It may have left messages behind all the same, and its connection may be what failed.
        feed = match Feed::open(&args.broker, "retained-publisher", 0, args.qos) {
            Ok(feed) => feed,
            Err(_) => return measured,
        };
    }
    let cleared = library.clear(&mut feed);
    let report = measured?;
    cleared?;
    match Reader::open(args, "retained-check")?.count_all(&library)? {
        0 => Ok(report),
        left => Err(format!(
            "{left} retained messages are left below {}: the broker did not clear them, or they are another run's",
            library.root
        )),
    }
}

fn store_and_replay(
    args: &RetainedArgs,
    process: Option<&Process>,
    library: &Library,
    feed: &mut Feed,
) -> Result<Report, String> {
    let before = Usage::settled(process)?;
    let begun = Instant::now();
    library.store(feed)?;
    let storing = begun.elapsed();
    let stored = Usage::settled(process)?;
    let mut reader = Reader::open(args, "retained-subscriber")?;
    let begun = Instant::now();
    reader.replay_all(library, args.subscriptions)?;
    let replaying = begun.elapsed();
    let replayed = Usage::settled(process)?;

    let mut report = Report::new("retained", replaying.as_secs_f64());
    let messages = f64::from(args.messages);
    let stores = messages / storing.as_secs_f64();
    report.add("messages", "retained messages", messages, "", Better::Neither);
    report.add("stores_per_s", "stored per s", stores, "", Better::Higher);
    stored.report_cpu_since(&before, messages, ("store_cpu_us", "broker CPU per message"), &mut report);
    stored.report_memory_since(&before, messages, ("bytes_per_message", "memory per message"), &mut report);
    let names = ("written_bytes_per_message", "dirtied for disks per message");
    stored.report_written_since(&before, messages, names, &mut report);
    stored.report_memory(&mut report);
    let replayed_messages = reader.delivered as f64;
    let rate = replayed_messages / replaying.as_secs_f64();
    report.add("deliveries_per_s", "replayed per s", rate, "", Better::Higher);
    let names = ("broker_cpu_us", "broker CPU per replayed");
    replayed.report_cpu_since(&stored, replayed_messages, names, &mut report);
    let names = ("subscription_cpu_us", "broker CPU per subscription");
    replayed.report_cpu_since(&stored, args.subscriptions.into(), names, &mut report);
    // From the SUBSCRIBE to the last of its messages.
    report_latencies(&reader.latencies, &mut report);
    report.faults = reader.faults;
    Ok(report)
}

/// The messages by number: where each is, and what it says.
struct Library {
    messages: u32,
    /// A filter for each matches the messages whose number it is the remainder of.
    filters: u32,
    payload: Vec<u8>,
    /// What all topics begin with.
    root: String,
}

impl Library {
    fn new(args: &RetainedArgs) -> Result<Library, String> {
        let RetainedArgs { messages, matches, payload_bytes, .. } = *args;
        if matches > messages {
            return Err(format!(
                "a subscription cannot match {matches} of {messages} messages: lower --matches"
            ));
        }
        let payload = vec![b'x'; payload_bytes as usize];
        Ok(Library { messages, filters: messages / matches, payload, root: args.broker.topic("retained") })
    }

    fn topic(&self, number: u32) -> String {
        let (filter, matching) = (number % self.filters, number / self.filters);
        format!("{}/{}/{filter}/{}", self.root, matching % BRANCHES, matching / BRANCHES)
    }

    fn filter(&self, filter: u32) -> String {
        format!("{}/+/{filter}/#", self.root)
    }

    /// How many messages a filter matches.
    fn matching(&self, filter: u32) -> u32 {
        self.messages / self.filters + u32::from(filter < self.messages % self.filters)
    }

    fn store(&self, feed: &mut Feed) -> Result<(), String> {
        let mut payload = self.payload.clone();
        for number in 0..self.messages {
            stamp(number).write(&mut payload);
            feed.publish(&self.topic(number), &payload, true)?;
        }
        feed.finish()
    }

    fn clear(&self, feed: &mut Feed) -> Result<(), String> {
        for number in 0..self.messages {
            feed.publish(&self.topic(number), &[], true)?;
        }
        feed.finish()
    }

    /// The number of a message that this run has stored.
    fn number_of(&self, publish: &Publish<'_>) -> Result<u32, String> {
        let stamp_read = Stamp::read(publish.payload);
        let number = stamp_read.map(|stamp| stamp.stream).filter(|number| *number < self.messages);
        let is_ours = number.is_some_and(|number| {
            let filling = &publish.payload[Stamp::BYTES..];
            publish.topic == self.topic(number)
                && stamp_read == Some(stamp(number))
                && filling == &self.payload[Stamp::BYTES..]
        });
        match number {
            Some(number) if is_ours => Ok(number),
            _ => Err(format!("`{}` has a payload that this run did not store", publish.topic)),
        }
    }
}

fn stamp(number: u32) -> Stamp {
    Stamp { stream: number, sequence: u64::from(number), due_ns: 0 }
}

/// One connection that subscribes again and again.
struct Reader {
    connection: Connection,
    epoll: Epoll,
    version: Version,
    qos: QoS,
    buffer: Vec<u8>,
    tokens: Vec<u64>,
    latencies: Histogram<u64>,
    faults: Faults,
    delivered: u64,
}

impl Reader {
    fn open(args: &RetainedArgs, client_id: &str) -> Result<Reader, String> {
        let version = args.broker.protocol_version;
        let client_id = args.broker.client_id(client_id);
        let mut connection = Connection::open(args.broker.destination()?, 1, &args.broker.hello(&client_id))?;
        connection.expect_payloads(args.payload_bytes);
        let epoll = Epoll::new().map_err(|error| error.to_string())?;
        epoll.add(&connection, 0).map_err(|error| error.to_string())?;
        Ok(Reader {
            connection,
            epoll,
            version,
            qos: args.qos,
            buffer: vec![0; READ_BYTES],
            tokens: Vec::new(),
            latencies: latencies(),
            faults: Faults::default(),
            delivered: 0,
        })
    }

    fn replay_all(&mut self, library: &Library, subscriptions: u32) -> Result<(), String> {
        for subscription in 0..subscriptions {
            let filter = subscription % library.filters;
            let begun = Instant::now();
            if !self.replay(library, filter)? {
                // The broker drops messages: the rest would only be waited for.
                return Ok(());
            }
            record(&mut self.latencies, begun.elapsed());
        }
        Ok(())
    }

    /// Subscribes and takes what is replayed, once each; false if some of it did not come.
    fn replay(&mut self, library: &Library, filter: u32) -> Result<bool, String> {
        let text = library.filter(filter);
        subscribe_packet(&text, self.qos).encode(self.version, &mut self.connection.output);
        let mut missing = u64::from(library.matching(filter));
        let mut seen = vec![false; missing as usize];
        let (mut is_granted, mut duplicated) = (false, 0);
        let (version, qos) = (self.version, self.qos);
        let complete = self.until_done(PATIENCE, |frame, output| {
            let mut is_further = false;
            match frame.kind {
                PacketKind::Suback => {
                    let suback = client::wire::Suback::decode(frame, version);
                    check_suback(&suback.map_err(unusable)?, qos)?;
                    is_further = !std::mem::replace(&mut is_granted, true);
                }
                PacketKind::Publish => {
                    let publish = Publish::decode(frame, version).map_err(unusable)?;
                    acknowledge(&publish, version, output);
                    let number = library.number_of(&publish)?;
                    if !publish.retain {
                        return Err(format!("`{}` came without its retain flag", publish.topic));
                    }
                    if number % library.filters != filter {
                        return Err(format!("`{}` came to a subscription to `{text}`", publish.topic));
                    }
                    if std::mem::replace(&mut seen[(number / library.filters) as usize], true) {
                        duplicated += 1;
                    } else {
                        missing -= 1;
                        is_further = true;
                    }
                }
                _ => {}
            }
            Ok(match (is_granted && missing == 0, is_further) {
                (true, _) => Step::Done,
                (false, true) => Step::Further,
                (false, false) => Step::Nothing,
            })
        })?;
        self.delivered += u64::from(library.matching(filter)) - missing;
        self.faults += Faults { lost: missing, duplicated, reordered: 0 };
        self.unsubscribe(&text);
        Ok(complete)
    }

    /// The UNSUBSCRIBE goes out with what follows it.
    fn unsubscribe(&mut self, filter: &str) {
        let (packet_id, user_properties) = (PacketId::MAX, UserProperties::default());
        let unsubscribe = Unsubscribe { packet_id, user_properties, filters: vec![filter] };
        unsubscribe.encode(self.version, &mut self.connection.output);
    }

    /// How many retained messages there are in all, of this run or of any other.
    fn count_all(&mut self, library: &Library) -> Result<u64, String> {
        subscribe_packet(&format!("{}/#", library.root), QoS::AtMostOnce)
            .encode(self.version, &mut self.connection.output);
        let mut count = 0;
        // Nothing but silence tells that there are no more.
        self.until_done(QUIET, |frame, _| {
            if frame.kind != PacketKind::Publish {
                return Ok(Step::Nothing);
            }
            count += 1;
            // More than there can be is enough to know.
            Ok(if count > library.messages.into() { Step::Done } else { Step::Further })
        })?;
        Ok(count)
    }

    /// Reads until it is done or comes no further for a while, which is false.
    fn until_done(
        &mut self,
        patience: Duration,
        mut on_frame: impl FnMut(&Frame<'_>, &mut Vec<u8>) -> Result<Step, String>,
    ) -> Result<bool, String> {
        let (mut is_done, mut progress) = (false, Instant::now());
        while !is_done && progress.elapsed() < patience {
            self.connection.flush()?;
            self.tokens.clear();
            self.epoll.wait(TICK, &mut self.tokens).map_err(|error| error.to_string())?;
            let version = self.version;
            // One or, at the end, two looks at the one connection.
            for _ in 0..self.tokens.len() {
                let open = self.connection.read(&mut self.buffer, |frame, output| {
                    let step = match frame.kind {
                        PacketKind::Pubrel => return complete(frame, version, output),
                        PacketKind::Unsuback => Step::Nothing,
                        PacketKind::Suback | PacketKind::Publish => on_frame(frame, output)?,
                        _ => return Err(unexpected(frame, version, "a subscriber")),
                    };
                    if step != Step::Nothing {
                        progress = Instant::now();
                    }
                    is_done |= step == Step::Done;
                    Ok(())
                })?;
                self.connection.look_again(&self.epoll, 0)?;
                if !open {
                    return Err("the broker closed the connection of the subscriber".to_owned());
                }
            }
        }
        self.connection.flush()?;
        Ok(is_done)
    }
}

/// What a frame has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    Further,
    Done,
}

const BRANCHES: u32 = 10;
const READ_BYTES: usize = 256 * 1024;
const TICK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_millis(500);
