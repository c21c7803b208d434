//! `iothub pub`: publishes from the command line, a file or standard input. It feels like mosquitto_pub.

use std::{
    fs,
    io::{self, BufRead, Read},
    path::PathBuf,
    process::ExitCode,
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use client::{Event, Publication, QoS, Token};

use crate::endpoint::{Endpoint, EndpointArgs, Failure, parse_qos, reason, topic::parse_name};

/// Publish messages, in the manner of mosquitto_pub.
#[derive(Debug, Args)]
#[command(
    version,
    display_name = "iothub pub",
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true,
    next_line_help = true,
    override_usage = "iothub pub [OPTIONS] {-t <TOPIC> | -L <URL>} {-m <MESSAGE> | -f <FILE> | -s | -l | -n}"
)]
pub struct PublishArgs {
    #[command(flatten)]
    endpoint: EndpointArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// The topic to publish to
    #[arg(short, long, required_unless_present = "url", allow_hyphen_values = true, value_parser = parse_name)]
    topic: Option<String>,
    /// 0: at most once, 1: at least once, 2: exactly once
    #[arg(short, long, default_value = "0", allow_hyphen_values = true, value_parser = parse_qos)]
    qos: QoS,
    /// Have the broker keep the message for those who subscribe later
    #[arg(short, long)]
    retain: bool,
    /// Publish the message this many times
    #[arg(
        long,
        value_name = "COUNT",
        conflicts_with = "stdin_line",
        allow_hyphen_values = true,
        value_parser = parse_count
    )]
    repeat: Option<u64>,
    /// Seconds between one delivery and the next repetition
    #[arg(
        long,
        value_name = "SECONDS",
        requires = "repeat",
        allow_hyphen_values = true,
        value_parser = parse_seconds
    )]
    repeat_delay: Option<Duration>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SourceArgs {
    /// The message
    #[arg(short, long, allow_hyphen_values = true)]
    message: Option<String>,
    /// Send the contents of this file
    #[arg(short, long, allow_hyphen_values = true)]
    file: Option<PathBuf>,
    /// Send all of standard input as one message
    #[arg(short, long)]
    stdin_file: bool,
    /// Send each line of standard input as a message
    #[arg(short = 'l', long)]
    stdin_line: bool,
    /// Send an empty message
    #[arg(short, long)]
    null_message: bool,
}

pub fn run(args: &PublishArgs) -> ExitCode {
    args.endpoint.finish(args.publish())
}

impl PublishArgs {
    fn publish(&self) -> Result<(), Failure> {
        let topic = match (&self.topic, self.endpoint.url_topic()) {
            (Some(topic), _) => topic.clone(),
            (None, Some(topic)) => parse_name(topic).map_err(Failure::new)?,
            (None, None) => return Err(Failure::new("a topic is needed: -t or -L".to_owned())),
        };
        // Read before the connection is made: a file that is not there costs the broker nothing.
        let payload = self.source.read().map_err(Failure::new)?;
        let endpoint = self.endpoint.connect(None)?;
        let mut publisher = Publisher { endpoint, topic, pending: Vec::new(), refused: None };
        match payload {
            Some(payload) => self.publish_repeatedly(&mut publisher, &payload)?,
            None => self.publish_lines(&mut publisher)?,
        }
        publisher.wait_for_all()?;
        publisher.endpoint.disconnect()?;
        publisher.refused.map_or(Ok(()), Err)
    }

    fn publish_repeatedly(&self, publisher: &mut Publisher, payload: &[u8]) -> Result<(), Failure> {
        for round in 0..self.repeat.unwrap_or(1) {
            if let Some(delay) = self.repeat_delay.filter(|_| round > 0) {
                publisher.pass(delay)?;
            }
            if publisher.endpoint.is_stopped() {
                break;
            }
            let publication = self.publication(publisher, payload.to_vec());
            publisher.publish(publication)?;
            publisher.wait_for_all()?;
        }
        Ok(())
    }

