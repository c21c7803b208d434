//! Packets whose end has not come: who holds how much of them, and who gives way when all of them together have no room.
//!
//! A holder is a connection that holds more than a few KiB; what others hold is kept whatever holders do. Who has brought nothing
//! worth mentioning for longest stands first, and goes first: when there is no room, or when that takes too long.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::{Quota, RECEIVE_BYTES_ALWAYS};
use crate::{ConnId, Instant, Shard, connection::Stage, shard::Deadline, turn::Turn};

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

/// Whoever waits for the broker is not late, and gives way after those who could go on.
#[derive(Default)]
struct Queue {
    free: Line,
    waiting: Line,
}

#[derive(Default)]
struct Line {
    order: BTreeMap<u64, ConnId>,
    bytes: usize,
}

/// In which line of which queue a holder stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    is_coming: bool,
    /// For the broker, which does not read it.
    is_waiting: bool,
}

struct Holder {
    place: Place,
    /// Its turn in the line.
    number: u64,
    bytes: usize,
    /// When it came to its turn, and what it held then.
    since: Instant,
    bytes_then: usize,
}

impl Line {
    fn first(&self) -> Option<ConnId> {
        self.order.values().next().copied()
    }
}

impl Queue {
    fn bytes(&self) -> usize {
        self.free.bytes + self.waiting.bytes
    }

    fn len(&self) -> usize {
        self.free.order.len() + self.waiting.order.len()
    }

    /// Who gives way to what `bringing` has brought. Those who wait do so where they alone have more than their part, and where nobody else
    /// is left but the one who goes on.
    fn first(&self, waiting_bytes_max: usize, bringing: ConnId) -> Option<ConnId> {
        let free = self.free.first();
        let is_left_alone = free == Some(bringing) && self.free.order.len() == 1;
        match self.waiting.first() {
            Some(waiting) if free.is_none() || is_left_alone || self.waiting.bytes > waiting_bytes_max => {
                Some(waiting)
            }
            _ => free,
        }
    }
}

impl Unfinished {
    pub fn new(hasher: ahash::RandomState) -> Unfinished {
        Unfinished {
            coming: Queue::default(),
            connected: Queue::default(),
            holders: HashMap::with_hasher(hasher),
            numbers: 0,
            is_armed: false,
            alias_bytes: 0,
        }
    }

    /// Who has brought a stretch of its packet since it came to its turn goes to the end of the line.
    fn hold(&mut self, conn: ConnId, place: Place, bytes: usize, now: Instant) {
        let Some(holder) = self.holders.get_mut(&conn) else {
            return self.begin(conn, place, bytes, now);
        };
        if holder.place != place || bytes >= holder.bytes_then + STRETCH_BYTES {
            self.remove(conn);
            return self.begin(conn, place, bytes, now);
        }
        let before = std::mem::replace(&mut holder.bytes, bytes);
        let line = self.line(place);
        line.bytes = line.bytes - before + bytes;
    }

    fn begin(&mut self, conn: ConnId, place: Place, bytes: usize, now: Instant) {
        self.numbers += 1;
        let holder = Holder { place, number: self.numbers, bytes, since: now, bytes_then: bytes };
        let line = self.line(place);
        line.bytes += bytes;
        line.order.insert(holder.number, conn);
        self.holders.insert(conn, holder);
    }

    fn remove(&mut self, conn: ConnId) {
        let Some(holder) = self.holders.remove(&conn) else { return };
        let line = self.line(holder.place);
        line.bytes -= holder.bytes;
        line.order.remove(&holder.number);
    }

    /// To the end of the line, without having brought anything.
    fn renew(&mut self, conn: ConnId, place: Place, now: Instant) {
        let Some(holder) = self.holders.get(&conn) else { return };
        let bytes = holder.bytes;
        self.remove(conn);
        self.begin(conn, place, bytes, now);
    }

    fn line(&mut self, place: Place) -> &mut Line {
        let queue = if place.is_coming { &mut self.coming } else { &mut self.connected };
        if place.is_waiting { &mut queue.waiting } else { &mut queue.free }
    }

