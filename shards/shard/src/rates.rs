//! Rates: how many messages and bytes may go in a second, and how much of that is left. Nobody is held up here.
//!
//! Each rate is kept as one word, the moment at which everything that has gone would have gone at just that rate. It may lie ahead of
//! the time by a burst. One that many connections share, on whatever shard, lies beyond the seam of [`Tally`].

use std::{fmt, num::NonZeroU64, sync::Arc, time::Duration};

use crate::Instant;

/// What is counted, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    PublishMessages,
    /// Of all its packets.
    PublishBytes,
    ReceiveMessages,
    /// Of the messages that it is sent.
    ReceiveBytes,
}

impl Flow {
    pub(crate) const ALL: [Flow; FLOWS] =
        [Flow::PublishMessages, Flow::PublishBytes, Flow::ReceiveMessages, Flow::ReceiveBytes];

    /// What a role calls it.
    pub(crate) fn limit(self) -> access::Limit {
        match self {
            Flow::PublishMessages => access::Limit::PublishMessages,
            Flow::PublishBytes => access::Limit::PublishBytes,
            Flow::ReceiveMessages => access::Limit::ReceiveMessages,
            Flow::ReceiveBytes => access::Limit::ReceiveBytes,
        }
    }
}

/// What may go in a second; nothing said is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rates([Option<NonZeroU64>; FLOWS]);

/// The rates that hold at one listener.
#[derive(Debug, Clone)]
pub struct DoorRates {
    /// Of each client by itself. A role that names a rate takes its place.
    pub client: Rates,
    /// Of all connections of one user together, whichever listener they came by.
    pub user: Rates,
    /// Of all connections of one address, or of its network, together.
    pub address: Rates,
    /// Of all connections of the listener together.
    pub listener: Rates,
    /// What a rate allows in this time may go at once.
    pub burst: Duration,
    pub over: Over,
    /// Of the listener.
    pub tally: Option<Arc<dyn Tally>>,
}

/// What becomes of a client that sends more than a rate allows. Who gets more always waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Over {
    /// It is not read for a while.
    #[default]
    Wait,
    /// It is disconnected; unless it is the rate of a whole listener, for which nobody can be blamed.
    Disconnect,
}

/// The words of rates that several connections share.
pub trait Tally: Send + Sync + fmt::Debug {
    /// In the nanoseconds of [`Instant`].
    fn due_ns(&self, flow: Flow) -> u64;
    /// Moves the moment on. Gives back what there was no room for.
    fn charge(&self, flow: Flow, charge: Charge) -> u64;
}

/// What has gone, and is to be paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    pub cost_ns: u64,
    pub now_ns: u64,
    /// The moment does not move beyond this: others wait for what one has sent, and not for long.
    pub ceiling_ns: u64,
}

impl Charge {
    /// Where the moment lies then.
    #[must_use]
    pub fn moves(&self, due_ns: u64) -> u64 {
        due_ns.max(self.now_ns).saturating_add(self.cost_ns).min(self.ceiling_ns)
    }

    /// What does not count there.
    #[must_use]
    pub fn excess_ns(&self, due_ns: u64) -> u64 {
        let due_ns = due_ns.max(self.now_ns).saturating_add(self.cost_ns);
        due_ns.saturating_sub(self.ceiling_ns).min(self.cost_ns)
    }
}

/// What one client has used, whichever connection it has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spent {
    /// Of the rates of its own.
    pub due_ns: [u64; FLOWS],
    /// It waits until then for what was more than those could owe who share its rates.
    pub alone_until_ns: [u64; FLOWS],
}

impl Spent {
    #[cfg(test)]
    pub fn until(at: Instant) -> Spent {
        Spent { due_ns: [at.as_nanos(); FLOWS], ..Spent::default() }
    }

    pub fn is_over(&self, now: Instant) -> bool {
        self.due_ns.iter().chain(&self.alone_until_ns).all(|at_ns| *at_ns <= now.as_nanos())
    }

    pub fn waits_alone(&self, flow: Flow, now: Instant) -> bool {
        self.alone_until_ns[flow as usize] > now.as_nanos()
    }

    /// Nothing is left of it but what a burst had.
    pub fn forgive(&mut self, burst_ns: u64, now: Instant) {
        let most_ns = now.as_nanos().saturating_add(burst_ns);
        self.due_ns.iter_mut().for_each(|due_ns| *due_ns = (*due_ns).min(most_ns));
        self.alone_until_ns = [0; FLOWS];
    }
}

/// What a client shares with others.
#[derive(Debug, Clone, Default)]
pub struct Tallies {
    pub user: Option<Arc<dyn Tally>>,
    pub address: Option<Arc<dyn Tally>>,
}

/// Whoever has the same words is held to the same rates.
impl PartialEq for Tallies {
    fn eq(&self, other: &Tallies) -> bool {
        let same = |one: &Option<Arc<dyn Tally>>, other: &Option<Arc<dyn Tally>>| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        same(&self.user, &other.user) && same(&self.address, &other.address)
    }
}

impl Eq for Tallies {}

impl Rates {
    /// Zero is no limit.
    #[must_use]
    pub fn with(mut self, flow: Flow, per_s: u64) -> Rates {
        self.0[flow as usize] = NonZeroU64::new(per_s);
        self
    }

    pub fn of(&self, flow: Flow) -> Option<NonZeroU64> {
        self.0[flow as usize]
    }

