//! A SUBSCRIBE or UNSUBSCRIBE with more filters than there is room for in a tick: it goes on in the next ones, a piece at a time.
//!
//! Meanwhile its connection is not read, so that what comes behind it waits. Clients that have such a packet under way take turns, and so do
//! long answers. What is done to each filter is in `subscribe.rs`.

use std::collections::VecDeque;

use hashbrown::HashMap;
use mqtt::SubscriptionOptions;

use crate::{
    ConnId, Reading, Shard,
    announce::{News, Waiting},
    keys::SessionKey,
    shard::Deadline,
    subscribe::Removal,
    turn::Turn,
};

/// Of all connections.
pub(crate) struct Changes {
    under_way: HashMap<ConnId, Change, ahash::RandomState>,
    /// In the order of their turns; also connections whose change was given up meanwhile.
    queue: VecDeque<ConnId>,
    /// Requests of SUBSCRIBEs that are known everywhere, and whose answers are too long for the ticks so far.
    answers: VecDeque<u64>,
    /// `Deadline::Changing` is set.
    is_armed: bool,
    /// What this tick may still cost, in bytes of filters.
    left: usize,
    /// What this event, or this turn of a client, may cost without a part of that.
    own: usize,
    /// What filters cost that others were told of and have not confirmed: of these they may have so much to do in one turn of theirs.
    told: usize,
    /// What a tick may cost, and what others may be told before they confirm it.
    part: usize,
}

struct Change {
    session: SessionKey,
    rest: Rest,
    kind: Kind,
}

enum Kind {
    /// `request` is that of its `Waiting`.
    Subscribe {
        request: u64,
        subscription_id: u32,
    },
    Unsubscribe(Removal),
}

/// Filters whose turn has not come, one behind the other: a block for each would cost as much as some of them take.
struct Rest {
    names: String,
    /// Where each of them ends, and what is wanted of it.
    ends: Vec<(u32, SubscriptionOptions)>,
    done: usize,
}

impl Changes {
    pub fn new(hasher: ahash::RandomState) -> Changes {
        Changes {
            under_way: HashMap::with_hasher(hasher),
            queue: VecDeque::new(),
            answers: VecDeque::new(),
            is_armed: false,
            left: 0,
            own: 0,
            told: 0,
            part: 0,
        }
    }

    pub fn begin_tick(&mut self, bytes: usize) {
        self.left = bytes;
        self.part = bytes;
    }

    pub fn begin_event(&mut self, bytes: usize) {
        self.own = bytes;
    }

    /// Whether one more filter may come or go now. What all share is for those who have waited, if somebody has.
    pub fn has_room(&self) -> bool {
        self.own > 0 || (self.left > 0 && self.queue.is_empty() && !self.is_ahead())
    }

    /// The other shards are behind with what they were told.
    fn is_ahead(&self) -> bool {
        self.told > self.part
    }

    pub fn spend(&mut self, bytes: usize) {
        let of_own = bytes.min(self.own);
        self.own -= of_own;
        self.left = self.left.saturating_sub(bytes - of_own);
    }

    /// What is held of filters that wait.
    pub fn bytes_of(&self, conn: ConnId) -> usize {
        self.under_way.get(&conn).map_or(0, |change| change.rest.bytes())
    }

    /// Gives the next client its turn.
    fn next(&mut self) -> Option<(ConnId, Change)> {
        while self.left > 0 && !self.is_ahead() {
            let conn = self.queue.pop_front()?;
            if let Some(change) = self.under_way.remove(&conn) {
                self.own = self.left.min(TURN_BYTES);
                self.left -= self.own;
                return Some((conn, change));
            }
        }
        None
    }

    /// Whether an answer about so many filters is made at once, and not behind those that wait.
    fn takes_answer(&mut self, filters: usize) -> bool {
        if filters <= FEW_FILTERS {
            return true;
        }
        let has_room = self.left > 0 && self.answers.is_empty();
        if has_room {
            self.spend_on_answer(filters);
        }
        has_room
    }

    fn spend_on_answer(&mut self, filters: usize) {
        self.left = self.left.saturating_sub(filters * ANSWER_BYTES);
    }

    /// The answer whose turn it is.
    fn next_answer(&mut self) -> Option<u64> {
        if self.left > 0 { self.answers.pop_front() } else { None }
    }

    fn end_turn(&mut self) {
        self.left += std::mem::take(&mut self.own);
    }
}

