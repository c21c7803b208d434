//! Packets whose end has not come: who holds how much of them, and who gives way when all of them together have no room.
//!
//! A holder is a connection that holds more than a few KiB; what others hold is kept whatever holders do. Who has brought nothing
//! worth mentioning for longest stands first, and goes first: when there is no room, or when that takes too long.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use mqtt::{ReasonCode, Violation};

use super::RECEIVE_BYTES_ALWAYS;
use crate::{ConnId, Instant, Shard, connection::Stage, shard::Deadline, turn::Turn};

#[derive(Default)]
pub(crate) struct Unfinished {
    /// Of those who have not connected yet.
    coming: Queue,
    connected: Queue,
    holders: HashMap<ConnId, Holder, ahash::RandomState>,
    numbers: u64,
    is_armed: bool,
    /// Of topics behind aliases, for connections with many bytes of them.
    alias_bytes: usize,
}

#[derive(Default)]
struct Queue {
    order: BTreeMap<u64, ConnId>,
    bytes: usize,
}

struct Holder {
    is_coming: bool,
    /// Its place in the queue.
    number: u64,
    bytes: usize,
    /// When it came to its place, and what it held then.
    since: Instant,
    bytes_then: usize,
}

impl Unfinished {
    /// Who has brought a stretch of its packet since it came to its place goes to the end of the queue.
    fn hold(&mut self, conn: ConnId, is_coming: bool, bytes: usize, now: Instant) {
        let Some(holder) = self.holders.get_mut(&conn) else {
            return self.begin(conn, is_coming, bytes, now);
        };
        if holder.is_coming != is_coming || bytes >= holder.bytes_then + STRETCH_BYTES {
            self.remove(conn);
            return self.begin(conn, is_coming, bytes, now);
        }
        let queue = if is_coming { &mut self.coming } else { &mut self.connected };
        queue.bytes = queue.bytes - holder.bytes + bytes;
        holder.bytes = bytes;
    }

    fn begin(&mut self, conn: ConnId, is_coming: bool, bytes: usize, now: Instant) {
        self.numbers += 1;
        let holder = Holder { is_coming, number: self.numbers, bytes, since: now, bytes_then: bytes };
        let queue = self.queue(is_coming);
        queue.bytes += bytes;
        queue.order.insert(holder.number, conn);
        self.holders.insert(conn, holder);
    }

    fn remove(&mut self, conn: ConnId) {
        let Some(holder) = self.holders.remove(&conn) else { return };
        let queue = self.queue(holder.is_coming);
        queue.bytes -= holder.bytes;
        queue.order.remove(&holder.number);
    }

    /// To the end of the queue, without having brought anything.
    fn renew(&mut self, conn: ConnId, now: Instant) {
        let Some(holder) = self.holders.get(&conn) else { return };
        let (is_coming, bytes) = (holder.is_coming, holder.bytes);
        self.remove(conn);
        self.begin(conn, is_coming, bytes, now);
    }

    fn queue(&mut self, is_coming: bool) -> &mut Queue {
        if is_coming { &mut self.coming } else { &mut self.connected }
    }

    /// Who gives way, if what is held is too much: first of those who have not connected where they hold more than their part.
    fn first_beyond(&self, bytes_max: usize, coming_bytes_max: usize) -> Option<ConnId> {
        let queue = if self.coming.bytes > coming_bytes_max {
            &self.coming
        } else if self.coming.bytes + self.connected.bytes <= bytes_max {
            return None;
        } else if self.coming.bytes == 0
            || self.connected_have_more(bytes_max.saturating_sub(coming_bytes_max))
        {
            &self.connected
        } else {
            &self.coming
        };
        queue.order.values().next().copied()
    }

    /// One alone may have all that nobody else is connected to use.
    fn connected_have_more(&self, part_bytes: usize) -> bool {
        self.connected.bytes > part_bytes && self.connected.order.len() > 1
    }

    fn first_connected(&self) -> Option<(ConnId, Instant)> {
        let conn = *self.connected.order.values().next()?;
        Some((conn, self.holders[&conn].since))
    }
}

impl Shard {
    /// Counts what the connection holds now, and makes room for it. False: there is none, since it is the first who has to give way.
    pub(crate) fn hold_unfinished(&mut self, conn: ConnId, bytes: usize, turn: &mut Turn<'_>) -> bool {
        if bytes <= RECEIVE_BYTES_ALWAYS {
            self.let_go_unfinished(conn);
            return true;
        }
        let Some(connection) = self.connections.get_mut(conn) else { return true };
        connection.is_holder = true;
        let is_coming = connection.session().is_none();
        self.unfinished.hold(conn, is_coming, bytes, turn.now);
        self.arm_unfinished(turn);
        self.make_room(conn, turn)
    }

    /// What the connection held is handled.
    pub(crate) fn let_go_unfinished(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if std::mem::take(&mut connection.is_holder) {
            self.unfinished.remove(conn);
        }
    }

    /// What a connection that ends has received goes.
    pub(crate) fn release_receiving(&mut self, conn: ConnId) {
        self.let_go_unfinished(conn);
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let (bytes, of_aliases) = connection.release_receiving();
        self.receive_bytes -= bytes;
        self.unfinished.alias_bytes -= beyond_always(of_aliases);
    }

    fn make_room(&mut self, conn: ConnId, turn: &mut Turn<'_>) -> bool {
        let bytes_max = self.config.limits.receive_memory_max;
        let room = bytes_max.saturating_sub(self.unfinished.alias_bytes);
        for _ in 0..ENDED_AT_ONCE {
            let Some(first) = self.unfinished.first_beyond(room, bytes_max / 2) else { return true };
            if first == conn {
                return false;
            }
            assert!(self.connections.get(first).is_some(), "who holds something is there");
            self.counters.receive_memory_exceeded += 1;
            self.on_violation(first, NO_ROOM, turn);
        }
        true
    }

