//! The way between shards: one bounded ring for each ordered pair, and a bell for each shard that sleeps.
//!
//! What the mail means is not known here. Mail is staged during a tick and published once at its end.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
};

use rtrb::{Consumer, Producer, RingBuffer};
use shard::{Full, Mail, Secret, ShardId, ShardSet, is_pressed};

use crate::{bell::Bell, connection::Address, control::Depth, door::OpenDoor, layers::Layers};

/// What one slot of a ring holds.
pub(crate) enum Letter {
    Mail(Mail),
    /// A connection on its way home.
    HandOver(Box<Moving>),
}

pub(crate) struct Moving {
    pub socket: OwnedFd,
    pub address: Address,
    pub refuse: Option<Full>,
    pub is_relayed: bool,
    pub door: Arc<OpenDoor>,
    pub layers: Option<Box<Layers>>,
    pub unread: Secret,
}

/// One shard's ends of all rings.
pub(crate) struct Mesh {
    me: ShardId,
    /// By shard; none where it is this one.
    outward: Vec<Option<Outward>>,
    inward: Vec<Option<Consumer<Letter>>>,
    shared: Arc<Shared>,
    /// The shards with mail that is not published yet.
    staged: ShardSet,
    /// The shards whose ring was pressed when this one looked last.
    starving: ShardSet,
}

struct Outward {
    ring: Producer<Letter>,
    staged: Vec<Letter>,
}

/// Wakes one shard for a thread that is none, after it has brought something to where the shard looks.
#[derive(Clone, Debug)]
pub(crate) struct Waker {
    shard: ShardId,
    shared: Arc<Shared>,
}

impl Waker {
    pub fn wake(&self) {
        self.shared.bell(self.shard).ring();
    }
}

/// What all shards see of each other.
#[derive(Debug)]
pub(crate) struct Shared {
    bells: Vec<Bell>,
    /// By producer and consumer: the producer waits for room.
    starving: Vec<AtomicBool>,
}

impl Shared {
    pub fn bell(&self, shard: ShardId) -> &Bell {
        &self.bells[shard.index()]
    }

    fn starving(&self, producer: ShardId, consumer: ShardId) -> &AtomicBool {
        &self.starving[producer.index() * self.bells.len() + consumer.index()]
    }
}

/// The ends of all rings, by shard.
pub(crate) fn weave(shards: u8, slots: usize) -> io::Result<Vec<Mesh>> {
    let bells = (0..shards).map(|_| Bell::new()).collect::<io::Result<Vec<Bell>>>()?;
    let pairs = usize::from(shards) * usize::from(shards);
    let starving = (0..pairs).map(|_| AtomicBool::new(false)).collect();
    let shared = Arc::new(Shared { bells, starving });
    let mut meshes: Vec<Mesh> = (0..shards).map(|shard| Mesh::unconnected(ShardId(shard), &shared)).collect();
    for from in 0..usize::from(shards) {
        for to in (0..usize::from(shards)).filter(|&to| to != from) {
            let (ring, end) = RingBuffer::new(slots.max(1));
            meshes[from].outward[to] = Some(Outward { ring, staged: Vec::new() });
            meshes[to].inward[from] = Some(end);
        }
    }
    Ok(meshes)
}

