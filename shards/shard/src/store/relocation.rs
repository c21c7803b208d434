//! A store that was laid out for one number of shards becomes one for another.
//!
//! All records are seen twice. The first time only keys, numbers and places are kept: who lives, and where the messages stand
//! that somebody is owed. Then every session gets its new home and name, and the second time what is alive is written to
//! the logs of the new shards. Numbers in queues stay, and with them packet ids. Files are not known here.

mod living;

use std::collections::{BTreeMap, BTreeSet};

use self::living::{Living, RELEASED};
use super::{
    entry::{Detached, Entry, MessageEntry, Receiver, Receivers, SessionEntry, SessionId, WillEntry},
    fields::Malformed,
    record::Record,
};
use crate::{Handshake, Placement, ShardId};

/// The first time: what is alive.
pub struct Census {
    shards: Vec<Living>,
}

impl Census {
    /// Of a store of so many shards.
    #[must_use]
    pub fn new(shards: u8) -> Census {
        Census { shards: (0..shards).map(|_| Living::default()).collect() }
    }

    /// Takes one record of this shard's log, in their order. A group has to be given as a whole or not at all.
    pub fn take(&mut self, from: ShardId, record: &Record<'_>) -> Result<(), Malformed> {
        self.shards[from.index()].take(record)
    }
}

/// What there is to move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub sessions: u64,
    pub subscriptions: u64,
    /// Messages of all queues, each as often as it is owed.
    pub queued: u64,
    pub retained: u64,
}

/// The second time: everything finds its place, and becomes records of the shards-to-be.
pub struct Relocation {
    placement: Placement,
    shards: Vec<Living>,
    /// All sessions, in the order of their new names.
    order: Vec<(ShardId, SessionId)>,
    /// How many of them are written.
    written: usize,
    /// The new homes and names of wills.
    wills: BTreeMap<(ShardId, SessionId), (ShardId, SessionId)>,
    /// For each of the shards-to-be.
    batches: Vec<Vec<u8>>,
    gathered: Vec<Gathered>,
    /// How many sessions each of them gets.
    slots: Vec<u32>,
}

/// Who has got a publication that may come a second time.
#[derive(Default)]
struct Stored {
    shares: BTreeSet<Box<str>>,
    holders: BTreeSet<Holders>,
}

/// Sessions of one shard, by their former names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Holders {
    from: ShardId,
    first: SessionId,
    last: SessionId,
}

/// Those on one shard who get the message at hand.
#[derive(Default)]
struct Gathered {
    receivers: Vec<u8>,
    count: u32,
    is_retained: bool,
}

impl Relocation {
    /// `placement` knows the shards-to-be.
    #[must_use]
    pub fn new(census: Census, placement: Placement) -> Relocation {
        let mut shards = census.shards;
        let mut order = Vec::new();
        let mut slots = vec![0_u32; placement.shards().into()];
        for (from, living) in (0..).map(ShardId).zip(&mut shards) {
            living.sessions.retain(|_, known| known.own.is_some());
            let mut ids: Vec<SessionId> = living.sessions.keys().copied().collect();
            ids.sort_unstable();
            for id in ids {
                let known = living.sessions.get_mut(&id).expect("it is one of them");
                let own = known.own.as_ref().expect("those without were left out");
                let to = placement.client(own.entry().client_id);
                known.home = Some((to, SessionId::of_slot(slots[to.index()])));
                slots[to.index()] += 1;
                order.push((from, id));
            }
        }
        let wills = name_wills(&shards, &order, slots.clone());
        let batches = vec![Vec::new(); placement.shards().into()];
        let gathered = batches.iter().map(|_| Gathered::default()).collect();
        Relocation { placement, shards, order, written: 0, wills, batches, gathered, slots }
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { sessions: self.order.len() as u64, ..Counts::default() };
        for living in &self.shards {
            counts.retained += living.retained.len() as u64;
            for known in living.sessions.values() {
                counts.subscriptions += known.filters.len() as u64;
                counts.queued += known.queue.len() as u64;
            }
        }
        counts
    }

    /// From the beginning once more.
    pub fn rewind(&mut self) {
        self.written = 0;
    }

