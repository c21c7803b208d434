//! The sessions as the rules say they must exist. Connections come and go in `connection.rs`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mqtt::SubscriptionOptions;
use shard::Instant;

use super::{
    Ledger, Oracle, SLACK,
    crash::Interrupted,
    subscription::{SubscribeRecord, Subscription, Variant},
};
use crate::said::Identity;

#[derive(Debug)]
pub struct Session {
    pub client: usize,
    /// The first session of the same client id.
    pub first: usize,
    pub socket: Option<usize>,
    /// Of its last connection, whether that still stands or not.
    pub newest_socket: Option<usize>,
    pub ended: Option<u64>,
    /// Since when it has no connection, in time and in steps.
    pub offline: Option<(Instant, u64)>,
    /// How long it outlives its connection; none: for ever.
    pub expiry: Option<Duration>,
    /// The broker may know of a shorter one, from a connection that a crash has kept from being accepted.
    pub expiry_min: Option<Duration>,
    /// CONNACK was sent for it.
    pub is_accepted: bool,
    /// Whether it is the session that the broker has could not be seen: nothing is demanded of it.
    pub is_unclear: bool,
    pub subscriptions: Vec<Subscription>,
    /// Sent to the client at QoS 1 and 2 and not finished, by packet id.
    pub outstanding: BTreeMap<u16, Outstanding>,
    /// QoS 2 messages that the client took in from a connection that had lost the session, by packet id: they come to it
    /// again on the next one, and it knows them.
    pub heard: BTreeMap<u16, usize>,
    /// Finished before a crash can have made it undone: when, and what it was.
    pub finished: Vec<(u64, u16, Outstanding)>,
    /// QoS 2 messages from the client that are not released yet, and whether the broker has answered.
    pub inbound: BTreeMap<u16, bool>,
    /// Such as the broker may know or not, since it crashed before it answered.
    pub inbound_doubtful: BTreeSet<u16>,
    /// A crash ended it with all that it was given until then, or came before its end was stored: then it may be back.
    pub zombie_until: u64,
    pub interrupted: Option<Interrupted>,
    /// When it ends without a connection, at the earliest and at the latest, where a crash has blurred it.
    pub ends: Option<(Instant, Instant)>,
    /// Steps during which nobody was connected.
    pub absences: Vec<(u64, u64)>,
    /// The smallest packet size that any of its connections asked for.
    pub packet_size_min: u32,
}

#[derive(Debug)]
pub struct Outstanding {
    pub identity: Identity,
    pub delivery: Option<usize>,
    pub is_qos2: bool,
    /// It came from the retained store, or kept the flag.
    pub retain: bool,
    /// PUBREC has arrived at the broker.
    pub is_released: bool,
    pub sent_on: usize,
    /// PUBREL was sent.
    pub is_release_sent: bool,
    /// A crash came: the broker may know of the message or not.
    pub is_doubtful: bool,
    /// It may know of PUBREC or not.
    pub is_release_doubtful: bool,
    /// A broker that came back may not know that it was sent, and leave DUP out.
    pub is_from_earlier_life: bool,
}

/// Whether a session is there for a CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existence {
    Present,
    Absent,
    Unclear,
}

impl Session {
    pub fn new(client: usize, first: usize) -> Session {
        Session {
            client,
            first,
            socket: None,
            newest_socket: None,
            ended: None,
            offline: None,
            expiry: None,
            expiry_min: None,
            is_accepted: false,
            is_unclear: false,
            subscriptions: Vec::new(),
            outstanding: BTreeMap::new(),
            heard: BTreeMap::new(),
            finished: Vec::new(),
            inbound: BTreeMap::new(),
            inbound_doubtful: BTreeSet::new(),
            zombie_until: 0,
            interrupted: None,
            ends: None,
            absences: Vec::new(),
            packet_size_min: u32::MAX,
        }
    }