impl Mesh {
    fn unconnected(me: ShardId, shared: &Arc<Shared>) -> Mesh {
        let shards = shared.bells.len();
        Mesh {
            me,
            outward: (0..shards).map(|_| None).collect(),
            inward: (0..shards).map(|_| None).collect(),
            shared: Arc::clone(shared),
            staged: ShardSet::EMPTY,
            starving: ShardSet::EMPTY,
        }
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Wakes this shard.
    pub fn waker(&self) -> Waker {
        Waker { shard: self.me, shared: Arc::clone(&self.shared) }
    }

    pub fn bell(&self) -> &Bell {
        self.shared.bell(self.me)
    }

    pub fn peers(&self) -> ShardSet {
        let ids = (0..self.outward.len() as u8).map(ShardId);
        ids.filter(|&id| id != self.me).collect()
    }

    /// Keeps the letter for the end of the tick. The shard counts slots, so there is room for it.
    pub fn stage(&mut self, to: ShardId, letter: Letter) {
        self.staged.insert(to);
        outward(&mut self.outward, to).staged.push(letter);
    }

    /// What waits in each ring of this shard's.
    pub fn depths(&self) -> Vec<Depth> {
        let outward = (0..).map(ShardId).zip(&self.outward);
        let depth = |(to, outward): (ShardId, &Option<Outward>)| {
            let ring = &outward.as_ref()?.ring;
            let slots = ring.buffer().capacity();
            Some(Depth { to, letters: slots - ring.slots(), slots })
        };
        outward.filter_map(depth).collect()
    }

    pub fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Makes all staged mail visible, each ring at once, and wakes who sleeps. Says which rings have less room now.
    pub fn publish(&mut self) -> ShardSet {
        let published = std::mem::take(&mut self.staged);
        for to in published.iter() {
            let Outward { ring, staged } = outward(&mut self.outward, to);
            let chunk =
                ring.write_chunk_uninit(staged.len()).expect("the shard sends no more than it has room for");
            chunk.fill_from_iter(staged.drain(..));
            self.shared.bell(to).ring();
        }
        published
    }

    /// The free slots towards a shard. When they are few, the other side will ring once there are more.
    pub fn room(&mut self, to: ShardId) -> usize {
        let mut slots = self.free_slots(to);
        if self.is_pressed(to, slots) && !self.starving.contains(to) {
            self.starving.insert(to);
            self.shared.starving(self.me, to).store(true, Ordering::Relaxed);
            // Set the flag, then look again: the consumer drains first and then looks at the flag.
            fence(Ordering::SeqCst);
            slots = self.free_slots(to);
        }
        if !self.is_pressed(to, slots) && self.starving.contains(to) {
            self.starving.remove(to);
            self.shared.starving(self.me, to).store(false, Ordering::Relaxed);
        }
        slots
    }

    /// The shards whose rings were pressed and are not any more. They count as pressed until `room` is asked.
    pub fn relieved(&mut self) -> ShardSet {
        let starving = self.starving;
        starving.iter().filter(|&to| self.has_relief(to)).collect()
    }

    /// Whether there is something to do, as seen after this shard said that it will sleep.
    pub fn has_news(&mut self) -> bool {
        self.has_staged()
            || self.inward.iter_mut().flatten().any(|ring| !ring.is_empty())
            || !self.relieved().is_empty()
    }

    /// Brings every letter that is there now, and lets producers know that there is room.
    pub fn collect(&mut self, from: ShardId, letters: &mut Vec<Letter>) {
        let Some(ring) = self.inward[from.index()].as_mut() else { return };
        let slots = ring.slots();
        if slots == 0 {
            return;
        }
        let chunk = ring.read_chunk(slots).expect("that many slots were just counted");
        letters.extend(chunk);
        // The other half of `room`: drain, then look at the flag.
        fence(Ordering::SeqCst);
        if self.shared.starving(from, self.me).load(Ordering::Relaxed) {
            self.shared.bell(from).ring();
        }
    }

    fn has_relief(&mut self, to: ShardId) -> bool {
        let free = self.free_slots(to);
        !self.is_pressed(to, free)
    }

    fn is_pressed(&mut self, to: ShardId, free: usize) -> bool {
        is_pressed(free, outward(&mut self.outward, to).ring.buffer().capacity())
    }

    fn free_slots(&mut self, to: ShardId) -> usize {
        let Outward { ring, staged } = outward(&mut self.outward, to);
        let slots = ring.slots();
        assert!(staged.len() <= slots, "the shard sends no more than it has room for");
        slots - staged.len()
    }
}

/// The ring to another shard. Beside the methods, because the caller may hold other parts of the mesh.
fn outward(rings: &mut [Option<Outward>], to: ShardId) -> &mut Outward {
    rings[to.index()].as_mut().expect("a shard has no ring to itself")
}

const _: () = assert!(size_of::<Letter>() <= 32, "a ring slot stays small");

#[cfg(test)]
mod tests {
    use super::*;

    const A: ShardId = ShardId(0);
    const B: ShardId = ShardId(1);

    fn letter(request: u64) -> Letter {
        Letter::Mail(Mail::Confirmed { first: request, count: 1 })
    }

    fn requests(mesh: &mut Mesh, from: ShardId) -> Vec<u64> {
        let mut letters = Vec::new();
        mesh.collect(from, &mut letters);
        let request = |letter: &Letter| match letter {
            Letter::Mail(Mail::Confirmed { first, .. }) => *first,
            _ => panic!("no other mail was sent"),
        };
        letters.iter().map(request).collect()
    }

    #[test]
    fn letters_arrive_in_order_once_they_are_published() {
        let mut meshes = weave(2, 4).expect("two bells can be made");
        meshes[0].stage(B, letter(1));
        meshes[0].stage(B, letter(2));
        assert_eq!(meshes[0].room(B), 2);
        assert_eq!(requests(&mut meshes[1], A), []);
        assert_eq!(meshes[0].publish(), [B].into_iter().collect());
        assert_eq!(requests(&mut meshes[1], A), [1, 2]);
        assert_eq!(meshes[0].room(B), 4);
    }

    #[test]
    fn a_ring_with_few_slots_is_relieved_when_the_other_side_has_drained_it() {
        let mut meshes = weave(2, 4).expect("two bells can be made");
        meshes[0].stage(B, letter(1));
        meshes[0].publish();
        assert_eq!(meshes[0].room(B), 3);
        assert_eq!(requests(&mut meshes[1], A), [1]);
        assert!(meshes[0].relieved().is_empty(), "a quarter of it was taken, and no more");
        (1..=2).for_each(|request| meshes[0].stage(B, letter(request)));
        meshes[0].publish();
        assert_eq!(meshes[0].room(B), 2);
        assert!(meshes[0].relieved().is_empty());
        assert!(!meshes[0].has_news());
        assert_eq!(requests(&mut meshes[1], A), [1, 2]);
        assert!(meshes[0].has_news());
        assert_eq!(meshes[0].relieved(), [B].into_iter().collect());
        assert_eq!(meshes[0].room(B), 4);
        assert!(meshes[0].relieved().is_empty());
    }

    #[test]
    fn a_ring_of_one_slot_is_relieved_when_the_other_side_has_drained_it() {
        let mut meshes = weave(2, 1).expect("two bells can be made");
        meshes[0].stage(B, letter(1));
        meshes[0].publish();
        assert_eq!(meshes[0].room(B), 0);
        assert!(meshes[0].relieved().is_empty());
        assert!(!meshes[0].has_news());
        assert_eq!(requests(&mut meshes[1], A), [1]);
        assert!(meshes[0].has_news());
        assert_eq!(meshes[0].relieved(), [B].into_iter().collect());
        assert_eq!(meshes[0].room(B), 1);
        assert!(meshes[0].relieved().is_empty());
    }
}
