//! The log: lines from `tracing` to standard error, as text or JSON, without ever making a shard wait.

mod following;

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    prelude::*,
    reload,
};

pub use self::following::{FOLLOWERS_MAX, follow, lines_missed};
use crate::config::{Format, Level};

/// The started log. Lines wait in a bounded queue for the thread that writes them.
#[derive(Debug, Clone)]
pub struct Log {
    queue: Sender<Entry>,
    lost: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// Answered once everything before it is written.
    Flush(Sender<()>),
}

impl Log {
    /// Takes all `tracing` events of the process from here on.
    pub fn start(level: Level, format: Format) -> io::Result<Log> {
        let (queue, entries) = bounded(QUEUE_LINES_MAX);
        let log = Log { queue, lost: Arc::default() };
        let lost = Arc::clone(&log.lost);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&entries, &lost, &mut io::stderr().lock()))?;
        let (level, handle) = reload::Layer::new(filter(level));
        // The formatter's own clock writes ISO 8601 in UTC with a Z.
        let lines = fmt::layer().with_target(false).with_ansi(false).with_writer(log.clone());
        let registry = tracing_subscriber::registry().with(level);
        match format {
            Format::Text => registry.with(lines).init(),
            Format::Json => {
                registry.with(lines.json().flatten_event(true).with_current_span(false)).init();
            }
        }
        drop(LEVEL.set(handle));
        Ok(log)
    }

    /// Waits until what was logged is written, or for a reader of our lines that does not read.
    pub fn flush(&self) {
        let (done, written) = bounded(1);
        if self.queue.send_timeout(Entry::Flush(done), FLUSH_TIMEOUT).is_ok() {
            // An error means that the time is over: there is nobody left to tell.
            let _ = written.recv_timeout(FLUSH_TIMEOUT);
        }
    }
}

/// The formatter hands over one whole line per write.
impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Entry::Line(line.to_vec())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            LINES_LOST.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

/// A line that comes alone is written at once. While they come in crowds, many are written together: to wake this thread
/// for each would cost whoever logs more than the line itself.
fn write_lines(entries: &Receiver<Entry>, lost: &AtomicU64, target: &mut impl Write) {
    let mut batch = Vec::new();
    while let Ok(first) = entries.recv() {
        for entry in std::iter::once(first).chain(entries.try_iter()) {
            match entry {
                Entry::Line(line) => {
                    following::tell(&line);
                    batch.extend_from_slice(&line);
                }
                Entry::Flush(done) => {
                    write_batch(&mut batch, target);
                    let _ = done.try_send(());
                }
            }
            if batch.len() >= BATCH_BYTES {
                write_batch(&mut batch, target);
            }
        }
        write_batch(&mut batch, target);
        let lines = lost.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "log lines were lost because standard error was not read in time");
        }
        thread::sleep(BATCH_PAUSE);
    }
}

/// A standard error that fails has nobody who could be told of it.
fn write_batch(batch: &mut Vec<u8>, target: &mut impl Write) {
    let _ = target.write_all(batch);
    let _ = target.flush();
    batch.clear();
}

/// Since the start.
pub fn lines_lost() -> u64 {
    LINES_LOST.load(Ordering::Relaxed)
}

static LINES_LOST: AtomicU64 = AtomicU64::new(0);

/// From now on, for the whole process.
pub fn set_level(level: Level) {
    if let Some(handle) = LEVEL.get() {
        // It fails only where nothing is logged any more.
        let _ = handle.reload(filter(level));
    }
}

static LEVEL: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// What other crates trace may hold what nobody may read: an HTTP client writes down the head of each request, with the header
/// Authorization. So only ours say more than warnings.
fn filter(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let others = level.min(LevelFilter::WARN);
    Targets::new().with_default(others).with_targets(OURS.map(|ours| (ours, level)))
}

/// The crates here that log.
const OURS: [&str; 2] = ["iothub", "runtime"];

/// About half a megabyte of lines.
const QUEUE_LINES_MAX: usize = 4 << 10;
const BATCH_BYTES: usize = 64 << 10;
/// Far less than a second's worth of the queue at any rate that the thread can write.
const BATCH_PAUSE: Duration = Duration::from_millis(5);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, sync::Mutex};

    use super::*;
    use crate::one_question;

    #[test]
    fn lines_are_written_in_order_and_a_flush_waits_for_them() {
        let (queue, entries) = bounded(8);
        let (done, written) = bounded(1);
        for line in ["one\n", "two\n"] {
            queue.send(Entry::Line(line.as_bytes().to_vec())).expect("room");
        }
        queue.send(Entry::Flush(done)).expect("room");
        drop(queue);
        let mut target = Vec::new();
        write_lines(&entries, &AtomicU64::new(0), &mut target);
        assert_eq!(target, b"one\ntwo\n");
        assert!(written.try_recv().is_ok());
    }

    #[test]
    fn a_full_queue_loses_lines_and_counts_them() {
        let (queue, _entries) = bounded(1);
        let mut log = Log { queue, lost: Arc::default() };
        let before = lines_lost();
        for _ in 0..3 {
            log.write_all(b"line\n").expect("writing never fails");
        }
        assert_eq!(log.lost.load(Ordering::Relaxed), 2);
        assert!(lines_lost() >= before + 2, "those since the start, which metrics and alerts go by");
    }

    /// All that is logged, and a look at it.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(line);
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_lowest_level_shows_no_secret_of_a_question_over_http() {
        let written = Written::default();
        let target = written.clone();
        let lines = fmt::layer().with_ansi(false).with_writer(move || target.clone());
        // For the whole process, as what other crates log comes by another way than ours.
        tracing_subscriber::registry().with(filter(Level::Trace)).with(lines).init();
        let (url, asked) = one_question::server(204);
        let authorization = Some(identity::Secret::new(b"Bearer hunter2"));
        let options = identity::HttpOptions { url, authorization, ..identity::HttpOptions::default() };
        let answer = identity::Http::new(&options).expect("a URL").post_json(b"");
        assert_eq!(answer.expect("an answer").0, 204);
        assert!(asked.join().expect("asked").contains("hunter2"));
        tracing::trace!("one of ours");
        let text = String::from_utf8(written.0.lock().expect("no panic").clone()).expect("a text");
        assert!(text.contains("one of ours"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn every_crate_here_that_logs_is_one_of_ours() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(root.join("Cargo.toml")).expect("a manifest");
        let (_, after) = text.split_once("members = [").expect("members");
        let members = after.split(']').next().expect("their end").split('"').skip(1).step_by(2);
        let mut found = 0;
        for member in members.filter(|member| !member.starts_with("tests") && !member.starts_with("loadgen"))
        {
            let text = fs::read_to_string(root.join(member).join("Cargo.toml")).expect("a manifest");
            if text.contains("\ntracing.workspace") {
                let name = text.split("\nname = \"").nth(1).and_then(|rest| rest.split('"').next());
                assert!(OURS.contains(&name.expect("a name")), "{member}");
                found += 1;
            }
        }
        assert_eq!(found, OURS.len());
    }
}
