//! What waits to be stored and what is known to be: one batch of records is collected while another is under way.
//!
//! Which records there are is decided in `keep.rs`, what they look like in `store/entry.rs`. Where a batch goes, and how, is
//! the business of whoever carries out `Effect::Store`.

pub(crate) mod bodies;
pub mod entry;
pub mod fetching;
mod fields;
pub mod log;
pub mod record;
pub mod relocation;
pub mod restoring;
mod routed;
pub mod sums;
pub(crate) mod topics;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{ConnId, Instant, keys::SessionKey};
use bodies::{Bodies, BodyId};
use entry::{Entry, SessionId};
pub use fields::Malformed;
pub use log::{
    BLOCK_BYTES, Cleaning, Config, Damage, FORMAT, Fault, FileId, Found, Full, LOOK_BYTES, Log, Piece,
    Placed, Position, Purpose, Recovered, Recovery, Refusal, Report, Retired, START_BYTES, Step, Torn,
    Wanted, Write,
};
pub use record::Record;
pub(crate) use routed::{Companion, Routed};

/// A run of records that is stored as a whole, after all that came before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Counts from one, without gaps.
    pub number: u64,
    pub records: Vec<u8>,
}

/// A message that is in the store alone, to be brought back for one of those whose queues it is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch {
    pub session: SessionId,
    /// In the session's queue.
    pub number: u64,
    /// Of its record.
    pub position: Position,
    /// Of the message; its record is longer.
    pub bytes: u32,
}

/// Where a record of a batch stands.
pub(crate) fn place_of(pieces: &[Piece], at: usize) -> u64 {
    let piece =
        pieces.iter().find(|piece| piece.range.contains(&at)).expect("the pieces are the whole batch");
    piece.position.to_u64() + (at - piece.range.start) as u64
}

pub(crate) struct Store {
    is_on: bool,
    /// What is written from now on goes nowhere.
    has_failed: bool,
    /// Unix time of `Instant::START`.
    epoch_ms: u64,
    open: Vec<u8>,
    /// Who learns where a record of the open batch will stand.
    open_holders: Vec<(usize, Holder)>,
    number: u64,
    /// The batch before the open one is being stored.
    is_under_way: bool,
    under_way_holders: Vec<(usize, Holder)>,
    /// Every batch up to this one is stored.
    stored: u64,
    /// The batch that an answer to this event, or to this packet, waits for; zero: none.
    needed: u64,
    /// In this batch it stands that a session has ended; zero for none.
    end: u64,
    /// Ends of sessions that are not stored yet, with their batches; clients stand for themselves by a hash.
    ends: VecDeque<(u64, u64)>,
    /// Those of a store that has failed.
    lost_ends: BTreeSet<u64>,
    /// There is something in the open batch that somebody may wait for.
    is_awaited: bool,
    /// When the open batch goes even though nobody waits for it.
    due_at: Option<Instant>,
    /// A timer for that is set.
    is_armed: bool,
    /// Of the message that is being routed.
    receivers: Vec<u8>,
    receiver_count: u32,
    /// It is the retained one of its topic.
    is_retained: bool,
    /// What counts only together with the message that is being routed.
    companion: Option<Companion>,
    /// Shared subscriptions that have taken it here, where each has to know it again.
    shares: Vec<Arc<str>>,
    /// Some of its receivers are written already.
    has_parts: bool,
    pub bodies: Bodies,
    /// Connections that wait for batches.
    waiting: VecDeque<ConnId>,
    /// Bytes of records that are needed.
    live_bytes: usize,
    generation: u32,
}

#[derive(Debug)]
pub(crate) enum Holder {
    Session(SessionKey, SessionId),
    Message(BodyId),
}

