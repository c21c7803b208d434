//! Turns of a shard by hand: what came in meanwhile comes at once.

use std::{collections::VecDeque, time::Duration};

use shard::{Event, ShardId};

use super::Script;

impl Script {
    /// One turn of one shard: all mail that is there for it, what is due, and no more.
    pub fn turn(&mut self, shard: usize) {
        self.now = self.now + Duration::from_nanos(1);
        let (here, elsewhere): (VecDeque<_>, VecDeque<_>) =
            self.mail.drain(..).partition(|(_, to, _)| *to == shard);
        self.mail = elsewhere;
        for (from, to, mail) in here {
            self.event(to, Event::Mail { from: ShardId(from as u8), mail });
        }
        self.event(shard, Event::Timer);
        self.event(shard, Event::Flush);
    }
}
