//! Who is it? A CONNECT waits until somebody has said, with whatever follows it, and is taken up again as if it had just come.
//!
//! Until the answer the client is not read. In enhanced authentication it has its turn in between: then only its AUTH is taken.
//! What a connected client renews is in `renewing.rs`.

use std::{borrow::Cow, sync::Arc};

use mqtt::{Auth, Connect, Disconnect, Frame, Packet, PacketKind, ReasonCode, Version, Violation};

use crate::{
    Answer, Ask, Claim, ConnId, Effect, Exchange, Grant, Instant, Reading, Secret, Shard, What,
    ask::{sayable, told},
    connection::{Connection, Stage},
    ending::WillFate,
    receive::protocol_error,
    shard::Deadline,
    standing::{Standing, Talk},
    turn::Turn,
};

impl Shard {
    /// Whether somebody has to be asked before the client is let in.
    pub(crate) fn is_asked_about(&self, conn: ConnId) -> bool {
        let Some(connection) = self.connections.get(conn) else { return false };
        // Where listeners are described, one that is not lets nobody in without a question.
        let is_open = self.config.doors.is_empty();
        !is_open && self.config.door(connection.door).is_none_or(|door| door.asks)
    }

    /// The CONNECT waits from now on. `frame` is all of it.
    pub(crate) fn ask_for(&mut self, conn: ConnId, connect: &Connect<'_>, frame: &[u8], turn: &mut Turn<'_>) {
        self.totals.receive_bytes += frame.len();
        let connection = self.connections.get_mut(conn).expect("the caller looked");
        connection.stage = Stage::Asking;
        let door = connection.door;
        let method = connect.properties.authentication_method;
        let standing =
            Standing { connect: Secret::new(frame), method: method.map(Box::from), ..Standing::default() };
        connection.standing = Some(Box::new(standing));
        // All of it has come: whatever else has to be made room for, it waits for an answer from now on.
        self.begin_talk(conn, Talk::Asked, turn);
        if !self.hold_unfinished(conn, frame.len(), turn) {
            self.counters.receive_memory_exceeded += 1;
            let why = "packets that wait fill max_receive_memory";
            self.refuse_named(conn, connect, ReasonCode::QuotaExceeded, why, turn);
            return;
        }
        let exchange = method.map(|method| Exchange {
            method: method.into(),
            data: connect.properties.authentication_data.map(Secret::new),
            ticket: None,
        });
        let ask = ask_of(door, connect, exchange);
        self.put_question(conn, ask, turn);
    }

    pub(crate) fn put_question(&mut self, conn: ConnId, ask: Ask, turn: &mut Turn<'_>) {
        self.counters.authentications_asked += 1;
        if self.connections.get(conn).is_some_and(|connection| connection.stage == Stage::Asking) {
            turn.push(Effect::Read { conn, reading: Reading::Paused });
        }
        self.begin_talk(conn, Talk::Asked, turn);
        turn.push(Effect::Authenticate { conn, ask: Box::new(ask) });
    }

    /// Whose turn it is has changed.
    pub(crate) fn begin_talk(&mut self, conn: ConnId, talk: Talk, turn: &mut Turn<'_>) {
        if let Some(standing) = self.standing(conn) {
            standing.begin(talk, turn.now);
        }
        self.arm_standing(conn, turn);
    }

    /// What the client was given, or what everybody has who comes in where it did.
    pub(crate) fn grant_of(&self, conn: ConnId) -> Option<&Arc<Grant>> {
        let connection = self.connections.get(conn)?;
        connection.grant.as_ref().or_else(|| self.config.door(connection.door).map(|door| &door.grant))
    }

    /// As whom the client came in.
    pub(crate) fn user_at(&self, conn: ConnId) -> Option<Arc<str>> {
        self.grant_of(conn).and_then(|grant| grant.user.clone())
    }

    pub(crate) fn standing(&mut self, conn: ConnId) -> Option<&mut Standing> {
        self.connections.get_mut(conn)?.standing.as_deref_mut()
    }

    /// An answer that comes too late, or that nobody has asked for, changes nothing.
    pub(crate) fn handle_authenticated(&mut self, conn: ConnId, answer: Answer, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get(conn) else { return };
        let is_asked = connection.standing.as_ref().is_some_and(|standing| standing.talk == Talk::Asked);
        // In a drain nobody is let in, and everybody is about to be told so.
        if !is_asked || self.drain.has_begun() {
            return;
        }
        match connection.stage {
            Stage::Asking => self.on_answer(conn, answer, turn),
            Stage::Connected(session) => self.on_renewal_answer(conn, session, answer, turn),
            Stage::Opened | Stage::Closing => {}
        }
    }

