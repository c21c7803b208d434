//! One thread with its share of the connections.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Barrier, mpsc};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::publisher::Publisher;
use super::subscriber::{Reception, Subscriber, nanos_since};
use super::{Findings, Stage};
use crate::churn::Churn;
use crate::epoll::Epoll;
use crate::latency::latencies;
use crate::ledger::Faults;

pub struct Worker<'a> {
    stage: &'a Stage,
    thread: usize,
    threads: usize,
    epoll: Epoll,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    schedules: Vec<Schedule>,
    churn: Option<Churn>,
    /// By part.
    latencies: Vec<Histogram<u64>>,
    acknowledgements: Histogram<u64>,
    buffer: Vec<u8>,
    tokens: Vec<u64>,
    touched: Vec<u32>,
}

/// Messages of some publishers in turns, at fixed times.
#[derive(Default)]
struct Schedule {
    publishers: Vec<usize>,
    interval_ns: f64,
    /// Messages that were due so far.
    due: u64,
}

impl<'a> Worker<'a> {
    pub fn new(stage: &'a Stage, thread: usize, threads: usize) -> io::Result<Worker<'a>> {
        Ok(Worker {
            stage,
            thread,
            threads,
            epoll: Epoll::new()?,
            publishers: Vec::new(),
            subscribers: Vec::new(),
            schedules: Vec::new(),
            churn: None,
            latencies: stage.delivered.iter().map(|_| latencies()).collect(),
            acknowledgements: latencies(),
            buffer: vec![0; READ_BYTES],
            tokens: Vec::new(),
            touched: Vec::new(),
        })
    }

    /// Makes the publisher that was added last one of those that share a rate. `interval_ns` is from one message of one
    /// of them to its next.
    pub fn schedule_last(&mut self, rate: usize, interval_ns: f64) {
        if self.schedules.len() <= rate {
            self.schedules.resize_with(rate + 1, Schedule::default);
        }
        let schedule = &mut self.schedules[rate];
        schedule.publishers.push(self.publishers.len() - 1);
        schedule.interval_ns = interval_ns / schedule.publishers.len() as f64;
    }

    /// Clients that come and go in between.
    pub fn add_churn(&mut self, churn: Churn) {
        self.churn = Some(churn);
    }

    pub fn add_publisher(&mut self, publisher: Publisher) -> Result<(), String> {
        let token = 2 * self.publishers.len() as u64;
        self.epoll.add(&publisher.connection, token).map_err(|error| error.to_string())?;
        self.publishers.push(publisher);
        Ok(())
    }

    pub fn add_subscriber(&mut self, subscriber: Subscriber) -> Result<(), String> {
        let token = 2 * self.subscribers.len() as u64 + SUBSCRIBER;
        self.epoll.add(&subscriber.connection, token).map_err(|error| error.to_string())?;
        self.subscribers.push(subscriber);
        Ok(())
    }

    /// `published` is where the threads meet when each has published its last message; `failed` is told before that if
    /// there is no use in going on.
    pub fn run(mut self, published: &Barrier, failed: &mpsc::Sender<()>) -> Result<Findings, String> {
        let worked = self.work();
        if worked.is_err() {
            // Nobody listens where another thread was first.
            let _ = failed.send(());
        }
        // Also if it failed, since the others wait here.
        for publisher in &self.publishers {
            for (stream, sent) in publisher.sent() {
                self.stage.sent[stream as usize].store(sent, Ordering::Relaxed);
            }
        }
        published.wait();
        let unsent = worked?;
        self.drain()?;
        if let Some(churn) = &mut self.churn {
            churn.finish()?;
        }
        let mut faults = Faults::default();
        let mut received = Vec::new();
        for subscriber in &self.subscribers {
            faults += subscriber.faults(&self.stage.sent);
            received.push((subscriber.index(), subscriber.received()));
        }
        Ok(Findings {
            faults,
            latencies: self.latencies,
            acknowledgements: self.acknowledgements,
            received,
            unsent,
            churn: self.churn,
        })
    }

    /// Gives how many messages were due and were not sent.
    fn work(&mut self) -> Result<u64, String> {
        let began_ns = nanos_since(self.stage.epoch);
        self.top_up_all()?;
        let mut looked = Instant::now();
        let is_open_loop = !self.schedules.is_empty();
        let tick =
            if is_open_loop || self.threads > 1 || self.churn.is_some() { Duration::ZERO } else { TICK };
        while !self.stage.is_over.load(Ordering::Relaxed) {
            if is_open_loop {
                self.publish_due(began_ns)?;
            }
            self.turn(tick)?;
            if let Some(churn) = &mut self.churn {
                churn.begin_due()?;
                churn.turn(Duration::ZERO, self.stage.is_measuring.load(Ordering::Relaxed))?;
            }
            // What arrives at one thread opens windows of another, which has to look.
            if self.threads == 1 {
                self.top_up_touched()?
            } else {
                self.top_up_all()?
            }
            if looked.elapsed() >= STALL {
                looked = Instant::now();
                self.write_off()?;
            }
        }
        let elapsed = Duration::from_nanos(nanos_since(self.stage.epoch) - began_ns);
        Ok(self.schedules.iter().map(|schedule| schedule.overdue(elapsed.saturating_sub(OVERDUE))).sum())
    }

    /// What is under way may still arrive; after that it is lost.
    fn drain(&mut self) -> Result<(), String> {
        let stopped = Instant::now();
        let mut quiet = Instant::now();
        while stopped.elapsed() < DRAIN {
            if self.turn(TICK)? > 0 {
                quiet = Instant::now();
            }
            let arrived = &self.stage.arrived;
            let is_unfinished =
                self.publishers.iter().enumerate().any(|(at, publisher)| {
                    publisher.is_unfinished(&arrived[at * self.threads + self.thread])
                });
            // Another thread's messages may still be on their way to subscribers of this one.
            if !is_unfinished && (self.threads == 1 || quiet.elapsed() >= QUIET) {
                break;
            }
        }
        Ok(())
    }

    fn top_up_all(&mut self) -> Result<(), String> {
        let now_ns = nanos_since(self.stage.epoch);
        for (at, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.top_up(&self.stage.arrived[at * self.threads + self.thread], now_ns)?;
        }
        Ok(())
    }

    fn top_up_touched(&mut self) -> Result<(), String> {
        if self.touched.is_empty() {
            return Ok(());
        }
        let now_ns = nanos_since(self.stage.epoch);
        for index in self.touched.drain(..) {
            let index = index as usize;
            self.publishers[index].top_up(&self.stage.arrived[index], now_ns)?;
        }
        Ok(())
    }

    fn publish_due(&mut self, began_ns: u64) -> Result<(), String> {
        let elapsed_ns = nanos_since(self.stage.epoch) - began_ns;
        for Schedule { publishers, interval_ns, due } in &mut self.schedules {
            // Whoever is behind catches up in between all else, or nothing else would ever happen.
            for _ in 0..if publishers.is_empty() { 0 } else { CATCH_UP_MAX } {
                let due_ns = (*due as f64 * *interval_ns) as u64;
                let at = publishers[(*due % publishers.len() as u64) as usize];
                if due_ns > elapsed_ns || !self.publishers[at].publish_due(began_ns + due_ns)? {
                    break;
                }
                *due += 1;
            }
        }
        Ok(())
    }

    /// Handles all that is ready; gives the number of deliveries.
    fn turn(&mut self, timeout: Duration) -> Result<u64, String> {
        self.touched.clear();
        self.epoll.wait(timeout, &mut self.tokens).map_err(|error| error.to_string())?;
        let is_measuring = self.stage.is_measuring.load(Ordering::Relaxed);
        let (mut delivered, mut part, mut in_part) = (0, 0, 0);
        for token in self.tokens.drain(..) {
            let at = (token / 2) as usize;
            if token % 2 == SUBSCRIBER {
                let mut reception = Reception {
                    arrived: &self.stage.arrived,
                    publishers: &self.stage.publishers,
                    expected: &self.stage.expected,
                    touched: &mut self.touched,
                    latencies: is_measuring.then_some(&mut self.latencies[..]),
                    epoch: self.stage.epoch,
                    seen_ns: None,
                };
                let subscriber = &mut self.subscribers[at];
                let messages = subscriber.receive(&mut self.buffer, &mut reception)?;
                subscriber.connection.look_again(&self.epoll, token)?;
                if subscriber.part() != part {
                    self.stage.delivered[part].fetch_add(in_part, Ordering::Relaxed);
                    (part, in_part) = (subscriber.part(), 0);
                }
                in_part += messages;
                delivered += messages;
            } else {
                let publisher = &mut self.publishers[at];
                let latencies = is_measuring.then_some(&mut self.acknowledgements);
                publisher.receive(&mut self.buffer, self.stage.epoch, latencies)?;
                publisher.connection.look_again(&self.epoll, token)?;
                self.touched.push((at * self.threads + self.thread) as u32);
            }
        }
        self.stage.delivered[part].fetch_add(in_part, Ordering::Relaxed);
        Ok(delivered)
    }

    fn write_off(&mut self) -> Result<(), String> {
        for (at, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.write_off_if_stalled(&self.stage.arrived[at * self.threads + self.thread]);
        }
        self.top_up_all()
    }
}

impl Schedule {
    /// How many messages were due that long after the beginning and have not been sent.
    fn overdue(&self, elapsed: Duration) -> u64 {
        let due = if self.publishers.is_empty() { 0.0 } else { elapsed.as_nanos() as f64 / self.interval_ns };
        (due as u64).saturating_sub(self.due)
    }
}

// The lowest bit of a token tells subscribers from publishers.
const SUBSCRIBER: u64 = 1;
const READ_BYTES: usize = 256 * 1024;
const CATCH_UP_MAX: u32 = 256;
/// What became due just before the end may go unsent in any run.
const OVERDUE: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_millis(300);