    /// These, and for what they do not name the others.
    #[must_use]
    pub fn or(self, other: Rates) -> Rates {
        let mut rates = self;
        rates.0.iter_mut().zip(other.0).for_each(|(own, theirs)| *own = own.or(theirs));
        rates
    }

    pub fn are_open(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }
}

impl From<&access::Limits> for Rates {
    fn from(limits: &access::Limits) -> Rates {
        Rates([
            limits.publish_messages_per_s,
            limits.publish_bytes_per_s,
            limits.receive_messages_per_s,
            limits.receive_bytes_per_s,
        ])
    }
}

impl Default for DoorRates {
    fn default() -> DoorRates {
        DoorRates {
            client: Rates::default(),
            user: Rates::default(),
            address: Rates::default(),
            listener: Rates::default(),
            burst: Duration::from_secs(1),
            over: Over::Wait,
            tally: None,
        }
    }
}

/// How many may go now.
pub(crate) fn credit(due_ns: u64, rate: NonZeroU64, burst_ns: u64, now: Instant) -> u64 {
    let now_ns = now.as_nanos();
    let room_ns = now_ns.saturating_add(burst_ns).saturating_sub(due_ns.max(now_ns));
    let count = u128::from(room_ns) * u128::from(rate.get()) / NANOS_PER_S;
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// By how much `count` of them move the moment. Rounded up: what has been waited for is there then.
pub(crate) fn cost_ns(count: u64, rate: NonZeroU64) -> u64 {
    let cost = (u128::from(count) * NANOS_PER_S).div_ceil(u128::from(rate.get()));
    u64::try_from(cost).unwrap_or(u64::MAX)
}

/// When the next may go, and all else that comes within `lull_ns`.
pub(crate) fn free_at(
    due_ns: u64,
    rate: NonZeroU64,
    burst_ns: u64,
    lull_ns: u64,
    now: Instant,
) -> Option<Instant> {
    if credit(due_ns, rate, burst_ns, now) > 0 {
        return None;
    }
    let wait_ns = lull_ns.max(cost_ns(1, rate));
    Some(Instant::from_nanos(due_ns.saturating_add(wait_ns).saturating_sub(burst_ns)))
}

const FLOWS: usize = 4;

/// How far beyond a burst those who share a rate can be in debt, and who leaves can get into it.
pub(crate) const DEBT_NS: u64 = Duration::from_secs(1).as_nanos() as u64;

const NANOS_PER_S: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(per_s: u64) -> NonZeroU64 {
        NonZeroU64::new(per_s).expect("a rate")
    }

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_burst_goes_at_once_and_the_rest_at_its_rate() {
        let now = Instant::from_nanos(7 * SECOND_NS);
        for (due_ns, per_s, burst_s, expected) in [
            (0, 50, 1, 50),
            (0, 50, 3, 150),
            (now.as_nanos(), 50, 1, 50),
            (now.as_nanos() + SECOND_NS / 2, 50, 1, 25),
            (now.as_nanos() + SECOND_NS, 50, 1, 0),
            (now.as_nanos() + 9 * SECOND_NS, 50, 1, 0),
            (0, u64::MAX, 60, u64::MAX),
        ] {
            assert_eq!(credit(due_ns, rate(per_s), burst_s * SECOND_NS, now), expected, "{due_ns} {per_s}");
        }
    }

    #[test]
    fn the_more_particular_rates_count() {
        let role = Rates::default().with(Flow::PublishMessages, 5);
        let door = Rates::default().with(Flow::PublishMessages, 9).with(Flow::ReceiveBytes, 70);
        let both = role.or(door);
        assert_eq!(both.of(Flow::PublishMessages), NonZeroU64::new(5));
        assert_eq!(both.of(Flow::ReceiveBytes), NonZeroU64::new(70));
        assert_eq!(both.of(Flow::PublishBytes), None);
        assert!(!both.are_open() && Rates::default().with(Flow::PublishBytes, 0).are_open());
    }

    proptest! {
        #[test]
        fn what_was_waited_for_is_there(per_s in 1u64..=1 << 50, sent in 1u64..1 << 40, lull_ns in 0..SECOND_NS / 2) {
            let (now, rate) = (Instant::from_nanos(5 * SECOND_NS), rate(per_s));
            let due_ns = now.as_nanos().saturating_add(cost_ns(sent, rate));
            if let Some(at) = free_at(due_ns, rate, SECOND_NS, lull_ns, now) {
                prop_assert!(at > now);
                prop_assert!(credit(due_ns, rate, SECOND_NS, at) > 0);
            }
        }

        /// In any time no more goes than the burst and what the rate gives in that time.
        #[test]
        fn no_more_goes_than_the_rate_allows(per_s in 1u64..10_000, steps in prop::collection::vec((0u64..SECOND_NS, 1u64..500), 1..50)) {
            let (rate, start) = (rate(per_s), 3 * SECOND_NS);
            let (mut now_ns, mut due_ns, mut gone) = (start, 0, 0);
            for (passed_ns, wanted) in steps {
                now_ns += passed_ns;
                let count = wanted.min(credit(due_ns, rate, SECOND_NS, Instant::from_nanos(now_ns)));
                gone += count;
                due_ns = due_ns.max(now_ns) + cost_ns(count, rate);
                let allowed = per_s + (now_ns - start) * per_s / SECOND_NS + 1;
                prop_assert!(gone <= allowed, "{gone} of {allowed}");
            }
        }
    }
}
