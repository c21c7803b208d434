//! A brain for tests: the first byte of a connection says what it is for.
//!
//! `E` echoes, and so does what begins as a CONNECT does. `H` and a shard moves there and echoes. `B` and a length of four bytes answers with that many bytes.
//! `Q` and a length does so and closes. `X` closes. `W` answers with the shard. `T` and a number of milliseconds sets a
//! deadline. `L` is not read until its client has gone, and echoes what came before its end. `M`, a shard and a count of four bytes sends that many pieces of mail there and answers with one byte when
//! all have come back.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use shard::{
    Act, Acted, Arrivals, ConnId, Counters, Effect, Effects, Event, FreshLoss, Gauges, Instant, Limits, Look,
    Mail, NotOpened, Note, Outgoing, Reading, Secret, Seen, ShardId, TapOrder, TapRead,
    store::restoring::Restoring,
};

use crate::brain::Brain;

/// What all scripts of a broker have seen.
#[derive(Default)]
pub struct Observed {
    pub opened: AtomicUsize,
    pub refused: AtomicUsize,
    pub turned_away: AtomicUsize,
    pub not_opened: AtomicUsize,
    pub closed: AtomicUsize,
    pub mail: AtomicUsize,
    pub starved: AtomicUsize,
    pub timers: AtomicUsize,
    pub leaving: AtomicUsize,
    /// Sends that the socket has taken.
    pub sent: AtomicUsize,
    /// Those that it has not, and how much of them it has.
    pub unsent: AtomicUsize,
    pub taken_bytes: AtomicUsize,
    /// What clients of `L` have said after it.
    pub late_bytes: AtomicUsize,
    /// The most bytes that came in one turn.
    pub turn_bytes_max: AtomicUsize,
}

pub struct Script {
    id: ShardId,
    conns: HashMap<ConnId, Conn>,
    seen: HashSet<ConnId>,
    room: Vec<usize>,
    pending: Vec<VecDeque<Mail>>,
    /// The next number expected from each shard, of mail out and of mail back.
    expected: Vec<[u64; 2]>,
    sent: Vec<u64>,
    /// Who waits for how much mail to come back from a shard.
    awaiting: Vec<VecDeque<(ConnId, u64)>>,
    is_draining: bool,
    is_drained: bool,
    counters: Counters,
    limits: Limits,
    arrivals: Arrivals,
    deadline: Option<Instant>,
    turn_bytes: usize,
    flushed_at: Option<Instant>,
    observed: Arc<Observed>,
}

#[derive(Default)]
struct Conn {
    unread: Vec<u8>,
    is_echo: bool,
    is_watched: bool,
    out: Box<Outgoing>,
    is_sending: bool,
    is_closing: bool,
}

impl Script {
    pub fn new(id: ShardId, shards: u8, observed: Arc<Observed>) -> Script {
        let shards = usize::from(shards);
        Script {
            id,
            conns: HashMap::new(),
            seen: HashSet::new(),
            room: vec![0; shards],
            pending: (0..shards).map(|_| VecDeque::new()).collect(),
            expected: vec![[0; 2]; shards],
            sent: vec![0; shards],
            awaiting: (0..shards).map(|_| VecDeque::new()).collect(),
            is_draining: false,
            is_drained: false,
            counters: Counters::default(),
            limits: Limits::default(),
            arrivals: Arrivals::default(),
            deadline: None,
            turn_bytes: 0,
            flushed_at: None,
            observed,
        }
    }

