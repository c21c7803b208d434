//! Retained messages for new subscriptions: asked for page by page from the shards that hold them, as the client
//! takes them, so that a filter that matches a million topics fills no queue.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::{
    Mail, Message, Shard, ShardId,
    announce::Waiting,
    keys::SessionKey,
    mail::{Replay, Replayed},
    router::Carried,
    session::Delivery,
    trie::Subscription,
    turn::Turn,
};

/// A subscription that is to get the retained messages that match it.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub filter: Box<str>,
    pub subscription: Subscription,
}

/// What one session still has to get.
#[derive(Default)]
pub(crate) struct Replays {
    list: VecDeque<Source>,
    /// SUBSCRIBEs that other shards have not confirmed yet: their replays will come.
    expected: Vec<(Box<str>, u64)>,
    /// Topics whose message was replaced while this goes on, by hash, with the time of it: the replaced message must not
    /// come after the one that replaced it.
    live: HashMap<u64, u64, ahash::RandomState>,
    /// Counts what happens, as the time of `live`.
    moment: u64,
}

/// One shard's part of one subscription's retained messages.
struct Source {
    replay: u64,
    shard: ShardId,
    wanted: Wanted,
    /// When the subscription was made.
    since: u64,
    retained_received: Box<[u64]>,
    after: Option<Box<str>>,
    /// A page is on its way.
    asked: bool,
}

impl Shard {
    /// From the SUBSCRIBE on, live messages are watched for those that overtake their retained predecessors.
    pub(crate) fn expect_replays(&mut self, session: SessionKey, wanted: &[Wanted]) {
        if wanted.is_empty() {
            return;
        }
        let replays = self.sessions[session].replays.get_or_insert_default();
        replays.moment += 1;
        for one in wanted {
            replays.expected.retain(|(filter, _)| *filter != one.filter);
            replays.expected.push((one.filter.clone(), replays.moment));
        }
    }

    pub(crate) fn begin_replays(&mut self, waiting: &Waiting, turn: &mut Turn<'_>) {
        for wanted in &waiting.wanted {
            let has_wildcard = wanted.filter.contains(['+', '#']);
            let home = self.placement.topic(&wanted.filter);
            let shards = (0..self.config.shards).map(ShardId).filter(|shard| has_wildcard || *shard == home);
            for shard in shards {
                let replay = self.next_request();
                let Some(replays) = self.sessions[waiting.session].replays.as_mut() else { return };
                // Cancelled meanwhile by an UNSUBSCRIBE, or begun anew by another SUBSCRIBE.
                let expected = replays.expected.iter().find(|(filter, _)| *filter == wanted.filter);
                let Some((_, since)) = expected else { break };
                self.replays.insert(replay, waiting.session);
                replays.list.push_back(Source {
                    replay,
                    shard,
                    wanted: wanted.clone(),
                    since: *since,
                    retained_received: waiting.retained_received(shard),
                    after: None,
                    asked: false,
                });
            }
            if let Some(replays) = self.sessions[waiting.session].replays.as_mut() {
                replays.expected.retain(|(filter, _)| *filter != wanted.filter);
            }
        }
        self.replay_on(waiting.session, turn);
    }

    /// Gets the next page for a session that has room for it.
    pub(crate) fn replay_on(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        while let Some(shard) = self.next_source(key) {
            if shard != self.id {
                self.ask_for_page(key, shard, turn);
                return;
            }
            let source = self.front_source(key).expect("there is a next");
            let (replay, filter, after) = (source.replay, source.wanted.filter.clone(), source.after.clone());
            let page = self.retained.page(&filter, after.as_deref(), PAGE_MESSAGES as usize, turn.now);
            self.deliver_page(key, Replayed { replay, messages: page.messages, next: page.next }, turn);
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

    fn ask_for_page(&mut self, key: SessionKey, shard: ShardId, turn: &mut Turn<'_>) {
        let Some(source) = self.front_source(key) else { return };
        source.asked = true;
        let replay = Replay {
            replay: source.replay,
            filter: source.wanted.filter.clone(),
            retained_received: source.retained_received.clone(),
            after: source.after.clone(),
            messages_max: PAGE_MESSAGES,
        };
        self.post_mail(shard, Mail::Replay(Box::new(replay)), turn);
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
        let replayed = Replayed { replay: replay.replay, messages: page.messages, next: page.next };
        self.post_mail(to, Mail::Replayed(Box::new(replayed)), turn);
    }

    pub(crate) fn answer_waiting_replays(&mut self, turn: &mut Turn<'_>) {
        for (from, replay) in std::mem::take(&mut self.replays_waiting) {
            self.on_replay(from, replay, turn);
        }
    }

    pub(crate) fn on_replayed(&mut self, replayed: Replayed, turn: &mut Turn<'_>) {
        // A replay that was cancelled has no owner any more.
        let Some(&key) = self.replays.get(&replayed.replay) else { return };
        self.deliver_page(key, replayed, turn);
        self.replay_on(key, turn);
    }

    fn deliver_page(&mut self, key: SessionKey, replayed: Replayed, turn: &mut Turn<'_>) {
        let Some(replays) = self.sessions[key].replays.as_mut() else { return };
        let Some(at) = replays.list.iter().position(|source| source.replay == replayed.replay) else {
            return;
        };
        let source = &mut replays.list[at];
        source.asked = false;
        let (since, subscription) = (source.since, source.wanted.subscription);
        match replayed.next {
            Some(next) => source.after = Some(next),
            None => {
                replays.list.remove(at);
                self.replays.remove(&replayed.replay);
            }
        }
        for message in replayed.messages {
            if !self.was_overtaken(key, &message, since) {
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

    fn was_overtaken(&self, key: SessionKey, message: &Message, since: u64) -> bool {
        let Some(replays) = self.sessions[key].replays.as_ref() else { return false };
        let hash = self.placement.hash(message.topic());
        replays.live.get(&hash).is_some_and(|moment| *moment >= since)
    }

    /// A message that replaces the retained one of its topic goes to this session live.
    pub(crate) fn note_for_replays(&mut self, key: SessionKey, topic: &str) {
        let hash = self.placement.hash(topic);
        if let Some(replays) = self.sessions[key].replays.as_mut()
            && replays.live.len() < LIVE_TOPICS_MAX
        {
            let moment = replays.moment;
            replays.live.insert(hash, moment);
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

/// Messages that one page brings at most.
const PAGE_MESSAGES: u32 = 64;

/// Bounds what a session remembers of the topics that change while it gets their retained messages.
const LIVE_TOPICS_MAX: usize = 1 << 16;
