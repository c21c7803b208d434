//! The ledger of lost messages: by client and cause, by topic prefix and cause, with first and last time. It keeps books; who
//! loses what is said in `losing.rs`.
//!
//! Whatever is counted here is counted in the counters as well, and the sums agree: what makes way in a table goes on to count
//! among the others.

mod fresh;
mod recent;

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::{
    Counters, Instant,
    hashing::{Table, hasher},
    look::FreshLoss,
    losing::Unretained,
};
use fresh::Fresh;
use recent::Recent;

macro_rules! causes {
    ($($side:ident: $(#[doc = $text:literal] $name:ident = $word:literal in $counter:ident $(or $of_broker:ident)?,)+)+) => {
        /// Why a message was lost. All who tell of losses go by this list: the ledger, `$SYS`, metrics, the API and what shows it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Cause {
            $($(#[doc = $text] $name,)+)+
        }

        impl Cause {
            pub const ALL: &[Cause] = &[$($(Cause::$name,)+)+];

            pub const fn side(self) -> Side {
                match self {
                    $($(Cause::$name => Side::$side,)+)+
                }
            }

            pub const fn word(self) -> &'static str {
                match self {
                    $($(Cause::$name => $word,)+)+
                }
            }

            /// In a sentence that begins with the message.
            pub const fn text(self) -> &'static str {
                match self {
                    $($(Cause::$name => $text,)+)+
                }
            }

            /// The name of its counter.
            pub const fn counter(self) -> &'static str {
                match self {
                    $($(Cause::$name => stringify!($counter),)+)+
                }
            }

            pub const fn count(self, counters: &Counters) -> u64 {
                match self {
                    $($(Cause::$name => counters.$counter,)+)+
                }
            }

            /// The name of the counter of messages of the broker about itself, where these can be lost by it.
            pub fn broker_counter(self) -> Option<&'static str> {
                match self {
                    $($(Cause::$name => { let [first, ..] = [$(Some(stringify!($of_broker)),)? None]; first })+)+
                }
            }

            fn broker_count_of(self, counters: &Counters) -> Option<u64> {
                match self {
                    $($(Cause::$name => { let [first, ..] = [$(Some(counters.$of_broker),)? None]; first })+)+
                }
            }

            pub(crate) fn broker_count_mut(self, counters: &mut Counters) -> Option<&mut u64> {
                match self {
                    $($(Cause::$name => { let [first, ..] = [$(Some(&mut counters.$of_broker),)? None]; first })+)+
                }
            }

            pub(crate) const fn count_mut(self, counters: &mut Counters) -> &mut u64 {
                match self {
                    $($(Cause::$name => &mut counters.$counter,)+)+
                }
            }
        }
    };
}

impl Cause {
    /// All messages of the broker about itself that were lost, whatever the cause.
    pub(crate) fn broker_count(counters: &Counters) -> u64 {
        Cause::ALL.iter().filter_map(|cause| cause.broker_count_of(counters)).sum()
    }
}

/// Where a message was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// On its way from its publisher: it was not taken in, and was for nobody yet, or was not kept for those who subscribe later.
    /// It counts for its publisher.
    In,
    /// On its way to one of those whom it was for. It counts once for each of them.
    Out,
}

impl Side {
    pub const fn word(self) -> &'static str {
        match self {
            Side::In => "in",
            Side::Out => "out",
        }
    }

    /// All that was lost there, whatever the cause.
    pub fn count(self, counters: &Counters) -> u64 {
        Cause::ALL.iter().filter(|cause| cause.side() == self).map(|cause| cause.count(counters)).sum()
    }
}

