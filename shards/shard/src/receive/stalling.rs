//! A connection is stalled, not read, while what it asks for would only pile up: when mail to another shard waits for
//! room, or the client has taken more of that room than is left to others, when the client does not take its own
//! acknowledgements, when too many of its SUBSCRIBEs wait for answers or one is under way, or while it has to keep to a
//! rate (`metering.rs`).

use mqtt::{Frame, PacketKind};

use super::stalled::{Awaited, Line};
use crate::{
    ConnId, Effect, Reading, Shard, ShardId,
    connection::{Connection, Hearing, Stage},
    post::Taken,
    takers::takers,
    turn::Turn,
};

impl Shard {
    /// Whether a packet has to wait, and all that come behind it.
    #[inline(always)]
    pub(super) fn has_to_wait(&self, conn: ConnId, connection: &Connection, frame: &Frame<'_>) -> bool {
        makes_mail(frame.kind) && self.mail_has_to_wait(conn)
            || self.is_behind(connection) && !connection.has_gone()
            || self.waits_for_room(connection, frame)
    }

    /// The client itself is what keeps its packets from being handled. Asked before each of them.
    #[inline(always)]
    pub(crate) fn is_behind(&self, connection: &Connection) -> bool {
        connection.is_changing
            || connection.announcing >= ANNOUNCING_MAX
            || self.takes_no_replies(connection)
            || self.is_owed_replays(connection)
    }

    #[inline(always)]
    fn is_owed_replays(&self, connection: &Connection) -> bool {
        let session = connection.session().and_then(|session| self.sessions.get(session));
        let replays = session.and_then(|session| session.replays.as_ref());
        replays.is_some_and(|replays| replays.len() >= REPLAYS_OWED_MAX)
    }

    /// What other shards are told for this client would take the room of others.
    #[inline(always)]
    fn mail_has_to_wait(&self, conn: ConnId) -> bool {
        self.post.holds_back(conn) && !self.has_gone(conn)
    }

    /// The client does not take its own acknowledgements.
    #[inline(always)]
    pub(crate) fn takes_no_replies(&self, connection: &Connection) -> bool {
        let unsent = connection.unsent_bytes();
        unsent >= OUTBOX_BYTES_FOR_REPLIES && unsent >= self.unsent_bytes_max()
    }

    /// Of one client whose packets are handled.
    fn unsent_bytes_max(&self) -> usize {
        let for_messages =
            if takers!(self).is_memory_full() { 0 } else { self.config.limits.outbox_bytes_max };
        for_messages + OUTBOX_BYTES_FOR_REPLIES
    }

    pub(crate) fn stall(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let awaited = self.awaited(conn);
        self.stall_for(conn, awaited, turn);
    }

    /// A CONNECT that is to go to another shard waits for a slot.
    pub(crate) fn stall_coming(&mut self, conn: ConnId, to: ShardId, turn: &mut Turn<'_>) {
        self.stall_for(conn, Awaited::Line(Line::Ring(to), self.post.taken_nothing(to)), turn);
    }

    fn stall_for(&mut self, conn: ConnId, awaited: Awaited, turn: &mut Turn<'_>) {
        if self.stop_reading(conn, Reading::Paused, turn) {
            let counters = &mut self.counters;
            let count = match &awaited {
                Awaited::Line(Line::Mesh | Line::Ring(_), _) => &mut counters.paused_for_mesh,
                Awaited::Line(Line::Store, _) => &mut counters.paused_for_store,
                Awaited::Own => &mut counters.paused_for_client,
            };
            *count += 1;
        }
        self.stalled.put(conn, awaited);
    }

    /// Whatever else it waits for will ask for it.
    pub(crate) fn awaited(&self, conn: ConnId) -> Awaited {
        let line = if self.post.is_congested() {
            Some((Line::Mesh, Taken::default()))
        } else if let Some((to, taken)) = self.post.held_back_by(conn) {
            Some((Line::Ring(to), taken))
        } else {
            self.awaits_store().then_some((Line::Store, Taken::default()))
        };
        line.map_or(Awaited::Own, |(line, taken)| Awaited::Line(line, taken))
    }

