//! The audit log: who came in and who did not, what was denied, and what was done to the broker, as lines of JSON in a file of their own.
//!
//! Shards put lines into a bounded queue and go on; a thread writes them. What finds no room is counted, and the file says how much
//! it was.

mod file;
mod line;
mod strangers;

use std::{
    io, mem,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use runtime::Occasion;
use shard::{NotOpened, Note, ShardId};

pub use self::line::layer_of;
use self::{
    file::AuditFile,
    line::Line,
    strangers::{Sort, Strangers},
};
use crate::config::{self, Fault};

/// The audit log of this process, once it is started. There is none unless the configuration names a file.
static AUDIT: OnceLock<Audit> = OnceLock::new();

/// The started audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: Sender<Entry>,
    lost: Arc<AtomicU64>,
    strangers: Arc<Mutex<Strangers>>,
    events: Events,
    /// By the number of the door.
    listeners: Arc<RwLock<Vec<Arc<str>>>>,
}

/// What was done to the broker as a whole, and by whom.
pub struct Act<'a> {
    /// Such as `reload`.
    pub act: &'a str,
    /// Who asked for it, as far as that is known.
    pub by: &'a str,
    /// Such as `done` or `refused`.
    pub outcome: &'a str,
    /// One text for each thing that changed, or that was wrong.
    pub details: &'a [String],
}

/// What is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Connected,
    Refused,
    Denied,
    WouldBeDenied,
    Violation,
    TakenOver,
    Disconnected,
    Administration,
}

/// A set of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Events(u16);

#[derive(Debug)]
enum Entry {
    Line(Vec<u8>),
    /// The file may have been moved: the next line goes to one of its name.
    Reopen,
    /// Answered once everything before it is written.
    Flush(Sender<()>),
}

impl Kind {
    pub const ALL: [Kind; 8] = [
        Kind::Connected,
        Kind::Refused,
        Kind::Denied,
        Kind::WouldBeDenied,
        Kind::Violation,
        Kind::TakenOver,
        Kind::Disconnected,
        Kind::Administration,
    ];

    /// As the configuration and the lines write it.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Connected => "connected",
            Kind::Refused => "refused",
            Kind::Denied => "denied",
            Kind::WouldBeDenied => "would_be_denied",
            Kind::Violation => "violation",
            Kind::TakenOver => "taken_over",
            Kind::Disconnected => "disconnected",
            Kind::Administration => "administration",
        }
    }
}

impl Events {
    fn read(words: &[String]) -> Result<Events, String> {
        let mut events = Events(0);
        for word in words {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == word) else {
                let known: Vec<&str> = Kind::ALL.into_iter().map(Kind::word).collect();
                return Err(format!("audit.events: `{word}` is no event: there are {}", known.join(", ")));
            };
            events.0 |= 1 << kind as u16;
        }
        Ok(events)
    }

    fn has(self, kind: Kind) -> bool {
        self.0 & 1 << kind as u16 != 0
    }
}

/// Whether an audit log could be started so, and everything that keeps it from that.
pub fn check(settings: &config::Audit) -> Result<(), Vec<Fault>> {
    let events = Events::read(&settings.events).map(drop);
    let file = match settings.file.as_str() {
        "" => Ok(()),
        path => file::check(Path::new(path)),
    };
    let of = |name, outcome: Result<(), String>| outcome.err().map(|what| Fault::of("audit", name, what));
    let faults: Vec<Fault> = [of("events", events), of("file", file)].into_iter().flatten().collect();
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// Starts it, if there is to be one. The error is a sentence for the log.
pub fn start(settings: &config::Audit, listeners: Vec<Arc<str>>) -> Result<Option<Arc<Audit>>, String> {
    if settings.file.is_empty() {
        return Ok(None);
    }
    let events = Events::read(&settings.events)?;
    let keep = u32::try_from(settings.keep).unwrap_or(u32::MAX);
    let file = AuditFile::open(Path::new(&settings.file), settings.rotate_bytes, keep)?;
    let (queue, entries) = bounded(QUEUE_LINES_MAX);
    let audit = Audit {
        queue,
        lost: Arc::default(),
        strangers: Arc::default(),
        events,
        listeners: Arc::new(RwLock::new(listeners)),
    };
    let writer = Writer::new(file, &audit);
    thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || writer.run(&entries))
        .map_err(|error| format!("the thread of the audit log cannot be started: {error}"))?;
    drop(AUDIT.set(audit.clone()));
    Ok(Some(Arc::new(audit)))
}

/// Writes down what was done to the broker.
pub fn tell(act: &Act<'_>) {
    if let Some(audit) = AUDIT.get().filter(|audit| audit.events.has(Kind::Administration)) {
        audit.put(line::of_act(act));
    }
}

/// Listeners have come or gone.
pub fn replace_listeners(names: Vec<Arc<str>>) {
    if let Some(audit) = AUDIT.get() {
        *audit.listeners.write().unwrap_or_else(PoisonError::into_inner) = names;
    }
}

