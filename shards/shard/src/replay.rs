//! Retained messages for new subscriptions: asked for page by page from the shards that hold them, as the client
//! takes them, so that a filter that matches a million topics fills no queue, and one that matches none of them keeps
//! the shard for a few pages' time and not more.

mod overtaken;
mod pages;

use std::{collections::VecDeque, sync::Arc};

use hashbrown::HashMap;

use self::overtaken::Live;
pub(crate) use self::pages::REPLAY_PAGES_PER_TICK;
use crate::{
    Message, Placement, Shard, ShardId, announce::Waiting, keys::SessionKey, mail::Replayed, router::Carried,
    session::Delivery, shard::Deadline, trie::Subscription, turn::Turn,
};

/// A subscription that is to get the retained messages that match it.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub filter: Box<str>,
    pub subscription: Subscription,
}

/// What one session still has to get. Every SUBSCRIBE is owed a replay of its own. [MQTT-3.8.4-4]
#[derive(Default)]
pub(crate) struct Replays {
    owed: VecDeque<Owed>,
    /// SUBSCRIBEs that other shards have not confirmed yet: their replays will come.
    expected: Vec<u64>,
    /// Filters that the session gave up meanwhile, and when: what was owed for them before is not owed any more.
    cancelled: HashMap<Box<str>, u64, ahash::RandomState>,
    /// A timer will go on with this session.
    scheduled: bool,
    /// Live messages of this session that go to a retained store as well, by hash of the topic and by the shard that sent
    /// them: the latest of each. They do not come again from the store, and what they replace does not come after them.
    live: HashMap<(u64, ShardId), Live, ahash::RandomState>,
}

/// One subscription's retained messages; the shards are asked one after the other.
struct Owed {
    wanted: Wanted,
    /// The moment of the SUBSCRIBE: what came live before it is owed again.
    since: u64,
    /// By answering shard, how many retained messages it had mailed to each shard when it knew of the subscription.
    retained_sent: Arc<[Box<[u64]>]>,
    first_pages: Vec<FirstPage>,
    shard: ShardId,
    after: Option<Box<str>>,
    /// The page that is on its way.
    asked: Option<u64>,
    /// Of the last page, what the client has no room for yet.
    ready: VecDeque<Message>,
    /// How many retained messages of each shard the store had got when it gave that page.
    ready_received: Box<[u64]>,
    /// The last page of this shard is here.
    is_last: bool,
}

/// A page that was asked for while the SUBSCRIBE was waiting.
pub(crate) struct FirstPage {
    replay: u64,
    shard: ShardId,
    /// Which of the wanted filters.
    wanted: usize,
    page: Option<Replayed>,
}

/// Who gets a page that was asked for.
#[derive(Clone, Copy)]
pub(crate) enum Asker {
    Session(SessionKey),
    /// A SUBSCRIBE that waits, by its request.
    Subscribe(u64),
}

/// What to do for the first that is owed.
enum Step {
    /// Nothing is to be had there.
    Next,
    /// Of what is here.
    Deliver,
    Take(Replayed),
    Read,
    Ask(ShardId),
    Wait,
}

impl FirstPage {
    pub fn is_here(&self) -> bool {
        self.page.is_some()
    }
}

impl Replays {
    pub fn len(&self) -> usize {
        self.owed.len()
    }

    fn weight(&self) -> usize {
        let owed: usize = self.owed.iter().map(Owed::weight).sum();
        let cancelled: usize = self.cancelled.keys().map(|filter| filter.len() + LIVE_TOPIC_BYTES).sum();
        owed + cancelled + self.live.len() * LIVE_TOPIC_BYTES
    }

    fn is_done(&self) -> bool {
        self.owed.is_empty() && self.expected.is_empty()
    }
}

impl Shard {
    /// From the SUBSCRIBE on, live messages are watched for those that overtake their retained predecessors. The answer is
    /// this SUBSCRIBE's name.
    pub(crate) fn expect_replays(&mut self, session: SessionKey) -> u64 {
        let token = self.next_request();
        self.sessions[session].replays.get_or_insert_default().expected.push(token);
        token
    }

