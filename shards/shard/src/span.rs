//! Spans: what became of a message that is traced, step by step, each with its beginning. When a step ends is for the runtime to say,
//! which has a clock.
//!
//! Which messages are traced is decided once, by the shard of the publisher; a message that goes to another shard takes that with it.

use std::sync::Arc;

use mqtt::QoS;

use crate::{
    Instant, ShardId,
    random::{Quick, Random},
};

pub type TraceId = [u8; 16];
pub type SpanId = [u8; 8];

/// One step of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_id: Option<SpanId>,
    /// As the publisher gave it.
    pub trace_state: Option<Box<str>>,
    /// Tells whose message it is from those of others, nearly always.
    pub publisher: u64,
    pub began: Instant,
    pub step: SpanStep,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanStep {
    /// From a client to its shard.
    Receive {
        client_id: Arc<str>,
        user: Option<Arc<str>>,
        topic: Box<str>,
        qos: QoS,
        retain: bool,
        payload_bytes: usize,
    },
    /// Through one shard; through another than the publisher's it begins when it was sent off there.
    Route { from: Option<ShardId>, tally: SpanTally },
    /// To one session.
    Deliver {
        client_id: Arc<str>,
        qos: QoS,
        outcome: SpanOutcome,
        /// Older messages of the session that were lost so that this one could wait.
        gave_way: u32,
    },
}

/// What became of a message at one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpanTally {
    pub sent: u32,
    pub queued: u32,
    pub dropped: u32,
    /// Other shards that it was sent off to.
    pub shards: u32,
}

/// What became of it for one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanOutcome {
    Sent,
    /// It waits for the client.
    Queued,
    Dropped,
}

/// Which messages are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// One of so many; 0: none.
    pub one_in: u64,
    /// A publisher that says so in `traceparent` decides for its message.
    pub follows_parent: bool,
}

/// Goes with a message to another shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    pub trace_id: TraceId,
    pub parent_id: SpanId,
    pub trace_state: Option<Box<str>>,
    pub publisher: u64,
    pub sent_at: Instant,
}

/// One shard's part.
pub(crate) struct Tracing {
    sampling: Sampling,
    random: Random,
    /// Which messages are traced.
    chances: Quick,
    /// Of the message that is on its way through the shard.
    pub current: Option<Current>,
    /// Traces that were begun in this second of the clock.
    second: u64,
    begun: u32,
}

pub(crate) struct Current {
    pub trace_id: TraceId,
    pub trace_state: Option<Box<str>>,
    pub publisher: u64,
    /// Of the way through this shard.
    pub route_id: SpanId,
    pub route_parent: SpanId,
    pub began: Instant,
    pub from: Option<ShardId>,
    pub tally: SpanTally,
    /// Messages that were taken out of queues for it.
    pub gave_way: u32,
}

/// What a publisher says of a trace that its message is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub is_sampled: bool,
}

/// Whether a message is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    No,
    Yes,
    /// It would be, if there were not too many.
    TooMany,
}

impl Tracing {
    pub fn of(sampling: Option<Sampling>, seed: u64) -> Option<Box<Tracing>> {
        sampling.map(|sampling| Box::new(Tracing::new(sampling, seed)))
    }

    fn new(sampling: Sampling, seed: u64) -> Tracing {
        let mut random = Random::new(seed);
        let chances = Quick::new(random.next_u64());
        Tracing { sampling, random, chances, current: None, second: 0, begun: 0 }
    }

    pub fn choose(&mut self, parent: Option<&Parent>, now: Instant) -> Choice {
        let is_chosen = match parent.filter(|_| self.sampling.follows_parent) {
            Some(parent) => parent.is_sampled,
            None => self.sampling.one_in > 0 && self.chances.next_u64().is_multiple_of(self.sampling.one_in),
        };
        if !is_chosen {
            return Choice::No;
        }
        let second = now.as_nanos() / NANOS_PER_S;
        if std::mem::replace(&mut self.second, second) != second {
            self.begun = 0;
        }
        if self.begun >= TRACES_PER_S_MAX {
            return Choice::TooMany;
        }
        self.begun += 1;
        Choice::Yes
    }

    pub fn trace_id(&mut self) -> TraceId {
        let (high, low) = (self.random.next_u64(), self.random.next_u64() | 1);
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }

