//! The way between two shards and that through the layers as the benches see them. No interface of the runtime: it exists with the feature `bench`
//! alone.

mod layered;

use std::io;

use shard::{Mail, ShardId};

use crate::mesh::{Letter, Mesh, weave};
pub use layered::Layered;

/// Two shards' ends of a mesh, held by one thread.
pub struct Crossing {
    source: Mesh,
    target: Mesh,
    letters: Vec<Letter>,
}

impl Crossing {
    pub fn new() -> io::Result<Crossing> {
        let mut meshes = weave(2, SLOTS)?;
        let (target, source) = (meshes.pop(), meshes.pop());
        let both = source.zip(target).ok_or_else(|| io::Error::other("two shards have two ends"))?;
        Ok(Crossing { source: both.0, target: both.1, letters: Vec::new() })
    }

    /// One shard sends the mail at the end of its tick, and the other takes it all.
    pub fn cross(&mut self, mail: impl IntoIterator<Item = Mail>, mut take: impl FnMut(Mail)) {
        for mail in mail {
            self.source.stage(ShardId(1), Letter::Mail(mail));
        }
        self.source.publish();
        self.target.collect(ShardId(0), &mut self.letters);
        for letter in self.letters.drain(..) {
            if let Letter::Mail(mail) = letter {
                take(mail);
            }
        }
    }
}

const SLOTS: usize = 1024;
