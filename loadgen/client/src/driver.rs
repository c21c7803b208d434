//! The blocking driver: a client on one connection and the real clock.
//!
//! Nothing runs between the calls. A program that is idle waits in [`Driver::next_event`], which keeps the connection
//! alive and makes it again when it is lost, as the client's options say.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mqtt::ReasonCode;
use thiserror::Error;

use crate::client::{Action, Client};
use crate::event::{Disconnection, Event, Token};
use crate::instant::Instant;
use crate::link::Link;
use crate::options::{Farewell, Options};
use crate::poll;
use crate::publication::Publication;
use crate::refusal::Refusal;
use crate::request::{Subscription, Unsubscription};
use crate::target::{Place, Target};

#[derive(Debug, Error)]
pub enum Error {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("cannot reach {place}: {source}")]
    Unreachable { place: Place, source: io::Error },
    #[error("the connection was lost: {0}")]
    Broken(io::Error),
    #[error("{0}")]
    Disconnected(Disconnection),
    #[error("the answer did not come within {0:?}")]
    TimedOut(Duration),
    #[error("a signal ended the wait")]
    Interrupted,
    #[error("waiting for the socket failed: {0}")]
    Poll(io::Error),
}

/// Sees the bytes of all connections as they pass.
pub trait Tap: std::fmt::Debug + Send {
    /// A new transport: what comes is the beginning of a packet.
    fn opened(&mut self);
    fn sent(&mut self, bytes: &[u8]);
    fn received(&mut self, bytes: &[u8]);
}

#[derive(Debug)]
pub struct Driver {
    client: Client,
    target: Target,
    link: Option<Link>,
    /// What keys of WebSocket are made of.
    chance: u64,
    origin: std::time::Instant,
    /// Events that came while a call waited for its own answer; older than all that the client still holds.
    aside: VecDeque<Event>,
    /// Why the transport could not be opened, or ended.
    transport_error: Option<io::Error>,
    tap: Option<Box<dyn Tap>>,
    buffer: Vec<u8>,
}

impl Driver {
    /// Connects and waits for the server's word. A first attempt that fails is an error even when the options say
    /// to reconnect. [`Event::Connected`] is then the first event.
    pub fn connect(target: Target, options: Options, seed: u64) -> Result<Driver, Error> {
        Driver::connect_with_tap(target, options, seed, None)
    }

    /// As [`Driver::connect`], with somebody who looks on.
    pub fn connect_with_tap(
        target: Target,
        options: Options,
        seed: u64,
        tap: Option<Box<dyn Tap>>,
    ) -> Result<Driver, Error> {
        let mut driver = Driver::start(target, options, seed)?;
        driver.tap = tap;
        let outcome = |event: &Event| matches!(event, Event::Connected { .. } | Event::Disconnected { .. });
        match driver.wait_for(Duration::MAX, outcome)? {
            Event::Disconnected { reason, .. } => Err(driver.error_of(reason)),
            connected => {
                driver.aside.push_back(connected);
                Ok(driver)
            }
        }
    }

    /// Begins to connect; the outcome is an event. Attempts are repeated as the options say.
    pub fn start(target: Target, options: Options, seed: u64) -> Result<Driver, Error> {
        let mut client = Client::new(options, seed)?;
        client.connect();
        Ok(Driver {
            client,
            target,
            link: None,
            chance: seed,
            origin: std::time::Instant::now(),
            aside: VecDeque::new(),
            transport_error: None,
            tap: None,
            buffer: vec![0; READ_BYTES],
        })
    }

    /// Hands a publication over without waiting; [`Event::Published`] is its end.
    pub fn publish(&mut self, publication: Publication) -> Result<Token, Error> {
        let token = self.client.publish(self.now(), publication)?;
        self.write();
        Ok(token)
    }

    /// Publishes and waits for the acknowledgement, through a reconnection if need be.
    pub fn publish_and_wait(
        &mut self,
        publication: Publication,
        timeout: Duration,
    ) -> Result<ReasonCode, Error> {
        let asked = self.publish(publication)?;
        match self
            .wait_for(timeout, |event| matches!(event, Event::Published { token, .. } if *token == asked))?
        {
            Event::Published { reason, .. } => Ok(reason),
            other => unreachable!("waited for a publication and got {other:?}"),
        }
    }

    pub fn subscribe(&mut self, subscription: Subscription) -> Result<Token, Error> {
        let token = self.client.subscribe(self.now(), subscription)?;
        self.write();
        Ok(token)
    }

