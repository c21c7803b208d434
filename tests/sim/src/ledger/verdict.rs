//! The judgement when the world has come to rest: what is owed and was not given, compared with what the counters say.

use std::collections::BTreeMap;

use mqtt::{QoS, RetainHandling};
use shard::Counters;

use super::{Ledger, Oracle, PublicationId, SLACK, session::Existence, subscription::Subscription};

/// What the world adds to the ledger's knowledge for the judgement.
pub struct Closing<'a> {
    pub counters: &'a Counters,
    /// PUBLISH packets that were encoded and lost with their connection.
    pub unsent: u64,
    /// Those at QoS 0 that were sent, and that their socket did not take.
    pub untaken: u64,
    /// Those at QoS 0 that no socket took, where that is known.
    pub unkept_lost: Option<u64>,
    /// Strangers publish and subscribe, too, and nobody keeps account of it.
    pub has_strangers: bool,
}

/// Why one copy can be missing.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Excuses {
    queue: bool,
    expired: bool,
    too_large: bool,
    away: bool,
    mesh: bool,
    session: bool,
}

/// Copies that are missing, and what may have eaten them.
#[derive(Default)]
struct Missing {
    copies: Vec<(String, Excuses)>,
    /// QoS 0 across the mesh: one piece of mail serves all sessions of a shard.
    mesh: BTreeMap<(PublicationId, usize), Vec<(String, Excuses)>>,
    /// A shard that got one copy got the mail.
    reached: std::collections::BTreeSet<(PublicationId, usize)>,
}

impl Ledger {
    /// Everybody is connected who can be, and nothing is under way.
    pub fn judge_rest(&mut self, closing: &Closing<'_>) {
        self.expire_sessions();
        self.resolve_wills();
        self.check_owed();
        let mut missing = Missing::default();
        for id in 0..self.publications.len() {
            let publication = &self.publications[id];
            let is_sure = publication.is_certain && !publication.is_refused && !publication.content.is_empty;
            if is_sure && !publication.arrivals.is_empty() {
                self.collect_missing(id, &mut missing);
                self.check_shared(id, &mut missing);
            }
        }
        self.compare_with_counters(missing, closing);
        self.check_counters_are_possible(closing);
        self.check_unsent(closing);
        if !self.retained_is_limited {
            self.check_retained_arrived();
            self.check_replays_owed(closing);
        }
    }

    fn check_owed(&mut self) {
        let mut found = Vec::new();
        for (socket, connection) in &self.connections {
            if connection.ended.is_some() || connection.is_refused {
                continue;
            }
            let (owed, client) = (&connection.owed, connection.said.client);
            let mut say = |what: String| found.push(format!("client {client}, socket {socket}: {what}"));
            if !connection.is_accepted {
                say("no CONNACK".into());
            }
            let publishes: Vec<_> = owed.puback.iter().chain(&owed.pubrec).collect();
            if !publishes.is_empty() {
                say(format!("no PUBACK or PUBREC for {publishes:?}"));
            }
            if !owed.pubrel.is_empty() || !owed.pubcomp.is_empty() {
                say(format!("no PUBREL for {:?}, no PUBCOMP for {:?}", owed.pubrel, owed.pubcomp));
            }
            if owed.pingresp > 0 {
                say(format!("{} PINGRESP missing", owed.pingresp));
            }
            if !connection.subscribes.is_empty() || !connection.unsubscribes.is_empty() {
                let (subs, unsubs) = (&connection.subscribes, &connection.unsubscribes);
                say(format!("no SUBACK for {:?}, no UNSUBACK for {:?}", subs.keys(), unsubs.keys()));
            }
            let session = &self.sessions[connection.session];
            let is_open = session.outstanding.values().any(|outstanding| !outstanding.is_doubtful);
            if is_open && !session.is_unclear && session.packet_size_min == u32::MAX {
                say(format!("handshakes never finished: {:?}", session.outstanding));
            }
        }
        for what in found {
            self.fail(Oracle::AckOwed, what);
        }
    }