    /// The SUBSCRIBE has come to its end. Tokens are unique: a session that got the key later does not know this one.
    pub(crate) fn stop_expecting(&mut self, session: SessionKey, token: u64) {
        if let Some(replays) = self.sessions.get_mut(session).and_then(|session| session.replays.as_mut()) {
            replays.expected.retain(|expected| *expected != token);
            self.finish_replays(session);
        }
    }

    pub(crate) fn begin_replays(&mut self, waiting: Waiting, turn: &mut Turn<'_>) {
        let retained_sent: Arc<[Box<[u64]>]> = waiting.retained_sent.into();
        let mut first_pages = waiting.first_pages.into_iter().peekable();
        for (at, wanted) in waiting.wanted.into_iter().enumerate() {
            let mut owed = Owed {
                wanted,
                since: waiting.token.unwrap_or(0),
                retained_sent: retained_sent.clone(),
                first_pages: Vec::new(),
                shard: ShardId(0),
                after: None,
                asked: None,
                ready: VecDeque::new(),
                ready_received: Box::default(),
                is_last: false,
            };
            while let Some(page) = first_pages.next_if(|page| page.wanted == at) {
                owed.first_pages.push(page);
            }
            if let Some(replays) = self.sessions[waiting.session].replays.as_mut() {
                self.totals.session_bytes += owed.weight();
                replays.owed.push_back(owed);
            }
        }
        self.replay_on(waiting.session, turn);
    }

    /// Goes on with a session that has room for more, as far as the pages of this tick reach.
    pub(crate) fn replay_on(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        if self.sessions[key].replays.is_none() {
            return;
        }
        while self.has_room_for_page(key) {
            match self.next_step(key) {
                Step::Next => self.next_shard(key),
                Step::Wait => return,
                Step::Deliver => self.deliver_next(key, turn),
                Step::Take(page) => self.keep_page(key, page),
                Step::Ask(shard) => {
                    self.ask_for_page(key, shard, turn);
                    return;
                }
                Step::Read => match self.replay_pages.checked_sub(1) {
                    Some(left) => {
                        self.replay_pages = left;
                        self.read_page(key, turn);
                    }
                    None => {
                        self.schedule_replay(key, turn);
                        return;
                    }
                },
            }
        }
        self.finish_replays(key);
    }

    fn has_room_for_page(&self, key: SessionKey) -> bool {
        let session = &self.sessions[key];
        let Some(connection) = session.conn.and_then(|conn| self.connections.get(conn)) else { return false };
        let limits = &self.config.limits;
        let queued = session.outbound.as_ref().map_or(0, |outbound| outbound.queue.len());
        session.replays.as_ref().is_some_and(|replays| !replays.owed.is_empty())
            && queued <= limits.queued_messages_max as usize / 2
            && queued < limits.queued_messages_max as usize
            && connection.unsent_bytes() < limits.outbox_bytes_max
    }

    fn next_step(&mut self, key: SessionKey) -> Step {
        let me = self.id;
        let Some(replays) = self.sessions[key].replays.as_mut() else { return Step::Wait };
        let Some(owed) = replays.owed.front_mut() else { return Step::Wait };
        let (shard, filter) = (owed.shard, &owed.wanted.filter);
        // An UNSUBSCRIBE came in between, even if the filter is there again.
        if replays.cancelled.get(filter).is_some_and(|moment| *moment > owed.since) {
            return Step::Next;
        }
        if !owed.ready.is_empty() {
            return Step::Deliver;
        }
        if owed.asked.is_some() {
            return Step::Wait;
        }
        if owed.is_last || !is_source(&self.placement, shard, filter) {
            return Step::Next;
        }
        let is_first = owed.after.is_none();
        if is_first && let Some(at) = owed.first_pages.iter().position(|page| page.shard == shard) {
            return owed.first_pages.remove(at).page.map_or(Step::Next, Step::Take);
        }
        if shard == me { Step::Read } else { Step::Ask(shard) }
    }

    /// Turns to the next shard of the first that is owed, or to the next that is owed.
    fn next_shard(&mut self, key: SessionKey) {
        let shards = self.config.shards;
        let Some(replays) = self.sessions[key].replays.as_mut() else { return };
        let Some(owed) = replays.owed.front_mut() else { return };
        owed.after = None;
        owed.ready.clear();
        owed.asked = None;
        owed.is_last = false;
        owed.shard.0 += 1;
        if owed.shard.0 >= shards
            && let Some(owed) = replays.owed.pop_front()
        {
            self.totals.session_bytes -= owed.weight();
        }
    }

