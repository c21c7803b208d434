//! Answers whoever looks from outside.

use std::sync::Arc;

use crate::{
    Instant, Look, Shard,
    connection::Connection,
    filters::is_shared,
    keys::SessionKey,
    look::{ClientSeen, ClientWhole, Link, Matching, Page, Seen, SubscriptionSeen, Waiting},
    outbound::Queued,
    session::Session,
};

impl Shard {
    /// Changes nothing, and takes less than a millisecond or so.
    pub fn look(&self, now: Instant, look: &Look) -> Seen {
        match look {
            Look::Clients { matching, after, most } => {
                Seen::Clients(self.page(matching, *after, *most, |_, session, rows: &mut Vec<_>| {
                    rows.push(self.client_seen(session, now));
                }))
            }
            Look::Client { client_id, most } => {
                let key = self.sessions.find(client_id);
                Seen::Client(key.map(|key| Box::new(self.client_whole(key, *most, now))))
            }
            Look::Queue { client_id, after, most } => {
                let key = self.sessions.find(client_id);
                Seen::Queue(key.map(|key| self.queue_page(&self.sessions[key], *after, *most)))
            }
            Look::Subscriptions { matching, filter, after, most } => {
                let is_wanted = |held: &str| filter.as_deref().is_none_or(|filter| held.contains(filter));
                Seen::Subscriptions(self.page(matching, *after, *most, |key, session, rows| {
                    let filters = session.filters.iter().filter(|held| is_wanted(held));
                    rows.extend(filters.map(|filter| self.subscription_seen(key, session, filter)));
                }))
            }
            Look::Retained { filter, after, most } => {
                let page = self.retained.page(filter, after.as_deref(), (*most).min(ROWS_MAX), now);
                Seen::Retained { messages: page.messages, next: page.next }
            }
            Look::ClientLosses { .. } | Look::PrefixLosses { .. } | Look::OtherLosses => {
                self.look_at_losses(now, look)
            }
            Look::Kept { kept, from } => Seen::Kept(self.count_kept(*kept, from.as_ref())),
            Look::Prefixes => Seen::Prefixes(self.prefixes.seen(now)),
            Look::WhyReceive(why) => Seen::Why(Box::new(self.why_receive(now, why))),
            Look::WhyPublish(why) => Seen::Why(Box::new(self.why_publish(now, why))),
        }
    }

    /// Walks over sessions, slot by slot. A session comes whole: its rows are never cut apart.
    fn page<T>(
        &self,
        matching: &Matching,
        after: Option<u32>,
        most: usize,
        mut add: impl FnMut(SessionKey, &Session, &mut Vec<T>),
    ) -> Page<T> {
        let (mut rows, mut work) = (Vec::new(), 0);
        let first = after.map_or(0, |after| after.saturating_add(1));
        for slot in first..self.sessions.slots() {
            let key = SessionKey(slot);
            if let Some(session) = self.sessions.get(key)
                && self.is_match(session, matching)
            {
                add(key, session, &mut rows);
                work += session.filters.len();
            }
            work += 1;
            if rows.len() >= most.min(ROWS_MAX) || work >= WORK_MAX {
                return Page { rows, next: Some(slot) };
            }
        }
        Page { rows, next: None }
    }

    fn is_match(&self, session: &Session, matching: &Matching) -> bool {
        let Matching { client_id, user, is_connected, queued_least } = matching;
        let queued = || session.outbound.as_deref().map_or(0, |outbound| outbound.queue.len());
        (*queued_least == 0 || queued() >= *queued_least)
            && is_connected.is_none_or(|is_connected| session.conn.is_some() == is_connected)
            && client_id.as_deref().is_none_or(|part| session.client_id.contains(part))
            && user.as_deref().is_none_or(|user| self.user_of(session).as_deref() == Some(user))
    }

    fn connection_of(&self, session: &Session) -> Option<&Connection> {
        session.conn.and_then(|conn| self.connections.get(conn))
    }

    fn user_of(&self, session: &Session) -> Option<Arc<str>> {
        self.grant_of(session.conn?).and_then(|grant| grant.user.clone())
    }

