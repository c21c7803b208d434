//! A server of one page, which does what its address says and tells here how that went; and the browser that opens it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;
use std::{fs, process::Command};

use e2e::{Process, program};
use serde_json::Value;

/// Serves until the test ends.
pub struct PageServer {
    pub port: u16,
    said: Receiver<Value>,
}

/// A page that is open in a browser of its own.
pub struct Page<'a> {
    server: &'a PageServer,
    browser: Process,
    profile: PathBuf,
}

impl PageServer {
    pub fn start() -> PageServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, said) = mpsc::channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let tell = tell.clone();
                thread::spawn(move || serve(&mut stream.unwrap(), &tell));
            }
        });
        PageServer { port, said }
    }

    /// Opens the page at this host of the same machine, with what it is to do.
    pub fn open(&self, host: &str, todo: &[(&str, &str)], trusted: Option<&Path>) -> Page<'_> {
        let query: Vec<String> =
            todo.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let address = format!("http://{host}:{}/?{}", self.port, query.join("&"));
        let profile = program::fresh_folder("browser");
        let mut command = browser(&profile);
        if let Some(certificate) = trusted {
            command.arg(format!("--ignore-certificate-errors-spki-list={}", fingerprint_of_key(certificate)));
        }
        let browser = Process::start("chromium", command.arg(address));
        Page { server: self, browser, profile }
    }

    /// Opens it and waits for the one thing that it says.
    #[track_caller]
    pub fn hear(&self, host: &str, todo: &[(&str, &str)], trusted: Option<&Path>) -> Value {
        self.open(host, todo, trusted).said()
    }
}

impl Page<'_> {
    /// The next thing that the page tells.
    #[track_caller]
    pub fn said(&self) -> Value {
        match self.server.said.recv_timeout(BROWSER_PATIENCE) {
            Ok(said) => said,
            Err(_) => panic!("the page said nothing\n{}", self.browser.shown()),
        }
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        // Its children hold files in the profile, and end with it.
        if self.browser.is_running() {
            self.browser.signal(libc::SIGTERM);
            self.browser.wait();
        }
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// Chromium without a window, and without a word to anybody but this machine.
fn browser(profile: &Path) -> Command {
    let mut command = program::command(program::installed("chromium"));
    let flags = include_str!("../../chromium.flags").lines().filter(|line| !line.starts_with('#'));
    command.args(flags).arg(format!("--user-data-dir={}", profile.display())).env("HOME", profile);
    command
}

fn serve(stream: &mut TcpStream, tell: &Sender<Value>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    let _ = reader.read_line(&mut first);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let (kind, content) = match first.split(' ').nth(1).unwrap_or_default() {
        "/mqtt.js" => ("text/javascript", program::node_folder().join("node_modules/mqtt/dist/mqtt.min.js")),
        "/said" => {
            let _ = tell.send(serde_json::from_slice(&body).unwrap());
            return respond(stream, "text/plain", b"");
        }
        path if path.starts_with("/?") => ("text/html", program::source("node/page.html")),
        _ => return,
    };
    respond(stream, kind, &fs::read(content).unwrap());
}

fn respond(stream: &mut TcpStream, kind: &str, content: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    );
    // A browser may lose interest.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(content));
}

/// For a part of a query.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// SHA-256 of the public key of a certificate, in base64: by this the browser is told to trust it.
fn fingerprint_of_key(certificate: &Path) -> String {
    let script = "openssl x509 -in \"$0\" -noout -pubkey | openssl pkey -pubin -outform der \
                  | openssl dgst -sha256 -binary | openssl base64";
    let output = Command::new("sh").args(["-c", script]).arg(certificate).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.trim().len(), 44, "{}", String::from_utf8_lossy(&output.stderr));
    text.trim().to_owned()
}

/// A browser takes its time to start on a machine that does much else.
const BROWSER_PATIENCE: Duration = Duration::from_secs(60);
