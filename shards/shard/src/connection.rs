//! One network connection as the shard sees it, and the table of them. What outlives a connection is in `session.rs`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use hashbrown::HashMap;
use mqtt::Version;

use crate::{
    ConnId, Effects, Full, Grant, Instant, Outgoing, Shard,
    confirm::{Confirmations, Needs},
    keys::SessionKey,
    meters::Meters,
    receive::Kept,
    standing::Standing,
    store::Store,
    turn::Turn,
    unsent::Leaver,
};

/// Small, since most connections are idle: what only traffic needs stands behind pointers.
pub(crate) struct Connection {
    pub stage: Stage,
    pub version: Version,
    /// The process, or the listener, has all the connections that it may have: this one gets its answer and goes.
    pub refuse: Option<Full>,
    /// A `Send` is under way.
    pub sending: bool,
    /// Stands in the list of those that the next flush looks at.
    pub dirty: bool,
    /// The client wants reasons in words with its acknowledgements. [MQTT-3.1.2-29]
    pub says_why: bool,
    pub hearing: Hearing,
    /// A SUBSCRIBE or UNSUBSCRIBE of its client is under way, in pieces.
    pub is_changing: bool,
    /// Holds so much of unfinished packets that it stands in their queue.
    pub is_holder: bool,
    /// The number of the listener that it came in by.
    pub door: u16,
    pub topic_alias_max: u16,
    /// How many unacknowledged messages the client takes, our own limit included.
    pub receive_maximum: u16,
    pub keep_alive_s: u16,
    /// SUBSCRIBEs that wait for other shards.
    pub announcing: u16,
    pub packet_bytes_max: u32,
    pub sending_bytes: u32,
    /// Whole seconds of the clock.
    pub opened_at_s: u32,
    pub heard_at: Instant,
    /// The beginning of a packet whose end has not come, or what came while stalled.
    partial: Vec<u8>,
    pub aliases: Option<Box<Aliases>>,
    pub outbox: Option<Box<Outgoing>>,
    /// What the outbox waits for.
    pub needs: Needs,
    /// Is looked at when something is stored or confirmed.
    pub waits: bool,
    /// What is in the outbox, or before it, had to wait for what it needs.
    pub is_late: bool,
    /// What goes out before the outbox.
    pub held: Option<Box<Held>>,
    /// To whom it belongs, where somebody has said so.
    pub grant: Option<Arc<Grant>>,
    pub standing: Option<Box<Standing>>,
}

/// Whether what its client sends is handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hearing {
    /// As it comes.
    Heard,
    /// Not read at present; `partial` holds what came before (`receive/stalling.rs`).
    Stalled,
    /// The network has ended, and what had come by then is being handled (`leaving.rs`).
    HeardOut,
}

/// Packets that are complete and wait until they may go.
pub(crate) struct Held {
    pub needs: Needs,
    pub outgoing: Box<Outgoing>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// Waits for CONNECT.
    Opened,
    /// Its CONNECT waits until somebody has said who the client is.
    Asking,
    Connected(SessionKey),
    /// Everything is said; what is in the outbox goes out and then the connection ends.
    Closing,
}

/// Topic aliases of one connection; they die with it. [MQTT-3.3.2-7]
#[derive(Default)]
pub(crate) struct Aliases {
    /// By alias, what the client told us.
    pub inbound: HashMap<u16, Box<str>, ahash::RandomState>,
    /// Of the topics in it.
    pub inbound_bytes: usize,
    pub outbound: ToldAliases,
}

/// By topic, what we told the client. Topics come in first served; later ones go without. Whoever counts what is lost of the connection
/// looks at the same.
#[derive(Clone, Default)]
pub(crate) struct ToldAliases(Arc<HashMap<Box<str>, u16, ahash::RandomState>>);

impl ToldAliases {
    pub fn insert(&mut self, topic: Box<str>, alias: u16) {
        Arc::make_mut(&mut self.0).insert(topic, alias);
    }