/// The file may have been moved away, by logrotate for one: the next line goes to one of its name.
pub fn reopen() {
    if let Some(audit) = AUDIT.get() {
        let _ = audit.queue.send_timeout(Entry::Reopen, FLUSH_TIMEOUT);
    }
}

/// Waits until all is written, but not for ever.
pub fn flush() {
    let Some(audit) = AUDIT.get() else { return };
    let (done, written) = bounded(1);
    if audit.queue.send_timeout(Entry::Flush(done), FLUSH_TIMEOUT).is_ok() {
        // An error means that the time is over: there is nobody left to tell.
        let _ = written.recv_timeout(FLUSH_TIMEOUT);
    }
}

impl runtime::Auditor for Audit {
    /// Who never becomes a client is told as those are who are turned away.
    fn record(&self, shard: ShardId, occasion: &Occasion, note: &Note) {
        let Some(kind) = line::kind_of(note).filter(|kind| self.events.has(*kind)) else { return };
        let takes = |why: &str| self.takes_stranger(occasion, Sort { kind, by: None }, why);
        if !line::why_stranger(note).is_none_or(takes) {
            return;
        }
        let listener = occasion.door.and_then(|door| self.listener(door));
        let mut line = Line::new(kind.word());
        line.number("shard", u64::from(shard.0));
        line.maybe("listener", listener.as_deref());
        line.maybe("address", occasion.address.map(|address| address.to_string()).as_deref());
        line::write_note(&mut line, note);
        self.put(line.finish());
    }

    /// One line for each address and second; how many more there were is told when the second is over.
    fn turn_away(&self, shard: ShardId, occasion: &Occasion, why: NotOpened, what: &str) {
        let by = line::layer_of(why);
        let sort = Sort { kind: Kind::Refused, by: Some(by) };
        if !self.events.has(Kind::Refused) || !self.takes_stranger(occasion, sort, what) {
            return;
        }
        let mut line = Line::new(Kind::Refused.word());
        line.number("shard", u64::from(shard.0));
        line.maybe("listener", occasion.door.and_then(|door| self.listener(door)).as_deref());
        line.maybe("address", occasion.address.map(|address| address.to_string()).as_deref());
        line.text("by", by);
        line.text("why", what);
        self.put(line.finish());
    }
}

