//! The messages that stand in the store: where, and for how many. A message knows itself by a number, so that all queues that
//! hold it share the entry.

use slab::Slab;

use super::topics::{TopicId, Topics};

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

pub(crate) struct Bodies {
    bodies: Slab<Body>,
    topics: Topics,
}

#[derive(Default)]
struct Body {
    /// Zero until the record is stored.
    place: u64,
    /// Queues that hold the message, and the retained messages.
    holders: u32,
    /// Records that were written and are not stored yet.
    unstored: u32,
    /// Known as soon as the store alone has the message.
    topic: TopicId,
}

impl Bodies {
    pub fn new(seed: u64) -> Bodies {
        Bodies { bodies: Slab::new(), topics: Topics::new(seed) }
    }

    /// Of a store that is read.
    pub fn of_read(seed: u64) -> Bodies {
        Bodies { bodies: Slab::new(), topics: Topics::of_read(seed) }
    }

    pub fn add(&mut self, place: u64) -> BodyId {
        let index = self.bodies.insert(Body { place, ..Body::default() });
        BodyId(u32::try_from(index + 1).expect("a shard keeps fewer than four billion messages"))
    }

    pub fn len(&self) -> usize {
        self.bodies.len()
    }

    /// Where its record stands; zero if it stands nowhere.
    pub fn place(&self, body: BodyId) -> u64 {
        self.known(body).map_or(0, |body| body.place)
    }

    /// Whether its record stands somewhere.
    pub fn is_stored(&self, body: BodyId) -> bool {
        self.place(body) != 0
    }

    /// Whether its record stands somewhere. If so, its topic is known from now on.
    pub fn leaves(&mut self, id: BodyId, topic: &str) -> bool {
        let is_stored = self.is_stored(id);
        if is_stored {
            self.name(id, topic);
        }
        is_stored
    }

    fn name(&mut self, id: BodyId, topic: &str) {
        if self.known(id).is_some_and(|body| body.topic == TopicId::NONE) {
            self.of(id).topic = self.topics.hold(topic);
        }
    }

    /// Of a message that the store alone has. Empty where it is not known.
    pub fn topic(&self, id: BodyId) -> &str {
        self.text(self.topic_id(id))
    }

    /// That of a message that the store alone has.
    pub fn topic_id(&self, id: BodyId) -> TopicId {
        self.known(id).map_or(TopicId::NONE, |body| body.topic)
    }

    pub fn text(&self, id: TopicId) -> &str {
        self.topics.text(id)
    }

    pub fn topics_bytes(&self) -> usize {
        self.topics.bytes()
    }

    /// While a store is read: one queue more is owed the message.
    pub fn owe(&mut self, id: BodyId, topic: &str) {
        self.of(id).holders += 1;
        self.name(id, topic);
    }

    /// While a store is read: one queue less is. Of most messages that a log tells of nobody needs the topic at its end.
    pub fn pay(&mut self, id: BodyId) {
        let body = self.of(id);
        body.holders -= 1;
        if body.holders == 0 {
            let topic = std::mem::take(&mut body.topic);
            self.topics.let_go(topic);
        }
    }

    /// Those of a store that was read. Who held them was counted for their topics alone: the queues and the retained messages that
    /// are made of it hold them anew. Where not all topics have room, those of the latest messages are not known.
    pub fn take_over(&mut self, read: Bodies) {
        let Bodies { bodies, topics } = self;
        *bodies = read.bodies;
        topics.take_over(read.topics);
        for (_, body) in bodies.iter_mut().rev() {
            body.holders = 0;
            if !topics.has_room() {
                topics.let_go(std::mem::take(&mut body.topic));
            }
        }
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
        if self.bodies.get(index).is_some_and(Body::is_for_nobody) {
            let body = self.bodies.remove(index);
            self.topics.let_go(body.topic);
        }
    }

    /// Forgets all that are for nobody.
    pub fn sweep_all(&mut self) {
        let Bodies { bodies, topics } = self;
        bodies.retain(|_, body| {
            if body.is_for_nobody() {
                topics.let_go(body.topic);
            }
            !body.is_for_nobody()
        });
    }

    fn of(&mut self, body: BodyId) -> &mut Body {
        let index = body.index().expect("only a message with a number is stored");
        &mut self.bodies[index]
    }

    fn known(&self, body: BodyId) -> Option<&Body> {
        body.index().and_then(|index| self.bodies.get(index))
    }
}

impl Body {
    fn is_for_nobody(&self) -> bool {
        self.holders == 0 && self.unstored == 0
    }
}
