//! What `iothub pub` and `iothub sub` share: the arguments that say which broker and who is asking, the connection
//! that they describe, and how such a command fails.

mod absent;
pub mod property;
pub mod reason;
pub mod topic;
mod trace;
mod transport;
mod url;
pub mod usage;

use std::{
    io,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use clap::{ArgAction, Args, ValueEnum};
use client::{
    Disconnection, Driver, Error, Event, Farewell, Options, Publication, QoS, Reconnect, Tap, Target,
    Version, Will,
};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

use property::PropertySet;
use reason::{CODE_FAILED, CODE_PROTOCOL, exit_code};
use trace::Trace;
pub use transport::parse_path;
use transport::{PORT_TLS, TransportArgs};
use url::Url;

/// `-h` is the host, as it is for mosquitto's tools; so help is `--help` only.
#[derive(Debug, Args)]
pub struct EndpointArgs {
    /// The broker's host name or address [default: localhost]
    #[arg(short = 'h', long)]
    host: Option<String>,
    /// The broker's port [default: 1883; 8883 with TLS, 80 and 443 with WebSocket]
    #[arg(short, long, allow_hyphen_values = true, value_parser = parse_port)]
    port: Option<u16>,
    /// Broker, login and topic in one: mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC, or mqtts://, ws://, wss://. -h, -p, -u
    /// and -P win over it
    #[arg(short = 'L', long, value_parser = Url::parse)]
    url: Option<Url>,
    /// The client id; one is made if it is missing
    #[arg(short, long, value_name = "CLIENT_ID", allow_hyphen_values = true)]
    id: Option<String>,
    /// Begin the client id so, and end it with the process id
    #[arg(short = 'I', long, value_name = "PREFIX", allow_hyphen_values = true, conflicts_with = "id")]
    id_prefix: Option<String>,
    /// The name to log in with
    #[arg(short, long, allow_hyphen_values = true)]
    username: Option<String>,
    /// The password to log in with
    #[arg(short = 'P', long = "pw", value_name = "PASSWORD", allow_hyphen_values = true)]
    password: Option<String>,
    /// The version to speak; 311 unless a property asks for 5
    #[arg(short = 'V', long, value_name = "VERSION", value_enum, hide_possible_values = true)]
    protocol_version: Option<ProtocolVersion>,
    /// Seconds of silence after which the connection is probed; 0 for never
    #[arg(
        short,
        long,
        value_name = "SECONDS",
        default_value_t = 60,
        allow_hyphen_values = true,
        value_parser = parse_keep_alive
    )]
    keepalive: u16,
    /// Keep the session: subscriptions and missed messages outlive the connection. Needs --id
    #[arg(short = 'c', long, requires = "id")]
    disable_clean_session: bool,
    /// Seconds that the session outlives the connection, -1 for ever; 5.0 only
    #[arg(short = 'x', long, value_name = "SECONDS", allow_hyphen_values = true, value_parser = parse_expiry)]
    session_expiry_interval: Option<u32>,
    /// Add a property: `-D publish content-type text/plain`, `-D connect user-property NAME VALUE`
    #[arg(
        short = 'D',
        long = "property",
        num_args = 3..=4,
        value_names = ["COMMAND", "PROPERTY", "VALUE"],
        allow_hyphen_values = false
    )]
    properties: Vec<String>,
    /// The topic of the will, which the broker publishes if this client vanishes
    #[arg(long, value_name = "TOPIC", allow_hyphen_values = true, value_parser = topic::parse_name)]
    will_topic: Option<String>,
    /// What the will says
    #[arg(long, requires = "will_topic", allow_hyphen_values = true)]
    will_payload: Option<String>,
    /// The QoS of the will
    #[arg(long, requires = "will_topic", value_name = "QOS", default_value = "0", value_parser = parse_qos)]
    will_qos: QoS,
    /// Have the broker keep the will for those who subscribe later
    #[arg(long, requires = "will_topic")]
    will_retain: bool,
    /// Tell on standard error what happens
    #[arg(short, long)]
    debug: bool,
    /// Print no error messages
    #[arg(long, conflicts_with = "debug")]
    quiet: bool,
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// Print the version
    #[arg(long, action = ArgAction::Version)]
    version: Option<bool>,
    #[command(flatten)]
    transport: TransportArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ProtocolVersion {
    #[value(name = "31", alias = "mqttv31")]
    V31,
    #[value(name = "311", alias = "mqttv311")]
    V311,
    #[value(name = "5", alias = "mqttv5")]
    V5,
}

