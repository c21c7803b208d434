//! The broker under test: a process with its own folder, flags, environment and configuration file.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::confinement::Confinement;
use crate::process::outcome;
use crate::{Link, PATIENCE, Process, program, v5};

/// How a broker is to be started. Unless told otherwise it listens on a port of 127.0.0.1 that the system chooses.
pub struct Setup {
    folder: PathBuf,
    args: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    listen_by_flag: bool,
    has_api: bool,
    confinement: Option<Confinement>,
}

/// A broker that serves.
pub struct Broker {
    pub process: Process,
    pub port: u16,
    folder: PathBuf,
    /// Where it tells how it is. It warns when nobody hears of its end.
    #[expect(dead_code)]
    told: Option<UnixDatagram>,
}

/// A broker that has ended, or never served.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: Vec<String>,
    pub errors: Vec<String>,
    pub took: Duration,
}

impl Setup {
    pub fn new(name: &str) -> Setup {
        Setup {
            folder: program::fresh_folder(name),
            args: Vec::new(),
            variables: Vec::new(),
            listen_by_flag: true,
            has_api: false,
            confinement: None,
        }
    }

    /// Nothing but what the test says: no listen address, no shards.
    pub fn bare(name: &str) -> Setup {
        Setup { listen_by_flag: false, ..Setup::new(name) }
    }

    pub fn shards(self, shards: u8) -> Setup {
        self.args(["--shards", &shards.to_string()])
    }

