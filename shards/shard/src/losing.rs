//! Who loses a message, and what is told of it to whoever asks.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    Bundle, Bundled, Cause, Effect, IS_WATCHED, Instant, Look, Mail, Note, Seen, Shard, ShardId, Side, What,
    keys::SessionKey,
    look::{ClientLost, FreshLoss, Loss, OtherLosses, Page, PrefixLost},
    losses::{CLIENT_ID_BYTES_MAX, ClientLosses, Lost, Owner, Sums, TOPIC_BYTES_MAX, cut, kept_name},
    mail::NotRetained,
    outbound::{Outbound, Popped},
    publish::is_of_server,
    store::topics::TopicId,
    turn::Turn,
};

/// Of messages that are delivered and not retained, what the log is told.
#[derive(Default)]
pub(crate) struct Unretained {
    /// Since the log was told of them.
    count: u64,
    /// When the log hears of them next.
    tell_at: Option<Instant>,
}

impl Shard {
    /// One message to this client is lost.
    #[cold]
    pub(crate) fn lose(&mut self, key: SessionKey, cause: Cause, topic: &str, now: Instant) {
        self.lose_some(key, cause, topic, 1, now);
    }

    #[cold]
    pub(crate) fn lose_some(&mut self, key: SessionKey, cause: Cause, topic: &str, count: u64, now: Instant) {
        if !IS_WATCHED || self.counts_for_broker(cause, topic, count) {
            return;
        }
        *cause.count_mut(&mut self.counters) += count;
        let lost = Lost { cause, count, first: now, last: now };
        self.losses.add(Owner::Client(&self.sessions[key].client_id), topic, lost);
        self.note_for_report(key, topic, now);
    }

    /// It is a message of the broker about itself: counted apart, by the same causes.
    fn counts_for_broker(&mut self, cause: Cause, topic: &str, count: u64) -> bool {
        let is_it = is_of_broker(cause, topic);
        if is_it {
            self.count_for_broker(cause, count);
        }
        is_it
    }

    fn count_for_broker(&mut self, cause: Cause, count: u64) {
        if let Some(counter) = cause.broker_count_mut(&mut self.counters) {
            *counter += count;
        }
    }

    pub(crate) fn lose_popped(&mut self, key: SessionKey, cause: Cause, popped: &Popped, now: Instant) {
        match popped {
            Popped::Here(queued) => self.lose(key, cause, queued.message.topic(), now),
            Popped::Away(away) => {
                let topic: Box<str> = self.store.bodies.topic(away.body).into();
                self.lose(key, cause, &topic, now);
            }
        }
    }

    /// One that was for nobody yet.
    pub(crate) fn lose_for_nobody(&mut self, cause: Cause, topic: &str, now: Instant) {
        self.lose_of(Owner::Nobody, cause, topic, 1, now);
    }

    /// One that those who had subscribed got, and that is not kept for others. Of many the log has a line in a while.
    #[cold]
    pub(crate) fn lose_retained(&mut self, owner: Owner<'_>, cause: Cause, topic: &str, turn: &mut Turn<'_>) {
        self.lose_of(owner, cause, topic, 1, turn.now);
        self.losses.unretained.count += 1;
        if self.losses.unretained.tell_at.is_some_and(|at| turn.now < at) {
            return;
        }
        self.losses.unretained.tell_at = Some(turn.now.add_secs(UNRETAINED_LINE_S));
        let count = std::mem::take(&mut self.losses.unretained.count);
        let topic = cut(topic, TOPIC_BYTES_MAX).into();
        let what = What::NotRetained { cause, topic, count };
        let client_id = owner.client_id().map(Arc::from);
        turn.push(Effect::Note(Note { conn: None, client_id, user: None, what }));
    }

    /// The same for a message of another shard. The books of its publisher are there.
    pub(crate) fn lose_retained_of(
        &mut self,
        from: ShardId,
        author: &str,
        cause: Cause,
        topic: &str,
        turn: &mut Turn<'_>,
    ) {
        // The other shard may have been told already that nothing more comes from here.
        if self.drain.has_begun() {
            return self.lose_retained(Owner::of_author(author), cause, topic, turn);
        }
        let cause_byte = [cause as u8];
        let bundled = Bundled::not_retained(author, topic, &cause_byte);
        if Bundle::default().has_room_for(&bundled) {
            self.post_bundled(from, &bundled, turn);
        } else {
            let not = NotRetained { author: author.into(), topic: topic.into(), cause };
            self.post_mail(from, Mail::NotRetained(Box::new(not)), turn);
        }
    }

    /// Of a client that may have no session any more, or of none.
    pub(crate) fn lose_of(&mut self, owner: Owner<'_>, cause: Cause, topic: &str, count: u64, now: Instant) {
        if let Some(key) = owner.client_id().and_then(|client_id| self.sessions.find(client_id)) {
            return self.lose_some(key, cause, topic, count, now);
        }
        if self.counts_for_broker(cause, topic, count) {
            return;
        }
        *cause.count_mut(&mut self.counters) += count;
        self.losses.add(owner, topic, Lost { cause, count, first: now, last: now });
    }