    /// Subscribes and waits for the SUBACK: one reason per filter.
    pub fn subscribe_and_wait(
        &mut self,
        subscription: Subscription,
        timeout: Duration,
    ) -> Result<Vec<ReasonCode>, Error> {
        let asked = self.subscribe(subscription)?;
        match self
            .wait_for(timeout, |event| matches!(event, Event::Subscribed { token, .. } if *token == asked))?
        {
            Event::Subscribed { reasons, .. } => Ok(reasons),
            other => unreachable!("waited for a SUBACK and got {other:?}"),
        }
    }

    pub fn unsubscribe(&mut self, unsubscription: Unsubscription) -> Result<Token, Error> {
        let token = self.client.unsubscribe(self.now(), unsubscription)?;
        self.write();
        Ok(token)
    }

    /// Answers [`Event::Authenticate`].
    pub fn authenticate(&mut self, reason: ReasonCode, data: &[u8]) -> Result<(), Error> {
        self.client.authenticate(self.now(), reason, data)?;
        self.write();
        Ok(())
    }

    /// The next event. `None`: the time is over, or a signal came, whose handler may have something to say.
    pub fn next_event(&mut self, timeout: Duration) -> Result<Option<Event>, Error> {
        if let Some(event) = self.aside.pop_front() {
            return Ok(Some(event));
        }
        let begun = self.now();
        loop {
            if let Some(event) = self.client.poll_event() {
                return Ok(Some(event));
            }
            let left = timeout.saturating_sub(self.now().duration_since(begun));
            match self.step(left) {
                Ok(()) => {}
                Err(Error::Interrupted) => return Ok(None),
                Err(error) => return Err(error),
            }
            if left.is_zero() {
                return Ok(self.client.poll_event());
            }
        }
    }

    /// Ends the connection in order. [`Event::Disconnected`] follows.
    pub fn disconnect(&mut self, farewell: &Farewell) -> Result<(), Error> {
        self.client.disconnect(farewell)?;
        self.act();
        Ok(())
    }

    /// Ends the connection without a DISCONNECT, so that the server publishes the will.
    pub fn abort(&mut self) {
        self.client.abort();
        self.act();
    }

    /// Connects again after the connection ended for good.
    pub fn reconnect(&mut self) {
        self.client.connect();
    }

