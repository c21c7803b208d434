//! What was said and what was done, and the judgement on it. It sees both ends of every connection: packets as they
//! arrive at a shard and as a shard sends them. It knows nothing of the shards' insides but the placement.

use std::collections::{BTreeMap, BTreeSet};

use mqtt::QoS;
use shard::{Instant, Placement};

use crate::said::{Content, PublicationId};

mod connection;
mod crash;
mod delivery;
mod failure;
mod handshake;
mod outgoing;
mod retained;
mod session;
mod subscription;
mod verdict;
mod will;

pub use connection::{Connection, End};
pub use retained::Write;
pub use verdict::Closing;

use crash::Bequest;
use delivery::{Delivery, OrderKey};
use retained::Retained;
use session::Session;
use subscription::SubscribeRecord;
use will::{PendingWill, VagueWill};

/// One promise of the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Oracle {
    /// A message that is owed arrives, or a counter says why not.
    Lost,
    /// No message arrives more often than its QoS allows.
    Duplicate,
    /// The order of one publisher on one topic is kept.
    Order,
    /// No message reaches somebody who did not ask for it.
    Stranger,
    /// Topic, payload, properties, QoS, retain flag and subscription ids are right.
    Content,
    /// Every acknowledgement that is owed is given.
    AckOwed,
    /// Nothing is acknowledged or answered that was not asked, and packet ids are used as they should.
    Protocol,
    PacketSize,
    ReceiveMaximum,
    AliasMaximum,
    /// Every byte stream decodes.
    Undecodable,
    SessionPresent,
    /// A new subscriber gets the retained message that is valid.
    Retained,
    Will,
    Expiry,
    /// A connection is closed only for a reason.
    Closed,
    /// A connection is closed where there is a reason.
    LeftOpen,
    /// An effect that the contract does not allow.
    Illegal,
    /// Counters do not exceed what can have happened.
    Counters,
    /// What a disk that keeps its word holds is read again without complaint.
    Recovery,
    /// Nothing is acknowledged that is not stored any more.
    Unstored,
    /// A log takes no more room than it may.
    Space,
    /// Nothing is left when everybody is gone.
    Leftover,
    /// The run does not come to rest.
    Stuck,
    Panic,
}

#[derive(Debug, Clone)]
pub struct Failure {
    pub oracle: Oracle,
    pub at: Instant,
    pub step: u64,
    pub what: String,
}

/// A publication and its way into the broker.
#[derive(Debug)]
pub struct Publication {
    pub content: Content,
    /// The session of who published it, or left it as a will.
    publisher: Option<usize>,
    /// Each time that it arrived whole at a shard as a new message.
    pub arrivals: Vec<Arrival>,
    /// The broker has taken it for good.
    pub is_certain: bool,
    /// The broker has answered with an error.
    pub is_refused: bool,
    /// Its publisher sent it again in a session that may be another one.
    pub may_double: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub step: u64,
    /// From this step on the mail that carries it is on its way; later than `step` for a delayed will.
    pub routed: u64,
    pub at: Instant,
    pub shard: usize,
    /// The publisher, or a broker that was restarted, did it once more: those who know of the first need not take it.
    pub is_repeat: bool,
    /// None: it is a will.
    pub socket: Option<usize>,
    pub is_acknowledged: bool,
}

pub struct Ledger {
    pub now: Instant,
    pub step: u64,
    pub placement: Placement,
    pub publications: Vec<Publication>,
    sessions: Vec<Session>,
    /// The newest session of each client id.
    named: BTreeMap<String, usize>,
    connections: BTreeMap<usize, Connection>,
    deliveries: Vec<Delivery>,
    /// By session and publication.
    copies: BTreeMap<(usize, PublicationId), Vec<usize>>,
    last_in_order: BTreeMap<OrderKey, PublicationId>,
    subscribes: Vec<SubscribeRecord>,
    pub retained: Retained,
    /// By session.
    pending_wills: BTreeMap<usize, PendingWill>,
    /// By publication: wills that are published at some time, if they are.
    vague_wills: BTreeMap<PublicationId, VagueWill>,
    /// Steps after which no mail was under way, and when that was.
    quiet: Vec<u64>,
    quiet_at: Vec<Instant>,
    /// Steps at which the whole broker crashed.
    crashes: Vec<u64>,
    bequests: Vec<Bequest>,
    /// The shards are being told to end.
    pub drained: bool,
    /// When the first and the last of them were told, and which were.
    pub drained_at: Instant,
    pub drained_by: Instant,
    pub draining: BTreeSet<usize>,
    /// Whatever was encoded before this has been sent, or waits for its socket.
    pub held_since: Instant,
    /// What is stored outlives the broker.
    pub has_store: bool,
    /// It may refuse what it has no room for.
    pub store_gets_full: bool,
    pub refused_for_want_of_room: u64,
    /// Shards that were told that nothing is stored any more, and at which step.
    failed_stores: BTreeMap<usize, u64>,
    /// Set where a limit on retained messages may have refused some.
    pub retained_is_limited: bool,
    /// Set where a limit on subscriptions may refuse some.
    pub subscriptions_are_limited: bool,
    pub inflight_max: u16,
    /// Only in a broken world: messages are taken to expire at once.
    pub believes_in_haste: bool,
    pub failures: Vec<Failure>,
}

