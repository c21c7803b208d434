//! Outgoing mail: how much room the rings to other shards have, who takes it, and what waits for room.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    Bundle, ConnId, Effect, Errand, Mail, ShardId, ShardSet, Withdrawals, bundle::BUNDLE_BYTES_MAX,
    bundle::Bundled, turn::Turn,
};

pub(crate) struct Post {
    /// By shard.
    ways: Vec<Way>,
    /// The shards with an open bundle or open withdrawals.
    open: ShardSet,
    pending_len: usize,
    /// Some shard has more waiting for it than `PENDING_MAIL_MAX`.
    congested: bool,
    /// The shards whose rings are pressed, as far as somebody has taken a slot there since.
    pressed: ShardSet,
    /// Whose packets are handled now: the slots that they take are his.
    sender: Option<ConnId>,
    /// By shard: retained messages mailed to it, and got from it.
    pub retained_sent: Vec<u64>,
    pub retained_received: Vec<u64>,
    me: ShardId,
}

/// The way to one shard.
#[derive(Default)]
struct Way {
    /// Free slots of the ring, without those that the open bundle and the open withdrawals will take.
    room: usize,
    /// The most that were ever free: all that it has.
    slots: usize,
    /// Who has taken how many since the ring is pressed.
    takers: BTreeMap<ConnId, usize>,
    /// How often the ring has been pressed and has had room again.
    round: u64,
    /// Collects publications until the tick ends or something else has to follow them. There is none while mail waits.
    open: Option<Bundle>,
    /// Collects filters, likewise. Publications may overtake them: those that go the other way are meant.
    withdrawals: Option<Box<Withdrawals>>,
    /// Capacity for the next bundle: what the last one took.
    bundle_bytes: usize,
    /// What waits for room.
    pending: VecDeque<Mail>,
}

/// What somebody had taken of a ring, and when it was pressed. In this order whoever is held back goes on: whoever has taken something before
/// the ring had room again has not taken anything since.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Taken {
    pub round: u64,
    /// None by whoever wants a slot that is not for mail.
    pub slots: usize,
}

/// What became of one piece of mail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    Sent,
    /// It went into a bundle that counts already.
    Joined,
    Waits,
    Dropped,
}

impl Post {
    pub fn new(me: ShardId, shards: u8) -> Post {
        assert!(me.0 < shards, "a shard's id is less than their number");
        let shards = usize::from(shards);
        Post {
            ways: (0..shards).map(|_| Way::default()).collect(),
            open: ShardSet::EMPTY,
            pending_len: 0,
            congested: false,
            pressed: ShardSet::EMPTY,
            sender: None,
            retained_sent: vec![0; shards],
            retained_received: vec![0; shards],
            me,
        }
    }

    /// Order is kept: while mail waits, further mail to that shard waits behind it, or is dropped if it may be.
    pub fn send(&mut self, to: ShardId, mail: Mail, is_droppable: bool, turn: &mut Turn<'_>) -> Posted {
        assert!(to != self.me, "nobody sends mail to himself");
        if matches!(mail, Mail::Retain(_)) {
            self.retained_sent[to.index()] += 1;
        }
        self.close_bundle(to, turn);
        self.close_withdrawals(to, turn);
        let way = &mut self.ways[to.index()];
        if way.has_room() {
            self.take_slot(to);
            turn.push(Effect::Mail { to, mail });
            return Posted::Sent;
        }
        if is_droppable {
            return Posted::Dropped;
        }
        self.wait(to, mail);
        Posted::Waits
    }

