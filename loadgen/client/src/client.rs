//! The client as a state machine: one event at a time goes in, and after each one everything that may be sent is.
//!
//! What outlives a connection is in `outbound`, `inbound` and `request`; this file is the life of the connections:
//! opening, CONNECT and CONNACK, keep-alive, the ways in which they end, and when the next one is due.

mod receive;

use std::collections::VecDeque;
use std::time::Duration;

use mqtt::{Auth, Packet, QoS, ReasonCode, Version, Violation};

use crate::backoff::Backoff;
use crate::event::{Disconnection, Event, Token};
use crate::granted::Granted;
use crate::inbound::Inbound;
use crate::instant::Instant;
use crate::options::{Farewell, Options};
use crate::outbound::Outbound;
use crate::outlet::Outlet;
use crate::packet_id::PacketIds;
use crate::publication::Publication;
use crate::refusal::{Refusal, check_binary};
use crate::request::{Request, Requests, Subscription, Unsubscription};

/// What the owner of the transport has to do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a transport to the server, then call [`Client::handle_opened`], or [`Client::handle_closed`] if there is
    /// none to be had.
    Open,
    /// Write what [`Client::output`] still holds, then close the transport. Nothing is called afterwards: the client
    /// knows that this connection is over.
    Close,
}

#[derive(Debug)]
pub struct Client {
    options: Options,
    state: State,
    outbound: Outbound,
    inbound: Inbound,
    requests: Requests,
    packet_ids: PacketIds,
    outlet: Outlet,
    /// Bytes of a packet that has not arrived in full.
    input: Vec<u8>,
    /// A close, an opening, or both in this order: never more.
    actions: VecDeque<Action>,
    backoff: Backoff,
    /// Present once a server assigned one.
    assigned_client_id: Option<String>,
    was_connected: bool,
    next_token: u64,
}

#[derive(Debug)]
enum State {
    Offline,
    Waiting { until: Instant },
    Opening,
    Greeting { deadline: Instant, clean_start: bool },
    Online(Box<Online>),
}

#[derive(Debug)]
struct Online {
    granted: Granted,
    since: Instant,
    sent_at: Instant,
    received_at: Instant,
    /// Present while a PINGRESP is awaited.
    ping_deadline: Option<Instant>,
}

// What the user asks for.
impl Client {
    /// A client that is offline. The seed decides the jitter of its waits between attempts.
    pub fn new(options: Options, seed: u64) -> Result<Client, Refusal> {
        options.check()?;
        let inbound = Inbound::new(
            options.receive_maximum.unwrap_or(u16::MAX),
            options.topic_alias_maximum.filter(|_| options.version == Version::V5).unwrap_or(0),
        );
        Ok(Client {
            outlet: Outlet::new(options.version),
            options,
            state: State::Offline,
            outbound: Outbound::new(),
            inbound,
            requests: Requests::default(),
            packet_ids: PacketIds::default(),
            input: Vec::new(),
            actions: VecDeque::new(),
            backoff: Backoff::new(seed),
            assigned_client_id: None,
            was_connected: false,
            next_token: 0,
        })
    }

    /// Asks for a connection at once, also while the next attempt is being waited for.
    pub fn connect(&mut self) {
        if matches!(self.state, State::Offline | State::Waiting { .. }) {
            self.open();
        }
    }

    /// QoS 1 and 2 are taken at any time and sent when there is a connection and room in the server's quota.
    pub fn publish(&mut self, now: Instant, publication: Publication) -> Result<Token, Refusal> {
        publication.check()?;
        if let State::Online(online) = &self.state {
            online.granted.check(&publication).map_err(Refusal::Unsupported)?;
        }
        self.check_room(publication.qos)?;
        let token = self.take_token();
        let sent_before = self.outlet.output.len();
        if publication.qos == QoS::AtMostOnce {
            let State::Online(online) = &self.state else { return Err(Refusal::NotConnected) };
            self.outbound.send_at_most_once(token, &publication, &online.granted, &mut self.outlet);
        } else {
            self.outbound.enqueue(token, publication);
        }
        self.settle(now, sent_before);
        Ok(token)
    }

    pub fn subscribe(&mut self, now: Instant, subscription: Subscription) -> Result<Token, Refusal> {
        subscription.check()?;
        self.request(now, Request::Subscribe(subscription))
    }

    pub fn unsubscribe(&mut self, now: Instant, unsubscription: Unsubscription) -> Result<Token, Refusal> {
        unsubscription.check()?;
        self.request(now, Request::Unsubscribe(unsubscription))
    }

