//! The judgement on one message that reaches one session: who it is, whether it belongs there, how often, in which order.

use mqtt::{Publish, QoS, Version};

use super::{Ledger, Oracle, SLACK, session::Outstanding, subscription::Variant};
use crate::said::{Content, Identity, PublicationId};

#[cfg(test)]
mod tests;

/// One message sent to one session as a new one.
#[derive(Debug)]
pub struct Delivery {
    pub kind: Kind,
    pub qos: QoS,
    pub is_received: bool,
    pub step: u64,
    /// It was sent so shortly before a crash that the broker need not remember it.
    pub is_forgotten: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Routed when it was published.
    Live,
    /// From the retained store, for a SUBSCRIBE.
    Replay,
    /// The retain flag alone does not tell: the subscription keeps it as published.
    Either,
}

/// Session, publisher, topic, QoS as published and QoS as delivered.
pub type OrderKey = (usize, Option<usize>, String, QoS, QoS);

/// The subscriptions of a session that can have caused a delivery, reduced to what the judgement needs.
#[derive(Default)]
struct Cause {
    plain: bool,
    shared_keys: usize,
    qos_min: Option<QoS>,
    qos_max: Option<QoS>,
    qos_max_replay: Option<QoS>,
    ids_may: Vec<u32>,
    ids_must: Vec<u32>,
    /// Each SUBSCRIBE has a replay of its own, and that keeps its options when a later SUBSCRIBE replaces the subscription.
    ids_replay: Vec<u32>,
    any_as_published: bool,
    all_as_published: bool,
    replays: usize,
}

impl Ledger {
    pub(super) fn judge(
        &mut self,
        socket: usize,
        topic: &str,
        identity: Identity,
        publish: &Publish<'_>,
    ) -> Option<usize> {
        match identity {
            Identity::Known(id) if id < self.publications.len() => {
                self.judge_known(socket, topic, id, publish)
            }
            Identity::Empty => {
                self.judge_empty(socket, topic);
                None
            }
            Identity::Stranger => None,
            Identity::Known(_) | Identity::Unknown => {
                self.fail(
                    Oracle::Content,
                    format!("socket {socket}: a payload that nobody wrote on {topic:?}"),
                );
                None
            }
        }
    }

    /// An empty payload carries no number: it only has to come from somebody, to somebody who asked.
    fn judge_empty(&mut self, socket: usize, topic: &str) {
        let clears = |publication: &super::Publication| {
            publication.content.is_empty
                && publication.content.topic == topic
                && !publication.arrivals.is_empty()
        };
        let step = self.step;
        let session = &self.sessions[self.connections[&socket].session];
        let asked = session.subscriptions.iter().any(|s| s.may(0, step) && mqtt::matches(&s.plain, topic));
        if !asked || !self.publications.iter().any(clears) {
            self.fail(
                Oracle::Stranger,
                format!("socket {socket}: an empty message on {topic:?} from nowhere"),
            );
        }
    }

    fn judge_known(&mut self, socket: usize, topic: &str, id: usize, publish: &Publish<'_>) -> Option<usize> {
        let session = self.connections[&socket].session;
        let to = format!("session {session} (socket {socket})");
        if self.publications[id].arrivals.is_empty() {
            let what = format!("{} reached {to} and was never published", self.describe(id));
            let oracle = if self.publications[id].content.is_will { Oracle::Will } else { Oracle::Stranger };
            self.fail(oracle, what);
            return None;
        }
        self.check_content(socket, topic, id, publish);
        let cause = self.cause(session, id);
        if !cause.plain && cause.shared_keys == 0 {
            self.fail(
                Oracle::Stranger,
                format!("{} reached {to}, which did not ask for it", self.describe(id)),
            );
            return None;
        }
        let kind = self.kind_of(&cause, id, publish, &to);
        self.check_against(&cause, kind, id, publish, &to);
        if kind != Kind::Replay && self.publications[id].content.is_will {
            self.check_will_time(id);
        }
        if kind == Kind::Replay {
            self.check_replay(socket, id, publish.dup, &to);
        }
        let (qos, step) = (publish.qos, self.step);
        self.deliveries.push(Delivery { kind, qos, is_received: false, step, is_forgotten: false });
        let delivery = self.deliveries.len() - 1;
        self.copies.entry((session, id)).or_default().push(delivery);
        self.check_count(session, &cause, id, &to);
        Some(delivery)
    }

