//! Which packets a shard has handled in an event. It can hold packets back while it waits for others; its count of
//! packets tells how many it took.

use std::collections::BTreeMap;

use shard::{ConnId, Effect, Look, Matching, Reading, Seen, What};

use super::World;
use crate::{
    ledger::{End, Oracle},
    said::Said,
    socket::{Owner, Side},
};
use mqtt::{PacketKind, ReasonCode};

/// By connection.
pub(super) type Taken = BTreeMap<ConnId, u64>;

impl World {
    /// `packets` were handled in the event that led to `effects`; says so to the ledger, packet by packet.
    pub(super) fn note_said(
        &mut self,
        core: usize,
        source: Option<usize>,
        packets: u64,
        taken_before: &Taken,
        effects: &[Effect],
    ) {
        if packets == 0 {
            // Who is on the way out is not listened to any more.
            self.forget_unheard(core, source, effects);
            return;
        }
        for (socket, share) in self.shares(core, source, packets as usize, taken_before, effects) {
            let conn = self.sockets[socket].on().map(|(_, conn)| conn);
            // A CONNECT whose will finds no memory is refused; only a run with little memory may see that.
            let has_no_room = conn.is_some_and(|conn| effects.iter().any(|effect| is_refusal(effect, conn)));
            self.sockets[socket].refuse |= has_no_room
                && (self.settings.queues_are_small
                    || self.ledger.store_gets_full
                    || self.ledger.is_store_failed(core));
            for _ in 0..share {
                if let Some(said) = self.sockets[socket].held.pop_front() {
                    self.advance();
                    self.hear(core, socket, said);
                }
            }
        }
    }

    /// A connection is lost, and before that so many of the packets were handled that it had brought.
    pub(super) fn note_last_said(&mut self, core: usize, socket: usize, packets: u64) {
        for _ in 0..packets {
            if let Some(said) = self.sockets[socket].held.pop_front() {
                self.advance();
                self.hear(core, socket, said);
            }
        }
        self.sockets[socket].held.clear();
        self.advance();
        self.ledger.end_connection(socket, End::Lost);
    }

    /// A CONNECT counts when it comes and takes effect when it is known whose it is. Gives the number of those that came.
    pub(super) fn note_asked(&mut self, core: usize, effects: &[Effect]) -> u64 {
        let mut asked = 0;
        for effect in effects {
            let Effect::Authenticate { conn, .. } = effect else { continue };
            if let Some(socket) = self.socket_of(core, *conn) {
                self.sockets[socket].is_asked = true;
                asked += 1;
            }
        }
        asked
    }

    /// It is known whose the CONNECT is.
    pub(super) fn hear_answered(&mut self, core: usize, source: Option<usize>) {
        let Some(socket) = source else { return };
        if std::mem::take(&mut self.sockets[socket].is_asked)
            && let Some(said) = self.sockets[socket].held.pop_front()
        {
            self.advance();
            self.hear(core, socket, said);
        }
    }

    /// How many packets of which socket were handled: the one that brought bytes comes first, then those that were paused.
    fn shares(
        &self,
        core: usize,
        source: Option<usize>,
        packets: usize,
        taken_before: &Taken,
        effects: &[Effect],
    ) -> Vec<(usize, usize)> {
        let mut left = packets;
        let mut shares = Vec::new();
        let mut partial = Vec::new();
        let paused = self.cores[core].paused.iter().copied().filter(|socket| source != Some(*socket));
        let mut paused: Vec<usize> = paused.collect();
        paused.sort_by_key(|socket| self.read_at(*socket, effects));
        for socket in source.into_iter().chain(paused) {
            let it = &self.sockets[socket];
            let Some((_, conn)) = it.on().filter(|_| !it.held.is_empty() && !it.is_asked) else { continue };
            let mut share = it.held.len();
            let mut is_partial = false;
            match outcome(effects, conn) {
                // Its CONNECT was looked at, and counted, but it is said only at home.
                Outcome::Moves => {
                    left = left.saturating_sub(1);
                    continue;
                }
                // Its CONNECT waits for room to move; it is counted when it moves.
                Outcome::Paused if self.is_elsewhere(core, socket) => continue,
                Outcome::Paused => is_partial = true,
                // Only its own DISCONNECT was handled, if that is what ended it.
                Outcome::Ended => {
                    let last = it.held.iter().position(|said| matches!(said, Said::Disconnect { .. }));
                    let was_handled = source == Some(socket) || last.is_some();
                    share = last.map_or(share, |at| at + 1) * usize::from(was_handled);
                }
                Outcome::Reads => {}
                Outcome::Nothing if source == Some(socket) => {}
                Outcome::Nothing => continue,
            }
            if is_partial {
                partial.push((socket, share));
            } else {
                shares.push((socket, share.min(left)));
                left -= share.min(left);
            }
        }
        if let Some(known) = self.partial_shares(core, &partial, left, taken_before) {
            shares.extend(known);
        } else {
            for (socket, share) in partial {
                shares.push((socket, share.min(left)));
                left -= share.min(left);
            }
        }
        // Who is paused again may have stood before who goes on.
        shares.sort_by_key(|(socket, _)| (source != Some(*socket), self.read_at(*socket, effects)));
        shares
    }