    /// The part of the sessions that had to get this publication by a subscription of their own.
    fn collect_missing(&mut self, id: PublicationId, missing: &mut Missing) {
        let publication = &self.publications[id];
        let content = &publication.content;
        // A QoS 1 message that came twice may have been answered for its second coming.
        let arrivals = &publication.arrivals;
        let last = arrivals.iter().rfind(|arrival| arrival.is_acknowledged).or(arrivals.last());
        let last = *last.expect("the caller has looked");
        let is_any = content.qos == QoS::AtLeastOnce || content.is_will;
        let arrival = if is_any { last } else { arrivals[0] };
        // What came a second time after a crash may have been lost the first time.
        let routed = if last.is_repeat { last.routed } else { arrival.routed };
        let (from, to) = (arrival.step, self.settled(routed));
        if to == u64::MAX {
            return;
        }
        for (index, session) in self.sessions.iter().enumerate() {
            let is_own = self.is_own(index, id);
            if session.is_unclear
                || session.ended.is_some()
                || session.existence(self.now) != Existence::Present
            {
                continue;
            }
            let qos = session
                .subscriptions
                .iter()
                .filter(|s| !s.is_shared && s.must(from, to) && mqtt::matches(&s.plain, &content.topic))
                .filter(|s| !is_own || s.variants(from, to).all(|variant| !variant.options.no_local))
                .filter_map(|s| s.variants(from, to).map(|variant| variant.options.qos).min())
                .max();
            let Some(qos) = qos.map(|qos| qos.min(content.qos)) else { continue };
            let home = self.home_of(index);
            if qos == QoS::AtMostOnce && self.has_crashed_since(from) {
                continue;
            }
            let copies = self.copies.get(&(index, id)).map(Vec::as_slice).unwrap_or_default();
            // A copy for a shared subscription comes by mail of its own.
            let is_live = |d: &usize| self.deliveries[*d].kind == super::delivery::Kind::Live;
            let has_shared = |s: &Subscription| s.is_shared && mqtt::matches(&s.plain, &content.topic);
            if copies.iter().any(is_live) && !session.subscriptions.iter().any(has_shared) {
                missing.reached.insert((id, home));
            }
            // At QoS 0 a message is delivered when it is sent; above it has to arrive.
            let is_here = copies.iter().any(|d| qos == QoS::AtMostOnce || self.deliveries[*d].is_received)
                || (session.socket.is_none() && !copies.is_empty());
            if is_here || (session.socket.is_none() && qos > QoS::AtMostOnce) {
                continue;
            }
            let excuses = self.excuses(id, index, qos);
            let what = format!(
                "{} is missing at session {index} of client {} at {qos:?} (steps {from} to {to}, {} copies sent)",
                self.describe(id),
                session.client,
                copies.len()
            );
            if qos == QoS::AtMostOnce && content.qos == qos && arrival.shard != home {
                missing.mesh.entry((id, home)).or_default().push((what, excuses));
            } else {
                missing.copies.push((what, Excuses { mesh: false, ..excuses }));
            }
        }
    }

    pub(super) fn home_of(&self, session: usize) -> usize {
        let of_session = |c: &&super::Connection| c.session == session;
        self.connections.values().find(of_session).map_or(0, |connection| connection.shard)
    }

    fn excuses(&self, id: PublicationId, session: usize, qos: QoS) -> Excuses {
        let publication = &self.publications[id];
        let session = &self.sessions[session];
        let arrival = publication.arrivals[0];
        let content = &publication.content;
        let size = content.payload(id).len() + content.topic.len() + 2;
        Excuses {
            queue: true,
            expired: content
                .expiry_s
                .is_some_and(|expiry| arrival.at.add_secs(u64::from(expiry)) <= self.now + SLACK),
            // Properties add a few hundred bytes at the most.
            too_large: size + 400 > session.packet_size_min as usize,
            away: qos == QoS::AtMostOnce && session.was_away(arrival.step, self.step),
            mesh: content.qos == QoS::AtMostOnce,
            session: false,
        }
    }

    /// Each message goes to exactly one member of each shared subscription.
    fn check_shared(&mut self, id: PublicationId, missing: &mut Missing) {
        let publication = &self.publications[id];
        let content = &publication.content;
        let arrivals = publication.arrivals.len();
        let last = *publication.arrivals.last().expect("the caller has looked");
        let first = publication.arrivals[0].step;
        let (from, to) = (last.step, self.settled(last.routed));
        let mut groups: BTreeMap<&str, bool> = BTreeMap::new();
        let mut plain = 0;
        let mut total = 0;
        let mut received = 0;
        for (index, session) in self.sessions.iter().enumerate() {
            let matching = session.subscriptions.iter().filter(|s| mqtt::matches(&s.plain, &content.topic));
            let mut has_plain = false;
            for subscription in matching.filter(|s| s.may(first, self.step)) {
                if subscription.is_shared {
                    let must = subscription.must(from, to) && to != u64::MAX && !session.is_unclear;
                    *groups.entry(&subscription.filter).or_default() |= must && session.ended.is_none();
                } else {
                    has_plain = true;
                }
            }
            plain += usize::from(has_plain);
            let copies = self.copies.get(&(index, id)).map(Vec::as_slice).unwrap_or_default();
            let live = copies.iter().filter(|d| self.deliveries[**d].kind != super::delivery::Kind::Replay);
            total += live.clone().count();
            received += live.filter(|d| self.deliveries[**d].is_received).count();
        }
        if groups.is_empty() || self.is_with_zombie(id) {
            return;
        }
        let most = arrivals * (groups.len() + plain);
        let as_published = content.retain;
        if total > most && !as_published {
            let what = format!("{} was given {total} times, {most} are right: {groups:?}", self.describe(id));
            return self.fail(Oracle::Duplicate, what);
        }
        let owed = groups.values().filter(|must| **must).count();
        // Copies of plain subscriptions cannot be told apart; where there are none the count is exact.
        if plain == 0 && total.max(received) < owed {
            let what = format!("{} was given to {total} of {owed} shared subscriptions", self.describe(id));
            let mut excuses = self.excuses(id, 0, QoS::AtMostOnce);
            (excuses.away, excuses.too_large, excuses.session) = (true, true, true);
            missing.copies.push((what, excuses));
        }
    }

