//! `loadgen` loads a broker with many connections and reports rates, costs and faults.
//!
//! It is built to outrun the broker, not to be one more client: raw sockets on epoll, frames that are encoded once
//! and patched, large reads, one or two threads. Every run is bounded in time and in count and ends by itself.

mod acknowledgement;
mod churn;
mod compare;
mod connect;
mod connection;
mod destination;
mod epoll;
mod feed;
mod floor;
mod idle;
mod latency;
mod layered;
mod ledger;
mod mixed;
mod null;
mod payload;
mod persistent;
mod process;
mod report;
mod retained;
mod scenario;
mod script;
mod socket;
mod traffic;
mod usage;

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Args, Parser, Subcommand};
use client::{QoS, Version};

use compare::CompareArgs;
use connection::Hello;
use destination::{Destination, TransportArgs};
use null::NullArgs;
use process::Process;
use report::{Figure, Report};
use scenario::Scenario;

/// Load an MQTT broker and report what it did with it.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Also writes what was found as JSON to this file, or to standard output instead of the table with `-`
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Scenario(Box<Scenario>),
    /// Serve as a relay that only moves bytes: what the kernel itself costs
    Null(NullArgs),
    /// Run the same scenarios with several brokers in turn, and show what came out side by side
    Compare(Box<CompareArgs>),
}

/// The broker under load.
#[derive(Debug, Clone, Args)]
struct BrokerArgs {
    /// Host name or address of the broker
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port of the broker [default: 1883, or the usual one of the URL's transport]
    #[arg(long, short, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    #[command(flatten)]
    transport: TransportArgs,
    /// Process id of the broker on this machine: its CPU time and memory are reported
    #[arg(long)]
    pid: Option<u32>,
    /// MQTT version to speak: 311 or 5
    #[arg(long, short = 'V', default_value = "311", value_parser = parse_version)]
    protocol_version: Version,
    /// User name of all clients, for brokers that ask for one
    #[arg(long, short = 'u')]
    username: Option<String>,
    /// Password of all clients; whoever may list the processes of this machine sees it
    #[arg(long, short = 'P', requires = "username")]
    password: Option<String>,
    /// What client ids and topics begin with: several of this program at one broker need one each
    #[arg(long, default_value = "loadgen", value_parser = parse_prefix)]
    prefix: String,
    /// What follows from the above, once somebody has asked.
    #[arg(skip)]
    destination: OnceLock<Destination>,
}

impl BrokerArgs {
    fn destination(&self) -> Result<&Destination, String> {
        if let Some(destination) = self.destination.get() {
            return Ok(destination);
        }
        let destination = self.transport.destination(&self.host, self.port)?;
        Ok(self.destination.get_or_init(|| destination))
    }

    /// With a session that begins and ends with its connection.
    fn hello<'a>(&'a self, client_id: &'a str) -> Hello<'a> {
        let login = self.username.as_deref().map(|name| (name, self.password.as_deref()));
        Hello { login, ..Hello::new(self.protocol_version, client_id) }
    }

    fn client_id(&self, rest: &str) -> String {
        format!("{}-{rest}", self.prefix)
    }

    fn topic(&self, rest: &str) -> String {
        format!("{}/{rest}", self.prefix)
    }

    fn process(&self) -> Result<Option<Process>, String> {
        self.pid.map(Process::of).transpose()
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json.as_deref();
    let outcome = check_writable(json).and_then(|()| match &cli.command {
        Command::Scenario(scenario) => run(scenario, json),
        Command::Null(args) => null::run(args),
        Command::Compare(args) => compare::run(args, json),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("loadgen: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(scenario: &Scenario, json: Option<&Path>) -> Result<(), String> {
    let report = scenario.run()?;
    show(&report, json)?;
    let dropped = report.figures.iter().find(|figure| figure.key == "dropped");
    if let Some(Figure { value, .. }) = dropped.filter(|figure| figure.value > 0.0) {
        return Err(format!("the broker dropped {value} connections: these are the figures of a failure"));
    }
    if !report.faults.any() {
        return Ok(());
    }
    let remedy = if report.faults.lost == 0 { "" } else { LOST_REMEDY };
    Err(format!("messages were lost, duplicated or reordered: these are the figures of a failure{remedy}"))
}

/// A result that cannot be kept is better known before it is worked for.
fn check_writable(json: Option<&Path>) -> Result<(), String> {
    let Some(path) = json.filter(|path| *path != Path::new("-")) else { return Ok(()) };
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map(drop).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn show(report: &Report, json: Option<&Path>) -> Result<(), String> {
    let Some(path) = json else {
        print!("{report}");
        return Ok(());
    };
    let text = serde_json::to_string_pretty(report).map_err(|error| error.to_string())?;
    if path == Path::new("-") {
        println!("{text}");
        return Ok(());
    }
    print!("{report}");
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn parse_version(text: &str) -> Result<Version, String> {
    match text {
        "311" => Ok(Version::V311),
        "5" => Ok(Version::V5),
        _ => Err("the version is 311 or 5".to_owned()),
    }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let is_usual = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    match text.len() {
        1..=PREFIX_BYTES_MAX if text.chars().all(is_usual) => Ok(text.to_owned()),
        _ => Err(format!("a prefix has 1 to {PREFIX_BYTES_MAX} letters, digits, - and _")),
    }
}

fn parse_qos(text: &str) -> Result<QoS, String> {
    let number = text.parse::<u8>().ok();
    number.and_then(|number| QoS::try_from(number).ok()).ok_or_else(|| "the QoS is 0, 1 or 2".to_owned())
}

const PREFIX_BYTES_MAX: usize = 32;
const LOST_REMEDY: &str = ". Brokers drop what a client's queue has no room for: give it more, or take a lower --window, \
     --rate, --messages or --matches";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    struct OnlyBroker {
        #[command(flatten)]
        broker: BrokerArgs,
    }

    #[test]
    fn all_clients_have_the_login_and_the_prefix() {
        let line = ["loadgen", "--prefix", "north-1", "-u", "me", "-P", "secret"];
        let broker = OnlyBroker::try_parse_from(line).unwrap().broker;
        let client_id = broker.client_id("p2p-7");
        let connect = connection::connect_packet(&broker.hello(&client_id));
        assert_eq!((connect.client_id, connect.username), ("north-1-p2p-7", Some("me")));
        assert_eq!(connect.password, Some(&b"secret"[..]));
        assert_eq!(broker.topic("p2p/7"), "north-1/p2p/7");
        for wrong in [["--prefix", ""], ["--prefix", "a/b"], ["--prefix", "#"], ["--password", "x"]] {
            let line = ["loadgen"].into_iter().chain(wrong);
            assert!(OnlyBroker::try_parse_from(line).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
