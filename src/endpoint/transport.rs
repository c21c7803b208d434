//! The flags that say through which transport a broker is reached: those of mosquitto's tools for TLS and unix sockets, and two
//! of our own for WebSocket.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use client::{Tls, TlsOptions};

use super::Failure;

/// What stands on the command line.
#[derive(Debug, Args)]
pub struct TransportArgs {
    /// The broker's socket in the file system, in place of host and port
    #[arg(long, help_heading = TRANSPORT, value_name = "PATH", conflicts_with_all = ["host", "port", "url"])]
    pub unix: Option<PathBuf>,
    /// Speak MQTT over WebSocket, as -L ws:// and -L wss:// do
    #[arg(long, help_heading = TRANSPORT)]
    pub ws: bool,
    /// The path of the WebSocket
    #[arg(long, help_heading = TRANSPORT, value_name = "PATH", default_value = "/mqtt", value_parser = parse_path)]
    pub ws_path: String,
    /// Speak TLS, and trust the certificate authorities in this PEM file
    #[arg(long, help_heading = TRANSPORT, value_name = "FILE")]
    cafile: Option<PathBuf>,
    /// Speak TLS, and trust the certificate authorities in the PEM files of this directory
    #[arg(long, help_heading = TRANSPORT, value_name = "DIR")]
    capath: Option<PathBuf>,
    /// Speak TLS, and trust the certificate authorities of the system; so does -p 8883 without --cafile and --capath
    #[arg(long, help_heading = TRANSPORT)]
    tls_use_os_certs: bool,
    /// The client's certificate in a PEM file
    #[arg(long, help_heading = TRANSPORT, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// The key of the client's certificate in a PEM file
    #[arg(long, help_heading = TRANSPORT, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// Do not ask whether the broker's certificate is for this host. An authority must have signed it all the same
    #[arg(long, help_heading = TRANSPORT)]
    insecure: bool,
    /// The protocol to ask for in the TLS handshake
    #[arg(long, help_heading = TRANSPORT, value_name = "PROTOCOL")]
    tls_alpn: Option<String>,
    /// The lowest version of TLS: tlsv1.2 [default] or tlsv1.3
    #[arg(long, help_heading = TRANSPORT, value_name = "VERSION", value_enum, hide_possible_values = true)]
    tls_version: Option<TlsVersion>,
    #[command(flatten)]
    absent: super::absent::AbsentArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TlsVersion {
    #[value(name = "tlsv1.2")]
    V12,
    #[value(name = "tlsv1.3")]
    V13,
}

impl TransportArgs {
    /// TLS where a flag, the URL or the port asks for it.
    pub fn tls(&self, is_asked_for: bool, port: Option<u16>) -> Result<Option<Tls>, Failure> {
        let has_authorities = self.cafile.is_some() || self.capath.is_some() || self.tls_use_os_certs;
        if !(is_asked_for || has_authorities || port == Some(PORT_TLS)) {
            return self.check_unused().map(|()| None);
        }
        let options = TlsOptions {
            ca_file: self.cafile.clone(),
            ca_path: self.capath.clone(),
            identity: self.cert.clone().zip(self.key.clone()),
            any_name: self.insecure,
            alpn: self.tls_alpn.clone(),
            only_1_3: self.tls_version == Some(TlsVersion::V13),
            ..TlsOptions::default()
        };
        Tls::new(&options).map(Some).map_err(|error| Failure::new(error.to_string()))
    }

    /// Whoever says how to speak TLS believes that it is spoken.
    fn check_unused(&self) -> Result<(), Failure> {
        let given = [
            ("--cert", self.cert.is_some()),
            ("--insecure", self.insecure),
            ("--tls-alpn", self.tls_alpn.is_some()),
            ("--tls-version", self.tls_version.is_some()),
        ];
        match given.iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((flag, _)) => Err(Failure::new(format!(
                "{flag} is for TLS, and nothing asks for TLS: add --cafile, --capath or --tls-use-os-certs, or use -L mqtts://"
            ))),
        }
    }
}

/// The path of a WebSocket.
pub fn parse_path(text: &str) -> Result<String, String> {
    let is_path = text.starts_with('/') && !text.contains(|c: char| c.is_ascii_control() || c == ' ');
    if is_path {
        Ok(text.to_owned())
    } else {
        Err(format!("invalid path '{text}': it begins with / and has no spaces"))
    }
}

/// What IANA has given to MQTT over TLS.
pub const PORT_TLS: u16 = 8883;

/// Where help shows these flags.
const TRANSPORT: &str = "Transport";