causes! {
    Out:
    #[doc = "the client's queue had session.max_queued_messages"]
    QueueMessages = "queue_messages" in dropped_queue_messages or sys_dropped_queue_messages,
    #[doc = "the client's queue had session.max_queued_bytes"]
    QueueBytes = "queue_bytes" in dropped_queue_bytes or sys_dropped_queue_bytes,
    #[doc = "all queues together had limits.max_queue_memory"]
    QueueMemory = "queue_memory" in dropped_queue_memory or sys_dropped_queue_memory,
    #[doc = "the client was away, and the message had QoS 0"]
    OfflineQos0 = "offline_qos0" in dropped_offline_qos0 or sys_dropped_offline_qos0,
    #[doc = "it was encoded for the client, whose connection ended before its socket had taken it, and had QoS 0"]
    Unsent = "unsent" in dropped_unsent or sys_dropped_unsent,
    #[doc = "it expired before it was sent"]
    Expired = "expired" in dropped_expired or sys_dropped_expired,
    #[doc = "it was larger than the client's maximum packet size"]
    PacketTooLarge = "packet_too_large" in dropped_packet_too_large or sys_dropped_packet_too_large,
    #[doc = "its topic is not beneath the mount point of the client's listener"]
    BeyondMount = "beyond_mount" in dropped_beyond_mount or sys_dropped_beyond_mount,
    #[doc = "the ring to another shard was full, and the message had QoS 0"]
    MeshFull = "mesh_full" in dropped_mesh_full or sys_dropped_mesh_full,
    #[doc = "no member of a shared subscription could take it"]
    SharedNobody = "shared_nobody" in dropped_shared_nobody or sys_dropped_shared_nobody,
    #[doc = "an operator purged the queue"]
    Purged = "purged" in dropped_purged or sys_dropped_purged,
    #[doc = "the session ended before its client had it or acknowledged it"]
    SessionEnded = "session_ended" in dropped_session_ended or sys_dropped_session_ended,
    #[doc = "the rules of access do not let the client receive it"]
    Denied = "denied" in dropped_denied or sys_dropped_denied,
    #[doc = "the client refused it with an error in PUBACK or PUBREC"]
    RefusedByClient = "refused_by_client" in dropped_refused_by_client or sys_dropped_refused_by_client,
    In:
    #[doc = "the rules of access do not let the client publish it, because of its topic or its QoS"]
    PublishDenied = "publish_denied" in refused_publish_denied,
    #[doc = "the rules of access do not let the client publish it as a retained one"]
    PublishRetainDenied = "publish_retain_denied" in refused_publish_retain_denied,
    #[doc = "it was a will, and whoever left it may not publish it, is banned or is not let in any more"]
    PublishWillDenied = "publish_will_denied" in refused_publish_will_denied,
    #[doc = "its topic has more levels than router.max_topic_levels, is too long beneath the mount point, or belongs to the server"]
    PublishTopic = "publish_topic" in refused_publish_topic,
    #[doc = "its payload is not the UTF-8 that it says to be (router.validate_payload_format)"]
    PublishFormat = "publish_format" in refused_publish_format,
    #[doc = "the store was full, and the message had QoS 1 or 2"]
    PublishStoreFull = "publish_store_full" in refused_publish_store_full,
    #[doc = "the store had failed, and the message had QoS 1 or 2"]
    PublishStoreFailed = "publish_store_failed" in refused_publish_store_failed,
    #[doc = "it was to be retained, and the shard of its topic had its part of router.retained_message_limit: those who had subscribed got it"]
    PublishRetainMessages = "publish_retain_messages" in refused_publish_retain_messages,
    #[doc = "it was to be retained, and the shard of its topic had its part of router.max_retained_bytes: those who had subscribed got it"]
    PublishRetainBytes = "publish_retain_bytes" in refused_publish_retain_bytes,
    #[doc = "it was to be retained at QoS 0, and the store was full: those who had subscribed got it"]
    PublishRetainStoreFull = "publish_retain_store_full" in refused_publish_retain_store_full,
    #[doc = "it was to be retained at QoS 0, and the store had failed: those who had subscribed got it"]
    PublishRetainStoreFailed = "publish_retain_store_failed" in refused_publish_retain_store_failed,
    #[doc = "it was a will at QoS 1 or 2, and the store was full: those who are connected get it, and it is gone for all others if the broker ends before there is room"]
    PublishWillStoreFull = "publish_will_store_full" in refused_publish_will_store_full,
    #[doc = "it was a will at QoS 1 or 2, and the store had failed: those who are connected get it, and it is gone for all others if the broker ends"]
    PublishWillStoreFailed = "publish_will_store_failed" in refused_publish_will_store_failed,
    #[doc = "the client that published it left while it had to wait for its rates"]
    PublishRate = "publish_rate" in refused_publish_rate,
}

