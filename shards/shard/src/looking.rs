//! Answers whoever looks from outside.

use std::{cmp::Reverse, sync::Arc};

use mqtt::PacketKind;

use crate::{
    Instant, Look, Recorded, Shard,
    connection::Connection,
    departures::Departure,
    filters::is_shared,
    keys::SessionKey,
    look::{
        ClientSeen, ClientWhole, EndedSeen, LastPackets, LeftSeen, Link, Matching, Page, QueueSeen, Seen,
        SubscriptionSeen, Waiting,
    },
    outbound::Queued,
    recorder::{Recorder, Topic, tell_latencies},
    session::Session,
};

impl Shard {
    /// Changes nothing, and takes less than a millisecond or so; some milliseconds where it is about a client with ten
    /// thousand filters that match.
    pub fn look(&self, now: Instant, look: &Look) -> Seen {
        match look {
            Look::Clients { matching, after, most } => {
                Seen::Clients(self.clients_page(matching, *after, *most, now))
            }
            Look::Client { client_id, most } => {
                let key = self.sessions.find(client_id);
                Seen::Client(key.map(|key| Box::new(self.client_whole(key, *most, now))))
            }
            Look::Packets { client_id, topic_filter } => {
                Seen::Packets(self.last_packets(client_id, topic_filter.as_deref(), now).map(Box::new))
            }
            Look::Comings { client_id } => Seen::Comings(Box::new(self.comings_seen(client_id, now))),
            Look::Queue { client_id, after, most } => {
                let key = self.sessions.find(client_id);
                Seen::Queue(key.map(|key| self.queue_seen(&self.sessions[key], *after, *most)))
            }
            Look::Subscriptions { matching, filter, after, most } => {
                Seen::Subscriptions(self.subscriptions_page(matching, filter.as_deref(), *after, *most))
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

    fn last_packets(&self, client_id: &str, topic_filter: Option<&str>, now: Instant) -> Option<LastPackets> {
        let session = self.sessions.find(client_id).map(|key| &self.sessions[key]);
        let ended = self.departures.ended(client_id);
        if session.is_none() && ended.is_none() {
            return None;
        }
        let recorder = session.and_then(|session| session.recorder.as_deref());
        let ended = ended.map(|ended| EndedSeen {
            ago: now.since(ended.at),
            why: ended.why,
            left: ended.departure.as_ref().map(|departure| left_seen(departure, now)),
            packets: packets(ended.recorder.as_deref(), topic_filter, now),
        });
        Some(LastPackets { packets: packets(recorder, topic_filter, now), ended })
    }

    /// Walks over sessions, slot by slot.
    fn clients_page(
        &self,
        matching: &Matching,
        after: Option<u64>,
        most: usize,
        now: Instant,
    ) -> Page<ClientSeen> {
        let mut answer = Answer::new(most);
        let first = after.map_or(0, |after| after.saturating_add(1));
        for slot in first..u64::from(self.sessions.slots()) {
            if let Some(session) = self.sessions.get(SessionKey(slot as u32))
                && self.is_match(session, matching, &mut answer)
            {
                answer.add(self.client_seen(session, now));
            }
            answer.step();
            if answer.is_full() {
                return answer.page(Some(slot));
            }
        }
        answer.page(None)
    }

    /// It goes on within a session: behind so many filters of the session in this slot.
    fn subscriptions_page(
        &self,
        matching: &Matching,
        filter: Option<&str>,
        after: Option<u64>,
        most: usize,
    ) -> Page<SubscriptionSeen> {
        let mut answer = Answer::new(most);
        let (first, mut told) = after.map_or((0, 0), |after| (after >> 32, after & u64::from(u32::MAX)));
        for slot in first..u64::from(self.sessions.slots()) {
            let key = SessionKey(slot as u32);
            let seen = std::mem::take(&mut told);
            answer.step();
            answer.read(seen as usize);
            let session = self.sessions.get(key);
            let Some(session) = session.filter(|session| self.is_match(session, matching, &mut answer))
            else {
                continue;
            };
            for (at, held) in (seen..).zip(session.filters.iter().skip(seen as usize)) {
                answer.step();
                answer.read(filter.map_or(0, |_| held.len()));
                if filter.is_none_or(|filter| held.contains(filter)) {
                    answer.add(self.subscription_seen(key, session, held));
                }
                if answer.is_full() {
                    return answer.page(Some((slot << 32) | (at + 1)));
                }
            }
            if answer.is_full() {
                return answer.page(Some((slot << 32) | u64::from(u32::MAX)));
            }
        }
        answer.page(None)
    }

    fn is_match<T>(&self, session: &Session, matching: &Matching, answer: &mut Answer<T>) -> bool {
        let Matching { client_id, user, is_connected, queued_least } = matching;
        answer.read(client_id.as_ref().map_or(0, |_| session.client_id.len()));
        let queued = || session.outbound.as_deref().map_or(0, |outbound| outbound.queue.len());
        (*queued_least == 0 || queued() >= *queued_least)
            && is_connected.is_none_or(|is_connected| session.conn.is_some() == is_connected)
            && client_id.as_deref().is_none_or(|part| session.client_id.contains(part))
            && user.as_deref().is_none_or(|user| self.user_of(session).as_deref() == Some(user))
    }

    fn connection_of(&self, session: &Session) -> Option<&Connection> {
        session.conn.and_then(|conn| self.connections.get(conn))
    }

    /// A session keeps no user of its own: of one that is away its will knows him, and whoever remembers who was here last.
    fn user_of(&self, session: &Session) -> Option<Arc<str>> {
        if let Some(conn) = session.conn {
            return self.grant_of(conn)?.user.clone();
        }
        let author = session.will.as_deref().and_then(|will| will.author.as_deref());
        let departed = || self.departures.of(&session.client_id, true)?.grant.as_deref();
        author.map(|author| &*author.grant).or_else(departed)?.user.clone()
    }

    fn client_seen(&self, session: &Session, now: Instant) -> ClientSeen {
        let outbound = session.outbound.as_deref();
        let breaks = self.departures.breaks(&session.client_id).and_then(|breaks| breaks.seen(now));
        ClientSeen {
            client_id: Arc::clone(&session.client_id),
            shard: self.id,
            link: self.connection_of(session).map(|connection| self.link(session, connection, now)),
            user: self.user_of(session),
            session_expiry_s: session.expiry_s,
            ends_in: session.ends_at.map(|at| at.since(now)),
            subscriptions: session.filters.len(),
            queued: outbound.map_or(0, |outbound| outbound.queue.len()),
            queued_away: outbound.map_or(0, |outbound| outbound.queue.away_len()),
            inflight: outbound.map_or(0, |outbound| outbound.inflight.len()),
            inflight_for: outbound.and_then(|outbound| outbound.inflight.oldest(now)),
            queued_bytes: outbound.map_or(0, |outbound| outbound.queue.waiting_bytes()),
            unreleased: session.received.as_ref().map_or(0, |received| received.len()),
            traffic: session.recorder.as_ref().map(|recorder| recorder.traffic).unwrap_or_default(),
            pressure: self.pressure(session, now),
            ended: breaks.as_ref().map_or(0, |breaks| breaks.ended),
            taken_over: breaks.as_ref().map_or(0, |breaks| breaks.taken_over),
            will_topic: session.will.as_ref().map(|will| will.message.topic().into()),
        }
    }

    fn link(&self, session: &Session, connection: &Connection, now: Instant) -> Link {
        let conn = session.conn.expect("the connection was found by it");
        Link {
            conn,
            version: connection.version,
            listener: self.config.door(connection.door).map_or_else(|| "".into(), |door| door.name.clone()),
            user: self.user_of(session),
            connected_for: connection.age(now),
            silent_for: now.since(connection.heard_at),
            keep_alive_s: connection.keep_alive_s,
            receive_maximum: connection.receive_maximum,
            unsent_bytes: connection.unsent_bytes(),
            pause: self.pause(conn, connection, now),
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

    fn queue_seen(&self, session: &Session, after: Option<u64>, most: usize) -> QueueSeen {
        let away = session.outbound.as_deref().map_or(0, |outbound| outbound.queue.away_len());
        QueueSeen { page: self.queue_page(session, after, most), away }
    }

    /// A place of the queue is where a page goes on: what came before it may have been sent meanwhile.
    fn queue_page(&self, session: &Session, after: Option<u64>, most: usize) -> Page<Waiting> {
        let mut answer = Answer::new(most);
        let Some(outbound) = session.outbound.as_deref() else { return answer.page(None) };
        let first = after.map_or(0, |after| usize::try_from(after).unwrap_or(usize::MAX).saturating_add(1));
        for place in first..outbound.queue.len() {
            answer.step();
            if let Some(queued) = outbound.queue.at(place) {
                answer.add(waiting(queued));
            }
            if answer.is_full() && place + 1 < outbound.queue.len() {
                return answer.page(Some(place as u64));
            }
        }
        answer.page(None)
    }

    fn client_whole(&self, key: SessionKey, most: usize, now: Instant) -> ClientWhole {
        let session = &self.sessions[key];
        let subscription = |filter| self.subscription_seen(key, session, filter);
        let outbound = session.outbound.as_deref();
        let queue = outbound.into_iter().flat_map(|outbound| outbound.queue.here());
        let inflight = outbound.into_iter().flat_map(|outbound| outbound.inflight.here());
        ClientWhole {
            client: self.client_seen(session, now),
            subscriptions: beginning(session.filters.iter().map(subscription), most),
            queue: beginning(queue.map(waiting), most),
            inflight: beginning(inflight.map(waiting), most),
            packets: packets(session.recorder.as_deref(), None, now),
            losses: self.losses_of(&session.client_id, now),
            left: self.left(session, now),
        }
    }

    fn left(&self, session: &Session, now: Instant) -> Option<LeftSeen> {
        let departure = self.departures.of(&session.client_id, true).filter(|_| session.conn.is_none())?;
        Some(left_seen(departure, now))
    }
}

fn left_seen(departure: &Departure, now: Instant) -> LeftSeen {
    LeftSeen {
        ago: now.since(departure.left_at),
        why: (*departure.why).into(),
        user: departure.grant.as_ref().and_then(|grant| grant.user.clone()),
        listener: Arc::clone(&departure.listener),
    }
}

fn packets(recorder: Option<&Recorder>, topic_filter: Option<&str>, now: Instant) -> Vec<Recorded> {
    let entries = recorder.into_iter().flat_map(|recorder| recorder.entries_with_topics(now));
    let (mut packets, topics): (Vec<Recorded>, Vec<Option<&Topic>>) = entries.unzip();
    tell_latencies(&mut packets);
    let mut named: Vec<_> = packets.into_iter().zip(topics).collect();
    // What had to wait stands where it was made.
    named.sort_by_key(|(packet, _)| Reverse(packet.ago));
    let is_about = |packet: &Recorded, topic: &Topic, filter: &str| match packet.kind {
        PacketKind::Publish => topic.matches(filter),
        _ => topic.overlaps(filter),
    };
    let is_wanted = |packet: &Recorded, topic: Option<&Topic>| {
        topic_filter.is_none_or(|filter| topic.is_some_and(|topic| is_about(packet, topic, filter)))
    };
    named.into_iter().filter(|(packet, topic)| is_wanted(packet, *topic)).map(|(packet, _)| packet).collect()
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

/// As many rows as one answer holds of a list.
fn beginning<T: Row>(rows: impl Iterator<Item = T>, most: usize) -> Vec<T> {
    let mut answer = Answer::new(most);
    for row in rows {
        answer.add(row);
        if answer.is_full() {
            break;
        }
    }
    answer.rows
}

/// What one answer holds and what it has cost, each of which has a bound.
struct Answer<T> {
    rows: Vec<T>,
    most: usize,
    bytes: usize,
    work: usize,
}

/// A row is as large as the names in it, which clients choose.
trait Row {
    fn bytes(&self) -> usize;
}

impl<T> Answer<T> {
    fn new(most: usize) -> Answer<T> {
        Answer { rows: Vec::new(), most: most.min(ROWS_MAX), bytes: 0, work: 0 }
    }

    fn step(&mut self) {
        self.work += 1;
    }

    /// So many bytes are looked through.
    fn read(&mut self, bytes: usize) {
        self.work += bytes / BYTES_OF_STEP;
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= self.most || self.bytes >= BYTES_MAX || self.work >= WORK_MAX
    }

    fn page(self, next: Option<u64>) -> Page<T> {
        Page { rows: self.rows, next }
    }
}

impl<T: Row> Answer<T> {
    fn add(&mut self, row: T) {
        self.bytes += row.bytes();
        self.rows.push(row);
    }
}

impl Row for ClientSeen {
    fn bytes(&self) -> usize {
        // A client that is here is told with its connection as well.
        let users = 1 + usize::from(self.link.is_some());
        let user = users * self.user.as_deref().map_or(0, str::len);
        self.client_id.len() + self.will_topic.as_deref().map_or(0, str::len) + user
    }
}

impl Row for SubscriptionSeen {
    fn bytes(&self) -> usize {
        self.client_id.len() + self.filter.len()
    }
}

impl Row for Waiting {
    fn bytes(&self) -> usize {
        self.topic.len()
    }
}

/// Rows of one answer.
const ROWS_MAX: usize = 1000;

/// The names in one answer, or in one list of it; the last one may go beyond.
const BYTES_MAX: usize = 256 << 10;

/// Sessions and filters that one answer looks at, or as many times the bytes of a step.
const WORK_MAX: usize = 4096;
const BYTES_OF_STEP: usize = 64;
