//! The configuration: defaults, then the file, then the environment, then flags; checked as a whole before anything starts.

mod address;
mod admission;
mod api;
mod ban;
mod environment;
mod fault;
mod file;
mod foreign;
mod key;
mod listener;
pub mod moment;
mod mosquitto;
mod nearest;
mod problem;
mod rates;
mod reloading;
mod settings;
mod table;
mod telemetry;
mod value;
mod ways;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use identity::FileError;
use shard::Limits;

pub use self::{
    address::{Address, Place, Scheme},
    admission::{
        AccessDefault, Anonymous, Audit, Authentication, CertificateUser, ClientCertificates, MinVersion, Tls,
    },
    api::{Api, Metrics},
    ban::Ban,
    fault::{Fault, listen_addresses},
    key::Key,
    listener::Listener,
    problem::{Origin, Problem},
    rates::{Over, Pace, Rates, RatesOf},
    settings::{Control, Format, Level, Server, Settings, Sigterm},
    telemetry::Telemetry,
    ways::{Admittance, Way, Ways},
};
use self::{
    file::{File, Sink},
    value::Value,
};

/// What the command line says about the configuration, as it was typed.
#[derive(Debug, Default)]
pub struct Flags {
    pub listen: Vec<String>,
    pub port: Option<String>,
    pub data_dir: Option<String>,
    pub shards: Option<String>,
    pub log_format: Option<String>,
    pub louder: u8,
    pub quieter: u8,
}

/// The settings in force, and for each that was set where its value comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub settings: Settings,
    pub origins: Vec<(&'static Key, Origin)>,
    /// Nobody asked for these hosts, so what this machine lacks may be left out.
    pub listens_by_default: bool,
    /// If there is one.
    pub file: Option<PathBuf>,
    /// What the file sets, and where, although a later source decides it.
    overridden: Vec<(&'static Key, Origin)>,
    /// Of each listener of its own, where its keys stand.
    listener_origins: Vec<Vec<(&'static Key, Origin)>>,
}

impl Sink for Loaded {
    fn set(
        &mut self,
        key: &'static Key,
        value: &Value<'_>,
        origin: Origin,
        written: &str,
    ) -> Result<(), Problem> {
        if key.section == listener::SECTION {
            let origins = self.listener_origins.last_mut().expect("the file has begun one");
            origins.push((key, origin.clone()));
        }
        match key.set(&mut self.settings, value) {
            Ok(()) => {
                self.listens_by_default &= !std::ptr::eq(key, addresses());
                // A listener as a whole is shown by its address.
                if key.section != listener::SECTION && key.section != ban::SECTION {
                    self.decide(key, origin);
                }
                Ok(())
            }
            Err(remedy) => {
                let key = format!("{}.{}", key.section, key.name);
                Err(Problem { origin, key, value: written.to_owned(), remedy })
            }
        }
    }

    fn begin_listener(&mut self) {
        self.settings.listeners.push(Listener::default());
        self.listener_origins.push(Vec::new());
    }

    fn begin_ban(&mut self) {
        self.settings.bans.push(Ban::default());
    }
}

impl Loaded {
    /// All that is listened on: without a word about addresses, listeners of their own take the place of the default ones.
    pub fn listeners(&self) -> Vec<Listener> {
        let Settings { server, listeners, .. } = &self.settings;
        let replaces_default = self.listens_by_default && !listeners.is_empty();
        let addresses = server.listen_addresses.iter().filter(|_| !replaces_default);
        addresses.cloned().map(Listener::at).chain(listeners.iter().cloned()).collect()
    }

    /// Nobody has said where clients connect, but for the port perhaps: a listener that the file names takes the place of these.
    pub fn has_default_listeners(&self) -> bool {
        self.listens_by_default && self.settings.listeners.is_empty()
    }

    /// There is a file, which may say something else later.
    pub fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// Nobody has said where the API is to listen.
    pub fn has_default_api(&self) -> bool {
        !self.origins.iter().any(|(key, _)| key.section == "api" && key.name == "listen")
    }

    /// What the file sets in vain, a sentence for each.
    pub fn overrides(&self) -> Vec<String> {
        let sentence = |(key, written): &(&'static Key, Origin)| self.override_by(key, written);
        self.overridden.iter().filter_map(sentence).collect()
    }

    /// Says at the terminal that what the file sets for one key does not count.
    pub fn tell_override(&self, section: &str, name: &str) {
        let is_it = |(key, _): &&(&'static Key, Origin)| key.section == section && key.name == name;
        let found = self.overridden.iter().find(is_it);
        if let Some(sentence) = found.and_then(|(key, written)| self.override_by(key, written)) {
            eprintln!("note: {sentence}");
        }
    }

    fn override_by(&self, key: &'static Key, written: &Origin) -> Option<String> {
        let (_, decides) = self.origins.iter().find(|(known, _)| std::ptr::eq(*known, key))?;
        let Key { section, name, .. } = key;
        Some(format!(
            "{section}.{name} of {written}, does not count: {decides} says {}",
            key.show(&self.settings)
        ))
    }

    fn decide(&mut self, key: &'static Key, origin: Origin) {
        let before = self.origins.iter().position(|(known, _)| std::ptr::eq(*known, key));
        if let Some((_, written @ Origin::File { .. })) = before.map(|at| self.origins.remove(at)) {
            self.overridden.push((key, written));
        }
        self.origins.push((key, origin));
    }
}

fn addresses() -> &'static Key {
    let (section, name) = listen_addresses();
    Key::find(section, name).expect("the table has the key")
}

/// Reads all sources. A wrong value is a problem also where a later source sets the same key.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
    flags: &Flags,
) -> Result<Loaded, Vec<Problem>> {
    let mut loaded = Loaded {
        settings: Settings::default(),
        origins: Vec::new(),
        listens_by_default: true,
        file: file.map(Path::to_owned),
        overridden: Vec::new(),
        listener_origins: Vec::new(),
    };
    let mut problems = Vec::new();
    if let Some(path) = file {
        match identity::read_file(path, FILE_BYTES_MAX) {
            Ok(bytes) => problems.extend(read_file(path, &bytes, &mut loaded)),
            Err(error) => problems.push(whole_file(path, unreadable(&error))),
        }
    }
    problems.extend(environment::read(variables, |key, value, origin, text| {
        loaded.set(key, value, origin, text)
    }));
    problems.extend(read_flags(flags, &mut loaded));
    let wrong: Vec<String> = problems.iter().map(|problem| problem.key.clone()).collect();
    problems.extend(contradictions(&loaded, &wrong));
    problems.sort_by_key(|problem| problem.origin.line_of_file());
    if problems.is_empty() { Ok(loaded) } else { Err(problems) }
}

fn read_file(path: &Path, bytes: &[u8], loaded: &mut Loaded) -> Vec<Problem> {
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            // Some editors put a mark of the order of bytes before it.
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            let file = File { path: &path.to_string_lossy(), text };
            file.read(loaded)
        }
        Err(error) => {
            let at = error.valid_up_to();
            let remedy = format!(
                "this is no configuration of IoTHub: the byte at {at} is no text (UTF-8). Name a file in TOML: config.toml has \
                 every key"
            );
            vec![whole_file(path, remedy)]
        }
    }
}