    /// Writes the next session, with all that belongs to it but its messages. False: there is none left.
    pub fn write_session(&mut self) -> bool {
        let Some((from, id)) = self.order.get(self.written).copied() else { return false };
        self.written += 1;
        let known = &self.shards[from.index()].sessions[&id];
        let (to, session) = known.home.expect("every session has got its home");
        let batch = &mut self.batches[to.index()];
        let own = known.own.as_ref().expect("those without were left out").entry();
        let mut left = known.filters.len() + known.received.len();
        let entry = SessionEntry {
            session,
            is_whole: true,
            detached: own.detached.map(|detached| Detached { session, ..detached }),
            will: own.will.map(|will| WillEntry { will: self.wills[&(from, will.will)].1, ..will }),
            ..own
        };
        Entry::Session(entry).encode(batch, left > 0);
        for (filter, (options, subscription_id)) in &known.filters {
            left -= 1;
            let (options, subscription_id) = (*options, *subscription_id);
            Entry::Subscribed { session, options, subscription_id, filter }.encode(batch, left > 0);
        }
        for packet_id in &known.received {
            left -= 1;
            Entry::Received { session, packet_id: *packet_id }.encode(batch, left > 0);
        }
        for (number, _) in known.queue.iter().filter(|(_, place)| **place == RELEASED) {
            Entry::Released { session, number: *number }.encode(batch, false);
        }
        true
    }

