//! One shard: takes an event, restores all invariants, and says what is to be done.
//!
//! The parts of the state are here; what is done with them is in the file that is named after it: `receive.rs` (bytes to
//! packets), `connect.rs`, `publish.rs`, `acknowledge.rs`, `subscribe.rs`, `changing.rs`, `asking.rs`, `renewing.rs`, `router.rs`, `delivery.rs`, `replay.rs`,
//! `ending.rs`, `drain.rs`. Each of them is an `impl Shard`.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    Arrivals, Config, ConnId, Counters, Effect, Effects, Event, Gauges, Grant, Instant, Limits, Mail,
    Placement, ShardId,
    announce::Announcements,
    bans::Barred,
    changing::Changes,
    clearing::Clearing,
    confirm::Confirmations,
    connection::{Connections, Stage},
    contests::Contests,
    departures::Departures,
    drain::Drain,
    ending::LINGER_S,
    fullness::Fullness,
    groups::Groups,
    handshakes::Handshakes,
    hashing::{Table, hasher},
    keys::SessionKey,
    losses::{Losses, Owner},
    permission::Permissions,
    post::Post,
    prefixes::Prefixes,
    random::Random,
    receive::{Stalled, Unfinished},
    recording::{Recording, count_sent},
    regranting::Revising,
    replay::{Asker, REPLAY_PAGES_PER_TICK},
    reporting::Watch,
    retained::Retained,
    routes::Routes,
    session::Sessions,
    span::Tracing,
    spending::Spending,
    store::Store,
    tap::Taps,
    timers::Timers,
    topic_tap::TopicTaps,
    totals::Totals,
    trie::Trie,
    turn::Turn,
    unsent::Losing,
    wills::Wills,
};

pub struct Shard {
    pub(crate) id: ShardId,
    /// With the limits of one shard.
    pub(crate) config: Config,
    pub(crate) placement: Placement,
    pub(crate) counters: Counters,
    /// How long publications of other shards were on their way.
    pub(crate) arrivals: Arrivals,
    pub(crate) losses: Losses,
    /// Of topics that are published.
    pub(crate) prefixes: Prefixes,
    pub(crate) recording: Recording,
    /// None where nobody looks on.
    pub(crate) taps: Option<Box<Taps>>,
    /// None where nobody asks on which topics clients publish.
    pub(crate) topic_taps: Option<Box<TopicTaps>>,
    /// A timer is set for those of both kinds that nobody reads.
    pub(crate) awaits_unread_taps: bool,
    /// None where no message is traced.
    pub(crate) tracing: Option<Box<Tracing>>,
    /// Sessions whose clients are told of their losses.
    pub(crate) watches: HashMap<SessionKey, Watch, ahash::RandomState>,
    pub(crate) random: Random,

    pub(crate) connections: Connections,
    /// None where everybody may do everything.
    pub(crate) permissions: Option<Box<Permissions>>,
    /// None where nobody is banned.
    pub(crate) barred: Option<Box<Barred>>,
    pub(crate) departures: Departures,
    pub(crate) contests: Contests,
    pub(crate) spending: Spending,
    /// Some listener has or had a mount point.
    pub(crate) has_mounts: bool,
    pub(crate) revising: Revising,
    /// To whoever came last.
    pub(crate) last_grant: Option<Arc<Grant>>,
    /// `Deadline::Rules` is set.
    pub(crate) is_reviewing: bool,
    pub(crate) sessions: Sessions,
    pub(crate) trie: Trie,
    pub(crate) routes: Routes,
    pub(crate) groups: Groups,
    pub(crate) retained: Retained,
    pub(crate) timers: Timers<Deadline>,
    /// The earliest timer that is set for the retained store.
    retained_armed: Option<Instant>,

    pub(crate) store: Store,
    pub(crate) confirmations: Confirmations,
    pub(crate) handshakes: Handshakes,
    pub(crate) wills: Wills,
    pub(crate) fullness: Fullness,
    pub(crate) post: Post,
    pub(crate) announcements: Announcements,
    /// Who asked for which page of retained messages.
    pub(crate) replays: HashMap<u64, Asker, ahash::RandomState>,
    /// Questions for retained messages that wait until all is here that they ask for.
    pub(crate) replays_waiting: Vec<(ShardId, Box<crate::mail::Replay>)>,
    /// What sessions that have ended leave behind.
    pub(crate) clearing: Clearing,
    /// What connections that have ended leave behind.
    pub(crate) losing: Losing,
    pub(crate) changes: Changes,
    /// Messages in queues that this tick may still look at for whether they have expired.
    pub(crate) expiry_looks: usize,
    /// Pages of retained messages that this tick may still read.
    pub(crate) replay_pages: u32,
    pub(crate) drain: Drain,