    /// Who gives way, if what is held is too much: first of those who have not connected where they hold more than their part.
    fn first_beyond(&self, bytes_max: usize, coming_bytes_max: usize, bringing: ConnId) -> Option<ConnId> {
        let (coming, connected) = (self.coming.bytes(), self.connected.bytes());
        if coming > coming_bytes_max {
            return self.coming.first(coming_bytes_max / 2, bringing);
        }
        if coming + connected <= bytes_max {
            return None;
        }
        let has_its_turn = self.connected_have_more(bytes_max.saturating_sub(coming_bytes_max));
        // Of clients that wait for the broker nobody gives way to those beyond the door who could go on.
        let all_wait = self.connected.free.order.is_empty() && !self.coming.free.order.is_empty();
        if coming == 0 || has_its_turn && !all_wait {
            self.connected.first(bytes_max / 2, bringing)
        } else {
            self.coming.first(coming_bytes_max / 2, bringing)
        }
    }

    /// One alone may have all that nobody else is connected to use.
    fn connected_have_more(&self, part_bytes: usize) -> bool {
        self.connected.bytes() > part_bytes && self.connected.len() > 1
    }

    /// Who has been at its turn for longest, in whatever line.
    fn first_connected(&self) -> Option<(ConnId, Instant)> {
        let lines = [&self.connected.free, &self.connected.waiting];
        let firsts = lines.into_iter().filter_map(|line| line.order.first_key_value());
        let (_, conn) = firsts.min_by_key(|(number, _)| **number)?;
        Some((*conn, self.holders[conn].since))
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
        let place = self.place_of(conn);
        self.unfinished.hold(conn, place, bytes, turn.now);
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
        self.give_up_change(conn);
        let Some(connection) = self.connections.get_mut(conn) else { return };
        let (bytes, of_aliases) = connection.release_receiving();
        self.totals.receive_bytes -= bytes;
        self.unfinished.alias_bytes -= beyond_always(of_aliases);
    }

    fn make_room(&mut self, conn: ConnId, turn: &mut Turn<'_>) -> bool {
        let bytes_max = self.config.limits.receive_memory_max;
        let room = bytes_max.saturating_sub(self.unfinished.alias_bytes);
        for _ in 0..ENDED_AT_ONCE {
            let Some(first) = self.unfinished.first_beyond(room, bytes_max / 2, conn) else { return true };
            assert!(self.connections.get(first).is_some(), "who holds something is there");
            // What it waits for may have changed since it came to its place.
            let place = self.place_of(first);
            if self.unfinished.holders[&first].place != place {
                self.unfinished.renew(first, place, turn.now);
                continue;
            }
            if first == conn {
                return false;
            }
            self.end_for_breach(first, Quota::ReceiveMemory.into(), turn);
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
            let place = self.place_of(conn);
            if place.is_waiting {
                self.unfinished.renew(conn, place, turn.now);
                continue;
            }
            self.end_for_breach(conn, Quota::PacketTime.into(), turn);
        }
        self.arm_unfinished(turn);
    }

    fn place_of(&self, conn: ConnId) -> Place {
        let Some(connection) = self.connections.get(conn) else {
            return Place { is_coming: true, is_waiting: false };
        };
        // It is not read because of others, for its rate, or until somebody has said who it is: that it brings nothing is not its fault.
        let is_waiting =
            connection.is_awaited() || connection.is_stalled() && !self.takes_no_replies(connection);
        Place { is_coming: connection.session().is_none(), is_waiting }
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

    /// Bytes of the CONNECT that waits, or of filters that do, which are held with what came behind them.
    pub(super) fn bytes_besides(&self, conn: ConnId) -> usize {
        let Some(connection) = self.connections.get(conn) else { return 0 };
        match connection.stage {
            Stage::Asking => connection.standing.as_ref().map_or(0, |standing| standing.connect.len()),
            Stage::Connected(_) if connection.is_changing => self.changes.bytes_of(conn),
            _ => 0,
        }
    }
}

/// What counts of one connection.
fn beyond_always(bytes: usize) -> usize {
    if bytes > RECEIVE_BYTES_ALWAYS { bytes } else { 0 }
}

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