fn unreadable(error: &FileError) -> String {
    let why = match error {
        FileError::Unreadable { error, .. } => error.to_string(),
        FileError::NoFile { .. } => "it is not a regular file".to_owned(),
        FileError::TooLarge { max, .. } => format!("it has more than {max} bytes"),
        // Said of files with secrets alone.
        FileError::Open { .. } | FileError::Empty { .. } => error.to_string(),
    };
    format!("cannot read the configuration file: {why}")
}

fn whole_file(path: &Path, remedy: String) -> Problem {
    let origin = Origin::File { path: path.to_string_lossy().into_owned(), line: 0 };
    Problem { origin, key: String::new(), value: String::new(), remedy }
}

fn read_flags(flags: &Flags, loaded: &mut Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    let listen = (!flags.listen.is_empty()).then(|| flags.listen.join(","));
    let named = [
        ("--listen", "server", "listen_addresses", listen.as_ref()),
        ("--data-dir", "store", "dir", flags.data_dir.as_ref()),
        ("--shards", "runtime", "shards", flags.shards.as_ref()),
        ("--log-format", "log", "format", flags.log_format.as_ref()),
    ];
    for (flag, section, name, text) in named {
        let Some(text) = text else { continue };
        let key = Key::find(section, name).expect("the table has every key that a flag sets");
        problems.extend(loaded.set(key, &Value::Word(text), Origin::Flag { flag }, text).err());
    }
    if let Some(text) = &flags.port {
        match port_to_replace(text, loaded).map(|port| replace_port(port, loaded)) {
            Ok(()) => loaded.decide(addresses(), Origin::Flag { flag: "--port" }),
            Err(problem) => problems.push(problem),
        }
    }
    let level = loaded.settings.log.level;
    let moved = level.moved(flags.louder, flags.quieter);
    if moved != level {
        loaded.settings.log.level = moved;
        let flag = if flags.louder > 0 { "--verbose" } else { "--quiet" };
        loaded.decide(Key::find("log", "level").expect("the table has the key"), Origin::Flag { flag });
    }
    problems
}

fn port_to_replace(text: &str, loaded: &Loaded) -> Result<u16, Problem> {
    let problem = |remedy: &str| {
        let origin = Origin::Flag { flag: "--port" };
        Problem { origin, key: String::new(), value: text.to_owned(), remedy: remedy.to_owned() }
    };
    let port = text.parse().map_err(|_| problem("expected a whole number from 0 to 65535"))?;
    // It would move addresses at which nobody listens.
    if loaded.listens_by_default && !loaded.settings.listeners.is_empty() {
        return Err(problem(
            "the listeners of the file keep their ports: change them there, or name addresses with --listen",
        ));
    }
    Ok(port)
}

