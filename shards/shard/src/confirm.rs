//! Confirmations between shards: a publication that others are to store is acknowledged when they have.
//!
//! A shard counts what it asks of each other shard; mail keeps its order, so that both know a question by its count. What one
//! asks for may ask for more, when it is passed on: then its confirmation waits for theirs, and for nothing else. If it held
//! up what came after it, two shards that pass on to each other would wait for ever.

use std::collections::VecDeque;

use mqtt::QoS;
use smallvec::SmallVec;

use crate::{Mail, Shard, ShardId, ShardSet, turn::Turn};

/// What has to have happened before something goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// This batch is stored; zero for none.
    pub(crate) batch: u64,
    /// Everything up to this question is confirmed; zero for none.
    pub(crate) question: u64,
}

impl Needs {
    #[must_use]
    pub(crate) fn and(self, other: Needs) -> Needs {
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
    /// Questions to that shard, from the first without an answer on.
    open: VecDeque<Question>,
    /// How many came before those.
    settled: u64,
    /// How many questions came from that shard.
    received: u64,
    /// Those that wait for a batch: they are due in their order.
    owed: VecDeque<Owed>,
    /// Those that were passed on.
    owed_passed_on: Vec<Owed>,
}

#[derive(Clone, Copy)]
struct Question {
    number: u64,
    is_confirmed: bool,
}

/// Questions that came together.
#[derive(Clone, Copy)]
struct Owed {
    first: u64,
    count: u64,
    batch: u64,
    /// Questions after the first number and up to the second were asked for their sake.
    asked: (u64, u64),
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

    /// Who was asked may pass the publication on to any other shard.
    pub fn ask_any(&mut self, peers: ShardSet) {
        self.asked_shards = peers;
    }

    pub fn is_confirmed(&self, question: u64) -> bool {
        question <= self.confirmed
    }

    /// The last question of all.
    pub fn asked(&self) -> u64 {
        self.asked
    }

    fn ask(&mut self, peer: ShardId) {
        self.asked += 1;
        self.asked_shards.insert(peer);
        let question = Question { number: self.asked, is_confirmed: false };
        self.ways[peer.index()].open.push_back(question);
    }

    fn on_confirmed(&mut self, from: ShardId, first: u64, count: u64) {
        let way = &mut self.ways[from.index()];
        let first = first.checked_sub(way.settled).expect("a question is confirmed once");
        let range = first as usize..(first + count) as usize;
        assert!(range.end <= way.open.len(), "no more is confirmed than was asked");
        for question in way.open.range_mut(range) {
            assert!(!question.is_confirmed, "a question is confirmed once");
            question.is_confirmed = true;
        }
        while way.open.front().is_some_and(|question| question.is_confirmed) {
            way.open.pop_front();
            way.settled += 1;
        }
        let oldest = self.ways.iter().filter_map(|way| way.open.front()).map(|first| first.number).min();
        self.confirmed = oldest.map_or(self.asked, |oldest| oldest - 1);
    }

    /// These questions are confirmed, whatever is with others.
    fn are_confirmed(&self, (after, last): (u64, u64)) -> bool {
        last <= self.confirmed
            || self.ways.iter().all(|way| {
                let from = way.open.partition_point(|question| question.number <= after);
                let mut asked = way.open.range(from..).take_while(|question| question.number <= last);
                asked.all(|question| question.is_confirmed)
            })
    }

    fn owe(&mut self, to: ShardId, count: u64, batch: u64) {
        let asked = (self.asked_before, self.asked);
        let way = &mut self.ways[to.index()];
        let first = way.received;
        way.received += count;
        if asked.0 < asked.1 {
            way.owed_passed_on.push(Owed { first, count, batch, asked });
            return;
        }
        match way.owed.back_mut() {
            Some(last) if last.batch == batch && last.first + last.count == first => last.count += count,
            _ => way.owed.push_back(Owed { first, count, batch, asked }),
        }
    }

    /// Takes off the questions of this shard whose answer is due.
    fn take_due(&mut self, to: usize, is_stored: impl Fn(u64) -> bool) -> SmallVec<[(u64, u64); 1]> {
        let mut due: SmallVec<[(u64, u64); 1]> = SmallVec::new();
        let owed = &mut self.ways[to].owed;
        while let Some(&Owed { first, count, .. }) = owed.front().filter(|owed| is_stored(owed.batch)) {
            owed.pop_front();
            match due.last_mut() {
                Some((last_first, last_count)) if *last_first + *last_count == first => *last_count += count,
                _ => due.push((first, count)),
            }
        }
        let mut passed_on = std::mem::take(&mut self.ways[to].owed_passed_on);
        passed_on.retain(|owed| {
            let is_due = is_stored(owed.batch) && self.are_confirmed(owed.asked);
            if is_due {
                due.push((owed.first, owed.count));
            }
            !is_due
        });
        self.ways[to].owed_passed_on = passed_on;
        due
    }

    /// No shard waits for an answer from here.
    pub fn owes_nothing(&self) -> bool {
        self.ways.iter().all(|way| way.owed.is_empty() && way.owed_passed_on.is_empty())
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

    pub(crate) fn is_met(&self, needs: Needs) -> bool {
        self.store.is_stored(needs.batch) && self.confirmations.is_confirmed(needs.question)
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
            let batch = self.store.needed();
            self.confirmations.owe(to, count, batch);
        }
    }

    pub(crate) fn on_confirmed(&mut self, from: ShardId, first: u64, count: u64, turn: &mut Turn<'_>) {
        self.confirmations.on_confirmed(from, first, count);
        self.take_in_confirmed(turn);
        self.give_up_wills();
        self.tell_of_leaving(turn);
        self.wake_waiting();
    }

    /// Tells the other shards what of theirs is stored by now.
    pub(crate) fn confirm(&mut self, turn: &mut Turn<'_>) {
        if !self.store.is_on() {
            return;
        }
        self.release_wills(turn);
        for peer in self.peers() {
            let store = &self.store;
            for (first, count) in self.confirmations.take_due(peer.index(), |batch| store.is_stored(batch)) {
                self.post_mail(peer, Mail::Confirmed { first, count }, turn);
            }
        }
    }
}
