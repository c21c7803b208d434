//! What the broker keeps of a client beyond one connection, and the table of sessions by client id.

use std::sync::Arc;

use hashbrown::HashTable;
use mqtt::QoS;
use slab::Slab;

use crate::{
    ConnId, Instant,
    filters::Filters,
    hashing::{Table, hasher},
    keys::SessionKey,
    outbound::Outbound,
    packet_ids::PacketIds,
    recorder::{Recorder, Topic},
    replay::Replays,
    store::entry::SessionId,
    wills::Will,
};

/// An idle session owns its client id and its filters and nothing else: the boxes come with traffic and go with it.
pub(crate) struct Session {
    pub client_id: Arc<str>,
    /// Its name in the store; that of nobody for a session that is not stored.
    pub id: SessionId,
    /// Where it stands in the store.
    pub place: u64,
    /// What its own record takes there.
    pub kept_bytes: u32,
    pub conn: Option<ConnId>,
    /// How long the session lives without a connection; `u32::MAX` is forever.
    pub expiry_s: u32,
    /// While there is no connection: when the session ends.
    pub ends_at: Option<Instant>,
    pub will: Option<Box<Will>>,
    pub filters: Filters,
    /// What they cost.
    pub filter_bytes: u32,
    pub outbound: Option<Box<Outbound>>,
    /// QoS 2 messages that were received and routed and are not released yet.
    pub received: Option<Box<PacketIds>>,
    pub replays: Option<Box<Replays>>,
    /// None before the first packet that is worth remembering.
    pub recorder: Option<Box<Recorder>>,
}

impl Session {
    pub fn new(client_id: Arc<str>) -> Session {
        Session {
            client_id,
            id: SessionId::default(),
            place: 0,
            kept_bytes: 0,
            conn: None,
            expiry_s: 0,
            ends_at: None,
            will: None,
            filters: Filters::default(),
            filter_bytes: 0,
            outbound: None,
            received: None,
            replays: None,
            recorder: None,
        }
    }

    /// The next thing that time does to this session.
    pub fn due_at(&self) -> Option<Instant> {
        let will_at = self.will.as_ref().and_then(|will| will.due_at);
        let expiry_at = self.outbound.as_ref().and_then(|outbound| outbound.queue.expiry_look_at());
        [self.ends_at, will_at, expiry_at].into_iter().flatten().min()
    }

    pub fn outbound(&mut self) -> &mut Outbound {
        self.outbound.get_or_insert_default()
    }

    /// Gives back memory that only traffic needs.
    pub fn rest(&mut self) {
        if self.outbound.as_ref().is_some_and(|outbound| outbound.is_idle()) {
            self.outbound = None;
        }
        if self.received.as_ref().is_some_and(|received| received.is_empty()) {
            self.received = None;
        }
    }
}

/// Sessions by key and by client id. The id stands in the session alone; the table holds hashes of it.
pub(crate) struct Sessions {
    /// None in a slot that is taken for the filters of a session that has ended.
    slab: Slab<Option<Session>>,
    /// By slot, the earliest timer that is set for whoever has it: a session that takes over a slot takes over its timer.
    armed: Vec<Option<Instant>>,
    by_client_id: HashTable<SessionKey>,
    hasher: ahash::RandomState,
}

impl Sessions {
    pub fn new(seed: u64) -> Sessions {
        let hasher = hasher(seed, Table::Sessions);
        Sessions { slab: Slab::new(), armed: Vec::new(), by_client_id: HashTable::new(), hasher }
    }

    pub fn find(&self, client_id: &str) -> Option<SessionKey> {
        let hash = self.hasher.hash_one(client_id);
        self.by_client_id.find(hash, |key| &*self[*key].client_id == client_id).copied()
    }

    pub fn create(&mut self, client_id: Arc<str>) -> SessionKey {
        assert!(self.find(&client_id).is_none(), "a client id has one session");
        let hash = self.hasher.hash_one(&*client_id);
        let key = self.slab.insert(Some(Session::new(client_id)));
        let key = SessionKey(u32::try_from(key).expect("a shard has fewer than four billion sessions"));
        if self.armed.len() <= key.index() {
            self.armed.resize(key.index() + 1, None);
        }
        let Sessions { slab, by_client_id, hasher, .. } = self;
        by_client_id.insert_unique(hash, key, |key| hasher.hash_one(client_id_in(slab, *key)));
        key
    }