    /// What the message says of itself is what its author said.
    fn check_content(&mut self, socket: usize, topic: &str, id: usize, publish: &Publish<'_>) {
        let content = &self.publications[id].content;
        let mut wrong = Vec::new();
        if content.topic != topic {
            wrong.push("topic");
        }
        if publish.payload != content.payload(id) {
            wrong.push("payload");
        }
        let connection = &self.connections[&socket];
        if connection.said.version == Version::V5 {
            let (theirs, ours) = (&publish.properties, &content.properties);
            let user: Vec<_> =
                theirs.user_properties.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            let same = theirs.payload_format == ours.payload_format
                && theirs.content_type == ours.content_type.as_deref()
                && theirs.response_topic == ours.response_topic.as_deref()
                && theirs.correlation_data == ours.correlation_data.as_deref()
                && user == ours.user;
            if !same {
                wrong.push("properties");
            }
        }
        let expiry = self.wrong_expiry(socket, id, publish);
        for what in wrong {
            let text = format!("socket {socket}: the {what} of {} changed on the way", self.describe(id));
            self.fail(Oracle::Content, text);
        }
        if let Some(what) = expiry {
            self.fail(Oracle::Expiry, format!("socket {socket}: {}: {what}", self.describe(id)));
        }
    }

    /// Checks the time that is left to the message.
    fn wrong_expiry(&self, socket: usize, id: usize, publish: &Publish<'_>) -> Option<String> {
        let publication = &self.publications[id];
        let connection = &self.connections[&socket];
        let is_v5 = connection.said.version == Version::V5;
        let said = publish.properties.message_expiry_interval_s;
        let Some(expiry_s) = publication.content.expiry_s else {
            return said.map(|said| format!("an expiry of {said} s that nobody set"));
        };
        let expiry_s = if self.believes_in_haste { 0 } else { expiry_s };
        let first = publication.arrivals.first()?.at;
        let last = if publication.content.is_will { self.now } else { publication.arrivals.last()?.at };
        // What is sent again was begun in time.
        if !publish.dup && connection.encoded_since > last.add_secs(u64::from(expiry_s)) + SLACK {
            return Some(format!("sent although it expired after {expiry_s} s"));
        }
        if !is_v5 {
            return None;
        }
        let Some(said) = said.map(u64::from) else { return Some("its expiry is gone".into()) };
        // What was stored knows its time in milliseconds, which can move it into the next second.
        let blurred = u64::from(!self.crashes.is_empty());
        let most =
            u64::from(expiry_s).saturating_sub(connection.encoded_since.since(last).as_secs()) + blurred;
        let least = u64::from(expiry_s).saturating_sub(self.now.since(first).as_secs() + 1 + blurred);
        (said > most || said < least).then(|| format!("{said} s left, expected {least} to {most}"))
    }

