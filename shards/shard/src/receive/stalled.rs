//! Who is stalled, and for what: whoever may go on is found without a look at all the others. What is done with them is in `stalling.rs`.

use std::collections::BTreeMap;

use crate::{ConnId, ShardId, post::Taken};

/// All that are stalled.
pub(crate) struct Stalled {
    stands: BTreeMap<ConnId, Stands>,
    /// By what is waited for, in the order in which they go on.
    lines: Vec<BTreeMap<Place, ConnId>>,
    /// How many have come.
    numbers: u64,
}

/// Among those who have taken as much, whoever came first goes on first.
type Place = (Taken, u64);

struct Stands {
    awaited: Awaited,
    number: u64,
}

/// What somebody waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Awaited {
    /// Something of its own, which asks for it by its name when it is there.
    Own,
    /// What a line waits for.
    Line(Line, Taken),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// Room in the ring to this shard.
    Ring(ShardId),
    /// That no ring has too much mail waiting for it.
    Mesh,
    /// Room in the store.
    Store,
}

impl Stalled {
    pub fn new(shards: u8) -> Stalled {
        let lines = vec![BTreeMap::new(); Line::Store.index() + 1 + usize::from(shards)];
        Stalled { stands: BTreeMap::new(), lines, numbers: 0 }
    }

    pub fn len(&self) -> usize {
        self.stands.len()
    }

    pub fn is_empty(&self) -> bool {
        self.stands.is_empty()
    }

    /// It waits for this from now on. Whoever has done so before keeps its place.
    pub fn put(&mut self, conn: ConnId, awaited: Awaited) {
        if self.stands.get(&conn).is_some_and(|stands| stands.awaited == awaited) {
            return;
        }
        self.remove(conn);
        self.numbers += 1;
        let number = self.numbers;
        if let Awaited::Line(line, taken) = awaited {
            self.lines[line.index()].insert((taken, number), conn);
        }
        self.stands.insert(conn, Stands { awaited, number });
    }

    pub fn remove(&mut self, conn: ConnId) {
        if let Some(Stands { awaited: Awaited::Line(line, taken), number }) = self.stands.remove(&conn) {
            self.lines[line.index()].remove(&(taken, number));
        }
    }

    pub fn waits_in(&self, conn: ConnId, line: Line) -> bool {
        let stands = self.stands.get(&conn);
        stands.is_some_and(|stands| matches!(stands.awaited, Awaited::Line(its, _) if its == line))
    }

    /// Takes the first out of its line if it may go on: where it may not, nobody behind it may.
    pub fn next(&mut self, line: Line, may_go_on: impl FnOnce(Taken) -> bool) -> Option<ConnId> {
        let (&(taken, _), &conn) = self.lines[line.index()].first_key_value()?;
        if !may_go_on(taken) {
            return None;
        }
        self.put(conn, Awaited::Own);
        Some(conn)
    }
}

impl Line {
    fn index(self) -> usize {
        match self {
            Line::Mesh => 0,
            Line::Store => 1,
            Line::Ring(to) => 2 + to.index(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RINGS: [Line; 2] = [Line::Ring(ShardId(0)), Line::Ring(ShardId(1))];

    fn conn(slot: usize) -> ConnId {
        ConnId { slot: slot as u32, generation: 1 }
    }

    /// So many for each ring, of whom each has taken a slot more than the one before.
    fn many(count: usize) -> Stalled {
        let mut stalled = Stalled::new(2);
        for n in 0..count {
            let taken = Taken { round: 1, slots: n + 1 };
            stalled.put(conn(2 * n), Awaited::Line(RINGS[0], taken));
            stalled.put(conn(2 * n + 1), Awaited::Line(RINGS[1], taken));
        }
        stalled
    }

    #[test]
    fn whoever_may_not_go_on_is_not_looked_at_however_many_wait() {
        let mut stalled = many(10_000);
        let (mut looks, mut woken) = (0, Vec::new());
        while let Some(conn) = stalled.next(RINGS[1], |taken| {
            looks += 1;
            taken.slots <= 3
        }) {
            woken.push(conn);
            stalled.remove(conn);
        }
        assert_eq!((woken, looks), ([1, 3, 5].map(conn).to_vec(), 4));
        assert_eq!(stalled.next(Line::Mesh, |_| unreachable!("nobody waits for it")), None);
        assert_eq!(stalled.len(), 20_000 - 3);
    }

    #[test]
    fn whoever_took_something_earlier_goes_on_before_those_who_took_little_since() {
        let mut stalled = many(2);
        stalled.put(conn(0), Awaited::Line(RINGS[0], Taken { round: 2, slots: 1 }));
        assert_eq!(stalled.next(RINGS[0], |taken| taken.round < 2), Some(conn(2)));
        assert_eq!(stalled.next(RINGS[0], |taken| taken.round < 2), None);
        assert_eq!(stalled.next(RINGS[0], |taken| taken.slots == 1), Some(conn(0)));
    }

    #[test]
    fn of_those_who_have_taken_as_much_whoever_came_first_goes_on_first() {
        let mut stalled = Stalled::new(2);
        let wait = |round, slots| Awaited::Line(RINGS[0], Taken { round, slots });
        for (slot, round, slots) in
            [(6, 1, 1), (5, 1, 1), (4, 1, 0), (3, 1, 0), (2, 2, 0), (1, 2, 1), (0, 1, 0)]
        {
            stalled.put(conn(slot), wait(round, slots));
        }
        // It waits as before.
        stalled.put(conn(4), wait(1, 0));
        let order: Vec<_> = std::iter::from_fn(|| stalled.next(RINGS[0], |_| true)).collect();
        assert_eq!(order, [4, 3, 0, 6, 5, 2, 1].map(conn));
    }

    #[test]
    fn whoever_waits_for_the_mesh_keeps_its_place_and_goes_to_the_end_when_it_has_gone_on() {
        let mut stalled = Stalled::new(1);
        let wait = Awaited::Line(Line::Mesh, Taken::default());
        for slot in [3, 1, 2, 3, 1] {
            stalled.put(conn(slot), wait);
        }
        assert_eq!(stalled.next(Line::Mesh, |_| true), Some(conn(3)));
        assert!(!stalled.waits_in(conn(3), Line::Mesh));
        stalled.put(conn(3), wait);
        let order: Vec<_> = std::iter::from_fn(|| stalled.next(Line::Mesh, |_| true)).collect();
        assert_eq!(order, [1, 2, 3].map(conn));
        assert_eq!(stalled.len(), 3, "they are stalled until somebody lets them go");
    }
}
