//! Subscriptions and wills are held to rights that have changed: with the rules, with the user, or since the client was here last.
//!
//! One session may have ten thousand subscriptions. What makes more work than one turn may take goes on in the next ones.

use std::collections::{BTreeMap, VecDeque};

use access::{Action, Ask};

use crate::{ConnId, Shard, keys::SessionKey, shard::Deadline, turn::Turn};

/// Sessions that are to be looked at, and how far that is.
#[derive(Default)]
pub(crate) struct Reviews {
    /// Whoever is here is in the queue, once.
    by_session: BTreeMap<SessionKey, Review>,
    queue: VecDeque<SessionKey>,
}

#[derive(Default)]
struct Review {
    /// The last filter that was looked at.
    after: Option<Box<str>>,
    /// Rights have changed meanwhile: it begins anew when it has come to its end, so that it does come there.
    again: bool,
}

impl FromIterator<SessionKey> for Reviews {
    fn from_iter<I: IntoIterator<Item = SessionKey>>(sessions: I) -> Reviews {
        let mut reviews = Reviews::default();
        sessions.into_iter().for_each(|session| reviews.add(session));
        reviews
    }
}

impl Reviews {
    fn add(&mut self, session: SessionKey) {
        match self.by_session.get_mut(&session) {
            Some(review) => review.again = true,
            None => {
                self.by_session.insert(session, Review::default());
                self.queue.push_back(session);
            }
        }
    }

    fn pop(&mut self) -> Option<(SessionKey, Review)> {
        let session = self.queue.pop_front()?;
        Some((session, self.by_session.remove(&session).expect("whoever is in the queue is here")))
    }

    /// There is more of it, for which it is the turn of the others first.
    fn put_back(&mut self, session: SessionKey, review: Review) {
        self.by_session.insert(session, review);
        self.queue.push_back(session);
    }
}

impl Shard {
    /// Takes from the session what its client may not have any more: of a few subscriptions now, of many soon.
    pub(crate) fn review_rights(&mut self, key: SessionKey, conn: ConnId, turn: &mut Turn<'_>) {
        if self.permissions.is_none() || self.drain.has_begun() {
            return;
        }
        self.review_right_to_will(key, conn, turn);
        if self.sessions[key].filters.len() <= FILTERS_AT_ONCE {
            self.review_page(key, conn, None, turn);
            return;
        }
        let Some(permissions) = self.permissions.as_mut() else { return };
        permissions.reviews.add(key);
        self.review_soon(turn);
    }

    pub(crate) fn review_soon(&mut self, turn: &mut Turn<'_>) {
        if !std::mem::replace(&mut self.is_reviewing, true) {
            self.timers.insert(turn.next_instant(), Deadline::Rules);
        }
    }

    pub(crate) fn on_rules_deadline(&mut self, turn: &mut Turn<'_>) {
        self.is_reviewing = false;
        // Everybody goes anyway.
        if self.drain.has_begun() {
            return;
        }
        let mut work = 0;
        while work < WORK_PER_TURN {
            let next = self.permissions.as_mut().and_then(|permissions| permissions.reviews.pop());
            let Some((key, review)) = next else { return };
            work += 1;
            // Its slot may have become that of another, which is none the worse for it.
            let Some(conn) = self.sessions.get(key).and_then(|session| session.conn) else { continue };
            if review.after.is_none() {
                self.review_right_to_will(key, conn, turn);
            }
            let (looked_at, last) = self.review_page(key, conn, review.after.as_deref(), turn);
            work += looked_at;
            let next = match (last, review.again) {
                (Some(last), again) => Review { after: Some(last), again },
                (None, true) => Review::default(),
                (None, false) => continue,
            };
            if let Some(permissions) = self.permissions.as_mut() {
                permissions.reviews.put_back(key, next);
            }
        }
        self.review_soon(turn);
    }

    /// Says how many it has looked at, and the last of them if more may follow.
    fn review_page(
        &mut self,
        key: SessionKey,
        conn: ConnId,
        after: Option<&str>,
        turn: &mut Turn<'_>,
    ) -> (usize, Option<Box<str>>) {
        let mut filters = self.sessions[key].filters.page(after, FILTERS_PER_PAGE);
        for filter in &filters {
            if !self.may_subscribe(conn, filter, turn) {
                self.revoke(key, filter, turn);
            }
        }
        let looked_at = filters.len();
        (looked_at, filters.pop().filter(|_| looked_at == FILTERS_PER_PAGE))
    }

    fn review_right_to_will(&mut self, key: SessionKey, conn: ConnId, turn: &mut Turn<'_>) {
        let will = self.sessions[key].will.as_ref().map(|will| will.message.clone());
        let Some(will) = will else { return };
        let ask =
            Ask { action: Action::Will, topic: will.topic(), qos: will.qos() as u8, retain: will.retain() };
        if !self.may(conn, &ask, turn) {
            self.take_will_away(key);
        }
    }
}

/// So many subscriptions of a client are looked at where its rights change; where it has more, all of them a little later.
const FILTERS_AT_ONCE: usize = 64;

/// Of one session, before it is the turn of the next.
const FILTERS_PER_PAGE: usize = 512;

/// In the measure of one subscription that the rules are asked about.
const WORK_PER_TURN: usize = 2048;
