//! Of one connection: which rates it is held to, and what it has used of them. What follows from that is in `metering.rs`.

use std::{cmp::Reverse, num::NonZeroU64, ops::Range, sync::Arc, time::Duration};

use mqtt::{Frame, PacketKind};

use crate::{
    Grant, Instant,
    rates::{Charge, DEBT_NS, DoorRates, Flow, Over, Rates, Spent, Tally, cost_ns, credit, free_at},
};

/// Only of connections that are held to some rate.
pub(crate) struct Meters {
    own: Rates,
    /// By which `Spending` knows the client.
    pub client: u64,
    pub spent: Spent,
    /// Of the user, the address and the listener, as far as they have any.
    shared: Vec<Shared>,
    burst_ns: u64,
    pub over: Over,
    /// More was sent than may be: the client stays stalled for a while.
    pub is_throttled: bool,
    /// From when until when it is, or was last; who is so again before its burst has come back was never free between.
    throttled: Option<Range<Instant>>,
    /// Its client has gone: what it had sent by then goes as far as its rates allow now, and the rest never.
    pub is_leaving: bool,
    /// Nothing is left for another message to the client: what comes waits in the queue for a while.
    pub is_held_back: bool,
}

struct Shared {
    tally: Arc<dyn Tally>,
    rates: Rates,
    whose: Whose,
}

/// Whom a rate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Client,
    User,
    Address,
    Listener,
}

/// What one event may bring, and has brought.
pub(crate) struct Pass {
    messages_left: u64,
    bytes_left: u64,
    messages: u64,
    bytes: u64,
    /// The rate that the next packet exceeds.
    pub over: Option<Flow>,
    is_leaving: bool,
}

/// What becomes of a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    Goes,
    Waits,
    /// Nobody is there any more who could wait.
    Dropped,
}

impl Meters {
    /// None where no rate holds.
    pub fn new(door: &DoorRates, role: Rates, grant: Option<&Grant>) -> Option<Meters> {
        let own = role.or(door.client);
        let tallies = grant.and_then(|grant| grant.tallies.as_deref());
        let of = |tally: Option<&Arc<dyn Tally>>, rates: Rates, whose: Whose| {
            let tally = Arc::clone(tally?);
            (!rates.are_open()).then_some(Shared { tally, rates, whose })
        };
        let shared: Vec<Shared> = [
            of(tallies.and_then(|tallies| tallies.user.as_ref()), door.user, Whose::User),
            of(tallies.and_then(|tallies| tallies.address.as_ref()), door.address, Whose::Address),
            of(door.tally.as_ref(), door.listener, Whose::Listener),
        ]
        .into_iter()
        .flatten()
        .collect();
        if own.are_open() && shared.is_empty() {
            return None;
        }
        let burst_ns = u64::try_from(door.burst.as_nanos()).unwrap_or(u64::MAX);
        let over = door.over;
        Some(Meters {
            own,
            client: 0,
            spent: Spent::default(),
            shared,
            burst_ns,
            over,
            is_throttled: false,
            throttled: None,
            is_leaving: false,
            is_held_back: false,
        })
    }

    /// Goes on where others were that held before.
    pub fn go_on_from(&mut self, before: &Meters) {
        self.client = before.client;
        self.spent = before.spent;
        self.is_throttled = before.is_throttled;
        self.throttled = before.throttled.clone();
        self.is_leaving = before.is_leaving;
        self.is_held_back = before.is_held_back;
    }

    /// It waits until then.
    pub fn throttle(&mut self, now: Instant, until: Instant) {
        self.is_throttled = true;
        let burst = Duration::from_nanos(self.burst_ns);
        let goes_on = self.throttled.as_ref().filter(|before| now <= before.end + burst);
        self.throttled = Some(goes_on.map_or(now, |before| before.start)..until);
    }

    /// For how long what it sends has been handled late.
    pub fn throttled_for(&self, now: Instant) -> Duration {
        self.throttled.as_ref().map_or(Duration::ZERO, |throttled| now.since(throttled.start))
    }

    /// The client has gone. False: it did not wait for its rates.
    pub fn leave(&mut self) -> bool {
        let waits = std::mem::take(&mut self.is_throttled);
        self.is_leaving |= waits;
        waits
    }

    pub fn burst_ns(&self) -> u64 {
        self.burst_ns
    }

    pub fn pass(&self, now: Instant) -> Pass {
        Pass {
            messages_left: self.credit(Flow::PublishMessages, now),
            bytes_left: self.credit(Flow::PublishBytes, now),
            messages: 0,
            bytes: 0,
            over: None,
            is_leaving: self.is_leaving,
        }
    }

