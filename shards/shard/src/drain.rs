//! The orderly end: nothing more comes in, what is under way between shards arrives, then every client is told.

use mqtt::{ReasonCode, Version};

use crate::{
    ConnId, Effect, Mail, Reading, Shard, ShardId, ShardSet,
    connection::{Connection, Stage},
    ending::LINGER_S,
    shard::Deadline,
    turn::Turn,
};

#[derive(Default)]
pub(crate) struct Drain {
    stage: Phase,
    /// Shards whose mail is complete.
    heard: ShardSet,
}

#[derive(Default, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    #[default]
    Serving,
    /// Nothing is read any more; our own mail is on its way out.
    Begun,
    /// The other shards know that nothing more comes from here.
    Told,
    /// Connections are being closed.
    Closing,
    Done,
}

impl Drain {
    pub fn has_begun(&self) -> bool {
        self.stage != Phase::Serving
    }

    /// The runtime was told: nothing may be left to do from here on.
    pub fn is_over(&self) -> bool {
        self.stage == Phase::Done
    }
}

impl Shard {
    pub(crate) fn handle_drain(&mut self, turn: &mut Turn<'_>) {
        if self.drain.has_begun() {
            return;
        }
        self.drain.stage = Phase::Begun;
        for conn in self.connections.ids() {
            turn.push(Effect::Read { conn, reading: Reading::Paused });
        }
        self.check_drained(turn);
    }

    pub(crate) fn on_draining(&mut self, from: ShardId, turn: &mut Turn<'_>) {
        self.drain.heard.insert(from);
        self.check_drained(turn);
    }

    /// Goes on to the next phase as soon as the last one is complete.
    pub(crate) fn check_drained(&mut self, turn: &mut Turn<'_>) {
        let owes_nothing = self.confirmations.owes_nothing() || self.has_store_failed();
        if self.drain.stage == Phase::Begun && self.post.is_empty() && owes_nothing {
            self.drain.stage = Phase::Told;
            for peer in self.peers() {
                self.post_mail(peer, Mail::Draining, turn);
            }
        }
        let all_heard = self.drain.heard.len() + 1 == usize::from(self.config.shards);
        if self.drain.stage == Phase::Told && all_heard && self.post.is_empty() {
            self.drain.stage = Phase::Closing;
            self.timers.insert(turn.now.add_secs(LINGER_S), Deadline::Drain);
        }
        if self.drain.stage == Phase::Closing {
            self.close_ready(turn);
            if self.connections.len() == 0 && self.store.is_idle() {
                self.drain.stage = Phase::Done;
                self.count_on(turn);
                turn.push(Effect::Drained);
            }
        }
    }

    /// Lets go of those whose sockets have taken nothing since the last look.
    pub(crate) fn on_drain_deadline(&mut self, turn: &mut Turn<'_>) {
        for conn in self.connections.ids() {
            let since = |connection: &Connection| turn.now.since(connection.heard_at).as_secs();
            if self.connections.get(conn).is_some_and(|connection| since(connection) >= LINGER_S) {
                self.close_for_drain(conn, turn);
            }
        }
        if self.connections.len() > 0 {
            self.timers.insert(turn.now.add_secs(LINGER_S), Deadline::Drain);
        }
    }

    /// Closes those whose sockets have room for all that may still be sent to them; the others are looked at again when
    /// theirs have taken more.
    fn close_ready(&mut self, turn: &mut Turn<'_>) {
        let outbox_bytes_max = self.config.limits.outbox_bytes_max;
        let is_behind = |connection: &Connection| {
            connection.session().is_some() && connection.unsent_bytes() >= outbox_bytes_max
        };
        for conn in self.connections.ids() {
            if self.connections.get(conn).is_some_and(|connection| !is_behind(connection)) {
                self.close_for_drain(conn, turn);
            }
        }
    }

    /// Wills stay with their sessions: a server that shuts down may defer them to its restart (5.0, section 3.1.2.5).
    fn close_for_drain(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get(conn) else { return };
        if connection.stage == Stage::Closing {
            return;
        }
        let (session, version) = (connection.session(), connection.version);
        if session.is_some() && version == Version::V5 {
            let (reason, why) = match self.config.server_reference {
                Some(_) => {
                    (ReasonCode::UseAnotherServer, "the server is shutting down; another takes its place")
                }
                None => (ReasonCode::ServerShuttingDown, "the server is shutting down"),
            };
            self.say_goodbye(conn, reason, why, turn);
        }
        self.begin_closing(conn, turn);
        // [MQTT-3.14.4-1] Nothing follows the DISCONNECT.
        if let Some(session) = session {
            self.totals.connected -= usize::from(self.sessions[session].conn.take().is_some());
            self.begin_absence(session, turn);
        }
    }
}
