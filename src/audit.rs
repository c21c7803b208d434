//! The audit log: who came in and who did not, what was denied, and what was done to the broker, as lines of JSON in a file of their own.
//!
//! Shards put lines into a bounded queue and go on; a thread writes them. What finds no room is counted, and the file says how much
//! it was. A shard waits neither for another one nor for that thread: where it finds somebody else at the table that says whether there
//! is to be a line, the thread asks it later. What is done to the broker has a queue and a file of its own: no client can push it out.

mod file;
mod line;
mod lost;
mod thinned;
mod writer;

use std::{
    mem,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock, TryLockError},
    thread,
    time::Duration,
};

use crossbeam_channel::{Sender, bounded};
use runtime::{Occasion, Peer, Verdict};
use shard::{NotOpened, Note, ShardId};

use self::{
    file::AuditFile,
    line::Line,
    lost::Lost,
    thinned::{Deed, Sort, Thinned, Whose},
    writer::{Journal, Order, Question, Told, Writer},
};
pub use self::{line::layer_of, writer::lines_left_out};
use crate::{
    config::{self, Fault},
    happening::{Happening, Happenings},
};

/// The audit log of this process, once it is started. There is none unless the configuration names a file.
static AUDIT: OnceLock<Audit> = OnceLock::new();

/// The started audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    lines: Sender<Told>,
    lost: Arc<Lost>,
    /// What is done to the broker finds room here, whatever clients do.
    orders: Sender<Order>,
    acts_lost: Arc<Lost>,
    thinned: Arc<Thinned>,
    /// Of which there are lines.
    events: Happenings,
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

/// Somebody whom the API does not let do something.
pub struct Refusal<'a> {
    pub peer: SocketAddr,
    /// What keeps him from it.
    pub by: &'static str,
    pub why: &'a str,
}

/// Those that the configuration names.
fn events_of(settings: &config::Audit) -> Result<Happenings, String> {
    Happenings::read(settings.events.iter().map(String::as_str), &Happening::AUDITED)
        .map_err(|why| format!("audit.events: {why}"))
}