    pub fn existence(&self, now: Instant) -> Existence {
        if self.ended.is_some() {
            return Existence::Absent;
        }
        let (Some((since, _)), Some(expiry)) = (self.offline, self.expiry) else { return Existence::Present };
        let (early, late) = self.ends.unwrap_or((since + expiry, since + expiry));
        if now + SLACK < early {
            Existence::Present
        } else if now > late + SLACK {
            Existence::Absent
        } else {
            Existence::Unclear
        }
    }

    /// The broker may have another session instead, made no later than at this step: of what was subscribed before, nothing
    /// is certain any more.
    pub fn make_unclear(&mut self, step: u64) {
        self.is_unclear = true;
        for known in self.subscriptions.iter_mut().filter(|known| known.may_from < step) {
            known.must_until = known.must_until.min(step);
        }
    }

    /// Somebody may have been away at some step from `from` to `to`.
    pub fn was_away(&self, from: u64, to: u64) -> bool {
        let away = |(start, end): &(u64, u64)| *start <= to && *end >= from;
        self.absences.iter().any(away) || self.offline.is_some_and(|(_, since)| since <= to)
    }
}

impl Ledger {
    /// The session is gone, with all that it holds.
    pub fn end_session(&mut self, session: usize) {
        let step = self.step;
        let session = &mut self.sessions[session];
        // A session that expired did so at some step since it was left.
        let must_until = session.offline.map_or(step, |(_, since)| since);
        session.ended.get_or_insert(step);
        for subscription in &mut session.subscriptions {
            subscription.must_until = subscription.must_until.min(must_until);
            subscription.end(step);
        }
        session.outstanding.clear();
        session.heard.clear();
        session.inbound.clear();
        session.inbound_doubtful.clear();
        session.finished.clear();
        session.interrupted = None;
    }

    /// Ends what has expired by now.
    pub fn expire_sessions(&mut self) {
        for session in 0..self.sessions.len() {
            let is_over = self.sessions[session].existence(self.now) == Existence::Absent;
            if is_over && self.sessions[session].ended.is_none() {
                self.end_session(session);
            }
        }
    }

    pub fn on_subscribe(
        &mut self,
        socket: usize,
        packet_id: u16,
        subscription_id: Option<u32>,
        filters: &[(String, SubscriptionOptions)],
    ) {
        let step = self.step;
        let Some(connection) = self.open_connection(socket) else { return };
        let session_index = connection.session;
        let mut records = Vec::new();
        for (filter, options) in filters {
            let session = &mut self.sessions[session_index];
            let open =
                session.subscriptions.iter().position(|known| known.filter == *filter && known.is_open());
            let may_exist =
                session.subscriptions.iter().any(|known| known.filter == *filter && known.may(step, step));
            let is_new = match open {
                Some(known) if session.subscriptions[known].must(step, step) => Some(false),
                _ => (!may_exist).then_some(true),
            };
            let subscription = open.unwrap_or_else(|| {
                session.subscriptions.push(Subscription::new(filter, step));
                session.subscriptions.len() - 1
            });
            let variants = &mut session.subscriptions[subscription].variants;
            variants.push(Variant {
                options: *options,
                subscription_id,
                may_from: step,
                may_until: u64::MAX,
            });
            let variant = variants.len() - 1;
            records.push(self.subscribes.len());
            self.subscribes.push(SubscribeRecord {
                session: session_index,
                subscription,
                variant,
                socket,
                step,
                acked: None,
                is_new,
            });
        }
        let connection = self.connections.get_mut(&socket).expect("it was open a moment ago");
        connection.subscribes.insert(packet_id, records);
    }

