//! `iothub health`: asks a broker for a CONNACK, for container health checks that have no client at hand.

mod found;

use std::{env, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use client::{Disconnection, Driver, Error, Farewell, Options, Target, Tls, TlsError, TlsOptions, Version};

use crate::config::{self, Address, ClientCertificates, Flags, Listener, Place, Scheme, Settings};
use crate::endpoint::parse_path;

#[derive(Debug, Args)]
pub struct HealthArgs {
    /// The broker to ask, by one of its listen addresses
    #[arg(default_value = "tcp://127.0.0.1:1883", value_parser = Address::parse, conflicts_with_all = ["config", "port"])]
    address: Address,
    /// The broker on this machine, at this port: short for tcp://127.0.0.1:PORT
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "config")]
    port: Option<u16>,
    /// The broker on this machine with this configuration, at the first listener where neither a PROXY header nor a client's
    /// certificate is needed. Its own certificate is not judged
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["cafile", "insecure", "ws_path"])]
    config: Option<PathBuf>,
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

/// Who is asked, and how.
struct Asked {
    address: Address,
    tls: TlsOptions,
    ws_path: String,
    /// Nobody gets in without a certificate, and who says so is there.
    wants_certificate: bool,
}

impl HealthArgs {
    /// The error has a sentence for each problem.
    fn asked(&self) -> Result<Asked, Vec<String>> {
        if let Some(file) = &self.config {
            let loaded = config::load(Some(file), env::vars_os(), &Flags::default());
            let loaded =
                loaded.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
            return configured(&loaded.settings, &loaded.listeners()).map_err(|sentence| vec![sentence]);
        }
        let tls =
            TlsOptions { ca_file: self.cafile.clone(), any_name: self.insecure, ..TlsOptions::default() };
        let address = self.port.map_or_else(|| self.address.clone(), at_port);
        let ws_path = self.ws_path.clone();
        Ok(Asked { address, tls, ws_path, wants_certificate: false })
    }
}

impl Asked {
    fn target(&self, timeout: Duration) -> Result<Target, TlsError> {
        let target = match &self.address.place {
            Place::Host { host, port } => Target::new(host.as_str(), *port),
            Place::Path(path) => Target::unix(path),
        };
        let is_websocket = matches!(self.address.scheme, Scheme::WebSocket | Scheme::SecureWebSocket);
        let tls = self.address.scheme.needs_tls().then(|| Tls::new(&self.tls)).transpose()?;
        let websocket = is_websocket.then(|| self.ws_path.clone());
        Ok(Target { tls, websocket, connect_timeout: timeout, ..target })
    }

    /// A broker that asks for a certificate is alive. The last words of TLS are all that comes then.
    fn is_sign_of_life(&self, error: &Error) -> bool {
        self.wants_certificate && error.to_string().contains("CertificateRequired")
    }
}

/// The first listener where the least is needed to get in.
fn configured(settings: &Settings, listeners: &[Listener]) -> Result<Asked, String> {
    let wants_certificate = |listener: &Listener, address: &Address| {
        address.scheme.needs_tls()
            && listener.tls(&settings.tls).client_certificates == ClientCertificates::Required
    };
    let found = listeners.iter().filter_map(|listener| {
        let address = listener.address.clone()?;
        let wants_header = !listener.proxy_protocol_from.is_empty() && address.scheme != Scheme::Any;
        let wants_certificate = wants_certificate(listener, &address);
        let is_chosen = matches!(address.place, Place::Host { port: 0, .. });
        (!wants_header && !is_chosen).then_some((wants_certificate, address))
    });
    // Of several with the same need the first stays the first.
    let (wants_certificate, address) = found.min_by_key(|(wants, _)| *wants).ok_or(
        "at each of its listeners a PROXY header is needed, or the system chooses the port: ask one by its address, or \
         add one for this machine, for example unix:///run/iothub/mqtt.sock",
    )?;
    Ok(Asked {
        address: reached(address),
        tls: TlsOptions { anybody: true, ..TlsOptions::default() },
        ws_path: Some(settings.websocket.path.clone())
            .filter(|path| !path.is_empty())
            .unwrap_or("/".to_owned()),
        wants_certificate,
    })
}

fn at_port(port: u16) -> Address {
    Address { scheme: Scheme::Tcp, place: Place::Host { host: "127.0.0.1".to_owned(), port } }
}

/// From this machine: where every address is listened on, the loopback address is one of them.
fn reached(address: Address) -> Address {
    let Address { scheme, place } = address;
    let place = match place {
        Place::Host { host, port } => {
            let host = match host.as_str() {
                "0.0.0.0" => "127.0.0.1".to_owned(),
                "::" => "::1".to_owned(),
                _ => host,
            };
            Place::Host { host, port }
        }
        path => path,
    };
    Address { scheme, place }
}

