//! What is known of whom a connection belongs to beside what was granted: what is still being asked, and what follows from the grant.

use std::sync::Arc;

use crate::{Instant, Limits, Secret, meters::Meters, permission::Held, source::Source};

/// Of a connection that somebody is asked about or may be asked about again, or that rules or rates apply to. All others have none.
#[derive(Default)]
pub(crate) struct Standing {
    /// The frame of the CONNECT, while it waits: it is decoded again when it goes on.
    pub connect: Secret,
    /// Said in CONNECT, for the whole life of the connection. [MQTT-4.12.0-5]
    pub method: Option<Box<str>>,
    /// The grant ends.
    pub ends_at: Option<Instant>,
    pub talk: Talk,
    /// When it became what it is.
    pub talk_since: Instant,
    /// The earliest timer that is set.
    pub armed: Option<Instant>,
    /// What stands before its client's topics, as the listener had it when it connected.
    pub mount: Option<Arc<str>>,
    /// As retained messages name it.
    pub source: Option<Arc<Source>>,
    /// Its part of the rules, where there are any.
    pub held: Option<Box<Held>>,
    /// What it has used of the rates that it is held to.
    pub meters: Option<Box<Meters>>,
}

/// Whose turn it is.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Talk {
    /// Nothing is being asked.
    #[default]
    Over,
    /// Somebody was asked and has not answered.
    Asked,
    /// The client has to answer.
    Challenged { ticket: u64 },
}

impl Standing {
    pub fn begin(&mut self, talk: Talk, now: Instant) {
        self.talk = talk;
        self.talk_since = now;
    }

    /// Whoever's turn it is has taken too long then.
    pub fn talk_ends_at(&self, limits: &Limits) -> Option<Instant> {
        match self.talk {
            Talk::Over => None,
            Talk::Asked => Some(self.talk_since + limits.answer_timeout),
            Talk::Challenged { .. } => Some(self.talk_since + limits.connect_timeout),
        }
    }

    /// Nothing of it will be asked for again.
    pub fn is_empty(&self) -> bool {
        let is_said = self.talk == Talk::Over && self.method.is_none() && self.ends_at.is_none();
        let follows = self.mount.is_some() || self.source.is_some() || self.held.is_some();
        is_said && !follows && self.meters.is_none()
    }

    /// The next thing that time does to it.
    pub fn due_at(&self, limits: &Limits) -> Option<Instant> {
        [self.talk_ends_at(limits), self.ends_at].into_iter().flatten().min()
    }
}