    const FREE: Place = Place { is_coming: false, is_waiting: false };
    const WAITING: Place = Place { is_coming: false, is_waiting: true };
    const COMING: Place = Place { is_coming: true, is_waiting: false };
    const AWAITED: Place = Place { is_coming: true, is_waiting: true };

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    #[test]
    fn who_has_not_gone_on_for_longest_stands_first() {
        let mut unfinished = Unfinished::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let at = Instant::from_nanos;
        for slot in 0..3 {
            unfinished.hold(conn(slot), FREE, 5000, at(u64::from(slot)));
        }
        // A few bytes more are no progress, a stretch is.
        unfinished.hold(conn(0), FREE, 5000 + STRETCH_BYTES - 1, at(10));
        assert_eq!(unfinished.first_connected(), Some((conn(0), at(0))));
        unfinished.hold(conn(0), FREE, 5000 + STRETCH_BYTES, at(11));
        assert_eq!(unfinished.first_connected(), Some((conn(1), at(1))));
        assert_eq!(unfinished.connected.bytes(), 15_000 + STRETCH_BYTES);
        // Who waits has another line, and the same time.
        unfinished.hold(conn(1), WAITING, 5000, at(12));
        unfinished.hold(conn(2), WAITING, 5000, at(13));
        assert_eq!(unfinished.first_connected(), Some((conn(0), at(11))));
        unfinished.renew(conn(0), FREE, at(14));
        assert_eq!(unfinished.first_connected(), Some((conn(1), at(12))));
        for slot in 0..3 {
            unfinished.remove(conn(slot));
        }
        assert!(unfinished.holders.is_empty() && unfinished.connected.len() == 0);
        assert_eq!(unfinished.connected.bytes(), 0);
    }

    #[test]
    fn those_who_have_not_connected_give_way_beyond_their_part() {
        let mut unfinished = Unfinished::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let first = |unfinished: &Unfinished| unfinished.first_beyond(100_000, 50_000, conn(9));
        unfinished.hold(conn(0), COMING, 50_000, Instant::START);
        unfinished.hold(conn(1), FREE, 30_000, Instant::START);
        assert_eq!(first(&unfinished), None);
        // Both together are too many, and those who are connected have more than their half.
        unfinished.hold(conn(2), FREE, 30_000, Instant::START);
        assert_eq!(first(&unfinished), Some(conn(1)));
        unfinished.hold(conn(0), COMING, 50_001, Instant::START);
        assert_eq!(first(&unfinished), Some(conn(0)));
        // Who is connected and alone has room for a packet of any size.
        unfinished.remove(conn(1));
        unfinished.hold(conn(0), COMING, 50_000, Instant::START);
        unfinished.hold(conn(2), FREE, 90_000, Instant::START);
        assert_eq!(first(&unfinished), Some(conn(0)));
        unfinished.remove(conn(0));
        assert_eq!(first(&unfinished), None);
    }

    #[test]
    fn who_waits_gives_way_after_the_others_and_before_all_of_them_where_too_many_wait() {
        let mut unfinished = Unfinished::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        let first =
            |unfinished: &Unfinished, bringing| unfinished.first_beyond(100_000, 50_000, conn(bringing));
        unfinished.hold(conn(0), WAITING, 40_000, Instant::START);
        unfinished.hold(conn(1), FREE, 40_000, Instant::START);
        unfinished.hold(conn(2), FREE, 40_000, Instant::START);
        assert_eq!(first(&unfinished, 2), Some(conn(1)));
        // The only other one, which goes on: a packet of the permitted size has room.
        unfinished.remove(conn(1));
        unfinished.hold(conn(2), FREE, 70_000, Instant::START);
        assert_eq!(first(&unfinished, 2), Some(conn(0)));
        assert_eq!(first(&unfinished, 0), Some(conn(2)));
        unfinished.hold(conn(0), WAITING, 50_001, Instant::START);
        assert_eq!(first(&unfinished, 0), Some(conn(0)), "those who wait have more than half");
        // Beyond the door it is the same, and clients that wait do not give way to it.
        unfinished.remove(conn(2));
        unfinished.hold(conn(0), WAITING, 60_000, Instant::START);
        unfinished.hold(conn(3), WAITING, 30_000, Instant::START);
        unfinished.hold(conn(4), AWAITED, 10_000, Instant::START);
        unfinished.hold(conn(5), COMING, 10_000, Instant::START);
        assert_eq!(first(&unfinished, 5), Some(conn(4)), "it is left alone with those who wait");
        assert_eq!(first(&unfinished, 3), Some(conn(5)));
        unfinished.remove(conn(5));
        unfinished.hold(conn(4), AWAITED, 20_000, Instant::START);
        assert_eq!(first(&unfinished, 3), Some(conn(0)));
    }
}
