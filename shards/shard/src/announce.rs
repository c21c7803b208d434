//! Interest across shards: which filters the others must know of, and who waits until they do.
//!
//! A SUBACK goes out when every shard has confirmed, so that whatever is published anywhere after it is delivered.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use mqtt::{PacketId, ReasonCode};
use smallvec::SmallVec;

use crate::{
    ConnId, FilterLimit, Mail, Shard, ShardId, ShardSet, Withdrawals,
    confirm::Needs,
    filters::is_shared,
    hashing::{Table, hasher},
    keys::SessionKey,
    mail::{Announce, Announced},
    replay::{FirstPage, Wanted},
    subscribe::change_weight,
    turn::Turn,
};

/// A SUBSCRIBE whose filters are in place here and not yet known everywhere.
pub(crate) struct Waiting {
    pub conn: ConnId,
    pub session: SessionKey,
    pub packet_id: PacketId,
    pub codes: Vec<ReasonCode>,
    pub wanted: Vec<Wanted>,
    /// For which the first of those that are refused for one is.
    pub limit: Option<FilterLimit>,
    /// The first pages of retained messages, which go out behind the SUBACK.
    pub first_pages: Vec<FirstPage>,
    /// Names this SUBSCRIBE to the session's replays.
    pub token: Option<u64>,
    /// That the subscriptions are stored.
    pub needs: Needs,
    /// All of its filters are in place, or nobody waits for the others any more.
    pub is_whole: bool,
    /// What the other shards were told of it and have not confirmed, in the order in which they were.
    told: SmallVec<[Told; 1]>,
    /// By answering shard, how many retained messages it had mailed to each shard.
    pub retained_sent: Vec<Box<[u64]>>,
}

/// Filters that were announced together.
struct Told {
    filters: Vec<Box<str>>,
    /// What it takes to have them come.
    weight: usize,
    confirmed: ShardSet,
}

pub(crate) struct Announcements {
    pub waiting: HashMap<u64, Waiting, ahash::RandomState>,
    /// Filters that were announced and not confirmed by all; how often.
    unconfirmed: HashMap<Box<str>, u32, ahash::RandomState>,
    /// Shards that have told all of what they have restored.
    restored: ShardSet,
    /// From the start of a shard with a store until all of them have.
    pub is_restoring: bool,
}

/// What one SUBSCRIBE has to tell the other shards.
#[derive(Default)]
pub(crate) struct News {
    pub filters: Vec<Box<str>>,
    pub members: Vec<(std::sync::Arc<str>, u32)>,
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty() && self.members.is_empty()
    }

    fn weight(&self) -> usize {
        let names = self.filters.iter().map(|filter| &**filter);
        names.chain(self.members.iter().map(|(name, _)| &**name)).map(change_weight).sum()
    }
}

impl Announcements {
    pub fn new(seed: u64) -> Announcements {
        let hasher = |table| hasher(seed, table);
        Announcements {
            waiting: HashMap::with_hasher(hasher(Table::Announced)),
            unconfirmed: HashMap::with_hasher(hasher(Table::Unconfirmed)),
            restored: ShardSet::EMPTY,
            is_restoring: false,
        }
    }

    /// Others were told of this filter, but some have not said yet that they know.
    pub fn is_unconfirmed(&self, filter: &str) -> bool {
        self.unconfirmed.contains_key(filter)
    }

    fn confirm(&mut self, filter: &str) {
        if let Some(count) = self.unconfirmed.get_mut(filter) {
            *count -= 1;
            if *count == 0 {
                self.unconfirmed.remove(filter);
            }
        }
    }
}

impl Waiting {
    pub fn new(conn: ConnId, session: SessionKey, packet_id: PacketId) -> Waiting {
        Waiting {
            conn,
            session,
            packet_id,
            codes: Vec::new(),
            wanted: Vec::new(),
            limit: None,
            first_pages: Vec::new(),
            token: None,
            needs: Needs::default(),
            is_whole: false,
            told: SmallVec::new(),
            retained_sent: Vec::new(),
        }
    }
}