    pub fn on_unsubscribe(&mut self, socket: usize, packet_id: u16, filters: &[String]) {
        let step = self.step;
        let Some(connection) = self.open_connection(socket) else { return };
        let session = connection.session;
        let mut ended = Vec::new();
        for filter in filters {
            let mut found = Vec::new();
            let mut must = false;
            for (index, known) in self.sessions[session].subscriptions.iter_mut().enumerate() {
                if known.filter == *filter && known.may_until == u64::MAX {
                    must |= known.must(step, step);
                    known.must_until = known.must_until.min(step);
                    found.push(index);
                }
            }
            ended.push((found, must));
        }
        let connection = self.connections.get_mut(&socket).expect("it was open a moment ago");
        connection.unsubscribes.insert(packet_id, ended);
    }

    pub fn on_suback(&mut self, socket: usize, packet_id: u16, codes: &[mqtt::ReasonCode]) {
        let step = self.step;
        let connection = self.connections.get_mut(&socket).expect("only a connection is sent to");
        let Some(records) = connection.subscribes.remove(&packet_id) else {
            return self
                .fail(Oracle::Protocol, format!("socket {socket}: SUBACK {packet_id} answers nothing"));
        };
        if records.len() != codes.len() {
            let what = format!(
                "socket {socket}: SUBACK {packet_id} has {} codes for {}",
                codes.len(),
                records.len()
            );
            return self.fail(Oracle::Content, what);
        }
        let lives_on = connection.said.session_expiry_s > 0;
        for (record, code) in records.into_iter().zip(codes) {
            if lives_on && !code.is_error() {
                self.check_promise(socket, self.subscribes[record].step, "a subscription is granted");
            }
            let record = &mut self.subscribes[record];
            let subscriptions = &mut self.sessions[record.session].subscriptions;
            let subscription = &mut subscriptions[record.subscription];
            let asked = subscription.variants[record.variant].options.qos;
            if code.is_error() {
                subscription.variants[record.variant].may_until = step;
                if subscription.variants.len() == 1 {
                    subscription.end(step);
                }
                if !self.subscriptions_are_limited {
                    self.fail(
                        Oracle::Content,
                        format!("socket {socket}: a right SUBSCRIBE was refused: {code:?}"),
                    );
                }
                continue;
            }
            record.acked = Some(step);
            subscription.must_from = subscription.must_from.min(step);
            for older in &mut subscription.variants[..record.variant] {
                older.may_until = older.may_until.min(step);
            }
            let (older, newest) = subscriptions.split_at_mut(record.subscription);
            for given_up in older.iter_mut().filter(|older| older.filter == newest[0].filter) {
                given_up.end(step);
            }
            if *code != mqtt::ReasonCode::granted(asked) {
                let what = format!("socket {socket}: {:?} granted as {code:?}", newest[0].filter);
                self.fail(Oracle::Content, what);
            }
        }
    }

    pub fn on_unsuback(&mut self, socket: usize, packet_id: u16, codes: &[mqtt::ReasonCode]) {
        let step = self.step;
        let connection = self.connections.get_mut(&socket).expect("only a connection is sent to");
        let (session, is_v5) = (connection.session, connection.said.version == mqtt::Version::V5);
        let Some(ended) = connection.unsubscribes.remove(&packet_id) else {
            return self
                .fail(Oracle::Protocol, format!("socket {socket}: UNSUBACK {packet_id} answers nothing"));
        };
        if is_v5 && codes.len() != ended.len() {
            self.fail(
                Oracle::Content,
                format!("socket {socket}: UNSUBACK {packet_id} has {} codes", codes.len()),
            );
            return;
        }
        for (index, (found, must)) in ended.into_iter().enumerate() {
            let none = found.is_empty();
            for subscription in found {
                self.sessions[session].subscriptions[subscription].end(step);
            }
            let says_none = codes.get(index) == Some(&mqtt::ReasonCode::NoSubscriptionExisted);
            if is_v5 && ((must && says_none) || (none && !says_none)) {
                self.fail(Oracle::Content, format!("socket {socket}: UNSUBACK {packet_id} says {codes:?}"));
            }
        }
    }
}