    /// The same for what fits a bundle.
    pub fn send_bundled(&mut self, to: ShardId, publication: &Bundled<'_>, turn: &mut Turn<'_>) -> Posted {
        assert!(to != self.me, "nobody sends mail to himself");
        if publication.errand == Errand::Retain {
            self.retained_sent[to.index()] += 1;
        }
        let way = &mut self.ways[to.index()];
        if let Some(open) = &mut way.open
            && open.has_room_for(publication)
        {
            open.push(publication);
            return Posted::Joined;
        }
        self.close_bundle(to, turn);
        let way = &mut self.ways[to.index()];
        if way.has_room() {
            let capacity = way.bundle_bytes.clamp(BUNDLE_BYTES_MIN, BUNDLE_BYTES_MAX);
            let open = way.open.insert(Bundle::new(turn.now, capacity));
            open.push(publication);
            self.open.insert(to);
            self.take_slot(to);
            return Posted::Sent;
        }
        if publication.is_droppable() {
            return Posted::Dropped;
        }
        match way.pending.back_mut() {
            Some(Mail::Bundle(last)) if last.has_room_for(publication) => {
                last.push(publication);
                Posted::Joined
            }
            _ => {
                let mut bundle = Bundle::new(turn.now, 0);
                bundle.push(publication);
                self.wait(to, Mail::Bundle(bundle));
                Posted::Waits
            }
        }
    }

    /// The same for a filter that nobody here has any more, or has `left` members of.
    pub fn send_withdrawal(&mut self, to: ShardId, name: &str, left: u32, turn: &mut Turn<'_>) -> Posted {
        assert!(to != self.me, "nobody sends mail to himself");
        let way = &mut self.ways[to.index()];
        let open = match way.pending.back_mut() {
            Some(Mail::Withdraw(last)) => Some(last),
            _ => way.withdrawals.as_mut(),
        };
        if let Some(open) = open.filter(|open| open.has_room_for(name)) {
            open.push(name, left);
            return Posted::Joined;
        }
        self.close_withdrawals(to, turn);
        let mut withdrawals = Box::<Withdrawals>::default();
        withdrawals.push(name, left);
        let way = &mut self.ways[to.index()];
        if way.has_room() {
            way.withdrawals = Some(withdrawals);
            self.open.insert(to);
            self.take_slot(to);
            return Posted::Sent;
        }
        self.wait(to, Mail::Withdraw(withdrawals));
        Posted::Waits
    }

    fn wait(&mut self, to: ShardId, mail: Mail) {
        let pending = &mut self.ways[to.index()].pending;
        pending.push_back(mail);
        self.pending_len += 1;
        self.congested |= pending.len() >= PENDING_MAIL_MAX;
        self.charge(to);
    }

    fn take_slot(&mut self, to: ShardId) {
        self.ways[to.index()].room -= 1;
        self.charge(to);
    }

    /// The sender has taken a slot, or waits for one.
    #[inline]
    fn charge(&mut self, to: ShardId) {
        let way = &mut self.ways[to.index()];
        if is_pressed(way.room, way.slots)
            && let Some(sender) = self.sender
        {
            *way.takers.entry(sender).or_default() += 1;
            self.pressed.insert(to);
        }
    }

    /// From now on mail is on behalf of this connection, or of none.
    pub fn set_sender(&mut self, sender: Option<ConnId>) {
        self.sender = sender;
    }

    pub fn sender(&self) -> Option<ConnId> {
        self.sender
    }

    /// Whether mail of this connection has to wait.
    #[inline]
    pub fn holds_back(&self, conn: ConnId) -> bool {
        self.congested || !self.pressed.is_empty() && self.held_back_by(conn).is_some()
    }

    /// The ring that is pressed and of which a connection has taken its share: what is left is for those who have taken less.
    pub fn held_back_by(&self, conn: ConnId) -> Option<(ShardId, Taken)> {
        self.pressed.iter().find_map(|to| {
            let way = &self.ways[to.index()];
            let taken = Taken { round: way.round, slots: *way.takers.get(&conn)? };
            (!way.lets_on(taken)).then_some((to, taken))
        })
    }

    /// What a connection has taken of a ring whose packets make no mail.
    pub fn taken_nothing(&self, to: ShardId) -> Taken {
        Taken { round: self.ways[to.index()].round, slots: 0 }
    }

    /// Whether somebody may go on who has waited for room, in this ring or in all of them.
    pub fn lets_on(&self, ring: Option<ShardId>, taken: Taken) -> bool {
        !self.congested && ring.is_none_or(|to| self.ways[to.index()].lets_on(taken))
    }