    /// Everything of this session that can have asked for the publication since it arrived.
    fn cause(&self, session: usize, id: usize) -> Cause {
        let publication = &self.publications[id];
        let content = &publication.content;
        let (from, to) = (publication.arrivals[0].step, self.step);
        let is_own = self.is_own(session, id);
        let mut cause = Cause { all_as_published: true, ..Cause::default() };
        let all = self.sessions[session].subscriptions.iter();
        for subscription in all.filter(|s| s.may(from, to) && mqtt::matches(&s.plain, &content.topic)) {
            let options: Vec<&Variant> = subscription
                .variants(from, to)
                .filter(|variant| subscription.is_shared || !(variant.options.no_local && is_own))
                .collect();
            if options.is_empty() && !content.retain {
                continue;
            }
            cause.plain |= !subscription.is_shared;
            cause.shared_keys += usize::from(subscription.is_shared);
            if !subscription.is_shared {
                for variant in &subscription.variants {
                    cause.replays += 1;
                    cause.ids_replay.extend(variant.subscription_id);
                    cause.qos_max_replay = cause.qos_max_replay.max(Some(variant.options.qos));
                }
            }
            // A replay of one's own retained message is not held back by no-local.
            let all_options: Vec<&Variant> = subscription.variants(from, to).collect();
            cause.all_as_published &= all_options.iter().all(|v| v.options.retain_as_published);
            for variant in &all_options {
                cause.any_as_published |= variant.options.retain_as_published;
                cause.qos_max = cause.qos_max.max(Some(variant.options.qos));
                cause.ids_may.extend(variant.subscription_id);
            }
            let must = subscription.must(from, to) && !self.sessions[session].is_unclear;
            if must && options.len() == all_options.len() && !subscription.is_shared {
                cause.qos_min = cause.qos_min.max(options.iter().map(|v| v.options.qos).min());
                if let [variant] = options[..] {
                    cause.ids_must.extend(variant.subscription_id);
                }
            }
        }
        cause
    }

    fn kind_of(&mut self, cause: &Cause, id: usize, publish: &Publish<'_>, to: &str) -> Kind {
        let is_retain = self.publications[id].content.retain;
        if !publish.retain {
            if is_retain && cause.all_as_published {
                let what = format!("{} lost its retain flag on the way to {to}", self.describe(id));
                self.fail(Oracle::Content, what);
            }
            return Kind::Live;
        }
        if !is_retain {
            self.fail(Oracle::Content, format!("{} got a retain flag on the way to {to}", self.describe(id)));
        }
        if cause.any_as_published { Kind::Either } else { Kind::Replay }
    }

    /// QoS and subscription ids are those of the subscriptions that match.
    fn check_against(&mut self, cause: &Cause, kind: Kind, id: usize, publish: &Publish<'_>, to: &str) {
        let published = self.publications[id].content.qos;
        let is_plain_live = kind == Kind::Live && cause.shared_keys == 0;
        let least = cause.qos_min.filter(|_| is_plain_live).map(|qos| qos.min(published));
        let highest =
            if kind == Kind::Live { cause.qos_max } else { cause.qos_max.max(cause.qos_max_replay) };
        let most = highest.map(|qos| qos.min(published));
        if Some(publish.qos) > most || least.is_some_and(|least| publish.qos < least) {
            let what =
                format!("{} reached {to} at {:?}, not {least:?} to {most:?}", self.describe(id), publish.qos);
            self.fail(Oracle::Content, what);
        }
        let ids: Vec<u32> = publish.properties.subscription_ids.iter().collect();
        let is_replay = |id: &u32| kind != Kind::Live && cause.ids_replay.contains(id);
        let strange = ids.iter().any(|id| !cause.ids_may.contains(id) && !is_replay(id));
        let missing = is_plain_live && cause.ids_must.iter().any(|id| !ids.contains(id));
        let is_v5 = cause.ids_may.is_empty() || !ids.is_empty() || is_plain_live;
        if strange || (missing && is_v5) {
            let what = format!(
                "{} reached {to} with subscription ids {ids:?}, not {:?} of {:?}",
                self.describe(id),
                cause.ids_must,
                cause.ids_may
            );
            self.fail(Oracle::Content, what);
        }
    }

