//! Outgoing mail: how much room the rings to other shards have, and what waits for room.

use std::collections::VecDeque;

use crate::{Effect, Mail, ShardId, turn::Turn};

pub(crate) struct Post {
    /// By shard, the free slots of the ring to it.
    room: Vec<usize>,
    pending: Vec<VecDeque<Mail>>,
    pending_len: usize,
    /// Some shard has more waiting for it than `PENDING_MAIL_MAX`.
    congested: bool,
    /// By shard: retained messages mailed to it, and got from it.
    pub retained_sent: Vec<u64>,
    pub retained_received: Vec<u64>,
    me: ShardId,
}

/// What became of one piece of mail.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Posted {
    Sent,
    Waits,
    Dropped,
}

impl Post {
    pub fn new(me: ShardId, shards: u8) -> Post {
        let shards = usize::from(shards);
        Post {
            room: vec![0; shards],
            pending: (0..shards).map(|_| VecDeque::new()).collect(),
            pending_len: 0,
            congested: false,
            retained_sent: vec![0; shards],
            retained_received: vec![0; shards],
            me,
        }
    }

    /// Order is kept: while mail waits, further mail to that shard waits behind it, or is dropped if it may be.
    pub fn send(&mut self, to: ShardId, mail: Mail, turn: &mut Turn<'_>) -> Posted {
        assert!(to != self.me, "nobody sends mail to himself");
        if matches!(mail, Mail::Retain(_)) {
            self.retained_sent[to.index()] += 1;
        }
        let pending = &mut self.pending[to.index()];
        let room = &mut self.room[to.index()];
        if pending.is_empty() && *room > 0 {
            *room -= 1;
            turn.push(Effect::Mail { to, mail });
            return Posted::Sent;
        }
        if mail.is_droppable() {
            return Posted::Dropped;
        }
        pending.push_back(mail);
        self.pending_len += 1;
        self.congested |= pending.len() >= PENDING_MAIL_MAX;
        Posted::Waits
    }

    /// A slot for something that is not mail: a connection that moves.
    pub fn take_room(&mut self, to: ShardId) -> bool {
        let room = &mut self.room[to.index()];
        let free = self.pending[to.index()].is_empty() && *room > 0;
        if free {
            *room -= 1;
        }
        free
    }

    /// The ring to `to` has this many free slots; what waits goes first.
    pub fn set_room(&mut self, to: ShardId, slots: usize, turn: &mut Turn<'_>) -> usize {
        let room = &mut self.room[to.index()];
        *room = slots;
        let pending = &mut self.pending[to.index()];
        let mut sent = 0;
        while *room > 0
            && let Some(mail) = pending.pop_front()
        {
            *room -= 1;
            sent += 1;
            turn.push(Effect::Mail { to, mail });
        }
        self.pending_len -= sent;
        if self.congested {
            self.congested = self.pending.iter().any(|pending| pending.len() >= PENDING_MAIL_MAX);
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

    pub fn pending_len(&self) -> usize {
        self.pending_len
    }
}

/// Beyond this, whoever publishes is not read until the mesh has caught up.
const PENDING_MAIL_MAX: usize = 1024;
