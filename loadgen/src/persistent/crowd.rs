//! The clients of `persistent` that come back: each takes what was queued for it, and goes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use client::wire::{Connack, PacketKind, Publish};
use client::{QoS, Version};
use hdrhistogram::Histogram;

use super::PersistentArgs;
use crate::acknowledgement::{acknowledge, complete, unexpected};
use crate::connection::{Connection, Hello, unusable};
use crate::epoll::Epoll;
use crate::latency::{latencies, record};
use crate::ledger::{Faults, Ledger};
use crate::payload::Stamp;

/// The clients that come back.
pub struct Crowd {
    epoll: Epoll,
    version: Version,
    qos: QoS,
    messages: u64,
    members: Vec<Member>,
    /// Those that are connected or about to be, in the order of their coming.
    present: VecDeque<u32>,
    pub delivered: u64,
    pub faults: Faults,
    /// Of each session, from its connection to its last message.
    pub latencies: Histogram<u64>,
    pub last_arrival: Instant,
}

struct Member {
    connection: Option<Connection>,
    ledger: Ledger,
    arrived: u64,
    /// QoS 2: those whose last acknowledgement went out.
    completed: u64,
    begun: Instant,
}

impl Crowd {
    pub fn new(args: &PersistentArgs) -> Result<Crowd, String> {
        Ok(Crowd {
            epoll: Epoll::new().map_err(|error| error.to_string())?,
            version: args.broker.protocol_version,
            qos: args.qos,
            messages: args.messages.into(),
            members: Vec::with_capacity(args.sessions as usize),
            present: VecDeque::new(),
            delivered: 0,
            faults: Faults::default(),
            latencies: latencies(),
            last_arrival: Instant::now(),
        })
    }

    pub fn drain(&mut self, args: &PersistentArgs) -> Result<(), String> {
        let mut tokens = Vec::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut progress = Instant::now();
        loop {
            while self.members.len() < args.sessions as usize && self.present.len() < args.parallel as usize {
                self.bring_back(args)?;
            }
            if self.present.is_empty() {
                return Ok(());
            }
            self.epoll.wait(TICK, &mut tokens).map_err(|error| error.to_string())?;
            for token in tokens.drain(..) {
                if self.look_at(token as usize, &mut buffer)? {
                    progress = Instant::now();
                }
            }
            if progress.elapsed() >= PATIENCE {
                // Whoever waits has not got all: what is missing was dropped.
                progress = Instant::now();
                for session in std::mem::take(&mut self.present) {
                    self.leave(session as usize);
                }
            }
        }
    }

    fn bring_back(&mut self, args: &PersistentArgs) -> Result<(), String> {
        let session = self.members.len() as u32;
        let client_id = args.client_id(session);
        let hello = Hello { clean_start: false, ..args.broker.hello(&client_id) };
        let begun = Instant::now();
        let mut connection = Connection::begin(args.broker.destination()?, session as usize, &hello)?;
        connection.expect_payloads(args.payload_bytes);
        self.epoll.add(&connection, session.into()).map_err(|error| error.to_string())?;
        self.members.push(Member {
            connection: Some(connection),
            ledger: Ledger::default(),
            arrived: 0,
            completed: 0,
            begun,
        });
        self.present.push_back(session);
        Ok(())
    }

    /// True if it has come further.
    fn look_at(&mut self, session: usize, buffer: &mut [u8]) -> Result<bool, String> {
        let Member { connection: Some(connection), ledger, arrived, completed, .. } =
            &mut self.members[session]
        else {
            return Ok(false);
        };
        let (version, before) = (self.version, (*arrived, *completed));
        connection.flush()?;
        let open = connection.read(buffer, |frame, output| match frame.kind {
            PacketKind::Connack => {
                let connack = Connack::decode(frame, version);
                check_connack(&connack.map_err(unusable)?, session)
            }
            PacketKind::Publish => {
                let publish = Publish::decode(frame, version).map_err(unusable)?;
                acknowledge(&publish, version, output);
                match Stamp::read(publish.payload) {
                    Some(stamp) if stamp.stream as usize == session => {
                        *arrived += u64::from(ledger.on_delivery(stamp.sequence));
                        Ok(())
                    }
                    _ => Err(format!("a message that was not queued for session {session} came to it")),
                }
            }
            PacketKind::Pubrel => {
                *completed = self.messages.min(*completed + 1);
                complete(frame, version, output)
            }
            _ => Err(unexpected(frame, version, &format!("session {session}"))),
        })?;
        connection.flush()?;
        connection.look_again(&self.epoll, session as u64)?;
        if !open {
            return Err(format!("the broker closed the connection of session {session}"));
        }
        let is_further = (*arrived, *completed) > before;
        if *arrived > before.0 {
            self.last_arrival = Instant::now();
        }
        if *arrived >= self.messages && (self.qos != QoS::ExactlyOnce || *completed >= self.messages) {
            self.present.retain(|present| *present as usize != session);
            self.leave(session);
        }
        Ok(is_further)
    }

    /// Takes the account of a session, whose connection ends with that.
    fn leave(&mut self, session: usize) {
        let Member { connection, ledger, arrived, begun, .. } = &mut self.members[session];
        let Some(connection) = connection.take() else { return };
        if *arrived >= self.messages {
            record(&mut self.latencies, begun.elapsed());
        }
        self.delivered += *arrived;
        self.faults += ledger.faults(self.messages);
        drop(connection);
    }
}

fn check_connack(connack: &Connack<'_>, session: usize) -> Result<(), String> {
    if connack.reason.is_error() {
        return Err(format!("the broker refused session {session}: {}", connack.reason.name()));
    }
    if !connack.session_present {
        return Err(format!("the broker has not kept session {session} while its client was away"));
    }
    Ok(())
}

const READ_BYTES: usize = 256 * 1024;
const TICK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(3);