    /// Puts sessions that were stored into the slots that they had.
    pub fn restore(&mut self, sessions: impl Iterator<Item = (SessionKey, Session)>) {
        assert!(self.slab.is_empty(), "sessions are restored before others are made");
        self.slab = sessions.map(|(key, session)| (key.index(), Some(session))).collect();
        let slots = self.slab.iter().map(|(slot, _)| slot + 1).max().unwrap_or(0);
        self.armed.resize(slots, None);
        let Sessions { slab, by_client_id, hasher, .. } = self;
        by_client_id.reserve(slab.len(), |_| unreachable!("the table is empty"));
        for (slot, _) in slab.iter() {
            let key = SessionKey(u32::try_from(slot).expect("a slot is the lower half of an id"));
            let hash = hasher.hash_one(client_id_in(slab, key));
            by_client_id.insert_unique(hash, key, |key| hasher.hash_one(client_id_in(slab, *key)));
        }
    }

    /// The session is gone; its slot stays taken until it is free.
    pub fn remove(&mut self, key: SessionKey) -> Session {
        let hash = self.hasher.hash_one(client_id_in(&self.slab, key));
        match self.by_client_id.find_entry(hash, |held| *held == key) {
            Ok(entry) => entry.remove(),
            Err(_) => unreachable!("every session stands in the table"),
        };
        self.slab[key.index()].take().expect("every session in the table has a slot")
    }

    /// Nothing names the slot any more.
    pub fn free(&mut self, key: SessionKey) {
        let slot = self.slab.remove(key.index());
        assert!(slot.is_none(), "a session is removed before its slot is free");
    }

    pub fn keys(&self) -> Vec<SessionKey> {
        let key = |slot| SessionKey(u32::try_from(slot).expect("a slot is made from a key"));
        self.slab.iter().filter(|(_, session)| session.is_some()).map(|(slot, _)| key(slot)).collect()
    }

    pub fn get(&self, key: SessionKey) -> Option<&Session> {
        self.slab.get(key.index())?.as_ref()
    }

    pub fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.slab.get_mut(key.index())?.as_mut()
    }

    pub fn recorder(&mut self, key: SessionKey) -> Option<&mut Recorder> {
        self.get_mut(key)?.recorder.as_deref_mut()
    }

    /// No session has a key from here on.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.armed.len()).expect("a slot is made from a key")
    }

    pub fn len(&self) -> usize {
        self.by_client_id.len()
    }

    /// The earliest timer that is set for this slot.
    pub fn armed(&mut self, key: SessionKey) -> &mut Option<Instant> {
        &mut self.armed[key.index()]
    }
}

impl std::ops::Index<SessionKey> for Sessions {
    type Output = Session;

    fn index(&self, key: SessionKey) -> &Session {
        self.slab[key.index()].as_ref().expect(ENDED)
    }
}

impl std::ops::IndexMut<SessionKey> for Sessions {
    fn index_mut(&mut self, key: SessionKey) -> &mut Session {
        self.slab[key.index()].as_mut().expect(ENDED)
    }
}

fn client_id_in(slab: &Slab<Option<Session>>, key: SessionKey) -> &str {
    &slab[key.index()].as_ref().expect(ENDED).client_id
}

const ENDED: &str = "whoever may name a session that has ended asks for it";

/// How one message goes to one session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery<'a> {
    pub qos: QoS,
    pub retain: bool,
    pub subscription_ids: &'a [u32],
    /// The topic's text for whoever remembers it, where there is one already.
    pub topic: Option<&'a Topic>,
}

const _: () = assert!(size_of::<Option<Session>>() <= 168, "an idle session stays small");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_client_id_until_it_is_removed() {
        let mut sessions = Sessions::new(1);
        let keys: Vec<_> = (0..100).map(|n| sessions.create(format!("c{n}").into())).collect();
        assert_eq!(sessions.find("c42"), Some(keys[42]));
        assert_eq!(&*sessions.remove(keys[42]).client_id, "c42");
        assert_eq!(sessions.find("c42"), None);
        assert_eq!(sessions.find("c43"), Some(keys[43]));
        assert_eq!((sessions.len(), sessions.keys().len()), (99, 99));
        assert!(sessions.get(keys[42]).is_none());
        let again = sessions.create("c42".into());
        assert_ne!(again, keys[42], "its slot is taken");
        sessions.free(keys[42]);
        assert_eq!((sessions.create("d".into()), sessions.find("c42")), (keys[42], Some(again)));
    }
}
