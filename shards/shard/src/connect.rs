//! CONNECT: who comes, whether this shard is their home, and which session they get.

use std::sync::Arc;

use mqtt::{Connack, ConnackProperties, Connect, Frame, Packet, PacketKind, ReasonCode, Version, Violation};

use crate::{
    Claim, ConnId, Counters, Effect, Full, Note, Reading, Secret, Shard, ShardId, What, confirm::Needs,
    connection::Stage, ending::WillFate, failure::STORE_FAILED, keys::SessionKey, mount,
    publish::is_of_server, turn::Turn, wills::Will,
};

/// What a remaining length can say; a message can grow a little on its way out.
const PACKET_BYTES_MAX: u32 = mqtt::MAX_PACKET_SIZE;

/// What the server promises in CONNACK, where it differs from what the client asked for.
#[derive(Default)]
struct Granted {
    session_expiry_s: u32,
    keep_alive_s: u16,
    assigned_client_id: Option<Arc<str>>,
}

/// What else CONNACK says.
struct Said<'a> {
    session_present: bool,
    data: Option<&'a [u8]>,
}

/// Why a client is not let in, and where that is counted beside all that are not.
struct Refusal {
    reason: ReasonCode,
    why: &'static str,
    counter: Option<CounterOf>,
}

type CounterOf = fn(&mut Counters) -> &mut u64;

impl Refusal {
    fn new(reason: ReasonCode, why: &'static str) -> Refusal {
        Refusal { reason, why, counter: None }
    }

    fn for_want_of_room(why: &'static str, counter: CounterOf) -> Refusal {
        Refusal { reason: ReasonCode::QuotaExceeded, why, counter: Some(counter) }
    }
}

impl Shard {
    /// `unread` begins with the frame of the CONNECT itself: all of it goes along if the client's home is elsewhere.
    pub(crate) fn on_connect(
        &mut self,
        conn: ConnId,
        frame: &Frame<'_>,
        unread: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        debug_assert_eq!(frame.kind, PacketKind::Connect);
        let connect = match Connect::decode(frame, Version::V5) {
            Ok(connect) => connect,
            Err(violation) => return self.on_bad_connect(conn, frame, violation, turn),
        };
        let home = self.home_of(&connect);
        self.note_connect(conn, &connect);
        if self.refuse_at_door(conn, &connect, turn) {
            self.counters.connects_received += 1;
            return Ok(());
        }
        if home != self.id {
            self.hand_over(conn, home, unread, turn);
            return Ok(());
        }
        self.counters.connects_received += 1;
        if self.is_client_barred(connect.client_id, turn.now) {
            self.refuse_barred(conn, &connect, turn);
            return Ok(());
        }
        if self.is_asked_about(conn) {
            self.ask_for(conn, &connect, &unread[..frame.size], turn);
            return Ok(());
        }
        // [MQTT-4.12.0-1]
        if connect.properties.authentication_method.is_some() {
            let why = "no authentication method is supported";
            self.refuse_named(conn, &connect, ReasonCode::BadAuthenticationMethod, why, turn);
            return Ok(());
        }
        self.admit(conn, &connect, None, turn);
        Ok(())
    }

    /// What the client understands, also where it is refused.
    fn note_connect(&mut self, conn: ConnId, connect: &Connect<'_>) {
        let connection = self.connections.get_mut(conn).expect("the caller looked");
        connection.version = connect.version;
        connection.says_why = connect.properties.request_problem_information != Some(false);
        connection.packet_bytes_max =
            connect.properties.maximum_packet_size.unwrap_or(u32::MAX).min(PACKET_BYTES_MAX);
    }

