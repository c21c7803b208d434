//! `loadgen` loads a broker with many connections and reports rates, costs and faults.
//!
//! It is built to outrun the broker, not to be one more client: raw sockets on epoll, frames that are encoded once
//! and patched, large reads, one or two threads. Every run is bounded in time and in count and ends by itself.

mod connection;
mod epoll;
mod idle;
mod ledger;
mod p2p;
mod payload;
mod process;

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use client::{QoS, Version};

use process::Process;

/// Load an MQTT broker and report what it did with it.
#[derive(Debug, Parser)]
#[command(version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    scenario: Scenario,
}

#[derive(Debug, Subcommand)]
enum Scenario {
    /// Publishers and subscribers in pairs, each pair with a topic of its own and a window of messages under way
    P2p(p2p::P2pArgs),
    /// Connections that are held open and do nothing but keep alive, each with a session and a subscription
    Idle(idle::IdleArgs),
}

/// The broker under load.
#[derive(Debug, Clone, Args)]
struct BrokerArgs {
    /// Host name or address of the broker
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Port of the broker
    #[arg(long, short, default_value_t = 1883)]
    port: u16,
    /// Process id of the broker on this machine: its CPU time and memory are reported
    #[arg(long)]
    pid: Option<u32>,
    /// MQTT version to speak: 311 or 5
    #[arg(long, short = 'V', default_value = "311", value_parser = parse_version)]
    protocol_version: Version,
}

impl BrokerArgs {
    fn address(&self) -> Result<SocketAddr, String> {
        let mut addresses = (self.host.as_str(), self.port)
            .to_socket_addrs()
            .map_err(|error| format!("cannot find the address of `{}`: {error}", self.host))?;
        addresses.next().ok_or_else(|| format!("`{}` has no address", self.host))
    }

    fn process(&self) -> Result<Option<Process>, String> {
        self.pid.map(Process::of).transpose()
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().scenario {
        Scenario::P2p(args) => p2p::run(&args).map(|report| report.to_string()),
        Scenario::Idle(args) => idle::run(&args).map(|report| report.to_string()),
    };
    match outcome {
        Ok(report) => {
            print!("{report}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("loadgen: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse_version(text: &str) -> Result<Version, String> {
    match text {
        "311" => Ok(Version::V311),
        "5" => Ok(Version::V5),
        _ => Err("the version is 311 or 5".to_owned()),
    }
}

fn parse_qos(text: &str) -> Result<QoS, String> {
    let number = text.parse::<u8>().ok();
    number.and_then(|number| QoS::try_from(number).ok()).ok_or_else(|| "the QoS is 0, 1 or 2".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