    /// Takes the record once more: a message that is alive there goes to each shard-to-be on which somebody is owed it.
    pub fn write_message(&mut self, from: ShardId, record: &Record<'_>) -> Result<(), Malformed> {
        let place = record.position.to_u64();
        let entry = match Entry::decode(record)? {
            Entry::Message(entry) => entry,
            Entry::WillPublished { will, session, message } => {
                self.write_will(from, (will, place), session, message);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let living = &self.shards[from.index()];
        for receiver in entry.receivers.iter() {
            let Some(known) = living.sessions.get(&receiver.session) else { continue };
            if known.queue.get(&receiver.number) == Some(&place) {
                let (to, session) = known.home.expect("every session has got its home");
                let gathered = &mut self.gathered[to.index()];
                Receiver { session, ..receiver }.encode(&mut gathered.receivers);
                gathered.count += 1;
            }
        }
        if entry.is_retained && living.retained.get(entry.topic) == Some(&place) {
            self.gathered[self.placement.topic(entry.topic).index()].is_retained = true;
        }
        for (gathered, batch) in self.gathered.iter_mut().zip(&mut self.batches) {
            if gathered.count > 0 || gathered.is_retained {
                let receivers = Receivers { count: gathered.count, bytes: &gathered.receivers };
                let is_retained = gathered.is_retained;
                Entry::Message(MessageEntry { is_retained, receivers, ..entry.clone() }).encode(batch, false);
                gathered.receivers.clear();
                (gathered.count, gathered.is_retained) = (0, false);
            }
        }
        Ok(())
    }

    /// A will that is on its way goes home with its session, or to some shard if that has ended.
    fn write_will(
        &mut self,
        from: ShardId,
        (name, place): (SessionId, u64),
        session: SessionId,
        message: MessageEntry<'_>,
    ) {
        let living = &self.shards[from.index()];
        if living.wills.get(&name).is_some_and(|(alive, _)| *alive == place) {
            let (to, will) = self.wills[&(from, name)];
            let home = living.sessions.get(&session).and_then(|known| known.home);
            let session = home.map_or(SessionId::default(), |(_, session)| session);
            Entry::WillPublished { will, session, message }.encode(&mut self.batches[to.index()], false);
        }
    }

    /// Writes, at last, which publications may come a second time: those of publishers who have no acknowledgement yet.
    pub fn write_handshakes(&mut self) {
        let mut spans = BTreeMap::new();
        for (handshake, stored) in self.unconfirmed() {
            for holders in &stored.holders {
                spans.entry(*holders).or_insert_with(|| self.spans(*holders));
            }
            for (to, batch) in self.batches.iter_mut().enumerate() {
                // A shared subscription has got its copy, wherever its members live.
                for share in &stored.shares {
                    Entry::Handshake { handshake, share }.encode(batch, false);
                }
                let covered = joined(stored.holders.iter().filter_map(|holders| spans[holders][to]));
                if self.slots[to] > 0 && covered == [(0, self.slots[to] - 1)] {
                    Entry::Handshake { handshake, share: "" }.encode(batch, false);
                    continue;
                }
                for (first, last) in covered {
                    let (first, last) = (SessionId::of_slot(first), SessionId::of_slot(last));
                    Entry::HandshakePart { handshake, first, last }.encode(batch, false);
                }
            }
        }
    }

    /// By their new names. Where the publisher's home has taken the publication in, it knows it by itself; and who has ended
    /// does not repeat anything.
    fn unconfirmed(&self) -> BTreeMap<Handshake, Stored> {
        let mut unconfirmed: BTreeMap<Handshake, Stored> = BTreeMap::new();
        for (from, living) in (0..).map(ShardId).zip(&self.shards) {
            for (handshake, copies) in &living.handshakes {
                let home = self.shards.get(handshake.home.index());
                let publisher = home.and_then(|home| home.sessions.get(&handshake.session));
                let publisher = publisher.filter(|known| !known.received.contains(&handshake.packet_id));
                let will = self.wills.get(&(handshake.home, handshake.session)).copied();
                let Some((home, session)) = publisher.and_then(|known| known.home).or(will) else { continue };
                let handshake = Handshake { home, session, packet_id: handshake.packet_id };
                let stored = unconfirmed.entry(handshake).or_default();
                stored.shares.extend(copies.shares.iter().filter(|share| !share.is_empty()).cloned());
                if copies.shares.contains("") {
                    stored.holders.insert(Holders { from, first: SessionId(0), last: SessionId(u64::MAX) });
                }
                let part =
                    |(first, last): &(SessionId, SessionId)| Holders { from, first: *first, last: *last };
                stored.holders.extend(copies.parts.iter().map(part));
            }
        }
        unconfirmed
    }

    /// For each of the shards-to-be the first and the last slot of those sessions: they follow each other there.
    fn spans(&self, holders: Holders) -> Vec<Option<(u32, u32)>> {
        let Holders { from, first, last } = holders;
        let begin = self.order.partition_point(|known| *known < (from, first));
        let mut spans: Vec<Option<(u32, u32)>> = vec![None; self.batches.len()];
        for (_, id) in self.order[begin..].iter().take_while(|known| **known <= (from, last)) {
            let (to, session) =
                self.shards[from.index()].sessions[id].home.expect("every session has got its home");
            let slot = session.key().0;
            let span = &mut spans[to.index()];
            *span = Some(span.map_or((slot, slot), |(first, _)| (first, slot)));
        }
        spans
    }

    /// Records for one of the shards-to-be, if there are so many bytes of them.
    pub fn take_batch(&mut self, bytes_min: usize) -> Option<(ShardId, Vec<u8>)> {
        let index = self.batches.iter().position(|batch| batch.len() >= bytes_min && !batch.is_empty())?;
        let shard = u8::try_from(index).expect("there are no more shards than ids of them");
        Some((ShardId(shard), std::mem::take(&mut self.batches[index])))
    }
}

/// Spans that touch each other are one.
fn joined(spans: impl Iterator<Item = (u32, u32)>) -> Vec<(u32, u32)> {
    let mut spans: Vec<(u32, u32)> = spans.collect();
    spans.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(spans.len());
    for (first, last) in spans {
        match joined.last_mut().filter(|before| first <= before.1.saturating_add(1)) {
            Some(before) => before.1 = before.1.max(last),
            None => joined.push((first, last)),
        }
    }
    joined
}

/// From the old homes and names of all wills to the new ones. `counts` is how many names each new home has given.
fn name_wills(
    shards: &[Living],
    order: &[(ShardId, SessionId)],
    mut counts: Vec<u32>,
) -> BTreeMap<(ShardId, SessionId), (ShardId, SessionId)> {
    let mut name = |to: ShardId, slot: u32| {
        let count = &mut counts[to.index()];
        *count += 1;
        (to, SessionId::of_count(*count - 1, slot))
    };
    let mut wills = BTreeMap::new();
    for (from, id) in order {
        let known = &shards[from.index()].sessions[id];
        let will = known.own.as_ref().and_then(|own| own.entry().will);
        if let (Some(will), Some((to, session))) = (will, known.home) {
            wills.insert((*from, will.will), name(to, session.key().0));
        }
    }
    for (from, living) in (0..).map(ShardId).zip(shards) {
        for (old_name, (_, session)) in &living.wills {
            let home = living.sessions.get(session).and_then(|known| known.home);
            wills.insert((from, *old_name), name(home.map_or(ShardId(0), |(to, _)| to), 0));
        }
    }
    wills
}

#[cfg(test)]
mod tests;
