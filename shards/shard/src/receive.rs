//! From bytes to packets: finds the frames in what a connection brings and hands each to its handler.

mod breach;
mod kept;
mod stalled;
mod stalling;
mod strangers;
mod unfinished;

pub(crate) use breach::{Breach, FILTERS_PER_PACKET_MAX, Quota};
pub(crate) use kept::Kept;
use mqtt::{Ack, Frame, Packet, PacketKind, Publish, ReasonCode, Received, Violation};
pub(crate) use stalled::{Awaited, Line, Stalled};
pub(crate) use unfinished::{ALIASES_PART, Unfinished};

use crate::{
    Cause, ConnId, Effect, Full, IS_WATCHED, Instant, NotOpened, Reading, Shard, What,
    connection::{Connection, Stage},
    departures::Closed,
    ending::WillFate,
    keys::SessionKey,
    meters::{Pass, Passing},
    publish::Way,
    recorder::{Direction, Entry},
    shard::Deadline,
    turn::Turn,
};

impl Shard {
    pub(crate) fn handle_opened(
        &mut self,
        conn: ConnId,
        refuse: Option<Full>,
        door: u16,
        turn: &mut Turn<'_>,
    ) {
        if self.drain.has_begun() {
            turn.push(Effect::Close { conn });
            return;
        }
        self.connections.open(conn, refuse, door, turn.now);
        self.counters.connections_opened += 1;
        self.timers.insert(turn.now + self.config.limits.connect_timeout, Deadline::Connect(conn));
        if self.timers.are_crowded() {
            self.forget_timers();
        }
    }

    pub(crate) fn handle_not_opened(&mut self, why: NotOpened, now: Instant) {
        if why == NotOpened::Banned {
            self.departures.barred = Closed { count: self.departures.barred.count + 1, last: Some(now) };
        }
        let counter = match why {
            NotOpened::NoSeat => &mut self.counters.connections_turned_away,
            NotOpened::NoSeatOfListener => &mut self.counters.listener_connections_turned_away,
            NotOpened::Slow => &mut self.counters.handshake_timeouts,
            NotOpened::Gone => &mut self.counters.handshakes_abandoned,
            NotOpened::Tls => &mut self.counters.refused_tls,
            NotOpened::Unknown => &mut self.counters.refused_unknown,
            NotOpened::WebSocket => &mut self.counters.refused_websocket,
            NotOpened::Banned => &mut self.counters.refused_banned,
            NotOpened::TooOften => &mut self.counters.refused_connect_rate,
            NotOpened::Proxy => &mut self.counters.refused_proxy,
        };
        *counter += 1;
    }

    /// Every connection sets two timers or more, which clients that come and go would leave behind for a minute each.
    fn forget_timers(&mut self) {
        let connections = &self.connections;
        let stage = |conn: &ConnId| connections.get(*conn).map(|connection| &connection.stage);
        self.timers.retain(|deadline| match deadline {
            Deadline::Connect(conn) => matches!(stage(conn), Some(Stage::Opened)),
            Deadline::KeepAlive(conn) => matches!(stage(conn), Some(Stage::Connected(_))),
            Deadline::Linger(conn) => matches!(stage(conn), Some(Stage::Closing)),
            Deadline::Rate(conn) | Deadline::Delivery(conn) => {
                matches!(stage(conn), Some(Stage::Connected(_)))
            }
            Deadline::Standing(conn) => connections.get(*conn).is_some_and(Connection::is_timed),
            // Others count on them: a session takes one that is set for its slot already.
            Deadline::Session(_)
            | Deadline::Clearing
            | Deadline::Changing
            | Deadline::Replay(_)
            | Deadline::AnswerReplays
            | Deadline::Retained
            | Deadline::Losses(_)
            | Deadline::Taps
            | Deadline::Unfinished
            | Deadline::Rules
            | Deadline::Revised
            | Deadline::Store
            | Deadline::Drain => true,
        });
    }

    pub(crate) fn handle_bytes(&mut self, conn: ConnId, mut bytes: &[u8], turn: &mut Turn<'_>) {
        self.counters.bytes_received += bytes.len() as u64;
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.stage == Stage::Closing || self.drain.has_begun() {
            return;
        }
        let waits = connection.is_stalled() || connection.is_awaited();
        let mut partial = self.take_partial(conn);
        if waits {
            self.keep(conn, partial, bytes, turn);
            return;
        }
        if !partial.bytes.is_empty() {
            // Whatever came with a CONNECT goes along if the client's home is elsewhere.
            let whole =
                self.connections.get(conn).is_some_and(|connection| connection.stage == Stage::Opened);
            if whole {
                partial.extend(bytes);
                bytes = &[];
            } else {
                bytes = complete(&mut partial, bytes);
            }
            self.consume_front(conn, &mut partial, turn);
        }
        if partial.bytes.is_empty() && self.takes_bytes(conn) {
            let used = self.consume(conn, bytes, turn);
            bytes = &bytes[used..];
        }
        self.keep(conn, partial, bytes, turn);
        self.read_on(conn, turn);
    }

