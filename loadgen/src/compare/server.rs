//! A broker that was started for one run: on a port of its own, with its configuration, until it is stopped.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use client::Version;

use super::child::{Child, Output, outcome};
use super::cpus::Cpus;
use super::data::DataFolder;
use super::plan::{CONFIG, Contender, DATA, PORT};
use super::result::Failure;
use crate::connection::{Connection, Hello};
use crate::destination::Destination;
use crate::process::Process;
use crate::report::{Better, Report};

pub struct Server {
    pub port: u16,
    child: Child,
    words: Vec<String>,
    /// From its start to its first CONNACK, and what that took of processors.
    start: (Duration, Duration),
    is_restarted: bool,
    data: Option<DataFolder>,
    _config: Option<ConfigFile>,
}

impl Server {
    /// Starts it and waits until it answers a CONNECT. `below` is where it finds a folder for its data. `go_on` says whether
    /// to wait on.
    pub fn start(
        contender: &Contender,
        cpus: Option<&Cpus>,
        below: &Path,
        go_on: impl FnMut() -> bool,
    ) -> Result<Server, Failure> {
        let port = free_port().ok_or_else(|| Failure::new("no free port is left on 127.0.0.1"))?;
        let data = contender.keeps_data().then(|| DataFolder::make(below, port)).transpose();
        let data = data.map_err(Failure::new)?;
        let folder = data.as_ref().map_or(Path::new(""), DataFolder::path).display().to_string();
        let fill = |text: &str| text.replace(PORT, &port.to_string()).replace(DATA, &folder);
        let config = match &contender.config {
            Some(text) => {
                let suffix = contender.config_suffix();
                Some(ConfigFile::write(port, &fill(text), suffix).map_err(Failure::new)?)
            }
            None => None,
        };
        let stem = config.as_ref().map_or("", |config| &config.stem);
        let words: Vec<String> =
            contender.command.iter().map(|word| fill(&word.replace(CONFIG, stem))).collect();
        let begun = Instant::now();
        let child = Child::start(&words, cpus, Output::Tail).map_err(Failure::new)?;
        let start = (Duration::ZERO, Duration::ZERO);
        let mut server = Server { port, child, words, start, is_restarted: false, data, _config: config };
        server.await_connack(begun, START_PATIENCE, go_on)?;
        Ok(server)
    }

    /// Ends it in order and starts it again on what it has kept, which it has to read from the disk.
    pub fn restart(&mut self, cpus: Option<&Cpus>, mut go_on: impl FnMut() -> bool) -> Result<(), Failure> {
        self.child.terminate();
        let Some(status) = self.child.wait(END_PATIENCE, &mut go_on) else {
            let what = format!("the broker did not end within {} s of SIGTERM", END_PATIENCE.as_secs());
            return Err(Failure { what, last_lines: self.child.last_lines() });
        };
        if !status.success() {
            let what = format!("the broker ended with {} after SIGTERM", outcome(status));
            return Err(Failure { what, last_lines: self.child.last_lines() });
        }
        if let Some(data) = &self.data {
            data.forget();
        }
        let begun = Instant::now();
        self.child = Child::start(&self.words, cpus, Output::Tail).map_err(Failure::new)?;
        self.is_restarted = true;
        self.await_connack(begun, RESTART_PATIENCE, go_on)
    }

    /// Adds what a broker that keeps its data took to start, and what it keeps.
    pub fn report(&self, report: &mut Report) {
        let Some(data) = &self.data else { return };
        let (took, cpu) = (self.start.0.as_secs_f64() * 1e3, self.start.1.as_secs_f64() * 1e3);
        if self.is_restarted {
            report.add("restart_ms", "restart to CONNACK", took, "ms", Better::Lower);
            report.add("restart_cpu_ms", "CPU of that", cpu, "ms", Better::Lower);
        } else {
            report.add("start_ms", "start to CONNACK", took, "ms", Better::Lower);
        }
        report.add("data_bytes", "files of the store", data.bytes() as f64, "bytes", Better::Lower);
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

    fn await_connack(
        &mut self,
        begun: Instant,
        patience: Duration,
        go_on: impl FnMut() -> bool,
    ) -> Result<(), Failure> {
        self.look_for_connack(begun + patience, go_on)?;
        let took = begun.elapsed();
        let cpu = Process::of(self.id()).and_then(|process| process.cpu_time()).map_err(Failure::new)?;
        self.start = (took, cpu);
        Ok(())
    }

    fn look_for_connack(&self, deadline: Instant, mut go_on: impl FnMut() -> bool) -> Result<(), Failure> {
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
            Connection::open(&Destination::plain(address), 0, &Hello::new(Version::V311, "loadgen-ready"))
                .map(drop)
        });
        while !greeting.is_finished() {
            if !go_on() {
                return Err("it listens, and there was no CONNACK".to_owned());
            }
            thread::sleep(LOOK_INTERVAL);
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
        fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
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
/// It may have a lot to read.
const RESTART_PATIENCE: Duration = Duration::from_secs(60);
const END_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
