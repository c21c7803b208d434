//! The life of a connection as the broker must see it: CONNECT, CONNACK, takeover, end. Packets between are elsewhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mqtt::{Connack, ReasonCode, Version};
use shard::Instant;

use super::{
    Ledger, Oracle, SLACK,
    session::{Existence, Session},
};
use crate::said::{ConnectSaid, PublicationId, WillSaid};

#[cfg(test)]
mod tests;

#[derive(Debug)]
pub struct Connection {
    pub said: ConnectSaid,
    pub shard: usize,
    pub session: usize,
    pub expected: Existence,
    pub is_accepted: bool,
    /// The CONNECT has to be refused.
    pub is_refused: bool,
    pub ended: Option<End>,
    pub session_expiry_s: u32,
    /// QoS 1 and 2 messages sent on it and not finished.
    pub inflight: u32,
    pub aliases: BTreeMap<u16, String>,
    pub owed: Owed,
    pub subscribes: BTreeMap<u16, Vec<usize>>,
    /// Per filter: the subscriptions that end, and whether one had to exist.
    pub unsubscribes: BTreeMap<u16, Vec<(Vec<usize>, bool)>>,
    /// The step of its CONNECT.
    pub begun: u64,
    pub last_heard: Instant,
    /// Nothing that is sent from now on was encoded before.
    pub encoded_since: Instant,
    /// Nothing of what the last send left behind was encoded before.
    pub held_since: Instant,
    pub sent_at_step: u64,
    pub ended_at_step: u64,
    /// Where it resumed a session that had been without a connection.
    pub prior: Option<Prior>,
    /// The will that was waiting.
    pub prior_will: Option<WillSaid>,
    pub is_kicked: bool,
    /// The shard has paused it: what arrives is not looked at.
    pub is_stalled: bool,
    pub disconnect: Option<ReasonCode>,
}

/// What the broker still has to answer.
#[derive(Debug, Default)]
pub struct Owed {
    pub puback: BTreeMap<u16, PublicationId>,
    pub pubrec: BTreeMap<u16, PublicationId>,
    pub pubrel: BTreeSet<u16>,
    pub pubcomp: BTreeSet<u16>,
    pub pingresp: u32,
}

/// What holds of a session as if a connection had never taken it up.
#[derive(Debug, Clone, Copy)]
pub struct Prior {
    /// It does not end before.
    pub earliest: Instant,
    /// How long it lives without a connection, at least and at most.
    pub expiries: [Duration; 2],
}

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Disconnected,
    DisconnectedWithWill,
    TakenOver,
    /// The network or the peer, as the shard was told.
    Lost,
    /// The shard closed it.
    ByBroker,
    Shutdown,
}

impl Ledger {
    /// A CONNECT is whole at the home of its client.
    pub fn on_connect(&mut self, socket: usize, shard: usize, said: ConnectSaid, is_refused: bool) {
        let (now, step, client) = (self.now, self.step, said.client);
        let mut session = self.sessions.len();
        let mut expected = Existence::Absent;
        let (mut prior, mut prior_will) = (None, None);
        if !is_refused {
            // Who asks for an id is a new client to the broker, even before it knows its first one.
            let known = self.named.get(&said.client_id).copied();
            if let Some(known) = known {
                if let Some(old) = self.sessions[known].socket {
                    self.end_connection(old, End::TakenOver);
                }
                expected = self.sessions[known].existence(now);
                if said.clean_start || expected == Existence::Absent {
                    expected = Existence::Absent;
                    if self.sessions[known].ended.is_none() {
                        self.end_session(known);
                    }
                } else {
                    session = known;
                }
            }
            prior_will = known.and_then(|known| self.on_will_reconnect(known, expected));
            if session == self.sessions.len() {
                let first = known.map_or(session, |known| self.sessions[known].first);
                self.sessions.push(Session::new(client, first));
                if !said.client_id.is_empty() {
                    self.named.insert(said.client_id.clone(), session);
                }
            }
            let resumed = &mut self.sessions[session];
            resumed.socket = Some(socket);
            resumed.newest_socket = Some(socket);
            if let Some((at, since)) = resumed.offline.take() {
                let least = |expiry: Duration| resumed.expiry_min.map_or(expiry, |least| least.min(expiry));
                let ends = resumed.ends.take();
                prior = resumed.expiry.map(|expiry| Prior {
                    earliest: ends.map_or(at + least(expiry), |(early, _)| early.min(at + least(expiry))),
                    expiries: [least(expiry), expiry],
                });
                resumed.absences.push((since, step));
            }
            resumed.packet_size_min = resumed.packet_size_min.min(said.maximum_packet_size);
        }
        let connection = Connection {
            session_expiry_s: said.session_expiry_s,
            said,
            shard,
            // A refused connection has no session, not even the next one.
            session: if is_refused { usize::MAX } else { session },
            expected,
            is_accepted: false,
            is_refused,
            ended: None,
            inflight: 0,
            aliases: BTreeMap::new(),
            owed: Owed::default(),
            subscribes: BTreeMap::new(),
            unsubscribes: BTreeMap::new(),
            begun: step,
            last_heard: now,
            encoded_since: now,
            held_since: now,
            sent_at_step: 0,
            ended_at_step: 0,
            prior,
            prior_will,
            is_kicked: false,
            is_stalled: false,
            disconnect: None,
        };
        self.connections.insert(socket, connection);
    }

