//! A mosquitto of the test's own, on a free port, ended with the test.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use client::Target;

pub struct Server {
    process: Option<Child>,
    pub port: u16,
    /// Lines of a configuration, behind the one that names the port. None of them: no file.
    settings: String,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(String::new())
    }

    pub fn start_with(settings: String) -> Server {
        for _ in 0..ATTEMPTS {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut server = Server { process: None, port, settings: settings.clone() };
            // Another process, or another test, may take the port before mosquitto does.
            if server.try_start() {
                return server;
            }
        }
        panic!("mosquitto did not start on any of {ATTEMPTS} ports");
    }

    pub fn restart(&mut self) {
        self.stop();
        assert!(self.try_start(), "mosquitto does not start again on port {}", self.port);
    }

    /// False if the server ended at once.
    fn try_start(&mut self) -> bool {
        let binary = binary();
        let mut process = Command::new(&binary)
            .args(self.arguments())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()));
        let begun = Instant::now();
        while !listens(&process, self.port) {
            if process.try_wait().unwrap().is_some() {
                return false;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "mosquitto does not listen on {}", self.port);
            std::thread::sleep(Duration::from_millis(5));
        }
        self.process = Some(process);
        true
    }

    fn arguments(&self) -> [String; 2] {
        if self.settings.is_empty() {
            return ["-p".to_owned(), self.port.to_string()];
        }
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mosquitto-{}.conf", self.port));
        let head = format!(
            "user root\nlistener {} 127.0.0.1\nsocket_domain ipv4\nallow_anonymous true\n",
            self.port
        );
        std::fs::write(&path, head + &self.settings).unwrap();
        ["-c".to_owned(), path.display().to_string()]
    }

    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub fn target(&self) -> Target {
        Target::new("127.0.0.1", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

// That the port answers is not enough: whoever had it first would answer too. So the socket must be the process's own.
fn listens(process: &Child, port: u16) -> bool {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{}/fd", process.id())) else { return false };
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    let sockets: Vec<String> = links.filter_map(|link| link.to_str().map(str::to_owned)).collect();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_listener = fields[1].ends_with(&format!(":{port:04X}")) && fields[3] == TCP_LISTEN;
        is_listener && sockets.contains(&format!("socket:[{}]", fields[9]))
    })
}

// A missing server is a failure and not a reason to skip: a test that did not run must not look like one that passed.
fn binary() -> PathBuf {
    let candidates = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/usr/bin/mosquitto"];
    let found = candidates.iter().map(Path::new).find(|path| path.exists());
    found
        .unwrap_or_else(|| panic!("these tests need mosquitto at one of {candidates:?}: install it"))
        .to_owned()
}

const ATTEMPTS: usize = 10;
// The state of a listening socket in /proc/net/tcp.
const TCP_LISTEN: &str = "0A";