/// Why a command ends without success.
#[derive(Debug)]
pub struct Failure {
    pub message: String,
    pub code: u8,
}

/// A connection for one command, and the word of the user to end it.
pub struct Endpoint {
    pub driver: Driver,
    pub properties: PropertySet,
    stop: Arc<AtomicBool>,
    debug: bool,
    quiet: bool,
}

impl EndpointArgs {
    /// Connects, and waits until the broker has accepted.
    pub fn connect(&self, reconnect: Option<Reconnect>) -> Result<Endpoint, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        listen_for_signals(&stop).map_err(|error| Failure::new(format!("cannot handle signals: {error}")))?;
        let properties = PropertySet::parse(&self.properties).map_err(Failure::new)?;
        let options = Options { reconnect, ..self.options(&properties)? };
        let version = options.version;
        let tap = self.debug.then(|| Box::new(Trace::new(version)) as Box<dyn Tap>);
        let driver = Driver::connect_with_tap(self.target()?, options, seed(), tap)
            .map_err(|error| Failure::of(error, version))?;
        Ok(Endpoint { driver, properties, stop, debug: self.debug, quiet: self.quiet })
    }

    /// Reports a failure and gives the exit code.
    pub fn finish(&self, outcome: Result<(), Failure>) -> ExitCode {
        let Err(failure) = outcome else { return ExitCode::SUCCESS };
        if !self.quiet {
            // The end that -W asked for is no mistake.
            let prefix = if failure.code == CODE_TIMED_OUT { "" } else { "Error: " };
            eprintln!("{prefix}{}", failure.message);
        }
        ExitCode::from(failure.code)
    }

    /// The topic that `-L` names.
    pub fn url_topic(&self) -> Option<&str> {
        self.url.as_ref().map(|url| url.topic.as_str())
    }

    fn target(&self) -> Result<Target, Failure> {
        let url = self.url.as_ref();
        let host = self.host.as_deref().or(url.map(|url| url.host.as_str())).unwrap_or("localhost");
        let port = self.port.or(url.and_then(|url| url.port));
        let tls = self.transport.tls(url.is_some_and(|url| url.scheme.tls), port)?;
        let is_websocket = self.transport.ws || url.is_some_and(|url| url.scheme.websocket);
        let usual = match (is_websocket, tls.is_some()) {
            (false, false) => PORT,
            (false, true) => PORT_TLS,
            (true, false) => PORT_HTTP,
            (true, true) => PORT_HTTPS,
        };
        let target = match &self.transport.unix {
            Some(path) => Target::unix(path),
            None => Target::new(without_brackets(host), port.unwrap_or(usual)),
        };
        let websocket = is_websocket.then(|| self.transport.ws_path.clone());
        Ok(Target { tls, websocket, ..target })
    }

    fn client_id(&self, version: Version) -> String {
        match (&self.id, &self.id_prefix) {
            (Some(id), _) => id.clone(),
            (None, Some(prefix)) => format!("{prefix}{}", std::process::id()),
            (None, None) => made_id(version),
        }
    }

    fn options(&self, properties: &PropertySet) -> Result<Options, Failure> {
        let wants_5 = !self.properties.is_empty();
        let version = match self.protocol_version {
            None if wants_5 => Version::V5,
            Some(ProtocolVersion::V31 | ProtocolVersion::V311) if wants_5 => {
                return Err(Failure::new(
                    "properties need MQTT 5.0: use `-V 5`, or leave `-V` out".to_owned(),
                ));
            }
            None | Some(ProtocolVersion::V311) => Version::V311,
            Some(ProtocolVersion::V31) => Version::V31,
            Some(ProtocolVersion::V5) => Version::V5,
        };
        let mut options = Options::new(version, self.client_id(version));
        properties.apply_to(&mut options);
        options.clean_start = !self.disable_clean_session;
        options.keep_alive_s = self.keepalive;
        let url = self.url.as_ref();
        options.username = self.username.clone().or(url.and_then(|url| url.username.clone()));
        let password = self.password.clone().or(url.and_then(|url| url.password.clone()));
        options.password = password.map(String::into_bytes);
        let kept = self.disable_clean_session.then_some(SESSION_FOR_EVER);
        options.session_expiry_interval_s =
            self.session_expiry_interval.or(options.session_expiry_interval_s).or(kept);
        if let Some(topic) = &self.will_topic {
            let payload = self.will_payload.clone().unwrap_or_default();
            let mut publication = Publication::new(topic.as_str(), payload, self.will_qos);
            publication.retain = self.will_retain;
            publication.properties = properties.will.clone();
            let delay_interval_s = properties.will_delay_interval_s;
            options.will = Some(Will { publication, delay_interval_s });
        }
        Ok(options)
    }
}