impl Store {
    /// `seed` is no client's to know.
    pub fn new(epoch_ms: Option<u64>, seed: u64) -> Store {
        Store {
            is_on: epoch_ms.is_some(),
            has_failed: false,
            epoch_ms: epoch_ms.unwrap_or(0),
            open: Vec::new(),
            open_holders: Vec::new(),
            number: 1,
            is_under_way: false,
            under_way_holders: Vec::new(),
            stored: 0,
            needed: 0,
            end: 0,
            ends: VecDeque::new(),
            lost_ends: BTreeSet::new(),
            is_awaited: false,
            due_at: None,
            is_armed: false,
            receivers: Vec::new(),
            receiver_count: 0,
            is_retained: false,
            companion: None,
            shares: Vec::new(),
            has_parts: false,
            bodies: Bodies::new(seed),
            waiting: VecDeque::new(),
            live_bytes: 0,
            generation: 1,
        }
    }

    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    pub fn new_session_id(&mut self, key: SessionKey) -> SessionId {
        let id = SessionId(u64::from(self.generation) << 32 | u64::from(key.0));
        self.generation =
            self.generation.checked_add(1).expect("four billion sessions are not made in one life");
        id
    }

    /// Ids of sessions that were are not given again.
    pub fn skip_session_id(&mut self, id: SessionId) {
        self.generation = self.generation.max((id.0 >> 32) as u32 + 1);
    }

    pub fn unix_ms(&self, at: Instant) -> u64 {
        self.epoch_ms.saturating_add(at.as_nanos() / 1_000_000)
    }

    pub fn instant(&self, unix_ms: u64) -> Instant {
        instant_of(self.epoch_ms, unix_ms)
    }

    /// From here on, `needed` looks at what is written.
    pub fn begin(&mut self) {
        self.needed = 0;
    }

    /// The batch that an answer to the event, or the packet, has to wait for; zero for none.
    pub fn needed(&self) -> u64 {
        self.needed
    }

    /// The answer tells of something that was done before: it waits for all that is written.
    pub fn need_earlier(&mut self) {
        self.needed = self.needed.max(self.last());
    }

    /// A session has ended.
    pub fn note_end(&mut self, client: u64) {
        self.end = self.number;
        self.ends.push_back((self.number, client));
        if self.has_failed {
            self.keep_ends();
        }
    }

    /// The store has failed before it had the end of this client's session: the next start brings it back.
    pub fn is_end_lost(&self, client: u64) -> bool {
        self.lost_ends.contains(&client)
    }

    fn keep_ends(&mut self) {
        self.lost_ends.extend(self.ends.drain(..).map(|(_, client)| client));
    }

    /// The batch after which no session comes back that has ended so far; zero where there is nothing to wait for.
    pub fn last_end(&self) -> u64 {
        if self.has_failed { 0 } else { self.end }
    }

    /// The batch after which all is stored that was written so far, or is about to be for the message on its way.
    pub fn last(&self) -> u64 {
        if self.has_failed {
            return u64::MAX;
        }
        if !self.open.is_empty() || self.receiver_count > 0 {
            self.number
        } else if self.is_under_way {
            self.number - 1
        } else {
            0
        }
    }

    pub fn is_stored(&self, batch: u64) -> bool {
        batch <= self.stored
    }

    /// The batch can still grow.
    pub fn is_open(&self, batch: u64) -> bool {
        batch == self.number
    }

    pub fn append(&mut self, entry: &Entry<'_>, more: bool) -> usize {
        debug_assert!(self.is_on, "only a store that is on is written to");
        self.needed = self.number;
        self.is_awaited = true;
        entry.encode(&mut self.open, more)
    }

    /// For what is worth no write of its own: no answer waits for it, and without it something is repeated at worst.
    pub fn append_unawaited(&mut self, entry: &Entry<'_>) {
        debug_assert!(self.is_on, "only a store that is on is written to");
        entry.encode(&mut self.open, false);
    }

    /// The length of the open batch from there on.
    pub fn len_from(&self, at: usize) -> usize {
        self.open.len() - at
    }

    /// What waits for the batch under way.
    pub fn open_bytes(&self) -> usize {
        self.open.len()
    }

    /// Nothing waits to be stored, or nothing ever will be.
    pub fn is_idle(&self) -> bool {
        self.has_failed || self.open.is_empty() && !self.is_under_way
    }

    pub fn fail(&mut self) {
        self.has_failed = true;
        self.keep_ends();
    }

    #[inline]
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// Once the batch is stored, `holder` learns where the record stands.
    pub fn tell(&mut self, at: usize, holder: Holder) {
        if self.has_failed {
            return;
        }
        if let Holder::Message(body) = holder {
            self.bodies.begin(body);
        }
        self.open_holders.push((at, holder));
    }

    /// A number for a message that may have to be stored.
    pub fn new_body(&mut self) -> BodyId {
        if self.is_on { self.bodies.add(0) } else { BodyId::NONE }
    }