    /// One timer for all: who stands first is the first whose time is over.
    fn arm_unfinished(&mut self, turn: &Turn<'_>) {
        if self.unfinished.is_armed {
            return;
        }
        let Some((_, since)) = self.unfinished.first_connected() else { return };
        let at = (since + self.config.limits.packet_timeout).max(turn.next_instant());
        self.timers.insert(at, Deadline::Unfinished);
        self.unfinished.is_armed = true;
    }

    pub(crate) fn on_unfinished_deadline(&mut self, turn: &mut Turn<'_>) {
        self.unfinished.is_armed = false;
        for _ in 0..ENDED_AT_ONCE {
            let Some((conn, since)) = self.unfinished.first_connected() else { return };
            if since + self.config.limits.packet_timeout > turn.now {
                break;
            }
            if self.waits_for_others(conn) {
                self.unfinished.renew(conn, turn.now);
                continue;
            }
            self.counters.packet_timeouts += 1;
            let what = "a packet did not go on for packet_timeout_secs";
            self.on_violation(conn, Violation { reason: ReasonCode::QuotaExceeded, what }, turn);
        }
        self.arm_unfinished(turn);
    }

    /// It is not read because of others, or for its rate: that it brings nothing is not its fault.
    fn waits_for_others(&self, conn: ConnId) -> bool {
        self.connections
            .get(conn)
            .is_some_and(|connection| connection.stalled && !self.takes_no_replies(connection))
    }

    /// Whether the topics behind a connection's aliases may become that many bytes; if so, they are counted.
    pub(crate) fn has_room_for_aliases(&mut self, before: usize, after: usize) -> bool {
        let alias_bytes = self.unfinished.alias_bytes - beyond_always(before) + beyond_always(after);
        let has_room = after <= before.max(RECEIVE_BYTES_ALWAYS)
            || alias_bytes <= self.config.limits.receive_memory_max / ALIASES_PART;
        if has_room {
            self.unfinished.alias_bytes = alias_bytes;
        }
        has_room
    }

    /// Bytes of the CONNECT that waits, which are held with what came behind it.
    pub(super) fn connect_bytes(&self, conn: ConnId) -> usize {
        let connection = self.connections.get(conn).filter(|connection| connection.stage == Stage::Asking);
        connection
            .and_then(|connection| connection.standing.as_ref())
            .map_or(0, |standing| standing.connect.len())
    }
}

/// What counts of one connection.
fn beyond_always(bytes: usize) -> usize {
    if bytes > RECEIVE_BYTES_ALWAYS { bytes } else { 0 }
}

pub(super) const NO_ROOM: Violation = Violation {
    reason: ReasonCode::QuotaExceeded,
    what: "unfinished packets of all clients fill max_receive_memory, and this one has waited longest",
};

/// Who brings less of a packet has not gone on with it: single bytes, now and then, keep no place.
const STRETCH_BYTES: usize = 4 << 10;

/// Bounds how long many ends may keep a shard, which a budget that was made smaller, or many who came at once, would bring about.
const ENDED_AT_ONCE: usize = 64;

/// Of the budget, topics behind aliases may take a part, so that packets always have the rest.
pub(crate) const ALIASES_PART: usize = 4;

// What one read brings has room when so many are gone.
const _: () = assert!(ENDED_AT_ONCE * RECEIVE_BYTES_ALWAYS >= 256 << 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_gone_on_for_longest_stands_first() {
        let mut unfinished = Unfinished::default();
        let conn = |slot| ConnId { slot, generation: 0 };
        let at = Instant::from_nanos;
        for slot in 0..3 {
            unfinished.hold(conn(slot), false, 5000, at(u64::from(slot)));
        }
        // A few bytes more are no progress, a stretch is.
        unfinished.hold(conn(0), false, 5000 + STRETCH_BYTES - 1, at(10));
        assert_eq!(unfinished.first_connected(), Some((conn(0), at(0))));
        unfinished.hold(conn(0), false, 5000 + STRETCH_BYTES, at(11));
        assert_eq!(unfinished.first_connected(), Some((conn(1), at(1))));
        assert_eq!(unfinished.connected.bytes, 15_000 + STRETCH_BYTES);
        for slot in 0..3 {
            unfinished.remove(conn(slot));
        }
        assert!(unfinished.holders.is_empty() && unfinished.connected.order.is_empty());
        assert_eq!(unfinished.connected.bytes, 0);
    }

    #[test]
    fn those_who_have_not_connected_give_way_beyond_their_part() {
        let mut unfinished = Unfinished::default();
        let conn = |slot| ConnId { slot, generation: 0 };
        let first = |unfinished: &Unfinished| unfinished.first_beyond(100_000, 50_000);
        unfinished.hold(conn(0), true, 50_000, Instant::START);
        unfinished.hold(conn(1), false, 30_000, Instant::START);
        assert_eq!(first(&unfinished), None);
        // Both together are too many, and those who are connected have more than their half.
        unfinished.hold(conn(2), false, 30_000, Instant::START);
        assert_eq!(first(&unfinished), Some(conn(1)));
        unfinished.hold(conn(0), true, 50_001, Instant::START);
        assert_eq!(first(&unfinished), Some(conn(0)));
        // Who is connected and alone has room for a packet of any size.
        unfinished.remove(conn(1));
        unfinished.hold(conn(0), true, 50_000, Instant::START);
        unfinished.hold(conn(2), false, 90_000, Instant::START);
        assert_eq!(first(&unfinished), Some(conn(0)));
        unfinished.remove(conn(0));
        assert_eq!(first(&unfinished), None);
    }
}
