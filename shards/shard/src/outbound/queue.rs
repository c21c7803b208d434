//! What waits for one client: the oldest messages in memory, and behind them a rest, of which the store alone has what it
//! has stored.

use std::{collections::BTreeMap, time::Duration};

use mqtt::QoS;

use super::{
    Queued,
    sieve::{Sieve, Sifted},
};
use crate::{Instant, store::bodies::BodyId};

#[derive(Debug, Default)]
pub(crate) struct Queue {
    front: Sieve<Queued>,
    rest: Sieve<Item>,
    /// Of the message that came last.
    last_number: u64,
    /// Items at the beginning of the rest that are known to be in memory.
    ready: usize,
    /// Items at the end of the rest that came since it was last looked what is stored.
    unseen: usize,
    front_weight: usize,
    /// In memory: messages, and the places of those that are elsewhere.
    rest_weight: usize,
    /// Of all messages, wherever they are.
    bytes: usize,
    /// Messages that the store alone has, and their bytes.
    away_len: usize,
    away_bytes: usize,
    /// When those expire that the store alone has, of those that do: by their numbers.
    away_expiries: BTreeMap<u64, Instant>,
    /// Nothing that expires has to be looked at before. It stays as it is while a look is under way.
    expiry_look_at: Option<Instant>,
    /// The next look is worth it then, as far as the look that is under way has seen, and for what came since it began.
    next_expiry: Option<Instant>,
}

/// Small, since it is what a queue without end costs.
#[derive(Debug)]
enum Item {
    Here(Box<Queued>),
    Away { number_low: u32, body: BodyId, bytes: u32 },
}

/// A message at QoS 1 or 2 that the store alone has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Away {
    pub number: u64,
    pub body: BodyId,
    /// Of the message.
    pub bytes: u32,
}

/// What was taken off a queue.
#[derive(Debug)]
pub(crate) enum Popped {
    Here(Queued),
    Away(Away),
}

/// What a look has found.
#[derive(Debug, Default)]
pub(crate) struct Expired {
    /// How many messages it looked at.
    pub looks: usize,
    pub messages: Vec<Popped>,
}

