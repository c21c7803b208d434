//! Of one connection: which rates it is held to, and what it has used of them. What follows from that is in `metering.rs`.

use std::sync::Arc;

use mqtt::{Frame, PacketKind};

use crate::{
    Grant, Instant,
    rates::{DoorRates, Flow, Over, Rates, Tally, cost_ns, credit, free_at},
};

/// Only of connections that are held to some rate.
pub(crate) struct Meters {
    own: Rates,
    own_due_ns: [u64; 4],
    /// Of the user, the address and the listener, as far as they have any.
    shared: Vec<Shared>,
    burst_ns: u64,
    pub over: Over,
    /// More was sent than may be: the client stays stalled for a while.
    pub is_throttled: bool,
    /// Its client has gone: what it had sent by then is counted and held up by nothing.
    pub is_leaving: bool,
    /// Nothing is left for another message to the client: what comes waits in the queue for a while.
    pub is_held_back: bool,
}

struct Shared {
    tally: Arc<dyn Tally>,
    rates: Rates,
    /// All the others can be told apart from those who are not to blame.
    is_listener: bool,
}

/// What one event may bring, and has brought.
pub(crate) struct Pass {
    messages_left: u64,
    bytes_left: u64,
    messages: u64,
    bytes: u64,
    /// The rate that the next packet exceeds.
    pub over: Option<Flow>,
}

impl Meters {
    /// None where no rate holds.
    pub fn new(door: &DoorRates, role: Rates, grant: Option<&Grant>) -> Option<Meters> {
        let own = role.or(door.client);
        let tallies = grant.and_then(|grant| grant.tallies.as_deref());
        let of = |tally: Option<&Arc<dyn Tally>>, rates: Rates, is_listener: bool| {
            let tally = Arc::clone(tally?);
            (!rates.are_open()).then_some(Shared { tally, rates, is_listener })
        };
        let shared: Vec<Shared> = [
            of(tallies.and_then(|tallies| tallies.user.as_ref()), door.user, false),
            of(tallies.and_then(|tallies| tallies.address.as_ref()), door.address, false),
            of(door.tally.as_ref(), door.listener, true),
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
            own_due_ns: [0; 4],
            shared,
            burst_ns,
            over,
            is_throttled: false,
            is_leaving: false,
            is_held_back: false,
        })
    }

    /// Goes on where others were that held before.
    pub fn go_on_from(&mut self, before: &Meters) {
        self.own_due_ns = before.own_due_ns;
        self.is_throttled = before.is_throttled;
        self.is_held_back = before.is_held_back;
    }

    pub fn burst_ns(&self) -> u64 {
        self.burst_ns
    }

    pub fn pass(&self, now: Instant) -> Pass {
        let credit = |flow| if self.is_leaving { u64::MAX } else { self.credit(flow, now) };
        Pass {
            messages_left: credit(Flow::PublishMessages),
            bytes_left: credit(Flow::PublishBytes),
            messages: 0,
            bytes: 0,
            over: None,
        }
    }

    pub fn settle(&mut self, pass: &Pass, now: Instant) {
        self.charge(Flow::PublishMessages, pass.messages, now);
        self.charge(Flow::PublishBytes, pass.bytes, now);
    }

    pub fn charge(&mut self, flow: Flow, count: u64, now: Instant) {
        let now_ns = now.as_nanos();
        if let Some(rate) = self.own.of(flow) {
            let due_ns = &mut self.own_due_ns[flow as usize];
            *due_ns = now_ns.max(*due_ns).saturating_add(cost_ns(count, rate));
        }
        for Shared { tally, rates, .. } in &self.shared {
            if let Some(rate) = rates.of(flow) {
                tally.charge(flow, cost_ns(count, rate), now_ns);
            }
        }
    }

    /// When the client may go on with both, if it may not now.
    pub fn free_at(&self, flows: [Flow; 2], lull_ns: u64, now: Instant) -> Option<Instant> {
        flows.into_iter().filter_map(|flow| self.flow_free_at(flow, lull_ns, now)).max()
    }

    /// A rate is exceeded that is not that of a whole listener.
    pub fn is_to_blame(&self, flow: Flow, now: Instant) -> bool {
        let is_empty = |due_ns, rate| credit(due_ns, rate, self.burst_ns, now) == 0;
        let own = self.own.of(flow).is_some_and(|rate| is_empty(self.own_due_ns[flow as usize], rate));
        own || self.shared.iter().filter(|shared| !shared.is_listener).any(
            |Shared { tally, rates, .. }| {
                rates.of(flow).is_some_and(|rate| is_empty(tally.due_ns(flow), rate))
            },
        )
    }

    fn credit(&self, flow: Flow, now: Instant) -> u64 {
        let rates = self.rates_of(flow);
        rates.map(|(due_ns, rate)| credit(due_ns, rate, self.burst_ns, now)).min().unwrap_or(u64::MAX)
    }

    fn flow_free_at(&self, flow: Flow, lull_ns: u64, now: Instant) -> Option<Instant> {
        let rates = self.rates_of(flow);
        rates.filter_map(|(due_ns, rate)| free_at(due_ns, rate, self.burst_ns, lull_ns, now)).max()
    }

    fn rates_of(&self, flow: Flow) -> impl Iterator<Item = (u64, std::num::NonZeroU64)> {
        let own = self.own.of(flow).map(|rate| (self.own_due_ns[flow as usize], rate));
        let shared = self.shared.iter();
        own.into_iter().chain(
            shared.filter_map(move |Shared { tally, rates, .. }| Some((tally.due_ns(flow), rates.of(flow)?))),
        )
    }
}

impl Pass {
    /// Whether the packet may be handled now. One that is larger than what is left goes, and those behind it wait the longer.
    pub fn take(&mut self, frame: &Frame<'_>) -> bool {
        let is_publish = frame.kind == PacketKind::Publish;
        if is_publish && self.messages_left == 0 {
            self.over = Some(Flow::PublishMessages);
        } else if self.bytes_left == 0 {
            self.over = Some(Flow::PublishBytes);
        }
        if self.over.is_some() {
            return false;
        }
        let bytes = frame.size as u64;
        self.bytes += bytes;
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        if is_publish {
            self.messages += 1;
            self.messages_left -= 1;
        }
        true
    }
}
