//! What shards say to each other. Between two shards mail arrives in the order in which it was sent.

use std::sync::Arc;

use crate::{
    Bundle, Cause, Handshake, Instant, Message, ShardSet, StoreRoom, Traced, Withdrawals, source::Source,
    store::entry::SessionId,
};

/// One piece of mail. Small, because a ring holds it inline.
#[derive(Debug)]
pub enum Mail {
    /// Publications for the receiver's own subscribers and for its retained store, and what comes of them.
    Bundle(Bundle),
    /// A single publication that is too large for a bundle, for the receiver's own subscribers.
    Publish(Box<Publication>),
    /// For one member of a shared subscription; passed on if nobody here can take it.
    Shared(Box<Shared>),
    /// One that is too large for a bundle, or whose publisher's rights are looked at again when it is given out: for the retained store of its home.
    Retain(Box<Retain>),
    /// A publication of the receiver that the sender has no room to retain, with names that are too long for a bundle.
    NotRetained(Box<NotRetained>),
    /// The sender has subscribers to these filters from now on. Answered with `Announced`.
    Announce(Box<Announce>),
    /// Every publication after this one takes the announcement into account.
    Announced(Box<Announced>),
    /// The sender has announced all that it has restored.
    Restored,
    /// The sender has no subscriber to these filters any more, or fewer members of shared subscriptions.
    Withdraw(Box<Withdrawals>),
    /// Asks for a page of retained messages.
    Replay(Box<Replay>),
    /// A page of retained messages.
    Replayed(Box<Replayed>),
    /// After a start: whose publications the sender still has stored, among the sessions of the receiver. Those that do
    /// not exist any more are answered with `Errand::ReleaseAll`.
    Publishers(Box<[SessionId]>),
    /// What room the sender's store has from now on.
    StoreRoom(StoreRoom),
    /// So many of the receiver's publications at QoS 1 and 2 to the sender, from this one on, are stored where they have to be.
    Confirmed { first: u64, count: u64 },
    /// The sender takes in nothing any more and has sent all of its mail.
    Draining,
}

#[derive(Debug, Clone)]
pub struct Publication {
    pub message: Message,
    /// Set for one that also went to the retained store of its topic: the sender's so manieth to that shard.
    pub number: Option<u64>,
    pub handshake: Option<Handshake>,
    /// None: it is not traced.
    pub traced: Option<Box<Traced>>,
    /// When the turn began that took it in.
    pub begun_at: Instant,
}

#[derive(Debug)]
pub struct Shared {
    pub message: Message,
    /// `$share/group/filter`.
    pub name: Arc<str>,
    /// Who could not take it so far.
    pub tried: ShardSet,
    /// Nobody could take it at once: a queue will do.
    pub to_queue: bool,
    pub handshake: Option<Handshake>,
    /// None: it is not traced.
    pub traced: Option<Box<Traced>>,
    /// When the turn began that took it in.
    pub begun_at: Instant,
}

#[derive(Debug)]
pub struct Announce {
    pub request: u64,
    pub filters: Vec<Box<str>>,
    /// Shared subscriptions that the sender has members of, and how many.
    pub members: Vec<(Arc<str>, u32)>,
}

#[derive(Debug)]
pub struct Announced {
    pub request: u64,
    /// How many retained messages the sender had mailed to each shard by then.
    pub retained_sent: Box<[u64]>,
}

/// A page of retained messages is asked for with what the page has to contain: everything that other shards had mailed
/// when they took note of the subscription. What they publish later they send to the subscriber directly; so between
/// the replay and the live messages there is no gap.
#[derive(Debug)]
pub struct Replay {
    /// The asking shard's name for this replay; comes back in the answer.
    pub replay: u64,
    pub filter: Box<str>,
    /// By shard, how many retained messages the receiver of this mail must have got before it answers.
    pub retained_received: Box<[u64]>,
    /// Topics up to this one were given already.
    pub after: Option<Box<str>>,
    pub messages_max: u32,
}

#[derive(Debug)]
pub struct Replayed {
    pub replay: u64,
    pub messages: Vec<Message>,
    /// Ask again after this topic; none: that was all.
    pub next: Option<Box<str>>,
    /// By shard, how many retained messages the answering one had got from it by then.
    pub retained_received: Box<[u64]>,
}

/// The same as `Errand::Retain`.
#[derive(Debug, Clone)]
pub struct Retain {
    pub message: Message,
    /// The client id of its publisher, if a client has published it.
    pub author: Option<Arc<str>>,
    /// Where its publisher's rights are looked at again.
    pub(crate) source: Option<Arc<Source>>,
}

/// The same as `Errand::NotRetained`.
#[derive(Debug)]
pub struct NotRetained {
    pub author: Box<str>,
    pub topic: Box<str>,
    pub cause: Cause,
}

const _: () = assert!(size_of::<Mail>() <= 24, "a ring slot stays small");