    /// Connections that the next flush looks at.
    pub(crate) dirty: Vec<ConnId>,
    /// Connections that are not read until others have caught up.
    pub(crate) stalled: Stalled,
    pub(crate) totals: Totals,
    /// Sessions that lost their connection when the broker ended, as far as that is not stored.
    pub(crate) detaching: Vec<SessionKey>,
    /// Sessions with messages that leave the memory when they are stored.
    pub(crate) spilling: Vec<crate::store::entry::SessionId>,
    pub(crate) unfinished: Unfinished,
    next_request: u64,
}

/// What a timer is for. When it is due, whoever it names is asked what time means to it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deadline {
    Connect(ConnId),
    KeepAlive(ConnId),
    /// Sessions are to be held to other rules.
    Rules,
    /// Connections are to be held to other grants.
    Revised,
    /// What was granted ends, or somebody has not answered.
    Standing(ConnId),
    /// A client that sent too much may go on.
    Rate(ConnId),
    /// A client that got too much may get more.
    Delivery(ConnId),
    /// A closing connection has had time enough to take its last bytes.
    Linger(ConnId),
    Session(SessionKey),
    /// Filters of sessions that have ended are to leave the indexes, and what no socket took is to count as lost.
    Clearing,
    /// Long SUBSCRIBEs and UNSUBSCRIBEs are to go on.
    Changing,
    /// A session is to get more retained messages.
    Replay(SessionKey),
    /// Other shards wait for pages of retained messages.
    AnswerReplays,
    Retained,
    /// A client is to be told of its losses.
    Losses(SessionKey),
    /// A packet whose end has not come has taken too long.
    Unfinished,
    /// Taps that nobody reads are to end.
    Taps,
    /// What nobody waits for is to be stored all the same.
    Store,
    /// A drain is under way: who takes nothing any more is let go.
    Drain,
}

impl Shard {
    /// `seed` feeds everything that looks random, assigned client ids for example.
    pub fn new(id: ShardId, config: &Config, now: Instant, seed: u64) -> Shard {
        let mut random = Random::new(seed ^ (u64::from(id.0) << 56) ^ now.as_nanos());
        let limits = config.limits.of_one_shard(config.shards);
        let hasher = hasher(random.next_u64(), Table::Shard);
        Shard {
            id,
            placement: Placement::new(config.shards, config.placement_seed),
            counters: Counters::default(),
            arrivals: Arrivals::default(),
            losses: Losses::new(seed),
            prefixes: Prefixes::default(),
            recording: Recording::new(config.limits.recorded_packets),
            taps: None,
            topic_taps: None,
            awaits_unread_taps: false,
            tracing: Tracing::of(config.sampling, seed ^ (u64::from(id.0) << 48) ^ now.as_nanos()),
            watches: HashMap::with_hasher(hasher.clone()),
            connections: Connections::default(),
            permissions: Permissions::of(config.rules.clone(), seed),
            barred: Barred::of(&config.bans, seed, now),
            departures: Departures::new(seed),
            contests: Contests::new(seed),
            spending: Spending::new(seed),
            has_mounts: config.has_mounts(),
            revising: Revising::default(),
            last_grant: None,
            is_reviewing: false,
            sessions: Sessions::new(random.next_u64()),
            trie: Trie::new(random.next_u64()),
            routes: Routes::new(),
            groups: Groups::new(random.next_u64()),
            retained: Retained::new(limits.retained_messages_max, limits.retained_bytes_max),
            timers: Timers::new(),
            retained_armed: None,
            store: Store::new(config.store_epoch_ms, seed),
            confirmations: Confirmations::new(config.shards),
            handshakes: Handshakes::default(),
            wills: Wills::default(),
            fullness: Fullness::default(),
            post: Post::new(id, config.shards),
            announcements: Announcements::new(random.next_u64()),
            replays: HashMap::with_hasher(hasher.clone()),
            replays_waiting: Vec::new(),
            clearing: Clearing::default(),
            losing: Losing::default(),
            changes: Changes::new(hasher.clone()),
            expiry_looks: config.pieces.expiry_looks,
            replay_pages: REPLAY_PAGES_PER_TICK,
            drain: Drain::default(),
            dirty: Vec::new(),
            stalled: Stalled::new(config.shards),
            totals: Totals::default(),
            detaching: Vec::new(),
            spilling: Vec::new(),
            unfinished: Unfinished::new(hasher.clone()),
            next_request: 0,
            config: Config { limits, ..config.clone() },
            random,
        }
    }

