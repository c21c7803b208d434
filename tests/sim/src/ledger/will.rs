//! Wills: when one has to be published, when it must not be, and when nobody can tell.

use std::time::Duration;

use shard::Instant;

use super::{Arrival, End, Ledger, Oracle, SLACK, crash::Bequest, session::Existence};
use crate::said::WillSaid;

/// A will whose delay runs.
#[derive(Debug)]
pub struct PendingWill {
    pub will: WillSaid,
    pub due: Instant,
    /// By then it is published, where a crash has blurred when it is due.
    pub late: Instant,
    /// The delay that may begin again with the restart.
    pub interrupted: Option<Duration>,
}

/// A will of which nobody can tell whether the broker knows it.
#[derive(Debug)]
pub struct VagueWill {
    pub bequest: Bequest,
    /// By then it is published, if it is. None: not before the next start.
    pub by: Option<Instant>,
}

impl Ledger {
    pub(super) fn on_will_trigger(
        &mut self,
        session: usize,
        will: WillSaid,
        end: End,
        expiry_s: u32,
        socket: usize,
    ) {
        // [MQTT-3.14.4-3] A normal DISCONNECT takes the will back. At shutdown none is published, and one whose session is
        // stored has to be when the broker is back.
        let shard = self.connections[&socket].shard;
        let is_shutdown = end == End::Shutdown || self.draining.contains(&shard);
        let is_deferred = is_shutdown && self.has_store;
        if end == End::Disconnected || (is_shutdown && !is_deferred) {
            return;
        }
        self.publications[will.id].publisher = Some(session);
        self.arrive(will.id, shard, false, None);
        // Whether a session that ends with its connection is stored cannot be seen.
        if is_deferred && expiry_s == 0 {
            let bequest = Bequest { session, will, shard, expiry_s, is_must: false };
            self.vague_wills.insert(will.id, VagueWill { bequest, by: None });
            if let Some(arrival) = self.publications[will.id].arrivals.last_mut() {
                arrival.routed = u64::MAX;
            }
            return;
        }
        let delay = Duration::from_secs(u64::from(will.delay_s.min(expiry_s)));
        if delay.is_zero() && !is_deferred {
            self.publications[will.id].is_certain = true;
            return;
        }
        if let Some(arrival) = self.publications[will.id].arrivals.last_mut() {
            arrival.routed = u64::MAX;
        }
        let since = if is_deferred { self.drained_at } else { self.now };
        let (due, late) = (since + delay, self.now + delay);
        self.pending_wills.insert(session, PendingWill { will, due, late, interrupted: None });
    }

    /// The client is back: within the delay and with its session, the will is void; otherwise it has been published.
    /// Gives back the will that was waiting.
    pub(super) fn on_will_reconnect(&mut self, session: usize, existence: Existence) -> Option<WillSaid> {
        let pending = self.pending_wills.remove(&session)?;
        let id = pending.will.id;
        let is_early = self.now + SLACK < pending.due;
        match existence {
            // [MQTT-3.1.3-9] A new connection to the session before the delay has passed calls the will off.
            Existence::Present if is_early => self.call_off(id),
            Existence::Absent => self.is_published(id),
            _ if self.now > pending.late + SLACK => self.is_published(id),
            _ => self.is_maybe_published(session, &pending),
        }
        Some(pending.will)
    }

    fn is_maybe_published(&mut self, session: usize, pending: &PendingWill) {
        let will = pending.will;
        let shard = self.publications[will.id].arrivals.last().map_or(0, |arrival| arrival.shard);
        let bequest = Bequest { session, will, shard, expiry_s: will.delay_s, is_must: false };
        self.vague_wills.insert(will.id, VagueWill { bequest, by: Some(pending.late) });
    }

    fn call_off(&mut self, id: usize) {
        let topic = self.publications[id].content.topic.clone();
        if !self.copies.range((0, 0)..).all(|((_, copied), _)| *copied != id) {
            let what = format!("{} was published before its delay had passed", self.describe(id));
            self.fail(Oracle::Will, what);
        }
        self.publications[id].arrivals.clear();
        self.retained.forget(&topic, id);
    }

    fn is_published(&mut self, id: usize) {
        let step = self.step;
        self.publications[id].is_certain = true;
        let home_is_here = {
            let publication = &mut self.publications[id];
            let home = self.placement.topic(&publication.content.topic).index();
            publication.arrivals.last_mut().is_some_and(|arrival: &mut Arrival| {
                arrival.routed = step;
                arrival.shard == home
            })
        };
        if home_is_here {
            let topic = self.publications[id].content.topic.clone();
            self.retained.applied_by(&topic, id, step);
        }
    }

    /// Wills whose delay has passed are published by now.
    pub(super) fn resolve_wills(&mut self) {
        let now = self.now;
        let is_due = |pending: &PendingWill| now > pending.late.max(pending.due) + SLACK;
        let due: Vec<usize> = self
            .pending_wills
            .iter()
            .filter(|(_, pending)| is_due(pending))
            .map(|(session, _)| *session)
            .collect();
        for session in due {
            if let Some(pending) = self.pending_wills.remove(&session) {
                self.is_published(pending.will.id);
            }
        }
    }

    /// A delayed will is delivered: not before its time, unless its session has ended.
    pub(super) fn check_will_time(&mut self, id: usize) {
        let early = self
            .pending_wills
            .values()
            .any(|pending| pending.will.id == id && self.now + SLACK < pending.due);
        if early {
            let what = format!("{} came before its delay had passed", self.describe(id));
            self.fail(Oracle::Will, what);
        }
    }
}