    pub fn on_connack(&mut self, socket: usize, connack: &Connack<'_>) {
        let Some(connection) = self.connections.get_mut(&socket) else {
            return self.fail(Oracle::Protocol, format!("socket {socket}: CONNACK without a CONNECT"));
        };
        if connection.is_accepted {
            return self.fail(Oracle::Protocol, format!("socket {socket}: a second CONNACK"));
        }
        let (expected, session, client) = (connection.expected, connection.session, connection.said.client);
        if connection.is_refused || connack.reason.is_error() {
            if connack.reason.is_error() != connection.is_refused {
                self.fail(Oracle::Protocol, format!("socket {socket}: CONNACK says {:?}", connack.reason));
            }
            return;
        }
        connection.is_accepted = true;
        let (heard, lives_on) = (connection.begun, connection.said.session_expiry_s > 0);
        if lives_on {
            self.check_promise(socket, heard, "a session that lives on is accepted");
        }
        self.check_assigned(socket, connack.properties.assigned_client_id);
        self.sessions[session].is_accepted = true;
        self.sessions[session].expiry_min = None;
        // 3.1 has no such flag: nobody can see which session it is where that is not clear.
        if self.connections[&socket].said.version == Version::V31 {
            if expected == Existence::Unclear {
                self.sessions[session].make_unclear(heard);
            }
            return;
        }
        match (expected, connack.session_present) {
            (Existence::Present, false) | (Existence::Absent, true) => {
                let present = connack.session_present;
                let what =
                    format!("client {client}, socket {socket}: session present {present}, not {expected:?}");
                self.fail(Oracle::SessionPresent, what);
            }
            (Existence::Unclear, false) => {
                self.end_session(session);
                let new = self.sessions.len();
                let mut replacement = Session::new(client, self.sessions[session].first);
                replacement.socket = Some(socket);
                replacement.newest_socket = Some(socket);
                replacement.is_accepted = true;
                self.sessions.push(replacement);
                let connection = self.connections.get_mut(&socket).expect("looked up above");
                connection.session = new;
                self.named.insert(connection.said.client_id.clone(), new);
            }
            _ => {}
        }
    }

    /// [MQTT-3.2.2-16] Who asks for a client id is told one that no other session has, and comes back under it.
    fn check_assigned(&mut self, socket: usize, assigned: Option<&str>) {
        let connection = &self.connections[&socket];
        let session = connection.session;
        let (has_no_id, is_v5) =
            (connection.said.client_id.is_empty(), connection.said.version == Version::V5);
        let is_elsewhere = |id| self.placement.client(id).index() != connection.shard;
        let has_it = |known: &usize| self.sessions[*known].existence(self.now) == Existence::Present;
        let wrong = match assigned {
            None if has_no_id && is_v5 => "it asked for a client id and was told none",
            Some(_) if !has_no_id => "assigned a client id and has one",
            Some(id) if is_elsewhere(id) => "assigned a client id that lives elsewhere",
            Some(id) if self.named.get(id).is_some_and(has_it) => "assigned the client id of another session",
            Some(id) => {
                self.named.insert(id.to_owned(), session);
                return;
            }
            None => return,
        };
        self.fail(Oracle::Content, format!("socket {socket}: {wrong}"));
    }

    /// A connection that can still say something to the broker.
    pub fn open_connection(&self, socket: usize) -> Option<&Connection> {
        self.connections
            .get(&socket)
            .filter(|connection| connection.ended.is_none() && !connection.is_refused)
    }

    pub fn connection(&self, socket: usize) -> Option<&Connection> {
        self.connections.get(&socket)
    }

    /// A packet of a connection was handled.
    pub fn on_heard(&mut self, socket: usize) {
        if let Some(connection) = self.connections.get_mut(&socket) {
            connection.last_heard = self.now;
        }
    }

    /// A shard has begun or ceased to leave a connection unread; it cannot hold silence against it.
    pub fn on_stall(&mut self, socket: usize, is_stalled: bool) {
        if let Some(connection) = self.connections.get_mut(&socket) {
            connection.is_stalled = is_stalled;
            connection.last_heard = self.now;
        }
    }

    pub fn on_kick(&mut self, socket: usize) {
        if let Some(connection) = self.connections.get_mut(&socket) {
            connection.is_kicked = true;
        }
    }

    pub fn on_client_disconnect(&mut self, socket: usize, with_will: bool, session_expiry_s: Option<u32>) {
        let Some(connection) = self.connections.get_mut(&socket) else { return };
        if let Some(expiry) = session_expiry_s {
            connection.session_expiry_s = expiry;
        }
        self.end_connection(socket, if with_will { End::DisconnectedWithWill } else { End::Disconnected });
    }

