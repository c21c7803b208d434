//! Values for sending that are not in use: what has gone out of one connection comes back for the next, with its memory.

use crate::Outgoing;

#[derive(Debug, Default)]
pub struct Spare {
    /// The boxes themselves go round, not only what they hold.
    #[allow(clippy::vec_box)]
    values: Vec<Box<Outgoing>>,
    /// Capacity of all of them.
    bytes: usize,
}

impl Spare {
    /// An empty one, with capacity if one came back lately.
    pub fn outgoing(&mut self) -> Box<Outgoing> {
        let Some(spare) = self.values.pop() else { return Box::default() };
        self.bytes -= spare.capacity();
        spare
    }

    /// Takes back what was sent.
    pub fn recycle(&mut self, mut sent: Box<Outgoing>) {
        let bytes = self.bytes + sent.capacity();
        if self.values.len() < SPARE_MAX && bytes <= SPARE_BYTES_MAX {
            sent.clear();
            self.bytes = bytes;
            self.values.push(sent);
        }
    }
}

/// Bounds on what an idle shard keeps for sending: as many as a tick serves, while their messages are small.
const SPARE_MAX: usize = 1024;
const SPARE_BYTES_MAX: usize = 4 << 20;
