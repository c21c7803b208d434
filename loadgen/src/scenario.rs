//! The scenarios by name: who publishes, who subscribes, and what is counted.

use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::churn::{self, ChurnArgs};
use crate::connect::{self, ConnectArgs};
use crate::floor::{self, FloorArgs};
use crate::idle::{self, IdleArgs};
use crate::mixed::{self, MixedArgs};
use crate::persistent::{self, PersistentArgs};
use crate::report::Report;
use crate::retained::{self, RetainedArgs};
use crate::script::{self, ScriptArgs};
use crate::traffic::cast::{Cast, Pace, PublisherRole, Streams, SubscriberRole, check_topics};
use crate::traffic::{self, TrafficArgs};

#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Publishers and subscribers in pairs, each pair with topics of its own
    P2p(P2pArgs),
    /// Many publishers, each with topics of its own, and few subscribers that get everything
    Fanin(FaninArgs),
    /// Few publishers, and many subscribers that get everything
    Fanout(FanoutArgs),
    /// Subscribers in groups ($share): each message goes to one member of each group
    Shared(SharedArgs),
    /// Retained messages stored, then replayed to subscriptions with wildcards
    ///
    /// The broker has to be allowed to retain that many (IoTHub: router.retained_message_limit, router.max_retained_bytes),
    /// and at QoS 1 and 2 to queue as many as one subscription matches (IoTHub: session.max_queued_messages; mosquitto:
    /// max_queued_messages). What is dropped counts as lost. Memory per message is right for a broker that has just been
    /// started: one that has freed memory before takes that first.
    Retained(RetainedArgs),
    /// Sessions without a connection whose queues are filled, and drained when they come back
    ///
    /// The broker has to be allowed to queue that many messages for a client that is away (IoTHub:
    /// session.max_queued_messages, session.max_queued_bytes, limits.max_queue_memory; mosquitto: max_queued_messages). What
    /// is dropped counts as lost. Memory per message is right for a broker that has just been started: one that has freed
    /// memory before takes that first.
    Persistent(PersistentArgs),
    /// Clients that come, subscribe, send themselves a message and go
    ///
    /// Each is another client with a session of its own. The latency is from its connection, or from when it was due, to its
    /// message and that one's acknowledgement.
    Churn(ChurnArgs),
    /// Pairs, one publisher to many, clients that come and go, and idle ones, all at once
    Mixed(MixedArgs),
    /// Publishers and subscribers from a file
    ///
    /// The file has any number of [[publisher]] and [[subscriber]] tables, each a group of clients. Who must get what
    /// follows from topics and filters, and each message is checked at everyone who is to get it.
    ///
    /// [[publisher]]: topic ({i} is replaced by the number of the client, {t} by the number of its topic), either rate
    /// (messages per second of the group) or window (messages under way of each), and, unless these are as they are to be,
    /// count = 1, topics = 1, qos = 0, payload_bytes = 64, retain = false and a name.
    ///
    /// [[subscriber]]: filter (with {i}, and $share/GROUP/ for a group), count = 1, qos = 0, and a name under which its
    /// deliveries and latencies are reported. loadgen/examples/plant.toml is an example.
    Run(ScriptArgs),
    /// Connections made as fast as the broker accepts them, and then closed
    Connect(ConnectArgs),
    /// Connections that are held open and do nothing but keep alive, each with a session and a subscription
    Idle(IdleArgs),
    /// No broker at all: small writes to a disk, each on it before the next begins
    Floor(FloorArgs),
}

#[derive(Debug, Args)]
pub struct P2pArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// How many publishers, each with a subscriber of its own
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pairs: u32,
}

#[derive(Debug, Args)]
pub struct FaninArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// How many publishers
    #[arg(long, short = 'n', default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    publishers: u32,
    /// How many subscribers, each of which gets all messages
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    subscribers: u32,
}

#[derive(Debug, Args)]
pub struct FanoutArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// How many subscribers
    #[arg(long, short = 'n', default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    subscribers: u32,
    /// How many publishers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    publishers: u32,
}

#[derive(Debug, Args)]
pub struct SharedArgs {
    #[command(flatten)]
    traffic: TrafficArgs,
    /// How many publishers
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    publishers: u32,
    /// How many groups, each of which gets every message once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    groups: u32,
    /// How many members each group has
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    members: u32,
}

