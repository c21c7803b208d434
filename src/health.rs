//! `iothub health`: asks a broker for a CONNACK, for container health checks that have no client at hand.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use client::{Disconnection, Driver, Error, Farewell, Options, Target, Tls, TlsError, TlsOptions, Version};

use crate::config::{Address, Place, Scheme};
use crate::endpoint::parse_path;

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The broker to ask, by one of its listen addresses
    #[arg(default_value = "tcp://127.0.0.1:1883", value_parser = Address::parse)]
    address: Address,
    /// Seconds until no answer is an answer
    #[arg(short, long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    /// Trust the certificate authorities in this PEM file, in place of those of the system
    #[arg(long, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Do not ask whether the broker's certificate is for this host. An authority must have signed it all the same
    #[arg(long)]
    insecure: bool,
    /// The path of the WebSocket
    #[arg(long, value_name = "PATH", default_value = "/mqtt", value_parser = parse_path)]
    ws_path: String,
}

impl HealthArgs {
    fn target(&self) -> Result<Target, TlsError> {
        let target = match &self.address.place {
            Place::Host { host, port } => Target::new(host.as_str(), *port),
            Place::Path(path) => Target::unix(path),
        };
        let is_websocket = matches!(self.address.scheme, Scheme::WebSocket | Scheme::SecureWebSocket);
        let options =
            TlsOptions { ca_file: self.cafile.clone(), any_name: self.insecure, ..TlsOptions::default() };
        let tls = self.address.scheme.needs_tls().then(|| Tls::new(&options)).transpose()?;
        let websocket = is_websocket.then(|| self.ws_path.clone());
        Ok(Target { tls, websocket, connect_timeout: Duration::from_secs(self.timeout), ..target })
    }

    fn complain(&self, trouble: impl std::fmt::Display) -> ExitCode {
        eprintln!("iothub health: {}: {trouble}", self.address);
        ExitCode::FAILURE
    }
}

/// Any CONNACK is a sign of life: a broker that is full or asks for a password is not to be restarted for it. One whose
/// store has failed is, and says so with its CONNACK.
pub fn run(args: &HealthArgs) -> ExitCode {
    let target = match args.target() {
        Ok(target) => target,
        Err(error) => return args.complain(error),
    };
    let options =
        Options { answer_timeout: Duration::from_secs(args.timeout), ..Options::new(Version::V5, "") };
    match Driver::connect(target, options, u64::from(std::process::id())) {
        Ok(mut driver) => {
            let trouble = driver.client().granted().and_then(|granted| granted.reason_string.clone());
            // The answer is there; that the farewell arrives as well is not asked.
            let _ = driver.disconnect(&Farewell::default());
            trouble.map_or(ExitCode::SUCCESS, |trouble| args.complain(trouble))
        }
        Err(Error::Disconnected(Disconnection::Refused { .. })) => ExitCode::SUCCESS,
        Err(error) => args.complain(error),
    }
}