impl Rest {
    fn new<'f>(filters: impl ExactSizeIterator<Item = (&'f str, SubscriptionOptions)> + Clone) -> Rest {
        let mut names = String::with_capacity(filters.clone().map(|(filter, _)| filter.len()).sum());
        let mut ends = Vec::with_capacity(filters.len());
        for (filter, options) in filters {
            names.push_str(filter);
            ends.push((u32::try_from(names.len()).expect("a packet has 256 MiB at most"), options));
        }
        Rest { names, ends, done: 0 }
    }

    /// Those that are not done.
    fn iter(&self) -> impl Iterator<Item = (&str, SubscriptionOptions)> {
        let mut begin = self.done.checked_sub(1).map_or(0, |last| self.ends[last].0);
        self.ends[self.done..].iter().map(move |(end, options)| {
            (&self.names[std::mem::replace(&mut begin, *end) as usize..*end as usize], *options)
        })
    }

    fn is_done(&self) -> bool {
        self.done == self.ends.len()
    }

    fn bytes(&self) -> usize {
        self.names.len() + self.ends.len() * size_of::<(u32, SubscriptionOptions)>()
    }
}

impl Shard {
    /// The first filters of a SUBSCRIBE are in place, and these are to follow.
    pub(crate) fn put_off_subscribe(
        &mut self,
        mut waiting: Waiting,
        news: News,
        subscription_id: u32,
        filters: &[(&str, SubscriptionOptions)],
        turn: &mut Turn<'_>,
    ) {
        let request = self.next_request();
        let (conn, session) = (waiting.conn, waiting.session);
        self.announce_piece(request, &mut waiting, news, 0, turn);
        self.wait_for_others(request, waiting);
        let rest = Rest::new(filters.iter().copied());
        self.put_off(
            conn,
            Change { session, rest, kind: Kind::Subscribe { request, subscription_id } },
            turn,
        );
    }

    pub(crate) fn put_off_unsubscribe(
        &mut self,
        conn: ConnId,
        session: SessionKey,
        removal: Removal,
        filters: &[&str],
        turn: &mut Turn<'_>,
    ) {
        let rest = Rest::new(filters.iter().map(|filter| (*filter, SubscriptionOptions::default())));
        self.put_off(conn, Change { session, rest, kind: Kind::Unsubscribe(removal) }, turn);
    }

    fn put_off(&mut self, conn: ConnId, change: Change, turn: &mut Turn<'_>) {
        let connection = self.connections.get_mut(conn).expect("its packet is being handled");
        connection.is_changing = true;
        self.stop_reading(conn, Reading::Paused, turn);
        self.totals.receive_bytes += change.rest.bytes();
        self.counters.changes_put_off += 1;
        self.keep_turn(conn, change, turn);
    }

    fn keep_turn(&mut self, conn: ConnId, change: Change, turn: &Turn<'_>) {
        self.changes.under_way.insert(conn, change);
        self.changes.queue.push_back(conn);
        self.arm_if_waited_for(turn);
    }

    fn arm_changing(&mut self, turn: &Turn<'_>) {
        if !std::mem::replace(&mut self.changes.is_armed, true) {
            self.timers.insert(turn.next_instant(), Deadline::Changing);
        }
    }

    pub(crate) fn on_changing_deadline(&mut self, turn: &mut Turn<'_>) {
        self.changes.is_armed = false;
        // Everybody goes, and nobody is answered any more.
        if self.drain.has_begun() {
            return;
        }
        while let Some(request) = self.changes.next_answer() {
            self.begin_answer();
            self.changes.spend_on_answer(self.announcements.waiting[&request].codes.len());
            self.complete(request, turn);
        }
        while let Some((conn, change)) = self.changes.next() {
            self.begin_answer();
            self.post.set_sender(Some(conn));
            self.change_on(conn, change, turn);
            self.post.set_sender(None);
            self.changes.end_turn();
        }
        self.arm_if_waited_for(turn);
    }

    /// Where others are behind, their confirmation lets those go on who wait for a turn.
    fn arm_if_waited_for(&mut self, turn: &Turn<'_>) {
        let goes_on = !self.changes.queue.is_empty() && !self.changes.is_ahead();
        if goes_on || !self.changes.answers.is_empty() {
            self.arm_changing(turn);
        }
    }

    pub(crate) fn tell_of_changes(&mut self, bytes: usize) {
        self.changes.told += bytes;
    }

    /// All other shards have confirmed what they were told.
    pub(crate) fn confirm_changes(&mut self, bytes: usize, turn: &Turn<'_>) {
        self.changes.told -= bytes;
        self.arm_if_waited_for(turn);
    }

    /// All shards know all filters of the SUBSCRIBE. On a busy machine the news of many come at once: long answers are made one after
    /// the other, as many in a tick as there is room for.
    pub(crate) fn answer_in_turn(&mut self, request: u64, turn: &mut Turn<'_>) {
        if self.changes.takes_answer(self.announcements.waiting[&request].codes.len()) {
            return self.complete(request, turn);
        }
        self.changes.answers.push_back(request);
        self.arm_changing(turn);
    }

