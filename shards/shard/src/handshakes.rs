//! QoS 2 publications that may come a second time after a crash, as far as this shard has stored them: exactly once.
//!
//! The publisher's home tells its own repetitions by their packet id, which it stores when every other shard has confirmed
//! the publication. If it crashes before that, it knows nothing of the publication, and routes it once more when the
//! publisher repeats it; those who have stored it know its name, and leave it out. Wills at QoS 1 and 2 are known in the same way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use mqtt::{Ack, Packet, PacketId, ReasonCode};

use crate::{
    Bundled, ConnId, Mail, Shard, ShardId, ShardSet,
    keys::SessionKey,
    packet_ids::PacketIds,
    store::{
        entry::{Entry, SessionId},
        record,
    },
    turn::Turn,
};

/// The QoS 2 handshake of a publisher, known by this name on all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Handshake {
    /// Home of the publisher.
    pub home: ShardId,
    pub session: SessionId,
    pub packet_id: PacketId,
}

#[derive(Default)]
pub(crate) struct Handshakes {
    /// What is stored here and is not released by its publisher.
    stored: BTreeMap<(ShardId, SessionId), Copies>,
    /// Of publishers that live here: publications that others have not confirmed yet, in the order of their questions.
    unconfirmed: VecDeque<Unconfirmed>,
    /// The same by name: the question, and the connection that it came on last.
    unconfirmed_ids: BTreeMap<(SessionKey, PacketId), (u64, ConnId)>,
    /// Of publishers that live here: which shards were told of a publication that is not released.
    told: BTreeMap<(SessionId, PacketId), ShardSet>,
    /// Publishers that are gone, in the order of the questions that have to be confirmed before others are told.
    leaving: VecDeque<Leaving>,
    /// Sessions up to this one are of an earlier life: others may have stored what is not known here.
    earlier: SessionId,
}

struct Unconfirmed {
    question: u64,
    session: SessionKey,
    id: SessionId,
    packet_id: PacketId,
    reason: ReasonCode,
}

/// What is stored here of one publisher's publications.
#[derive(Default)]
struct Copies {
    /// For subscribers of this shard.
    plain: PacketIds,
    /// For members of shared subscriptions, by their names.
    shared: BTreeMap<PacketId, Vec<Box<str>>>,
    /// For some subscribers of this shard: those who have come from another that has stored it.
    in_part: BTreeMap<PacketId, Vec<Sessions>>,
}

/// From the first to the last of them.
type Sessions = (SessionId, SessionId);

struct Leaving {
    question: u64,
    session: SessionId,
    shards: ShardSet,
}

impl Handshakes {
    /// `share` is the shared subscription whose copy it is; empty for that of everybody else.
    pub fn is_stored(&self, handshake: Handshake, share: &str) -> bool {
        let Some(copies) = self.stored.get(&(handshake.home, handshake.session)) else { return false };
        if share.is_empty() {
            return copies.plain.contains(handshake.packet_id);
        }
        let shares = copies.shared.get(&handshake.packet_id);
        shares.is_some_and(|shares| shares.iter().any(|known| **known == *share))
    }

    /// Some sessions of this shard have got the copy for everybody, and others have not.
    pub fn is_in_part(&self, handshake: Handshake) -> bool {
        let copies = self.stored.get(&(handshake.home, handshake.session));
        copies.is_some_and(|copies| copies.in_part.contains_key(&handshake.packet_id))
    }

    pub fn has_got(&self, handshake: Handshake, session: SessionId) -> bool {
        self.parts(handshake).any(|(first, last)| (*first..=*last).contains(&session))
    }

    pub fn has_part(&self, handshake: Handshake, part: Sessions) -> bool {
        self.parts(handshake).any(|known| *known == part)
    }

    fn parts(&self, handshake: Handshake) -> impl Iterator<Item = &Sessions> {
        let copies = self.stored.get(&(handshake.home, handshake.session));
        copies.and_then(|copies| copies.in_part.get(&handshake.packet_id)).into_iter().flatten()
    }

    pub fn insert_part(&mut self, handshake: Handshake, part: Sessions) {
        if !self.has_part(handshake, part) {
            let copies = self.stored.entry((handshake.home, handshake.session)).or_default();
            copies.in_part.entry(handshake.packet_id).or_default().push(part);
        }
    }

    /// What the records of those that are stored here take.
    pub fn bytes(&self) -> usize {
        self.stored.values().map(Copies::bytes).sum()
    }

    /// False: it was there.
    pub fn insert(&mut self, handshake: Handshake, share: &str) -> bool {
        if self.is_stored(handshake, share) {
            return false;
        }
        let copies = self.stored.entry((handshake.home, handshake.session)).or_default();
        if share.is_empty() {
            copies.plain.insert(handshake.packet_id);
        } else {
            copies.shared.entry(handshake.packet_id).or_default().push(share.into());
        }
        true
    }