impl Shard {
    /// Tells all other shards, and completes the SUBSCRIBE when they have answered; at once if there is nothing to tell.
    pub(crate) fn announce(&mut self, mut waiting: Waiting, news: News, turn: &mut Turn<'_>) {
        let nothing_to_tell = news.is_empty() && waiting.wanted.is_empty();
        if self.config.shards == 1 || nothing_to_tell {
            self.complete_subscribe(waiting, turn);
            return;
        }
        let request = self.next_request();
        waiting.is_whole = true;
        self.tell_others(request, &mut waiting, news, turn);
        self.wait_for_others(request, waiting);
    }

    /// The SUBSCRIBE is known by its request until it is answered.
    pub(crate) fn wait_for_others(&mut self, request: u64, waiting: Waiting) {
        if let Some(connection) = self.connections.get_mut(waiting.conn) {
            connection.announcing += 1;
        }
        self.announcements.waiting.insert(request, waiting);
    }

    /// Tells all other shards of some filters of a SUBSCRIBE.
    pub(crate) fn tell_others(
        &mut self,
        request: u64,
        waiting: &mut Waiting,
        news: News,
        turn: &mut Turn<'_>,
    ) {
        for filter in &news.filters {
            *self.announcements.unconfirmed.entry(filter.clone()).or_insert(0) += 1;
        }
        for peer in self.peers() {
            let announce = Announce { request, filters: news.filters.clone(), members: news.members.clone() };
            self.post_mail(peer, Mail::Announce(Box::new(announce)), turn);
        }
        let weight = news.weight();
        self.tell_of_changes(weight);
        waiting.told.push(Told { filters: news.filters, weight, confirmed: ShardSet::EMPTY });
        if waiting.retained_sent.is_empty() {
            waiting.retained_sent = vec![Box::default(); usize::from(self.config.shards)];
        }
    }

    /// Tells all other shards of all filters and groups here, some at a time. They know where the last one ends.
    pub(crate) fn announce_restored(&mut self, turn: &mut Turn<'_>) {
        self.announcements.is_restoring = true;
        let mut filters: Vec<Box<str>> = Vec::new();
        let mut members = BTreeMap::new();
        if self.config.shards > 1 {
            for key in self.sessions.keys() {
                for filter in self.sessions[key].filters.iter() {
                    if is_shared(filter) {
                        let group = self.groups.key(filter).expect("a member's group exists");
                        members.insert(self.groups.name(group).clone(), self.groups.local_count(group));
                    } else {
                        filters.push(filter.into());
                    }
                }
            }
        }
        filters.sort_unstable();
        filters.dedup();
        let members: Vec<_> = members.into_iter().collect();
        let chunks = filters.chunks(FILTERS_PER_ANNOUNCEMENT).map(|filters| (filters.to_vec(), Vec::new()));
        let groups = members.chunks(FILTERS_PER_ANNOUNCEMENT).map(|members| (Vec::new(), members.to_vec()));
        // One at the least: who has answered it has told of its own filters before.
        let is_alone = self.config.shards == 1;
        let nothing = (filters.is_empty() && members.is_empty() && !is_alone).then(Default::default);
        for (filters, members) in chunks.chain(groups).chain(nothing) {
            let request = self.next_request();
            for peer in self.peers() {
                let announce = Announce { request, filters: filters.clone(), members: members.clone() };
                self.post_mail(peer, Mail::Announce(Box::new(announce)), turn);
            }
        }
        for peer in self.peers() {
            self.post_mail(peer, Mail::Restored, turn);
        }
        self.check_restored(turn);
    }

    /// All that `from` has restored is known here.
    pub(crate) fn on_restored_elsewhere(&mut self, from: ShardId, turn: &mut Turn<'_>) {
        self.announcements.restored.insert(from);
        self.check_restored(turn);
    }

    fn check_restored(&mut self, turn: &mut Turn<'_>) {
        if self.announcements.restored.len() + 1 == usize::from(self.config.shards) {
            self.announcements.is_restoring = false;
            self.finish_restore(turn);
        }
    }

    pub(crate) fn on_announce(&mut self, from: ShardId, announce: Announce, turn: &mut Turn<'_>) {
        for filter in &announce.filters {
            self.trie.add_peer(filter, from);
        }
        for (name, count) in &announce.members {
            self.on_members(from, name, *count);
        }
        let retained_sent = self.post.retained_sent.clone().into_boxed_slice();
        let announced = Announced { request: announce.request, retained_sent };
        self.post_mail(from, Mail::Announced(Box::new(announced)), turn);
    }