    fn change_on(&mut self, conn: ConnId, mut change: Change, turn: &mut Turn<'_>) {
        let session = change.session;
        change.rest.done += match &mut change.kind {
            Kind::Subscribe { request, subscription_id } => {
                self.subscribe_on(*request, *subscription_id, &change.rest, turn)
            }
            Kind::Unsubscribe(removal) => {
                let before = removal.codes.len();
                let filters = change.rest.iter().map(|(filter, _)| filter);
                self.unsubscribe_some(conn, session, removal, filters, turn);
                removal.codes.len() - before
            }
        };
        if !change.rest.is_done() {
            return self.keep_turn(conn, change, turn);
        }
        self.end_change(conn, &change.rest);
        match change.kind {
            Kind::Subscribe { request, .. } => self.finish_subscribe(request, turn),
            Kind::Unsubscribe(removal) => self.answer_unsubscribe(conn, removal, turn),
        }
        self.resume(conn, turn);
    }

    /// Says how many of the filters are done.
    fn subscribe_on(
        &mut self,
        request: u64,
        subscription_id: u32,
        rest: &Rest,
        turn: &mut Turn<'_>,
    ) -> usize {
        let waiting = self.announcements.waiting.remove(&request);
        let mut waiting = waiting.expect("a SUBSCRIBE waits until all of it is done");
        let (done, wanted) = (waiting.codes.len(), waiting.wanted.len());
        let news = self.subscribe_some(&mut waiting, subscription_id, rest.iter(), turn);
        self.announce_piece(request, &mut waiting, news, wanted, turn);
        let done = waiting.codes.len() - done;
        self.announcements.waiting.insert(request, waiting);
        done
    }

    /// `wanted`: so many filters of the SUBSCRIBE wanted retained messages before this piece.
    fn announce_piece(
        &mut self,
        request: u64,
        waiting: &mut Waiting,
        news: News,
        wanted: usize,
        turn: &mut Turn<'_>,
    ) {
        if self.config.shards > 1 && (!news.is_empty() || waiting.wanted.len() > wanted) {
            self.tell_others(request, waiting, news, turn);
        }
    }

    fn finish_subscribe(&mut self, request: u64, turn: &mut Turn<'_>) {
        let Some(waiting) = self.announcements.waiting.get_mut(&request) else { return };
        waiting.is_whole = true;
        let waiting = &self.announcements.waiting[&request];
        self.note_refusals(waiting, turn);
        self.complete_if_known(request, turn);
    }

    fn end_change(&mut self, conn: ConnId, rest: &Rest) {
        self.totals.receive_bytes -= rest.bytes();
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.is_changing = false;
        }
    }

    /// The connection ends: what is done stays, as far as the session does, and nobody waits for the rest.
    pub(crate) fn give_up_change(&mut self, conn: ConnId) {
        let connection = self.connections.get(conn);
        if !connection.is_some_and(|connection| connection.is_changing) {
            return;
        }
        let change =
            self.changes.under_way.remove(&conn).expect("who has something under way is in the table");
        self.end_change(conn, &change.rest);
        if let Kind::Subscribe { request, .. } = change.kind {
            self.give_up_request(request);
        }
    }
}

/// What one client may take before it is the turn of the next.
const TURN_BYTES: usize = 64 << 10;

/// What each filter costs in an answer and in the list of what is owed of retained messages, in the measure of filters that come and go.
const ANSWER_BYTES: usize = 16;

/// An answer about no more than so many takes less than what its client sent for it.
const FEW_FILTERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_begins_behind_what_is_done() {
        let options = |qos| SubscriptionOptions::from_u8(qos).expect("it is one");
        let filters = [("a/b", options(1)), ("", options(0)), ("ö/#", options(2))];
        let mut rest = Rest::new(filters.into_iter());
        for done in 0..=3 {
            rest.done = done;
            assert_eq!(rest.iter().collect::<Vec<_>>(), filters[done..]);
            assert_eq!(rest.is_done(), done == 3);
        }
    }

    #[test]
    fn what_is_shared_is_for_those_who_wait() {
        let mut changes = Changes::new(ahash::RandomState::with_seeds(1, 2, 3, 4));
        changes.begin_tick(100);
        changes.begin_event(10);
        changes.spend(30);
        assert_eq!((changes.own, changes.left), (0, 80));
        assert!(changes.has_room());
        changes.queue.push_back(ConnId { slot: 1, generation: 0 });
        assert!(!changes.has_room(), "somebody waits");
        changes.begin_event(10);
        assert!(changes.has_room(), "what is its own is nobody else's");
        changes.spend(11);
        assert_eq!((changes.own, changes.left), (0, 79));
    }
}
