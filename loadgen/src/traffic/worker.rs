//! One thread with its share of the connections.

use std::io;
use std::sync::Barrier;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::publisher::Publisher;
use super::subscriber::{Reception, Subscriber, nanos_since};
use super::{Findings, Stage, latencies};
use crate::epoll::Epoll;
use crate::ledger::Faults;

/// When messages are sent.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As many messages of each publisher under way.
    Window(u64),
    /// One of this thread's publishers at a time, in turns, at this interval.
    Interval { nanos: u64 },
}

impl Pace {
    pub fn open(rate: u64, threads: u32) -> Pace {
        Pace::Interval { nanos: (1_000_000_000 * u64::from(threads) / rate).max(1) }
    }
}

pub struct Worker<'a> {
    stage: &'a Stage,
    pace: Pace,
    thread: usize,
    threads: usize,
    epoll: Epoll,
    publishers: Vec<Publisher>,
    subscribers: Vec<Subscriber>,
    latencies: Histogram<u64>,
    buffer: Vec<u8>,
    tokens: Vec<u64>,
    touched: Vec<u32>,
    /// Messages that were due so far.
    due: u64,
}

impl<'a> Worker<'a> {
    pub fn new(stage: &'a Stage, pace: Pace, thread: usize, threads: usize) -> io::Result<Worker<'a>> {
        Ok(Worker {
            stage,
            pace,
            thread,
            threads,
            epoll: Epoll::new()?,
            publishers: Vec::new(),
            subscribers: Vec::new(),
            latencies: latencies(),
            buffer: vec![0; READ_BYTES],
            tokens: Vec::new(),
            touched: Vec::new(),
            due: 0,
        })
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

    /// `published` is where the threads meet when each has published its last message.
    pub fn run(mut self, published: &Barrier) -> Result<Findings, String> {
        let worked = self.work();
        // Also if it failed, since the others wait here.
        for (at, publisher) in self.publishers.iter().enumerate() {
            let index = at * self.threads + self.thread;
            self.stage.sent[index].store(publisher.sent(), Ordering::Relaxed);
        }
        published.wait();
        worked?;
        self.drain()?;
        let mut faults = Faults::default();
        for subscriber in &self.subscribers {
            faults += subscriber.faults(&self.stage.sent);
        }
        Ok(Findings { faults, latencies: self.latencies })
    }

    fn work(&mut self) -> Result<(), String> {
        let began_ns = nanos_since(self.stage.epoch);
        self.top_up_all()?;
        let mut looked = Instant::now();
        while !self.stage.is_over.load(Ordering::Relaxed) {
            match self.pace {
                Pace::Window(_) if self.threads == 1 => {
                    self.turn(TICK)?;
                    self.top_up_touched()?;
                }
                // What arrives at one thread opens windows of another, which has to look.
                Pace::Window(_) => {
                    self.turn(Duration::ZERO)?;
                    self.top_up_all()?;
                }
                Pace::Interval { nanos } => {
                    self.publish_due(began_ns, nanos)?;
                    self.turn(Duration::ZERO)?;
                }
            }
            if looked.elapsed() >= STALL {
                looked = Instant::now();
                self.write_off()?;
            }
        }
        Ok(())
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
        let Pace::Window(window) = self.pace else { return Ok(()) };
        let now_ns = nanos_since(self.stage.epoch);
        for (at, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.top_up(window, &self.stage.arrived[at * self.threads + self.thread], now_ns)?;
        }
        Ok(())
    }

    fn top_up_touched(&mut self) -> Result<(), String> {
        let Pace::Window(window) = self.pace else { return Ok(()) };
        let now_ns = nanos_since(self.stage.epoch);
        for index in self.touched.drain(..) {
            let index = index as usize;
            self.publishers[index].top_up(window, &self.stage.arrived[index], now_ns)?;
        }
        Ok(())
    }

    fn publish_due(&mut self, began_ns: u64, interval_ns: u64) -> Result<(), String> {
        let elapsed_ns = nanos_since(self.stage.epoch) - began_ns;
        while !self.publishers.is_empty() && self.due * interval_ns <= elapsed_ns {
            let at = (self.due % self.publishers.len() as u64) as usize;
            if !self.publishers[at].publish_due(began_ns + self.due * interval_ns)? {
                return Ok(());
            }
            self.due += 1;
        }
        Ok(())
    }

    /// Handles all that is ready; gives the number of deliveries.
    fn turn(&mut self, timeout: Duration) -> Result<u64, String> {
        self.touched.clear();
        self.epoll.wait(timeout, &mut self.tokens).map_err(|error| error.to_string())?;
        let is_measuring = self.stage.is_measuring.load(Ordering::Relaxed);
        let mut delivered = 0;
        for token in self.tokens.drain(..) {
            let at = (token / 2) as usize;
            if token % 2 == SUBSCRIBER {
                let mut reception = Reception {
                    arrived: &self.stage.arrived,
                    touched: &mut self.touched,
                    latencies: is_measuring.then_some(&mut self.latencies),
                    epoch: self.stage.epoch,
                    seen_ns: None,
                };
                delivered += self.subscribers[at].receive(&mut self.buffer, &mut reception)?;
            } else {
                self.publishers[at].receive(&mut self.buffer)?;
                self.touched.push((at * self.threads + self.thread) as u32);
            }
        }
        self.stage.delivered.fetch_add(delivered, Ordering::Relaxed);
        Ok(delivered)
    }

    fn write_off(&mut self) -> Result<(), String> {
        for (at, publisher) in self.publishers.iter_mut().enumerate() {
            publisher.write_off_if_stalled(&self.stage.arrived[at * self.threads + self.thread]);
        }
        self.top_up_all()
    }
}

// The lowest bit of a token tells subscribers from publishers.
const SUBSCRIBER: u64 = 1;
const READ_BYTES: usize = 256 * 1024;
const TICK: Duration = Duration::from_millis(10);
const STALL: Duration = Duration::from_secs(1);
const DRAIN: Duration = Duration::from_secs(3);
const QUIET: Duration = Duration::from_millis(300);
