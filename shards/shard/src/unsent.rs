//! What was made for a client and no socket took: nothing is counted for it while it waits, and its packets are looked at when the
//! connection ends, so many in a tick. Messages at QoS 0 among them are lost; what has a packet id is sent again, or is lost with its session.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use mqtt::{PacketKind, Publish, Version};
use smallvec::SmallVec;

use crate::{
    Cause, ConnId, IS_WATCHED, Instant, Outgoing, Shard,
    connection::{Connection, ToldAliases},
    keys::SessionKey,
    losing::UNKNOWN,
    losses::Owner,
    mount::mounted,
    outgoing::Walk,
    recorder::Recorder,
    turn::Turn,
};

/// Of whom it is that a socket still has to take something, where the connection may have no session any more.
pub(crate) struct Leaver {
    conn: ConnId,
    client_id: Arc<str>,
    version: Version,
    mount: Option<Arc<str>>,
    told: ToldAliases,
    recorded: Option<Recorded>,
}

/// Where its packets stand in what is recorded of the client.
struct Recorded {
    /// Of the recorder.
    number: u16,
    /// Packets before those that still waited.
    sent: u64,
}

/// What is lost already, and not counted yet: long outboxes of many may end at once, and are worked off in the order of their ends. What they
/// hold counts as unsent until then.
#[derive(Default)]
pub(crate) struct Losing {
    uncounted: VecDeque<Uncounted>,
    /// Of connections that sends of are in there whose packets behind them are not known yet.
    unsettled: BTreeMap<ConnId, Unsettled>,
    /// Packets that this tick may still look at.
    left: usize,
}

#[derive(Default)]
struct Unsettled {
    sends: u32,
    /// What waited when the connection ended is in there itself, behind them.
    packets: u64,
}

struct Uncounted {
    leaver: Arc<Leaver>,
    outgoing: Box<Outgoing>,
    /// Bytes that the socket took of it.
    taken: usize,
    /// Packets that wait behind it in the same connection, where nothing counts them as sent when they go out. None: it has, or had, a
    /// session, and what waits there when this is counted lies behind it, as does what has gone out until then.
    behind: Option<u64>,
    walk: Walk,
    /// Of those that lie behind, what was not taken whole.
    packets: u64,
}

impl Shard {
    /// The connection is about to lose its session.
    pub(crate) fn note_leaver(&mut self, conn: ConnId) {
        if let Some(leaver) = self.leaver_at(conn) {
            self.connections.leavers.insert(conn, leaver);
        }
    }

    /// None: its socket has taken everything, or it is nobody's.
    pub(crate) fn leaver_at(&mut self, conn: ConnId) -> Option<Arc<Leaver>> {
        let left = self.connections.leavers.remove(&conn);
        let connection = self.connections.get(conn).filter(|_| IS_WATCHED)?;
        if !connection.sending && connection.waiting().next().is_none() {
            return None;
        }
        left.or_else(|| Some(Arc::new(self.make_leaver(conn, connection, connection.session()?))))
    }

    fn make_leaver(&self, conn: ConnId, connection: &Connection, session: SessionKey) -> Leaver {
        let session = &self.sessions[session];
        let recorder = session.recorder.as_deref();
        Leaver {
            conn,
            client_id: Arc::clone(&session.client_id),
            version: connection.version,
            mount: self.mount_of(conn),
            told: connection.aliases.as_deref().map(|aliases| aliases.outbound.clone()).unwrap_or_default(),
            recorded: recorder
                .map(|recorder| Recorded { number: recorder.number(), sent: recorder.traffic.packets_sent }),
        }
    }

    /// The connection is gone, and what waited in it. What is under way may still be taken.
    pub(crate) fn lose_with_connection(
        &mut self,
        conn: ConnId,
        leaver: Arc<Leaver>,
        connection: &mut Connection,
        turn: &Turn<'_>,
    ) {
        self.lose_unsaid(conn, leaver, connection.take_unsaid(), connection.sending, turn);
    }

