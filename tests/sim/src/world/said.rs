//! Which packets a shard has handled in an event. It can hold packets back while it waits for others; its count of
//! packets tells how many it took.

use shard::{Effect, Reading, What};

use super::World;
use crate::{
    ledger::Oracle,
    said::Said,
    socket::{Owner, Side},
};
use mqtt::{PacketKind, ReasonCode};

impl World {
    /// `packets` were handled in the event that led to `effects`; says so to the ledger, packet by packet.
    pub(super) fn note_said(&mut self, core: usize, source: Option<usize>, packets: u64, effects: &[Effect]) {
        if packets == 0 {
            // Who is on the way out is not listened to any more.
            if let Some(socket) = source.filter(|socket| !self.cores[core].paused.contains(socket)) {
                self.sockets[socket].held.clear();
            }
            return;
        }
        let mut left = packets as usize;
        let mut shares: Vec<(usize, usize)> = Vec::new();
        let waiting: Vec<usize> = (0..self.sockets.len())
            .filter(|socket| self.sockets[*socket].on().is_some_and(|(shard, _)| shard == core))
            .filter(|socket| !self.sockets[*socket].held.is_empty())
            .filter(|socket| source == Some(*socket) || self.cores[core].paused.contains(socket))
            .collect();
        let mut partial = Vec::new();
        for socket in waiting {
            let Some((_, conn)) = self.sockets[socket].on() else { continue };
            let held = self.sockets[socket].held.len();
            let paused_now = effects
                .iter()
                .any(|e| matches!(e, Effect::Read { conn: c, reading: Reading::Paused } if *c == conn));
            let was_paused = self.cores[core].paused.contains(&socket);
            let goes_on = effects.iter().any(|e| match e {
                Effect::Read { conn: c, reading } => *c == conn && *reading != Reading::Paused,
                Effect::Note(note) => note.conn == Some(conn) && !matches!(note.what, What::Connected { .. }),
                _ => false,
            });
            let moves = effects.iter().any(|e| matches!(e, Effect::HandOver { conn: c, .. } if *c == conn));
            if moves || self.is_elsewhere(core, socket) {
                // Its CONNECT was looked at, and counted, but it is said only at home.
                left = left.saturating_sub(usize::from(moves || paused_now));
            } else if paused_now {
                partial.push((socket, held));
            } else if goes_on || !was_paused {
                shares.push((socket, held.min(left)));
                left -= held.min(left);
            }
        }
        for (socket, held) in partial {
            shares.push((socket, held.min(left)));
            left -= held.min(left);
        }
        let is_full = |effect: &Effect, conn| {
            matches!(effect, Effect::Note(note) if note.conn == Some(conn)
                && matches!(note.what, What::Refused { reason: ReasonCode::QuotaExceeded, .. }))
        };
        for (socket, share) in shares {
            let conn = self.sockets[socket].on().map(|(_, conn)| conn);
            // A CONNECT whose will finds no memory is refused; only a run with little memory may see that.
            let has_no_room = conn.is_some_and(|conn| effects.iter().any(|effect| is_full(effect, conn)));
            self.sockets[socket].refuse |= has_no_room && self.settings.queues_are_small;
            for _ in 0..share {
                if let Some(said) = self.sockets[socket].held.pop_front() {
                    self.advance();
                    self.hear(core, socket, said);
                }
            }
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