    pub fn args<T: Into<OsString>>(mut self, args: impl IntoIterator<Item = T>) -> Setup {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Setup {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Writes a configuration file and names it by `--config`.
    pub fn config(self, text: &str) -> Setup {
        let path = self.folder.join("iothub.toml");
        fs::write(&path, text).unwrap();
        self.args([OsString::from("--config"), path.into()])
    }

    /// The HTTP API over TCP is as the test says, or by default. Without this there is none, so that brokers beside each other do not ask
    /// for one port.
    pub fn with_api(self) -> Setup {
        Setup { has_api: true, ..self }
    }

    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    pub fn confined(mut self, confinement: Confinement) -> Setup {
        self.confinement = Some(confinement);
        self
    }

    /// Starts it and waits until it says where it listens.
    #[track_caller]
    pub fn start(self) -> Broker {
        let process = Process::start("iothub", &mut self.command());
        let port = process.await_line("where it listens", port_in);
        Broker { process, port, folder: self.folder, told: None }
    }

    /// Starts it on a port that the test knows, and waits until it tells a service manager that it serves: for logs without start-up line.
    #[track_caller]
    pub fn start_on(self, port: u16) -> Broker {
        let path = self.folder.join("notify");
        let told = UnixDatagram::bind(&path).unwrap();
        let setup = self.variable("NOTIFY_SOCKET", path);
        let mut process = Process::start("iothub", &mut setup.command());
        await_ready(&told, &mut process);
        Broker { process, port, folder: setup.folder, told: Some(told) }
    }

    /// Starts it without waiting for anything.
    pub fn spawn(self) -> Process {
        Process::start("iothub", &mut self.command())
    }

    /// Runs it to its end, which is to come by itself.
    #[track_caller]
    pub fn run(self) -> Ended {
        let begun = Instant::now();
        let mut process = Process::start("iothub", &mut self.command());
        let status = process.wait();
        let _ = fs::remove_dir_all(&self.folder);
        Ended::of(&process, status, begun)
    }

    fn command(&self) -> Command {
        let mut command = program::command(program::iothub());
        if self.listen_by_flag {
            command.args(["--listen", "tcp://127.0.0.1:0"]);
        }
        if !self.has_api {
            command.env("IOTHUB_API__LISTEN", "");
        } else if !self.has_place_for_tokens() {
            // Its first token needs a place: nobody sees what a test's broker prints.
            command.env("IOTHUB_API__TOKENS_FILE", self.folder.join("api_tokens"));
        }
        command.args(&self.args).current_dir(&self.folder).envs(self.variables.iter().cloned());
        if let Some(confinement) = self.confinement {
            confinement.apply_to(&mut command);
        }
        command
    }
}

impl Setup {
    fn has_place_for_tokens(&self) -> bool {
        let text = fs::read_to_string(self.folder.join("iothub.toml")).unwrap_or_default();
        self.args.iter().any(|arg| arg == "--data-dir")
            || self.variables.iter().any(|(name, _)| name == "IOTHUB_STORE__DIR")
            || text.lines().any(|line| line.starts_with("dir = ") || line.starts_with("tokens_file = "))
    }
}

impl Broker {
    pub fn start(name: &str, shards: u8) -> Broker {
        Setup::new(name).shards(shards).start()
    }

    /// What the test wants to keep beside it, until the broker is gone.
    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The first listener of a scheme.
    #[track_caller]
    pub fn port_of(&self, scheme: &str) -> u16 {
        self.ports_of(scheme)[0]
    }

    /// The listeners of a scheme, in their order: the start-up line names them all.
    #[track_caller]
    pub fn ports_of(&self, scheme: &str) -> Vec<u16> {
        let prefix = format!("{scheme}://127.0.0.1:");
        self.process.await_line("where it listens", |line| {
            let (_, list) = line.split_once("listening on ")?;
            let (list, _) = list.split_once(", for this machine only").unwrap_or((list, ""));
            let addresses = list.split(' ').filter_map(|word| word.strip_prefix(&prefix));
            let ports = addresses.filter_map(|address| address.trim_end_matches(',').parse().ok());
            Some(ports.collect()).filter(|ports: &Vec<u16>| !ports.is_empty())
        })
    }

    /// The number behind `name=` in the line of counters, which SIGUSR2 asks for; a counter that is zero is not there.
    #[track_caller]
    pub fn counter(&self, name: &str) -> u64 {
        let earlier = self.counter_lines().len();
        self.process.signal(libc::SIGUSR2);
        let deadline = Instant::now() + PATIENCE;
        while self.counter_lines().len() == earlier {
            assert!(Instant::now() < deadline, "no counters came\n{}", self.process.shown());
            std::thread::sleep(Duration::from_millis(2));
        }
        let line = self.counter_lines().pop().unwrap();
        let value = line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// Waits until a counter has at least this value.
    #[track_caller]
    pub fn await_counter(&self, name: &str, value_min: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.counter(name);
            if value >= value_min {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{name} is {value}, not {value_min}\n{}",
                self.process.shown()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The shard that is home to a client: what the log says of its latest connection.
    #[track_caller]
    pub fn home_of(&self, client_id: &str) -> u8 {
        let id = format!("client_id={client_id:?}");
        self.process.await_line("where the client lives", |line| {
            let (_, rest) = line.split_once(" connected shard=")?;
            let (shard, rest) = rest.split_once(' ')?;
            rest.starts_with(&id).then(|| shard.parse().unwrap())
        })
    }

    /// A client id for each of the shards, in their order.
    #[track_caller]
    pub fn ids_by_home(&self, shards: u8, prefix: &str) -> Vec<String> {
        let mut ids = vec![None; shards.into()];
        for number in 0..IDS_TRIED_MAX {
            let client_id = format!("{prefix}-{number}");
            Link::connect(self.port, v5(&client_id)).close();
            let home = usize::from(self.home_of(&client_id));
            ids[home].get_or_insert(client_id);
            if ids.iter().all(Option::is_some) {
                return ids.into_iter().flatten().collect();
            }
        }
        panic!("{IDS_TRIED_MAX} clients live on less than {shards} shards: {ids:?}");
    }

    /// Sends the signal and waits for the end.
    #[track_caller]
    pub fn end(mut self, signal: libc::c_int) -> Ended {
        let begun = Instant::now();
        self.process.signal(signal);
        self.ended(begun)
    }

    /// Waits for the end that something else has asked for at `begun`.
    #[track_caller]
    pub fn ended(&mut self, begun: Instant) -> Ended {
        let status = self.process.wait();
        Ended::of(&self.process, status, begun)
    }

    fn counter_lines(&self) -> Vec<String> {
        self.process.lines().into_iter().filter(|line| line.contains("counters of ")).collect()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Ended {
    fn of(process: &Process, status: ExitStatus, begun: Instant) -> Ended {
        let took = begun.elapsed();
        eprintln!("iothub ended with {} after {took:?}", outcome(status));
        Ended { code: status.code(), out: process.out_lines(), errors: process.error_lines(), took }
    }

    pub fn says(&self, text: &str) -> bool {
        self.out.iter().chain(&self.errors).any(|line| line.contains(text))
    }
}

/// So many ids leave one of a few shards empty once in more runs than there will be.
const IDS_TRIED_MAX: usize = 500;

/// A port that nobody listens on, for tests that must know it beforehand. It is below those that the system gives to
/// other sockets of the tests, and no two calls give the same one.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Test binaries of other processes start elsewhere.
        let number = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FREE_PORT_MIN + (number % u32::from(FREE_PORTS)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

const FREE_PORT_MIN: u16 = 20_000;
const FREE_PORTS: u16 = 12_000;

/// That something accepts connections says less: the first of its sockets does before the others, and before all of it is there.
#[track_caller]
fn await_ready(told: &UnixDatagram, process: &mut Process) {
    told.set_read_timeout(Some(LOOK_PERIOD)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut buffer = [0; 4096];
    loop {
        match told.recv(&mut buffer) {
            Ok(len) if buffer[..len].starts_with(b"READY=1") => return,
            _ => {
                assert!(process.is_running(), "the broker ended early\n{}", process.shown());
                assert!(Instant::now() < deadline, "the broker is not ready\n{}", process.shown());
            }
        }
    }
}

/// Between two looks at whether what is waited for can still come.
const LOOK_PERIOD: Duration = Duration::from_millis(100);

/// The port in the start-up line.
fn port_in(line: &str) -> Option<u16> {
    let (_, rest) = line.split_once("listening on tcp://")?;
    let address = rest.split([' ', ',', '"']).next()?;
    address.parse::<SocketAddr>().ok().map(|address| address.port())
}
