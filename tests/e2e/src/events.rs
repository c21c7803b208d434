//! A stream of the API, of server-sent events or of lines of JSON, read as it comes, or opened and never read.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::PATIENCE;
use crate::api::Api;

pub struct EventStream {
    reader: BufReader<TcpStream>,
}

impl EventStream {
    /// Waits until it has begun: what happens from now on is in it.
    #[track_caller]
    pub fn open(api: &Api, path: &str) -> EventStream {
        let mut stream = EventStream::ask(api, path);
        let mut line = String::new();
        // A comment, once the broker listens.
        while stream.reader.read_line(&mut line).unwrap() > 0 && line != ":\n" {
            assert!(!line.starts_with("HTTP/1.0 ") || line.contains(" 200 "), "{line}");
            line.clear();
        }
        stream
    }

    /// The same without a look at the answer. In words of HTTP/1.0, so that the body comes as it is.
    #[track_caller]
    pub fn ask(api: &Api, path: &str) -> EventStream {
        let mut stream = TcpStream::connect(("127.0.0.1", api.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\r\n",
            api.port, api.token
        );
        stream.write_all(head.as_bytes()).unwrap();
        EventStream { reader: BufReader::new(stream) }
    }

    /// Of the answer, whose head is read by this.
    #[track_caller]
    pub fn status(&mut self) -> u16 {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
    }

    /// The next event. None: the stream has ended.
    #[track_caller]
    pub fn next_event(&mut self) -> Option<Value> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).expect(&line));
            }
        }
    }

    /// The next row of an answer that is lines of JSON. None: the stream has ended.
    #[track_caller]
    pub fn next_row(&mut self) -> Option<Value> {
        let mut line = String::new();
        while !line.starts_with('{') {
            line.clear();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
        }
        Some(serde_json::from_str(&line).expect(&line))
    }

    /// The first line of the answer's body with this text.
    #[track_caller]
    pub fn line_with(&mut self, text: &str) -> String {
        let mut is_body = false;
        loop {
            let mut line = String::new();
            assert!(self.reader.read_line(&mut line).unwrap() > 0, "the stream ended before “{text}”");
            if is_body && line.contains(text) {
                return line;
            }
            is_body |= line.trim().is_empty();
        }
    }

    /// The first event that is so, and those before it.
    #[track_caller]
    pub fn until(&mut self, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next_event().unwrap_or_else(|| panic!("the stream ended: {events:?}"));
            let is_last = is_it(&event);
            events.push(event);
            if is_last {
                return events;
            }
        }
    }

    /// Whether it ends, whatever comes before.
    pub fn ends_within(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.next_event().is_none() {
                return true;
            }
        }
        false
    }
}