    /// The pages of this tick are used up: the next tick goes on.
    fn schedule_replay(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let Some(replays) = self.sessions[key].replays.as_mut() else { return };
        if !replays.scheduled {
            replays.scheduled = true;
            self.timers.insert(turn.next_instant(), Deadline::Replay(key));
        }
    }

    pub(crate) fn on_replay_deadline(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let Some(replays) = self.sessions.get_mut(key).and_then(|session| session.replays.as_mut()) else {
            return;
        };
        replays.scheduled = false;
        self.replay_on(key, turn);
        if let Some(conn) = self.sessions.get(key).and_then(|session| session.conn) {
            self.resume(conn, turn);
        }
    }

    fn deliver_next(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let Some(owed) = front(&mut self.sessions[key].replays) else { return };
        let subscription = owed.wanted.subscription;
        // A live message may have replaced it while it was ready and the client had no room.
        if let Some(message) = owed.ready.pop_front()
            && !self.is_superfluous(key, &message)
        {
            self.deliver_retained(key, &subscription, &message, turn);
        }
    }

    fn deliver_retained(
        &mut self,
        key: SessionKey,
        subscription: &Subscription,
        message: &Message,
        turn: &mut Turn<'_>,
    ) {
        let id = [subscription.subscription_id];
        let delivery = Delivery {
            qos: subscription.options.qos.min(message.qos()),
            retain: true,
            subscription_ids: if subscription.subscription_id == 0 { &[] } else { &id },
            topic: None,
        };
        // In a queue that is stored it is a message of its own.
        if self.is_kept(key) {
            let mut carried = Carried::new(message.parts());
            carried.begin_block(self.store.new_body());
            self.deliver(key, &delivery, &mut carried, turn);
            self.keep_message(&mut carried);
        } else {
            self.deliver(key, &delivery, &mut Carried::of(message), turn);
        }
    }

    fn finish_replays(&mut self, key: SessionKey) {
        if self.sessions[key].replays.as_ref().is_some_and(|replays| replays.is_done()) {
            self.drop_replays(key);
        }
    }

    /// A session without a connection gets the rest when it has one again; a page that is on its way is asked for anew.
    pub(crate) fn interrupt_replays(&mut self, key: SessionKey) {
        let Some(replays) = self.sessions[key].replays.as_mut() else { return };
        replays.expected.clear();
        if let Some(asked) = replays.owed.front_mut().and_then(|owed| owed.asked.take()) {
            self.replays.remove(&asked);
        }
        self.finish_replays(key);
    }

    /// The session gives up the filter.
    pub(crate) fn cancel_replays(&mut self, key: SessionKey, filter: &str) {
        let moment = self.next_request();
        let Some(replays) = self.sessions.get_mut(key).and_then(|session| session.replays.as_mut()) else {
            return;
        };
        if replays.cancelled.insert(filter.into(), moment).is_none() {
            self.totals.session_bytes += filter.len() + LIVE_TOPIC_BYTES;
        }
    }

    pub(crate) fn drop_replays(&mut self, key: SessionKey) {
        let Some(replays) = self.sessions[key].replays.take() else { return };
        self.totals.session_bytes -= replays.weight();
        if let Some(asked) = replays.owed.front().and_then(|owed| owed.asked) {
            self.replays.remove(&asked);
        }
    }
}

impl Owed {
    fn weight(&self) -> usize {
        self.wanted.filter.len() + size_of::<Owed>()
    }
}

/// Whether the shard may hold messages for this filter.
fn is_source(placement: &Placement, shard: ShardId, filter: &str) -> bool {
    filter.contains(['+', '#']) || placement.topic(filter) == shard
}

fn front(replays: &mut Option<Box<Replays>>) -> Option<&mut Owed> {
    replays.as_mut()?.owed.front_mut()
}

/// What each of them costs, in the budget for sessions.
const LIVE_TOPIC_BYTES: usize = 48;