impl Ledger {
    pub fn new(placement: Placement, inflight_max: u16) -> Ledger {
        Ledger {
            now: Instant::START,
            step: 0,
            placement,
            publications: Vec::new(),
            sessions: Vec::new(),
            named: BTreeMap::new(),
            connections: BTreeMap::new(),
            deliveries: Vec::new(),
            copies: BTreeMap::new(),
            last_in_order: BTreeMap::new(),
            subscribes: Vec::new(),
            retained: Retained::default(),
            pending_wills: BTreeMap::new(),
            vague_wills: BTreeMap::new(),
            quiet: Vec::new(),
            quiet_at: Vec::new(),
            crashes: Vec::new(),
            bequests: Vec::new(),
            drained: false,
            drained_at: Instant::START,
            drained_by: Instant::START,
            draining: BTreeSet::new(),
            held_since: Instant::START,
            has_store: false,
            store_gets_full: false,
            refused_for_want_of_room: 0,
            failed_stores: BTreeMap::new(),
            retained_is_limited: false,
            subscriptions_are_limited: false,
            inflight_max,
            believes_in_haste: false,
            failures: Vec::new(),
        }
    }

    pub fn fail(&mut self, oracle: Oracle, what: String) {
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(Failure { oracle, at: self.now, step: self.step, what });
        }
    }

    #[cfg(test)]
    fn oracles(&self) -> Vec<Oracle> {
        self.failures.iter().map(|failure| failure.oracle).collect()
    }

    /// A client is about to publish this.
    pub fn announce(&mut self, content: Content) -> PublicationId {
        let publication = Publication {
            content,
            publisher: None,
            arrivals: Vec::new(),
            is_certain: false,
            is_refused: false,
            may_double: false,
        };
        self.publications.push(publication);
        self.publications.len() - 1
    }

    /// A PUBLISH is whole at a shard.
    pub fn on_publish(&mut self, socket: usize, id: PublicationId, packet_id: Option<u16>) {
        let Some(connection) = self.open_connection(socket) else { return };
        let (session, shard) = (connection.session, connection.shard);
        let qos = self.publications[id].content.qos;
        self.publications[id].publisher = Some(session);
        if let Some(packet_id) = packet_id {
            self.owe_publish(socket, id, packet_id, qos);
        }
        let is_new = match packet_id {
            // A QoS 2 message is one message until its PUBREL, however often it comes.
            Some(packet_id) if qos == QoS::ExactlyOnce => {
                self.sessions[session].inbound.insert(packet_id, false).is_none()
            }
            _ => true,
        };
        // [MQTT-3.3.1-2] After a crash nobody can tell whether the first one counts; the answer to the second says so.
        let is_repeat =
            packet_id.is_some_and(|packet_id| self.sessions[session].inbound_doubtful.remove(&packet_id));
        self.publications[id].may_double |=
            self.sessions[session].is_unclear && !self.publications[id].arrivals.is_empty();
        if is_new {
            self.arrive(id, shard, is_repeat, Some(socket));
            self.publications[id].is_certain |= qos == QoS::AtMostOnce;
        } else if self.sessions[session].is_unclear {
            // To a session that is another one it is new.
            self.arrive(id, shard, true, Some(socket));
        }
    }

    fn arrive(&mut self, id: PublicationId, shard: usize, is_repeat: bool, socket: Option<usize>) {
        let (step, at) = (self.step, self.now);
        let arrival = Arrival { step, routed: step, at, shard, is_repeat, socket, is_acknowledged: false };
        let publication = &mut self.publications[id];
        publication.arrivals.push(arrival);
        let content = &publication.content;
        if content.retain {
            let home = self.placement.topic(&content.topic).index();
            let value = (!content.is_empty).then_some(id);
            let expires_at = content.expiry_s.map(|s| self.now.add_secs(u64::from(s)));
            let latest = (home == shard && !content.is_will).then_some(self.step);
            self.retained.write(
                &content.topic,
                Write {
                    publication: id,
                    begun: self.step,
                    value,
                    from_shard: shard,
                    earliest: self.step,
                    latest,
                    expires_at,
                    // Who knows of the first leaves the second out.
                    is_doubtful: is_repeat,
                },
            );
        }
    }

    /// The session is one of who published this: [MQTT-3.8.3-3] goes by client ids, and a simulated client can have several.
    fn is_own(&self, session: usize, id: PublicationId) -> bool {
        self.publisher(id) == Some(self.sessions[session].first)
    }

    /// The first session of who published this.
    fn publisher(&self, id: PublicationId) -> Option<usize> {
        self.publications[id].publisher.map(|session| self.sessions[session].first)
    }

    /// No mail is under way anywhere, and nothing waits inside a shard to become mail.
    pub fn on_quiet_mesh(&mut self) {
        self.note_quiet();
        self.resolve_wills();
    }

    fn note_quiet(&mut self) {
        self.quiet.push(self.step);
        self.quiet_at.push(self.now);
    }

    /// When everything had arrived that was sent before this step, if that is so.
    fn settled_at(&self, step: u64) -> Option<Instant> {
        self.quiet_at.get(self.quiet.partition_point(|quiet| *quiet < step)).copied()
    }

    /// The first step, from `step` on, at which everything sent before had arrived.
    fn settled(&self, step: u64) -> u64 {
        let at = self.quiet.partition_point(|quiet| *quiet < step);
        self.quiet.get(at).copied().unwrap_or(u64::MAX)
    }

    pub fn describe(&self, id: PublicationId) -> String {
        let content = &self.publications[id].content;
        let kind = if content.is_will { "will" } else { "publication" };
        format!(
            "{kind} #{id} of client {} on {:?} (QoS {})",
            content.author, content.topic, content.qos as u8
        )
    }
}

/// One broken promise leads to many: the first ones tell.
const FAILURES_MAX: usize = 20;

/// Timers are served a little late; within this nobody can tell which came first.
pub const SLACK: std::time::Duration = std::time::Duration::from_millis(20);