/// The message that is sent next.
pub(crate) enum First<'a> {
    Here(&'a Queued),
    Away,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.front.len() + self.rest.len()
    }

    pub fn is_empty(&self) -> bool {
        self.front.is_empty() && self.rest.is_empty()
    }

    /// The message at this place, if the memory has it.
    pub fn at(&self, place: usize) -> Option<&Queued> {
        match place.checked_sub(self.front.len()).map(|place| self.rest.get(place)) {
            None => self.front.get(place),
            Some(Some(Item::Here(queued))) => Some(queued),
            Some(Some(Item::Away { .. }) | None) => None,
        }
    }

    pub fn weight(&self) -> usize {
        self.front_weight + self.rest_weight + self.away_expiries.len() * EXPIRY_WEIGHT
    }

    /// By a measure that is the same wherever the messages are: what a limit of the queue means, and what is told of it.
    pub fn waiting_bytes(&self) -> usize {
        self.bytes + self.len() * PLACE_BYTES
    }

    /// Messages that the store alone has.
    pub fn away_len(&self) -> usize {
        self.away_len
    }

    pub fn away_bytes(&self) -> usize {
        self.away_bytes
    }

    /// Messages came lately of which it was not looked whether they are stored.
    pub fn has_unseen(&self) -> bool {
        self.unseen > 0
    }

    /// Beyond `window` of memory a message joins the rest.
    pub fn push(&mut self, queued: Queued, window: usize) {
        let weight = queued.weight();
        self.bytes += queued.message.bytes();
        self.last_number = queued.number;
        self.note_expiry(queued.message.expires_at());
        if self.rest.is_empty() && self.front_weight + weight <= window {
            self.front_weight += weight;
            self.front.push_back(queued);
        } else {
            self.rest_weight += weight;
            self.rest.push_back(Item::Here(Box::new(queued)));
            self.unseen += 1;
        }
    }

    /// What an earlier life of the broker has stored. Messages come in the order of their numbers.
    pub fn restore(&mut self, Away { number, body, bytes }: Away, expires_at: Option<Instant>) {
        self.last_number = number;
        self.note_expiry(expires_at);
        self.away_expiries.extend(expires_at.map(|at| (number, at)));
        self.rest.push_back(Item::Away { number_low: number as u32, body, bytes });
        self.rest_weight += AWAY_WEIGHT;
        self.bytes += bytes as usize;
        self.away_len += 1;
        self.away_bytes += bytes as usize;
    }

    pub fn first(&self) -> Option<First<'_>> {
        if let Some(queued) = self.front.front() {
            return Some(First::Here(queued));
        }
        self.rest.front().map(|item| match item {
            Item::Here(queued) => First::Here(queued),
            Item::Away { .. } => First::Away,
        })
    }

    pub fn pop(&mut self) -> Option<Popped> {
        if let Some(queued) = self.front.pop_front() {
            self.front_weight -= queued.weight();
            self.bytes -= queued.message.bytes();
            return Some(Popped::Here(queued));
        }
        self.pop_rest()
    }

    fn pop_rest(&mut self) -> Option<Popped> {
        let item = self.rest.pop_front()?;
        self.ready = self.ready.saturating_sub(1);
        self.unseen = self.unseen.min(self.rest.len());
        Some(self.let_out(item))
    }

    fn whole(&self, number_low: u32) -> u64 {
        whole(self.last_number, number_low)
    }

    fn number(&self, item: &Item) -> u64 {
        match item {
            Item::Here(queued) => queued.number,
            Item::Away { number_low, .. } => self.whole(*number_low),
        }
    }

    /// That of a message at QoS 1 or 2.
    fn own_number(&self, item: &Item) -> Option<u64> {
        match item {
            Item::Here(queued) => (queued.qos != QoS::AtMostOnce).then_some(queued.number),
            Item::Away { .. } => Some(self.number(item)),
        }
    }

    /// The number of the first message at QoS 1 or 2.
    pub fn first_number(&self) -> Option<u64> {
        let first = self.front.iter().find(|queued| queued.qos != QoS::AtMostOnce);
        let in_rest = || self.rest.iter().find_map(|item| self.own_number(item));
        first.map(|queued| queued.number).or_else(in_rest)
    }

    /// Where the message with this number, at QoS 1 or 2, stands in the rest.
    fn place(&self, number: u64) -> Option<usize> {
        // A message at QoS 0 has the number of the one before it.
        let at = self.rest.partition_point(|item| self.number(item) < number);
        self.rest.get(at).filter(|item| self.own_number(item) == Some(number)).map(|_| at)
    }

    /// Under which the store knows the message with this number, at QoS 1 or 2.
    pub fn body(&self, number: u64) -> Option<BodyId> {
        let at = self.front.partition_point(|queued| queued.number < number);
        if let Some(queued) = self.front.get(at) {
            let is_it = queued.number == number && queued.qos != QoS::AtMostOnce;
            return is_it.then(|| queued.message.body());
        }
        Some(match &self.rest[self.place(number)?] {
            Item::Here(queued) => queued.message.body(),
            Item::Away { body, .. } => *body,
        })
    }

    /// Everything at QoS 1 and 2: under which the store knows it, and how long it is.
    pub fn bodies(&self) -> impl Iterator<Item = (BodyId, usize)> {
        let of_queued = |queued: &Queued| {
            (queued.qos != QoS::AtMostOnce).then(|| (queued.message.body(), queued.message.bytes()))
        };
        let rest = self.rest.iter().filter_map(move |item| match item {
            Item::Here(queued) => of_queued(queued),
            Item::Away { body, bytes, .. } => Some((*body, *bytes as usize)),
        });
        self.front.iter().filter_map(of_queued).chain(rest)
    }

    /// The messages that are in memory.
    pub fn here(&self) -> impl Iterator<Item = &Queued> {
        let rest = self.rest.iter().filter_map(|item| match item {
            Item::Here(queued) => Some(&**queued),
            Item::Away { .. } => None,
        });
        self.front.iter().chain(rest)
    }

    /// The messages that the store alone has.
    pub fn elsewhere(&self) -> impl Iterator<Item = BodyId> {
        self.rest.iter().filter_map(|item| match item {
            Item::Here(_) => None,
            Item::Away { body, .. } => Some(*body),
        })
    }

    /// Lets go of what came lately and is stored by now, beyond `window`. True: some is not. `leaves` is told the topic of each, and
    /// says whether it is stored.
    pub fn spill(&mut self, window: usize, mut leaves: impl FnMut(BodyId, &str) -> bool) -> bool {
        self.refill(window);
        while self.unseen > 0 {
            let at = self.rest.len() - self.unseen;
            if !self.send_away(at, &mut leaves) {
                return true;
            }
            self.unseen -= 1;
        }
        false
    }

    /// What is here and comes next stays here.
    fn refill(&mut self, window: usize) {
        while let Some(Item::Here(queued)) = self.rest.front()
            && self.front_weight + queued.weight() <= window
            && let Some(Popped::Here(queued)) = self.pop_rest()
        {
            self.note_moved(&queued);
            self.front_weight += queued.weight();
            self.bytes += queued.message.bytes();
            self.front.push_back(queued);
        }
    }

    /// False: it is not stored yet, and has to be.
    fn send_away(&mut self, at: usize, leaves: &mut impl FnMut(BodyId, &str) -> bool) -> bool {
        let Item::Here(queued) = &self.rest[at] else { return true };
        if queued.qos == QoS::AtMostOnce {
            return true;
        }
        let (number_low, body, bytes) = (queued.number as u32, queued.message.body(), queued.message.bytes());
        if !leaves(body, queued.message.topic()) {
            return false;
        }
        self.away_expiries.extend(queued.message.expires_at().map(|at| (queued.number, at)));
        self.rest_weight = self.rest_weight - queued.weight() + AWAY_WEIGHT;
        self.away_len += 1;
        self.away_bytes += bytes;
        self.ready = self.ready.min(at);
        let bytes = u32::try_from(bytes).expect("a message is shorter than a packet");
        self.rest[at] = Item::Away { number_low, body, bytes };
        true
    }

    /// The client is away: what is stored does not stay in memory beyond `window`.
    pub fn retreat(&mut self, window: usize, mut leaves: impl FnMut(BodyId, &str) -> bool) {
        while self.front_weight > window
            && let Some(queued) = self.front.pop_back()
        {
            self.note_moved(&queued);
            self.front_weight -= queued.weight();
            self.rest_weight += queued.weight();
            self.rest.push_front(Item::Here(Box::new(queued)));
        }
        self.unseen = self.unseen.min(self.rest.len());
        for at in 0..self.rest.len() {
            if matches!(self.rest[at], Item::Away { .. }) {
                break;
            }
            if !self.send_away(at, &mut leaves) {
                // It leaves with the next batch, and so does what is behind it.
                self.unseen = self.rest.len() - at;
                break;
            }
        }
        self.ready = 0;
    }

    /// Little is left in memory of what is sent next, and more is elsewhere.
    pub fn wants_more(&self) -> bool {
        self.front.is_empty() && self.ready <= READY_MIN && self.ready < self.rest.len()
    }

    /// What is elsewhere of what is sent next.
    pub fn wanted(&self) -> impl Iterator<Item = Away> {
        let next = self.rest.iter().skip(self.ready).take(WANTED_MAX);
        next.filter_map(|item| match item {
            Item::Here(_) => None,
            Item::Away { number_low, body, bytes } => {
                Some(Away { number: self.whole(*number_low), body: *body, bytes: *bytes })
            }
        })
    }

    /// The message with this number, if the store alone has it.
    pub fn away(&self, number: u64) -> Option<Away> {
        match self.rest[self.place(number)?] {
            Item::Here(_) => None,
            Item::Away { body, bytes, .. } => Some(Away { number, body, bytes }),
        }
    }

    /// A message that the store alone had is here again.
    pub fn bring_back(&mut self, queued: Queued) {
        let at = self.place(queued.number).expect("the caller has asked whether it is away");
        self.rest_weight = self.rest_weight + queued.weight() - AWAY_WEIGHT;
        self.away_len -= 1;
        self.away_bytes -= queued.message.bytes();
        self.away_expiries.remove(&queued.number);
        self.rest[at] = Item::Here(Box::new(queued));
    }

    /// Everything that was wanted has come.
    pub fn count_ready(&mut self) {
        let here = self.rest.iter().take(WANTED_MAX).take_while(|item| matches!(item, Item::Here(_)));
        self.ready = here.count();
    }

    /// Drops what waits at QoS 0, and gives it back.
    pub fn drop_qos0(&mut self) -> Vec<Popped> {
        if self.here().all(|queued| queued.qos != QoS::AtMostOnce) {
            return Vec::new();
        }
        let last_number = self.last_number;
        let is_qos0 = |queued: &Queued| queued.qos == QoS::AtMostOnce;
        let of_front = self.front.sift_all(is_qos0);
        let of_rest = self.rest.sift_all(|item| matches!(item, Item::Here(queued) if is_qos0(queued)));
        self.count_again();
        let of_rest = of_rest.into_iter().map(|item| item.popped(last_number));
        of_front.into_iter().map(Popped::Here).chain(of_rest).collect()
    }

    /// When it is worth looking for what has expired: never sooner after a look than makes it cheap, however short lives are.
    pub fn expiry_look_at(&self) -> Option<Instant> {
        self.expiry_look_at
    }

    /// The message that is sent next has expired.
    pub fn is_first_expired(&self, now: Instant) -> bool {
        let expires_at = match self.front.front() {
            Some(queued) => queued.message.expires_at(),
            None => self.rest.front().and_then(|item| self.expires_at(item)),
        };
        expires_at.is_some_and(|at| at <= now)
    }

    fn expires_at(&self, item: &Item) -> Option<Instant> {
        match item {
            Item::Here(queued) => queued.message.expires_at(),
            Item::Away { number_low, .. } => self.away_expiries.get(&self.whole(*number_low)).copied(),
        }
    }

    /// Goes on to look for what has expired, wherever it stands, and takes it out. Once begun, a look goes through the whole
    /// queue, by so many messages at a time as the caller allows.
    pub fn drop_expired(&mut self, now: Instant, looks_max: usize) -> Expired {
        let mut expired = Expired::default();
        if looks_max == 0 || self.expiry_look_at.is_none_or(|at| at > now) {
            return expired;
        }
        if !self.is_looking() {
            self.front.begin();
            self.rest.begin();
            self.next_expiry = None;
        }
        self.sift_front(now, looks_max, &mut expired);
        self.sift_rest(now, looks_max, &mut expired);
        if !self.is_looking() {
            self.expiry_look_at = self.next_expiry.map(|next| next.max(now + EXPIRY_LOOK_PERIOD));
        }
        expired
    }

    /// A look is under way.
    pub fn is_looking(&self) -> bool {
        self.front.is_begun() || self.rest.is_begun()
    }

    fn sift_front(&mut self, now: Instant, looks_max: usize, expired: &mut Expired) {
        let next = &mut self.next_expiry;
        let is_out = |queued: &Queued| is_expired(queued.message.expires_at(), now, next);
        let Sifted { looks, out } = self.front.sift(looks_max, is_out);
        expired.looks += looks;
        for (_, queued) in out {
            self.front_weight -= queued.weight();
            self.bytes -= queued.message.bytes();
            expired.messages.push(Popped::Here(queued));
        }
    }

    fn sift_rest(&mut self, now: Instant, looks_max: usize, expired: &mut Expired) {
        let (last_number, expiries, next) = (self.last_number, &self.away_expiries, &mut self.next_expiry);
        let (ready, unseen_from) = (self.ready, self.rest.len() - self.unseen);
        let Sifted { looks, out } = self.rest.sift(looks_max - expired.looks, |item| {
            let expires_at = match item {
                Item::Here(queued) => queued.message.expires_at(),
                Item::Away { number_low, .. } => expiries.get(&whole(last_number, *number_low)).copied(),
            };
            is_expired(expires_at, now, next)
        });
        expired.looks += looks;
        for (place, item) in out {
            self.ready -= usize::from(place < ready);
            self.unseen -= usize::from(place >= unseen_from);
            expired.messages.push(self.let_out(item));
        }
    }

    /// An item that was in the rest.
    fn let_out(&mut self, item: Item) -> Popped {
        self.rest_weight -= item.weight();
        self.bytes -= item.bytes();
        let popped = item.popped(self.last_number);
        if let Popped::Away(away) = &popped {
            self.away_len -= 1;
            self.away_bytes -= away.bytes as usize;
            self.away_expiries.remove(&away.number);
        }
        popped
    }

    fn note_expiry(&mut self, expires_at: Option<Instant>) {
        note_earlier(&mut self.expiry_look_at, expires_at);
        note_earlier(&mut self.next_expiry, expires_at);
    }

    /// It may have gone from where a look comes to where that was already.
    fn note_moved(&mut self, queued: &Queued) {
        note_earlier(&mut self.next_expiry, queued.message.expires_at());
    }

    /// Anything may have left.
    fn count_again(&mut self) {
        self.front_weight = self.front.iter().map(Queued::weight).sum();
        self.rest_weight = self.rest.iter().map(Item::weight).sum();
        let away = || {
            self.rest.iter().filter_map(|item| match item {
                Item::Here(_) => None,
                Item::Away { bytes, .. } => Some(*bytes as usize),
            })
        };
        (self.away_len, self.away_bytes) = (away().count(), away().sum());
        let of_front = self.front.iter().map(|queued| queued.message.bytes());
        self.bytes = of_front.chain(self.rest.iter().map(Item::bytes)).sum();
        self.count_ready();
        // No more than these came since it was last looked.
        self.unseen =
            (0..self.rest.len()).rev().take_while(|&at| matches!(self.rest[at], Item::Here(_))).count();
    }
}

