//! `iothub sub`: subscribes and prints what arrives. It feels like mosquitto_sub.

mod format;
mod json;

use std::{
    collections::VecDeque,
    io::{self, BufWriter, Stdout, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use client::{
    Event, Message, Publication, QoS, ReasonCode, Reconnect, RetainHandling, Subscription,
    SubscriptionOptions, Token, Unsubscription, Version,
};

use crate::endpoint::{
    CODE_TIMED_OUT, Endpoint, EndpointArgs, Failure, parse_qos, reason,
    topic::{parse_filter, parse_shared_filter},
};
use format::Format;

/// Subscribe and print what arrives, in the manner of mosquitto_sub.
#[derive(Debug, Args)]
#[command(
    version,
    display_name = "iothub sub",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    next_line_help = true,
    override_usage = "iothub sub [OPTIONS] {-t <FILTER>... | -L <URL> | -U <FILTER>...}"
)]
pub struct SubscribeArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    /// A topic filter; can be repeated
    #[arg(
        short,
        long,
        value_name = "FILTER",
        required_unless_present_any = ["url", "unsubscribe"],
        allow_hyphen_values = true,
        value_parser = parse_shared_filter
    )]
    topic: Vec<String>,
    /// Do not print messages whose topic matches this filter; can be repeated
    #[arg(short = 'T', long, value_name = "FILTER", allow_hyphen_values = true, value_parser = parse_filter)]
    filter_out: Vec<String>,
    /// Give up this subscription of a kept session; can be repeated
    #[arg(
        short = 'U',
        long,
        value_name = "FILTER",
        allow_hyphen_values = true,
        value_parser = parse_shared_filter
    )]
    unsubscribe: Vec<String>,
    /// The highest QoS to receive with
    #[arg(short, long, default_value = "0", allow_hyphen_values = true, value_parser = parse_qos)]
    qos: QoS,
    /// End after this many messages
    #[arg(short = 'C', value_name = "COUNT", allow_hyphen_values = true, value_parser = parse_count)]
    count: Option<u64>,
    /// End after this many seconds, with exit code 27
    #[arg(short = 'W', value_name = "SECONDS", allow_hyphen_values = true, value_parser = parse_timeout)]
    timeout: Option<u64>,
    /// End when the broker has confirmed the subscriptions
    #[arg(short = 'E')]
    exit_after_subscribing: bool,
    /// Do not print retained messages
    #[arg(short = 'R')]
    no_retained: bool,
    /// Print retained messages only, and end at the first that is not retained
    #[arg(long)]
    retained_only: bool,
    /// Have the broker forget each retained message that is received
    #[arg(long)]
    remove_retained: bool,
    /// Have the broker say of live messages as well whether they were published as retained; 5.0 only
    #[arg(long)]
    retain_as_published: bool,
    /// Print no line end after a message
    #[arg(short = 'N')]
    no_newline: bool,
    /// Print the topic before the payload
    #[arg(short, long)]
    verbose: bool,
    /// Print each message so: %t topic, %p payload, %x payload in hexadecimal, %l length, %q QoS, %r retained,
    /// %m packet id, %j and %J JSON, %I date and time, %U Unix time, @X as strftime's %X, \n \t \0 and the like.
    /// A width goes between: %10t, %-10t, %05l
    #[arg(short = 'F', value_name = "FORMAT", allow_hyphen_values = true, value_parser = Format::parse)]
    format: Option<Format>,
}

pub fn run(args: &SubscribeArgs) -> ExitCode {
    args.endpoint.finish(args.subscribe())
}