    /// A crash has ended a member of a shared subscription together with what it was given, or has brought one back.
    fn is_with_zombie(&self, id: PublicationId) -> bool {
        let content = &self.publications[id].content;
        let is_at_most_once = content.qos == QoS::AtMostOnce;
        let matching = |s: &Subscription| s.is_shared && mqtt::matches(&s.plain, &content.topic);
        let zombie = |session: &super::session::Session| {
            let first = self.publications[id].arrivals[0].step;
            first <= session.zombie_until && session.subscriptions.iter().any(matching)
        };
        (is_at_most_once && self.has_crashed_since(self.publications[id].arrivals[0].step))
            || self.sessions.iter().any(zombie)
    }

    /// "What is missing here is what the counters say": in total, and for each cause.
    fn compare_with_counters(&mut self, missing: Missing, closing: &Closing<'_>) {
        let counters = closing.counters;
        let queue =
            counters.dropped_queue_messages + counters.dropped_queue_bytes + counters.dropped_queue_memory;
        let mut copies = missing.copies;
        let mut mail_lost = 0;
        for ((id, shard), group) in missing.mesh {
            let was_reached = missing.reached.contains(&(id, shard));
            let has_other_excuse =
                |excuses: &Excuses| excuses.away || excuses.expired || excuses.too_large || queue > 0;
            if was_reached {
                copies.extend(
                    group.into_iter().map(|(what, excuses)| (what, Excuses { mesh: false, ..excuses })),
                );
            } else if group.iter().all(|(_, excuses)| has_other_excuse(excuses))
                || counters.dropped_mesh_full == 0
            {
                // One lost piece of mail is enough to explain all of them.
                copies.extend(group.into_iter().take(1));
            } else {
                mail_lost += 1;
            }
        }
        if mail_lost > counters.dropped_mesh_full {
            let what = format!("{mail_lost} QoS 0 mails lost, {} counted", counters.dropped_mesh_full);
            self.fail(Oracle::Lost, what);
        }
        // With a crash goes what was encoded and not sent, and nobody is left to count it.
        let unsent = if self.crashes.is_empty() { counters.dropped_unsent } else { closing.unsent };
        let away = counters.dropped_offline_qos0 + counters.dropped_shared_nobody + unsent;
        let available = |excuses: &Excuses| {
            let causes = [
                (excuses.queue, queue),
                (excuses.expired, counters.dropped_expired),
                (excuses.too_large, counters.dropped_packet_too_large),
                (excuses.away, away),
                (excuses.mesh, counters.dropped_mesh_full),
                (excuses.session, counters.dropped_session_ended),
            ];
            causes.iter().filter(|(may, _)| *may).map(|(_, count)| *count).sum::<u64>()
        };
        let mut counted: BTreeMap<Excuses, u64> = BTreeMap::new();
        for (what, excuses) in &copies {
            let limit = available(excuses);
            let so_far = counted.entry(*excuses).or_default();
            *so_far += 1;
            if *so_far > limit {
                self.fail(Oracle::Lost, format!("{what}; no counter tells why ({excuses:?})"));
            }
        }
        let total = queue
            + away
            + counters.dropped_expired
            + counters.dropped_packet_too_large
            + counters.dropped_session_ended
            + counters.dropped_mesh_full;
        if copies.len() as u64 > total && self.failures.is_empty() {
            let what = format!("{} copies are missing, {total} drops are counted", copies.len());
            self.fail(Oracle::Lost, what);
        }
    }

