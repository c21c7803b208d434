//! Spans of messages that are traced, on their way to a collector of OpenTelemetry: shards put them into a bounded queue and go on; a
//! thread sends them. What finds no room, and what the collector does not take, is counted and given up.

mod otlp;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use identity::{Http, HttpError, HttpOptions};
use runtime::{TimedSpan, Tracer};

use crate::{
    config::{self, Fault},
    threads,
};

/// The shards' side.
#[derive(Debug)]
pub struct Telemetry {
    queue: Sender<TimedSpan>,
    collector: Arc<Mutex<Arc<Http>>>,
}

/// The thread's side.
struct Exporter {
    collector: Arc<Mutex<Arc<Http>>>,
    spans: Receiver<TimedSpan>,
    instance: String,
    /// The log knows that the collector takes nothing.
    has_failed: bool,
}

/// Starts it, if messages are to be traced. The error is a sentence for the log.
pub fn start(collector: Option<Http>) -> Result<Option<Arc<Telemetry>>, String> {
    let Some(collector) = collector else { return Ok(None) };
    let collector = Arc::new(Mutex::new(Arc::new(collector)));
    let (queue, spans) = bounded(SPANS_WAITING_MAX);
    let instance = format!("{}-{:x}", std::process::id(), draw_number());
    let exporter = Exporter { collector: Arc::clone(&collector), spans, instance, has_failed: false };
    thread::Builder::new().name("telemetry".to_owned()).spawn(move || exporter.run()).map_err(|error| {
        format!("the thread that sends spans cannot be started: {error}. {}", threads::REMEDY)
    })?;
    Ok(Some(Arc::new(Telemetry { queue, collector })))
}

/// Who gets the spans, with what its files hold now. None: no message is traced.
pub fn collector(settings: &config::Telemetry) -> Result<Option<Http>, Fault> {
    let config::Telemetry { otlp_endpoint, otlp_ca_file, otlp_authorization_file, .. } = settings;
    if otlp_endpoint.is_empty() {
        return Ok(None);
    }
    let fault = |key, error: String| Fault::of("telemetry", key, error);
    let authorization = (!otlp_authorization_file.is_empty())
        .then(|| identity::read_secret(Path::new(otlp_authorization_file)))
        .transpose()
        .map_err(|error| fault("otlp_authorization_file", error.to_string()))?;
    let options = HttpOptions {
        url: otlp_endpoint.clone(),
        timeout: Some(SENDING_MAX),
        timeout_key: None,
        ca_file: (!otlp_ca_file.is_empty()).then(|| Path::new(otlp_ca_file).to_owned()),
        authorization,
        questions: None,
    };
    let made = Http::new(&options).map_err(|error| {
        let key = match error {
            HttpError::File(_) | HttpError::NoCertificate { .. } => "otlp_ca_file",
            HttpError::Authorization => "otlp_authorization_file",
            HttpError::Url(_) | HttpError::Credentials | HttpError::NoSystem => "otlp_endpoint",
        };
        fault(key, error.to_string())
    })?;
    Ok(Some(made))
}

/// By chance, so that a later process with the same id is told apart.
fn draw_number() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}

impl Telemetry {
    /// What is sent from now on is sent so.
    pub fn replace(&self, collector: Http) {
        *self.collector.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(collector);
    }
}

impl Tracer for Telemetry {
    fn take(&self, timed: TimedSpan) {
        if self.queue.try_send(timed).is_err() {
            SPANS_QUEUE_FULL.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Exporter {
    fn run(mut self) {
        identity::give_way();
        loop {
            let Ok(first) = self.spans.recv() else { return };
            let spans = self.batch(first);
            self.send(&spans);
        }
    }

    /// What comes within a moment goes together.
    fn batch(&self, first: TimedSpan) -> Vec<TimedSpan> {
        let until = Instant::now() + BATCH_MAX;
        let mut spans = vec![first];
        while spans.len() < BATCH_SPANS_MAX {
            match self.spans.recv_deadline(until) {
                Ok(span) => spans.push(span),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        spans
    }

    fn send(&mut self, spans: &[TimedSpan]) {
        let body = otlp::request(spans, &self.instance).to_string();
        let collector = Arc::clone(&self.collector.lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = collector.post_json(body.as_bytes()).and_then(|(status, _)| match status {
            200..=299 => Ok(()),
            _ => Err(format!("{} answers with status {status}", collector.shown())),
        });
        let counter = if outcome.is_ok() { &SPANS_SENT } else { &SPANS_NOT_TAKEN };
        counter.fetch_add(spans.len() as u64, Ordering::Relaxed);
        match outcome {
            Err(why) if !self.has_failed => {
                tracing::warn!(
                    "the collector of telemetry.otlp_endpoint takes no spans, and they are lost: {why}"
                );
                self.has_failed = true;
            }
            Ok(()) if self.has_failed => {
                tracing::info!("the collector of telemetry.otlp_endpoint takes spans again");
                self.has_failed = false;
            }
            _ => {}
        }
    }
}

/// Spans since the start, by what became of them.
pub fn counts() -> [(&'static str, u64); 3] {
    [("sent", &SPANS_SENT), ("queue_full", &SPANS_QUEUE_FULL), ("not_taken", &SPANS_NOT_TAKEN)]
        .map(|(outcome, counter)| (outcome, counter.load(Ordering::Relaxed)))
}

static SPANS_SENT: AtomicU64 = AtomicU64::new(0);
static SPANS_QUEUE_FULL: AtomicU64 = AtomicU64::new(0);
static SPANS_NOT_TAKEN: AtomicU64 = AtomicU64::new(0);

/// A few megabytes.
const SPANS_WAITING_MAX: usize = 8 << 10;
const BATCH_SPANS_MAX: usize = 512;
const BATCH_MAX: Duration = Duration::from_millis(500);
/// A collector that takes longer has what waits meanwhile taken from it.
const SENDING_MAX: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(endpoint: &str) -> config::Telemetry {
        config::Telemetry { otlp_endpoint: endpoint.to_owned(), ..config::Telemetry::default() }
    }

    #[test]
    fn without_an_endpoint_nothing_is_traced() {
        let off = settings("");
        assert!(collector(&off).is_ok_and(|collector| collector.is_none()) && off.sampling().is_none());
        assert!(start(None).is_ok_and(|started| started.is_none()));
        assert!(settings("http://127.0.0.1:4318/v1/traces").sampling().is_some());
    }

    #[test]
    fn what_is_wrong_is_told_by_its_key() {
        let told = |settings: config::Telemetry| format!("{:?}", collector(&settings).expect_err("wrong"));
        assert!(told(settings("collector:4317")).contains("otlp_endpoint"));
        let with = |ca_file: &str, authorization: &str| config::Telemetry {
            otlp_ca_file: ca_file.to_owned(),
            otlp_authorization_file: authorization.to_owned(),
            ..settings("https://collector.example/v1/traces")
        };
        assert!(told(with("/no/such.pem", "")).contains("otlp_ca_file"));
        assert!(told(with("", "/no/such")).contains("otlp_authorization_file"));
    }
}
