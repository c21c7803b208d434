//! A broker that was started for one run: on a port of its own, with its configuration, until it is stopped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::Version;

use super::child::{Child, Output, outcome};
use super::cpus::Cpus;
use super::plan::{CONFIG, Contender, PORT};
use super::result::Failure;
use crate::connection::{Connection, Hello};

pub struct Server {
    pub port: u16,
    child: Child,
    _config: Option<ConfigFile>,
}

impl Server {
    /// Starts it and waits until it answers a CONNECT. `go_on` says whether to wait on.
    pub fn start(
        contender: &Contender,
        cpus: Option<&Cpus>,
        go_on: impl FnMut() -> bool,
    ) -> Result<Server, Failure> {
        let port = free_port().ok_or_else(|| Failure::new("no free port is left on 127.0.0.1"))?;
        let config = match &contender.config {
            Some(text) => {
                Some(ConfigFile::write(port, text, contender.config_suffix()).map_err(Failure::new)?)
            }
            None => None,
        };
        let stem = config.as_ref().map_or("", |config| &config.stem);
        let fill = |word: &String| word.replace(CONFIG, stem).replace(PORT, &port.to_string());
        let words: Vec<String> = contender.command.iter().map(fill).collect();
        let child = Child::start(&words, cpus, Output::Tail).map_err(Failure::new)?;
        let server = Server { port, child, _config: config };
        server.await_connack(go_on)?;
        Ok(server)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A broker that has ended by itself failed, whatever the run found.
    pub fn check_alive(&self, when: &str) -> Result<(), Failure> {
        match self.child.ended() {
            Some(status) => {
                let what = format!("the broker ended {when} with {}", outcome(status));
                Err(Failure { what, last_lines: self.child.last_lines() })
            }
            None => Ok(()),
        }
    }

    pub fn last_lines(&self) -> Vec<String> {
        self.child.last_lines()
    }

    fn await_connack(&self, mut go_on: impl FnMut() -> bool) -> Result<(), Failure> {
        let deadline = Instant::now() + START_PATIENCE;
        let mut go_on = || Instant::now() < deadline && self.child.ended().is_none() && go_on();
        loop {
            let error = match self.greet(&mut go_on) {
                Ok(()) => return self.check_alive("at its start"),
                Err(error) => error,
            };
            self.check_alive("at its start")?;
            if !go_on() {
                let what = format!("the broker did not answer a CONNECT on port {}: {error}", self.port);
                return Err(Failure { what, last_lines: self.child.last_lines() });
            }
            // No event tells that another process has begun to listen.
            thread::sleep(LOOK_INTERVAL);
        }
    }

    /// A broker that listens and says nothing holds a thread of its own, which nobody has to wait for.
    fn greet(&self, go_on: &mut impl FnMut() -> bool) -> Result<(), String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let greeting = thread::spawn(move || {
            Connection::open(address, 0, &Hello::new(Version::V311, "loadgen-ready")).map(drop)
        });
        while !greeting.is_finished() {
            if !go_on() {
                return Err("it listens, and there was no CONNACK".to_owned());
            }
            thread::sleep(GREETING_INTERVAL);
        }
        greeting.join().unwrap_or_else(|_| Err("the thread that connects panicked".to_owned()))
    }
}

/// It lives as long as its broker.
struct ConfigFile {
    path: PathBuf,
    /// The path without its suffix.
    stem: String,
}

impl ConfigFile {
    fn write(port: u16, text: &str, suffix: &str) -> Result<ConfigFile, String> {
        let stem = std::env::temp_dir().join(format!("loadgen-{}-{port}", std::process::id()));
        let stem = stem.to_str().ok_or("the path of the folder for temporary files is not text")?.to_owned();
        let path = PathBuf::from(format!("{stem}{suffix}"));
        fs::write(&path, text.replace(PORT, &port.to_string()))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(ConfigFile { path, stem })
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// A port below those that the system gives to clients, and not the one of the last time, which may be in its TIME_WAIT.
fn free_port() -> Option<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(97) as u16;
    (0..PORTS).find_map(|_| {
        let number = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORT_MIN + number % PORTS;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok().then_some(port)
    })
}

const PORT_MIN: u16 = 20_000;
const PORTS: u16 = 12_000;
const START_PATIENCE: Duration = Duration::from_secs(10);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const GREETING_INTERVAL: Duration = Duration::from_millis(1);