    /// What waited in a connection that ends.
    pub(crate) fn lose_unsaid(
        &mut self,
        conn: ConnId,
        leaver: Arc<Leaver>,
        unsaid: impl Iterator<Item = Box<Outgoing>>,
        is_sending: bool,
        turn: &Turn<'_>,
    ) {
        let unsaid: SmallVec<[_; 4]> = unsaid.collect();
        if let Some(unsettled) = self.losing.unsettled.get_mut(&conn) {
            unsettled.packets += unsaid.iter().map(|outgoing| outgoing.packets).sum::<u64>();
        }
        for outgoing in unsaid {
            self.lose_outgoing(&leaver, outgoing, 0, Some(0), turn);
        }
        if is_sending {
            self.connections.leavers.insert(conn, leaver);
        }
    }

    /// The socket took no more than so many bytes of what was under way.
    pub(crate) fn handle_unsent(
        &mut self,
        conn: ConnId,
        outgoing: Box<Outgoing>,
        taken: usize,
        turn: &Turn<'_>,
    ) {
        let leaver = match self.connections.get(conn) {
            Some(_) => self.leaver_at(conn),
            None => self.connections.leavers.remove(&conn),
        };
        let (mut behind, mut has_session) = (0, false);
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.sending = false;
            self.totals.unsent_bytes -= std::mem::take(&mut connection.sending_bytes) as usize;
            behind = packets_waiting(connection);
            has_session = connection.session().is_some();
        }
        let Some(leaver) = leaver else { return };
        self.lose_outgoing(&leaver, outgoing, taken, (!has_session).then_some(behind), turn);
        // Who still has a session is known by it, also by what is recorded from now on.
        if behind > 0 && !has_session {
            self.connections.leavers.insert(conn, leaver);
        }
    }

    /// `behind`: as in [`Uncounted`].
    pub(crate) fn lose_outgoing(
        &mut self,
        leaver: &Arc<Leaver>,
        outgoing: Box<Outgoing>,
        taken: usize,
        behind: Option<u64>,
        turn: &Turn<'_>,
    ) {
        self.totals.unsent_bytes += outgoing.len();
        if behind.is_none() {
            self.losing.unsettled.entry(leaver.conn).or_default().sends += 1;
        }
        let (leaver, walk) = (Arc::clone(leaver), Walk::default());
        self.losing.uncounted.push_back(Uncounted { leaver, outgoing, taken, behind, walk, packets: 0 });
        self.count_on(turn);
    }

    /// Counts as many packets as this tick can, and leaves the others to the next ones. Behind a drain there is none.
    pub(crate) fn count_on(&mut self, turn: &Turn<'_>) {
        if self.drain.is_over() {
            self.losing.left = usize::MAX;
        }
        while let Some(mut uncounted) = self.losing.uncounted.pop_front() {
            if !self.count_some(&mut uncounted, turn.now) {
                self.losing.uncounted.push_front(uncounted);
                return self.arm_clearing(turn);
            }
            self.losing.spend(RECORDED_PACKETS);
            self.totals.unsent_bytes -= uncounted.outgoing.len();
            let behind = uncounted.behind.unwrap_or_else(|| self.packets_behind(uncounted.leaver.conn));
            self.note_unsent(&uncounted.leaver, uncounted.packets, behind);
        }
    }

    /// One of its sends is counted, and what waits there lies behind that.
    fn packets_behind(&mut self, conn: ConnId) -> u64 {
        let waiting = self.connections.get(conn).map_or(0, packets_waiting);
        waiting + self.losing.settle(conn)
    }

    /// Whether all of it is counted.
    fn count_some(&mut self, uncounted: &mut Uncounted, now: Instant) -> bool {
        let Uncounted { leaver, outgoing, taken, walk, packets, .. } = uncounted;
        let mut tally = Tally::new();
        let is_all = loop {
            if self.losing.left == 0 {
                break false;
            }
            let Some(packet) = outgoing.next_packet(walk) else { break true };
            self.losing.spend(1);
            if walk.end <= *taken {
                continue;
            }
            *packets += 1;
            let Some(topic) = topic_of_unkept(packet) else { continue };
            let topic = if topic.is_empty() {
                self.losing.spend(DECODED_PACKETS + leaver.told.len() / ALIASES_PER_PACKET);
                leaver.topic_behind(packet).as_bytes()
            } else {
                topic
            };
            if let Some((_, count)) = tally.iter_mut().find(|(held, _)| *held == topic) {
                *count += 1;
                continue;
            }
            if tally.len() == tally.inline_size() {
                self.lose_tally(leaver, &mut tally, now);
            }
            tally.push((topic, 1));
        };
        self.lose_tally(leaver, &mut tally, now);
        is_all
    }

    fn lose_tally(&mut self, leaver: &Leaver, tally: &mut Tally<'_>, now: Instant) {
        for (topic, count) in tally.drain(..) {
            self.losing.spend(LEDGER_PACKETS);
            let topic = leaver.whole_name(std::str::from_utf8(topic).unwrap_or(UNKNOWN));
            self.lose_of(Owner::Client(&leaver.client_id), Cause::Unsent, &topic, count, now);
        }
    }

    /// What is recorded as sent was not.
    fn note_unsent(&mut self, leaver: &Leaver, packets: u64, behind: u64) {
        let Some(Recorded { number, sent }) = leaver.recorded else { return };
        let key = self.sessions.find(&leaver.client_id);
        let next = key.and_then(|key| self.sessions[key].conn).filter(|conn| *conn != leaver.conn);
        let next = next.and_then(|conn| self.connections.get(conn));
        let behind = behind + next.map_or(0, packets_waiting);
        let is_it = |recorder: &&mut Recorder| recorder.number() == number;
        let recorder = match key.and_then(|key| self.sessions.recorder(key)).filter(is_it) {
            Some(recorder) => Some(recorder),
            None => self.departures.recorder(&leaver.client_id).filter(is_it),
        };
        if let Some(recorder) = recorder {
            let since = recorder.traffic.packets_sent.saturating_sub(sent);
            recorder.give_up(packets, since + behind);
        }
    }
}