/// `--port` keeps the hosts, wherever they were set, and takes the place of their ports.
fn replace_port(port: u16, loaded: &mut Loaded) {
    let addresses = &mut loaded.settings.server.listen_addresses;
    let mut moved: Vec<Address> = Vec::new();
    for address in addresses.drain(..) {
        let address = address.with_port(port);
        if !moved.contains(&address) {
            moved.push(address);
        }
    }
    *addresses = moved;
}

/// Values that are right alone and wrong together. Where one is wrong by itself it is not known what was meant.
fn contradictions(loaded: &Loaded, wrong: &[String]) -> Vec<Problem> {
    let settings = &loaded.settings;
    let mut problems = Vec::new();
    let is_wrong = |name: &str| wrong.iter().any(|key| key == name);
    if !RECEIVING.iter().any(|(section, name)| is_wrong(&format!("{section}.{name}"))) {
        problems.extend(receiving_problem(loaded));
    }
    if !wrong.iter().any(|key| key.starts_with("api.")) {
        problems.extend(api_problem(loaded));
    }
    for (listener, origins) in settings.listeners.iter().zip(&loaded.listener_origins) {
        let origin = origins.iter().find(|(key, _)| key.name == "authentication").map(|(_, origin)| origin);
        if let Some(origin) = origin
            && listener.authentication == Ways::Off
            && listener.anonymous.is_some_and(|who| who != Anonymous::Always)
        {
            problems.push(Problem {
                origin: origin.clone(),
                key: "listener.authentication".to_owned(),
                value: listener.authentication.show(),
                remedy: format!(
                    "{} lets everybody in with this, and its anonymous says otherwise: leave one of both out",
                    listener.address.as_ref().map_or(String::new(), Address::to_string)
                ),
            });
        }
    }
    problems
}

/// A packet that clients may send has no room at a shard.
fn receiving_problem(loaded: &Loaded) -> Option<Problem> {
    let settings = &loaded.settings;
    let shards = settings.shards(runtime::cores().len());
    let least = Limits::receive_memory_for(settings.server.max_packet_size, shards);
    if settings.limits.max_receive_memory >= least {
        return None;
    }
    // One of them was set, because the defaults go together.
    let keys = RECEIVING.map(|(section, name)| Key::find(section, name).expect("the table has the key"));
    let is_one = |set: &&(&'static Key, Origin)| keys.iter().any(|key| std::ptr::eq(*key, set.0));
    let (at, origin) = loaded.origins.iter().rev().find(is_one)?;
    let shown = value::show_bytes;
    Some(Problem {
        origin: origin.clone(),
        key: format!("{}.{}", at.section, at.name),
        value: at.show(settings),
        remedy: format!(
            "of limits.max_receive_memory ({}) each of {shards} shards has its part, which must hold a packet of \
             server.max_packet_size ({}) beside a quarter for topics behind aliases: set limits.max_receive_memory to {} at \
             least, or fewer runtime.shards, or a smaller server.max_packet_size",
            shown(settings.limits.max_receive_memory),
            shown(settings.server.max_packet_size),
            shown(least.next_multiple_of(1 << 20)),
        ),
    })
}

/// What a packet has to do with the memory for those that are not complete.
const RECEIVING: [(&str, &str); 3] =
    [("limits", "max_receive_memory"), ("server", "max_packet_size"), ("runtime", "shards")];

/// What is wrong with the API's listeners: half of what TLS needs, or tokens that others could read.
fn api_problem(loaded: &Loaded) -> Option<Problem> {
    let api = &loaded.settings.api;
    let (name, remedy) = if api.certificate.is_empty() != api.private_key.is_empty() {
        let present = if api.certificate.is_empty() { "private_key" } else { "certificate" };
        (present, "api.certificate and api.private_key go together: name both, or none".to_owned())
    } else {
        let reached = api.reached_from_network()?;
        if api.has_tls() || api.insecure {
            return None;
        }
        (
            "listen",
            format!(
                "{reached} can be reached from the network, and tokens would be readable on the way: name a certificate \
                 (api.certificate, api.private_key), or say api.insecure = true where nobody else listens"
            ),
        )
    };
    let key = Key::find("api", name).expect("the table has the key");
    let (_, origin) = loaded.origins.iter().rev().find(|(set, _)| std::ptr::eq(*set, key))?;
    Some(Problem {
        origin: origin.clone(),
        key: format!("api.{name}"),
        value: key.show(&loaded.settings),
        remedy,
    })
}

/// Far more than a file with every key and a comment for each.
const FILE_BYTES_MAX: u64 = 1 << 20;
