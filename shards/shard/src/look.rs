//! What somebody outside may ask about clients and what the shard holds for them, and the shape of the answers.
//!
//! Whoever looks changes nothing. Each answer is a bounded piece of work and holds bounded bytes, whatever is asked: what does not fit
//! comes page by page, and a page may be short, or empty, and have a next one nevertheless.

use std::{net::IpAddr, sync::Arc, time::Duration};

use access::Network;
use mqtt::{QoS, SubscriptionOptions, Version};

use crate::{
    Because, Cause, ConnId, Instant, Kept, KeptPart, Message, Pause, PrefixSeen, Pressure, Reached, Recorded,
    ShardId, Traffic, Why,
};

/// A question to one shard.
#[derive(Debug, Clone)]
pub enum Look {
    /// Sessions, connected or not, in no order that means anything.
    Clients { matching: Matching, after: Option<u64>, most: usize },
    /// All about one of them.
    Client { client_id: Box<str>, most: usize },
    /// The last packets of one of them, the oldest first: all, or the messages whose topic matches this filter.
    Packets { client_id: Box<str>, topic_filter: Option<Box<str>> },
    /// How whoever calls itself so comes, and whether it is let in: any shard may have refused it.
    Comings { client_id: Box<str> },
    /// What waits for one of them, the oldest first.
    Queue { client_id: Box<str>, after: Option<u64>, most: usize },
    /// Subscriptions of all sessions, whose filter or client id is so.
    Subscriptions { matching: Matching, filter: Option<Box<str>>, after: Option<u64>, most: usize },
    /// Retained messages that match a topic filter, sorted by topic.
    Retained { filter: Box<str>, after: Option<Box<str>>, most: usize },
    /// What clients have lost; a part of their client ids says which.
    ClientLosses { client_id: Option<Box<str>>, after: Option<u64>, most: usize },
    /// What was lost, by the first levels of topics.
    PrefixLosses { after: Option<u64>, most: usize },
    /// What stands in neither.
    OtherLosses,
    /// Which prefixes of topics are used.
    Prefixes,
    /// How many retained messages or subscriptions there are by prefix: the piece that begins there.
    Kept { kept: Kept, from: Option<Reached> },
    /// Why the client gets a message, or does not.
    WhyReceive(Box<Why>),
    /// Why the client can publish it, or cannot.
    WhyPublish(Box<Why>),
}

/// The answer to a `Look` of the same name.
#[derive(Debug, Clone)]
pub enum Seen {
    Clients(Page<ClientSeen>),
    /// None: no such session is here.
    Client(Option<Box<ClientWhole>>),
    /// None: no such session is here, and none that has ended lately.
    Packets(Option<Box<LastPackets>>),
    Comings(Box<ComingsSeen>),
    /// None, again.
    Queue(Option<QueueSeen>),
    Subscriptions(Page<SubscriptionSeen>),
    Retained {
        messages: Vec<Message>,
        next: Option<Box<str>>,
    },
    ClientLosses(Page<ClientLost>),
    PrefixLosses(Page<PrefixLost>),
    OtherLosses(Box<OtherLosses>),
    Prefixes(Vec<PrefixSeen>),
    Kept(KeptPart),
    Why(Box<Because>),
}

/// Some of what was asked for. It ends where its rows, its bytes or its share of work are used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    /// Where the next page begins. None: there is none.
    pub next: Option<u64>,
}

/// Which sessions. What is not said does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matching {
    /// Stands somewhere in the client id.
    pub client_id: Option<Box<str>>,
    /// The whole user name, also of a client that is away, as far as it is remembered.
    pub user: Option<Box<str>>,
    pub is_connected: Option<bool>,
    /// At least so many messages wait.
    pub queued_least: usize,
}

/// A session and its client in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSeen {
    pub client_id: Arc<str>,
    pub shard: ShardId,
    /// None: the client is away.
    pub link: Option<Link>,
    /// As whom it is here; of a client that is away, as whom it was here last, as far as that is remembered.
    pub user: Option<Arc<str>>,
    /// `u32::MAX` is forever.
    pub session_expiry_s: u32,
    /// Until the session of a client that is away ends, if ever.
    pub ends_in: Option<Duration>,
    pub subscriptions: usize,
    /// Messages that wait to be sent.
    pub queued: usize,
    /// Those of them that the store alone has: they are in no list.
    pub queued_away: usize,
    /// What those that wait are of `session.max_queued_bytes`.
    pub queued_bytes: usize,
    /// Messages that were sent and are not acknowledged.
    pub inflight: usize,
    /// Since the oldest of them was sent for the first time. None: there is none, or it was sent before the broker was started.
    pub inflight_for: Option<Duration>,
    /// QoS 2 messages of the client that it has not released.
    pub unreleased: usize,
    pub will_topic: Option<Box<str>>,
    pub traffic: Traffic,
    /// The limit that it is nearest to.
    pub pressure: Pressure,
    /// Connections of its client id that have ended lately, if they are often. See `BreaksSeen`.
    pub ended: u32,
    /// Of these, because another connection took their place.
    pub taken_over: u32,
}

/// The connection of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub conn: ConnId,
    pub version: Version,
    /// The name of the listener.
    pub listener: Arc<str>,
    pub user: Option<Arc<str>>,
    pub connected_for: Duration,
    pub silent_for: Duration,
    /// 0 is none.
    pub keep_alive_s: u16,
    pub receive_maximum: u16,
    /// Encoded, and not taken by the socket.
    pub unsent_bytes: usize,
    /// Nothing more is read of it until that is over.
    pub pause: Option<Pause>,
}

