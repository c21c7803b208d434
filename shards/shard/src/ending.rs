//! How connections and sessions end.

use mqtt::{Disconnect, Packet, ReasonCode, Version, Violation};

use crate::{
    Cause, ConnId, Effect, IS_WATCHED, Instant, Note, Reading, Shard, What,
    connection::{Hearing, Stage},
    keys::SessionKey,
    receive::protocol_error,
    shard::Deadline,
    store::entry::SessionId,
    turn::Turn,
};

/// What the end of a connection means for the will.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WillFate {
    /// At once, or when its delay has passed. [MQTT-3.1.2-8]
    Publish,
    /// [MQTT-3.14.4-3]
    Discard,
}

impl Shard {
    /// Ends a connection that is still open: tells a 5.0 client why, lets what is in the outbox go out, then closes.
    pub(crate) fn end_connection(
        &mut self,
        conn: ConnId,
        say: Option<(ReasonCode, &'static str)>,
        what: What,
        will: WillFate,
        turn: &mut Turn<'_>,
    ) {
        let Some(connection) = self.connections.get(conn) else { return };
        if connection.stage == Stage::Closing {
            return;
        }
        let version = connection.version;
        let session = connection.session();
        let client_id = session.map(|session| self.sessions[session].client_id.clone());
        self.note_departure(conn, &what, turn.now);
        self.note_refusal(&what, turn.now);
        let user = self.user_at(conn);
        turn.push(Effect::Note(Note { conn: Some(conn), client_id, user, what }));
        // [MQTT-3.14.0-1] A DISCONNECT only after a CONNACK.
        if let (Some((reason, why)), Some(_), Version::V5) = (say, session, version) {
            self.say_goodbye(conn, reason, why, turn);
        }
        self.begin_closing(conn, turn);
        if let Some(session) = session {
            self.note_author(session);
            self.detach(session, will, turn);
        }
    }

    pub(crate) fn say_goodbye(
        &mut self,
        conn: ConnId,
        reason: ReasonCode,
        why: &'static str,
        turn: &mut Turn<'_>,
    ) {
        let server_reference = match reason {
            ReasonCode::UseAnotherServer | ReasonCode::ServerMoved => self.config.server_reference.clone(),
            _ => None,
        };
        let disconnect = Disconnect {
            reason,
            session_expiry_interval_s: None,
            reason_string: Some(why),
            server_reference: server_reference.as_deref(),
            ..Disconnect::default()
        };
        self.reply(conn, &Packet::Disconnect(disconnect), turn);
    }

    /// The connection takes nothing in any more; what it still has to send goes with the next flush.
    pub(crate) fn begin_closing(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        self.keep_spent(conn, turn.now);
        self.note_leaver(conn);
        self.release_receiving(conn);
        let Some(connection) = self.connections.get_mut(conn) else { return };
        connection.stage = Stage::Closing;
        if connection.is_stalled() {
            connection.hearing = Hearing::Heard;
            self.stalled.remove(conn);
        }
        self.counters.connections_closed += 1;
        if connection.sending {
            // The socket has not taken the last bytes; it may never do so.
            turn.push(Effect::Read { conn, reading: Reading::Paused });
            self.timers.insert(turn.now.add_secs(LINGER_S), Deadline::Linger(conn));
        } else {
            self.mark_dirty(conn);
        }
    }

    pub(crate) fn on_linger_deadline(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get(conn) else { return };
        if connection.stage == Stage::Closing {
            self.forget_connection(conn, turn);
            turn.push(Effect::Close { conn });
        }
    }

    pub(crate) fn handle_closed(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        self.hear_out(conn, turn);
        if self.connections.get(conn).is_some_and(|connection| connection.stage != Stage::Closing) {
            self.keep_spent(conn, turn.now);
        }
        if let Some(session) = self.connections.get(conn).and_then(|connection| connection.session()) {
            self.note_author(session);
            self.note_departure(conn, &network_closed(), turn.now);
        }
        let user = self.user_at(conn);
        let Some(connection) = self.forget_connection(conn, turn) else { return };
        let stage = connection.stage;
        if stage == Stage::Closing {
            return;
        }
        self.counters.connections_closed += 1;
        let session = match stage {
            Stage::Connected(session) => Some(session),
            Stage::Opened | Stage::Asking | Stage::Closing => None,
        };
        let client_id = session.map(|session| self.sessions[session].client_id.clone());
        turn.push(Effect::Note(Note { conn: Some(conn), client_id, user, what: network_closed() }));
        if let Some(session) = session {
            self.detach(session, WillFate::Publish, turn);
        }
    }

    pub(crate) fn handle_kick(&mut self, conn: ConnId, reason: ReasonCode, turn: &mut Turn<'_>) {
        let why = "ended by the operator";
        self.end_connection(
            conn,
            Some((reason, why)),
            What::Disconnected { reason, why: why.into() },
            WillFate::Publish,
            turn,
        );
    }

    pub(crate) fn on_disconnect(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        disconnect: &Disconnect<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        if disconnect.server_reference.is_some() {
            return Err(protocol_error("Server Reference in a DISCONNECT of a client"));
        }
        if let Some(expiry_s) = disconnect.session_expiry_interval_s {
            let session = &mut self.sessions[session];
            if session.expiry_s == 0 && expiry_s != 0 {
                return Err(protocol_error(
                    "a session expiry interval that was 0 cannot be raised in DISCONNECT",
                ));
            }
            session.expiry_s = expiry_s.min(self.config.limits.session_expiry_s_max);
        }
        let will = match disconnect.reason {
            ReasonCode::Success => WillFate::Discard,
            _ => WillFate::Publish,
        };
        let what = What::Disconnected { reason: disconnect.reason, why: "the client disconnected".into() };
        self.end_connection(conn, None, what, will, turn);
        Ok(())
    }

    /// The session goes on without a connection, for as long as it is to live.
    fn detach(&mut self, key: SessionKey, will: WillFate, turn: &mut Turn<'_>) {
        let keeps_qos0 = self.config.queue_qos0;
        let session = &mut self.sessions[key];
        self.totals.connected -= usize::from(session.conn.take().is_some());
        if will == WillFate::Discard {
            self.totals.will_bytes -= session.will.take().map_or(0, |will| will.message.weight());
        }
        if !keeps_qos0 && session.outbound.is_some() {
            let dropped = self.with_outbound(key, |outbound, _| outbound.queue.drop_qos0());
            for popped in &dropped {
                self.lose_popped(key, Cause::OfflineQos0, popped, turn.now);
            }
        }
        self.sessions[key].rest();
        self.retreat(key);
        self.interrupt_replays(key);
        self.begin_absence(key, turn);
        if !self.is_over(key, turn.now) {
            self.tell_groups(key, false);
        }
        self.on_session_due(key, turn);
    }

    /// From now on runs the time after which the session ends, and its will is due.
    pub(crate) fn begin_absence(&mut self, key: SessionKey, turn: &Turn<'_>) {
        let session = &mut self.sessions[key];
        let expiry_s = session.expiry_s;
        if expiry_s != u32::MAX {
            session.ends_at = Some(turn.now.add_secs(u64::from(expiry_s)));
        }
        if let Some(will) = session.will.as_mut() {
            will.due_at = Some(turn.now.add_secs(u64::from(will.delay_s)));
        }
        self.keep_detached(key);
    }

    pub(crate) fn on_session_deadline(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let armed = self.sessions.armed(key);
        // Overtaken by an earlier one that has been set again.
        if armed.is_some_and(|armed| armed > turn.now) {
            return;
        }
        *armed = None;
        let Some(session) = self.sessions.get(key) else { return };
        // Many may end in the same second.
        if self.clearing.is_spent() && session.ends_at.is_some_and(|at| at <= turn.now) {
            self.arm_session(key, turn.next_instant(), turn);
        } else {
            self.on_session_due(key, turn);
        }
    }

    /// Does what time has brought about; sets the timer for what is next.
    pub(crate) fn on_session_due(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        if self.is_left_to_the_next_start(key) {
            return;
        }
        let session = &self.sessions[key];
        if self.is_over(key, turn.now) {
            self.counters.sessions_expired += u64::from(session.expiry_s > 0);
            if session.expiry_s > 0 {
                let client_id = Some(session.client_id.clone());
                let what = What::SessionExpired;
                turn.push(Effect::Note(Note { conn: None, client_id, user: None, what }));
            }
            let is_over = self.sessions[key].expiry_s > 0;
            let why =
                if is_over { "nobody came back in time" } else { "it was to last as long as its connection" };
            self.end_session(key, why, turn);
            return;
        }
        if session.will.as_ref().and_then(|will| will.due_at).is_some_and(|at| at <= turn.now) {
            self.publish_will(key, turn);
        }
        self.drop_expired(key, turn);
        let Some(due_at) = self.sessions[key].due_at() else { return };
        self.arm_session(key, due_at, turn);
    }

    /// With its end a session would lose the will that a server that shuts down keeps.
    fn is_left_to_the_next_start(&self, key: SessionKey) -> bool {
        let session = &self.sessions[key];
        self.drain.has_begun() && session.id != SessionId::default() && session.will.is_some()
    }

    fn is_over(&self, key: SessionKey, now: Instant) -> bool {
        self.sessions[key].ends_at.is_some_and(|at| at <= now) && !self.is_left_to_the_next_start(key)
    }

    /// Timers cannot be taken back: none reaches so far ahead that those of sessions that are gone pile up.
    pub(crate) fn arm_session(&mut self, key: SessionKey, due_at: Instant, turn: &mut Turn<'_>) {
        // A will, for one, would not find all whom it is for. All of them are armed then.
        if self.announcements.is_restoring {
            return;
        }
        // What is due now and not done is for the next tick.
        let at = due_at.max(turn.next_instant()).min(turn.now.add_secs(SESSION_LOOK_S));
        let armed = self.sessions.armed(key);
        if armed.is_none_or(|armed| at < armed) {
            *armed = Some(at);
            self.timers.insert(at, Deadline::Session(key));
        }
    }

    /// [MQTT-3.1.2-8] The end of the session brings out a will whose delay is still running.
    pub(crate) fn end_session(&mut self, key: SessionKey, why: &'static str, turn: &mut Turn<'_>) {
        assert!(self.sessions[key].conn.is_none(), "a session ends only after its connection");
        self.end_in_groups(key);
        self.publish_will(key, turn);
        self.drop_replays(key);
        self.clearing.spend(ENDED_SESSION_WEIGHT);
        let mut session = self.sessions.remove(key);
        if IS_WATCHED {
            self.departures.end(&session.client_id, why, session.recorder.take(), turn.now);
        }
        if let Some(outbound) = &session.outbound {
            let counted = self.lose_all(&session.client_id, outbound, turn.now);
            self.clearing.spend(outbound.messages() * ENDED_MESSAGE_WEIGHT + counted * ENDED_TOPIC_WEIGHT);
        }
        self.keep_session_gone(&session);
        self.end_handshakes(key, session.id, turn);
        self.totals.session_bytes -= session.client_id.len();
        self.totals.will_bytes -= session.will.map_or(0, |will| will.message.weight());
        if let Some(outbound) = session.outbound {
            self.totals.queued_messages -= outbound.queue.len();
            self.totals.inflight_messages -= outbound.inflight.publishes();
            self.totals.queued_bytes -= outbound.weight();
            self.totals.queued_away_bytes -= outbound.queue.away_bytes();
        }
        self.clear(key, session.filters, turn);
    }
}

fn network_closed() -> What {
    What::Disconnected { reason: ReasonCode::UnspecifiedError, why: NETWORK_CLOSED.into() }
}

/// Of a connection that nobody has ended by a word. MQTT has no reason for that.
pub const NETWORK_CLOSED: &str = "the network connection was closed";

/// What the end of a session costs beside its filters, and beside that each message that it loses, and each entry of these in the ledger:
/// as many bytes of filters take as long.
const ENDED_SESSION_WEIGHT: usize = 1024;
const ENDED_MESSAGE_WEIGHT: usize = 16;
const ENDED_TOPIC_WEIGHT: usize = 128;

/// A look at each session without a connection comes at least so often.
const SESSION_LOOK_S: u64 = 3600;

/// How long a connection that ends may take for its last bytes.
pub(crate) const LINGER_S: u64 = 5;