    /// All copies. Gives back what their records took.
    pub fn remove(&mut self, handshake: Handshake) -> usize {
        let key = (handshake.home, handshake.session);
        let Some(copies) = self.stored.get_mut(&key) else { return 0 };
        let was_there = copies.plain.remove(handshake.packet_id);
        let shares = copies.shared.remove(&handshake.packet_id).unwrap_or_default();
        let parts = copies.in_part.remove(&handshake.packet_id).unwrap_or_default();
        if copies.plain.is_empty() && copies.shared.is_empty() && copies.in_part.is_empty() {
            self.stored.remove(&key);
        }
        let shares_bytes: usize = shares.iter().map(|share| bytes_of(share)).sum();
        usize::from(was_there) * bytes_of("") + shares_bytes + parts.len() * PART_BYTES
    }

    /// Gives back what their records took.
    pub fn remove_all(&mut self, home: ShardId, session: SessionId) -> usize {
        self.stored.remove(&(home, session)).map_or(0, |copies| copies.bytes())
    }

    /// Connections whose publications others have not confirmed.
    pub fn waiting(&self) -> BTreeSet<ConnId> {
        self.unconfirmed_ids.values().map(|(_, conn)| *conn).collect()
    }

    pub fn is_unconfirmed(&self, session: SessionKey, packet_id: PacketId) -> bool {
        self.unconfirmed_ids.contains_key(&(session, packet_id))
    }

    /// The publication comes once more. True: its acknowledgement is yet to come, and goes to this connection.
    pub fn repeat_unconfirmed(&mut self, session: SessionKey, packet_id: PacketId, conn: ConnId) -> bool {
        let unconfirmed = self.unconfirmed_ids.get_mut(&(session, packet_id));
        unconfirmed.is_some_and(|(_, last_conn)| {
            *last_conn = conn;
            true
        })
    }

    /// Everything of this session was made in an earlier life.
    pub fn set_earlier(&mut self, session: SessionId) {
        self.earlier = self.earlier.max(session);
    }

    /// The session was made in an earlier life, and others may have stored what is not known here.
    pub fn is_earlier(&self, session: SessionId) -> bool {
        session <= self.earlier
    }

    pub fn set_told(&mut self, session: SessionId, packet_id: PacketId, shards: ShardSet) {
        self.told.insert((session, packet_id), shards);
    }
}

impl Shard {
    /// Others have to confirm the publication before its packet id is stored and PUBREC goes out.
    pub(crate) fn await_confirmation(
        &mut self,
        session: SessionKey,
        conn: ConnId,
        packet_id: PacketId,
        reason: ReasonCode,
    ) {
        let id = self.sessions[session].id;
        let question = self.confirmations.needed();
        self.handshakes.unconfirmed.push_back(Unconfirmed { question, session, id, packet_id, reason });
        self.handshakes.unconfirmed_ids.insert((session, packet_id), (question, conn));
        self.handshakes.set_told(id, packet_id, self.confirmations.asked_shards());
    }

    /// Publications that all others have stored by now are taken in: they are not routed again.
    pub(crate) fn take_in_confirmed(&mut self, turn: &mut Turn<'_>) {
        while let Some(first) = self.handshakes.unconfirmed.front()
            && self.confirmations.is_confirmed(first.question)
        {
            let Some(first) = self.handshakes.unconfirmed.pop_front() else { return };
            let Unconfirmed { question, session, id, packet_id, reason } = first;
            let key = (session, packet_id);
            let known = self.handshakes.unconfirmed_ids.get(&key).copied();
            let Some((_, conn)) = known.filter(|(last, _)| *last == question) else { continue };
            self.handshakes.unconfirmed_ids.remove(&key);
            let Some(kept) = self.sessions.get(session).filter(|kept| kept.id == id) else { continue };
            // Who has come on another connection since then asks again there.
            let conn = kept.conn.filter(|current| *current == conn);
            self.begin_answer();
            self.store.append(&Entry::Received { session: id, packet_id }, false);
            self.forget_handshake(Handshake { home: self.id, session: id, packet_id });
            if let Some(conn) = conn {
                self.reply(conn, &Packet::Pubrec(Ack { reason, ..Ack::new(packet_id) }), turn);
            }
        }
    }

    /// The publisher has released its publication, or its session has ended: who stored it need not know it any more.
    pub(crate) fn release_handshake(&mut self, session: SessionId, packet_id: PacketId, turn: &mut Turn<'_>) {
        let shards = match self.handshakes.told.remove(&(session, packet_id)) {
            Some(shards) => shards,
            // An earlier life may have released it here, and others do not know.
            None if session <= self.handshakes.earlier && session != SessionId::default() => {
                self.peers().collect()
            }
            None => return,
        };
        let handshake = Handshake { home: self.id, session, packet_id };
        for shard in shards.iter() {
            self.ask_confirmation(shard, mqtt::QoS::ExactlyOnce);
            self.post_bundled(shard, &Bundled::release(handshake), turn);
        }
    }