    fn on_bytes(&mut self, now: Instant, id: ConnId, bytes: &[u8], effects: &mut Effects) {
        let conn = self.conns.get_mut(&id).expect("no event names a connection that is gone");
        if conn.is_watched {
            self.observed.late_bytes.fetch_add(bytes.len(), SeqCst);
        }
        if conn.is_echo {
            conn.out.bytes.extend_from_slice(bytes);
            return;
        }
        conn.unread.extend_from_slice(bytes);
        let unread = std::mem::take(&mut conn.unread);
        let number = |at: usize| unread[at..].first_chunk().map(|bytes| u32::from_be_bytes(*bytes) as usize);
        match unread[0] {
            b'E' | 0x10 => {
                conn.is_echo = true;
                conn.out.bytes.extend_from_slice(&unread);
                effects.push(Effect::Read { conn: id, reading: Reading::Continuous });
            }
            b'L' => {
                (conn.is_echo, conn.is_watched) = (true, true);
                conn.out.bytes.push(b'L');
                effects.push(Effect::Read { conn: id, reading: Reading::Watched });
            }
            b'H' if unread.len() >= 2 && ShardId(unread[1]) != self.id => {
                assert!(self.room[usize::from(unread[1])] > 0, "the tests hand over less than fits");
                self.room[usize::from(unread[1])] -= 1;
                self.conns.remove(&id);
                effects.push(Effect::HandOver {
                    conn: id,
                    to: ShardId(unread[1]),
                    unread: Secret::from(unread),
                });
            }
            b'H' if unread.len() >= 2 => {
                conn.is_echo = true;
                conn.out.bytes.push(self.id.0);
                conn.out.bytes.extend_from_slice(&unread[2..]);
                effects.push(Effect::Read { conn: id, reading: Reading::Continuous });
            }
            b'B' | b'Q' if number(1).is_some() => {
                conn.out.bytes.extend_from_slice(&pattern(number(1).unwrap()));
                conn.is_closing = unread[0] == b'Q';
                effects.push(Effect::Read { conn: id, reading: Reading::Once });
            }
            b'X' => conn.is_closing = true,
            b'W' => {
                conn.out.bytes.push(self.id.0);
                effects.push(Effect::Read { conn: id, reading: Reading::Once });
            }
            b'T' => {
                self.deadline = Some(now + Duration::from_millis(u64::from(unread[1])));
                effects.push(Effect::Read { conn: id, reading: Reading::Paused });
            }
            b'M' if number(2).is_some() => self.send_mail(id, unread[1], number(2).unwrap() as u64, effects),
            _ => {
                conn.unread = unread;
                effects.push(Effect::Read { conn: id, reading: Reading::Once });
            }
        }
    }

    fn send_mail(&mut self, conn: ConnId, to: u8, count: u64, effects: &mut Effects) {
        let at = usize::from(to);
        for _ in 0..count {
            let request = self.sent[at];
            self.sent[at] += 1;
            self.pending[at].push_back(Mail::Confirmed { first: request, count: OUT });
        }
        self.awaiting[at].push_back((conn, self.sent[at]));
        self.post(ShardId(to), effects);
        effects.push(Effect::Read { conn, reading: Reading::Once });
    }

    fn post(&mut self, to: ShardId, effects: &mut Effects) {
        let (room, pending) = (&mut self.room[to.index()], &mut self.pending[to.index()]);
        while *room > 0 {
            let Some(mail) = pending.pop_front() else { return };
            *room -= 1;
            effects.push(Effect::Mail { to, mail });
        }
        if !pending.is_empty() {
            self.observed.starved.fetch_add(1, SeqCst);
        }
    }

    fn on_mail(&mut self, from: ShardId, mail: Mail, effects: &mut Effects) {
        self.observed.mail.fetch_add(1, SeqCst);
        let [out, back] = &mut self.expected[from.index()];
        let Mail::Confirmed { first, count } = mail else { unreachable!("the scripts send no other mail") };
        if count == OUT {
            assert_eq!(first, *out, "mail keeps its order");
            let answer = Mail::Confirmed { first: *out, count: BACK };
            *out += 1;
            self.pending[from.index()].push_back(answer);
            self.post(from, effects);
            return;
        }
        assert_eq!((first, count), (*back, BACK), "mail keeps its order");
        *back += 1;
        let came = *back;
        while let Some((conn, count)) = self.awaiting[from.index()].front().copied() {
            if came < count {
                break;
            }
            self.awaiting[from.index()].pop_front();
            self.conns.get_mut(&conn).expect("the client waits").out.bytes.push(b'!');
        }
    }

    fn flush(&mut self, effects: &mut Effects) {
        let mut closed = Vec::new();
        for (&id, conn) in &mut self.conns {
            if !conn.is_sending && !conn.out.is_empty() {
                conn.is_sending = true;
                effects.push(Effect::Send { conn: id, bytes: std::mem::take(&mut conn.out) });
            }
            if (conn.is_closing || self.is_draining) && conn.out.is_empty() {
                effects.push(Effect::Close { conn: id });
                closed.push(id);
            }
        }
        for id in closed {
            self.conns.remove(&id);
        }
        if self.is_draining && self.conns.is_empty() && !std::mem::replace(&mut self.is_drained, true) {
            effects.push(Effect::Drained);
        }
    }
}

