//! What a crash of the whole broker changes in what is known: what was acknowledged is there again, what was stored may be,
//! and what was neither need not be, but not by halves.

use std::{collections::BTreeSet, time::Duration};

use shard::Instant;

use super::{
    End, Ledger, PublicationId, Write,
    session::Existence,
    will::{PendingWill, VagueWill},
};
use crate::said::WillSaid;

/// The end of a session that a crash has made uncertain, until it is known when the broker is back.
#[derive(Debug)]
pub struct Interrupted {
    /// Not before this time after the restart, or not before `not_before`.
    pub early: Duration,
    pub late: Duration,
    /// Where it may be that the broker knows of an earlier end of the connection.
    pub not_before: Option<Instant>,
}

/// A will that the restarted broker publishes, or may publish.
#[derive(Debug)]
pub struct Bequest {
    pub session: usize,
    pub will: WillSaid,
    pub shard: usize,
    pub expiry_s: u32,
    pub is_must: bool,
}

impl Ledger {
    /// `durable`: by shard, the step up to which everything that it did is on its disk. Returns clients that must begin
    /// anew, since neither they nor anybody else can tell which session they have.
    pub fn on_crash(&mut self, durable: &[u64]) -> Vec<usize> {
        let least = durable.iter().copied().min().unwrap_or(0);
        let everywhere = self.quiet.iter().rev().find(|quiet| **quiet <= least).copied().unwrap_or(0);
        self.crashes.push(self.step);
        self.failed_stores.clear();
        self.note_quiet();
        self.bequeath(durable, everywhere);
        let mut unsure = Vec::new();
        for session in 0..self.sessions.len() {
            let durable = durable[self.home_of(session)];
            if !self.interrupt_session(session, durable) && self.is_newest(session) {
                unsure.push(self.sessions[session].client);
            }
            self.doubt_handshakes(session, durable);
        }
        for connection in self.connections.values_mut().filter(|connection| connection.ended.is_none()) {
            connection.ended = Some(End::Lost);
            // The next life finds that, and has not stored it when it begins.
            connection.ended_at_step = self.step + 1;
        }
        self.doubt_retained(durable);
        self.forget_deliveries(durable);
        unsure
    }

    /// What was acknowledged may be lost: the broker may be back at any earlier moment of its life, and each of its shards at
    /// another one. From here on everybody begins anew.
    pub fn on_loss(&mut self) -> Vec<usize> {
        self.crashes.push(self.step);
        self.quiet.push(self.step);
        for session in 0..self.sessions.len() {
            self.end_session(session);
            self.sessions[session].zombie_until = u64::MAX;
        }
        self.bequests.clear();
        self.pending_wills.clear();
        self.vague_wills.clear();
        let wills = |c: &super::Connection| c.said.will.map(|will| (will, c.shard, c.session));
        let wills: Vec<_> =
            self.connections.values().filter(|connection| !connection.is_refused).filter_map(wills).collect();
        for (will, shard, session) in wills {
            self.bequests.push(Bequest { session, will, shard, expiry_s: 0, is_must: false });
        }
        for connection in self.connections.values_mut().filter(|connection| connection.ended.is_none()) {
            connection.ended = Some(End::Lost);
            connection.ended_at_step = self.step;
        }
        for publication in &mut self.publications {
            publication.is_certain = false;
        }
        self.retained.doubt(self.step, |_| 0, |_| false, |id| self.publications[id].content.is_will);
        let clients: BTreeSet<usize> =
            self.named.values().map(|newest| self.sessions[*newest].client).collect();
        clients.into_iter().collect()
    }

    fn is_newest(&self, session: usize) -> bool {
        self.named.values().any(|newest| *newest == session)
    }

    /// False: it may be there or not, or another one of the same client.
    fn interrupt_session(&mut self, index: usize, durable: u64) -> bool {
        let session = &self.sessions[index];
        if let Some(ended) = session.ended {
            if ended > durable {
                self.sessions[index].zombie_until = u64::MAX;
            }
            return ended <= durable;
        }
        let newest = session.newest_socket.and_then(|socket| self.connections.get(&socket));
        let connection = newest.expect("a session is made by a connection");
        let since = session.offline.filter(|_| session.socket.is_none());
        if since.is_some_and(|(_, step)| step <= durable) {
            return true;
        }
        let was_there = connection.expected == Existence::Present && session.is_accepted;
        let is_kept = connection.session_expiry_s > 0 && (connection.is_accepted || was_there);
        if !is_kept || session.is_unclear {
            let is_gone = connection.session_expiry_s == 0
                && connection.said.session_expiry_s == 0
                && !was_there
                && connection.is_accepted;
            self.end_session(index);
            self.sessions[index].zombie_until = if is_gone { self.step } else { u64::MAX };
            return is_gone;
        }
        let mut expiries = vec![connection.session_expiry_s, connection.said.session_expiry_s];
        let mut not_before = since.map(|(at, _)| at + Duration::from_secs(expiries[0].into()));
        if !connection.is_accepted
            && let Some(prior) = connection.prior
        {
            expiries.extend(prior.expiries.map(|expiry| expiry.as_secs() as u32));
            not_before = Some(not_before.map_or(prior.earliest, |at| at.min(prior.earliest)));
        }
        // In a drain the broker may have let go of the connection before the network did.
        if self.drained && since.is_none_or(|(at, _)| at >= self.drained_at) {
            not_before = Some(self.drained_at + Duration::from_secs(expiries[0].into()));
        }
        expiries.sort_unstable();
        let span = |s: Option<&u32>| Duration::from_secs(s.copied().unwrap_or(0).into());
        let interrupted =
            Interrupted { early: span(expiries.first()), late: span(expiries.last()), not_before };
        let (now, step) = (self.now, self.step);
        let session = &mut self.sessions[index];
        session.socket = None;
        session.offline.get_or_insert((now, step + 1));
        session.expiry = Some(interrupted.late);
        session.expiry_min = Some(interrupted.early);
        session.interrupted = Some(interrupted);
        true
    }

