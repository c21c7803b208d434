//! Pages of retained messages: asked for, read from the store for whoever asks, and taken when they come. A page is asked for
//! only while its client has room for it, and read only when all has arrived that it must not lack.

use super::{Asker, FirstPage, Wanted, front, is_source};
use crate::{
    Mail, Shard, ShardId,
    keys::SessionKey,
    mail::{Replay, Replayed},
    shard::Deadline,
    turn::Turn,
};

impl Shard {
    /// Asks the other shards for their first pages, so that they can follow the SUBACK at once: a client sees no difference
    /// to a broker of one shard.
    pub(crate) fn ask_for_first_pages(&mut self, request: u64, turn: &mut Turn<'_>) {
        let Some(waiting) = self.announcements.waiting.get(&request) else { return };
        let mut questions = Vec::new();
        for (wanted, Wanted { filter, .. }) in waiting.wanted.iter().enumerate().take(FIRST_PAGES_FILTERS_MAX)
        {
            let others = (0..self.config.shards).map(ShardId).filter(|shard| *shard != self.id);
            for shard in others.filter(|shard| is_source(&self.placement, *shard, filter)) {
                questions.push((wanted, shard, filter.clone(), received_from(&waiting.retained_sent, shard)));
            }
        }
        let mut first_pages = Vec::with_capacity(questions.len());
        for (wanted, shard, filter, retained_received) in questions {
            let replay = self.next_request();
            self.replays.insert(replay, Asker::Subscribe(request));
            first_pages.push(FirstPage { replay, shard, wanted, page: None });
            let question =
                Replay { replay, filter, retained_received, after: None, messages_max: PAGE_MESSAGES };
            self.post_mail(shard, Mail::Replay(Box::new(question)), turn);
        }
        if let Some(waiting) = self.announcements.waiting.get_mut(&request) {
            waiting.first_pages = first_pages;
        }
    }

    pub(super) fn read_page(&mut self, key: SessionKey, turn: &mut Turn<'_>) {
        let Some(owed) = front(&mut self.sessions[key].replays) else { return };
        let mut page =
            self.retained.page(&owed.wanted.filter, owed.after.as_deref(), PAGE_MESSAGES as usize, turn.now);
        self.withhold(&mut page.messages);
        let retained_received = self.post.retained_received.clone().into_boxed_slice();
        let page = Replayed { replay: 0, messages: page.messages, next: page.next, retained_received };
        self.keep_page(key, page);
    }

    pub(super) fn ask_for_page(&mut self, key: SessionKey, shard: ShardId, turn: &mut Turn<'_>) {
        let replay = self.next_request();
        let Some(owed) = front(&mut self.sessions[key].replays) else { return };
        owed.asked = Some(replay);
        let question = Replay {
            replay,
            filter: owed.wanted.filter.clone(),
            retained_received: received_from(&owed.retained_sent, shard),
            after: owed.after.clone(),
            messages_max: PAGE_MESSAGES,
        };
        self.replays.insert(replay, Asker::Session(key));
        self.post_mail(shard, Mail::Replay(Box::new(question)), turn);
    }

    pub(crate) fn on_replay(&mut self, from: ShardId, replay: Box<Replay>, turn: &mut Turn<'_>) {
        // Whoever asks is about to let go of its client, too.
        if self.drain.is_over() {
            return;
        }
        if !self.has_received(&replay) {
            self.replays_waiting.push((from, replay));
        } else if let Some(left) = self.replay_pages.checked_sub(1) {
            self.replay_pages = left;
            self.answer_replay(from, &replay, turn);
        } else {
            if self.replays_waiting.is_empty() {
                self.timers.insert(turn.next_instant(), Deadline::AnswerReplays);
            }
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
        let mut page = self.retained.page(&replay.filter, after, replay.messages_max as usize, turn.now);
        self.withhold(&mut page.messages);
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
        match self.replays.remove(&replayed.replay) {
            Some(Asker::Session(key)) => self.take_page(key, replayed, turn),
            Some(Asker::Subscribe(request)) => {
                let Some(waiting) = self.announcements.waiting.get_mut(&request) else { return };
                let is_it = |page: &&mut FirstPage| page.replay == replayed.replay;
                if let Some(first_page) = waiting.first_pages.iter_mut().find(is_it) {
                    first_page.page = Some(replayed);
                }
                self.complete_if_ready(request, turn);
            }
            // The session that asked has ended.
            None => {}
        }
    }

    fn take_page(&mut self, key: SessionKey, replayed: Replayed, turn: &mut Turn<'_>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(owed) = front(&mut session.replays) else { return };
        if owed.asked != Some(replayed.replay) {
            return;
        }
        owed.asked = None;
        let conn = session.conn;
        self.keep_page(key, replayed);
        self.replay_on(key, turn);
        if let Some(conn) = conn {
            self.resume(conn, turn);
        }
    }

    /// A page for the first that is owed; without what the client has got live.
    pub(super) fn keep_page(&mut self, key: SessionKey, replayed: Replayed) {
        let Replayed { messages, next, retained_received, .. } = replayed;
        let Some(owed) = front(&mut self.sessions[key].replays) else { return };
        owed.ready = messages.into();
        owed.ready_received = retained_received;
        owed.is_last = next.is_none();
        owed.after = next;
    }
}

/// What `source` must have got before it gives retained messages: all that was mailed to it before we were known.
fn received_from(retained_sent: &[Box<[u64]>], source: ShardId) -> Box<[u64]> {
    retained_sent.iter().map(|sent| sent.get(source.index()).copied().unwrap_or(0)).collect()
}

/// Of one SUBSCRIBE, that many filters get their first pages with the SUBACK; the others get them after it.
const FIRST_PAGES_FILTERS_MAX: usize = 16;

/// Messages that one page brings at most.
const PAGE_MESSAGES: u32 = 64;

/// Pages that one shard reads from its store in one tick, for itself and for others. Each is bounded work.
pub(crate) const REPLAY_PAGES_PER_TICK: u32 = 16;
