//! How the sessions of `persistent` begin: each client comes, subscribes and goes, many at a time.

use std::time::{Duration, Instant};

use client::wire::{Connack, Disconnect, Frame, Packet, PacketKind, Suback};
use client::{QoS, Version};

use super::PersistentArgs;
use crate::acknowledgement::unexpected;
use crate::connection::{Connection, Hello, check_suback, refusal, subscribe_packet, unusable};
use crate::epoll::Epoll;

pub struct Beginning<'a> {
    args: &'a PersistentArgs,
    epoll: Epoll,
    /// By slot: there are as many as may be on their way at a time.
    guests: Vec<Option<Guest>>,
    /// The next session that is to begin.
    next: u32,
    begun: u32,
    /// Sessions of an earlier run, which begin once more when they are ended.
    stale: Vec<u32>,
}

struct Guest {
    session: u32,
    connection: Connection,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Subscribing,
    Subscribed,
    /// There was a session with this name.
    Stale,
}

impl<'a> Beginning<'a> {
    pub fn new(args: &'a PersistentArgs) -> Result<Beginning<'a>, String> {
        Ok(Beginning {
            args,
            epoll: Epoll::new().map_err(|error| error.to_string())?,
            guests: (0..args.parallel.min(args.sessions)).map(|_| None).collect(),
            next: 0,
            begun: 0,
            stale: Vec::new(),
        })
    }

    pub fn begin_all(mut self) -> Result<(), String> {
        let mut tokens = Vec::new();
        let mut buffer = vec![0; READ_BYTES];
        let mut progress = Instant::now();
        for slot in 0..self.guests.len() {
            self.invite(slot)?;
        }
        while self.begun < self.args.sessions {
            self.epoll.wait(TICK, &mut tokens).map_err(|error| error.to_string())?;
            let begun_before = self.begun;
            for token in tokens.drain(..) {
                self.look_at(token, &mut buffer)?;
            }
            if self.begun > begun_before {
                progress = Instant::now();
            } else if progress.elapsed() >= PATIENCE {
                let seconds = PATIENCE.as_secs();
                return Err(format!("no session has begun for {seconds} s after {} sessions", self.begun));
            }
        }
        Ok(())
    }

    /// The next client takes the place of one that has gone.
    fn invite(&mut self, slot: usize) -> Result<(), String> {
        let session = match self.stale.pop() {
            Some(session) => {
                self.args.end_session(session)?;
                session
            }
            None if self.next < self.args.sessions => {
                self.next += 1;
                self.next - 1
            }
            None => return Ok(()),
        };
        let client_id = self.args.client_id(session);
        let hello = Hello { clean_start: false, ..self.args.broker.hello(&client_id) };
        let connection = Connection::begin(self.args.broker.destination()?, session as usize, &hello)?;
        self.epoll.add(&connection, token_of(slot, session)).map_err(|error| error.to_string())?;
        self.guests[slot] = Some(Guest { session, connection, state: State::Connecting });
        Ok(())
    }

    fn look_at(&mut self, token: u64, buffer: &mut [u8]) -> Result<(), String> {
        let slot = (token >> 32) as usize;
        let Some(guest) = &mut self.guests[slot] else { return Ok(()) };
        // What is told of the one before it in its place is of no interest.
        if token != token_of(slot, guest.session) {
            return Ok(());
        }
        let (version, qos) = (self.args.broker.protocol_version, self.args.qos);
        let topic = self.args.topic(guest.session);
        guest.connection.flush()?;
        let state = &mut guest.state;
        let open = guest.connection.read(buffer, |frame, output| {
            *state = step(*state, frame, version, (&topic, qos), output)?;
            Ok(())
        })?;
        if !open {
            return Err(format!("the broker closed the connection of session {}", guest.session));
        }
        guest.connection.flush()?;
        guest.connection.look_again(&self.epoll, token)?;
        match guest.state {
            State::Connecting | State::Subscribing => return Ok(()),
            State::Subscribed => self.begun += 1,
            State::Stale => self.stale.push(guest.session),
        }
        self.guests[slot] = None;
        self.invite(slot)
    }
}

fn token_of(slot: usize, session: u32) -> u64 {
    (slot as u64) << 32 | u64::from(session)
}

/// What an answer of the broker leads to.
fn step(
    state: State,
    frame: &Frame<'_>,
    version: Version,
    (topic, qos): (&str, QoS),
    output: &mut Vec<u8>,
) -> Result<State, String> {
    match (state, frame.kind) {
        (State::Connecting, PacketKind::Connack) => {
            let connack = Connack::decode(frame, version).map_err(unusable)?;
            if connack.reason.is_error() {
                return Err(format!("the broker refused a session: {}", refusal(connack.reason)));
            }
            if connack.session_present {
                Packet::Disconnect(Disconnect::default()).encode(version, output);
                return Ok(State::Stale);
            }
            subscribe_packet(topic, qos).encode(version, output);
            Ok(State::Subscribing)
        }
        (State::Subscribing, PacketKind::Suback) => {
            check_suback(&Suback::decode(frame, version).map_err(unusable)?, qos)?;
            Packet::Disconnect(Disconnect::default()).encode(version, output);
            Ok(State::Subscribed)
        }
        // What waits for a session of an earlier run.
        (State::Stale, PacketKind::Publish) => Ok(state),
        _ => Err(unexpected(frame, version, "a session that begins")),
    }
}

const READ_BYTES: usize = 4096;
const TICK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);
