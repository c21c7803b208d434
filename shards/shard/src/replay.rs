//! Retained messages for new subscriptions: asked for page by page from the shards that hold them, as the client
//! takes them, so that a filter that matches a million topics fills no queue.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::{
    Mail, Message, Shard, ShardId,
    announce::Waiting,
    keys::SessionKey,
    mail::{Replay, Replayed},
    router::{Carried, Origin},
    session::Delivery,
    trie::Subscription,
    turn::Turn,
};

/// A subscription that is to get the retained messages that match it.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub filter: Box<str>,
    pub subscription: Subscription,
    /// When the subscription was made, as the shard counts. Every SUBSCRIBE is owed a replay of its own. [MQTT-3.8.4-4]
    pub since: u64,
}

/// What one session still has to get.
#[derive(Default)]
pub(crate) struct Replays {
    list: VecDeque<Source>,
    /// SUBSCRIBEs that other shards have not confirmed yet: their replays will come.
    expected: Vec<(Box<str>, u64)>,
    /// Live messages of this session that are on their way to a retained store as well, by hash of the topic and by the
    /// shard that sent them: the latest of each. A retained message that they replace must not come after them.
    live: HashMap<(u64, ShardId), u64, ahash::RandomState>,
}

/// One shard's part of one subscription's retained messages.
pub(crate) struct Source {
    pub replay: u64,
    shard: ShardId,
    wanted: Wanted,
    retained_received: Box<[u64]>,
    after: Option<Box<str>>,
    /// A page is on its way.
    asked: bool,
    /// Came while the SUBSCRIBE was waiting.
    first_page: Option<Replayed>,
}

/// Who gets a page that was asked for.
#[derive(Clone, Copy)]
pub(crate) enum Asker {
    Session(SessionKey),
    /// A SUBSCRIBE that waits, by its request.
    Subscribe(u64),
}

impl Source {
    pub fn has_page(&self) -> bool {
        self.first_page.is_some()
    }

    fn question(&self) -> Mail {
        Mail::Replay(Box::new(Replay {
            replay: self.replay,
            filter: self.wanted.filter.clone(),
            retained_received: self.retained_received.clone(),
            after: self.after.clone(),
            messages_max: PAGE_MESSAGES,
        }))
    }
}

impl Replays {
    fn expects(&self, wanted: &Wanted) -> bool {
        self.expected.iter().any(|(_, since)| *since == wanted.since)
    }
}

impl Shard {
    /// From the SUBSCRIBE on, live messages are watched for those that overtake their retained predecessors.
    pub(crate) fn expect_replays(&mut self, session: SessionKey, wanted: &mut [Wanted]) {
        for one in wanted {
            one.since = self.next_request();
            let replays = self.sessions[session].replays.get_or_insert_default();
            replays.expected.push((one.filter.clone(), one.since));
        }
    }

    /// Asks the other shards for their first pages, so that they can follow the SUBACK at once: a client sees no difference
    /// to a broker of one shard.
    pub(crate) fn ask_for_first_pages(&mut self, request: u64, turn: &mut Turn<'_>) {
        let Some(waiting) = self.announcements.waiting.get(&request) else { return };
        let mut sources = Vec::new();
        for wanted in waiting.wanted.iter().take(FIRST_PAGES_FILTERS_MAX) {
            for shard in self.sources_of(&wanted.filter).filter(|shard| *shard != self.id) {
                sources.push(Source {
                    replay: 0,
                    shard,
                    wanted: wanted.clone(),
                    retained_received: waiting.retained_received(shard),
                    after: None,
                    asked: true,
                    first_page: None,
                });
            }
        }
        for source in &mut sources {
            source.replay = self.next_request();
            self.replays.insert(source.replay, Asker::Subscribe(request));
            self.post_mail(source.shard, source.question(), turn);
        }
        if let Some(waiting) = self.announcements.waiting.get_mut(&request) {
            waiting.first_pages = sources;
        }
    }

    /// The shards that may hold messages for this filter.
    fn sources_of(&self, filter: &str) -> impl Iterator<Item = ShardId> + use<> {
        let has_wildcard = filter.contains(['+', '#']);
        let home = self.placement.topic(filter);
        (0..self.config.shards).map(ShardId).filter(move |shard| has_wildcard || *shard == home)
    }

