//! Spans of messages that are traced, on their way to a collector of OpenTelemetry: shards put them into a bounded queue and go on; a
//! thread sends them. What finds no room, and what the collector does not take, is counted and given up.

mod otlp;

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
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
    waiting: Arc<Waiting>,
    collector: Arc<Mutex<Arc<Http>>>,
}

/// The thread's side.
struct Exporter {
    collector: Arc<Mutex<Arc<Http>>>,
    spans: Receiver<TimedSpan>,
    waiting: Arc<Waiting>,
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
    let waiting = Arc::<Waiting>::default();
    let (kept, to) = (Arc::clone(&waiting), Arc::clone(&collector));
    let exporter = Exporter { collector: to, spans, waiting: kept, instance, has_failed: false };
    thread::Builder::new().name("telemetry".to_owned()).spawn(move || exporter.run()).map_err(|error| {
        format!("the thread that sends spans cannot be started: {error}. {}", threads::REMEDY)
    })?;
    Ok(Some(Arc::new(Telemetry { queue, waiting, collector })))
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
        let place = self.waiting.place(&timed);
        let has_room = place.load(Ordering::Relaxed) < SPANS_OF_ONE_MAX;
        // Counted before it can be taken out.
        place.fetch_add(1, Ordering::Relaxed);
        if !has_room || self.queue.try_send(timed).is_err() {
            place.fetch_sub(1, Ordering::Relaxed);
            SPANS_QUEUE_FULL.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many spans of whose messages wait. Publishers share a place where their numbers fall together.
#[derive(Debug)]
struct Waiting([AtomicU32; 256]);

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting([const { AtomicU32::new(0) }; 256])
    }
}

impl Waiting {
    fn place(&self, timed: &TimedSpan) -> &AtomicU32 {
        let places = self.0.len() as u64;
        &self.0[(timed.span.publisher % places) as usize]
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
        let taken = |span: TimedSpan| {
            self.waiting.place(&span).fetch_sub(1, Ordering::Relaxed);
            span
        };
        let mut spans = vec![taken(first)];
        while spans.len() < BATCH_SPANS_MAX {
            match self.spans.recv_deadline(until) {
                Ok(span) => spans.push(taken(span)),
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

/// A few megabytes, whatever the names in them are.
const SPANS_WAITING_MAX: usize = 8 << 10;
/// Of messages of one publisher.
const SPANS_OF_ONE_MAX: u32 = SPANS_WAITING_MAX as u32 / 4;
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

    fn span(publisher: u64) -> TimedSpan {
        let step = shard::SpanStep::Route { from: None, tally: shard::SpanTally::default() };
        let span = shard::Span {
            trace_id: [1; 16],
            span_id: [1; 8],
            parent_id: None,
            trace_state: None,
            publisher,
            began: shard::Instant::START,
            step,
        };
        let at = std::time::SystemTime::UNIX_EPOCH;
        TimedSpan { shard: shard::ShardId(0), span: Box::new(span), began: at, ended: at }
    }

    #[test]
    fn a_publisher_leaves_room_for_others_and_has_it_again_when_its_spans_are_sent() {
        let (queue, spans) = bounded(SPANS_WAITING_MAX);
        let http = collector(&settings("http://127.0.0.1:9/")).expect("right").expect("an endpoint");
        let (waiting, collector) = (Arc::<Waiting>::default(), Arc::new(Mutex::new(Arc::new(http))));
        let telemetry = Telemetry { queue, waiting: Arc::clone(&waiting), collector: Arc::clone(&collector) };
        let exporter = Exporter { collector, spans, waiting, instance: String::new(), has_failed: false };
        let share = SPANS_OF_ONE_MAX as usize;
        (0..SPANS_WAITING_MAX).for_each(|_| telemetry.take(span(1)));
        assert_eq!(exporter.spans.len(), share);
        (0..10).for_each(|_| telemetry.take(span(2)));
        assert_eq!(exporter.spans.len(), share + 10);
        let first = exporter.spans.recv().expect("one waits");
        let sent = exporter.batch(first).len();
        (0..SPANS_WAITING_MAX).for_each(|_| telemetry.take(span(1)));
        assert_eq!(exporter.spans.len(), share + 10, "as many as were sent: {sent}");
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