impl SubscribeArgs {
    fn subscribe(&self) -> Result<(), Failure> {
        let mut filters = self.topic.clone();
        filters.extend(self.endpoint.url_topic().map(parse_shared_filter).transpose().map_err(Failure::new)?);
        let endpoint = self.endpoint.connect(Some(Reconnect::default()))?;
        let format = self.format.clone().unwrap_or_else(|| Format::plain(self.verbose));
        let out = BufWriter::new(io::stdout());
        let mut subscriber = Subscriber {
            args: self,
            endpoint,
            filters,
            format,
            out,
            handled: 0,
            doomed: VecDeque::new(),
            removals: Vec::new(),
        };
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
    filters: Vec<String>,
    format: Format,
    out: BufWriter<Stdout>,
    /// Printed messages, and those that the format could not print.
    handled: u64,
    /// The topics whose retained message the broker is yet to be asked to forget.
    doomed: VecDeque<String>,
    /// The requests to forget one that the broker has not acknowledged.
    removals: Vec<Token>,
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
                return Err(Failure { message: "Timed out".to_owned(), code: CODE_TIMED_OUT });
            }
            let mut event = self.endpoint.next_event(left)?;
            while let Some(present) = event {
                if let Progress::Done = self.handle_event(present)? {
                    return self.wait_for_removals();
                }
                self.remove_doomed()?;
                event = self.endpoint.next_event(Duration::ZERO)?;
            }
            // Once per batch: a flood is written in large pieces, a lone message at once.
            if let Progress::Done = keep_quiet_when_closed(self.out.flush())? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Messages that come meanwhile are not printed: all that was asked for has been.
    fn wait_for_removals(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            self.remove_doomed()?;
            if self.removals.is_empty() || self.endpoint.is_stopped() {
                return Ok(());
            }
            let left = REMOVAL_PATIENCE.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Failure::new("the broker did not confirm that it forgot a message".to_owned()));
            }
            match self.endpoint.next_event(left)? {
                Some(Event::Published { token, reason, .. }) => self.on_removed(token, reason),
                Some(Event::Disconnected { reason, reconnect_at: None }) => {
                    return Err(self.endpoint.failure_of(reason));
                }
                _ => {}
            }
        }
    }

    fn on_removed(&mut self, token: Token, reason: ReasonCode) {
        self.removals.retain(|removal| *removal != token);
        if reason.is_error() {
            self.endpoint
                .warn(&format!("Warning: the broker refused to forget a message: {}", reason.name()));
        }
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
            Event::Published { token, reason, .. } => self.on_removed(token, reason),
            Event::Disconnected { .. } | Event::Authenticate { .. } => {}
        }
        Ok(Progress::Going)
    }

    fn ask(&mut self) -> Result<(), Failure> {
        let properties = &self.endpoint.properties;
        let options = SubscriptionOptions {
            qos: self.args.qos,
            no_local: false,
            retain_as_published: self.args.retain_as_published,
            retain_handling: RetainHandling::Send,
        };
        let filters = self.filters.iter().map(|filter| (filter.clone(), options)).collect();
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
        for (filter, reason) in self.filters.iter().zip(reasons).filter(|(_, reason)| reason.is_error()) {
            // A SUBACK of 3.x has one code for every failure, and so nothing to add.
            let why = if version == Version::V5 { format!(": {}", reason.name()) } else { String::new() };
            let message = format!("the broker refused the subscription to `{filter}`{why}");
            if reasons.iter().all(|reason| reason.is_error()) {
                return Err(Failure { message, code: reason::exit_code(*reason, Version::V5) });
            }
            self.endpoint.warn(&format!("Warning: {message}"));
        }
        Ok(if self.args.unsubscribe.is_empty() { self.end_of_asking() } else { Progress::Going })
    }

    fn end_of_asking(&self) -> Progress {
        if self.args.exit_after_subscribing { Progress::Done } else { Progress::Going }
    }

    fn handle_message(&mut self, message: &Message) -> Result<Progress, Failure> {
        if self.args.retained_only && !message.retain {
            // What this command removes comes back as an empty live message, possibly between retained ones.
            let is_echo = self.args.remove_retained && message.payload.is_empty();
            return Ok(if is_echo { Progress::Going } else { Progress::Done });
        }
        let is_unwanted = (self.args.no_retained && message.retain)
            || self.args.filter_out.iter().any(|filter| client::matches(filter, &message.topic));
        if is_unwanted {
            return Ok(Progress::Going);
        }
        if self.args.remove_retained && message.retain {
            self.doomed.push_back(message.topic.clone());
        }
        if self.format.suits(message) {
            if let Progress::Done = keep_quiet_when_closed(self.print(message))? {
                return Ok(Progress::Done);
            }
        } else {
            let topic = &message.topic;
            self.endpoint.warn(&format!("Error: Message payload is not valid JSON on topic {topic}."));
        }
        self.handled += 1;
        Ok(if self.args.count == Some(self.handled) { Progress::Done } else { Progress::Going })
    }

    /// An empty retained message takes the place of the one that the broker keeps. QoS 1, so that an end can wait
    /// until it has arrived.
    fn remove_doomed(&mut self) -> Result<(), Failure> {
        while self.endpoint.driver.client().has_room(QoS::AtLeastOnce) {
            let Some(topic) = self.doomed.pop_front() else { break };
            let removal = Publication::new(topic, Vec::new(), QoS::AtLeastOnce).retained();
            let published = self.endpoint.driver.publish(removal);
            self.removals.push(published.map_err(|error| Failure::new(error.to_string()))?);
        }
        Ok(())
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

fn parse_count(text: &str) -> Result<u64, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("invalid message count '{text}': a whole number from 1"))
}

fn parse_timeout(text: &str) -> Result<u64, String> {
    let seconds = text.parse().ok().filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| format!("invalid timeout '{text}': a whole number of seconds from 1"))
}

const REMOVAL_PATIENCE: Duration = Duration::from_secs(10);
