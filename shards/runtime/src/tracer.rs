//! The seam to whoever takes spans of messages that are traced; and what of a shard's turn they need: when their steps ended.

use std::{fmt::Debug, mem, sync::Arc, time::SystemTime};

use shard::{Instant, ShardId, Span, SpanStep};

/// Takes spans. All shards have the same one.
pub trait Tracer: Send + Sync + Debug {
    /// Must not block: a shard waits until it returns.
    fn take(&self, timed: TimedSpan);
}

/// A span with its place in time.
#[derive(Debug)]
pub struct TimedSpan {
    pub shard: ShardId,
    pub span: Box<Span>,
    pub began: SystemTime,
    pub ended: SystemTime,
}

/// Spans of one turn.
#[derive(Debug)]
pub(crate) struct Spans {
    tracer: Option<Arc<dyn Tracer>>,
    /// With their ends. None: at the end of the turn, when what was written for clients goes to the kernel.
    waiting: Vec<(Box<Span>, Option<Instant>)>,
}

impl Spans {
    pub fn new(tracer: Option<Arc<dyn Tracer>>) -> Spans {
        Spans { tracer, waiting: Vec::new() }
    }

    pub fn take(&mut self, span: Box<Span>, now: Instant) {
        let is_delivery = matches!(span.step, SpanStep::Deliver { .. });
        self.waiting.push((span, (!is_delivery).then_some(now)));
    }

    /// The turn is over at this moment.
    #[inline]
    pub fn end_turn(&mut self, shard: ShardId, now: Instant) {
        if !self.waiting.is_empty() {
            self.tell(shard, now);
        }
    }

    fn tell(&mut self, shard: ShardId, now: Instant) {
        let clock = SystemTime::now();
        let at = |moment: Instant| clock.checked_sub(now.since(moment)).unwrap_or(clock);
        for (span, ended) in mem::take(&mut self.waiting) {
            let (began, ended) = (at(span.began), at(ended.unwrap_or(now)));
            if let Some(tracer) = &self.tracer {
                tracer.take(TimedSpan { shard, span, began, ended });
            }
        }
    }
}
