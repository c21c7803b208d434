//! The messages that stand in the store: where, and for how many. A message knows itself by a number, so that all queues that
//! hold it share the entry.

use slab::Slab;

/// Names a message to the store of its shard; on another shard it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyId(u32);

impl BodyId {
    /// Of a message that no store knows.
    pub const NONE: BodyId = BodyId(0);

    fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

#[derive(Default)]
pub(crate) struct Bodies(Slab<Body>);

#[derive(Default)]
struct Body {
    /// Zero until the record is stored.
    place: u64,
    /// Queues that hold the message, and the retained messages.
    holders: u32,
    /// Records that were written and are not stored yet.
    unstored: u32,
}

impl Bodies {
    pub fn add(&mut self, place: u64) -> BodyId {
        let index = self.0.insert(Body { place, ..Body::default() });
        BodyId(u32::try_from(index + 1).expect("a shard keeps fewer than four billion messages"))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Where its record stands; zero if it stands nowhere.
    pub fn place(&self, body: BodyId) -> u64 {
        body.index().and_then(|index| self.0.get(index)).map_or(0, |body| body.place)
    }

    /// Whether its record stands somewhere.
    pub fn is_stored(&self, body: BodyId) -> bool {
        self.place(body) != 0
    }

    /// True: nobody held it before.
    pub fn hold(&mut self, body: BodyId) -> bool {
        let body = self.of(body);
        body.holders += 1;
        body.holders == 1
    }

    /// True: nobody holds it any more.
    pub fn let_go(&mut self, id: BodyId) -> bool {
        let body = self.of(id);
        assert!(body.holders > 0, "who lets go of a message has held it");
        body.holders -= 1;
        let is_free = body.holders == 0;
        self.sweep(id);
        is_free
    }

    /// A record of it is on its way.
    pub fn begin(&mut self, body: BodyId) {
        let body = self.of(body);
        assert!(
            body.place != 0 || body.unstored == 0,
            "one record has all who get a message under its number"
        );
        body.unstored += 1;
    }

    /// A record of it is stored.
    pub fn stored(&mut self, id: BodyId, place: u64) {
        let body = self.of(id);
        body.place = place;
        body.unstored -= 1;
        self.sweep(id);
    }

    /// Forgets it, if it is for nobody.
    pub fn sweep(&mut self, id: BodyId) {
        let Some(index) = id.index() else { return };
        if self.0.get(index).is_some_and(|body| body.holders == 0 && body.unstored == 0) {
            self.0.remove(index);
        }
    }

    /// Forgets all that are for nobody.
    pub fn sweep_all(&mut self) {
        self.0.retain(|_, body| body.holders > 0 || body.unstored > 0);
    }

    fn of(&mut self, body: BodyId) -> &mut Body {
        let index = body.index().expect("only a message with a number is stored");
        &mut self.0[index]
    }
}
