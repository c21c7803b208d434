//! Questions to the HTTP API of a broker: over TCP with a token, and at the control socket.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use serde_json::Value;

use crate::{Broker, PATIENCE, Process};

/// Where the API is, and with which token it is asked.
#[derive(Debug, Clone)]
pub struct Api {
    pub port: u16,
    pub token: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub text: String,
}

impl Api {
    /// Of a broker that has told where its first token is.
    #[track_caller]
    pub fn of(broker: &Broker) -> Api {
        let file = broker.process.await_line("the API's first token", |line| {
            let (_, rest) = line.split_once("the API's first token, with the role admin, is in ")?;
            Some(rest.split_once(", which only its owner can read")?.0.to_owned())
        });
        let token = fs::read_to_string(&file).unwrap();
        Api { port: port_of(broker), token: token.trim_end().to_owned() }
    }

    /// Waits until the broker says that it is ready: its line about listeners comes a moment before that.
    #[track_caller]
    pub fn await_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.get("/readyz").status != 200 {
            assert!(Instant::now() < deadline, "{:?}", self.get("/readyz"));
        }
    }

    /// The same place with another token; empty is none.
    pub fn with_token(&self, token: &str) -> Api {
        Api { token: token.to_owned(), ..self.clone() }
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, Some(body))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, None)
    }

    #[track_caller]
    pub fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
        let authorization = match self.token.as_str() {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        ask(stream, method, path, &format!("Host: 127.0.0.1:{}\r\n{authorization}", self.port), body)
    }
}

/// The port that the log names.
#[track_caller]
pub fn port_of(broker: &Broker) -> u16 {
    port_told_by(&broker.process)
}

/// The same of a broker that is started by hand.
#[track_caller]
pub fn port_told_by(process: &Process) -> u16 {
    process.await_line("where the API is", |line| {
        let (_, rest) = line.split_once("API at http")?;
        let digits = rest.rsplit_once(':')?.1.trim_end_matches(|c: char| !c.is_ascii_digit());
        digits.parse().ok()
    })
}

/// At the control socket, where nobody needs a token.
#[track_caller]
pub fn ask_control(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(2 * PATIENCE)).unwrap();
    ask(stream, method, path, "Host: iothub\r\n", body)
}

#[track_caller]
fn ask(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &str,
    body: Option<&Value>,
) -> Answer {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let answer = String::from_utf8(bytes).unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), text: text.to_owned() }
}

impl Answer {
    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}