    /// Answers that nobody saw may have been given or not.
    fn doubt_handshakes(&mut self, session: usize, durable: u64) {
        let session = &mut self.sessions[session];
        if session.ended.is_some() {
            return;
        }
        let unanswered = session.inbound.iter().filter(|(_, is_answered)| !**is_answered);
        session.inbound_doubtful.extend(unanswered.map(|(packet_id, _)| *packet_id));
        session.inbound.retain(|_, is_answered| *is_answered);
        for outstanding in session.outstanding.values_mut() {
            outstanding.is_from_earlier_life = true;
            outstanding.is_doubtful |= !outstanding.is_qos2;
            outstanding.is_release_doubtful = outstanding.is_released && !outstanding.is_release_sent;
        }
        for (step, packet_id, mut outstanding) in std::mem::take(&mut session.finished) {
            if step > durable {
                (outstanding.is_doubtful, outstanding.is_from_earlier_life) = (true, true);
                session.outstanding.entry(packet_id).or_insert(outstanding);
            }
        }
    }

    fn doubt_retained(&mut self, durable: &[u64]) {
        let (step, publications, placement) = (self.step, &self.publications, &self.placement);
        // What its publisher sent again for want of an answer may have been answered before, and lost this time.
        let is_acknowledged = |write: &Write| {
            let mut arrivals = publications[write.publication].arrivals.iter();
            arrivals.any(|arrival| arrival.step == write.begun && arrival.is_acknowledged)
        };
        let home = |topic: &str| placement.topic(topic).index();
        self.retained.doubt(
            step,
            |topic| durable[home(topic)],
            is_acknowledged,
            |id| publications[id].content.is_will,
        );
    }

    /// At QoS 1 a message goes out before its record is stored, and can come again from who publishes it once more.
    fn forget_deliveries(&mut self, durable: &[u64]) {
        let homes: Vec<usize> = (0..self.sessions.len()).map(|session| self.home_of(session)).collect();
        for ((session, _), copies) in &self.copies {
            for delivery in copies {
                let delivery = &mut self.deliveries[*delivery];
                delivery.is_forgotten |= delivery.step > durable[homes[*session]];
            }
        }
    }

    fn bequeath(&mut self, durable: &[u64], everywhere: u64) {
        let mut bequests = Vec::new();
        for connection in self.connections.values().filter(|connection| !connection.is_refused) {
            let is_open = connection.ended.is_none();
            if !is_open && connection.ended_at_step <= durable[connection.shard] {
                continue;
            }
            let shard = connection.shard;
            let expiry_s = connection.session_expiry_s;
            let session = connection.session;
            let is_must = is_open && connection.is_accepted && expiry_s > 0;
            // The session may come back with the expiry of its CONNECT, whatever its DISCONNECT said.
            if let Some(pending) = self.pending_wills.get_mut(&session)
                && connection.said.will.is_some_and(|will| will.id == pending.will.id)
            {
                let delay_s = pending.will.delay_s.min(connection.said.session_expiry_s);
                pending.due = pending.due.min(self.now + Duration::from_secs(delay_s.into()));
            }
            let prior = connection.prior_will.filter(|_| !connection.is_accepted);
            let own = connection.said.will.map(|will| (will, is_must));
            for (will, is_must) in own.into_iter().chain(prior.map(|will| (will, false))) {
                bequests.push(Bequest { session, will, shard, expiry_s, is_must });
            }
        }
        self.bequeath_vague(&mut bequests);
        for id in 0..self.publications.len() {
            let publication = &self.publications[id];
            let routed = publication.arrivals.last().map(|arrival| arrival.routed);
            let is_pending = self.pending_wills.values().any(|pending| pending.will.id == id);
            let is_will = publication.content.is_will && !is_pending;
            let Some(routed) = routed.filter(|at| is_will && *at != u64::MAX) else { continue };
            // Who publishes it must have heard that others have stored it, and must have stored that.
            let is_known = self.settled_at(routed).is_some_and(|at| self.now > at + HEARSAY);
            if routed > everywhere {
                self.publications[id].is_certain = false;
                self.repeat_will(id);
            } else if !is_known {
                self.repeat_will(id);
                // What is owed is owed for the one before.
                let arrivals = &mut self.publications[id].arrivals;
                let last = arrivals.len() - 1;
                arrivals[last] = super::Arrival { is_repeat: true, ..arrivals[last - 1] };
            }
        }
        // What falls due in a drain is left to the next start.
        let until = if self.drained { self.drained_by } else { self.now };
        let is_due = |pending: &PendingWill| until + super::SLACK >= pending.due;
        let due: Vec<usize> = self.pending_wills.iter().filter(|(_, p)| is_due(p)).map(|(s, _)| *s).collect();
        for session in due {
            if let Some(pending) = self.pending_wills.remove(&session) {
                self.repeat_will(pending.will.id);
            }
        }
        self.forget_unanswered_wills(durable);
        for bequest in &bequests {
            if let Some(pending) = self.pending_wills.get_mut(&bequest.session)
                && pending.will.id == bequest.will.id
            {
                let delay = Duration::from_secs(bequest.will.delay_s.min(bequest.expiry_s).into());
                pending.interrupted = Some(delay);
            }
        }
        self.bequests.extend(bequests);
    }