    /// Takes one event to completion. Never blocks, never awaits, never reads a clock.
    pub fn handle(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects) {
        let turn = &mut Turn { now, effects };
        self.begin_answer();
        self.changes.begin_event(self.config.pieces.own_change_bytes);
        match event {
            Event::Opened { conn, refuse, door } => self.handle_opened(conn, refuse, door, turn),
            Event::NotOpened(why) => self.handle_not_opened(why, turn.now),
            Event::Bytes { conn, bytes } => self.handle_bytes(conn, bytes, turn),
            Event::Sent { conn } => self.handle_sent(conn, turn),
            Event::Unsent { conn, outgoing, taken } => self.handle_unsent(conn, outgoing, taken, turn),
            Event::Authenticated { conn, answer } => self.handle_authenticated(conn, *answer, turn),
            Event::Leaving { conn } => self.handle_leaving(conn, turn),
            Event::Closed { conn } => self.handle_closed(conn, turn),
            Event::Barred { conn, ip } => self.handle_barred(conn, ip, turn),
            Event::Kick { conn, reason } => self.handle_kick(conn, reason, turn),
            Event::Mail { from, mail } => self.handle_mail(from, mail, turn),
            Event::MailRoom { to, slots } => self.handle_mail_room(to, slots, turn),
            Event::Rules(rules) => self.handle_rules(rules, turn),
            Event::Rates(rates) => self.handle_rates(rates, turn),
            Event::Bans(bans) => self.handle_bans(&bans, turn),
            Event::Revised(revision) => self.handle_revised(revision, turn),
            Event::Config(config) => self.handle_config(*config, turn),
            Event::Timer => self.handle_timer(turn),
            Event::Stored { batch, pieces } => self.handle_stored(batch, pieces),
            Event::StoreRoom { bytes, grows } => self.handle_store_room(bytes, grows, turn),
            Event::StoreFailed => self.handle_store_failed(turn),
            Event::Review { record } => self.handle_review(&record),
            Event::Fetched { fetch, record } => self.handle_fetched(fetch, record.as_ref(), turn),
            Event::Drain => self.handle_drain(turn),
            Event::Flush => {
                self.begin_tick();
                self.flush(turn);
            }
            Event::FlushAgain => self.flush(turn),
        }
    }