impl Brain for Script {
    fn handle(&mut self, now: Instant, event: Event<'_>, effects: &mut Effects) {
        match event {
            Event::Opened { conn, refuse, .. } => {
                assert!(self.seen.insert(conn), "a name is used once");
                self.observed.opened.fetch_add(1, SeqCst);
                self.observed.refused.fetch_add(usize::from(refuse.is_some()), SeqCst);
                self.counters.connections_opened += 1;
                self.conns.insert(conn, Conn::default());
            }
            Event::Bytes { conn, bytes } => {
                self.turn_bytes += bytes.len();
                self.on_bytes(now, conn, bytes, effects);
            }
            Event::Sent { conn } => {
                self.observed.sent.fetch_add(1, SeqCst);
                // One that is closed has its last bytes taken later.
                if let Some(conn) = self.conns.get_mut(&conn) {
                    conn.is_sending = false;
                }
            }
            Event::Unsent { taken, .. } => {
                self.observed.taken_bytes.fetch_add(taken, SeqCst);
                self.observed.unsent.fetch_add(1, SeqCst);
            }
            Event::Leaving { conn } => {
                self.observed.leaving.fetch_add(1, SeqCst);
                effects.push(Effect::Read { conn, reading: Reading::Continuous });
            }
            Event::Closed { conn } => {
                self.conns.remove(&conn).expect("a connection ends once");
                self.observed.closed.fetch_add(1, SeqCst);
            }
            Event::Mail { from, mail } => self.on_mail(from, mail, effects),
            Event::MailRoom { to, slots } => {
                self.room[to.index()] = slots;
                self.post(to, effects);
            }
            Event::Timer => {
                assert!(self.deadline.is_some_and(|at| at <= now), "a timer is not early");
                self.deadline = None;
                self.observed.timers.fetch_add(1, SeqCst);
            }
            Event::Drain => self.is_draining = true,
            Event::StoreFailed
            | Event::Stored { .. }
            | Event::StoreRoom { .. }
            | Event::Review { .. }
            | Event::Fetched { .. } => {
                unreachable!("a script stores nothing")
            }
            Event::FlushAgain => {
                assert_eq!(self.flushed_at, Some(now), "what is sent off again belongs to the same turn");
                self.flush(effects);
            }
            Event::Flush => {
                assert_ne!(self.flushed_at.replace(now), Some(now), "a turn has one end");
                let bytes = std::mem::take(&mut self.turn_bytes);
                self.observed.turn_bytes_max.fetch_max(bytes, SeqCst);
                self.flush(effects);
            }
            Event::NotOpened(NotOpened::NoSeat | NotOpened::NoSeatOfListener) => {
                self.observed.turned_away.fetch_add(1, SeqCst);
            }
            Event::NotOpened(_) => {
                self.observed.not_opened.fetch_add(1, SeqCst);
            }
            Event::Kick { .. }
            | Event::Barred { .. }
            | Event::Authenticated { .. }
            | Event::Rules(_)
            | Event::Rates(_)
            | Event::Bans(_)
            | Event::Config(_)
            | Event::Revised(_) => {}
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn restore(&mut self, _: Restoring, _: Instant, _: &mut Effects) {
        unreachable!("a script stores nothing")
    }

    fn last_batch(&self) -> u64 {
        0
    }

    fn gauges(&self) -> Gauges {
        Gauges { connections: self.conns.len(), ..Gauges::default() }
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    fn end_turn(&mut self, _: Instant) {}

    /// Takes its time.
    fn look(&self, _: Instant, _: &Look) -> Seen {
        let began = std::time::Instant::now();
        while began.elapsed() < LOOK_TIME {
            std::hint::spin_loop();
        }
        Seen::Client(None)
    }

    fn tap(&mut self, _: Instant, _: &TapOrder) -> TapRead {
        TapRead::default()
    }

    fn is_tapped(&self) -> bool {
        false
    }

    fn name_tapped(&mut self, _: &mut dyn FnMut(ConnId) -> Option<SocketAddr>) {}

    fn locate(&mut self, _: &Note, _: IpAddr) {}

    fn take_fresh_losses(&mut self, _: Instant) -> Vec<FreshLoss> {
        Vec::new()
    }

    fn act(&mut self, _: Instant, _: Act, _: &mut Effects) -> Acted {
        Acted::default()
    }

    fn is_settled(&self, _: &mut Acted) -> bool {
        true
    }
}

/// What a script takes to answer who looks at it.
pub const LOOK_TIME: Duration = Duration::from_millis(10);

/// The bytes that `B` and `Q` answer with: each is the position's remainder by 251.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// Of mail, whether it goes out or comes back.
const OUT: u64 = 1;
const BACK: u64 = 2;
