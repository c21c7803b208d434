//! Whoever leaves while it is not read is heard out: a burst and a goodbye are how many programs publish. The end of the connection itself is
//! in `ending.rs`, and for how long whoever stays is not read in `receive/stalling.rs` and `metering.rs`.
//!
//! Two words come of it. The first is that the client has gone while there is something left to read: that is looked for at those alone that wait
//! for their rates. The last is that all has come that will.

use crate::{
    ConnId, Effect, Shard,
    connection::{Connection, Hearing},
    meters::Meters,
    turn::Turn,
};

impl Shard {
    /// A client that waits for its rate has gone, and what it has sent by then is still to be read: it is read at once, and goes as
    /// [`Shard::hear_out`] says. Its DISCONNECT may be the last of it.
    pub(crate) fn handle_leaving(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if connection.meters_mut().is_some_and(Meters::leave) {
            self.resume(conn, turn);
        }
    }

    /// A client that waited for its rate has gone. What had come of it by then is handled as far as a second more of its own rate
    /// allows, and those that it shares allow now: who sends a few messages and leaves must not lose them. The rest is dropped.
    /// Of one that waited for room in the mesh, for its own filters or for answers to them, all is handled but filters for which there is
    /// no room in this turn: nobody waits for them any more.
    pub(crate) fn hear_out(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if self.drain.has_begun() || !connection.is_stalled() || connection.session().is_none() {
            return;
        }
        if let Some(meters) = connection.meters_mut() {
            meters.leave();
        }
        connection.hearing = Hearing::HeardOut;
        self.stalled.remove(conn);
        let before = turn.effects.queue.len();
        self.give_up_change(conn);
        self.consume_kept(conn, turn);
        // Nobody is there any more to whom anything could be done.
        let mut at = 0;
        turn.effects.queue.retain(|effect| {
            at += 1;
            at <= before || !concerns(effect, conn)
        });
    }

    pub(crate) fn has_gone(&self, conn: ConnId) -> bool {
        self.connections.get(conn).is_some_and(Connection::has_gone)
    }
}

/// To be done to this very connection.
fn concerns(effect: &Effect, it: ConnId) -> bool {
    match effect {
        Effect::Send { conn, .. }
        | Effect::Close { conn }
        | Effect::Read { conn, .. }
        | Effect::HandOver { conn, .. }
        | Effect::Authenticate { conn, .. } => *conn == it,
        _ => false,
    }
}
