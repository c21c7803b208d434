//! The scenarios by name: who publishes, who subscribes, and what is counted.

use clap::{Args, Subcommand};

use crate::connect::{self, ConnectArgs};
use crate::idle::{self, IdleArgs};
use crate::report::Report;
use crate::traffic::{self, Cast, TrafficArgs};

#[derive(Debug, Subcommand)]
pub enum Scenario {
    /// Publishers and subscribers in pairs, each pair with a topic of its own
    P2p(P2pArgs),
    /// Many publishers, each with a topic of its own, and few subscribers that get everything
    Fanin(FaninArgs),
    /// Few publishers, and many subscribers that get everything
    Fanout(FanoutArgs),
    /// Connections made as fast as the broker accepts them, and then closed
    Connect(ConnectArgs),
    /// Connections that are held open and do nothing but keep alive, each with a session and a subscription
    Idle(IdleArgs),
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

impl Scenario {
    pub fn run(&self) -> Result<Report, String> {
        match self {
            Scenario::P2p(P2pArgs { traffic, pairs }) => {
                let topics = topics("p2p", *pairs);
                let subscribers = topics.iter().cloned().zip((0..).map(|pair| pair..pair + 1)).collect();
                traffic::run(traffic, &Cast { scenario: "p2p", topics, subscribers, receivers: 1 })
            }
            Scenario::Fanin(FaninArgs { traffic, publishers, subscribers }) => {
                traffic::run(traffic, &everybody("fanin", *publishers, *subscribers))
            }
            Scenario::Fanout(FanoutArgs { traffic, publishers, subscribers }) => {
                traffic::run(traffic, &everybody("fanout", *publishers, *subscribers))
            }
            Scenario::Connect(args) => connect::run(args),
            Scenario::Idle(args) => idle::run(args),
        }
    }
}

/// Every subscriber gets the messages of every publisher.
fn everybody(scenario: &'static str, publishers: u32, subscribers: u32) -> Cast {
    let filter =
        if publishers == 1 { format!("loadgen/{scenario}/0") } else { format!("loadgen/{scenario}/+") };
    Cast {
        scenario,
        topics: topics(scenario, publishers),
        subscribers: (0..subscribers).map(|_| (filter.clone(), 0..publishers)).collect(),
        receivers: u64::from(subscribers),
    }
}

fn topics(scenario: &str, publishers: u32) -> Vec<String> {
    (0..publishers).map(|publisher| format!("loadgen/{scenario}/{publisher}")).collect()
}