/// Losses for one cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    pub cause: Cause,
    pub count: u64,
    pub first: Instant,
    pub last: Instant,
}

/// One entry for each cause that there is. Mostly there is one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sums(SmallVec<[Lost; 1]>);

/// What one client has lost.
#[derive(Debug, Default)]
pub(crate) struct ClientLosses {
    pub sums: Sums,
    /// The topics of the last ones, as `kept_name` makes them of `TOPIC_BYTES_MAX`.
    pub topics: Vec<(Box<str>, Lost)>,
}

/// In whose books a loss stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// Who misses the message, or has published it.
    Client(&'a str),
    /// An operator has published it.
    Operators,
    /// It was lost before it was known whom it was for, or its publisher is not known any more.
    Nobody,
}

/// One shard's losses.
pub(crate) struct Losses {
    clients: Recent<ClientLosses>,
    prefixes: Recent<Sums>,
    /// Of clients that made way.
    pub other_clients: Sums,
    pub other_prefixes: Sums,
    /// Of messages that operators published and that were not taken in.
    pub of_operators: Sums,
    /// Of messages that were lost before it was known whom they were for, or whose publisher is not known any more.
    pub of_nobody: Sums,
    pub unretained: Unretained,
    /// While somebody asks for them.
    fresh: Option<Box<Fresh>>,
    seed: u64,
}

impl<'a> Owner<'a> {
    /// `author` is empty where the publisher is not known.
    pub fn of_author(author: &'a str) -> Owner<'a> {
        if author.is_empty() { Owner::Nobody } else { Owner::Client(author) }
    }

    pub fn client_id(self) -> Option<&'a str> {
        match self {
            Owner::Client(client_id) => Some(client_id),
            Owner::Operators | Owner::Nobody => None,
        }
    }
}

impl Sums {
    pub fn add(&mut self, lost: Lost) {
        match self.0.iter_mut().find(|held| held.cause == lost.cause) {
            Some(held) => held.join(lost),
            None => self.0.push(lost),
        }
    }

    pub fn add_all(&mut self, other: &Sums) {
        other.0.iter().for_each(|lost| self.add(*lost));
    }

    pub fn iter(&self) -> impl Iterator<Item = &Lost> {
        self.0.iter()
    }
}

impl Lost {
    fn join(&mut self, other: Lost) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

impl ClientLosses {
    fn add(&mut self, topic: &str, lost: Lost) {
        self.sums.add(lost);
        let topic = kept_name(topic, TOPIC_BYTES_MAX);
        let held = self.topics.iter_mut().find(|(held, other)| other.cause == lost.cause && **held == *topic);
        match held {
            Some((_, held)) => held.join(lost),
            None => {
                if self.topics.len() >= TOPICS_MAX {
                    let oldest = (0..self.topics.len()).min_by_key(|at| self.topics[*at].1.last);
                    self.topics.swap_remove(oldest.expect("there are some"));
                }
                self.topics.push((topic.into_owned().into(), lost));
            }
        }
    }
}

impl Losses {
    pub fn new(seed: u64) -> Losses {
        Losses {
            clients: Recent::new(CLIENTS_MAX, hasher(seed, Table::LosingClients)),
            prefixes: Recent::new(PREFIXES_MAX, hasher(seed, Table::LosingPrefixes)),
            other_clients: Sums::default(),
            other_prefixes: Sums::default(),
            of_operators: Sums::default(),
            of_nobody: Sums::default(),
            unretained: Unretained::default(),
            fresh: None,
            seed,
        }
    }

