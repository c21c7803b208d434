//! What a shard wants done, in order.

use crate::{ConnId, Mail, Note, Outgoing, ShardId};

/// One thing for the runtime to do.
#[derive(Debug)]
pub enum Effect {
    /// Write all of it. At most one is under way per connection: the next comes only after `Event::Sent`.
    Send { conn: ConnId, bytes: Outgoing },
    /// Close once what was given to `Send` is written or a short while has passed. The shard has forgotten the connection.
    Close { conn: ConnId },
    /// Changes how the connection is read. After `Opened` it is `Once`.
    Read { conn: ConnId, reading: Reading },
    /// Move the connection to its home. No receive is outstanding; `unread` goes along and comes first there.
    HandOver { conn: ConnId, to: ShardId, unread: Vec<u8> },
    /// There is room in the ring for it: the shard counts the slots that it was told of.
    Mail { to: ShardId, mail: Mail },
    /// For the log.
    Note(Note),
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
}

/// The effects of one tick, and buffers that go round between shard and runtime.
#[derive(Debug, Default)]
pub struct Effects {
    pub queue: Vec<Effect>,
    spare: Vec<Vec<u8>>,
}

impl Effects {
    pub fn push(&mut self, effect: Effect) {
        self.queue.push(effect);
    }

    /// An empty buffer, with capacity if one came back lately.
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes back a buffer that was sent.
    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX
            && buffer.capacity() <= SPARE_BUFFER_BYTES_MAX
            && buffer.capacity() > 0
        {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}

/// Together a bound on the memory that an idle shard keeps for sending.
const SPARE_BUFFERS_MAX: usize = 64;
const SPARE_BUFFER_BYTES_MAX: usize = 64 << 10;

const _: () =
    assert!(SPARE_BUFFERS_MAX * SPARE_BUFFER_BYTES_MAX <= 4 << 20, "spare buffers stay below 4 MiB");
