//! `$SYS`: a thread that asks the shards for their counts now and then and has what has changed published, retained.

mod load;
pub mod tree;

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, unbounded};
use shard::{Act, Told};

use crate::{metrics::Process, observer::Observer};
use tree::{Line, Moment, Tree};

/// The thread ends with this.
#[derive(Debug)]
pub struct Sys {
    intervals: Sender<Duration>,
}

impl Sys {
    /// Says something every so often; never, if that is zero.
    pub fn start(observer: Observer, interval: Duration) -> io::Result<Sys> {
        let (intervals, changed) = unbounded();
        let teller =
            Teller { observer, tree: Tree::default(), told: HashMap::new(), looked_at: Instant::now() };
        thread::Builder::new().name("sys".to_owned()).spawn(move || teller.run(interval, &changed))?;
        Ok(Sys { intervals })
    }

    /// Counts at once. With zero everything that was said is taken back.
    pub fn set_interval(&self, interval: Duration) {
        // It listens as long as this lives.
        let _ = self.intervals.send(interval);
    }
}

struct Teller {
    observer: Observer,
    tree: Tree,
    /// What is to be read at each topic.
    told: HashMap<String, String>,
    looked_at: Instant,
}

impl Teller {
    fn run(mut self, interval: Duration, changed: &Receiver<Duration>) {
        let mut interval = interval;
        if !interval.is_zero() {
            self.tell();
        }
        loop {
            let wait = if interval.is_zero() { FOR_EVER } else { interval };
            match changed.recv_timeout(wait) {
                Ok(other) if other == interval => {}
                Ok(other) => {
                    interval = other;
                    if interval.is_zero() {
                        self.take_back();
                    } else {
                        self.tell();
                    }
                }
                Err(RecvTimeoutError::Timeout) if interval.is_zero() => {}
                Err(RecvTimeoutError::Timeout) => self.tell(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tell(&mut self) {
        let snapshots = self.observer.snapshots(ANSWER_MAX);
        // Sums without one of them would be wrong: better nothing is said this time.
        if snapshots.len() < self.observer.shards() {
            return;
        }
        let now = Instant::now();
        let elapsed = now - std::mem::replace(&mut self.looked_at, now);
        let heap_bytes = Process::look().anonymous_bytes.unwrap_or(0);
        let moment = Moment { uptime: self.observer.uptime(), elapsed, heap_bytes };
        let lines = self.tree.lines(&snapshots, moment);
        let differs = |(topic, text): &Line| self.told.get(topic) != Some(text);
        let mut lines: Vec<Line> = lines.into_iter().filter(differs).collect();
        // What is not told now is told the next time.
        lines.truncate(self.publish(&lines));
        self.told.extend(lines);
    }

    fn take_back(&mut self) {
        let lines: Vec<Line> = self.told.drain().map(|(topic, _)| (topic, String::new())).collect();
        // A shard that cannot be reached now keeps what it has.
        self.publish(&lines);
    }

    /// Says how many are published. Every shard hears of all topics, and tells those that it keeps: a few in each turn, however
    /// many subscribe to them.
    fn publish(&self, lines: &[Line]) -> usize {
        let chunks = lines.chunks(TOPICS_PER_TURN);
        chunks.take_while(|chunk| self.publish_some(chunk)).map(<[Line]>::len).sum()
    }

    fn publish_some(&self, lines: &[Line]) -> bool {
        let told: Arc<[Told]> = lines.iter().map(told).collect();
        let desk = self.observer.desk();
        let (done, answers) = bounded(self.observer.shards());
        for shard in desk.shards() {
            let done = done.clone();
            let reply = Box::new(move |_| {
                // Whoever waited may have given up.
                let _ = done.try_send(());
            });
            // Whoever takes no orders does not answer either.
            let _ = desk.act(shard, Act::Tell(Arc::clone(&told)), reply);
        }
        drop(done);
        let deadline = Instant::now() + ANSWER_MAX;
        desk.shards().all(|_| answers.recv_deadline(deadline).is_ok())
    }
}

fn told((topic, text): &Line) -> Told {
    Told { topic: topic.as_str().into(), payload: text.as_bytes().into() }
}

/// Until the interval is another one.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a shard may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Each may have thousands of subscribers.
const TOPICS_PER_TURN: usize = 4;