    /// The next step of an enhanced authentication, or with `Reauthenticate` the first of another one.
    pub fn authenticate(&mut self, now: Instant, reason: ReasonCode, data: &[u8]) -> Result<(), Refusal> {
        check_binary("authentication data", data)?;
        if !matches!(self.state, State::Greeting { .. } | State::Online(_)) {
            return Err(Refusal::NotConnected);
        }
        let auth = Auth {
            reason,
            method: self.options.authentication_method.as_deref(),
            data: Some(data),
            reason_string: None,
            user_properties: mqtt::UserProperties::default(),
        };
        let sent_before = self.outlet.output.len();
        auth.encode(self.options.version, &mut self.outlet.output);
        self.settle(now, sent_before);
        Ok(())
    }

    /// Ends the connection in order. The session of this client stays: what is unacknowledged is sent again after
    /// the next [`Client::connect`].
    pub fn disconnect(&mut self, farewell: &Farewell) -> Result<(), Refusal> {
        farewell.check()?;
        if matches!(self.state, State::Online(_)) {
            farewell.encode(self.options.version, &mut self.outlet.output);
        }
        self.abort();
        Ok(())
    }

    /// Ends the connection without a DISCONNECT, as a crash would: the server publishes the will.
    pub fn abort(&mut self) {
        let has_transport = match self.state {
            State::Offline => return,
            State::Waiting { .. } => false,
            State::Opening | State::Greeting { .. } | State::Online(_) => true,
        };
        self.leave(has_transport);
        self.outlet.report(Event::Disconnected { reason: Disconnection::Requested, reconnect_at: None });
    }

    /// Whether a publication of this QoS would find room now.
    pub fn has_room(&self, qos: QoS) -> bool {
        self.check_room(qos).is_ok()
    }

    /// How many publications have not been answered: those in flight and those that wait.
    pub fn unanswered_len(&self) -> usize {
        self.outbound.in_flight_len() + self.outbound.waiting_len()
    }

    pub fn is_online(&self) -> bool {
        matches!(self.state, State::Online(_))
    }

    /// What the server of the present connection granted.
    pub fn granted(&self) -> Option<&Granted> {
        match &self.state {
            State::Online(online) => Some(&online.granted),
            State::Offline | State::Waiting { .. } | State::Opening | State::Greeting { .. } => None,
        }
    }

    pub fn options(&self) -> &Options {
        &self.options
    }

    fn check_room(&self, qos: QoS) -> Result<(), Refusal> {
        if qos != QoS::AtMostOnce {
            let limit = self.options.queue_max;
            return if self.outbound.waiting_len() < limit {
                Ok(())
            } else {
                Err(Refusal::QueueFull { limit })
            };
        }
        if !self.is_online() {
            return Err(Refusal::NotConnected);
        }
        let limit = self.options.output_bytes_max;
        if self.outlet.output.len() < limit { Ok(()) } else { Err(Refusal::OutputFull { limit }) }
    }

    fn request(&mut self, now: Instant, request: Request) -> Result<Token, Refusal> {
        let limit = self.options.requests_max;
        if self.requests.len() >= limit {
            return Err(Refusal::RequestsFull { limit });
        }
        let token = self.take_token();
        let sent_before = self.outlet.output.len();
        self.requests.push(token, request);
        self.settle(now, sent_before);
        Ok(token)
    }

    fn take_token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }
}

// What the owner of the transport tells and asks.
impl Client {
    /// The transport is open: CONNECT is the first packet on it.
    pub fn handle_opened(&mut self, now: Instant) {
        assert!(matches!(self.state, State::Opening), "a transport is opened only when it was asked for");
        self.input.clear();
        self.outlet.output.clear();
        // A later connection takes up the session of the one before, unless that cannot be there any more.
        let clean_start =
            self.options.clean_start && !(self.was_connected && self.options.session_outlives_connection());
        let client_id = self.assigned_client_id.as_deref().unwrap_or(&self.options.client_id);
        self.options.encode_connect(client_id, clean_start, &mut self.outlet.output);
        self.state = State::Greeting { deadline: now + self.options.answer_timeout, clean_start };
    }

    /// The transport is gone, or could not be opened.
    pub fn handle_closed(&mut self, now: Instant) {
        let reason = match self.state {
            State::Offline | State::Waiting { .. } => return,
            State::Opening => Disconnection::Unreachable,
            State::Greeting { .. } | State::Online(_) => Disconnection::Lost,
        };
        self.end(now, reason, false);
    }

