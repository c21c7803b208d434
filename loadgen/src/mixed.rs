//! Scenario `mixed`: several kinds of load at once, each at its own rate, so that one shows in the latencies of another.

use std::sync::Arc;

use clap::Args;
use client::QoS;

use crate::churn::Settings;
use crate::connection::{Connection, Hello};
use crate::process::allow_open_files;
use crate::report::{Better, Report};
use crate::traffic::cast::{Cast, Pace, PublisherRole, Streams, SubscriberRole};
use crate::traffic::template::Shape;
use crate::traffic::{self, RunArgs};

#[derive(Debug, Args)]
pub struct MixedArgs {
    #[command(flatten)]
    run: RunArgs,
    /// QoS of all publications and subscriptions: 0, 1 or 2
    #[arg(long, short, default_value = "0", value_parser = crate::parse_qos)]
    qos: QoS,
    /// Bytes of a payload
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u32).range(20..=1_048_576))]
    payload_bytes: u32,
    /// How many publishers, each with a subscriber of its own
    #[arg(long, short = 'n', default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pairs: u32,
    /// Messages per second of all pairs together
    #[arg(long, short, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    rate: u64,
    /// How many subscribers get the messages of one publisher
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    fanout: u32,
    /// Messages per second of that publisher
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    fanout_rate: u64,
    /// Clients per second that come, send themselves a message and go; 0: none
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    churn_rate: u64,
    /// How many clients are connected and do nothing
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    idle: u32,
}

pub fn run(args: &MixedArgs) -> Result<Report, String> {
    allow_open_files(
        u64::from(args.idle) + u64::from(args.pairs) * 2 + u64::from(args.fanout) + FILES_BESIDES,
    )?;
    let mut idle = args.open_idle()?;
    let mut report = traffic::run(&args.run, 1, &args.cast())?;
    let mut buffer = [0; READ_BYTES];
    let dropped = idle.iter_mut().filter_map(|connection| {
        let open = connection.read(&mut buffer, |frame, _| Err(format!("a {:?} came", frame.kind)));
        (open != Ok(true)).then_some(())
    });
    report.add("dropped", "idle, dropped by the broker", dropped.count() as f64, "", Better::Lower);
    Ok(report)
}

impl MixedArgs {
    fn open_idle(&self) -> Result<Vec<Connection>, String> {
        let broker = &self.run.broker;
        let destination = broker.destination()?;
        let open = |index| {
            let (client_id, topic) = (
                broker.client_id(&format!("mixed-idle-{index}")),
                broker.topic(&format!("mixed/idle/{index}")),
            );
            let subscription = Some((&*topic, self.qos));
            Connection::open(destination, index as usize, &Hello { subscription, ..broker.hello(&client_id) })
        };
        (0..self.idle).map(open).collect()
    }

    fn cast(&self) -> Cast {
        let shape = Shape { qos: self.qos, payload_bytes: self.payload_bytes, retain: false };
        let mut cast = Cast {
            scenario: "mixed".to_owned(),
            parts: vec!["p2p".to_owned(), "fanout".to_owned()],
            rates: vec![self.rate, self.fanout_rate],
            ..Cast::default()
        };
        if self.churn_rate > 0 {
            cast.churn = Some(Settings {
                qos: self.qos,
                payload_bytes: self.payload_bytes,
                parallel: CHURN_PARALLEL,
                rate: Some(self.churn_rate),
            });
        }
        for pair in 0..self.pairs {
            let topic = self.run.broker.topic(&format!("mixed/p2p/{pair}"));
            cast.publishers.push(PublisherRole { topics: vec![topic.clone()], shape, pace: Pace::Rate(0) });
            let streams = Arc::new(Streams::new(vec![pair]));
            let role = SubscriberRole { filter: topic, qos: self.qos, streams, part: 0, group: None };
            cast.subscribers.push(role);
        }
        let topic = self.run.broker.topic("mixed/fanout");
        cast.publishers.push(PublisherRole { topics: vec![topic.clone()], shape, pace: Pace::Rate(1) });
        let streams = Arc::new(Streams::new(vec![self.pairs]));
        for _ in 0..self.fanout {
            let (filter, streams) = (topic.clone(), Arc::clone(&streams));
            cast.subscribers.push(SubscriberRole { filter, qos: self.qos, streams, part: 1, group: None });
        }
        cast
    }
}

const CHURN_PARALLEL: u32 = 1000;
const READ_BYTES: usize = 256;
const FILES_BESIDES: u64 = 2000;
