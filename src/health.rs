//! `iothub health`: asks a broker for a CONNACK, for container health checks that have no client at hand.

use std::{process::ExitCode, time::Duration};

use clap::Args;
use client::{Disconnection, Driver, Error, Farewell, Options, Target, Version};

use crate::config::{Address, Place, Scheme};

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The broker to ask
    #[arg(default_value = "tcp://127.0.0.1:1883", value_parser = Asked::parse)]
    address: Asked,
    /// Seconds until no answer is an answer
    #[arg(short, long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// A listener that a health check can ask.
#[derive(Debug, Clone)]
struct Asked {
    host: String,
    port: u16,
}

impl Asked {
    fn parse(text: &str) -> Result<Asked, String> {
        match Address::parse(text)? {
            Address { scheme: Scheme::Tcp, place: Place::Host { host, port } } => Ok(Asked { host, port }),
            other => Err(format!("a health check asks over tcp://, and not over {}://", other.scheme.name())),
        }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Address::tcp(&self.host, self.port).fmt(f)
    }
}

/// Any CONNACK is a sign of life: a broker that is full or asks for a password is not to be restarted for it. One whose
/// store has failed is, and says so with its CONNACK.
pub fn run(args: &HealthArgs) -> ExitCode {
    let timeout = Duration::from_secs(args.timeout);
    let target =
        Target { connect_timeout: timeout, ..Target::new(args.address.host.as_str(), args.address.port) };
    let options = Options { answer_timeout: timeout, ..Options::new(Version::V5, "") };
    match Driver::connect(target, options, u64::from(std::process::id())) {
        Ok(mut driver) => {
            let trouble = driver.client().granted().and_then(|granted| granted.reason_string.clone());
            // The answer is there; that the farewell arrives as well is not asked.
            let _ = driver.disconnect(&Farewell::default());
            match trouble {
                None => ExitCode::SUCCESS,
                Some(trouble) => {
                    eprintln!("iothub health: {}: {trouble}", args.address);
                    ExitCode::FAILURE
                }
            }
        }
        Err(Error::Disconnected(Disconnection::Refused { .. })) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("iothub health: {}: {error}", args.address);
            ExitCode::FAILURE
        }
    }
}