    /// True: the listener, or the process, takes no such client, wherever its home is.
    fn refuse_at_door(&mut self, conn: ConnId, connect: &Connect<'_>, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get(conn) else { return false };
        if let Some(full) = connection.refuse {
            self.refuse_beyond(conn, connect, full, turn);
            return true;
        }
        let door = self.config.door(connection.door);
        let is_wrong_version = door.is_some_and(|door| !door.versions.contains(connect.version));
        if is_wrong_version {
            self.counters.refused_version += 1;
            let why = "this listener does not take clients of this protocol version";
            self.refuse_named(conn, connect, ReasonCode::UnsupportedProtocolVersion, why, turn);
        }
        is_wrong_version
    }

    /// Lets the client in, whoever it is, unless something else is in the way. `data` ends an exchange.
    pub(crate) fn admit(
        &mut self,
        conn: ConnId,
        connect: &Connect<'_>,
        data: Option<&[u8]>,
        turn: &mut Turn<'_>,
    ) {
        // The client id once more: somebody may have been asked for long.
        if self.is_client_barred(connect.client_id, turn.now) || self.is_user_barred(conn, turn.now) {
            return self.refuse_barred(conn, connect, turn);
        }
        self.mount(conn);
        let topic = match self.mounted_will(conn, connect) {
            Ok(topic) => topic,
            Err(why) => return self.refuse_named(conn, connect, ReasonCode::TopicNameInvalid, why, turn),
        };
        let mounted = topic.as_deref().map(|topic| mount::with_topic(connect, topic));
        let connect = mounted.as_ref().unwrap_or(connect);
        if let Err(Refusal { reason, why, counter }) = self.check_connect(connect) {
            if let Some(counter) = counter {
                *counter(&mut self.counters) += 1;
            }
            return self.refuse_named(conn, connect, reason, why, turn);
        }
        if self.is_contested(connect.client_id, turn) {
            self.counters.refused_contested += 1;
            let why = "clients with this client id take the session from each other; come back later";
            return self.refuse_named(conn, connect, ReasonCode::ConnectionRateExceeded, why, turn);
        }
        let assigned = connect.client_id.is_empty().then(|| self.assign_client_id());
        if self.permissions.is_some() {
            let client_id = assigned.as_deref().unwrap_or(connect.client_id);
            let existed = self.sessions.find(client_id).is_some() && !connect.clean_start;
            self.hold(conn, client_id, existed);
            if !self.may_leave_will(conn, client_id, connect, turn) {
                let why = "the access rules do not allow this will";
                return self.refuse_named(conn, connect, ReasonCode::NotAuthorized, why, turn);
            }
        }
        self.accept(conn, connect, assigned, data, turn);
    }

    fn may_leave_will(
        &mut self,
        conn: ConnId,
        client_id: &str,
        connect: &Connect<'_>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some(will) = connect.will.as_ref() else { return true };
        let (topic, qos, retain) = (will.topic, will.qos as u8, will.retain);
        let ask = access::Ask { action: access::Action::Will, topic, qos, retain };
        self.may_as(conn, Some(client_id), &ask, turn)
    }

    /// A client without an id stays where it landed: it gets one that belongs here.
    fn home_of(&self, connect: &Connect<'_>) -> ShardId {
        match connect.client_id {
            "" => self.id,
            client_id => self.placement.client(client_id),
        }
    }

    fn hand_over(&mut self, conn: ConnId, to: ShardId, unread: &[u8], turn: &mut Turn<'_>) {
        if !self.post.take_room(to) {
            self.stall_coming(conn, to, turn);
            return;
        }
        self.forget_connection(conn, turn);
        self.counters.connections_handed_over += 1;
        turn.push(Effect::HandOver { conn, to, unread: Secret::new(unread) });
    }