impl Scenario {
    pub fn run(&self) -> Result<Report, String> {
        match self {
            Scenario::P2p(P2pArgs { traffic, pairs }) => {
                let mut cast = publishers("p2p", *pairs, traffic, 1)?;
                for pair in 0..*pairs {
                    let filter = filter_of(&traffic.run.broker.topic(&format!("p2p/{pair}")), traffic.topics);
                    let streams =
                        Streams::new((pair * traffic.topics..(pair + 1) * traffic.topics).collect());
                    cast.subscribers.push(subscriber(traffic, filter, Arc::new(streams), None));
                }
                traffic::run(&traffic.run, traffic.threads, &cast)
            }
            Scenario::Fanin(FaninArgs { traffic, publishers, subscribers })
            | Scenario::Fanout(FanoutArgs { traffic, publishers, subscribers }) => {
                let name = if matches!(self, Scenario::Fanin(_)) { "fanin" } else { "fanout" };
                let cast = everybody(name, *publishers, *subscribers, traffic)?;
                traffic::run(&traffic.run, traffic.threads, &cast)
            }
            Scenario::Shared(args) => traffic::run(&args.traffic.run, args.traffic.threads, &args.cast()?),
            Scenario::Retained(args) => retained::run(args),
            Scenario::Persistent(args) => persistent::run(args),
            Scenario::Churn(args) => churn::run(args),
            Scenario::Mixed(args) => mixed::run(args),
            Scenario::Run(args) => script::run(args),
            Scenario::Connect(args) => connect::run(args),
            Scenario::Idle(args) => idle::run(args),
            Scenario::Floor(args) => floor::run(args),
        }
    }
}

impl SharedArgs {
    fn cast(&self) -> Result<Cast, String> {
        let SharedArgs { traffic, publishers: count, groups, members } = self;
        let subscribers = u64::from(*groups) * u64::from(*members);
        if subscribers > SUBSCRIBERS_MAX {
            return Err(format!(
                "{groups} groups with {members} members each are {subscribers} subscribers, and {SUBSCRIBERS_MAX} fit: take fewer"
            ));
        }
        let mut cast = publishers("shared", *count, traffic, u64::from(*groups))?;
        let filter = filter_of_all("shared", *count, traffic);
        let streams = Arc::new(cast.streams_of(&filter));
        for group in 0..*groups {
            for _ in 0..*members {
                let filter = format!("$share/{}/{filter}", traffic.run.broker.client_id(&group.to_string()));
                let role = subscriber(traffic, filter, Arc::clone(&streams), Some(group as usize));
                cast.subscribers.push(role);
            }
        }
        cast.groups = *groups as usize;
        Ok(cast)
    }
}

/// Every subscriber gets the messages of every publisher.
fn everybody(
    scenario: &str,
    publisher_count: u32,
    subscribers: u32,
    traffic: &TrafficArgs,
) -> Result<Cast, String> {
    let mut cast = publishers(scenario, publisher_count, traffic, u64::from(subscribers))?;
    let filter = filter_of_all(scenario, publisher_count, traffic);
    let streams = Arc::new(cast.streams_of(&filter));
    for _ in 0..subscribers {
        cast.subscribers.push(subscriber(traffic, filter.clone(), Arc::clone(&streams), None));
    }
    Ok(cast)
}

/// A cast that has no subscribers yet. `receivers` is what each message is going to become, for its share of the window.
fn publishers(
    scenario: &str,
    publishers: u32,
    traffic: &TrafficArgs,
    receivers: u64,
) -> Result<Cast, String> {
    check_topics(publishers, traffic.topics)?;
    let pace = match traffic.rate {
        Some(_) => Pace::Rate(0),
        None => Pace::Window((traffic.window() / (u64::from(publishers) * receivers)).max(1)),
    };
    let role = |publisher| {
        let topic = traffic.run.broker.topic(&format!("{scenario}/{publisher}"));
        let topics = match traffic.topics {
            1 => vec![topic],
            topics => (0..topics).map(|number| format!("{topic}/{number}")).collect(),
        };
        PublisherRole { topics, shape: traffic.shape(), pace }
    };
    Ok(Cast {
        scenario: scenario.to_owned(),
        publishers: (0..publishers).map(role).collect(),
        parts: vec![scenario.to_owned()],
        rates: traffic.rate.into_iter().collect(),
        is_stored: traffic.stored,
        ..Cast::default()
    })
}

fn subscriber(
    traffic: &TrafficArgs,
    filter: String,
    streams: Arc<Streams>,
    group: Option<usize>,
) -> SubscriberRole {
    SubscriberRole { filter, qos: traffic.qos, streams, part: 0, group }
}

fn filter_of_all(scenario: &str, publishers: u32, traffic: &TrafficArgs) -> String {
    let publisher = if publishers == 1 { "0" } else { "+" };
    filter_of(&traffic.run.broker.topic(&format!("{scenario}/{publisher}")), traffic.topics)
}

fn filter_of(publisher: &str, topics: u32) -> String {
    if topics == 1 { publisher.to_owned() } else { format!("{publisher}/+") }
}

/// As many as `p2p` and `fanout` have at most.
const SUBSCRIBERS_MAX: u64 = 100_000;
