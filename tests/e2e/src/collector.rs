//! A collector of OpenTelemetry: takes spans by OTLP over HTTP in JSON and keeps them, or does not do what a collector should.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::PATIENCE;

pub struct Collector {
    port: u16,
    spans: Arc<Mutex<Vec<Value>>>,
    /// Values of the header Authorization, in the order in which they came.
    authorizations: Arc<Mutex<Vec<String>>>,
}

/// What it does with whoever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    Takes,
    /// With this status.
    Refuses(u16),
    /// Reads nothing and says nothing.
    Hangs,
}

impl Collector {
    pub fn start(conduct: Conduct) -> Collector {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let spans = Arc::new(Mutex::new(Vec::new()));
        let authorizations = Arc::new(Mutex::new(Vec::new()));
        let (kept, shown) = (Arc::clone(&spans), Arc::clone(&authorizations));
        thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                match conduct {
                    Conduct::Hangs => held.push(stream),
                    Conduct::Takes => serve(stream, 200, &kept, &shown),
                    Conduct::Refuses(status) => serve(stream, status, &kept, &shown),
                }
            }
        });
        Collector { port, spans, authorizations }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/traces", self.port)
    }

    /// The last that was shown.
    pub fn authorization(&self) -> Option<String> {
        self.authorizations.lock().unwrap().last().cloned()
    }

    /// Spans that are so, when there are as many.
    #[track_caller]
    pub fn await_spans(&self, count: usize, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = self.spans.lock().unwrap().clone();
            let found: Vec<Value> = all.iter().filter(|span| is_it(span)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            assert!(Instant::now() < deadline, "{} of {count} spans: {all:?}", found.len());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// An attribute of a span, as text.
pub fn attribute(span: &Value, key: &str) -> Option<String> {
    let attributes = span["attributes"].as_array()?;
    let value = &attributes.iter().find(|attribute| attribute["key"] == key)?["value"];
    let text = value["stringValue"].as_str().or_else(|| value["intValue"].as_str());
    text.map(str::to_owned).or_else(|| value["boolValue"].as_bool().map(|flag| flag.to_string()))
}

/// One request after the other, until the broker goes.
fn serve(stream: TcpStream, status: u16, kept: &Mutex<Vec<Value>>, shown: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length, mut is_json) = (String::new(), 0, false);
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert_eq!(line, "POST /v1/traces HTTP/1.1\r\n");
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).unwrap();
            let header = line.trim().to_ascii_lowercase();
            is_json |= header == "content-type: application/json";
            if header.starts_with("authorization: ") {
                shown.lock().unwrap().extend(line.trim().split_once(": ").map(|(_, value)| value.to_owned()));
            }
            if let Some(value) = header.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            }
        }
        assert!(is_json, "it has to say that it is JSON");
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        if status == 200 {
            kept.lock().unwrap().extend(spans_of(&body));
        }
        let answer = format!("HTTP/1.1 {status} Some\r\nContent-Length: 2\r\n\r\n{{}}");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn spans_of(body: &[u8]) -> Vec<Value> {
    let request: Value = serde_json::from_slice(body).unwrap();
    let [of_resource] = &request["resourceSpans"].as_array().unwrap()[..] else { panic!("{request}") };
    let service = &of_resource["resource"];
    assert_eq!(attribute(service, "service.name").as_deref(), Some("iothub"), "{request}");
    let [of_scope] = &of_resource["scopeSpans"].as_array().unwrap()[..] else { panic!("{request}") };
    of_scope["spans"].as_array().unwrap().clone()
}