    fn check_count(&mut self, session: usize, cause: &Cause, id: usize, to: &str) {
        if self.sessions[session].is_unclear {
            return;
        }
        let arrivals = self.publications[id].arrivals.len();
        let copies = &self.copies[&(session, id)];
        let live = copies.iter().filter(|d| self.deliveries[**d].kind == Kind::Live).count();
        let live_max = arrivals * (usize::from(cause.plain) + cause.shared_keys);
        let is_retain = self.publications[id].content.retain;
        let all_max = live_max + if is_retain { cause.replays } else { 0 };
        if live > live_max || copies.len() > all_max {
            let what = format!(
                "{} reached {to} {} times ({live} live), {live_max} live and {all_max} in all are right",
                self.describe(id),
                copies.len()
            );
            self.fail(Oracle::Duplicate, what);
        }
        // What was published once more after a crash must not arrive once more: a will, or what its publisher repeats.
        let publication = &self.publications[id];
        let exact = publication.arrivals.iter().filter(|arrival| !arrival.is_repeat).count();
        let (exact, least) = match publication.content {
            Content { is_will: true, .. } => (1, QoS::AtLeastOnce),
            Content { qos: QoS::ExactlyOnce, .. } => (exact, QoS::AtLeastOnce),
            _ => (exact, QoS::ExactlyOnce),
        };
        let is_exact = |d: &&usize| {
            let delivery = &self.deliveries[**d];
            let is_known = !delivery.is_forgotten || delivery.qos == QoS::ExactlyOnce;
            delivery.kind == Kind::Live && delivery.qos >= least && is_known
        };
        let twice = self.copies[&(session, id)].iter().filter(is_exact).count() > exact;
        if twice && cause.shared_keys == 0 && !publication.may_double {
            let what = format!("{} reached {to} a second time after a crash", self.describe(id));
            self.fail(Oracle::Duplicate, what);
        }
    }

    /// The retained store can have held it since the oldest subscription that may ask for it.
    fn check_replay(&mut self, socket: usize, id: usize, is_again: bool, to: &str) {
        let session = self.connections[&socket].session;
        if self.retained_is_limited {
            return;
        }
        let topic = self.publications[id].content.topic.clone();
        let subscribed = self.subscribes.iter().filter(|record| record.session == session);
        let asked = subscribed.filter(|record| {
            let subscription = &self.sessions[session].subscriptions[record.subscription];
            let handling = subscription.variants[record.variant].options.retain_handling;
            !subscription.is_shared
                && mqtt::matches(&subscription.plain, &topic)
                && match handling {
                    mqtt::RetainHandling::Send => true,
                    mqtt::RetainHandling::SendIfNew => record.is_new != Some(false),
                    mqtt::RetainHandling::DoNotSend => false,
                }
        });
        let Some(from) = asked.map(|record| record.step).min() else {
            let what = format!("{} came retained to {to}, which asked for none", self.describe(id));
            return self.fail(Oracle::Retained, what);
        };
        // What replaced it in the store, and came live, is not followed by it. A shared subscription is another one.
        let all = &self.sessions[session].subscriptions;
        let is_current = self.sessions[session].newest_socket == Some(socket);
        let has_shared = all.iter().any(|s| s.is_shared && mqtt::matches(&s.plain, &topic));
        let newer = self.copies.range((session, 0)..=(session, usize::MAX)).find(|((_, other), copies)| {
            // A copy from before was of an earlier coming, which a crash has lost.
            let is_live_since = |from: u64| {
                let live = copies.iter().filter(|d| self.deliveries[**d].kind == Kind::Live);
                live.map(|d| self.deliveries[*d].step).any(|step| step >= from)
            };
            // What is sent again keeps the place that it had.
            !is_again
                && !has_shared
                && is_current
                && self.publications[*other].content.topic == topic
                && self.retained.replaced(&topic, id, *other).is_some_and(is_live_since)
        });
        if let Some(((_, other), _)) = newer {
            let what =
                format!("{} came retained to {to} after #{other}, which replaced it", self.describe(id));
            self.fail(Oracle::Retained, what);
        }
        let can_be = self.retained.candidates(&topic, from, self.step);
        if !can_be.iter().flatten().any(|write| write.value == Some(id)) {
            let what = format!(
                "{} came retained to {to}, but it is not the last one since step {from}: {can_be:?}",
                self.describe(id)
            );
            self.fail(Oracle::Retained, what);
        }
    }