/// What another thread left behind when it panicked are counts.
fn locked(strangers: &Mutex<Strangers>) -> MutexGuard<'_, Strangers> {
    strangers.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Audit {
    fn listener(&self, door: u16) -> Option<Arc<str>> {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        listeners.get(usize::from(door)).cloned()
    }

    /// Whether there is to be a line of this one.
    fn takes_stranger(&self, occasion: &Occasion, sort: Sort, why: &str) -> bool {
        let ip = occasion.address.map(|address| address.ip().to_canonical());
        locked(&self.strangers).takes(ip, sort, why, Instant::now())
    }

    fn put(&self, line: Vec<u8>) {
        if self.queue.try_send(Entry::Line(line)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            LINES_LOST.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Since the start.
pub fn lines_lost() -> u64 {
    LINES_LOST.load(Ordering::Relaxed)
}

static LINES_LOST: AtomicU64 = AtomicU64::new(0);

/// The thread's side.
struct Writer {
    file: AuditFile,
    lost: Arc<AtomicU64>,
    strangers: Arc<Mutex<Strangers>>,
    batch: Vec<u8>,
    /// In the batch.
    lines: u64,
    /// The log knows that the file cannot be written.
    has_failed: bool,
}

impl Writer {
    fn new(file: AuditFile, audit: &Audit) -> Writer {
        let (lost, strangers) = (Arc::clone(&audit.lost), Arc::clone(&audit.strangers));
        Writer { file, lost, strangers, batch: Vec::new(), lines: 0, has_failed: false }
    }

    fn run(mut self, entries: &Receiver<Entry>) {
        loop {
            // The first of a crowd wakes this thread, which stays awake until it has told how many they were.
            let wakes_for_more = !locked(&self.strangers).is_empty();
            let first = if wakes_for_more {
                entries.recv_timeout(strangers::PERIOD)
            } else {
                entries.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            if matches!(first, Err(RecvTimeoutError::Disconnected)) {
                return;
            }
            for entry in first.into_iter().chain(entries.try_iter()) {
                self.take(entry);
            }
            self.tell_strangers(false);
            self.tell_losses();
            self.write();
        }
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Line(line) => {
                self.batch.extend_from_slice(&line);
                self.lines += 1;
                if self.batch.len() >= BATCH_BYTES {
                    self.write();
                }
            }
            Entry::Reopen => {
                self.write();
                if let Err(error) = self.file.reopen() {
                    let path = self.file.path().display();
                    tracing::error!(
                        %path,
                        "the audit log is not opened anew, and goes on in the file that is open: {error}"
                    );
                }
            }
            Entry::Flush(done) => {
                self.tell_strangers(true);
                self.tell_losses();
                self.write();
                let _ = done.try_send(());
            }
        }
    }

    fn tell_strangers(&mut self, all: bool) {
        let more = locked(&self.strangers).count(Instant::now(), all);
        for strangers::More { address, sort, why, count } in more {
            let mut line = Line::new(sort.kind.word());
            line.maybe("address", address.map(|address| address.to_string()).as_deref());
            line.maybe("by", sort.by);
            line.maybe("why", why.as_deref());
            line.number("more", count);
            self.batch.extend_from_slice(&line.finish());
            self.lines += 1;
        }
    }

    fn tell_losses(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let mut line = Line::new("lost");
            line.number("lines", lost);
            self.batch.extend_from_slice(&line.finish());
            // If it cannot be written, these are told the next time.
            self.lines += lost;
        }
    }

    fn write(&mut self) {
        let lines = mem::take(&mut self.lines);
        if self.batch.is_empty() {
            return;
        }
        let written = self.file.write(&self.batch);
        if let Err(short) = &written {
            self.lost.fetch_add(lines.saturating_sub(short.lines), Ordering::Relaxed);
        }
        self.batch.clear();
        self.say(written.map_err(|short| short.error));
    }

    /// The first failure, and that it is over.
    fn say(&mut self, outcome: io::Result<()>) {
        let path = self.file.path().display();
        match outcome {
            Err(error) if !self.has_failed => {
                tracing::error!(%path, "the audit log cannot be written, and lines are lost: {error}");
                self.has_failed = true;
            }
            Ok(()) if self.has_failed => {
                tracing::info!(%path, "the audit log is written again");
                self.has_failed = false;
            }
            _ => {}
        }
    }
}

/// A few megabytes of lines, as clients usually make them.
const QUEUE_LINES_MAX: usize = 16 << 10;
const BATCH_BYTES: usize = 64 << 10;
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn audit(queue: Sender<Entry>) -> Audit {
        let events = Events(1 << Kind::Refused as u16);
        Audit { queue, lost: Arc::default(), strangers: Arc::default(), events, listeners: Arc::default() }
    }

    #[test]
    fn a_flood_of_strangers_is_one_line_and_a_count() {
        use runtime::Auditor as _;
        let folder = file::fresh_folder("strangers");
        let path = folder.join("audit");
        let (queue, entries) = bounded(QUEUE_LINES_MAX);
        let audit = audit(queue);
        let writer = Writer::new(AuditFile::open(&path, 1 << 20, 1).expect("a file of ours"), &audit);
        let address = |port: u16| Some(std::net::SocketAddr::from(([192, 0, 2, 1], port)));
        for port in 1..=5000 {
            let occasion = Occasion { address: address(port), door: Some(0) };
            audit.turn_away(ShardId(0), &occasion, NotOpened::Tls, "TLS: no certificate");
        }
        assert_eq!(entries.len(), 1);
        let (done, written) = bounded(1);
        audit.queue.send(Entry::Flush(done)).expect("there is room");
        drop(audit);
        writer.run(&entries);
        assert!(written.try_recv().is_ok());
        let text = std::fs::read_to_string(&path).expect("it was written");
        assert_eq!(text.lines().count(), 2, "{text}");
        let said = "\"address\":\"192.0.2.1:1\",\"by\":\"tls\",\"why\":\"TLS: no certificate\"}\n";
        assert!(text.contains(said), "{text}");
        assert!(text.ends_with("\"event\":\"refused\",\"address\":\"192.0.2.1\",\"by\":\"tls\",\"why\":\"TLS: no certificate\",\"more\":4999}\n"), "{text}");
        std::fs::remove_dir_all(folder).expect("ours");
    }

    #[test]
    fn events_are_named_and_others_refused() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let events = Events::read(&words(&["denied", "administration"])).expect("both are there");
        assert!(events.has(Kind::Denied) && events.has(Kind::Administration) && !events.has(Kind::Connected));
        let error = Events::read(&words(&["denied", "dennied"])).expect_err("no such");
        assert!(error.contains("`dennied`") && error.contains("would_be_denied"), "{error}");
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let (queue, _entries) = bounded(1);
        let audit = audit(queue);
        for _ in 0..3 {
            audit.put(b"{}\n".to_vec());
        }
        assert_eq!(audit.lost.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn losses_are_told_in_the_file_and_kept_where_it_cannot_be_written() {
        let folder = file::fresh_folder("losses");
        let path = folder.join("audit");
        let file = AuditFile::open(&path, 1 << 20, 1).expect("a file of ours");
        let audit = audit(bounded(1).0);
        audit.lost.store(3, Ordering::Relaxed);
        let mut writer = Writer::new(file, &audit);
        writer.take(Entry::Line(b"{\"a\":1}\n".to_vec()));
        writer.tell_losses();
        writer.write();
        let text = std::fs::read_to_string(&path).expect("it was written");
        assert!(text.starts_with("{\"a\":1}\n") && text.contains("\"event\":\"lost\",\"lines\":3"), "{text}");
        assert_eq!(audit.lost.load(Ordering::Relaxed), 0);
        std::fs::remove_dir_all(folder).expect("ours");
    }
}