    fn accept(
        &mut self,
        conn: ConnId,
        connect: &Connect<'_>,
        assigned: Option<Arc<str>>,
        data: Option<&[u8]>,
        turn: &mut Turn<'_>,
    ) {
        let client_id = assigned.clone().unwrap_or_else(|| connect.client_id.into());
        self.forget_refusals(&client_id);
        let granted = Granted { assigned_client_id: assigned, ..self.grant(connect) };
        if let Some(existing) = self.sessions.find(&client_id) {
            self.take_over(conn, existing, connect.clean_start, turn);
        }
        let existing = self.sessions.find(&client_id);
        let session = existing.unwrap_or_else(|| {
            self.counters.sessions_created += 1;
            self.totals.session_bytes += client_id.len();
            self.sessions.create(client_id.clone())
        });
        self.bind(conn, session, connect, &granted, turn);
        self.meter(conn);
        self.connack(conn, connect, &granted, Said { session_present: existing.is_some(), data }, turn);
        let user = self.user_at(conn);
        turn.push(Effect::Note(Note {
            conn: Some(conn),
            client_id: Some(client_id),
            user: user.clone(),
            what: What::Connected {
                version: connect.version,
                user,
                provider: self.grant_of(conn).and_then(|grant| grant.provider.clone()),
                clean_start: connect.clean_start,
                session_present: existing.is_some(),
                keep_alive_s: granted.keep_alive_s,
                session_expiry_s: granted.session_expiry_s,
            },
        }));
        turn.push(Effect::Read { conn, reading: Reading::Continuous });
        if existing.is_some() {
            self.review_mount(session, conn, turn);
            self.review_rights(session, conn, turn);
            self.resume_session(session, turn);
        }
    }

    /// What this server does not accept although the packet is well formed.
    fn check_connect(&self, connect: &Connect<'_>) -> Result<(), Refusal> {
        // [MQTT-3.1.3-8] Only a clean session can do without an id; 3.1 has no empty ids at all.
        let may_be_empty =
            connect.version == Version::V5 || connect.version == Version::V311 && connect.clean_start;
        if connect.client_id.is_empty() && !may_be_empty {
            let why = "an empty client id needs a clean session";
            return Err(Refusal::new(ReasonCode::ClientIdentifierNotValid, why));
        }
        self.check_session(connect)?;
        connect.will.as_ref().map_or(Ok(()), |will| self.check_will(will))
    }

    /// Whether there is room for the session, and a store that works if it needs one.
    fn check_session(&self, connect: &Connect<'_>) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let is_known = self.sessions.find(connect.client_id).is_some();
        if !is_known && self.sessions.len() >= limits.sessions_max {
            let why = "max_sessions is reached";
            return Err(Refusal::for_want_of_room(why, |counters| &mut counters.refused_max_sessions));
        }
        if !is_known && self.totals.session_bytes + connect.client_id.len() > limits.session_memory_max {
            let why = "max_session_memory is reached";
            return Err(Refusal::for_want_of_room(why, |counters| &mut counters.refused_session_memory));
        }
        let lives_on = match connect.version {
            Version::V5 => connect.properties.session_expiry_interval_s.unwrap_or(0) > 0,
            Version::V31 | Version::V311 => !connect.clean_start,
        };
        let is_stored = lives_on || self.is_known_to_store(connect.client_id);
        let comes_back = || self.store.is_end_lost(self.placement.hash(connect.client_id));
        if self.has_store_failed() && (is_stored || comes_back()) {
            let refusal = Refusal::new(ReasonCode::ServerUnavailable, STORE_FAILED);
            return Err(Refusal { counter: Some(|counters| &mut counters.refused_store_failed), ..refusal });
        }
        if self.store_lack().is_some() && is_stored && (!is_known || connect.will.is_some()) {
            let why = "the store has no room for a session or a will";
            return Err(Refusal::for_want_of_room(why, |counters| &mut counters.refused_store_full));
        }
        Ok(())
    }