    /// The state of the protocol: what the server granted, what is unanswered, whether there is room.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The error that says why there is no connection, with what the operating system said about it.
    pub fn error_of(&mut self, reason: Disconnection) -> Error {
        match (reason, self.transport_error.take()) {
            (Disconnection::Unreachable, Some(source)) => {
                Error::Unreachable { place: self.target.place.clone(), source }
            }
            // TLS and WebSocket know more than that there is an end.
            (Disconnection::Lost, Some(source)) if source.kind() == io::ErrorKind::InvalidData => {
                Error::Broken(source)
            }
            (reason, _) => Error::Disconnected(reason),
        }
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// Puts all other events aside, in their order. How many there can be is bounded by the time.
    fn wait_for(&mut self, timeout: Duration, is_answer: impl Fn(&Event) -> bool) -> Result<Event, Error> {
        let begun = self.now();
        loop {
            while let Some(event) = self.client.poll_event() {
                if is_answer(&event) {
                    return Ok(event);
                }
                let ended = match &event {
                    Event::Disconnected { reason, reconnect_at: None } => Some(reason.clone()),
                    _ => None,
                };
                self.aside.push_back(event);
                if let Some(reason) = ended {
                    return Err(self.error_of(reason));
                }
            }
            let left = timeout.saturating_sub(self.now().duration_since(begun));
            if left.is_zero() {
                return Err(Error::TimedOut(timeout));
            }
            self.step(left)?;
        }
    }

    /// Does what is due and waits once, until the socket is ready, a deadline comes or the time is over.
    fn step(&mut self, timeout: Duration) -> Result<(), Error> {
        self.act();
        self.write();
        if self.client.has_event() {
            return Ok(());
        }
        let now = self.now();
        let until_deadline = self.client.next_deadline().map(|deadline| deadline.duration_since(now));
        let wait = until_deadline.map_or(timeout, |until| until.min(timeout));
        let has_unsent = self.link.as_ref().is_some_and(Link::has_unsent);
        let want_write = has_unsent || !self.client.output().is_empty();
        let has_input = self.link.as_ref().is_some_and(Link::has_input);
        let wait = if has_input { Duration::ZERO } else { wait };
        match poll::wait(self.link.as_ref(), want_write, wait) {
            // What arrived is read before a deadline is judged: a PINGRESP may be among it.
            Ok(is_readable) if is_readable || has_input => self.read(),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(Error::Interrupted),
            Err(error) => return Err(Error::Poll(error)),
        }
        self.client.handle_deadline(self.now());
        self.act();
        self.write();
        Ok(())
    }

    fn act(&mut self) {
        while let Some(action) = self.client.poll_action() {
            match action {
                Action::Open => self.open(),
                Action::Close => self.close(),
            }
        }
    }

    fn open(&mut self) {
        let chance = self.draw();
        match Link::open(&self.target, chance) {
            Ok(link) => {
                self.link = Some(link);
                self.transport_error = None;
                if let Some(tap) = &mut self.tap {
                    tap.opened();
                }
                self.client.handle_opened(self.now());
            }
            Err(error) => self.lose(error),
        }
    }

    fn lose(&mut self, error: io::Error) {
        self.link = None;
        self.transport_error = Some(error);
        self.client.handle_closed(self.now());
    }

    fn read(&mut self) {
        let Some(link) = &mut self.link else { return };
        match link.read(&mut self.buffer) {
            Ok(0) => self.lose(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                let now = self.now();
                if let Some(tap) = &mut self.tap {
                    tap.received(&self.buffer[..len]);
                }
                self.client.handle_bytes(now, &self.buffer[..len]);
            }
            Err(error) if is_transient(&error) => {}
            Err(error) => self.lose(error),
        }
    }

    /// Writes as much as the connection takes.
    fn write(&mut self) {
        if let Some(link) = self.link.as_mut().filter(|link| link.has_unsent())
            && let Err(error) = link.flush()
            && !is_transient(&error)
        {
            return self.read_last(error);
        }
        while let Some(link) = self.link.as_mut().filter(|_| !self.client.output().is_empty()) {
            match link.write(self.client.output()) {
                Ok(len) => self.consume_output(len),
                Err(error) if is_transient(&error) => return,
                Err(error) => return self.read_last(error),
            }
        }
    }

    /// The server may have said why before it closed: what it sent is still there to be read.
    fn read_last(&mut self, error: io::Error) {
        self.read();
        if self.link.is_some() {
            self.lose(error);
        }
    }

    fn consume_output(&mut self, len: usize) {
        if let Some(tap) = &mut self.tap {
            tap.sent(&self.client.output()[..len]);
        }
        self.client.consume_output(len);
    }

    /// Closes in a way that lets the DISCONNECT arrive: closing a socket that holds unread bytes resets the connection,
    /// and a reset overtakes what was written before it.
    fn close(&mut self) {
        let begun = std::time::Instant::now();
        let left = || CLOSE_PATIENCE.saturating_sub(begun.elapsed());
        self.write();
        let Some(mut link) = self.link.take() else { return };
        while !self.client.output().is_empty() && !left().is_zero() {
            match link.write(self.client.output()) {
                Ok(len) => self.consume_output(len),
                Err(error) if is_transient(&error) => _ = poll::wait(Some(&link), true, left()),
                Err(_) => return,
            }
        }
        link.say_farewell();
        while link.has_unsent() && !left().is_zero() {
            match link.flush() {
                Err(error) if is_transient(&error) => _ = poll::wait(Some(&link), true, left()),
                Err(_) => return,
                Ok(()) => {}
            }
        }
        if link.shutdown_write().is_err() {
            return;
        }
        while !left().is_zero() {
            match link.read(&mut self.buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if is_transient(&error) => _ = poll::wait(Some(&link), false, left()),
                Err(_) => return,
            }
        }
    }

    /// Different each time; nobody has to be surprised.
    fn draw(&mut self) -> [u8; 16] {
        self.chance = self.chance.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        let other = self.chance.rotate_left(32) ^ self.origin.elapsed().as_nanos() as u64;
        let mut drawn = [0; 16];
        drawn[..8].copy_from_slice(&self.chance.to_le_bytes());
        drawn[8..].copy_from_slice(&other.to_le_bytes());
        drawn
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

const READ_BYTES: usize = 64 * 1024;
// How long a close waits for the server to take the last bytes and to close its side.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);