    /// False: it is not read already.
    pub(crate) fn stop_reading(&mut self, conn: ConnId, reading: Reading, turn: &mut Turn<'_>) -> bool {
        let Some(connection) = self.connections.get_mut(conn) else { return false };
        if std::mem::replace(&mut connection.hearing, Hearing::Stalled) == Hearing::Stalled {
            return false;
        }
        self.stalled.put(conn, Awaited::Own);
        turn.push(Effect::Read { conn, reading });
        true
    }

    /// Looks whether a stalled connection can go on, and if so handles what it brought meanwhile.
    pub(crate) fn resume(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        if self.can_resume(conn) {
            self.stalled.remove(conn);
            self.unstall(conn, turn);
        } else if let Some(connection) = self.connections.get(conn).filter(|known| known.is_stalled()) {
            assert!(connection.stage != Stage::Closing, "whoever closes waits for nothing");
            let awaited = self.awaited(conn);
            self.stalled.put(conn, awaited);
        }
    }

    /// A ring has room again, which is told again when the other side has taken what comes of this: of each line whoever has to wait again at
    /// once ends the round, and the next one begins behind it.
    pub(crate) fn resume_for_mesh(&mut self, turn: &mut Turn<'_>) {
        let rings = (0..self.config.shards).map(|to| Some(ShardId(to)));
        for ring in [None].into_iter().chain(rings) {
            let line = ring.map_or(Line::Mesh, Line::Ring);
            while let Some(conn) = self.stalled.next(line, |taken| self.post.lets_on(ring, taken)) {
                self.resume(conn, turn);
                if [line, Line::Mesh].into_iter().any(|again| self.stalled.waits_in(conn, again)) {
                    break;
                }
            }
        }
    }

    /// There is room in the store, or none will come for those who can be told.
    pub(crate) fn resume_for_store(&mut self, turn: &mut Turn<'_>) {
        let mut all = Vec::new();
        while let Some(conn) = self.stalled.next(Line::Store, |_| true) {
            all.push(conn);
        }
        all.into_iter().for_each(|conn| self.resume(conn, turn));
    }

    fn can_resume(&self, conn: ConnId) -> bool {
        let can_go_on = |connection: &Connection| {
            connection.is_stalled()
                && !connection.is_throttled()
                && connection.stage != Stage::Closing
                && !self.is_behind(connection)
        };
        !self.drain.has_begun()
            && !self.mail_has_to_wait(conn)
            && self.connections.get(conn).is_some_and(can_go_on)
    }

    fn unstall(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        connection.hearing = Hearing::Heard;
        // It was we who did not listen.
        connection.heard_at = turn.now;
        self.consume_kept(conn, turn);
        let Some(connection) = self.connections.get(conn) else { return };
        if matches!(connection.stage, Stage::Connected(_)) && !connection.is_stalled() {
            turn.push(Effect::Read { conn, reading: Reading::Continuous });
        }
    }

    /// Handles what was kept while the connection had to wait.
    pub(crate) fn consume_kept(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let mut partial = self.take_partial(conn);
        self.consume_front(conn, &mut partial, turn);
        self.keep(conn, partial, &[], turn);
        self.read_on(conn, turn);
    }
}

/// Packets that other shards may have to be told of.
fn makes_mail(kind: PacketKind) -> bool {
    matches!(kind, PacketKind::Publish | PacketKind::Pubrel | PacketKind::Subscribe | PacketKind::Unsubscribe)
}

/// Subscriptions of one client that may wait for their retained messages.
const REPLAYS_OWED_MAX: usize = 1024;

/// SUBSCRIBEs of one client that may wait for other shards before the client is not read any more.
const ANNOUNCING_MAX: u16 = 16;

/// Beyond the bytes of messages, so that acknowledgements have room of their own.
const OUTBOX_BYTES_FOR_REPLIES: usize = 64 << 10;