    /// Whose CONNECT was not answered was not promised that its will outlives the crash. It is left to chance.
    fn forget_unanswered_wills(&mut self, durable: &[u64]) {
        let is_unanswered = |connection: &super::Connection| {
            !connection.is_refused
                && !connection.is_accepted
                && connection.ended.is_some()
                && connection.ended_at_step > durable[connection.shard]
        };
        let unanswered = self.connections.values().filter(|connection| is_unanswered(connection));
        let wills: Vec<PublicationId> = unanswered.filter_map(|c| c.said.will.map(|will| will.id)).collect();
        self.pending_wills.retain(|_, pending| !wills.contains(&pending.will.id));
    }

    /// Where nobody knows whether and when a will was published, it may be published again until others must have stored it.
    fn bequeath_vague(&mut self, bequests: &mut Vec<Bequest>) {
        let until = if self.drained { self.drained_at } else { self.now };
        for (id, vague) in std::mem::take(&mut self.vague_wills) {
            let is_over = vague.by.is_some_and(|by| until > by + super::SLACK + HEARSAY);
            let is_named = bequests.iter().any(|bequest| bequest.will.id == id);
            if !is_over && !is_named {
                bequests.push(vague.bequest);
            }
        }
    }

    /// It may be published once more.
    fn repeat_will(&mut self, id: PublicationId) {
        if let Some(shard) = self.publications[id].arrivals.last().map(|arrival| arrival.shard) {
            self.arrive(id, shard, true, None);
        }
    }

    /// The broker is back, and begins to read what it stored.
    pub fn on_restart(&mut self) {
        let now = self.now;
        for session in &mut self.sessions {
            if let Some(Interrupted { early, late, not_before }) = session.interrupted.take() {
                let early = not_before.map_or(now + early, |at| at.min(now + early));
                session.ends = Some((early, now + late));
            }
        }
        for pending in self.pending_wills.values_mut() {
            if let Some(delay) = pending.interrupted.take() {
                pending.late = pending.late.max(now + delay);
            }
        }
        for bequest in std::mem::take(&mut self.bequests) {
            let Bequest { session, will, shard, expiry_s, is_must } = bequest;
            if self.pending_wills.get(&session).is_some_and(|pending| pending.will.id == will.id) {
                continue;
            }
            self.publications[will.id].publisher = Some(session);
            self.arrive(will.id, shard, true, None);
            // Nobody knows when that will be.
            if let Some(arrival) = self.publications[will.id].arrivals.last_mut() {
                arrival.routed = u64::MAX;
            }
            let due = now + Duration::from_secs(will.delay_s.min(expiry_s).into());
            if is_must {
                let pending = PendingWill { will, due, late: due, interrupted: None };
                self.pending_wills.insert(session, pending);
            } else {
                self.vague_wills.insert(will.id, VagueWill { bequest, by: Some(due) });
            }
        }
    }

    /// Everybody may come again; what was due meanwhile happens now.
    pub fn on_serving(&mut self) {
        let now = self.now;
        for pending in self.pending_wills.values_mut() {
            pending.late = pending.late.max(now);
        }
        for by in self.vague_wills.values_mut().filter_map(|vague| vague.by.as_mut()) {
            *by = now.max(*by);
        }
        for session in self.sessions.iter_mut().filter(|session| session.ended.is_none()) {
            if let (Some((since, _)), Some(expiry), None) = (session.offline, session.expiry, session.socket)
            {
                let (early, late) = session.ends.unwrap_or((since + expiry, since + expiry));
                session.ends = Some((early, late.max(now)));
            }
        }
    }

    /// Whether the broker crashed at or after this step.
    pub(super) fn has_crashed_since(&self, step: u64) -> bool {
        self.crashes.last().is_some_and(|crash| *crash >= step)
    }
}

/// Within this time what all have stored is known to be.
const HEARSAY: Duration = Duration::from_secs(2);