    /// When `Event::Timer` is due, if ever.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// The last batch that is needed for what was written so far; zero if all of it is stored.
    pub fn last_batch(&self) -> u64 {
        self.store.last()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Of publications that other shards took in: see `Arrivals`.
    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// The turn is over that `handle` was last called in, and what was to be sent is handed over.
    pub fn end_turn(&mut self, ended_at: Instant) {
        self.arrivals.end_turn(ended_at);
    }

    /// Its part of those that hold for all shards together.
    pub fn limits(&self) -> &Limits {
        &self.config.limits
    }

    pub fn gauges(&self) -> Gauges {
        Gauges {
            connections: self.connections.len(),
            sessions: self.sessions.len(),
            connected: self.totals.connected,
            subscriptions: self.totals.subscriptions,
            shared_subscriptions: self.totals.shared_subscriptions,
            filters: self.trie.filter_count(),
            retained_messages: self.retained.len(),
            retained_bytes: self.retained.bytes(),
            retained_source_bytes: self.retained.source_bytes(),
            session_bytes: self.totals.session_bytes,
            will_bytes: self.totals.will_bytes,
            queued_messages: self.totals.queued_messages,
            inflight_messages: self.totals.inflight_messages,
            queued_bytes: self.totals.queued_bytes,
            queued_away_bytes: self.totals.queued_away_bytes,
            unsent_bytes: self.totals.unsent_bytes,
            receive_bytes: self.totals.receive_bytes,
            mail_pending: self.post.pending_len(),
            stored_live_bytes: self.store.live_bytes(),
            stored_messages: self.store.bodies.len(),
            stored_topics_bytes: self.store.bodies.topics_bytes(),
            store_full: usize::from(self.is_store_full()),
            timers: self.timers.len(),
        }
    }

    pub(crate) fn next_request(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request
    }

    pub(crate) fn peers(&self) -> impl Iterator<Item = ShardId> + use<> {
        let me = self.id;
        (0..self.config.shards).map(ShardId).filter(move |shard| *shard != me)
    }

    fn handle_mail(&mut self, from: ShardId, mail: Mail, turn: &mut Turn<'_>) {
        self.counters.mail_received += 1;
        match mail {
            Mail::Bundle(bundle) => self.route_bundle(from, &bundle, turn),
            Mail::Publish(publication) => self.route_publication(from, &publication, turn),
            Mail::Shared(shared) => self.route_shared(from, *shared, turn),
            Mail::Retain(retain) => self.route_retained(from, *retain, turn),
            Mail::NotRetained(not) => {
                self.lose_retained(Owner::of_author(&not.author), not.cause, &not.topic, turn)
            }
            Mail::Announce(announce) => self.on_announce(from, *announce, turn),
            Mail::Announced(announced) => self.on_announced(from, &announced, turn),
            Mail::Restored => self.on_restored_elsewhere(from, turn),
            Mail::Withdraw(withdrawals) => self.on_withdraw(from, &withdrawals),
            Mail::Replay(replay) => self.on_replay(from, replay, turn),
            Mail::Replayed(replayed) => self.on_replayed(*replayed, turn),
            Mail::Publishers(sessions) => self.on_publishers(from, &sessions, turn),
            Mail::StoreRoom(room) => self.on_store_room_elsewhere(from, room, turn),
            Mail::Confirmed { first, count } => self.on_confirmed(from, first, count, turn),
            Mail::Draining => self.on_draining(from, turn),
        }
    }

    fn handle_timer(&mut self, turn: &mut Turn<'_>) {
        for _ in 0..DEADLINES_PER_EVENT {
            let Some(deadline) = self.timers.pop_due(turn.now) else { return };
            match deadline {
                Deadline::Connect(conn) => self.on_connect_deadline(conn, turn),
                Deadline::KeepAlive(conn) => self.on_keep_alive_deadline(conn, turn),
                Deadline::Rules => self.on_rules_deadline(turn),
                Deadline::Revised => self.on_revised_deadline(turn),
                Deadline::Standing(conn) => self.on_standing_deadline(conn, turn),
                Deadline::Rate(conn) => self.on_rate_deadline(conn, turn),
                Deadline::Delivery(conn) => self.on_delivery_deadline(conn, turn),
                Deadline::Linger(conn) => self.on_linger_deadline(conn, turn),
                Deadline::Session(session) => self.on_session_deadline(session, turn),
                Deadline::Clearing => self.on_clearing_deadline(turn),
                Deadline::Changing => self.on_changing_deadline(turn),
                Deadline::Replay(session) => self.on_replay_deadline(session, turn),
                Deadline::AnswerReplays => self.answer_waiting_replays(turn),
                Deadline::Retained => self.on_retained_deadline(turn),
                Deadline::Unfinished => self.on_unfinished_deadline(turn),
                Deadline::Taps => self.on_taps_deadline(turn.now),
                Deadline::Losses(session) => self.on_losses_deadline(session, turn),
                Deadline::Store => self.store.on_timer(),
                Deadline::Drain => self.on_drain_deadline(turn),
            }
        }
    }

    fn handle_sent(&mut self, conn: ConnId, turn: &mut Turn<'_>) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return drop(self.connections.leavers.remove(&conn));
        };
        connection.sending = false;
        // In a drain nothing else is heard of a client.
        if self.drain.has_begun() {
            connection.heard_at = turn.now;
        }
        self.totals.unsent_bytes -= std::mem::take(&mut connection.sending_bytes) as usize;
        if connection.outbox.is_some() || connection.held.is_some() {
            self.mark_dirty(conn);
        } else if connection.stage == Stage::Closing {
            self.forget_connection(conn, turn);
            turn.push(Effect::Close { conn });
            return;
        }
        if let Some(session) = self.connections.get(conn).and_then(|connection| connection.session()) {
            self.pump(session, turn);
            self.resume(conn, turn);
        }
    }