    /// Each of these was paused again somewhere among its packets: the shard says where, if it counts them. Strangers can have
    /// taken part, and nobody keeps account of theirs.
    fn partial_shares(
        &self,
        core: usize,
        partial: &[(usize, usize)],
        packets: usize,
        taken_before: &Taken,
    ) -> Option<Vec<(usize, usize)>> {
        if partial.is_empty() || taken_before.is_empty() {
            return None;
        }
        let taken = self.taken(core);
        let share = |(socket, held): &(usize, usize)| {
            let share = self.taken_of(*socket, taken_before, &taken).filter(|taken| taken <= held)?;
            Some((*socket, share))
        };
        let shares: Vec<(usize, usize)> = partial.iter().map(share).collect::<Option<_>>()?;
        let total: usize = shares.iter().map(|(_, share)| share).sum();
        (total == packets || (self.settings.strangers && total < packets)).then_some(shares)
    }

    /// What the shard has taken before an event, if that may have to be known: where more than one connection can go on.
    pub(super) fn taken_before(&self, core: usize, source: Option<usize>) -> Taken {
        let can_go_on = |socket: &&usize| {
            let it = &self.sockets[**socket];
            source != Some(**socket) && (it.owner == Owner::Stranger || !it.held.is_empty())
        };
        let others = self.cores[core].paused.iter().filter(can_go_on).count();
        if others + usize::from(source.is_some()) > 1 { self.taken(core) } else { Taken::new() }
    }

    /// How many packets the shard has taken of each session, as far as it counts them.
    fn taken(&self, core: usize) -> Taken {
        let look = Look::Clients { matching: Matching::default(), after: None, most: usize::MAX };
        let Seen::Clients(page) = self.cores[core].shard.look(self.shard_now(), &look) else {
            return Taken::new();
        };
        let of_row = |row: shard::ClientSeen| (row.link.map(|link| link.conn), row.traffic.packets_received);
        page.rows.into_iter().map(of_row).filter_map(|(conn, taken)| Some((conn?, taken))).collect()
    }

    fn taken_of(&self, socket: usize, before: &Taken, since: &Taken) -> Option<usize> {
        let (_, conn) = self.sockets[socket].on()?;
        let taken = since.get(&conn)?.checked_sub(*before.get(&conn)?)?;
        usize::try_from(taken).ok()
    }

    /// Where among the effects the socket is read again, or ends: those that are go on in this order.
    fn read_at(&self, socket: usize, effects: &[Effect]) -> Option<usize> {
        let (_, conn) = self.sockets[socket].on()?;
        effects.iter().position(|effect| match effect {
            Effect::Read { conn: read, .. } => *read == conn,
            Effect::Note(note) => note.conn == Some(conn) && ends(&note.what),
            _ => false,
        })
    }

    /// What a connection brought that is on the way out; one that is only paused will be heard.
    fn forget_unheard(&mut self, core: usize, source: Option<usize>, effects: &[Effect]) {
        let Some(socket) = source.filter(|socket| !self.cores[core].paused.contains(socket)) else { return };
        let Some((_, conn)) = self.sockets[socket].on() else { return };
        let is_pause = |effect: &Effect| matches!(effect, Effect::Read { conn: c, reading: Reading::Paused } if *c == conn);
        if !effects.iter().any(is_pause) {
            self.sockets[socket].held.clear();
        }
    }