    fn on_answer(&mut self, conn: ConnId, answer: Answer, turn: &mut Turn<'_>) {
        match answer {
            Answer::Accept { grant, lasts, data } => match self.grant_as_revised(conn, grant) {
                Ok(grant) => {
                    self.give_grant(conn, grant);
                    let Some(standing) = self.standing(conn) else { return };
                    standing.ends_at = lasts.map(|lasts| turn.now + lasts);
                    standing.begin(Talk::Over, turn.now);
                    self.arm_standing(conn, turn);
                    self.take_up(conn, data.as_deref(), turn);
                }
                Err(ended) => {
                    self.refuse_asked(conn, (ReasonCode::NotAuthorized, ended.why().into()), None, turn)
                }
            },
            Answer::Refuse { reason, why, user } => self.refuse_asked(conn, (reason, why), user, turn),
            Answer::Continue { data, ticket } => {
                if !self.challenge(conn, &data, ticket, turn) {
                    let why = "a challenge for a client without an authentication method";
                    self.refuse_asked(conn, (ReasonCode::ServerUnavailable, why.into()), None, turn);
                }
            }
        }
        self.consume_kept(conn, turn);
    }

    /// The CONNECT goes on.
    fn take_up(&mut self, conn: ConnId, data: Option<&[u8]>, turn: &mut Turn<'_>) {
        let Some(standing) = self.standing(conn) else { return };
        let kept = std::mem::take(&mut standing.connect);
        self.totals.receive_bytes -= kept.len();
        let frame = whole_frame(kept.expose());
        let connect = Connect::decode(&frame, Version::V5).expect("it was decoded when it came");
        self.admit(conn, &connect, data, turn);
        // What only the question needed takes no room from a client that says no more.
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.standing.take_if(|standing| standing.is_empty());
        }
    }

    /// Many clients in a row are granted the same, and share it.
    pub(crate) fn give_grant(&mut self, conn: ConnId, grant: Arc<Grant>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let last = self.last_grant.take().filter(|last| *last == grant);
        connection.grant = Some(Arc::clone(self.last_grant.insert(last.unwrap_or(grant))));
    }

    /// [MQTT-4.12.0-2] False: the client cannot be asked.
    pub(crate) fn challenge(&mut self, conn: ConnId, data: &[u8], ticket: u64, turn: &mut Turn<'_>) -> bool {
        let said = self.say_auth(conn, ReasonCode::ContinueAuthentication, Some(data), turn);
        if said {
            self.begin_talk(conn, Talk::Challenged { ticket }, turn);
        }
        said
    }

    /// [MQTT-4.12.0-5] [MQTT-4.12.0-6] False: there is no method, and so no AUTH.
    pub(crate) fn say_auth(
        &mut self,
        conn: ConnId,
        reason: ReasonCode,
        data: Option<&[u8]>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(method) = self.standing(conn).and_then(|standing| standing.method.clone()) else {
            return false;
        };
        let auth = Auth { reason, method: Some(&method), data, ..Auth::default() };
        self.reply(conn, &Packet::Auth(auth), turn);
        true
    }

    /// `user`: as whom the client wanted to be let in, where its CONNECT does not say so.
    fn refuse_asked(
        &mut self,
        conn: ConnId,
        (reason, why): (ReasonCode, Cow<'static, str>),
        user: Option<Box<str>>,
        turn: &mut Turn<'_>,
    ) {
        let reason = sayable(reason, PacketKind::Connack);
        let counters = &mut self.counters;
        *match reason {
            ReasonCode::ConnectionRateExceeded => &mut counters.refused_connect_rate,
            ReasonCode::ServerUnavailable | ReasonCode::ServerBusy => &mut counters.refused_unavailable,
            _ => &mut counters.refused_authentication,
        } += 1;
        let mut claim = self.standing(conn).and_then(|standing| standing.claim());
        if let (Some(claim), Some(user)) = (&mut claim, user) {
            claim.user_name = Some(user);
        }
        self.refuse_saying(conn, reason, told(reason), What::Refused { reason, why, claim }, turn);
    }

    /// [MQTT-3.1.2-30] Between CONNECT and CONNACK a client that has its turn says AUTH, or that it leaves.
    pub(crate) fn on_frame_of_exchange(&mut self, conn: ConnId, frame: &Frame<'_>, turn: &mut Turn<'_>) {
        let handled = match frame.kind {
            PacketKind::Auth => self.on_auth_of_exchange(conn, frame, turn),
            PacketKind::Disconnect => Disconnect::decode(frame, Version::V5)
                .map(|disconnect| self.on_leaving(conn, &disconnect, turn)),
            _ => Err(protocol_error("something other than AUTH or DISCONNECT before CONNACK")),
        };
        if let Err(violation) = handled {
            self.counters.violations += 1;
            self.refuse(conn, violation.reason, violation.what, turn);
        }
    }

    fn on_auth_of_exchange(
        &mut self,
        conn: ConnId,
        frame: &Frame<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        let auth = Auth::decode(frame, Version::V5)?;
        let connection = self.connections.get(conn).expect("the caller looked");
        let standing = connection.standing.as_deref().expect("who is asked about has a standing");
        // [MQTT-4.12.0-3]
        if auth.reason != ReasonCode::ContinueAuthentication {
            return Err(protocol_error("AUTH before CONNACK that does not continue the authentication"));
        }
        let exchange = standing.next_exchange(&auth)?;
        let kept = whole_frame(standing.connect.expose());
        let connect = Connect::decode(&kept, Version::V5).expect("it was decoded when it came");
        let ask = ask_of(connection.door, &connect, Some(exchange));
        self.put_question(conn, ask, turn);
        Ok(())
    }

    fn on_leaving(&mut self, conn: ConnId, disconnect: &Disconnect<'_>, turn: &mut Turn<'_>) {
        let why = "the client left before it was let in".into();
        let what = What::Disconnected { reason: disconnect.reason, why };
        self.end_connection(conn, None, what, WillFate::Discard, turn);
    }

    pub(crate) fn arm_standing(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(standing) = self.connections.get_mut(conn).and_then(|c| c.standing.as_deref_mut()) else {
            return;
        };
        let Some(due_at) = standing.due_at(&self.config.limits) else { return };
        // None reaches far ahead: what is left of connections that are gone is over soon.
        let at = due_at.min(turn.now.add_secs(STANDING_LOOK_S));
        if standing.armed.is_none_or(|armed| at < armed) {
            standing.armed = Some(at);
            self.timers.insert(at, Deadline::Standing(conn));
        }
    }

    pub(crate) fn on_standing_deadline(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let stage = connection.stage;
        let Some(standing) = connection.standing.as_deref_mut() else { return };
        // Overtaken by an earlier one that has been set again.
        if standing.armed.is_some_and(|armed| armed > turn.now) {
            return;
        }
        standing.armed = None;
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= turn.now);
        let (talk, has_ended) = (standing.talk, is_due(standing.ends_at));
        let is_late = is_due(standing.talk_ends_at(&self.config.limits));
        match stage {
            Stage::Connected(_) if has_ended => self.end_grant(conn, turn),
            Stage::Connected(_) if is_late => self.end_renewal(conn, turn),
            Stage::Asking if is_late => self.end_asking(conn, talk, turn),
            Stage::Opened | Stage::Closing => {}
            Stage::Asking | Stage::Connected(_) => self.arm_standing(conn, turn),
        }
    }

    fn end_asking(&mut self, conn: ConnId, talk: Talk, turn: &mut Turn<'_>) {
        self.counters.authentication_timeouts += 1;
        if talk == Talk::Asked {
            let why = "nobody has said in time who the client is";
            self.refuse_asked(conn, (ReasonCode::ServerUnavailable, why.into()), None, turn);
            return;
        }
        let (reason, why) = (ReasonCode::MaximumConnectTime, "the client did not answer in time".into());
        let claim = self.standing(conn).and_then(|standing| standing.claim());
        self.end_connection(conn, None, What::Refused { reason, why, claim }, WillFate::Discard, turn);
    }
}