    /// No more drops are counted than copies can have been on their way and were not sent.
    fn check_counters_are_possible(&mut self, closing: &Closing<'_>) {
        if closing.has_strangers || !self.crashes.is_empty() {
            return;
        }
        let now = self.step;
        let mut possible = 0;
        for publication in self.publications.iter().filter(|publication| !publication.arrivals.is_empty()) {
            let (topic, first) = (&publication.content.topic, publication.arrivals[0].step);
            let each_session = self.sessions.iter().flat_map(|session| {
                let may = |s: &&Subscription| s.may(first, now) && mqtt::matches(&s.plain, topic);
                session.subscriptions.iter().filter(may)
            });
            possible += publication.arrivals.len() * each_session.count();
        }
        for record in &self.subscribes {
            let plain = &self.sessions[record.session].subscriptions[record.subscription].plain;
            possible += self.retained.topics().filter(|topic| mqtt::matches(plain, topic)).count();
        }
        let counters = closing.counters;
        let counted = counters.dropped_queue_messages
            + counters.dropped_queue_bytes
            + counters.dropped_queue_memory
            + counters.dropped_offline_qos0
            + counters.dropped_expired;
        let left = possible.saturating_sub(self.deliveries.len());
        if counted > left as u64 {
            let what = format!("{counted} drops are counted, {left} copies at the most were not sent");
            self.fail(Oracle::Counters, what);
        }
    }

    /// What is counted as never sent was encoded and did not go out. Where nobody has looked on, what was encoded at QoS 1 and 2 cannot be
    /// told from it; nobody counts what goes with a crash.
    fn check_unsent(&mut self, closing: &Closing<'_>) {
        let counted = closing.counters.dropped_unsent;
        let most = closing.unkept_lost.unwrap_or(closing.unsent + closing.untaken);
        let least = closing.unkept_lost.filter(|_| self.crashes.is_empty()).unwrap_or(0);
        if !(least..=most).contains(&counted) {
            let what = format!("{counted} PUBLISH are counted as unsent, {least} to {most} were");
            self.fail(Oracle::Counters, what);
        }
    }

    /// No retained message is lost on the way to the home of its topic. When a will was published is not always clear.
    fn check_retained_arrived(&mut self) {
        let is_will = |id: &Option<PublicationId>| id.is_some_and(|id| self.publications[id].content.is_will);
        let lost: Vec<_> = self.retained.under_way().filter(|(_, id)| !is_will(id)).collect();
        if let Some((topic, id)) = lost.first() {
            let what =
                format!("{} retained messages never came to their home, on {topic:?} {id:?}", lost.len());
            self.fail(Oracle::Retained, what);
        }
    }

    /// A SUBSCRIBE whose connection still stands has got what is retained now: from the store, or live since then.
    fn check_replays_owed(&mut self, closing: &Closing<'_>) {
        let dropped = closing.counters.dropped_queue_messages
            + closing.counters.dropped_queue_bytes
            + closing.counters.dropped_queue_memory
            + closing.counters.dropped_packet_too_large
            + closing.counters.dropped_mesh_full;
        let mut found = Vec::new();
        for record in &self.subscribes {
            let session = &self.sessions[record.session];
            let subscription = &session.subscriptions[record.subscription];
            let variant = &subscription.variants[record.variant];
            let is_asked = match variant.options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => record.is_new == Some(true),
                RetainHandling::DoNotSend => false,
            };
            let stands = self.connections[&record.socket].ended.is_none() && session.ended.is_none();
            if record.acked.is_none() || !is_asked || !stands || subscription.is_shared || session.is_unclear
            {
                continue;
            }
            let is_live = subscription.may_until == u64::MAX && subscription.must_until == u64::MAX;
            let topics = self.retained.topics().filter(|topic| mqtt::matches(&subscription.plain, topic));
            for topic in topics.filter(|_| is_live) {
                let Some(write) = self.retained.certain(topic, self.step, self.step) else { continue };
                let id = write.value.expect("a certain message is one");
                // No-local may hold back the client's own message.
                let is_no_local = subscription.variants.iter().any(|variant| variant.options.no_local);
                if is_no_local && self.is_own(record.session, id) {
                    continue;
                }
                let is_expired = write.expires_at.is_some_and(|at| at <= self.now + SLACK);
                let copies = self.copies.get(&(record.session, id)).map(Vec::as_slice).unwrap_or_default();
                // A live copy that comes after the SUBSCRIBE makes the replay superfluous.
                let is_here = copies.iter().any(|d| self.deliveries[*d].step >= record.step);
                if !is_here && !is_expired && dropped == 0 {
                    let client = session.client;
                    found.push(format!(
                        "{} is retained and client {client} did not get it",
                        self.describe(id)
                    ));
                }
            }
        }
        for what in found {
            self.fail(Oracle::Retained, what);
        }
    }
}