    fn client_seen(&self, session: &Session, now: Instant) -> ClientSeen {
        let outbound = session.outbound.as_deref();
        ClientSeen {
            client_id: Arc::clone(&session.client_id),
            shard: self.id,
            link: self.connection_of(session).map(|connection| self.link(session, connection, now)),
            session_expiry_s: session.expiry_s,
            ends_in: session.ends_at.map(|at| at.since(now)),
            subscriptions: session.filters.len(),
            queued: outbound.map_or(0, |outbound| outbound.queue.len()),
            inflight: outbound.map_or(0, |outbound| outbound.inflight.len()),
            queued_bytes: outbound.map_or(0, |outbound| outbound.weight() + outbound.queue.away_bytes()),
            unreleased: session.received.as_ref().map_or(0, |received| received.len()),
            traffic: session.recorder.as_ref().map(|recorder| recorder.traffic).unwrap_or_default(),
            pressure: self.pressure(session, now),
            will_topic: session.will.as_ref().map(|will| will.message.topic().into()),
        }
    }

    fn link(&self, session: &Session, connection: &Connection, now: Instant) -> Link {
        Link {
            conn: session.conn.expect("the connection was found by it"),
            version: connection.version,
            listener: self.config.door(connection.door).map_or_else(|| "".into(), |door| door.name.clone()),
            user: self.user_of(session),
            connected_for: connection.age(now),
            silent_for: now.since(connection.heard_at),
            keep_alive_s: connection.keep_alive_s,
            receive_maximum: connection.receive_maximum,
            unsent_bytes: connection.unsent_bytes(),
            is_paused: connection.stalled,
        }
    }

    fn subscription_seen(&self, key: SessionKey, session: &Session, filter: &str) -> SubscriptionSeen {
        let held = match is_shared(filter) {
            true => self.groups.member(filter, key),
            false => self.trie.subscription(filter, key),
        };
        SubscriptionSeen {
            client_id: Arc::clone(&session.client_id),
            filter: filter.into(),
            options: held.map(|held| held.options).unwrap_or_default(),
            subscription_id: held.map_or(0, |held| held.subscription_id),
        }
    }

    /// A place of the queue is where a page goes on: what came before it may have been sent meanwhile.
    fn queue_page(&self, session: &Session, after: Option<u32>, most: usize) -> Page<Waiting> {
        let mut rows = Vec::new();
        let Some(outbound) = session.outbound.as_deref() else { return Page { rows, next: None } };
        let first = after.map_or(0, |after| after as usize + 1);
        let end = outbound.queue.len().min(first.saturating_add(WORK_MAX));
        for place in first..end {
            rows.extend(outbound.queue.at(place).map(waiting));
            if rows.len() >= most.min(ROWS_MAX) && place + 1 < outbound.queue.len() {
                return Page { rows, next: u32::try_from(place).ok() };
            }
        }
        let next = (end < outbound.queue.len()).then(|| u32::try_from(end - 1).ok()).flatten();
        Page { rows, next }
    }

    fn client_whole(&self, key: SessionKey, most: usize, now: Instant) -> ClientWhole {
        let session = &self.sessions[key];
        let most = most.min(ROWS_MAX);
        let subscription = |filter| self.subscription_seen(key, session, filter);
        let outbound = session.outbound.as_deref();
        let queue = outbound.into_iter().flat_map(|outbound| outbound.queue.here());
        let inflight = outbound.into_iter().flat_map(|outbound| outbound.inflight.here());
        ClientWhole {
            client: self.client_seen(session, now),
            subscriptions: session.filters.iter().take(most).map(subscription).collect(),
            queue: queue.take(most).map(waiting).collect(),
            inflight: inflight.take(most).map(waiting).collect(),
            packets: session.recorder.iter().flat_map(|recorder| recorder.entries(now)).collect(),
            losses: self.losses_of(&session.client_id, now),
        }
    }
}

fn waiting(queued: &Queued) -> Waiting {
    let has_id = queued.qos != mqtt::QoS::AtMostOnce;
    Waiting {
        topic: queued.message.topic().into(),
        qos: queued.qos,
        payload_bytes: queued.message.payload().len(),
        packet_id: has_id.then(|| queued.packet_id().get()),
    }
}

/// Rows of one answer, but for the filters of its last session.
const ROWS_MAX: usize = 1000;

/// Sessions and filters that one answer looks at.
const WORK_MAX: usize = 4096;