impl Item {
    fn weight(&self) -> usize {
        match self {
            Item::Here(queued) => queued.weight(),
            Item::Away { .. } => AWAY_WEIGHT,
        }
    }

    /// Of the message.
    fn bytes(&self) -> usize {
        match self {
            Item::Here(queued) => queued.message.bytes(),
            Item::Away { bytes, .. } => *bytes as usize,
        }
    }

    fn popped(self, last_number: u64) -> Popped {
        match self {
            Item::Here(queued) => Popped::Here(*queued),
            Item::Away { number_low, body, bytes } => {
                Popped::Away(Away { number: whole(last_number, number_low), body, bytes })
            }
        }
    }
}

/// Whether it is time for what lives until `expires_at`; if not, when the next look is worth it.
fn is_expired(expires_at: Option<Instant>, now: Instant, next: &mut Option<Instant>) -> bool {
    let is_over = expires_at.is_some_and(|at| at <= now);
    if !is_over {
        note_earlier(next, expires_at);
    }
    is_over
}

fn note_earlier(earliest: &mut Option<Instant>, at: Option<Instant>) {
    let Some(at) = at else { return };
    *earliest = Some(earliest.map_or(at, |before| before.min(at)));
}

/// No queue is so long that the lower half of a number does not tell it.
fn whole(last_number: u64, number_low: u32) -> u64 {
    last_number - u64::from((last_number as u32).wrapping_sub(number_low))
}

/// What a message costs in memory that the store alone has: its item, and where it stands.
pub(super) const AWAY_WEIGHT: usize = size_of::<Item>() + 24;

/// What a message that waits counts beside its bytes, in memory or not.
pub(super) const PLACE_BYTES: usize = 40;

const _: () = assert!(PLACE_BYTES >= AWAY_WEIGHT, "what is stored does not count less than it takes");

const _: () = assert!(size_of::<Item>() == 16, "a message that is elsewhere costs little");

/// What it costs in memory that such a message expires: its number and its time, in a tree whose nodes are half full.
pub(super) const EXPIRY_WEIGHT: usize = 32;

/// Lives of messages are told in seconds.
const EXPIRY_LOOK_PERIOD: Duration = Duration::from_secs(1);

/// So few messages are left when more are brought back.
const READY_MIN: usize = 32;

/// So many are brought back at once, at most.
const WANTED_MAX: usize = 512;