    /// Sends the open bundle off: what comes next must not overtake it.
    fn close_bundle(&mut self, to: ShardId, turn: &mut Turn<'_>) {
        let way = &mut self.ways[to.index()];
        if let Some(bundle) = way.open.take() {
            way.bundle_bytes = bundle.len();
            if way.withdrawals.is_none() {
                self.open.remove(to);
            }
            turn.push(Effect::Mail { to, mail: Mail::Bundle(bundle) });
        }
    }

    fn close_withdrawals(&mut self, to: ShardId, turn: &mut Turn<'_>) {
        let way = &mut self.ways[to.index()];
        if let Some(withdrawals) = way.withdrawals.take() {
            if way.open.is_none() {
                self.open.remove(to);
            }
            turn.push(Effect::Mail { to, mail: Mail::Withdraw(withdrawals) });
        }
    }

    /// The tick ends.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        for to in self.open.iter() {
            self.close_bundle(to, turn);
            self.close_withdrawals(to, turn);
        }
    }

    /// A slot for something that is not mail: a connection that moves.
    pub fn take_room(&mut self, to: ShardId) -> bool {
        let way = &mut self.ways[to.index()];
        let free = way.has_room();
        if free {
            way.room -= 1;
        }
        free
    }

    /// The ring to `to` has this many free slots; what waits goes first.
    pub fn set_room(&mut self, to: ShardId, slots: usize, turn: &mut Turn<'_>) -> usize {
        let way = &mut self.ways[to.index()];
        let taken = usize::from(way.open.is_some()) + usize::from(way.withdrawals.is_some());
        way.slots = way.slots.max(slots);
        way.room = slots.checked_sub(taken).expect("the slots of what is open are still free");
        let mut sent = 0;
        while way.room > 0
            && let Some(mail) = way.pending.pop_front()
        {
            way.room -= 1;
            sent += 1;
            turn.push(Effect::Mail { to, mail });
        }
        self.pending_len -= sent;
        if !is_pressed(way.room, way.slots) && self.pressed.contains(to) {
            way.takers.clear();
            way.round += 1;
            self.pressed.remove(to);
        }
        if self.congested {
            self.congested = self.ways.iter().any(|way| way.pending.len() >= PENDING_MAIL_MAX);
        }
        sent
    }

    /// A retained message that stays here counts as mailed from here to here; gives back its number.
    pub fn count_retained_here(&mut self) -> u64 {
        let me = self.me.index();
        self.retained_sent[me] += 1;
        self.retained_received[me] += 1;
        self.retained_sent[me]
    }

    pub fn count_retained_from(&mut self, from: ShardId) {
        self.retained_received[from.index()] += 1;
    }

    pub fn is_congested(&self) -> bool {
        self.congested
    }

    /// Mail that no slot was found for yet.
    pub fn pending_len(&self) -> usize {
        self.pending_len
    }

    /// Nothing waits, neither for room nor for the end of the tick.
    pub fn is_empty(&self) -> bool {
        self.pending_len == 0 && self.open.is_empty()
    }
}

impl Way {
    fn lets_on(&self, taken: Taken) -> bool {
        match taken.slots {
            0 => self.has_room(),
            slots => taken.round < self.round || slots * SHARES < self.room,
        }
    }

    fn has_room(&self) -> bool {
        self.pending.is_empty() && self.room > 0
    }
}

/// More than a quarter of a ring's slots are taken: whoever takes many more has to wait until the other shard has taken mail out.
pub fn is_pressed(free: usize, slots: usize) -> bool {
    free < slots - slots / 4
}

/// Of a ring that is pressed, nobody takes more than one of so many parts of what is left.
const SHARES: usize = 16;

/// Beyond this, whoever publishes is not read until the mesh has caught up.
const PENDING_MAIL_MAX: usize = 1024;

/// The capacity of a bundle when the last one was small: a message or two.
const BUNDLE_BYTES_MIN: usize = 256;