    pub fn get(&self, topic: &str) -> Option<&u16> {
        self.0.get(topic)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There are few, and it is seldom asked.
    pub fn topic_behind(&self, alias: u16) -> Option<&str> {
        self.0.iter().find(|(_, told)| **told == alias).map(|(topic, _)| &**topic)
    }
}

impl Connection {
    fn new(refuse: Option<Full>, door: u16, now: Instant) -> Connection {
        Connection {
            stage: Stage::Opened,
            version: Version::V311,
            refuse,
            sending: false,
            dirty: false,
            says_why: true,
            hearing: Hearing::Heard,
            is_changing: false,
            is_holder: false,
            door,
            topic_alias_max: 0,
            receive_maximum: u16::MAX,
            keep_alive_s: 0,
            announcing: 0,
            packet_bytes_max: u32::MAX,
            sending_bytes: 0,
            opened_at_s: u32::try_from(now.as_nanos() / NANOS_PER_S).unwrap_or(u32::MAX),
            heard_at: now,
            partial: Vec::new(),
            aliases: None,
            outbox: None,
            needs: Needs::default(),
            waits: false,
            is_late: false,
            held: None,
            grant: None,
            standing: None,
        }
    }

    pub fn session(&self) -> Option<SessionKey> {
        match self.stage {
            Stage::Connected(session) => Some(session),
            Stage::Opened | Stage::Asking | Stage::Closing => None,
        }
    }

    pub fn is_stalled(&self) -> bool {
        self.hearing == Hearing::Stalled
    }

    /// Nobody is there any more whom it would help to wait, or to whom anything could be answered.
    pub fn has_gone(&self) -> bool {
        self.hearing == Hearing::HeardOut
    }

    /// Where packets for the client are collected until the tick ends.
    pub fn outbox(&mut self, effects: &mut Effects) -> &mut Outgoing {
        self.outbox.get_or_insert_with(|| effects.outgoing())
    }

    /// What may go out now; the next comes when this is sent. Packets keep their order, so that what waits for a batch keeps
    /// back what comes after it.
    pub fn next_outgoing(&mut self, store: &Store, confirmations: &Confirmations) -> Option<Box<Outgoing>> {
        let is_met =
            |needs: Needs| store.is_stored(needs.batch) && confirmations.is_confirmed(needs.question);
        if let Some(held) = self.held.take() {
            if is_met(held.needs) {
                return Some(held.outgoing);
            }
            self.held = Some(held);
            return None;
        }
        if is_met(self.needs) {
            return self.outbox.take();
        }
        // To what waits for the open batch more may come; everything else is complete.
        if !store.is_open(self.needs.batch)
            && let Some(outgoing) = self.outbox.take()
        {
            self.held = Some(Box::new(Held { needs: self.needs, outgoing }));
        }
        None
    }

    /// Where it is held to rates.
    #[inline]
    pub fn meters(&self) -> Option<&Meters> {
        self.standing.as_deref().and_then(|standing| standing.meters.as_deref())
    }

    pub fn meters_mut(&mut self) -> Option<&mut Meters> {
        self.standing.as_deref_mut().and_then(|standing| standing.meters.as_deref_mut())
    }

    /// It sent more than its rates allow, and is not read until some time has passed.
    pub fn is_throttled(&self) -> bool {
        self.meters().is_some_and(|meters| meters.is_throttled)
    }

    /// It got as much as its rates allow: messages wait in the queue until some time has passed.
    pub fn is_held_back(&self) -> bool {
        self.meters().is_some_and(|meters| meters.is_held_back)
    }

    /// What has not gone to the socket yet does not go there any more.
    pub fn take_unsaid(&mut self) -> impl Iterator<Item = Box<Outgoing>> + use<> {
        self.needs = Needs::default();
        self.held.take().map(|held| held.outgoing).into_iter().chain(self.outbox.take())
    }

    pub fn aliases(&mut self) -> &mut Aliases {
        self.aliases.get_or_insert_with(Box::default)
    }

    /// Drops what was received and not handled; gives back how many bytes were counted for it, and how many of these for aliases.
    pub fn release_receiving(&mut self) -> (usize, usize) {
        let partial = self.take_partial();
        let aliases = self.aliases.take();
        let of_aliases = aliases.map_or(0, |aliases| aliases.inbound_bytes);
        let standing = self.standing.as_deref_mut();
        let of_connect = standing.map_or(0, |standing| std::mem::take(&mut standing.connect).len());
        (partial.bytes.len() + of_aliases + of_connect, of_aliases)
    }

    pub fn take_partial(&mut self) -> Kept {
        Kept::new(std::mem::take(&mut self.partial), self.session().is_some())
    }

    pub fn put_partial(&mut self, mut partial: Kept) {
        debug_assert!(self.partial.is_empty(), "it was taken before");
        self.partial = std::mem::take(&mut partial.bytes);
    }