    pub(crate) fn begin_replays(&mut self, mut waiting: Waiting, turn: &mut Turn<'_>) {
        let mut first_pages = std::mem::take(&mut waiting.first_pages);
        for wanted in &waiting.wanted {
            let shards: Vec<ShardId> = self.sources_of(&wanted.filter).collect();
            for shard in shards {
                let replay = self.next_request();
                let Some(replays) = self.sessions[waiting.session].replays.as_mut() else { return };
                // Cancelled meanwhile by an UNSUBSCRIBE.
                if !replays.expects(wanted) {
                    break;
                }
                let is_this =
                    |source: &mut Source| source.shard == shard && source.wanted.since == wanted.since;
                let first_page =
                    first_pages.extract_if(.., is_this).next().and_then(|source| source.first_page);
                self.replays.insert(replay, Asker::Session(waiting.session));
                replays.list.push_back(Source {
                    replay,
                    shard,
                    wanted: wanted.clone(),
                    retained_received: waiting.retained_received(shard),
                    after: None,
                    asked: false,
                    first_page: first_page.map(|page| Replayed { replay, ..page }),
                });
            }
            if let Some(replays) = self.sessions[waiting.session].replays.as_mut() {
                replays.expected.retain(|(_, since)| *since != wanted.since);
            }
        }
        self.replay_on(waiting.session, turn);
    }

    /// Gets the next page for a session that has room for it.
    pub(crate) fn replay_on(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let me = self.id;
        while let Some(shard) = self.next_source(key) {
            let source = self.front_source(key).expect("there is a next");
            if let Some(page) = source.first_page.take() {
                self.deliver_page(key, page, turn);
                continue;
            }
            if shard != me {
                source.asked = true;
                let question = source.question();
                self.post_mail(shard, question, turn);
                return;
            }
            let (replay, filter, after) = (source.replay, source.wanted.filter.clone(), source.after.clone());
            let page = self.retained.page(&filter, after.as_deref(), PAGE_MESSAGES as usize, turn.now);
            let retained_received = self.post.retained_received.clone().into_boxed_slice();
            let page = Replayed { replay, messages: page.messages, next: page.next, retained_received };
            self.deliver_page(key, page, turn);
        }
        self.finish_replays(key);
    }

    /// The shard to ask next, if the client can take more and no page is on its way.
    fn next_source(&self, key: SessionKey) -> Option<ShardId> {
        let session = &self.sessions[key];
        let source = session.replays.as_ref()?.list.front()?;
        let connection = self.connections.get(session.conn?)?;
        let limits = &self.config.limits;
        let queued = session.outbound.as_ref().map_or(0, |outbound| outbound.queue.len());
        let has_room = queued <= limits.queued_messages_max as usize / 2
            && connection.unsent_bytes() < limits.outbox_bytes_max;
        (has_room && !source.asked).then_some(source.shard)
    }

    fn front_source(&mut self, key: SessionKey) -> Option<&mut Source> {
        self.sessions[key].replays.as_mut()?.list.front_mut()
    }

    pub(crate) fn on_replay(&mut self, from: ShardId, replay: Box<Replay>, turn: &mut Turn<'_>) {
        if self.has_received(&replay) {
            self.answer_replay(from, &replay, turn);
        } else {
            self.replays_waiting.push((from, replay));
        }
    }

    /// Whether all that the asking shard must not miss has arrived here.
    fn has_received(&self, replay: &Replay) -> bool {
        let received = &self.post.retained_received;
        replay.retained_received.iter().zip(received).all(|(needed, received)| received >= needed)
    }

    fn answer_replay(&mut self, to: ShardId, replay: &Replay, turn: &mut Turn<'_>) {
        let after = replay.after.as_deref();
        let page = self.retained.page(&replay.filter, after, replay.messages_max as usize, turn.now);
        let retained_received = self.post.retained_received.clone().into_boxed_slice();
        let replayed =
            Replayed { replay: replay.replay, messages: page.messages, next: page.next, retained_received };
        self.post_mail(to, Mail::Replayed(Box::new(replayed)), turn);
    }