    /// Zero stands for none.
    pub fn span_id(&mut self) -> SpanId {
        self.random.next_u64().max(1).to_be_bytes()
    }
}

impl Parent {
    /// A `traceparent` as W3C Trace Context writes it: version, trace, span and flags in hexadecimal digits.
    pub fn parse(text: &str) -> Option<Parent> {
        let mut parts = text.split('-');
        let mut next = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            let is_hex = part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            is_hex.then(|| u128::from_str_radix(part, 16).ok())?
        };
        let (version, trace_id, span_id, flags) = (next(2)?, next(32)?, next(16)?, next(2)?);
        // What later versions add stands behind, and the first has nothing there.
        let has_more = parts.next().is_some();
        if version == 0xff || trace_id == 0 || span_id == 0 || has_more && version == 0 {
            return None;
        }
        let span_id = u64::try_from(span_id).expect("it had 16 digits");
        let is_sampled = flags & 1 != 0;
        Some(Parent { trace_id: trace_id.to_be_bytes(), span_id: span_id.to_be_bytes(), is_sampled })
    }
}

/// Of one shard: who says that each of its messages is to be traced does not get all of the shard's time.
pub(crate) const TRACES_PER_S_MAX: u32 = 1000;
/// Sessions of one message at one shard that have a span of their own; the others count in the tally.
pub(crate) const DELIVERIES_MAX: u32 = 32;
/// Of a `tracestate`; a longer one does not count.
pub(crate) const TRACE_STATE_BYTES_MAX: usize = 512;
const NANOS_PER_S: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn tracing(one_in: u64, follows_parent: bool) -> Tracing {
        Tracing::new(Sampling { one_in, follows_parent }, 7)
    }

    #[test]
    fn a_parent_is_what_the_standard_says() {
        let parent = Parent::parse(GOOD).expect("the standard's own example");
        assert_eq!((parent.trace_id[0], parent.trace_id[15], parent.span_id[7]), (0x0a, 0x9c, 0x31));
        assert!(parent.is_sampled);
        assert!(!Parent::parse(&GOOD.replace("-01", "-00")).expect("not sampled").is_sampled);
        assert!(Parent::parse(&format!("cc{}-what-comes", &GOOD[2..])).is_some(), "a later version");
        for wrong in [
            "",
            "00",
            &GOOD.to_uppercase(),
            &GOOD[..54],
            &format!("{GOOD}-x"),
            &format!("ff{}", &GOOD[2..]),
            &GOOD.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &GOOD.replace("b7ad6b7169203331", &"0".repeat(16)),
            &GOOD.replace('7', "+"),
            &GOOD.replace('7', "ä"),
        ] {
            assert_eq!(Parent::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_parent_decides_where_it_may_and_chance_elsewhere() {
        let sampled = Parent::parse(GOOD).expect("a parent");
        let silent = Parent { is_sampled: false, ..sampled };
        let choose = |mut tracing: Tracing, parent: Option<&Parent>| tracing.choose(parent, Instant::START);
        assert_eq!(choose(tracing(0, true), Some(&sampled)), Choice::Yes);
        assert_eq!(choose(tracing(1, true), Some(&silent)), Choice::No);
        assert_eq!(choose(tracing(0, false), Some(&sampled)), Choice::No);
        assert_eq!(choose(tracing(1, false), Some(&silent)), Choice::Yes);
        assert_eq!(choose(tracing(0, true), None), Choice::No);
        let mut some = tracing(10, true);
        let at = |n: u64| Instant::from_nanos(n * 10_000_000);
        let chosen = (0..10_000).filter(|n| some.choose(None, at(*n)) == Choice::Yes).count();
        assert!((800..1200).contains(&chosen), "{chosen} of 10,000");
    }

    #[test]
    fn in_one_second_there_are_so_many_and_no_more() {
        let mut tracing = tracing(1, true);
        for _ in 0..TRACES_PER_S_MAX {
            assert_eq!(tracing.choose(None, Instant::START), Choice::Yes);
        }
        assert_eq!(tracing.choose(None, Instant::START), Choice::TooMany);
        assert_eq!(tracing.choose(None, Instant::from_nanos(NANOS_PER_S)), Choice::Yes);
    }
}