    /// What waits until the socket has taken what is under way, in order.
    pub fn waiting(&self) -> impl Iterator<Item = &Outgoing> {
        let held = self.held.as_ref().map(|held| &*held.outgoing);
        held.into_iter().chain(self.outbox.as_deref())
    }

    /// Bytes that the socket has not taken yet.
    pub fn unsent_bytes(&self) -> usize {
        let held = self.held.as_ref().map_or(0, |held| held.outgoing.len());
        self.sending_bytes as usize + held + self.outbox.as_ref().map_or(0, |outbox| outbox.len())
    }

    /// The end of the second in which it was opened.
    pub fn came_before(&self) -> Instant {
        Instant::from_nanos((u64::from(self.opened_at_s) + 1) * NANOS_PER_S)
    }

    /// How long it has been there, but for a second.
    pub fn age(&self, now: Instant) -> Duration {
        now.since(Instant::from_nanos(u64::from(self.opened_at_s) * NANOS_PER_S))
    }

    /// One and a half times the keep-alive after the last packet. [MQTT-3.1.2-22]
    pub fn silent_until(&self) -> Option<Instant> {
        let grace_ms = u64::from(self.keep_alive_s) * 1500;
        (grace_ms > 0).then(|| self.heard_at + Duration::from_millis(grace_ms))
    }
}

impl Shard {
    /// The only way out of the table, whatever becomes of the connection: all that was counted for it goes with it.
    pub(crate) fn forget_connection(&mut self, conn: ConnId, turn: &Turn<'_>) -> Option<Connection> {
        let leaver = self.leaver_at(conn);
        self.release_receiving(conn);
        let mut connection = self.connections.remove(conn)?;
        self.forget_missed(conn);
        self.totals.unsent_bytes -= connection.unsent_bytes();
        if let Some(leaver) = leaver {
            self.lose_with_connection(conn, leaver, &mut connection, turn);
        }
        if connection.is_stalled() {
            self.stalled.remove(conn);
        }
        Some(connection)
    }
}

/// By slot; a generation that does not fit means that the connection is gone.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Vec<Option<(u32, Connection)>>,
    live: usize,
    /// Of those that have no session any more: whose socket still had something to take.
    pub leavers: BTreeMap<ConnId, Arc<Leaver>>,
}

impl Connections {
    pub fn open(&mut self, conn: ConnId, refuse: Option<Full>, door: u16, now: Instant) {
        let slot = conn.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(self.slots[slot].is_none(), "the runtime reuses a slot only after the connection is closed");
        self.slots[slot] = Some((conn.generation, Connection::new(refuse, door, now)));
        self.live += 1;
    }

    pub fn get(&self, conn: ConnId) -> Option<&Connection> {
        match self.slots.get(conn.slot as usize)? {
            Some((generation, connection)) if *generation == conn.generation => Some(connection),
            _ => None,
        }
    }

    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Connection> {
        match self.slots.get_mut(conn.slot as usize)? {
            Some((generation, connection)) if *generation == conn.generation => Some(connection),
            _ => None,
        }
    }

    fn remove(&mut self, conn: ConnId) -> Option<Connection> {
        self.get(conn)?;
        self.live -= 1;
        self.slots[conn.slot as usize].take().map(|(_, connection)| connection)
    }

    pub fn len(&self) -> usize {
        self.live
    }

    /// No connection has this one or one behind it.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The client that is there, if one is and was let in.
    pub fn connected_at(&self, slot: usize) -> Option<ConnId> {
        let (generation, connection) = self.slots.get(slot)?.as_ref()?;
        connection.session()?;
        let slot = u32::try_from(slot).expect("slots are numbered by u32");
        Some(ConnId { slot, generation: *generation })
    }

    pub fn ids(&self) -> Vec<ConnId> {
        let numbered = self.slots.iter().enumerate();
        numbered
            .filter_map(|(slot, entry)| {
                let slot = u32::try_from(slot).expect("slots are numbered by u32");
                entry.as_ref().map(|(generation, _)| ConnId { slot, generation: *generation })
            })
            .collect()
    }
}

const NANOS_PER_S: u64 = 1_000_000_000;

/// The state of an idle connection is this and its session: the memory promise begins here.
const _: () = assert!(size_of::<Option<(u32, Connection)>>() <= 136);
