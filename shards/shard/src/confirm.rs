//! Confirmations between shards: a publication that others are to store is acknowledged when they have.
//!
//! A shard counts what it asks of each other shard; mail keeps its order, so that a number of confirmations says which ones
//! they are. What one asks for may ask for more, when it is passed on: then its confirmation waits for theirs.

use std::collections::VecDeque;

use mqtt::QoS;

use crate::{Mail, Shard, ShardId, ShardSet, turn::Turn};

/// What has to have happened before something goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs {
    /// This batch is stored; zero for none.
    pub batch: u64,
    /// Everything up to this question is confirmed; zero for none.
    pub question: u64,
}

impl Needs {
    #[must_use]
    pub fn and(self, other: Needs) -> Needs {
        Needs { batch: self.batch.max(other.batch), question: self.question.max(other.question) }
    }
}

pub(crate) struct Confirmations {
    /// Counts over all shards.
    asked: u64,
    /// `asked` at the beginning of this event, or of this packet.
    asked_before: u64,
    /// Whom it went to since then.
    asked_shards: ShardSet,
    /// Every question up to this one is confirmed.
    confirmed: u64,
    ways: Vec<Way>,
}

#[derive(Default)]
struct Way {
    /// Questions to that shard without an answer.
    open: VecDeque<u64>,
    /// Questions of that shard, as many as came together.
    owed: VecDeque<Owed>,
}

struct Owed {
    count: u64,
    needs: Needs,
}

impl Confirmations {
    pub fn new(shards: u8) -> Confirmations {
        let ways = (0..shards).map(|_| Way::default()).collect();
        Confirmations { asked: 0, asked_before: 0, asked_shards: ShardSet::EMPTY, confirmed: 0, ways }
    }

    pub fn begin(&mut self) {
        self.asked_before = self.asked;
        self.asked_shards = ShardSet::EMPTY;
    }

    /// The last question of this event, or of this packet.
    pub fn needed(&self) -> u64 {
        if self.asked > self.asked_before { self.asked } else { 0 }
    }

    /// Who was asked in this event, or by this packet.
    pub fn asked_shards(&self) -> ShardSet {
        self.asked_shards
    }

    pub fn is_confirmed(&self, question: u64) -> bool {
        question <= self.confirmed
    }

    fn ask(&mut self, peer: ShardId) {
        self.asked += 1;
        self.asked_shards.insert(peer);
        self.ways[peer.index()].open.push_back(self.asked);
    }

    fn on_confirmed(&mut self, from: ShardId, count: u64) {
        let open = &mut self.ways[from.index()].open;
        let count = usize::try_from(count).expect("no more is confirmed than was asked");
        assert!(count <= open.len(), "no more is confirmed than was asked");
        open.drain(..count);
        let oldest = self.ways.iter().filter_map(|way| way.open.front()).min();
        self.confirmed = oldest.map_or(self.asked, |oldest| oldest - 1);
    }

    fn owe(&mut self, to: ShardId, count: u64, needs: Needs) {
        let owed = &mut self.ways[to.index()].owed;
        match owed.back_mut() {
            Some(last) if last.needs == needs => last.count += count,
            _ => owed.push_back(Owed { count, needs }),
        }
    }

    /// Takes off the questions of this shard whose answer is due, in their order, and counts them.
    fn take_due(&mut self, to: usize, is_met: impl Fn(Needs) -> bool) -> u64 {
        let owed = &mut self.ways[to].owed;
        let mut count = 0;
        while let Some(first) = owed.front()
            && is_met(first.needs)
        {
            count += first.count;
            owed.pop_front();
        }
        count
    }

    /// No shard waits for an answer from here.
    pub fn owes_nothing(&self) -> bool {
        self.ways.iter().all(|way| way.owed.is_empty())
    }
}

impl Shard {
    /// A new packet, or a new event: what an answer to it has to wait for begins here.
    #[inline]
    pub(crate) fn begin_answer(&mut self) {
        if self.store.is_on() {
            self.store.begin();
            self.confirmations.begin();
        }
    }

    /// What an answer to this packet, or to this event, has to wait for.
    #[inline]
    pub(crate) fn needed(&self) -> Needs {
        Needs { batch: self.store.needed(), question: self.confirmations.needed() }
    }

    /// Mail is on its way to `peer` that may have to be stored there.
    pub(crate) fn ask_confirmation(&mut self, peer: ShardId, qos: QoS) {
        if self.store.is_on() && qos != QoS::AtMostOnce {
            self.confirmations.ask(peer);
        }
    }

    /// So many publications have come from `to` that it wants to know of.
    pub(crate) fn owe_confirmation(&mut self, to: ShardId, count: u64) {
        if self.store.is_on() && count > 0 {
            let needs = self.needed();
            self.confirmations.owe(to, count, needs);
        }
    }

    pub(crate) fn on_confirmed(&mut self, from: ShardId, count: u64, turn: &mut Turn<'_>) {
        self.confirmations.on_confirmed(from, count);
        self.take_in_confirmed(turn);
        self.give_up_wills();
        self.wake_waiting();
    }

    /// Tells the other shards what of theirs is stored by now.
    pub(crate) fn confirm(&mut self, turn: &mut Turn<'_>) {
        if !self.store.is_on() {
            return;
        }
        for peer in self.peers() {
            let (store, confirmed) = (&self.store, self.confirmations.confirmed);
            let is_met = |needs: Needs| store.is_stored(needs.batch) && needs.question <= confirmed;
            let count = self.confirmations.take_due(peer.index(), is_met);
            if count > 0 {
                self.post_mail(peer, Mail::Confirmed(count), turn);
            }
        }
    }
}