    pub fn settle(&mut self, pass: &Pass, now: Instant) {
        self.charge(Flow::PublishMessages, pass.messages, now);
        self.charge(Flow::PublishBytes, pass.bytes, now);
    }

    pub fn charge(&mut self, flow: Flow, count: u64, now: Instant) {
        let now_ns = now.as_nanos();
        if let Some(rate) = self.own.of(flow) {
            let due_ns = &mut self.spent.due_ns[flow as usize];
            *due_ns = now_ns.max(*due_ns).saturating_add(cost_ns(count, rate));
        }
        let ceiling_ns = self.ceiling_ns(now);
        let excess_ns = |Shared { tally, rates, .. }: &Shared| {
            let cost_ns = cost_ns(count, rates.of(flow)?);
            Some(tally.charge(flow, Charge { cost_ns, now_ns, ceiling_ns }))
        };
        let excess_ns = self.shared.iter().filter_map(excess_ns).max().unwrap_or(0);
        if excess_ns > 0 {
            let until_ns = &mut self.spent.alone_until_ns[flow as usize];
            *until_ns = now_ns.saturating_add(DEBT_NS).max(*until_ns).saturating_add(excess_ns);
        }
    }

    /// What is owed beyond a burst is so no more, whoever owes it.
    pub fn forgive(&mut self, now: Instant) {
        self.spent.forgive(self.burst_ns, now);
        let (now_ns, ceiling_ns) = (now.as_nanos(), self.ceiling_ns(now));
        for Shared { tally, rates, .. } in &self.shared {
            for flow in Flow::ALL.into_iter().filter(|flow| rates.of(*flow).is_some()) {
                tally.charge(flow, Charge { cost_ns: 0, now_ns, ceiling_ns });
            }
        }
    }

    /// Of each rate how much of its burst is used up, and how much there is, in nanoseconds.
    pub fn used(&self, now: Instant) -> impl Iterator<Item = (Whose, Flow, u64, u64)> {
        Flow::ALL.into_iter().flat_map(move |flow| {
            let alone_ns = if self.spent.waits_alone(flow, now) { self.burst_ns } else { 0 };
            let own = self.own_of(flow).map(|(due_ns, rate)| (Whose::Client, due_ns, rate, 0));
            let shared = self.shared.iter().filter_map(move |Shared { tally, rates, whose }| {
                Some((*whose, tally.due_ns(flow), rates.of(flow)?, alone_ns))
            });
            own.into_iter().chain(shared).map(move |(whose, due_ns, rate, at_least_ns)| {
                let used_ns = due_ns.saturating_sub(now.as_nanos()).max(at_least_ns);
                (whose, flow, used_ns, self.burst_ns.max(cost_ns(1, rate)))
            })
        })
    }

    fn ceiling_ns(&self, now: Instant) -> u64 {
        now.as_nanos().saturating_add(self.burst_ns).saturating_add(DEBT_NS)
    }

    /// When the client may go on with both, if it may not now.
    pub fn free_at(&self, flows: [Flow; 2], lull_ns: u64, now: Instant) -> Option<Instant> {
        flows.into_iter().filter_map(|flow| self.flow_free_at(flow, lull_ns, now)).max()
    }

    /// The rate that there is to be waited for; of several the one that takes longest, and of equals the more particular one.
    pub fn awaited(&self, flows: &[Flow]) -> Option<(Whose, Flow, NonZeroU64)> {
        let of_flow = |&flow: &Flow| {
            let own = self.own_of(flow).map(|(due_ns, rate)| (Whose::Client, due_ns, rate));
            let shared = self.shared.iter().filter_map(move |Shared { tally, rates, whose }| {
                Some((*whose, tally.due_ns(flow), rates.of(flow)?))
            });
            own.into_iter().chain(shared).map(move |(whose, due_ns, rate)| (whose, flow, due_ns, rate))
        };
        let all = flows.iter().flat_map(of_flow);
        let last = all.min_by_key(|(_, _, due_ns, rate)| Reverse(due_ns.saturating_add(cost_ns(1, *rate))));
        last.map(|(whose, flow, _, rate)| (whose, flow, rate))
    }