    /// One more queue needs the record of a message of so many bytes.
    pub fn hold(&mut self, body: BodyId, bytes: usize) {
        self.hold_retained(body, bytes);
        self.live_bytes += RECEIVER_BYTES;
    }

    /// One that needed it does not any more.
    pub fn let_go(&mut self, body: BodyId, bytes: usize) {
        self.let_go_retained(body, bytes);
        self.live_bytes -= RECEIVER_BYTES;
    }

    /// The same for the retained messages, which no record names.
    pub fn hold_retained(&mut self, body: BodyId, bytes: usize) {
        if self.bodies.hold(body) {
            self.live_bytes += message_bytes(bytes);
        }
    }

    pub fn let_go_retained(&mut self, body: BodyId, bytes: usize) {
        if self.bodies.let_go(body) {
            self.live_bytes -= message_bytes(bytes);
        }
    }

    pub fn add_live(&mut self, bytes: usize) {
        self.live_bytes += bytes;
    }

    pub fn remove_live(&mut self, bytes: usize) {
        self.live_bytes -= bytes;
    }

    pub fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// The open batch, if it may go now. One that nobody waits for goes when it is due, or large.
    pub fn next_batch(&mut self, now: Instant) -> Option<Batch> {
        if self.has_failed {
            self.open.clear();
            self.open_holders.clear();
            return None;
        }
        if self.is_under_way || self.open.is_empty() {
            return None;
        }
        let is_due = self.due_at.is_some_and(|at| at <= now);
        if !self.is_awaited && !is_due && self.open.len() < UNAWAITED_BYTES_MAX {
            return None;
        }
        self.is_under_way = true;
        self.is_awaited = false;
        self.due_at = None;
        std::mem::swap(&mut self.open_holders, &mut self.under_way_holders);
        let batch = Batch { number: self.number, records: std::mem::take(&mut self.open) };
        self.number += 1;
        Some(batch)
    }

    /// When a timer has to be set, if it has to: nothing else would bring the open batch to its end.
    pub fn arm(&mut self, now: Instant) -> Option<Instant> {
        if self.is_under_way || self.open.is_empty() {
            return None;
        }
        let at = *self.due_at.get_or_insert_with(|| now + UNAWAITED_FOR);
        (!std::mem::replace(&mut self.is_armed, true)).then_some(at)
    }

    /// The timer that was set is over.
    pub fn on_timer(&mut self) {
        self.is_armed = false;
    }

    /// Somebody waits for all that was written so far.
    pub fn hurry(&mut self) {
        self.is_awaited = true;
    }

    /// Gives back who is to learn where the records are.
    pub fn on_stored(&mut self, batch: u64) -> Vec<(usize, Holder)> {
        assert!(self.is_under_way && batch + 1 == self.number, "one batch is under way");
        self.is_under_way = false;
        self.stored = batch;
        while self.ends.front().is_some_and(|(number, _)| *number <= batch) {
            self.ends.pop_front();
        }
        std::mem::take(&mut self.under_way_holders)
    }

    pub fn wait(&mut self, conn: ConnId) {
        self.waiting.push_back(conn);
    }

    pub fn take_waiting(&mut self) -> VecDeque<ConnId> {
        std::mem::take(&mut self.waiting)
    }
}

/// What lies before `Instant::START` is there.
fn instant_of(epoch_ms: u64, unix_ms: u64) -> Instant {
    Instant::from_nanos(unix_ms.saturating_sub(epoch_ms).saturating_mul(1_000_000))
}

/// Of a record, without those who get the message.
fn message_bytes(bytes: usize) -> usize {
    record::HEADER_BYTES + MESSAGE_FIELDS_BYTES + bytes
}

const MESSAGE_FIELDS_BYTES: usize = 25;

/// What each of them takes in it, without subscription ids: these are not known of a message that the store alone has.
const RECEIVER_BYTES: usize = 19;

/// How long a batch may wait for one that somebody waits for, and how large it may become meanwhile: a client that
/// acknowledges a message then costs no write of its own, and a crash has it sent to that client once more.
const UNAWAITED_FOR: Duration = Duration::from_millis(10);
const UNAWAITED_BYTES_MAX: usize = 64 << 10;