/// Whether an audit log could be started so, and everything that keeps it from that.
pub fn check(settings: &config::Audit) -> Result<(), Vec<Fault>> {
    let events = events_of(settings).map(drop);
    let file = match settings.file.as_str() {
        "" => Ok(()),
        path => file::check(Path::new(path)).and_then(|()| file::check(&path_of_acts(path))),
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
    let events = events_of(settings)?;
    let keep = u32::try_from(settings.keep).unwrap_or(u32::MAX);
    let open = |path: &Path| AuditFile::open(path, settings.rotate_bytes, keep);
    let (clients, acts) = (open(Path::new(&settings.file))?, open(&path_of_acts(&settings.file))?);
    let (lines, lines_come) = bounded(QUEUE_LINES_MAX);
    let (orders, orders_come) = bounded(QUEUE_ORDERS_MAX);
    let audit = Audit {
        lines,
        lost: Arc::default(),
        orders,
        acts_lost: Arc::default(),
        thinned: Arc::new(Thinned::new(settings.address_lines_per_minute)),
        events,
        listeners: Arc::new(RwLock::new(listeners)),
    };
    let writer = audit.writer(clients, acts);
    thread::Builder::new()
        .name("audit".to_owned())
        .spawn(move || writer.run(&lines_come, &orders_come))
        .map_err(|error| format!("the thread of the audit log cannot be started: {error}"))?;
    drop(AUDIT.set(audit.clone()));
    Ok(Some(Arc::new(audit)))
}

/// What is done to the broker stands beside the file of its clients.
fn path_of_acts(file: &str) -> PathBuf {
    PathBuf::from(format!("{file}.acts"))
}

/// Writes down what was done to the broker.
pub fn tell(act: &Act<'_>) {
    if let Some(audit) = AUDIT.get() {
        audit.tell(act);
    }
}

/// Writes down that the API has refused somebody something: a line for each address, cause and second.
pub fn refuse(refusal: &Refusal<'_>) {
    if let Some(audit) = AUDIT.get() {
        audit.refuse(refusal);
    }
}

/// Listeners have come or gone.
pub fn replace_listeners(names: Vec<Arc<str>>) {
    if let Some(audit) = AUDIT.get() {
        let former =
            mem::replace(&mut *audit.listeners.write().unwrap_or_else(PoisonError::into_inner), names);
        // Not while others would find them taken.
        drop(former);
    }
}

/// The file may have been moved away, by logrotate for one: the next line goes to one of its name.
pub fn reopen() {
    if let Some(audit) = AUDIT.get() {
        let _ = audit.orders.send_timeout(Order::Reopen, FLUSH_TIMEOUT);
    }
}

/// Waits until all is written, but not for ever.
pub fn flush() {
    let Some(audit) = AUDIT.get() else { return };
    let (done, written) = bounded(1);
    if audit.orders.send_timeout(Order::Flush(done), FLUSH_TIMEOUT).is_ok() {
        // An error means that the time is over: there is nobody left to tell.
        let _ = written.recv_timeout(FLUSH_TIMEOUT);
    }
}

impl runtime::Auditor for Audit {
    /// Who never becomes a client is told as those are who are turned away.
    fn record(&self, shard: ShardId, occasion: &Occasion, note: &Note) {
        let Some(kind) = Happening::of(note).filter(|kind| self.events.has(*kind)) else { return };
        let (whose, why) = match line::why_stranger(note) {
            Some(why) => (Whose::Strangers, why),
            None => (Whose::Clients, ""),
        };
        self.offer(occasion.address, Sort { kind, whose, by: None }, why, || {
            let mut line = self.line_of(shard, occasion, kind);
            line::write_note(&mut line, note);
            line
        });
    }

    fn turn_away(&self, shard: ShardId, occasion: &Occasion, why: NotOpened, what: &str) {
        let by = line::layer_of(why);
        let sort = Sort { kind: Happening::Refused, whose: Whose::Strangers, by: Some(by) };
        if !self.events.has(Happening::Refused) {
            return;
        }
        self.offer(occasion.address, sort, what, || {
            let mut line = self.line_of(shard, occasion, Happening::Refused);
            line.text("by", by);
            line.text("why", what);
            line
        });
    }
}

impl Audit {
    fn writer(&self, clients: AuditFile, acts: AuditFile) -> Writer {
        Writer {
            clients: Journal::new(clients, &self.lost),
            acts: Journal::new(acts, &self.acts_lost),
            thinned: Arc::clone(&self.thinned),
        }
    }

    fn line_of(&self, shard: ShardId, occasion: &Occasion, kind: Happening) -> Line {
        let mut line = Line::new(kind.word());
        line.number("shard", u64::from(shard.0));
        line.maybe("listener", occasion.door.and_then(|door| self.listener(door)).as_deref());
        line.maybe("address", occasion.address.map(|address| Peer(address).to_string()).as_deref());
        line
    }

    /// None also for the moment in which a reload replaces them: nobody waits for that.
    fn listener(&self, door: u16) -> Option<Arc<str>> {
        let listeners = match self.listeners.try_read() {
            Ok(listeners) => listeners,
            Err(TryLockError::Poisoned(listeners)) => listeners.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        listeners.get(usize::from(door)).cloned()
    }

    /// A line, if there is to be one of this sort. It is counted otherwise.
    fn offer(&self, address: Option<SocketAddr>, sort: Sort, why: &str, line: impl FnOnce() -> Line) {
        let address = address.map(|address| address.ip());
        let question = match self.thinned.try_judge(address, sort, why) {
            Some(Verdict::Tell) => None,
            Some(Verdict::LeaveOut { .. }) => return,
            None => Some(Box::new(Question { address, sort, why: why.into() })),
        };
        self.put(Told { line: line().finish(), question });
    }

    fn put(&self, told: Told) {
        if self.lines.try_send(told).is_err() {
            self.lost.add(1);
        }
    }

    fn refuse(&self, Refusal { peer, by, why }: &Refusal<'_>) {
        let sort = Sort { kind: Happening::Refused, whose: Whose::Api, by: Some(by) };
        if !self.events.has(Happening::Refused) {
            return;
        }
        self.offer(Some(*peer), sort, why, || {
            let mut line = Line::new(Happening::Refused.word());
            line.text("address", &peer.to_string());
            line.text("by", by);
            line.text("why", why);
            line
        });
    }

    fn tell(&self, act: &Act<'_>) {
        if !self.events.has(Happening::Administration) {
            return;
        }
        if self.thinned.judge_act(Deed::of(act.act, act.by)) == Verdict::Tell {
            self.put_act(line::of_act(act));
        }
    }

    fn lines_lost(&self) -> u64 {
        self.lost.all() + self.acts_lost.all()
    }

    fn put_act(&self, line: Vec<u8>) {
        if self.orders.try_send(Order::Act(line)).is_err() {
            self.acts_lost.add(1);
        }
    }
}

/// Since the start, of both files.
pub fn lines_lost() -> u64 {
    AUDIT.get().map_or(0, |audit| audit.lines_lost())
}

/// A few megabytes of lines, as clients usually make them.
const QUEUE_LINES_MAX: usize = 16 << 10;
/// More than the control thread and the API bring while a batch is written.
const QUEUE_ORDERS_MAX: usize = 4 << 10;
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
