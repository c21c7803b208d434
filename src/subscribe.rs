//! `iothub sub`: subscribes and prints what arrives. It feels like mosquitto_sub.

mod format;

use std::{
    io::{self, BufWriter, Stdout, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use client::{
    Event, Message, QoS, ReasonCode, Reconnect, RetainHandling, Subscription, SubscriptionOptions,
    Unsubscription,
};

use crate::endpoint::{CODE_TIMED_OUT, Endpoint, EndpointArgs, Failure, parse_qos};
use format::Format;

/// Subscribe and print what arrives, in the manner of mosquitto_sub.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub struct SubscribeArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// A topic filter; can be repeated
    #[arg(short, long, value_name = "FILTER", required_unless_present = "unsubscribe")]
    topic: Vec<String>,
    /// Do not print messages whose topic matches this filter; can be repeated
    #[arg(short = 'T', long, value_name = "FILTER")]
    filter_out: Vec<String>,
    /// Give up this subscription of a kept session; can be repeated
    #[arg(short = 'U', long, value_name = "FILTER")]
    unsubscribe: Vec<String>,
    /// The highest QoS to receive with
    #[arg(short, long, default_value = "0", value_parser = parse_qos)]
    qos: QoS,
    /// End after this many messages
    #[arg(short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this many seconds, with exit code 27
    #[arg(short = 'W', value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// End when the broker has confirmed the subscriptions
    #[arg(short = 'E')]
    exit_after_subscribing: bool,
    /// Do not print retained messages
    #[arg(short = 'R')]
    no_retained: bool,
    /// Print no line end after a message
    #[arg(short = 'N')]
    no_newline: bool,
    /// Print the topic before the payload
    #[arg(short, long)]
    verbose: bool,
    /// Print each message so: %t topic, %p payload, %x payload in hexadecimal, %l length, %q QoS, %r retained,
    /// %m packet id, %j and %J JSON, %I date and time, %U Unix time, @X as strftime's %X, \n \t \0 and the like
    #[arg(short = 'F', value_name = "FORMAT", value_parser = Format::parse)]
    format: Option<Format>,
}

pub fn run(args: &SubscribeArgs) -> ExitCode {
    args.endpoint.finish(args.subscribe())
}

impl SubscribeArgs {
    fn subscribe(&self) -> Result<(), Failure> {
        let endpoint = self.endpoint.connect(Some(Reconnect::default()))?;
        let format = self.format.clone().unwrap_or_else(|| Format::plain(self.verbose));
        let out = BufWriter::new(io::stdout());
        let mut subscriber = Subscriber { args: self, endpoint, format, out, printed: 0 };
        let outcome = subscriber.run();
        // What was printed before a failure is shown; a reader that has gone away is no failure.
        let flushed = subscriber.out.flush();
        subscriber.endpoint.disconnect()?;
        outcome?;
        keep_quiet_when_closed(flushed).map(|_| ())
    }
}

struct Subscriber<'a> {
    args: &'a SubscribeArgs,
    endpoint: Endpoint,
    format: Format,
    out: BufWriter<Stdout>,
    printed: u64,
}

enum Progress {
    Going,
    Done,
}

impl Subscriber<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        let time = self.args.timeout.map_or(Duration::MAX, Duration::from_secs);
        while !self.endpoint.is_stopped() {
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Failure { message: "the time is over".to_owned(), code: CODE_TIMED_OUT });
            }
            let mut event = self.endpoint.next_event(left)?;
            while let Some(present) = event {
                if let Progress::Done = self.handle_event(present)? {
                    return Ok(());
                }
                event = self.endpoint.next_event(Duration::ZERO)?;
            }
            // Once per batch: a flood is written in large pieces, a lone message at once.
            if let Progress::Done = keep_quiet_when_closed(self.out.flush())? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn handle_event(&mut self, event: Event) -> Result<Progress, Failure> {
        match event {
            // Also after a reconnection: the broker may have lost the session, and asking twice changes nothing.
            Event::Connected { .. } => self.ask()?,
            Event::Subscribed { reasons, .. } => return self.handle_suback(&reasons),
            Event::Unsubscribed { .. } => return Ok(self.end_of_asking()),
            Event::Message(message) => return self.handle_message(&message),
            Event::Disconnected { reason, reconnect_at: None } => {
                return Err(self.endpoint.failure_of(reason));
            }
            Event::Disconnected { .. } | Event::Published { .. } | Event::Authenticate { .. } => {}
        }
        Ok(Progress::Going)
    }

    fn ask(&mut self) -> Result<(), Failure> {
        let properties = &self.endpoint.properties;
        let options = SubscriptionOptions {
            qos: self.args.qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Send,
        };
        let filters = self.args.topic.iter().map(|filter| (filter.clone(), options)).collect();
        let subscription = Subscription {
            filters,
            subscription_id: properties.subscription_id,
            user_properties: properties.subscribe_user_properties.clone(),
        };
        let unsubscription = Unsubscription {
            filters: self.args.unsubscribe.clone(),
            user_properties: properties.unsubscribe_user_properties.clone(),
        };
        let driver = &mut self.endpoint.driver;
        if !subscription.filters.is_empty() {
            driver.subscribe(subscription).map_err(|error| Failure::new(error.to_string()))?;
        }
        if !unsubscription.filters.is_empty() {
            driver.unsubscribe(unsubscription).map_err(|error| Failure::new(error.to_string()))?;
        }
        Ok(())
    }

    fn handle_suback(&mut self, reasons: &[ReasonCode]) -> Result<Progress, Failure> {
        let version = self.endpoint.driver.client().options().version;
        for (filter, reason) in self.args.topic.iter().zip(reasons).filter(|(_, reason)| reason.is_error()) {
            let message = format!("the broker refused the subscription to `{filter}`: {}", reason.name());
            if reasons.iter().all(|reason| reason.is_error()) {
                return Err(Failure { code: *reason as u8, ..Failure::of_reason(message, *reason, version) });
            }
            eprintln!("Warning: {message}");
        }
        Ok(if self.args.unsubscribe.is_empty() { self.end_of_asking() } else { Progress::Going })
    }

    fn end_of_asking(&self) -> Progress {
        if self.args.exit_after_subscribing { Progress::Done } else { Progress::Going }
    }

    fn handle_message(&mut self, message: &Message) -> Result<Progress, Failure> {
        let is_unwanted = (self.args.no_retained && message.retain)
            || self.args.filter_out.iter().any(|filter| client::matches(filter, &message.topic));
        if is_unwanted {
            return Ok(Progress::Going);
        }
        if let Progress::Done = keep_quiet_when_closed(self.print(message))? {
            return Ok(Progress::Done);
        }
        self.printed += 1;
        Ok(if self.args.count == Some(self.printed) { Progress::Done } else { Progress::Going })
    }

    fn print(&mut self, message: &Message) -> io::Result<()> {
        self.format.write(message, &mut self.out)?;
        if self.args.no_newline { Ok(()) } else { self.out.write_all(b"\n") }
    }
}

// `iothub sub | head -1` has printed what was wanted when its reader goes away.
fn keep_quiet_when_closed(written: io::Result<()>) -> Result<Progress, Failure> {
    match written {
        Ok(()) => Ok(Progress::Going),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Progress::Done),
        Err(error) => Err(Failure::new(format!("cannot write to standard output: {error}"))),
    }
}
