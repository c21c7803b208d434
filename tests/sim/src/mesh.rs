//! The rings between the simulated shards: first in, first out per ordered pair, bounded, slow at random.

use std::collections::VecDeque;

use shard::Mail;

/// What fits one slot of a ring.
#[derive(Debug)]
pub enum Parcel {
    Mail(Mail),
    /// A connection that moves to its home, by its socket.
    Connection(usize),
}

/// The ring from one shard to another.
#[derive(Debug, Default)]
pub struct Ring {
    pub capacity: usize,
    queue: VecDeque<Parcel>,
    /// What the sender was told last, less what it has sent since.
    credit: usize,
    /// A delivery or a word about room is planned already.
    pub mail_due: bool,
    pub room_due: bool,
}

#[derive(Debug)]
pub struct Mesh {
    shards: usize,
    rings: Vec<Ring>,
}

impl Mesh {
    pub fn new(shards: usize, mut capacity: impl FnMut() -> usize) -> Mesh {
        let ring = |capacity| Ring { capacity, ..Ring::default() };
        Mesh { shards, rings: (0..shards * shards).map(|_| ring(capacity())).collect() }
    }

    pub fn ring(&mut self, from: usize, to: usize) -> &mut Ring {
        &mut self.rings[from * self.shards + to]
    }

    /// All that is in the rings is gone.
    pub fn clear(&mut self) {
        for ring in &mut self.rings {
            *ring = Ring { capacity: ring.capacity, ..Ring::default() };
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rings.iter().all(|ring| ring.queue.is_empty())
    }
}

impl Ring {
    /// False if the sender was not told of room for it.
    pub fn push(&mut self, parcel: Parcel) -> bool {
        if self.credit == 0 || self.queue.len() >= self.capacity {
            return false;
        }
        self.credit -= 1;
        self.queue.push_back(parcel);
        true
    }

    pub fn pop(&mut self) -> Option<Parcel> {
        self.queue.pop_front()
    }

    pub fn len(&self) -> usize {
        self.queue.len()
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The number of free slots, as it is told to the sender now.
    pub fn tell_room(&mut self) -> usize {
        self.credit = self.capacity - self.queue.len();
        self.credit
    }

    /// Exchanges the last two pieces of mail, as no ring ever does.
    pub fn swap_last_two(&mut self) -> bool {
        let len = self.queue.len();
        if len < 2 {
            return false;
        }
        self.queue.swap(len - 1, len - 2);
        true
    }

    /// Puts mail in that nobody sent, or back to where it came from, as no ring ever does.
    pub fn force(&mut self, mail: Mail) {
        self.queue.push_back(Parcel::Mail(mail));
        self.capacity = self.capacity.max(self.queue.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_takes_only_what_its_sender_was_told_of() {
        let mut mesh = Mesh::new(2, || 2);
        let ring = mesh.ring(0, 1);
        assert!(!ring.push(Parcel::Connection(1)), "nobody was told of any room");
        assert_eq!(ring.tell_room(), 2);
        assert!(ring.push(Parcel::Connection(2)) && ring.push(Parcel::Mail(Mail::Draining)));
        assert!(!ring.push(Parcel::Connection(3)), "it is full");
        assert!(matches!(ring.pop(), Some(Parcel::Connection(2))));
        assert!(!ring.push(Parcel::Connection(4)), "there is room, but the sender does not know");
        assert_eq!(ring.tell_room(), 1);
        assert!(ring.push(Parcel::Connection(5)));
        assert!(!mesh.is_empty());
    }
}