fn complain(about: impl std::fmt::Display, trouble: impl std::fmt::Display) -> ExitCode {
    eprintln!("iothub health: {about}: {trouble}");
    ExitCode::FAILURE
}

/// Any CONNACK is a sign of life: a broker that is full or asks for a password is not to be restarted for it. One whose
/// store has failed is, and says so with its CONNACK.
pub fn run(args: &HealthArgs) -> ExitCode {
    let asked = match args.asked() {
        Ok(asked) => asked,
        Err(problems) => {
            problems.iter().for_each(|problem| eprintln!("iothub health: {problem}"));
            return ExitCode::FAILURE;
        }
    };
    let timeout = Duration::from_secs(args.timeout);
    let target = match asked.target(timeout) {
        Ok(target) => target,
        Err(error) => return complain(&asked.address, error),
    };
    let options = Options { answer_timeout: timeout, ..Options::new(Version::V5, "") };
    match Driver::connect(target, options, u64::from(std::process::id())) {
        Ok(mut driver) => {
            let trouble = driver.client().granted().and_then(|granted| granted.reason_string.clone());
            // The answer is there; that the farewell arrives as well is not asked.
            let _ = driver.disconnect(&Farewell::default());
            trouble.map_or(ExitCode::SUCCESS, |trouble| complain(&asked.address, trouble))
        }
        Err(Error::Disconnected(Disconnection::Refused { .. })) => ExitCode::SUCCESS,
        Err(error) if asked.is_sign_of_life(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let code = complain(&asked.address, &error);
            // A configuration says how to ask.
            let remedy = || found::remedy(&asked.address, &error.to_string(), timeout);
            if let Some(remedy) = args.config.is_none().then(remedy).flatten() {
                eprintln!("iothub health: {remedy}");
            }
            code
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<String, String> {
        let path = std::env::temp_dir().join(format!("iothub-health-{}-{}", std::process::id(), text.len()));
        std::fs::write(&path, text).expect("written");
        let loaded = config::load(Some(&path), [], &Flags::default()).expect("no problem");
        std::fs::remove_file(path).expect("removed");
        configured(&loaded.settings, &loaded.listeners()).map(|asked| asked.address.to_string())
    }

    #[test]
    fn a_port_is_one_of_this_machine_and_excludes_an_address_and_a_file() {
        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            args: HealthArgs,
        }
        let read = |flags: &[&str]| <Line as clap::Parser>::try_parse_from([&["health"], flags].concat());
        for (flags, expected) in [
            (&[][..], "tcp://127.0.0.1:1883"),
            (&["-p", "1884"], "tcp://127.0.0.1:1884"),
            (&["--port", "1885"], "tcp://127.0.0.1:1885"),
            (&["ws://127.0.0.1:8083"], "ws://127.0.0.1:8083"),
        ] {
            let asked = read(flags).expect("a right command line").args.asked();
            assert_eq!(asked.map(|asked| asked.address.to_string()), Ok(expected.to_owned()), "{flags:?}");
        }
        for wrong in [&["-p", "0"][..], &["-p", "1", "tcp://127.0.0.1:2"], &["-p", "1", "-c", "iothub.toml"]]
        {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn the_first_listener_that_needs_the_least_is_asked() {
        for (text, expected) in [
            ("", "tcp://127.0.0.1:1883"),
            (
                "[server]\nlisten_addresses = [\"tls://0.0.0.0:8883\", \"tcp://0.0.0.0:1884\"]\n",
                "tls://127.0.0.1:8883",
            ),
            ("[server]\nlisten_addresses = [\"ws://[::]:80\"]\n", "ws://[::1]:80"),
            (
                "[tls]\nclient_certificates = \"required\"\n\
                 [server]\nlisten_addresses = [\"tls://0.0.0.0\", \"unix:///run/mqtt\"]\n",
                "unix:///run/mqtt",
            ),
            (
                "[tls]\nclient_certificates = \"required\"\n[server]\nlisten_addresses = [\"tls://192.0.2.1\"]\n",
                "tls://192.0.2.1:8883",
            ),
            (
                "[[listener]]\naddress = \"tcp://0.0.0.0:1\"\nproxy_protocol_from = [\"192.0.2.1\"]\n\
                 [[listener]]\naddress = \"any://0.0.0.0:2\"\nproxy_protocol_from = [\"192.0.2.1\"]\n",
                "any://127.0.0.1:2",
            ),
        ] {
            assert_eq!(asked(text).as_deref(), Ok(expected), "{text}");
        }
        let none = "[[listener]]\naddress = \"tcp://0.0.0.0:1\"\nproxy_protocol_from = [\"192.0.2.1\"]\n";
        assert!(asked(none).is_err_and(|sentence| sentence.contains("a PROXY header is needed")));
    }
}