    /// A client has taken a message in as new.
    pub fn on_received(&mut self, socket: usize, identity: Identity, publish: &Publish<'_>) {
        let (qos, packet_id) = (publish.qos, publish.packet_id.map(|id| id.get()));
        let Some(session) = self.session_of(socket) else { return };
        let Identity::Known(id) = identity else { return };
        if self.sessions[session].is_unclear {
            return;
        }
        let delivery = match packet_id {
            Some(packet_id) => self.received_under(session, packet_id, id, qos),
            None => {
                let copies = self.copies.get(&(session, id)).map(Vec::as_slice).unwrap_or_default();
                let is_next = |d: &usize| {
                    let delivery = &self.deliveries[*d];
                    !delivery.is_received
                        && delivery.qos == qos
                        && (delivery.kind != Kind::Live) == publish.retain
                };
                copies.iter().copied().find(is_next)
            }
        };
        let Some(delivery) = delivery else { return };
        if self.deliveries[delivery].is_received && qos == QoS::ExactlyOnce {
            let what = format!("{} was received twice by session {session}", self.describe(id));
            self.fail(Oracle::Duplicate, what);
        }
        let is_first = !self.copies[&(session, id)].iter().any(|d| self.deliveries[*d].is_received);
        self.deliveries[delivery].is_received = true;
        if is_first && self.deliveries[delivery].kind == Kind::Live {
            self.check_order(session, id, qos);
        }
    }

    /// The delivery of a message that was taken in under a packet id; none if it was sent by a connection that had lost the
    /// session.
    fn received_under(&mut self, index: usize, packet_id: u16, id: PublicationId, qos: QoS) -> Option<usize> {
        let session = &mut self.sessions[index];
        let outstanding = session.outstanding.get(&packet_id);
        let is_it = |known: &&Outstanding| {
            known.identity == Identity::Known(id) && known.is_qos2 == (qos == QoS::ExactlyOnce)
        };
        if let Some(known) = outstanding.filter(is_it) {
            return known.delivery;
        }
        // What the broker may have forgotten, or has dropped as too large, does not keep its packet id from others.
        let is_free = |known: &Outstanding| known.is_doubtful || session.packet_size_min < u32::MAX;
        let is_in_use = !outstanding.is_none_or(is_free);
        if qos == QoS::ExactlyOnce {
            session.heard.insert(packet_id, id);
        }
        if is_in_use {
            let what = format!("{} came to session {index} as {packet_id}, in use", self.describe(id));
            self.fail(Oracle::Protocol, what);
        }
        None
    }

    fn check_order(&mut self, session: usize, id: usize, qos: QoS) {
        let content = &self.publications[id].content;
        let is_shared =
            |s: &super::subscription::Subscription| s.is_shared && mqtt::matches(&s.plain, &content.topic);
        // A will has no place in the order, a shared subscription keeps none, and what a publisher sends again after its
        // connection broke may come behind what it sent later.
        if content.is_will
            || self.publications[id].arrivals.len() > 1
            || self.sessions[session].subscriptions.iter().any(is_shared)
        {
            return;
        }
        // What was given up as too old, and not stored as such, comes back with a crash: it may have been sent before.
        if let (Some(expiry_s), Some(first)) = (content.expiry_s, self.publications[id].arrivals.first())
            && self.now > first.at.add_secs(u64::from(expiry_s))
            && self.has_crashed_since(first.step)
        {
            return;
        }
        let key = (session, self.publisher(id), content.topic.clone(), content.qos, qos);
        let last = self.last_in_order.insert(key.clone(), id);
        // The order in which they came to the broker: a connection that had to wait can bring older messages later.
        let arrival = |id: usize| self.publications[id].arrivals.first().map(|arrival| arrival.step);
        if let Some(last) = last.filter(|last| arrival(*last) > arrival(id)) {
            self.last_in_order.insert(key, last);
            let what = format!("{} reached session {session} after #{last}", self.describe(id));
            self.fail(Oracle::Order, what);
        }
    }
}