    /// Handles whole frames from the front of what was kept, and takes them out. What is left is another packet.
    fn consume_front(&mut self, conn: ConnId, partial: &mut Kept, turn: &mut Turn<'_>) {
        let used = self.consume(conn, &partial.bytes, turn);
        if used > 0 {
            self.let_go_unfinished(conn);
        }
        partial.drop_front(used);
    }

    /// Handles whole frames from the front of `bytes`; says how many bytes they were.
    fn consume(&mut self, conn: ConnId, bytes: &[u8], turn: &mut Turn<'_>) -> usize {
        if let Some(violation) = self.stranger(conn, bytes) {
            self.end_for_breach(conn, violation.into(), turn);
            return bytes.len();
        }
        let session = self.connections.get(conn).and_then(Connection::session);
        let (mut pass, mut packets) = (None, 0);
        self.post.set_sender(Some(conn));
        let used = self.consume_frames(conn, bytes, &mut pass, &mut packets, turn);
        self.post.set_sender(None);
        self.count_received(session, packets, used);
        if let Some(pass) = pass {
            self.settle(conn, &pass, turn);
        }
        used
    }

    /// `pass` is there as soon as the connection has to keep to some rate; `packets` are those that were handled.
    fn consume_frames(
        &mut self,
        conn: ConnId,
        bytes: &[u8],
        pass: &mut Option<Pass>,
        packets: &mut u64,
        turn: &mut Turn<'_>,
    ) -> usize {
        let mut at = 0;
        loop {
            let Some(connection) = self.connections.get(conn) else { return bytes.len() };
            let stage = connection.stage;
            match stage {
                Stage::Connected(_) | Stage::Opened => {}
                Stage::Asking if connection.is_awaited() => return at,
                Stage::Asking => {}
                Stage::Closing => return bytes.len(),
            }
            let frame = match mqtt::split(&bytes[at..], self.config.limits.packet_bytes_max) {
                Ok(None) => return at,
                Ok(Some(frame)) => frame,
                Err(violation) => {
                    self.end_for_breach(conn, violation.into(), turn);
                    return bytes.len();
                }
            };
            if self.has_to_wait(conn, connection, &frame) {
                self.stall(conn, turn);
                return at;
            }
            let passing = connection.meters().map_or(Passing::Goes, |meters| {
                pass.get_or_insert_with(|| meters.pass(turn.now)).take(&frame)
            });
            match passing {
                Passing::Goes => {}
                Passing::Waits => return at,
                Passing::Dropped => {
                    self.lose_undecoded(conn, stage, &frame, turn.now);
                    at += frame.size;
                    continue;
                }
            }
            self.take_frame(conn, stage, &frame, &bytes[at..], turn);
            if stage == Stage::Opened && self.is_stalled(conn) {
                // A CONNECT that waits for room in the mesh: it will be looked at again.
                return at;
            }
            *packets += 1;
            at += frame.size;
        }
    }

    #[inline]
    fn take_frame(
        &mut self,
        conn: ConnId,
        stage: Stage,
        frame: &Frame<'_>,
        unread: &[u8],
        turn: &mut Turn<'_>,
    ) {
        self.begin_answer();
        let taken = match stage {
            Stage::Opened => self.on_first_frame(conn, frame, unread, turn).map_err(Breach::from),
            Stage::Asking => {
                self.on_frame_of_exchange(conn, frame, turn);
                Ok(())
            }
            Stage::Connected(_) | Stage::Closing => self.on_frame(conn, frame, turn),
        };
        if let Err(breach) = taken {
            self.end_for_breach(conn, breach, turn);
        }
    }

    /// Nobody waits for it any more: of a PUBLISH it is told.
    fn lose_undecoded(&mut self, conn: ConnId, stage: Stage, frame: &Frame<'_>, now: Instant) {
        let Stage::Connected(session) = stage else { return };
        if frame.kind != PacketKind::Publish {
            return;
        }
        let topic = mqtt::topic_of_publish(frame.body);
        match self.mount_of(conn).filter(|_| !topic.is_empty()) {
            Some(mount) => self.lose(session, Cause::PublishRate, &format!("{mount}{topic}"), now),
            None => self.lose(session, Cause::PublishRate, topic, now),
        }
    }