    /// An empty topic is one that is not known.
    pub fn add(&mut self, owner: Owner<'_>, topic: &str, lost: Lost) {
        match owner {
            Owner::Client(client_id) => {
                let others = &mut self.other_clients;
                let evicted = |losses: ClientLosses| others.add_all(&losses.sums);
                let name = kept_name(client_id, CLIENT_ID_BYTES_MAX);
                self.clients.entry(&name, ClientLosses::default, evicted).add(topic, lost);
            }
            Owner::Operators => self.of_operators.add(lost),
            Owner::Nobody => self.of_nobody.add(lost),
        }
        let others = &mut self.other_prefixes;
        let evicted = |sums: Sums| others.add_all(&sums);
        self.prefixes.entry(prefix(topic), Sums::default, evicted).add(lost);
        self.fresh.take_if(|fresh| fresh.is_forgotten(lost.last));
        if let Some(fresh) = &mut self.fresh {
            fresh.add(owner.client_id(), topic, lost);
        }
    }

    /// Those since the last question; none at the first, from which on they are kept for the next.
    pub fn take_fresh(&mut self, now: Instant) -> Vec<FreshLoss> {
        let seed = self.seed;
        self.fresh.take_if(|fresh| fresh.is_forgotten(now));
        self.fresh
            .get_or_insert_with(|| Box::new(Fresh::new(hasher(seed, Table::FreshLosses), now)))
            .take(now)
    }

    pub fn client(&self, client_id: &str) -> Option<&ClientLosses> {
        self.clients.get(&kept_name(client_id, CLIENT_ID_BYTES_MAX))
    }

    /// By position, so that a page can begin where another ended.
    pub fn client_at(&self, at: usize) -> Option<(&str, &ClientLosses)> {
        self.clients.at(at)
    }

    /// Of clients that are kept apart: who published on the topic what was not taken in, or not retained.
    pub fn refused_on(&self, topic: &str) -> impl Iterator<Item = (&str, &Lost)> {
        let topic = kept_name(topic, TOPIC_BYTES_MAX);
        let clients = (0..self.clients.len()).filter_map(|at| self.clients.at(at));
        clients.flat_map(move |(client_id, losses)| {
            let topic = topic.clone();
            let of_topic = losses.topics.iter().filter(move |(held, _)| **held == *topic);
            let refused = of_topic.filter(|(_, lost)| lost.cause.side() == Side::In);
            refused.map(move |(_, lost)| (client_id, lost))
        })
    }

    pub fn prefixes(&self) -> impl Iterator<Item = (&str, &Sums)> {
        (0..self.prefixes.len()).filter_map(|at| self.prefixes.at(at))
    }
}

/// The first levels of a topic.
pub(crate) fn prefix(topic: &str) -> &str {
    let end = topic.match_indices('/').nth(PREFIX_LEVELS - 1).map_or(topic.len(), |(at, _)| at);
    cut(&topic[..end], TOPIC_BYTES_MAX)
}

/// Its beginning, in whole characters.
pub(crate) fn cut(topic: &str, most: usize) -> &str {
    let end = (0..=most.min(topic.len())).rev().find(|end| topic.is_char_boundary(*end));
    &topic[..end.unwrap_or(0)]
}

/// A long name as its beginning and a hash of the whole, so that what begins alike is not taken for the same.
pub(crate) fn kept_name(name: &str, most: usize) -> Cow<'_, str> {
    if name.len() <= most {
        return name.into();
    }
    let hash = ahash::RandomState::with_seeds(17, 18, 19, 20).hash_one(name);
    format!("{}~{hash:016x}", cut(name, most - HASH_BYTES)).into()
}

/// As `kept_name` writes it.
const HASH_BYTES: usize = 17;

/// What is remembered of a client id.
pub(crate) const CLIENT_ID_BYTES_MAX: usize = 256;

/// Levels of a topic by which losses are counted.
pub(crate) const PREFIX_LEVELS: usize = 2;

/// What is remembered of a topic.
pub(crate) const TOPIC_BYTES_MAX: usize = 96;

/// Clients of one shard whose losses are kept apart: some 2 MiB where each of them is short of all kinds of topics.
pub(crate) const CLIENTS_MAX: usize = 2048;

/// Prefixes of one shard whose losses are kept apart.
pub(crate) const PREFIXES_MAX: usize = 1024;