    /// All that waited for a client whose session has ended, and that the store has still. Says in how many entries.
    pub(crate) fn lose_all(&mut self, client_id: &str, outbound: &Outbound, now: Instant) -> usize {
        let cause = Cause::SessionEnded;
        let mut elsewhere: HashMap<TopicId, u64, _> =
            HashMap::with_hasher(ahash::RandomState::with_seeds(1, 2, 3, 4));
        for body in outbound.elsewhere() {
            *elsewhere.entry(self.store.bodies.topic_id(body)).or_default() += 1;
        }
        let here = outbound.inflight.here().chain(outbound.queue.here());
        let here = here.map(|queued| (queued.message.topic(), 1));
        let elsewhere = elsewhere.iter().map(|(id, count)| (self.store.bodies.text(*id), *count));
        let (mut of_broker, mut entries) = (0, 0);
        for (topic, count) in here.chain(elsewhere) {
            if is_of_broker(cause, topic) {
                of_broker += count;
                continue;
            }
            entries += 1;
            *cause.count_mut(&mut self.counters) += count;
            self.losses.add(Owner::Client(client_id), topic, Lost { cause, count, first: now, last: now });
        }
        self.count_for_broker(cause, of_broker);
        entries
    }

    /// Losses since the last question. Whoever goes on asking gets all of them, and a shard that nobody asks keeps none.
    pub fn take_fresh_losses(&mut self, now: Instant) -> Vec<FreshLoss> {
        self.losses.take_fresh(now)
    }

    pub(crate) fn look_at_losses(&self, now: Instant, look: &Look) -> Seen {
        match look {
            Look::ClientLosses { client_id, after, most } => {
                let first = after.map_or(0, |after| after as usize + 1);
                let clients = (first..).map_while(|at| Some((at, self.losses.client_at(at)?)));
                let part = client_id.as_deref().map(|part| kept_name(part, CLIENT_ID_BYTES_MAX));
                let is_wanted = |held: &str| part.as_deref().is_none_or(|part| held.contains(part));
                let rows = clients.filter(|(_, (held, _))| is_wanted(held));
                let rows = rows.map(|(at, (held, losses))| (at, self.client_lost(held, losses, now)));
                Seen::ClientLosses(page(rows, *most))
            }
            Look::PrefixLosses { after, most } => {
                let first = after.map_or(0, |after| after as usize + 1);
                let rows = self.losses.prefixes().enumerate().skip(first);
                let rows = rows.map(|(at, (prefix, sums))| {
                    (at, PrefixLost { prefix: prefix.into(), losses: losses_seen(sums, now) })
                });
                Seen::PrefixLosses(page(rows, *most))
            }
            _ => Seen::OtherLosses(Box::new(OtherLosses {
                other_clients: losses_seen(&self.losses.other_clients, now),
                of_operators: losses_seen(&self.losses.of_operators, now),
                of_nobody: losses_seen(&self.losses.of_nobody, now),
                other_prefixes: losses_seen(&self.losses.other_prefixes, now),
            })),
        }
    }

    pub(crate) fn losses_of(&self, client_id: &str, now: Instant) -> Option<ClientLost> {
        self.losses.client(client_id).map(|losses| self.client_lost(client_id, losses, now))
    }

    fn client_lost(&self, client_id: &str, losses: &ClientLosses, now: Instant) -> ClientLost {
        let topics = losses.topics.iter().map(|(topic, lost)| loss_seen(lost, Some(topic), now));
        ClientLost {
            client_id: client_id.into(),
            shard: self.id,
            losses: losses_seen(&losses.sums, now),
            topics: topics.collect(),
        }
    }
}

fn page<T>(rows: impl Iterator<Item = (usize, T)>, most: usize) -> Page<T> {
    let most = most.clamp(1, LOSSES_PER_ANSWER);
    let (positions, rows): (Vec<usize>, Vec<T>) = rows.take(most).unzip();
    let last = positions.last().filter(|_| rows.len() == most);
    Page { next: last.map(|at| *at as u64), rows }
}

fn losses_seen(sums: &Sums, now: Instant) -> Vec<Loss> {
    sums.iter().map(|lost| loss_seen(lost, None, now)).collect()
}

fn loss_seen(lost: &Lost, topic: Option<&str>, now: Instant) -> Loss {
    Loss {
        cause: lost.cause,
        topic: topic.map(Box::from),
        count: lost.count,
        first_ago: now.since(lost.first),
        last_ago: now.since(lost.last),
    }
}

/// What the broker says of itself stands in no ledger: who misses one, or may not read it, hears of the next or of none.
fn is_of_broker(cause: Cause, topic: &str) -> bool {
    cause.side() == Side::Out && is_of_server(topic.as_bytes())
}

/// The topic of a message that the store alone has, or that was never decoded.
pub(crate) const UNKNOWN: &str = "";

const LOSSES_PER_ANSWER: usize = 500;

/// One line of the log in so many seconds tells of all messages that were not retained since the line before.
const UNRETAINED_LINE_S: u64 = 60;