    /// [MQTT-3.1.0-1] Nothing may come before CONNECT. Who begins otherwise is not told that this is an MQTT broker.
    fn on_first_frame(
        &mut self,
        conn: ConnId,
        frame: &Frame<'_>,
        unread: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Violation> {
        if frame.kind != PacketKind::Connect {
            return Err(protocol_error("the first packet is not CONNECT"));
        }
        self.on_connect(conn, frame, unread, turn)
    }

    fn on_frame(&mut self, conn: ConnId, frame: &Frame<'_>, turn: &mut Turn<'_>) -> Result<(), Breach> {
        let connection = self.connections.get_mut(conn).expect("the caller looked");
        connection.heard_at = turn.now;
        let version = connection.version;
        let session = connection.session().expect("only a connected client gets here");
        if self.is_tapped() {
            self.tap_received(conn, session, frame, turn.now);
        }
        if frame.kind != PacketKind::Publish {
            self.record(session, Entry::other(Direction::Received, turn.now, frame.bytes));
        }
        match frame.kind {
            PacketKind::Publish => {
                // Alive until the packet is handled: the topic of `publish` may stand in it.
                let recent = self.routes.recent(&self.trie);
                let known_topic = recent.as_ref().map_or("", |known| &*known.topic);
                let publish = Publish::decode_expecting(frame, version, known_topic)?;
                let way = Way {
                    received: Received::of(frame, &publish, version),
                    known: recent.clone().filter(|known| std::ptr::eq(&*known.topic, publish.topic)),
                    ..Way::default()
                };
                if IS_WATCHED {
                    self.counters.publish_received += 1;
                }
                self.record_received(conn, session, frame, &publish, way.known.as_deref(), turn.now);
                return self.on_publish(conn, session, &publish, way, turn);
            }
            PacketKind::Puback => self.on_puback(session, &Ack::decode(frame, version)?, turn),
            PacketKind::Pubrec => self.on_pubrec(conn, session, &Ack::decode(frame, version)?, turn),
            PacketKind::Pubrel => self.on_pubrel(conn, session, &Ack::decode(frame, version)?, turn),
            PacketKind::Pubcomp => self.on_pubcomp(session, &Ack::decode(frame, version)?, turn),
            _ => return self.on_packet(conn, session, &mqtt::decode(frame, version)?, turn),
        }
        Ok(())
    }

    /// The packets that do not come with every message.
    fn on_packet(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        packet: &Packet<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), Breach> {
        match packet {
            Packet::Pingreq => {
                self.reply(conn, &Packet::Pingresp, turn);
                Ok(())
            }
            Packet::Subscribe(subscribe) => {
                self.record_filters(session, subscribe.filters.iter().map(|(filter, _)| *filter));
                self.on_subscribe(conn, session, subscribe, turn)
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.record_filters(session, unsubscribe.filters.iter().copied());
                self.on_unsubscribe(conn, session, unsubscribe, turn)
            }
            Packet::Disconnect(disconnect) => Ok(self.on_disconnect(conn, session, disconnect, turn)?),
            // [MQTT-3.1.0-2]
            Packet::Connect(_) => Err(protocol_error("a second CONNECT").into()),
            Packet::Auth(auth) => Ok(self.on_auth(conn, session, auth, turn)?),
            _ => Err(protocol_error("a packet that only a server sends").into()),
        }
    }

    /// Encodes one packet for the client, within its maximum packet size.
    pub(crate) fn reply(&mut self, conn: ConnId, packet: &Packet<'_>, turn: &mut Turn<'_>) {
        let needed = self.store.is_on().then(|| self.needed());
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let (version, packet_bytes_max) = (connection.version, connection.packet_bytes_max);
        // An answer waits until what it tells of is stored.
        if let Some(needed) = needed {
            connection.needs = connection.needs.and(needed);
        }
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(conn);
        }
        let session = connection.session();
        let outbox = connection.outbox(turn.effects);
        let before = outbox.len();
        // What does not fit even in its shortest form cannot be said to this client. [MQTT-3.1.2-24]
        let begin = outbox.bytes.len();
        packet.encode_within(version, packet_bytes_max, &mut outbox.bytes);
        let bytes = outbox.len() - before;
        outbox.packets += u64::from(bytes > 0);
        self.totals.unsent_bytes += bytes;
        if let Some(session) = session {
            let entry = Entry::other(Direction::Sent, turn.now, &outbox.bytes[begin..]);
            self.record(session, entry);
        }
        if self.is_tapped()
            && !matches!(packet, Packet::Auth(_))
            && let Some(session) = session
        {
            self.tap_sent(conn, session, begin, "", &[], turn);
        }
    }

    fn takes_bytes(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(|connection| {
            connection.stage != Stage::Closing && !connection.is_stalled() && !connection.is_awaited()
        })
    }

    fn take_partial(&mut self, conn: ConnId) -> Kept {
        let Some(connection) = self.connections.get_mut(conn) else { return Kept::default() };
        let partial = connection.take_partial();
        self.totals.receive_bytes -= partial.bytes.len();
        partial
    }