    /// Bytes from the server, in any pieces.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if !matches!(self.state, State::Greeting { .. } | State::Online(_)) {
            return;
        }
        let sent_before = self.outlet.output.len();
        if let State::Online(online) = &mut self.state {
            online.received_at = now;
        }
        let mut input = std::mem::take(&mut self.input);
        input.extend_from_slice(bytes);
        match self.handle_frames(now, &input) {
            Ok(taken) => {
                input.drain(..taken);
                self.input = input;
            }
            Err(violation) => self.reject(now, violation),
        }
        self.settle(now, sent_before);
    }

    /// To be called at [`Client::next_deadline`] or later; calling it too early does nothing.
    pub fn handle_deadline(&mut self, now: Instant) {
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &mut self.state {
            State::Offline | State::Opening => {}
            State::Waiting { .. } => self.open(),
            State::Greeting { .. } => self.end(now, Disconnection::NoAnswer("CONNACK"), true),
            State::Online(online) if online.ping_deadline.is_some() => {
                self.end(now, Disconnection::NoAnswer("PINGRESP"), true);
            }
            State::Online(online) => {
                online.ping_deadline = Some(now + self.options.answer_timeout);
                let sent_before = self.outlet.output.len();
                Packet::Pingreq.encode(self.options.version, &mut self.outlet.output);
                self.settle(now, sent_before);
            }
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Offline | State::Opening => None,
            State::Waiting { until } => Some(*until),
            State::Greeting { deadline, .. } => Some(*deadline),
            State::Online(online) => online.ping_deadline.or_else(|| online.ping_due()),
        }
    }

    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.outlet.events.pop_front()
    }

    pub fn has_event(&self) -> bool {
        !self.outlet.events.is_empty()
    }

    /// What is to be written to the transport.
    pub fn output(&self) -> &[u8] {
        &self.outlet.output
    }

    /// The first `len` bytes of [`Client::output`] are written.
    pub fn consume_output(&mut self, len: usize) {
        self.outlet.output.drain(..len);
    }
}

// How connections begin, go on and end.
impl Client {
    fn open(&mut self) {
        self.state = State::Opening;
        self.actions.push_back(Action::Open);
    }

    /// Ends every event: what may be sent now is sent, and the keep-alive knows of it.
    fn settle(&mut self, now: Instant, sent_before: usize) {
        let State::Online(online) = &mut self.state else { return };
        self.requests.send(&online.granted, &mut self.packet_ids, &mut self.outlet);
        let quota = online.granted.receive_maximum.min(self.options.in_flight_max);
        self.outbound.send(&online.granted, usize::from(quota), &mut self.packet_ids, &mut self.outlet);
        if self.outlet.output.len() > sent_before {
            online.sent_at = now;
        }
    }

    /// The server is at fault. 5.0 has a packet to say so, once there is a connection to say it on.
    fn reject(&mut self, now: Instant, violation: Violation) {
        if self.options.version == Version::V5 && self.is_online() {
            let farewell = Farewell { reason: violation.reason, ..Farewell::default() };
            farewell.encode(Version::V5, &mut self.outlet.output);
        }
        self.end(now, Disconnection::Violated(violation), true);
    }

    fn end(&mut self, now: Instant, reason: Disconnection, has_transport: bool) {
        let policy = self.options.reconnect;
        if let (State::Online(online), Some(policy)) = (&self.state, &policy) {
            // Not at the CONNACK: a server that accepts and then drops at once would be asked without a pause.
            if now.duration_since(online.since) >= policy.max {
                self.backoff.reset();
            }
        }
        self.leave(has_transport);
        let wait = policy.filter(|_| !reason.is_final()).map(|policy| self.backoff.next(&policy));
        let reconnect_at = wait.map(|wait| now + wait);
        if let Some(until) = reconnect_at {
            self.state = State::Waiting { until };
        }
        self.outlet.report(Event::Disconnected { reason, reconnect_at });
    }

    fn leave(&mut self, has_transport: bool) {
        self.state = State::Offline;
        if self.actions.back() == Some(&Action::Open) {
            // Nobody has begun to open it: there is nothing to close.
            self.actions.pop_back();
        } else if has_transport {
            self.actions.push_back(Action::Close);
        }
        self.input.clear();
        if !has_transport {
            self.outlet.output.clear();
        }
    }
}

impl Online {
    // Both directions count: a client that only sends would otherwise never learn that nobody hears it. The margin
    // keeps the ping, which waits for its turn like everything else, within the interval that the server measures.
    fn ping_due(&self) -> Option<Instant> {
        let keep_alive = self.granted.keep_alive;
        let quietest = self.sent_at.min(self.received_at);
        (keep_alive > Duration::ZERO).then(|| quietest + (keep_alive - keep_alive / KEEP_ALIVE_MARGIN))
    }
}

// An eighth of the keep-alive is left for the ping to get to the server.
const KEEP_ALIVE_MARGIN: u32 = 8;