    /// A copy has to be known again where somebody's queue has got it.
    pub(crate) fn handshake_stored<'a>(&mut self, handshake: Handshake, share: &'a str) -> Option<Entry<'a>> {
        let is_new = self.handshakes.insert(handshake, share);
        if is_new {
            self.store.add_live(bytes_of(share));
        }
        is_new.then_some(Entry::Handshake { handshake, share })
    }

    /// The record of the message goes with that of the handshake: neither comes back without the other.
    pub(crate) fn forget_handshake(&mut self, handshake: Handshake) {
        let bytes = self.handshakes.remove(handshake);
        if bytes > 0 {
            self.store.append(&Entry::HandshakeOver(handshake), false);
            self.store.remove_live(bytes);
        }
    }

    pub(crate) fn end_handshakes(&mut self, key: SessionKey, session: SessionId, turn: &mut Turn<'_>) {
        if session == SessionId::default() {
            return;
        }
        let all = (key, PacketId::MIN)..=(key, PacketId::MAX);
        while let Some((&name, _)) = self.handshakes.unconfirmed_ids.range(all.clone()).next() {
            self.handshakes.unconfirmed_ids.remove(&name);
        }
        let mut shards = ShardSet::EMPTY;
        let all = (session, PacketId::MIN)..=(session, PacketId::MAX);
        while let Some((&name, &told)) = self.handshakes.told.range(all.clone()).next() {
            shards = shards.union(told);
            self.handshakes.told.remove(&name);
        }
        if session <= self.handshakes.earlier {
            shards = self.peers().collect();
        }
        self.on_publisher_gone(self.id, session);
        if !shards.is_empty() {
            // What is passed on from shard to shard could come after the end of its publisher.
            let question = self.confirmations.asked();
            self.handshakes.leaving.push_back(Leaving { question, session, shards });
            self.tell_of_leaving(turn);
        }
    }

    /// Tells those who may have stored something of publishers that are gone. A server that shuts down makes no mail: what
    /// is left is found out at the next start.
    pub(crate) fn tell_of_leaving(&mut self, turn: &mut Turn<'_>) {
        while let Some(&Leaving { question, session, shards }) = self.handshakes.leaving.front()
            && self.confirmations.is_confirmed(question)
            && !self.drain.has_begun()
        {
            self.handshakes.leaving.pop_front();
            for shard in shards.iter() {
                self.post_bundled(shard, &Bundled::release_all(self.id, session), turn);
            }
            self.on_publisher_gone(self.id, session);
        }
    }

    /// After a start: a publisher may be gone, or may never have been stored, although its publications are.
    pub(crate) fn ask_for_publishers(&mut self, turn: &mut Turn<'_>) {
        let stored: Vec<(ShardId, SessionId)> = self.handshakes.stored.keys().copied().collect();
        for publishers in stored.chunk_by(|one, other| one.0 == other.0) {
            let home = publishers[0].0;
            let sessions: Box<[SessionId]> = publishers.iter().map(|(_, session)| *session).collect();
            if self.peers().any(|peer| peer == home) {
                self.post_mail(home, Mail::Publishers(sessions), turn);
                continue;
            }
            for session in sessions {
                self.store.skip_session_id(session);
                if home != self.id || !self.is_publisher(session) {
                    self.on_publisher_gone(home, session);
                }
            }
        }
    }

    fn is_publisher(&self, name: SessionId) -> bool {
        self.kept_session(name).is_some() || self.is_will(name)
    }

    pub(crate) fn on_publishers(&mut self, from: ShardId, sessions: &[SessionId], turn: &mut Turn<'_>) {
        for session in sessions {
            // Nobody else gets this name: it would be taken for that one.
            self.store.skip_session_id(*session);
            if !self.is_publisher(*session) {
                self.post_bundled(from, &Bundled::release_all(self.id, *session), turn);
            }
        }
    }

    pub(crate) fn on_publisher_gone(&mut self, home: ShardId, session: SessionId) {
        let bytes = self.handshakes.remove_all(home, session);
        if bytes > 0 {
            self.store.append(&Entry::PublisherGone { home, session }, false);
            self.store.remove_live(bytes);
        }
    }
}

impl Copies {
    fn bytes(&self) -> usize {
        let shares = self.shared.values().flatten().map(|share| bytes_of(share));
        let parts = self.in_part.values().map(Vec::len).sum::<usize>();
        self.plain.len() * bytes_of("") + shares.sum::<usize>() + parts * PART_BYTES
    }
}

/// What the record of a copy takes in the store.
fn bytes_of(share: &str) -> usize {
    record::HEADER_BYTES + 11 + share.len()
}

/// What the record of a part takes in the store.
const PART_BYTES: usize = record::HEADER_BYTES + 27;