/// One session with what it holds; of lists that are long, or of long names, the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientWhole {
    pub client: ClientSeen,
    pub subscriptions: Vec<SubscriptionSeen>,
    /// The oldest first. Those that the store alone has are left out.
    pub queue: Vec<Waiting>,
    pub inflight: Vec<Waiting>,
    /// The last packets, the oldest first.
    pub packets: Vec<Recorded>,
    pub losses: Option<ClientLost>,
    /// Of a client that is away, how it left. None: it is here, or that is not known any more.
    pub left: Option<LeftSeen>,
}

/// The last packets of a client, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastPackets {
    /// Of its session, if there is one.
    pub packets: Vec<Recorded>,
    /// Of its session before that.
    pub ended: Option<EndedSeen>,
}

/// A session that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSeen {
    pub ago: Duration,
    pub why: &'static str,
    /// None: not known any more.
    pub left: Option<LeftSeen>,
    pub packets: Vec<Recorded>,
}

/// How a client left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftSeen {
    pub ago: Duration,
    pub why: Box<str>,
    pub user: Option<Arc<str>>,
    /// The name of the listener.
    pub listener: Arc<str>,
}

/// How a client comes, as one shard knows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComingsSeen {
    /// None: only its home knows that, and not for ever.
    pub presence: Option<Presence>,
    /// By its home: since it was let in last.
    pub refused: Option<RefusedSeen>,
    /// None: not often, lately.
    pub breaks: Option<BreaksSeen>,
    /// By its home: those that hold it off.
    pub bans: Vec<BanSeen>,
    pub barred: BarredSeen,
}

/// A ban that holds a client off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BanSeen {
    pub by: BannedBy,
    /// None: it is for ever.
    pub ends_in: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BannedBy {
    ClientId,
    User(Box<str>),
    Address { ip: IpAddr, network: Network },
}

/// Whom bans of addresses hold off, who has said no client id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BarredSeen {
    /// How many are banned.
    pub networks: usize,
    /// How many connections were closed for that, since the start.
    pub closed: u64,
    /// The last of them, by the clock of all shards.
    pub last: Option<Instant>,
}

/// When a client is here, or was here last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Its connection began before that, and not a second earlier.
    Here {
        since: Instant,
    },
    Gone {
        since: Instant,
        until: Instant,
    },
}

/// Whoever calls itself so is not let in. One of the two is there at least.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedSeen {
    /// For what does not pass by itself.
    pub cause: Option<RefusalSeen>,
    /// It was to come again later, whoever it is.
    pub wait: Option<RefusalSeen>,
}

/// How often, and all else of the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalSeen {
    pub count: u64,
    /// By the clock of all shards.
    pub last: Instant,
    pub first_ago: Duration,
    pub last_ago: Duration,
    pub why: Box<str>,
    /// As whom it says that it comes. Of a long name the beginning.
    pub user: Option<Box<str>>,
    /// None over a local socket.
    pub address: Option<IpAddr>,
}

/// Connections of one client id that ended, one after the other, those aside of which the client took its leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreaksSeen {
    /// From the first of them on.
    pub within: Duration,
    pub ended: u32,
    /// Of these, because another connection took their place.
    pub taken_over: u32,
    /// Where those were whose place others took, two at most.
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionSeen {
    pub client_id: Arc<str>,
    /// The whole `$share/group/filter` of a shared one.
    pub filter: Box<str>,
    pub options: SubscriptionOptions,
    /// 0: none.
    pub subscription_id: u32,
}

/// What waits for one client, as far as it is in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSeen {
    pub page: Page<Waiting>,
    /// Messages that the store alone has: they are on no page.
    pub away: usize,
}

/// A message that waits for its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub topic: Box<str>,
    pub qos: QoS,
    pub payload_bytes: usize,
    /// None at QoS 0.
    pub packet_id: Option<u16>,
}

/// Messages that were lost for one cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub cause: Cause,
    /// Where they are told apart by topic. Empty: it is not known. Of a long one the beginning.
    pub topic: Option<Box<str>>,
    pub count: u64,
    pub first_ago: Duration,
    pub last_ago: Duration,
}

/// What was lost since it was last asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreshLoss {
    /// None: it was not known yet whom the messages were for. Without a topic: of clients beyond those that are told apart.
    pub client_id: Option<Box<str>>,
    pub loss: Loss,
}

/// What a client has lost since the broker was started, whatever became of its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientLost {
    pub client_id: Box<str>,
    pub shard: ShardId,
    pub losses: Vec<Loss>,
    /// The same by topic, of the topics that it lost something of last.
    pub topics: Vec<Loss>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixLost {
    /// Empty: the topics are not known.
    pub prefix: Box<str>,
    pub losses: Vec<Loss>,
}

/// So that the sums are those of the counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherLosses {
    /// Of clients that others have taken the place of.
    pub other_clients: Vec<Loss>,
    /// Of messages that operators published and that were not taken in.
    pub of_operators: Vec<Loss>,
    /// Of messages that were for nobody yet, or whose publisher is not known any more.
    pub of_nobody: Vec<Loss>,
    /// Of prefixes that others have taken the place of.
    pub other_prefixes: Vec<Loss>,
}

impl Seen {
    /// Those that are in the answer.
    pub fn connections(&self) -> impl Iterator<Item = ConnId> {
        let (rows, one) = match self {
            Seen::Clients(page) => (&page.rows[..], None),
            Seen::Client(Some(whole)) => (&[][..], Some(&whole.client)),
            _ => (&[][..], None),
        };
        rows.iter().chain(one).filter_map(|client| client.link.as_ref().map(|link| link.conn))
    }
}
