//! What a shard wants done, in order.

use crate::{Ask, Batch, ConnId, Fetch, Mail, Note, Outgoing, Secret, ShardId, Span, Spare};

/// One thing for the runtime to do.
#[derive(Debug)]
pub enum Effect {
    /// Write all of it. At most one is under way per connection: the next comes only after `Event::Sent`. What became of it is said in
    /// any case, also when the connection has ended meanwhile.
    Send { conn: ConnId, bytes: Box<Outgoing> },
    /// Close once what was given to `Send` is written or a short while has passed. The shard has forgotten the connection.
    Close { conn: ConnId },
    /// Changes how the connection is read. After `Opened` it is `Once`.
    Read { conn: ConnId, reading: Reading },
    /// Move the connection to its home. No receive is outstanding; `unread` goes along and comes first there. There is a password in it.
    HandOver { conn: ConnId, to: ShardId, unread: Secret },
    /// Find out who the client is. `Event::Authenticated` follows, at whatever time. One question is under way per connection.
    Authenticate { conn: ConnId, ask: Box<Ask> },
    /// There is room in the ring for it: the shard counts the slots that it was told of.
    Mail { to: ShardId, mail: Mail },
    /// Store it, and say when that is done. The next comes only after `Event::Stored`.
    Store(Batch),
    /// Bring back a message from the store. `Event::Fetched` follows, in whatever order.
    Fetch(Fetch),
    /// What others have restored is known here.
    Restored,
    /// For the log.
    Note(Note),
    /// Of a message that is traced.
    Span(Box<Span>),
    /// `Event::Drain` is done: no connection is left and all mail is out.
    Drained,
}

/// How a connection is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// One receive; its bytes decide whether the connection stays on this shard. Asked for again when they do not suffice.
    Once,
    /// Whenever there is something.
    Continuous,
    /// Not at all, until told otherwise. Bytes that are received already are still brought.
    Paused,
    /// As `Paused`; and `Event::Leaving` is brought when the peer has nothing more to say than what is under way already.
    Watched,
}

/// The effects of one tick, and values for sending that go round between shard and runtime.
#[derive(Debug, Default)]
pub struct Effects {
    pub queue: Vec<Effect>,
    spare: Spare,
}

impl Effects {
    pub fn push(&mut self, effect: Effect) {
        self.queue.push(effect);
    }

    /// An empty one, with capacity if one came back lately.
    pub fn outgoing(&mut self) -> Box<Outgoing> {
        self.spare.outgoing()
    }

    /// Takes back what was sent.
    pub fn recycle(&mut self, sent: Box<Outgoing>) {
        self.spare.recycle(sent);
    }
}