    fn check_will(&self, will: &mqtt::Will<'_>) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        if is_of_server(will.topic.as_bytes()) {
            let why = "a will topic within $SYS/, which belongs to the server";
            return Err(Refusal::new(ReasonCode::NotAuthorized, why));
        }
        if mqtt::level_count(will.topic) > usize::from(limits.topic_levels_max) {
            let why = "a will topic with more levels than max_topic_levels";
            let refusal = Refusal::new(ReasonCode::TopicNameInvalid, why);
            return Err(Refusal { counter: Some(|counters| &mut counters.topic_levels_exceeded), ..refusal });
        }
        if self.totals.will_bytes + will.payload.len() > limits.queue_memory_max {
            let why = "the wills of all clients fill max_queue_memory";
            return Err(Refusal::for_want_of_room(why, |counters| &mut counters.refused_will_memory));
        }
        let says_utf8 = will.properties.payload_format == Some(1);
        if self.config.validate_payload_format && says_utf8 && std::str::from_utf8(will.payload).is_err() {
            let why = "the payload of the will is not UTF-8";
            return Err(Refusal::new(ReasonCode::PayloadFormatInvalid, why));
        }
        Ok(())
    }

    /// There is a session of that id that is stored, which even its end would change.
    fn is_known_to_store(&self, client_id: &str) -> bool {
        self.sessions.find(client_id).is_some_and(|session| self.is_kept(session))
    }

    /// What the client asked for, as far as the limits allow.
    fn grant(&mut self, connect: &Connect<'_>) -> Granted {
        let limits = &self.config.limits;
        let asked_expiry_s = match connect.version {
            Version::V5 => connect.properties.session_expiry_interval_s.unwrap_or(0),
            _ if connect.clean_start => 0,
            _ => limits.session_expiry_s_v3,
        };
        let session_expiry_s = asked_expiry_s.min(limits.session_expiry_s_max);
        if session_expiry_s < asked_expiry_s {
            self.counters.session_expiry_lowered += 1;
        }
        let ceiling_s = limits.keep_alive_s_max;
        let asked_s = connect.keep_alive_s;
        // Only 5.0 can tell the client; others keep what they asked for.
        let lowered =
            connect.version == Version::V5 && ceiling_s != 0 && (asked_s == 0 || asked_s > ceiling_s);
        if lowered {
            self.counters.keep_alive_lowered += 1;
        }
        Granted {
            session_expiry_s,
            keep_alive_s: if lowered { ceiling_s } else { asked_s },
            assigned_client_id: None,
        }
    }

    /// [MQTT-3.1.3-6] A new id that no session uses, and whose home is this shard.
    fn assign_client_id(&mut self) -> Arc<str> {
        loop {
            let (high, low) = (self.random.next_u64(), self.random.next_u64());
            let client_id = format!("{MADE_HERE}{high:016x}{low:016x}");
            if self.placement.client(&client_id) == self.id && self.sessions.find(&client_id).is_none() {
                return client_id.into();
            }
        }
    }

    /// The session stays with who has it, because too many have taken it from each other.
    fn is_contested(&self, client_id: &str, turn: &Turn<'_>) -> bool {
        self.contests.is_held(client_id, &self.config.contests, turn.now)
            && self.sessions.find(client_id).is_some_and(|session| self.sessions[session].conn.is_some())
    }

    fn note_contest(&mut self, session: SessionKey, holder: ConnId, by: ConnId, turn: &mut Turn<'_>) {
        let client_id = Arc::clone(&self.sessions[session].client_id);
        let takeover = self.contests.on_takeover(&client_id, &self.config.contests, turn.now);
        self.counters.takeovers_contested += u64::from(takeover.is_too_much);
        if let Some(takeovers) = takeover.told {
            let what = What::Contested { by, takeovers };
            turn.push(Effect::Note(Note {
                conn: Some(holder),
                client_id: Some(client_id),
                user: None,
                what,
            }));
        }
    }

    /// [MQTT-3.1.4-3] The connection that holds the session goes. [MQTT-3.1.2-4] A clean start ends the session, too.
    fn take_over(&mut self, by: ConnId, session: SessionKey, clean_start: bool, turn: &mut Turn<'_>) {
        if let Some(holder) = self.sessions[session].conn {
            self.counters.takeovers += 1;
            self.note_contest(session, holder, by, turn);
            let say = Some((ReasonCode::SessionTakenOver, "another connection uses this client id"));
            self.end_connection(holder, say, What::TakenOver, WillFate::Publish, turn);
        } else {
            // What was due, but for the timer, has come about before the client came.
            self.on_session_due(session, turn);
        }
        // A session that was to end with its connection has just ended.
        if clean_start && self.sessions.get(session).is_some() {
            self.end_session(session, "its client began another one", turn);
        }
    }

    /// Joins connection and session, with everything that the CONNECT says of either.
    fn bind(
        &mut self,
        conn: ConnId,
        key: SessionKey,
        connect: &Connect<'_>,
        granted: &Granted,
        turn: &mut Turn<'_>,
    ) {
        let mut will = connect.will.as_ref().map(|will| Box::new(Will::of_connect(will)));
        if let Some(will) = will.as_mut().filter(|will| will.message.retain()) {
            let client_id = Arc::clone(&self.sessions[key].client_id);
            will.source = self.source_of(conn, &client_id);
        }
        self.totals.will_bytes += will.as_ref().map_or(0, |will| will.message.weight());
        let session = &mut self.sessions[key];
        self.totals.connected += usize::from(session.conn.replace(conn).is_none());
        session.expiry_s = granted.session_expiry_s;
        session.ends_at = None;
        // [MQTT-3.1.3-9] A will whose delay was running is gone with the new connection.
        let cancelled = std::mem::replace(&mut session.will, will);
        self.totals.will_bytes -= cancelled.map_or(0, |will| will.message.weight());
        self.tell_groups(key, true);
        self.keep_connected(key);

        let limits = &self.config.limits;
        let properties = &connect.properties;
        let connection = self.connections.get_mut(conn).expect("it is being connected");
        connection.stage = Stage::Connected(key);
        connection.heard_at = turn.now;
        connection.keep_alive_s = granted.keep_alive_s;
        connection.receive_maximum = properties.receive_maximum.unwrap_or(u16::MAX).min(limits.inflight_max);
        connection.topic_alias_max = properties.topic_alias_maximum.unwrap_or(0).min(limits.topic_alias_max);
        if let Some(until) = connection.silent_until() {
            self.arm_keep_alive(conn, until, turn);
        }
    }

    fn connack(
        &mut self,
        conn: ConnId,
        connect: &Connect<'_>,
        granted: &Granted,
        said: Said<'_>,
        turn: &mut Turn<'_>,
    ) {
        let Said { session_present, data } = said;
        let limits = &self.config.limits;
        let asked = &connect.properties;
        let prefix = self.config.response_topic_prefix.as_deref();
        let client_id = granted.assigned_client_id.as_deref().unwrap_or(connect.client_id);
        // [MQTT-3.1.2-28]
        let wants_response_information = asked.request_response_information == Some(true);
        let response_topic = prefix
            .filter(|_| wants_response_information)
            .map(|prefix| format!("{prefix}/{client_id}"))
            .filter(|topic| mqtt::is_topic_name(topic));
        let expiry_differs = asked.session_expiry_interval_s.unwrap_or(0) != granted.session_expiry_s;
        let properties = ConnackProperties {
            session_expiry_interval_s: expiry_differs.then_some(granted.session_expiry_s),
            receive_maximum: Some(limits.receive_maximum),
            maximum_packet_size: Some(limits.packet_bytes_max),
            topic_alias_maximum: Some(limits.topic_alias_max),
            assigned_client_id: granted.assigned_client_id.as_deref(),
            server_keep_alive_s: (connect.keep_alive_s != granted.keep_alive_s)
                .then_some(granted.keep_alive_s),
            response_information: response_topic.as_deref(),
            reason_string: self.has_store_failed().then_some(STORE_FAILED),
            // [MQTT-4.12.0-5]
            authentication_method: asked.authentication_method,
            authentication_data: data,
            ..ConnackProperties::default()
        };
        // The session that the client had may have ended for one of its connections that got no answer.
        if !session_present && let Some(connection) = self.connections.get_mut(conn) {
            let ended = Needs { batch: self.store.last_end(), question: 0 };
            connection.needs = connection.needs.and(ended);
        }
        let connack = Connack { session_present, reason: ReasonCode::Success, properties };
        self.reply(conn, &Packet::Connack(connack), turn);
    }

    /// The log has whose limit that is. A stranger does not need to know.
    fn refuse_beyond(&mut self, conn: ConnId, connect: &Connect<'_>, full: Full, turn: &mut Turn<'_>) {
        let door = self.connections.get(conn).and_then(|connection| self.config.door(connection.door));
        let why = match full {
            Full::Server => "server.max_connections is reached".into(),
            Full::Listener => {
                let listener = door.map_or("", |door| &*door.name);
                format!("max_connections of the listener {listener} is reached").into()
            }
        };
        match full {
            Full::Server => self.counters.refused_max_connections += 1,
            Full::Listener => self.counters.refused_listener_max_connections += 1,
        }
        let reason = ReasonCode::ConnectionRateExceeded;
        let what = What::Refused { reason, why, claim: Some(Claim::of(connect)) };
        self.refuse_saying(conn, reason, "max_connections is reached", what, turn);
    }

    /// The log and the audit log have whom the client says to be.
    pub(crate) fn refuse_named(
        &mut self,
        conn: ConnId,
        connect: &Connect<'_>,
        reason: ReasonCode,
        why: &'static str,
        turn: &mut Turn<'_>,
    ) {
        let what = What::Refused { reason, why: why.into(), claim: Some(Claim::of(connect)) };
        self.refuse_saying(conn, reason, why, what, turn);
    }

    pub(crate) fn refuse(
        &mut self,
        conn: ConnId,
        reason: ReasonCode,
        why: &'static str,
        turn: &mut Turn<'_>,
    ) {
        self.refuse_saying(conn, reason, why, What::Refused { reason, why: why.into(), claim: None }, turn);
    }

    /// [MQTT-3.2.2-7] An error in CONNACK, and the end of the connection. `what` is for the log.
    pub(crate) fn refuse_saying(
        &mut self,
        conn: ConnId,
        reason: ReasonCode,
        said: &'static str,
        what: What,
        turn: &mut Turn<'_>,
    ) {
        self.counters.refused_connect += 1;
        let properties = ConnackProperties { reason_string: Some(said), ..ConnackProperties::default() };
        let connack = Connack { session_present: false, reason, properties };
        let version = self.connections.get(conn).map_or(Version::V311, |connection| connection.version);
        // Where 3.x has no code for it, the connection is closed without a word. [MQTT-3.2.2-2]
        if version == Version::V5 || reason.connect_return_code().is_some() {
            self.reply(conn, &Packet::Connack(connack), turn);
        }
        self.end_connection(conn, None, what, WillFate::Publish, turn);
    }

    /// [MQTT-3.1.4-1] The CONNECT is not one: 5.0 clients are told, 3.x clients see the end of the connection. Who comes
    /// with an unknown level is answered in the form of 3.1.1, which every client can read. [MQTT-3.1.2-2]
    fn on_bad_connect(
        &mut self,
        conn: ConnId,
        frame: &Frame<'_>,
        violation: Violation,
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        let level = mqtt::protocol_of(frame.body).map(|(_, level)| level);
        let connection = self.connections.get_mut(conn).expect("the caller looked");
        if level == Some(Version::V5 as u8) {
            connection.version = Version::V5;
        } else if violation.reason != ReasonCode::UnsupportedProtocolVersion {
            return Err(violation);
        }
        self.counters.connects_received += 1;
        self.counters.violations += 1;
        self.refuse(conn, violation.reason, violation.what, turn);
        Ok(())
    }
}

/// Whether the client id is one that the broker makes for clients without any.
pub(crate) fn is_made_here(client_id: &str) -> bool {
    let number = client_id.strip_prefix(MADE_HERE);
    number.is_some_and(|number| number.len() == 32 && number.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

const MADE_HERE: &str = "iothub-";