    pub(crate) fn on_withdraw(&mut self, from: ShardId, withdrawals: &Withdrawals) {
        for (name, left) in withdrawals.iter() {
            match is_shared(name) {
                true => self.on_members(from, name, left),
                false => self.trie.remove_peer(name, from),
            }
        }
    }

    fn on_members(&mut self, from: ShardId, name: &str, count: u32) {
        let change = self.groups.set_remote(name, from, count);
        let filter = filter_of_group(name);
        if let Some(key) = change.key {
            if change.created {
                self.trie.add_group(filter, key);
            }
            if change.removed {
                self.trie.remove_group(filter, key);
            }
        }
    }

    pub(crate) fn on_announced(&mut self, from: ShardId, announced: &Announced, turn: &mut Turn<'_>) {
        // Whoever waited for it has been let go of, and nothing more is asked for.
        if self.drain.is_over() {
            return;
        }
        // Nobody waits for the answer where it was about something that was restored.
        let Some(waiting) = self.announcements.waiting.get_mut(&announced.request) else { return };
        waiting.retained_sent[from.index()] = announced.retained_sent.clone();
        // Each shard answers in the order in which it is told.
        let answered = waiting.told.iter_mut().find(|told| !told.confirmed.contains(from));
        let confirmed = &mut answered.expect("a shard answers what it was told").confirmed;
        confirmed.insert(from);
        if confirmed.len() + 1 < usize::from(self.config.shards) {
            return;
        }
        let told = waiting.told.remove(0);
        for filter in &told.filters {
            self.announcements.confirm(filter);
        }
        self.confirm_changes(told.weight, turn);
        self.complete_if_known(announced.request, turn);
    }

    /// All filters are in place, and every shard knows them.
    pub(crate) fn complete_if_known(&mut self, request: u64, turn: &mut Turn<'_>) {
        let is_known = |waiting: &Waiting| waiting.is_whole && waiting.told.is_empty();
        if self.announcements.waiting.get(&request).is_some_and(is_known) {
            self.ask_for_first_pages(request, turn);
            self.complete_if_ready(request, turn);
        }
    }

    /// The client of a SUBSCRIBE has gone before all of its filters were in place.
    pub(crate) fn give_up_request(&mut self, request: u64) {
        let Some(waiting) = self.announcements.waiting.get_mut(&request) else { return };
        waiting.is_whole = true;
        waiting.wanted = Vec::new();
        // The others are confirmed all the same.
        if waiting.told.is_empty() {
            let (conn, session, token) = (waiting.conn, waiting.session, waiting.token);
            self.announcements.waiting.remove(&request);
            if let Some(connection) = self.connections.get_mut(conn) {
                connection.announcing -= 1;
            }
            if let Some(token) = token {
                self.stop_expecting(session, token);
            }
        }
    }

    /// Every shard knows the filters, and the first pages of retained messages are here.
    pub(crate) fn complete_if_ready(&mut self, request: u64, turn: &mut Turn<'_>) {
        let is_ready = |waiting: &Waiting| waiting.first_pages.iter().all(FirstPage::is_here);
        if self.announcements.waiting.get(&request).is_some_and(is_ready) {
            self.answer_in_turn(request, turn);
        }
    }

    /// The SUBSCRIBE is done: its answer goes out, and what it is owed of retained messages.
    pub(crate) fn complete(&mut self, request: u64, turn: &mut Turn<'_>) {
        let waiting = self.announcements.waiting.remove(&request).expect("a SUBSCRIBE waits for its answer");
        let conn = waiting.conn;
        if let Some(connection) = self.connections.get_mut(conn) {
            connection.announcing -= 1;
        }
        self.complete_subscribe(waiting, turn);
        self.resume(conn, turn);
    }
}

/// A piece of mail that is handled in one go.
const FILTERS_PER_ANNOUNCEMENT: usize = 1000;

/// The filter within `$share/group/filter`.
pub(crate) fn filter_of_group(name: &str) -> &str {
    match mqtt::shared_filter(name) {
        Ok(Some(shared)) => shared.filter,
        _ => unreachable!("a group is made of a valid shared filter only"),
    }
}