    /// The connection has to move before anybody hears it.
    fn is_elsewhere(&self, core: usize, socket: usize) -> bool {
        match self.sockets[socket].held.front() {
            Some(Said::Connect(said)) if !said.client_id.is_empty() && !self.sockets[socket].refuse => {
                self.ledger.placement.client(&said.client_id).index() != core
            }
            _ => false,
        }
    }

    /// One packet is handled by a shard.
    fn hear(&mut self, core: usize, socket: usize, said: Said) {
        self.trace.explain(self.now, format_args!("    {core} hears socket {socket}: {said:?}"));
        self.ledger.on_heard(socket);
        match said {
            Said::Connect(said) => {
                self.sockets[socket].given = None;
                let refuse = self.sockets[socket].refuse;
                self.ledger.on_connect(socket, core, *said, refuse);
            }
            Said::Publish { id, packet_id } => self.ledger.on_publish(socket, id, packet_id),
            Said::Puback { packet_id } => {
                self.ledger.on_client_ack(socket, PacketKind::Puback, packet_id, false)
            }
            Said::Pubrec { packet_id, is_error } => {
                self.ledger.on_client_ack(socket, PacketKind::Pubrec, packet_id, is_error);
            }
            Said::Pubrel { packet_id } => self.ledger.on_pubrel(socket, packet_id),
            Said::Pubcomp { packet_id } => {
                self.ledger.on_client_ack(socket, PacketKind::Pubcomp, packet_id, false);
            }
            Said::Subscribe { packet_id, subscription_id, filters } => {
                self.ledger.on_subscribe(socket, packet_id, subscription_id, &filters);
            }
            Said::Unsubscribe { packet_id, filters } => {
                self.ledger.on_unsubscribe(socket, packet_id, &filters)
            }
            Said::Pingreq => self.ledger.on_ping(socket),
            Said::Disconnect { with_will, session_expiry_s } => {
                self.ledger.on_client_disconnect(socket, with_will, session_expiry_s);
            }
        }
    }

    /// At rest nothing that arrived may be left unheard, and nothing may be left in a socket that nobody reads.
    pub fn check_everything_heard(&mut self) {
        for index in 0..self.sockets.len() {
            let socket = &self.sockets[index];
            let is_client = matches!(socket.owner, Owner::Client(_));
            let is_unread = !socket.held.is_empty() || (socket.up_len() > 0 && !socket.dead);
            if is_client && is_unread && matches!(socket.side, Side::Open { .. }) {
                let what = format!(
                    "socket {index}: {} bytes are not read ({:?}), {} packets not handled",
                    socket.up_len(),
                    socket.receive,
                    socket.held.len()
                );
                self.ledger.fail(Oracle::Stuck, what);
            }
        }
    }
}

/// What became of a connection in an event.
enum Outcome {
    Nothing,
    Reads,
    Paused,
    Moves,
    Ended,
}

fn outcome(effects: &[Effect], conn: ConnId) -> Outcome {
    let mut outcome = Outcome::Nothing;
    for effect in effects {
        outcome = match effect {
            Effect::HandOver { conn: c, .. } if *c == conn => Outcome::Moves,
            Effect::Note(note) if note.conn == Some(conn) && ends(&note.what) => Outcome::Ended,
            Effect::Read { conn: c, reading: Reading::Paused } if *c == conn => match outcome {
                Outcome::Ended => Outcome::Ended,
                _ => Outcome::Paused,
            },
            Effect::Read { conn: c, .. } if *c == conn => Outcome::Reads,
            _ => outcome,
        };
    }
    outcome
}

/// What is said of a connection that is over from then on.
pub(super) fn ends(what: &What) -> bool {
    matches!(
        what,
        What::Refused { .. }
            | What::Violation { .. }
            | What::QuotaExceeded { .. }
            | What::Disconnected { .. }
            | What::TakenOver
    )
}

fn is_refusal(effect: &Effect, conn: ConnId) -> bool {
    let Effect::Note(note) = effect else { return false };
    let is_room = |reason| matches!(reason, ReasonCode::QuotaExceeded | ReasonCode::ServerUnavailable);
    note.conn == Some(conn) && matches!(note.what, What::Refused { reason, .. } if is_room(reason))
}