/// Topics of one client, with a cause each.
const TOPICS_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(cause: Cause, count: u64, at: u64) -> Lost {
        Lost { cause, count, first: Instant::from_nanos(at), last: Instant::from_nanos(at) }
    }

    fn total(sums: &Sums) -> u64 {
        sums.iter().map(|lost| lost.count).sum()
    }

    #[test]
    fn prefixes_are_the_first_levels() {
        for (topic, expected) in
            [("a/b/c", "a/b"), ("a/b", "a/b"), ("a", "a"), ("/a/b", "/a"), ("", ""), ("a//", "a/")]
        {
            assert_eq!(prefix(topic), expected, "{topic}");
        }
        let long = "ä".repeat(100);
        assert_eq!(prefix(&long).len(), TOPIC_BYTES_MAX);
        assert_eq!(prefix(&format!("x{long}")).len(), TOPIC_BYTES_MAX - 1, "whole characters");
    }

    #[test]
    fn who_makes_way_counts_among_the_others() {
        let mut losses = Losses::new(1);
        let count = CLIENTS_MAX.max(PREFIXES_MAX) as u64 + 10;
        for n in 0..count {
            losses.add(Owner::Client(&format!("c{n}")), &format!("t{n}/x/y"), lost(Cause::Expired, 1, n));
        }
        losses.add(Owner::Nobody, "", lost(Cause::MeshFull, 5, count));
        let clients: u64 = (0..).map_while(|at| losses.client_at(at)).map(|(_, one)| total(&one.sums)).sum();
        assert_eq!(clients + total(&losses.other_clients), count);
        assert_eq!(total(&losses.of_nobody), 5);
        let prefixes: u64 = losses.prefixes().map(|(_, sums)| total(sums)).sum();
        assert_eq!(prefixes + total(&losses.other_prefixes), count + 5);
        assert_eq!(losses.prefixes().count(), PREFIXES_MAX);
        let first = losses.other_clients.iter().next().expect("some made way");
        assert_eq!((first.first.as_nanos(), first.count), (0, count - CLIENTS_MAX as u64));
    }

    #[test]
    fn of_many_topics_the_last_are_remembered() {
        let mut losses = ClientLosses::default();
        for n in 0..20 {
            losses.add(&format!("t{n}"), lost(Cause::QueueBytes, 1, n));
        }
        losses.add("t19", lost(Cause::QueueBytes, 2, 21));
        assert_eq!((losses.topics.len(), total(&losses.sums)), (TOPICS_MAX, 22));
        assert!(losses.topics.iter().any(|(topic, lost)| **topic == *"t19" && lost.count == 3));
        assert!(losses.topics.iter().all(|(_, lost)| lost.first.as_nanos() >= 12));
    }
    #[test]
    fn of_long_names_no_more_is_kept_than_tells_them_apart() {
        let mut losses = Losses::new(1);
        let long = "ä".repeat(30_000);
        let (one, other) = (format!("{long}1"), format!("{long}2"));
        losses.add(Owner::Client(&one), &format!("t/{one}"), lost(Cause::Expired, 1, 1));
        losses.add(Owner::Client(&one), &format!("t/{other}"), lost(Cause::Expired, 2, 2));
        losses.add(Owner::Client(&other), "t", lost(Cause::Expired, 4, 3));
        let of = |client_id: &str| losses.client(client_id).expect("it has lost something");
        let (held, other) = (of(&one), of(&other));
        assert_eq!((total(&held.sums), total(&other.sums)), (3, 4));
        assert_eq!(held.topics.iter().map(|(_, lost)| lost.count).collect::<Vec<_>>(), [1, 2]);
        assert!(held.topics.iter().all(|(topic, _)| topic.len() <= TOPIC_BYTES_MAX));
        let names: Vec<&str> = (0..).map_while(|at| losses.client_at(at)).map(|(name, _)| name).collect();
        assert!(names.len() == 2 && names.iter().all(|name| name.len() <= CLIENT_ID_BYTES_MAX));
    }
}