    pub(crate) fn answer_waiting_replays(&mut self, turn: &mut Turn<'_>) {
        for (from, replay) in std::mem::take(&mut self.replays_waiting) {
            self.on_replay(from, replay, turn);
        }
    }

    pub(crate) fn on_replayed(&mut self, replayed: Replayed, turn: &mut Turn<'_>) {
        match self.replays.get(&replayed.replay) {
            Some(&Asker::Session(key)) => {
                self.deliver_page(key, replayed, turn);
                self.replay_on(key, turn);
            }
            Some(&Asker::Subscribe(request)) => {
                let Some(waiting) = self.announcements.waiting.get_mut(&request) else { return };
                let source = waiting.first_pages.iter_mut().find(|source| source.replay == replayed.replay);
                if let Some(source) = source {
                    source.first_page = Some(replayed);
                }
                self.complete_if_ready(request, turn);
            }
            // A replay that was cancelled has no asker any more.
            None => {}
        }
    }

    fn deliver_page(&mut self, key: SessionKey, replayed: Replayed, turn: &mut Turn<'_>) {
        let Some(replays) = self.sessions[key].replays.as_mut() else { return };
        let Some(at) = replays.list.iter().position(|source| source.replay == replayed.replay) else {
            return;
        };
        let source = &mut replays.list[at];
        source.asked = false;
        let subscription = source.wanted.subscription;
        match replayed.next {
            Some(next) => source.after = Some(next),
            None => {
                replays.list.remove(at);
                self.replays.remove(&replayed.replay);
            }
        }
        for message in replayed.messages {
            if !self.was_overtaken(key, &message, &replayed.retained_received) {
                self.deliver_retained(key, &subscription, &message, turn);
            }
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
        };
        self.deliver(key, &delivery, &mut Carried::of(message), turn);
    }

    /// The session has got a message live that its retained store had not got when it gave this one.
    fn was_overtaken(&self, key: SessionKey, message: &Message, retained_received: &[u64]) -> bool {
        let Some(replays) = self.sessions[key].replays.as_ref() else { return false };
        if replays.live.is_empty() {
            return false;
        }
        let hash = self.placement.hash(message.topic());
        let mut received = (0..).map(ShardId).zip(retained_received);
        received
            .any(|(shard, received)| replays.live.get(&(hash, shard)).is_some_and(|number| number > received))
    }

    /// A message that will replace the retained one of its topic on another shard goes to this session live.
    pub(crate) fn note_for_replays(&mut self, key: SessionKey, topic: &str, origin: Origin) {
        let hash = self.placement.hash(topic);
        if let Some(replays) = self.sessions[key].replays.as_mut()
            && replays.live.len() < LIVE_TOPICS_MAX
        {
            replays.live.insert((hash, origin.shard), origin.number);
        }
    }

    /// The subscription ended or was made anew.
    pub(crate) fn cancel_replays(&mut self, key: SessionKey, filter: &str) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(replays) = session.replays.as_mut() else { return };
        replays.expected.retain(|(expected, _)| &**expected != filter);
        let ids = &mut self.replays;
        replays.list.retain(|source| {
            let stays = &*source.wanted.filter != filter;
            if !stays {
                ids.remove(&source.replay);
            }
            stays
        });
        self.finish_replays(key);
    }

    fn finish_replays(&mut self, key: SessionKey) {
        let session = &mut self.sessions[key];
        if session
            .replays
            .as_ref()
            .is_some_and(|replays| replays.list.is_empty() && replays.expected.is_empty())
        {
            session.replays = None;
        }
    }

    pub(crate) fn forget_replays(&mut self, replays: Replays) {
        for source in replays.list {
            self.replays.remove(&source.replay);
        }
    }
}

/// Of one SUBSCRIBE, that many filters get their first pages with the SUBACK; the others get them after it.
const FIRST_PAGES_FILTERS_MAX: usize = 16;

/// Messages that one page brings at most.
const PAGE_MESSAGES: u32 = 64;

/// Bounds what a session remembers of the topics that change while it gets their retained messages.
const LIVE_TOPICS_MAX: usize = 1 << 16;
