//! A store that is no log: a thread of its own keeps the batches of all shards, as a database would. It is slow and fails
//! when the test says so. What the seam asks of a store is all there: storing, room, recovery, cleaning.

mod answers;
mod link;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use shard::{
    Batch, Fetch, Instant, Piece, ShardId,
    store::{Position, Record, record::records, restoring::Restoring},
};

use crate::{
    StoreError,
    backend::{Backend, Engine, Opened, Outcome, Room},
    breakdown::Breakdown,
    mesh::Waker,
    ring::Ring,
};

/// What outlives a broker.
#[derive(Default)]
struct Database {
    /// By shard and number: a number is given once, also over restarts.
    rows: Mutex<BTreeMap<(u8, u32), Vec<u8>>>,
    /// Whoever holds it holds the database up.
    gate: Mutex<()>,
    fails: AtomicBool,
}

struct Job {
    shard: ShardId,
    what: Wanted,
    reply: Sender<Answer>,
    waker: Waker,
}

enum Wanted {
    Store(Batch),
    Oldest,
    Delete(u32),
    Fetch(Fetch),
}

enum Answer {
    Stored {
        batch: u64,
        row: u32,
        bytes: usize,
    },
    Failed(io::Error),
    Oldest {
        row: u32,
        records: Vec<u8>,
    },
    /// The rest of a row, from the message on; none if the row is gone.
    Fetched {
        fetch: Fetch,
        rest: Option<Vec<u8>>,
    },
}

impl Database {
    fn bytes(&self) -> usize {
        self.rows.lock().unwrap().values().map(Vec::len).sum()
    }

    fn work(&self, jobs: &Receiver<Job>) {
        for Job { shard, what, reply, waker } in jobs {
            let _gate = self.gate.lock().unwrap();
            if let Some(answer) = self.carry_out(shard.0, what) {
                // The shard may have ended meanwhile.
                let _ = reply.send(answer);
                waker.wake();
            }
        }
    }

    fn carry_out(&self, shard: u8, what: Wanted) -> Option<Answer> {
        let mut rows = self.rows.lock().unwrap();
        match what {
            Wanted::Store(_) if self.fails.load(SeqCst) => {
                Some(Answer::Failed(io::Error::other("the database is read-only")))
            }
            Wanted::Store(Batch { number, records }) => {
                let row = rows.keys().map(|(_, row)| row + 1).max().unwrap_or(1);
                let bytes = records.len();
                rows.insert((shard, row), records);
                Some(Answer::Stored { batch: number, row, bytes })
            }
            Wanted::Oldest => {
                let mut of_shard = rows.range((shard, 0)..=(shard, u32::MAX));
                let ((_, row), records) = of_shard.next().expect("the shard has rows");
                Some(Answer::Oldest { row: *row, records: records.clone() })
            }
            Wanted::Delete(row) => {
                rows.remove(&(shard, row)).expect("a row is deleted once");
                None
            }
            Wanted::Fetch(fetch) => {
                let row = rows.get(&(shard, fetch.position.generation));
                let rest = row.map(|row| row[fetch.position.offset as usize..].to_vec());
                Some(Answer::Fetched { fetch, rest })
            }
        }
    }
}

/// One shard's side.
struct Table {
    shard: ShardId,
    jobs: Sender<Job>,
    reply: Sender<Answer>,
    answers: Receiver<Answer>,
    waker: Waker,
    /// Lengths of the rows, the oldest first.
    rows: VecDeque<usize>,
    /// The oldest row was asked for, or read, or waits for what was written again.
    cleaning: Option<Oldest>,
    retire_after: Option<u64>,
    fetched: Vec<(Fetch, Option<Vec<u8>>)>,
}

#[derive(Default)]
struct Oldest {
    row: u32,
    records: Vec<u8>,
}

impl Table {
    fn ask(&self, what: Wanted) {
        let (reply, waker) = (self.reply.clone(), self.waker.clone());
        self.jobs.send(Job { shard: self.shard, what, reply, waker }).unwrap();
    }
}

impl Backend for Table {
    fn store(&mut self, _: &mut Ring, batch: Batch) {
        self.ask(Wanted::Store(batch));
    }

    fn on_completion(&mut self, _: &mut Ring, _: u32, _: i32) -> Outcome {
        unreachable!("a database has nothing on the ring")
    }

    fn has_news(&self) -> bool {
        !self.answers.is_empty()
    }