    pub(crate) fn mark_dirty(&mut self, conn: ConnId) {
        let Some(connection) = self.connections.get_mut(conn) else { return };
        if !connection.dirty {
            connection.dirty = true;
            self.dirty.push(conn);
        }
    }

    /// One send per connection, however many packets were collected, and the bundles for other shards.
    fn flush(&mut self, turn: &mut Turn<'_>) {
        self.confirm(turn);
        self.look_for_room(turn);
        self.post.flush(turn);
        self.send_batch(turn);
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut given_up = Vec::new();
        for conn in dirty.drain(..) {
            let Some(connection) = self.connections.get_mut(conn) else { continue };
            connection.dirty = false;
            if connection.sending {
                continue;
            }
            let ready = connection.next_outgoing(&self.store, &self.confirmations);
            if let Some(outgoing) = ready {
                connection.sending = true;
                connection.sending_bytes = u32::try_from(outgoing.len()).unwrap_or(u32::MAX);
                let mut recorder = connection.session().and_then(|session| self.sessions.recorder(session));
                if let Some(recorder) = recorder.as_deref_mut().filter(|_| connection.is_late) {
                    let behind = connection.outbox.as_ref().map_or(0, |outbox| outbox.packets);
                    recorder.leave(outgoing.packets, behind, turn.now);
                }
                count_sent(&mut self.counters, recorder, &outgoing);
                turn.push(Effect::Send { conn, bytes: outgoing });
            }
            connection.is_late = connection.held.is_some() || connection.outbox.is_some();
            if connection.is_late {
                if connection.stage == Stage::Closing && connection.sending {
                    // The socket may never take what goes out now, and the rest waits behind it.
                    self.timers.insert(turn.now.add_secs(LINGER_S), Deadline::Linger(conn));
                }
                if self.store.has_failed() && !connection.sending {
                    given_up.push(conn);
                } else if !std::mem::replace(&mut connection.waits, true) {
                    self.store.wait(conn);
                }
            } else if connection.stage == Stage::Closing {
                self.forget_connection(conn, turn);
                turn.push(Effect::Close { conn });
            }
        }
        self.dirty = dirty;
        for conn in given_up {
            self.give_up_waiting(conn, turn);
        }
        self.check_drained(turn);
    }

    /// What comes behind this may cost as much again as what came before.
    fn begin_tick(&mut self) {
        self.replay_pages = REPLAY_PAGES_PER_TICK;
        self.expiry_looks = self.config.pieces.expiry_looks;
        self.clearing.begin_tick(self.config.pieces.filter_bytes);
        self.losing.begin_tick(self.config.pieces.unsent_packets);
        self.changes.begin_tick(self.config.pieces.change_bytes);
    }

    fn on_retained_deadline(&mut self, turn: &mut Turn<'_>) {
        let expired = self.retained.expire(turn.now, RETAINED_EXPIRED_PER_TURN);
        self.counters.retained_expired += expired.len() as u64;
        if self.store.is_on() {
            expired.iter().for_each(|message| self.store.let_go_retained(message.body(), message.bytes()));
        }
        self.retained_armed = None;
        self.arm_retained(turn.next_instant());
    }

    /// Sets the timer of the retained store when it has something that expires.
    pub(crate) fn arm_retained(&mut self, earliest: Instant) {
        if let Some(at) = self.retained.next_expiry().map(|at| at.max(earliest))
            && self.retained_armed.is_none_or(|armed| at < armed)
        {
            self.retained_armed = Some(at);
            self.timers.insert(at, Deadline::Retained);
        }
    }
}

/// Bounds how long many deadlines at once may keep a shard: the others come with the next event.
const DEADLINES_PER_EVENT: usize = 256;

/// Bounds how long the expiry of many retained messages at once may keep a shard.
const RETAINED_EXPIRED_PER_TURN: usize = 256;