impl Endpoint {
    /// Whether the user asked for the end with Ctrl-C or SIGTERM.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<Event>, Failure> {
        let version = self.driver.client().options().version;
        let event = self.driver.next_event(timeout).map_err(|error| Failure::of(error, version))?;
        if let (true, Some(Event::Disconnected { reason, reconnect_at: Some(_) })) = (self.debug, &event) {
            eprintln!("{}; connecting again", reason::text(reason, version));
        }
        Ok(event)
    }

    /// Reports what is wrong and ends nothing.
    pub fn warn(&self, message: &str) {
        if !self.quiet {
            eprintln!("{message}");
        }
    }

    /// The end of a connection that is not coming back.
    pub fn failure_of(&mut self, reason: Disconnection) -> Failure {
        let version = self.driver.client().options().version;
        Failure::of(self.driver.error_of(reason), version)
    }

    pub fn disconnect(&mut self) -> Result<(), Failure> {
        let farewell = Farewell {
            session_expiry_interval_s: self.properties.disconnect_expiry_interval_s,
            user_properties: self.properties.disconnect_user_properties.clone(),
            ..Farewell::default()
        };
        self.driver.disconnect(&farewell).map_err(|error| Failure::new(error.to_string()))
    }
}

impl Failure {
    pub fn new(message: String) -> Failure {
        Failure { message, code: CODE_FAILED }
    }

    pub fn of(error: Error, version: Version) -> Failure {
        let disconnection = match error {
            Error::Disconnected(disconnection) => disconnection,
            Error::Broken(_) => return Failure { message: error.to_string(), code: CODE_LOST },
            error => return Failure::new(error.to_string()),
        };
        let code = match &disconnection {
            Disconnection::Refused { reason, .. } | Disconnection::Ended { reason, .. } => {
                exit_code(*reason, version)
            }
            Disconnection::Lost => CODE_LOST,
            Disconnection::Violated(_) => CODE_PROTOCOL,
            _ => CODE_FAILED,
        };
        Failure { message: reason::text(&disconnection, version), code }
    }
}

// The first signal asks for an orderly end; the second one ends the process, should the first have gone unheard.
fn listen_for_signals(stop: &Arc<AtomicBool>) -> io::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, Arc::clone(stop))?;
        flag::register(signal, Arc::clone(stop))?;
    }
    Ok(())
}

// 5.0 servers make a better id than a client can: a unique one.
fn made_id(version: Version) -> String {
    match version {
        Version::V5 => String::new(),
        Version::V31 | Version::V311 => format!("iothub-{:08x}", seed() as u32),
    }
}

fn seed() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = u64::from(since_epoch.subsec_nanos()) ^ since_epoch.as_secs().rotate_left(32);
    nanos ^ u64::from(std::process::id()).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

pub fn parse_qos(text: &str) -> Result<QoS, String> {
    let number = text.parse::<u8>().ok();
    let qos = number.and_then(|number| QoS::try_from(number).ok());
    qos.ok_or_else(|| format!("invalid QoS '{text}': 0, 1 or 2"))
}

fn parse_port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| format!("invalid port '{text}': a number from 1 to 65535"))
}

fn parse_keep_alive(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("invalid keep-alive '{text}': a number of seconds from 0 to 65535"))
}

// URLs write an IPv6 address in brackets; the system's resolver knows it without.
fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn parse_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(SESSION_FOR_EVER),
        _ => text.parse().map_err(|_| {
            format!(
                "invalid session expiry '{text}': a number of seconds from 0 to 4294967295, or -1 for ever"
            )
        }),
    }
}

// The value with which a 5.0 session does not expire.
const SESSION_FOR_EVER: u32 = u32::MAX;

// What IANA has given to MQTT without TLS.
const PORT: u16 = 1883;

// Where a URL of WebSocket without a port leads.
const PORT_HTTP: u16 = 80;
const PORT_HTTPS: u16 = 443;

// More exit codes of mosquitto's tools, for the scripts that look at them.
const CODE_LOST: u8 = 7;
pub const CODE_TIMED_OUT: u8 = 27;