impl Leaver {
    /// The topic of a PUBLISH that has none of its own. Empty: it is not known.
    fn topic_behind(&self, packet: &[u8]) -> &str {
        let publish = mqtt::beginning(packet).and_then(|frame| Publish::decode(&frame, self.version).ok());
        let alias = publish.and_then(|publish| publish.properties.topic_alias);
        alias.and_then(|alias| self.told.topic_behind(alias)).unwrap_or(UNKNOWN)
    }

    fn whole_name<'t>(&self, topic: &'t str) -> Cow<'t, str> {
        let mount = self.mount.as_deref().filter(|_| !topic.is_empty());
        // One of the server is called the same everywhere.
        let whole = mount.and_then(|mount| mounted(mount, topic));
        whole.map_or(Cow::Borrowed(topic), |whole| Cow::Owned(whole.into()))
    }
}

impl Losing {
    pub fn begin_tick(&mut self, packets: usize) {
        self.left = packets;
    }

    /// One send of the connection is counted. Packets that were behind it when that ended.
    fn settle(&mut self, conn: ConnId) -> u64 {
        let Some(unsettled) = self.unsettled.get_mut(&conn) else { return 0 };
        let packets = unsettled.packets;
        unsettled.sends -= 1;
        if unsettled.sends == 0 {
            self.unsettled.remove(&conn);
        }
        packets
    }

    fn spend(&mut self, packets: usize) {
        self.left = self.left.saturating_sub(packets);
    }
}

/// As it is written in a PUBLISH that nobody sends again.
#[inline]
fn topic_of_unkept(packet: &[u8]) -> Option<&[u8]> {
    let frame = mqtt::beginning(packet).filter(|frame| frame.kind == PacketKind::Publish)?;
    if frame.flags & QOS_FLAGS != 0 {
        return None;
    }
    let (len, rest) = frame.body.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*len)))
}

fn packets_waiting(connection: &Connection) -> u64 {
    connection.waiting().map(|outgoing| outgoing.packets).sum()
}

/// Topics that follow each other, and how many messages on each: a look into the ledger costs more than a comparison.
type Tally<'a> = SmallVec<[(&'a [u8], u64); 8]>;

/// [MQTT-3.3.1-4] Those of the first byte of a PUBLISH.
const QOS_FLAGS: u8 = 0b0110;

/// What it costs to look for the topic behind an alias, into the ledger, and through what is recorded of a client: as long it takes to walk over
/// so many packets.
const DECODED_PACKETS: usize = 8;
const ALIASES_PER_PACKET: usize = 32;
const LEDGER_PACKETS: usize = 16;
const RECORDED_PACKETS: usize = 16;