    fn publish_lines(&self, publisher: &mut Publisher) -> Result<(), Failure> {
        let lines = read_lines();
        while !publisher.endpoint.is_stopped() {
            let line = match lines.recv_timeout(LINE_PATIENCE) {
                Ok(line) => {
                    line.map_err(|error| Failure::new(format!("cannot read standard input: {error}")))?
                }
                Err(RecvTimeoutError::Timeout) => {
                    publisher.handle_events(Duration::ZERO)?;
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let publication = self.publication(publisher, line);
            publisher.publish(publication)?;
            publisher.handle_events(Duration::ZERO)?;
        }
        Ok(())
    }

    fn publication(&self, publisher: &Publisher, payload: Vec<u8>) -> Publication {
        let mut publication = Publication::new(publisher.topic.as_str(), payload, self.qos);
        publication.retain = self.retain;
        publication.properties = publisher.endpoint.properties.publish.clone();
        publication
    }
}

impl SourceArgs {
    /// The one payload, or `None` for lines that are yet to come.
    fn read(&self) -> Result<Option<Vec<u8>>, String> {
        if self.stdin_line {
            return Ok(None);
        }
        let mut payload = Vec::new();
        if let Some(message) = &self.message {
            payload = message.clone().into_bytes();
        } else if let Some(path) = &self.file {
            payload = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        } else if self.stdin_file {
            let read = io::stdin().lock().read_to_end(&mut payload);
            read.map_err(|error| format!("cannot read standard input: {error}"))?;
        }
        Ok(Some(payload))
    }
}

struct Publisher {
    endpoint: Endpoint,
    topic: String,
    /// Publications without an answer.
    pending: Vec<Token>,
    /// The first publication that the broker refused. The others are published all the same.
    refused: Option<Failure>,
}

impl Publisher {
    fn publish(&mut self, publication: Publication) -> Result<(), Failure> {
        while !self.endpoint.driver.client().has_room(publication.qos) && !self.endpoint.is_stopped() {
            self.handle_events(EVENT_PATIENCE)?;
        }
        let published = self.endpoint.driver.publish(publication);
        let token = published.map_err(|error| Failure::new(error.to_string()))?;
        self.pending.push(token);
        Ok(())
    }

    fn wait_for_all(&mut self) -> Result<(), Failure> {
        while !self.pending.is_empty() && !self.endpoint.is_stopped() {
            self.handle_events(EVENT_PATIENCE)?;
        }
        Ok(())
    }

    /// Lets time pass with the connection kept alive.
    fn pass(&mut self, duration: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < duration && !self.endpoint.is_stopped() {
            self.handle_events(duration.saturating_sub(begun.elapsed()))?;
        }
        Ok(())
    }

    /// Waits for one event at most, and handles all that are there.
    fn handle_events(&mut self, timeout: Duration) -> Result<(), Failure> {
        let mut event = self.endpoint.next_event(timeout)?;
        while let Some(present) = event {
            self.handle_event(present)?;
            event = self.endpoint.next_event(Duration::ZERO)?;
        }
        Ok(())
    }

    fn handle_event(&mut self, event: Event) -> Result<(), Failure> {
        match event {
            Event::Published { token, reason, reason_string } => {
                // Answers come in the order of publishing, so the search ends at the front.
                if let Some(at) = self.pending.iter().position(|pending| *pending == token) {
                    self.pending.remove(at);
                }
                if reason.is_error() && self.refused.is_none() {
                    let version = self.endpoint.driver.client().options().version;
                    let detail = reason_string.map_or_else(String::new, |text| format!(", `{text}`"));
                    let message = format!("the broker refused the message: {}{detail}", reason.name());
                    self.refused = Some(Failure { message, code: reason::exit_code(reason, version) });
                }
            }
            Event::Disconnected { reason, reconnect_at: None } => {
                return Err(self.endpoint.failure_of(reason));
            }
            _ => {}
        }
        Ok(())
    }
}

/// A thread of its own reads, so that a slow writer on standard input does not cost the connection its pings.
fn read_lines() -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(LINES_MAX);
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn parse_count(text: &str) -> Result<u64, String> {
    let count = text.parse().ok().filter(|count| *count > 0);
    count.ok_or_else(|| format!("invalid repeat count '{text}': a whole number from 1"))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| format!("invalid repeat delay '{text}': a number of seconds, such as 0.5"))
}

// How long the connection may wait for attention while no line comes.
const LINE_PATIENCE: Duration = Duration::from_millis(20);
const EVENT_PATIENCE: Duration = Duration::from_secs(1);
const LINES_MAX: usize = 1024;