    /// The connection is over from this step on; only the first reason counts.
    pub fn end_connection(&mut self, socket: usize, end: End) {
        let (now, step) = (self.now, self.step);
        let Some(connection) = self.connections.get_mut(&socket) else { return };
        if connection.ended.is_some() {
            return;
        }
        connection.ended = Some(end);
        connection.ended_at_step = step;
        if connection.is_refused {
            return;
        }
        let session_index = connection.session;
        let expiry_s = connection.session_expiry_s;
        let will = connection.said.will;
        let shard = connection.shard;
        let is_unclear = connection.expected == Existence::Unclear && !connection.is_accepted;
        let begun = connection.begun;
        let session = &mut self.sessions[session_index];
        if is_unclear {
            session.make_unclear(begun);
        }
        if session.socket == Some(socket) {
            session.socket = None;
            session.offline = Some((now, step));
            session.expiry = (expiry_s != u32::MAX).then(|| Duration::from_secs(u64::from(expiry_s)));
            // The broker may have let go of it at any time since it was told to end.
            if (end == End::Shutdown || self.draining.contains(&shard))
                && let Some(expiry) = session.expiry
            {
                session.ends = Some((self.drained_at + expiry, now + expiry));
            }
            // [MQTT-3.1.2-23] A session without an expiry interval ends with its connection.
            if expiry_s == 0 {
                self.end_session(session_index);
            }
        }
        if let Some(will) = will {
            self.on_will_trigger(session_index, will, end, expiry_s, socket);
        }
    }

    /// A shard closes a connection: somebody must have given a reason.
    pub fn on_broker_close(&mut self, socket: usize) {
        let Some(connection) = self.connections.get(&socket) else { return };
        let quiet_for = self.now.since(connection.last_heard);
        let keep_alive = Duration::from_millis(u64::from(connection.said.keep_alive_s) * 1500);
        let is_silent = connection.said.keep_alive_s > 0 && quiet_for >= keep_alive;
        let has_reason = connection.ended.is_some()
            || connection.is_refused
            || connection.is_kicked
            || is_silent
            || self.draining.contains(&connection.shard)
            || self.is_store_failed(connection.shard);
        if !has_reason {
            let what = format!(
                "socket {socket} of client {}: closed without a reason (DISCONNECT {:?}, last heard {quiet_for:?} ago)",
                connection.said.client, connection.disconnect
            );
            self.fail(Oracle::Closed, what);
        }
        let connection = &self.connections[&socket];
        let is_told = self.draining.contains(&connection.shard);
        if connection.ended == Some(End::TakenOver)
            && connection.said.version == Version::V5
            && connection.is_accepted
            && connection.disconnect.is_some_and(|reason| reason != ReasonCode::SessionTakenOver)
        {
            self.fail(
                Oracle::Content,
                format!("socket {socket}: taken over, told {:?}", connection.disconnect),
            );
        }
        self.end_connection(socket, if is_told { End::Shutdown } else { End::ByBroker });
    }

    /// [MQTT-3.14.0-1] The broker tells a 5.0 client why it ends the connection, where the socket takes it.
    pub fn check_told(&mut self, socket: usize, is_sending: bool) {
        let Some(connection) = self.connections.get(&socket) else { return };
        // The socket never took what was sent before the end, or what waited for the store then: there was no room for a last
        // word.
        if is_sending && (self.has_store || connection.sent_at_step < connection.ended_at_step) {
            return;
        }
        let is_owed = matches!(connection.ended, Some(End::TakenOver | End::ByBroker | End::Shutdown));
        let is_v5 = connection.said.version == Version::V5 && connection.is_accepted;
        // Who waits for a store that has failed is told nothing at all.
        let is_owed = is_owed && !self.is_store_failed(connection.shard);
        if is_owed && is_v5 && connection.disconnect.is_none() {
            let what = format!("socket {socket}: closed ({:?}) without a DISCONNECT", connection.ended);
            self.fail(Oracle::Protocol, what);
        }
    }

    /// Connections that the keep-alive should have ended by now.
    pub fn overdue_keep_alive(&self) -> Option<usize> {
        let is_overdue = |connection: &Connection| {
            let limit = Duration::from_millis(u64::from(connection.said.keep_alive_s) * 1500) + SLACK;
            connection.ended.is_none()
                && !connection.is_stalled
                && connection.said.keep_alive_s > 0
                && self.now.since(connection.last_heard) > limit + SLACK
        };
        self.connections.iter().find(|(_, connection)| is_overdue(connection)).map(|(socket, _)| *socket)
    }

    /// Which session a socket speaks for; a client compares it with the one that it remembers.
    pub fn session_of(&self, socket: usize) -> Option<usize> {
        self.connections.get(&socket).map(|connection| connection.session)
    }
}