impl Standing {
    /// Of the CONNECT that waits.
    fn claim(&self) -> Option<Box<Claim>> {
        let frame = mqtt::split(self.connect.expose(), u32::MAX).ok().flatten()?;
        let connect = Connect::decode(&frame, Version::V5).ok()?;
        Some(Claim::of(&connect))
    }

    /// What the client answers to the challenge. [MQTT-4.12.0-5]
    pub fn next_exchange(&self, auth: &Auth<'_>) -> Result<Exchange, Violation> {
        let method = auth.method.filter(|method| self.method.as_deref() == Some(*method));
        let Some(method) = method else {
            return Err(protocol_error("AUTH with another authentication method than CONNECT"));
        };
        let ticket = match self.talk {
            Talk::Challenged { ticket } => Some(ticket),
            Talk::Over | Talk::Asked => None,
        };
        Ok(Exchange { method: method.into(), data: auth.data.map(Secret::new), ticket })
    }
}

impl Connection {
    /// A timer that is set for its standing has a meaning.
    pub fn is_timed(&self) -> bool {
        let is_awaited = matches!(self.stage, Stage::Asking | Stage::Connected(_));
        is_awaited && self.standing.as_ref().is_some_and(|standing| standing.armed.is_some())
    }

    /// Its CONNECT waits for somebody else than the client.
    pub fn is_awaited(&self) -> bool {
        self.stage == Stage::Asking
            && self.standing.as_ref().is_some_and(|standing| standing.talk == Talk::Asked)
    }
}

fn ask_of(door: u16, connect: &Connect<'_>, exchange: Option<Exchange>) -> Ask {
    Ask {
        door,
        version: connect.version,
        client_id: connect.client_id.into(),
        user_name: connect.username.map(Box::from),
        password: connect.password.map(Secret::new),
        clean_start: connect.clean_start,
        exchange,
        renews: None,
    }
}

fn whole_frame(bytes: &[u8]) -> Frame<'_> {
    let split = mqtt::split(bytes, u32::MAX).ok().flatten();
    split.expect("a frame that was kept is whole")
}

/// A look at each connection with a time to it comes at least so often.
const STANDING_LOOK_S: u64 = 60;
