//! What was made for a client and no socket took: nothing is counted for it while it waits, and its packets are looked at when the
//! connection ends. Messages at QoS 0 among them are lost; what has a packet id is sent again, or is lost with its session.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use mqtt::{PacketKind, Publish, QoS, Version};

use crate::{
    Cause, ConnId, IS_WATCHED, Instant, Outgoing, Shard, connection::Connection, keys::SessionKey,
    losing::UNKNOWN, mount::mounted, publish::is_of_server, recorder::Recorder,
};

/// Of whom it is that a socket still has to take something, where the connection may have no session any more.
pub(crate) struct Leaver {
    conn: ConnId,
    client_id: Arc<str>,
    version: Version,
    mount: Option<Arc<str>>,
    /// What it was told by alias.
    topics: HashMap<u16, Box<str>, ahash::RandomState>,
    recorded: Option<Recorded>,
}

/// Where its packets stand in what is recorded of the client.
struct Recorded {
    /// Of the recorder.
    number: u16,
    /// Packets before those that still waited.
    sent: u64,
}

impl Shard {
    /// The connection is about to lose its session.
    pub(crate) fn note_leaver(&mut self, conn: ConnId) {
        if let Some(leaver) = self.leaver_at(conn) {
            self.connections.leavers.insert(conn, leaver);
        }
    }

    /// None: its socket has taken everything, or it is nobody's.
    pub(crate) fn leaver_at(&mut self, conn: ConnId) -> Option<Leaver> {
        let left = self.connections.leavers.remove(&conn);
        let connection = self.connections.get(conn).filter(|_| IS_WATCHED)?;
        if !connection.sending && connection.waiting().next().is_none() {
            return None;
        }
        left.or_else(|| Some(self.make_leaver(conn, connection, connection.session()?)))
    }

    fn make_leaver(&self, conn: ConnId, connection: &Connection, session: SessionKey) -> Leaver {
        let session = &self.sessions[session];
        let told = connection.aliases.as_deref().map(|aliases| aliases.outbound.iter());
        let recorder = session.recorder.as_deref();
        Leaver {
            conn,
            client_id: Arc::clone(&session.client_id),
            version: connection.version,
            mount: self.mount_of(conn),
            topics: told.into_iter().flatten().map(|(topic, alias)| (*alias, topic.clone())).collect(),
            recorded: recorder
                .map(|recorder| Recorded { number: recorder.number(), sent: recorder.traffic.packets_sent }),
        }
    }

    /// The connection is gone, and what waited in it. What is under way may still be taken.
    pub(crate) fn lose_with_connection(
        &mut self,
        conn: ConnId,
        leaver: Leaver,
        connection: &Connection,
        now: Instant,
    ) {
        for outgoing in connection.waiting() {
            self.lose_outgoing(&leaver, outgoing, 0, 0, now);
        }
        if connection.sending {
            self.connections.leavers.insert(conn, leaver);
        }
    }

    /// The socket took no more than so many bytes of what was under way.
    pub(crate) fn handle_unsent(&mut self, conn: ConnId, outgoing: &Outgoing, taken: usize, now: Instant) {
        let leaver = match self.connections.get(conn) {
            Some(_) => self.leaver_at(conn),
            None => self.connections.leavers.remove(&conn),
        };
        let mut behind = 0;
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.sending = false;
            self.unsent_bytes -= std::mem::take(&mut connection.sending_bytes) as usize;
            behind = packets_waiting(connection);
        }
        let Some(leaver) = leaver else { return };
        self.lose_outgoing(&leaver, outgoing, taken, behind, now);
        if behind > 0 {
            self.connections.leavers.insert(conn, leaver);
        }
    }

    /// `behind`: packets that still wait in the same connection.
    pub(crate) fn lose_outgoing(
        &mut self,
        leaver: &Leaver,
        outgoing: &Outgoing,
        taken: usize,
        behind: u64,
        now: Instant,
    ) {
        let mut packets = 0;
        let mut lost: BTreeMap<Cow<'_, str>, u64> = BTreeMap::new();
        for (_, packet) in outgoing.packets().filter(|(end, _)| *end > taken) {
            packets += 1;
            let Some(topic) = leaver.topic_of_unkept(packet) else { continue };
            let is_told =
                lost.len() < TOPICS_MAX || lost.contains_key(&topic) || is_of_server(topic.as_bytes());
            *lost.entry(if is_told { topic } else { UNKNOWN.into() }).or_default() += 1;
        }
        for (topic, count) in lost {
            self.lose_of(Some(&leaver.client_id), Cause::Unsent, &topic, count, now);
        }
        self.note_unsent(leaver, packets, behind);
    }

    /// What is recorded as sent was not.
    fn note_unsent(&mut self, leaver: &Leaver, packets: u64, behind: u64) {
        let Some(Recorded { number, sent }) = leaver.recorded else { return };
        let key = self.sessions.find(&leaver.client_id);
        let next = key.and_then(|key| self.sessions[key].conn).filter(|conn| *conn != leaver.conn);
        let here = next.and_then(|conn| self.connections.get(conn)).map_or(0, packets_waiting);
        let is_it = |recorder: &&mut Recorder| recorder.number() == number;
        let recorder = match key.and_then(|key| self.sessions.recorder(key)).filter(is_it) {
            Some(recorder) => Some(recorder),
            None => self.departures.recorder(&leaver.client_id).filter(is_it),
        };
        if let Some(recorder) = recorder {
            let since = recorder.traffic.packets_sent.saturating_sub(sent);
            recorder.give_up(packets, since + here + behind);
        }
    }
}

impl Leaver {
    /// The whole name of its topic, of a message that nobody sends again. Empty: it is not known.
    fn topic_of_unkept<'a>(&'a self, packet: &'a [u8]) -> Option<Cow<'a, str>> {
        let frame = mqtt::beginning(packet).filter(|frame| frame.kind == PacketKind::Publish)?;
        let publish = Publish::decode(&frame, self.version).ok()?;
        if publish.qos != QoS::AtMostOnce {
            return None;
        }
        let alias = publish.properties.topic_alias.filter(|_| publish.topic.is_empty());
        let behind = alias.map(|alias| self.topics.get(&alias).map_or(UNKNOWN, |topic| topic));
        let topic = behind.unwrap_or(publish.topic);
        // One of the server is called the same everywhere.
        let whole =
            self.mount.as_deref().filter(|_| !topic.is_empty()).and_then(|mount| mounted(mount, topic));
        Some(whole.map_or(Cow::Borrowed(topic), |whole| Cow::Owned(whole.into())))
    }
}

fn packets_waiting(connection: &Connection) -> u64 {
    connection.waiting().map(|outgoing| outgoing.packets).sum()
}

/// Of what one connection loses, messages on more topics have none in the ledger.
const TOPICS_MAX: usize = 256;