    /// Whose rate is exceeded, and what it is. That of a whole listener is nobody's to blame for.
    pub fn exceeded(&self, flow: Flow, now: Instant) -> Option<(Whose, NonZeroU64)> {
        let is_empty = |due_ns, rate| credit(due_ns, rate, self.burst_ns, now) == 0;
        let own = self.own_of(flow).filter(|(due_ns, rate)| is_empty(*due_ns, *rate));
        let shared = || {
            let of_flow = self.shared.iter().filter(|shared| shared.whose != Whose::Listener);
            let mut rates = of_flow.filter_map(|shared| Some((shared, shared.rates.of(flow)?)));
            let (shared, rate) = rates.find(|(shared, rate)| is_empty(shared.tally.due_ns(flow), *rate))?;
            Some((shared.whose, rate))
        };
        own.map(|(_, rate)| (Whose::Client, rate)).or_else(shared)
    }

    fn credit(&self, flow: Flow, now: Instant) -> u64 {
        if self.spent.waits_alone(flow, now) {
            return 0;
        }
        // Who leaves gets into debt with nobody but itself.
        let own_burst_ns = self.burst_ns.saturating_add(if self.is_leaving { DEBT_NS } else { 0 });
        let own = self.own_of(flow).map(|(due_ns, rate)| credit(due_ns, rate, own_burst_ns, now));
        let shared = self.shared_of(flow).map(|(due_ns, rate)| credit(due_ns, rate, self.burst_ns, now));
        own.into_iter().chain(shared).min().unwrap_or(u64::MAX)
    }

    fn flow_free_at(&self, flow: Flow, lull_ns: u64, now: Instant) -> Option<Instant> {
        let rates = self.own_of(flow).into_iter().chain(self.shared_of(flow));
        let of_rates = rates.filter_map(|(due_ns, rate)| free_at(due_ns, rate, self.burst_ns, lull_ns, now));
        let alone_until = Instant::from_nanos(self.spent.alone_until_ns[flow as usize]);
        of_rates.chain(Some(alone_until).filter(|until| *until > now)).max()
    }

    fn own_of(&self, flow: Flow) -> Option<(u64, NonZeroU64)> {
        Some((self.spent.due_ns[flow as usize], self.own.of(flow)?))
    }

    fn shared_of(&self, flow: Flow) -> impl Iterator<Item = (u64, NonZeroU64)> {
        self.shared
            .iter()
            .filter_map(move |Shared { tally, rates, .. }| Some((tally.due_ns(flow), rates.of(flow)?)))
    }
}

impl Whose {
    /// Of its rate in the configuration.
    pub fn key(self, flow: Flow) -> &'static str {
        let keys = match self {
            Whose::Client => [
                "rates.client_publish_messages_per_s",
                "rates.client_publish_bytes_per_s",
                "rates.client_receive_messages_per_s",
                "rates.client_receive_bytes_per_s",
            ],
            Whose::User => [
                "rates.user_publish_messages_per_s",
                "rates.user_publish_bytes_per_s",
                "rates.user_receive_messages_per_s",
                "rates.user_receive_bytes_per_s",
            ],
            Whose::Address => [
                "rates.address_publish_messages_per_s",
                "rates.address_publish_bytes_per_s",
                "rates.address_receive_messages_per_s",
                "rates.address_receive_bytes_per_s",
            ],
            Whose::Listener => [
                "rates.listener_publish_messages_per_s",
                "rates.listener_publish_bytes_per_s",
                "rates.listener_receive_messages_per_s",
                "rates.listener_receive_bytes_per_s",
            ],
        };
        keys[flow as usize]
    }

    /// Before the names of its rates in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Whose::Client => "client",
            Whose::User => "user",
            Whose::Address => "address",
            Whose::Listener => "listener",
        }
    }
}

impl Pass {
    /// A packet that is larger than what is left goes, and those behind it wait the longer.
    pub fn take(&mut self, frame: &Frame<'_>) -> Passing {
        let is_publish = frame.kind == PacketKind::Publish;
        if is_publish && self.messages_left == 0 {
            self.over = Some(Flow::PublishMessages);
        } else if self.bytes_left == 0 {
            self.over = Some(Flow::PublishBytes);
        }
        if self.over.is_some() {
            return match frame.kind {
                _ if !self.is_leaving => Passing::Waits,
                PacketKind::Publish | PacketKind::Subscribe | PacketKind::Unsubscribe => Passing::Dropped,
                // What it says of its end, and of what it has got.
                _ => Passing::Goes,
            };
        }
        let bytes = frame.size as u64;
        self.bytes += bytes;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        if is_publish {
            self.messages += 1;
            self.messages_left -= 1;
        }
        Passing::Goes
    }
}