    /// Keeps what cannot be handled yet, within the budget for all connections.
    fn keep(&mut self, conn: ConnId, mut partial: Kept, bytes: &[u8], turn: &mut Turn<'_>) {
        let Some(stage) = self.connections.get(conn).map(|connection| connection.stage) else { return };
        let held = partial.bytes.len() + bytes.len();
        if stage == Stage::Closing {
            return;
        }
        if !self.hold_unfinished(conn, held + self.bytes_besides(conn), turn) {
            self.end_for_breach(conn, Quota::ReceiveMemory.into(), turn);
            return;
        }
        if held == 0 {
            return;
        }
        let is_connected = matches!(stage, Stage::Connected(_));
        if partial.bytes.is_empty() {
            // What a larger packet left behind as capacity goes back.
            partial = Kept::new(bytes.to_vec(), is_connected);
        } else {
            partial.extend(bytes);
            partial.look(is_connected);
        }
        if partial.bytes.capacity() > partial.bytes.len() * 2 + RECEIVE_BYTES_ALWAYS {
            partial.shrink();
        }
        self.totals.receive_bytes += held;
        let connection = self.connections.get_mut(conn).expect("its stage is known");
        connection.put_partial(partial);
    }

    fn read_on(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get(conn) else { return };
        let is_coming = matches!(connection.stage, Stage::Opened | Stage::Asking);
        if is_coming && !connection.is_stalled() && !connection.is_awaited() {
            turn.push(Effect::Read { conn, reading: Reading::Once });
        }
    }

    fn is_stalled(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(Connection::is_stalled)
    }

    fn hear(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.heard_at = turn.now;
        }
    }

    /// None reaches far ahead: what is left of connections that are gone is over soon.
    pub(crate) fn arm_keep_alive(&mut self, conn: ConnId, until: Instant, turn: &mut Turn<'_>) {
        self.timers.insert(until.min(turn.now.add_secs(KEEP_ALIVE_LOOK_S)), Deadline::KeepAlive(conn));
    }

    pub(crate) fn on_connect_deadline(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get(conn) else { return };
        if connection.stage == Stage::Opened {
            self.counters.connect_timeouts += 1;
            let (reason, why) = (ReasonCode::MaximumConnectTime, "no CONNECT came in time".into());
            let what = What::Refused { reason, why, claim: None };
            self.end_connection(conn, None, what, WillFate::Publish, turn);
        }
    }

    /// [MQTT-3.1.2-22] One and a half times the keep-alive without a packet ends the connection.
    pub(crate) fn on_keep_alive_deadline(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let Some(session) = connection.session() else { return };
        let Some(connection) = self.connections.get(conn) else { return };
        // Who is not read because of others is not silent; who is not read because he reads nothing, is.
        if connection.is_stalled() && !self.takes_no_replies(connection) {
            self.hear(conn, turn);
        }
        let Some(until) = self.connections.get(conn).and_then(Connection::silent_until) else { return };
        if until > turn.now {
            self.arm_keep_alive(conn, until, turn);
            self.sessions[session].rest();
            return;
        }
        self.counters.keep_alive_timeouts += 1;
        let (reason, why) = (ReasonCode::KeepAliveTimeout, "the keep-alive ran out");
        self.end_connection(
            conn,
            Some((reason, why)),
            What::Disconnected { reason, why: why.into() },
            WillFate::Publish,
            turn,
        );
    }
}

/// Moves to `partial` what its first frame lacks, as far as it is there; gives back the rest.
fn complete<'a>(partial: &mut Kept, mut bytes: &'a [u8]) -> &'a [u8] {
    while mqtt::frame_size(&partial.bytes).is_none() && partial.bytes.len() < HEADER_BYTES_MAX {
        let Some((first, rest)) = bytes.split_at_checked(1) else { return bytes };
        partial.extend(first);
        bytes = rest;
    }
    let size = mqtt::frame_size(&partial.bytes);
    let lacking = size.map_or(0, |size| size.saturating_sub(partial.bytes.len()));
    let (head, rest) = bytes.split_at(lacking.min(bytes.len()));
    partial.extend(head);
    rest
}

pub(crate) fn protocol_error(what: &'static str) -> Violation {
    Violation { reason: ReasonCode::ProtocolError, what }
}

/// An unfinished packet of that size is kept whatever others hold, and so are the topics behind one client's aliases.
const RECEIVE_BYTES_ALWAYS: usize = 4 << 10;

/// A look at each connection's keep-alive comes at least so often.
const KEEP_ALIVE_LOOK_S: u64 = 60;

/// Type and flags, and at most four bytes of length.
const HEADER_BYTES_MAX: usize = 5;