    fn take_news(&mut self, _: &mut Ring, _: Instant) -> Option<Outcome> {
        Some(match self.answers.try_recv().ok()? {
            Answer::Stored { batch, row, bytes } => {
                self.rows.push_back(bytes);
                let position = Position { generation: row, offset: 0 };
                Outcome::Stored { batch, pieces: vec![Piece { range: 0..bytes, position }] }
            }
            Answer::Failed(error) => Outcome::Failed(Breakdown::Write(error.to_string())),
            Answer::Oldest { row, records } => {
                self.cleaning = Some(Oldest { row, records });
                Outcome::ReadBack
            }
            Answer::Fetched { fetch, rest } => {
                self.fetched.push((fetch, rest));
                Outcome::Fetched
            }
        })
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn on_time(&mut self, _: Instant) -> bool {
        false
    }

    fn room(&self) -> Room {
        Room { bytes: usize::MAX, grows: false }
    }

    fn file_bytes(&self) -> u64 {
        self.rows.iter().sum::<usize>() as u64
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.ask(Wanted::Fetch(fetch));
    }

    fn start_fetches(&mut self, _: &mut Ring) {}

    fn take_fetched(
        &mut self,
        _: &mut Ring,
        each: &mut dyn FnMut(Fetch, Option<Record<'_>>),
    ) -> Result<(), Breakdown> {
        for (fetch, rest) in self.fetched.drain(..) {
            let first = rest.as_deref().and_then(|rest| records(rest).next());
            each(fetch, first.map(|record| Record { position: fetch.position, ..record }));
        }
        Ok(())
    }

    fn clean(&mut self, _: &mut Ring, live_bytes: usize, stored: u64) {
        if self.retire_after.is_some_and(|batch| batch <= stored) {
            self.retire_after = None;
            let Oldest { row, .. } = self.cleaning.take().unwrap();
            self.rows.pop_front();
            self.ask(Wanted::Delete(row));
        }
        let is_worth_it =
            self.rows.len() > 1 && self.rows.iter().sum::<usize>() > 2 * live_bytes + FREE_BYTES;
        if is_worth_it && self.cleaning.is_none() {
            self.cleaning = Some(Oldest::default());
            self.ask(Wanted::Oldest);
        }
    }

    fn review(&mut self, each: &mut dyn FnMut(Record<'_>)) -> Result<bool, Breakdown> {
        let Oldest { row, records } = self.cleaning.as_ref().unwrap();
        each_record(*row, records, each);
        Ok(true)
    }

    fn end(&mut self, _: &mut Ring) {}

    fn has_ended(&self) -> bool {
        true
    }

    fn reviewed(&mut self, last_batch: u64) {
        self.retire_after = Some(last_batch);
    }
}

fn each_record(row: u32, batch: &[u8], mut each: impl FnMut(Record<'_>)) {
    for record in records(batch) {
        each(Record { position: Position { generation: row, ..record.position }, ..record });
    }
}

struct Tables {
    database: Arc<Database>,
    epoch_ms: u64,
    jobs: Sender<Job>,
}

impl Tables {
    fn new(database: &Arc<Database>, epoch_ms: u64) -> Tables {
        let (jobs, orders) = unbounded();
        let worker = Arc::clone(database);
        // Ends with the last shard.
        thread::spawn(move || worker.work(&orders));
        Tables { database: Arc::clone(database), epoch_ms, jobs }
    }
}

impl Engine for Tables {
    fn open(&self, shard: ShardId, waker: Waker) -> Result<Opened, StoreError> {
        let mut restoring = Restoring::new(self.epoch_ms);
        let mut lengths = VecDeque::new();
        for (&(_, row), batch) in self.database.rows.lock().unwrap().range((shard.0, 0)..=(shard.0, u32::MAX))
        {
            lengths.push_back(batch.len());
            each_record(row, batch, |record| {
                assert!(restoring.take(&record).is_ok(), "a record is read as it was written")
            });
        }
        let (reply, answers) = unbounded();
        let jobs = self.jobs.clone();
        let table = Table {
            shard,
            jobs,
            reply,
            answers,
            waker,
            rows: lengths,
            cleaning: None,
            retire_after: None,
            fetched: Vec::new(),
        };
        Ok(Opened { backend: Box::new(table), restoring })
    }
}

/// What may lie about, beyond twice what is alive.
const FREE_BYTES: usize = 64 << 10;
