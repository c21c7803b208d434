//! Where a message that is traced passes: its spans are made here, and it takes its trace to other shards. Whoever is not traced
//! comes by with a look at whether anybody is.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use mqtt::{Publish, QoS};

use crate::{
    Cause, Effect, Instant, Shard, ShardId, Side,
    keys::SessionKey,
    losses::cut,
    router::Carried,
    span::{
        Choice, Current, DELIVERIES_MAX, Parent, Span, SpanOutcome, SpanStep, TRACE_STATE_BYTES_MAX, Traced,
    },
    turn::Turn,
};

/// What was counted before a delivery, by which it is known what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks {
    sent: u64,
    queued: usize,
    lost: u64,
    gave_way: u32,
}

impl Shard {
    /// Where some messages are traced: takes a publication of a local client, and its spans if it is one of them.
    pub(crate) fn publish_traced(
        &mut self,
        publisher: SessionKey,
        publish: &Publish<'_>,
        carried: &mut Carried<'_>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let property =
            |name: &str| publish.properties.user_properties.iter().find(|(known, _)| *known == name);
        let parent = property("traceparent").and_then(|(_, text)| Parent::parse(text));
        let tracing = self.tracing.as_mut().expect("the caller looked");
        match tracing.choose(parent.as_ref(), turn.now) {
            Choice::Yes => {}
            Choice::No => return self.publish(Some(publisher), carried, turn),
            Choice::TooMany => {
                self.counters.traces_left_out += 1;
                return self.publish(Some(publisher), carried, turn);
            }
        }
        self.counters.traces_begun += 1;
        let trace_id = parent.map_or_else(|| tracing.trace_id(), |parent| parent.trace_id);
        let (span_id, route_id) = (tracing.span_id(), tracing.span_id());
        let trace_state = parent.and_then(|_| trace_state_of(publish));
        let number = number_of(&self.sessions[publisher].client_id);
        tracing.current = Some(Current {
            trace_id,
            trace_state: trace_state.clone(),
            publisher: number,
            route_id,
            route_parent: span_id,
            began: turn.now,
            from: None,
            tally: Default::default(),
            gave_way: 0,
        });
        let matched = self.publish(Some(publisher), carried, turn);
        self.end_route(turn);
        let session = &self.sessions[publisher];
        let step = SpanStep::Receive {
            client_id: shortened(&session.client_id),
            user: session.conn.and_then(|conn| self.user_at(conn)).map(|user| shortened(&user)),
            topic: cut(carried.parts.topic, TRACED_NAME_BYTES_MAX).into(),
            qos: carried.parts.qos,
            retain: carried.parts.retain,
            payload_bytes: carried.parts.payload.len(),
        };
        let parent_id = parent.map(|parent| parent.span_id);
        let span =
            Span { trace_id, span_id, parent_id, trace_state, publisher: number, began: turn.now, step };
        turn.push(Effect::Span(Box::new(span)));
        matched
    }

    /// A message of another shard begins its way through this one.
    pub(crate) fn begin_route(&mut self, from: ShardId, traced: Option<&Traced>) {
        let (Some(tracing), Some(traced)) = (&mut self.tracing, traced) else { return };
        let route_id = tracing.span_id();
        tracing.current = Some(Current {
            trace_id: traced.trace_id,
            trace_state: traced.trace_state.clone(),
            publisher: traced.publisher,
            route_id,
            route_parent: traced.parent_id,
            began: traced.sent_at,
            from: Some(from),
            tally: Default::default(),
            gave_way: 0,
        });
    }

    pub(crate) fn end_route(&mut self, turn: &mut Turn<'_>) {
        let Some(current) = self.tracing.as_mut().and_then(|tracing| tracing.current.take()) else { return };
        let Current { trace_id, trace_state, publisher, route_id, route_parent, began, from, tally, .. } =
            current;
        let span = Span {
            trace_id,
            span_id: route_id,
            parent_id: Some(route_parent),
            trace_state,
            publisher,
            began,
            step: SpanStep::Route { from, tally },
        };
        turn.push(Effect::Span(Box::new(span)));
    }

    /// What goes with the message to another shard.
    pub(crate) fn traced_away(&mut self, now: Instant) -> Option<Box<Traced>> {
        let current = self.tracing.as_mut()?.current.as_mut()?;
        current.tally.shards += 1;
        Some(Box::new(Traced {
            trace_id: current.trace_id,
            parent_id: current.route_id,
            trace_state: current.trace_state.clone(),
            publisher: current.publisher,
            sent_at: now,
        }))
    }

    /// None: the message is not traced.
    #[inline(always)]
    pub(crate) fn marks(&self) -> Option<Marks> {
        Some(self.marks_of(self.tracing.as_ref()?.current.as_ref()?))
    }

    #[cold]
    fn marks_of(&self, current: &Current) -> Marks {
        let lost = Side::Out.count(&self.counters) + Cause::broker_count(&self.counters);
        Marks {
            sent: self.counters.publish_sent,
            queued: self.totals.queued_messages,
            lost,
            gave_way: current.gave_way,
        }
    }

    /// A message of the queue that the one on its way comes into was lost for it.
    pub(crate) fn note_giving_way(&mut self) {
        if let Some(current) = self.tracing.as_mut().and_then(|tracing| tracing.current.as_mut()) {
            current.gave_way += 1;
        }
    }

    /// The message was given to this session, which had nothing of it before.
    pub(crate) fn end_delivery(&mut self, session: SessionKey, qos: QoS, before: Marks, turn: &mut Turn<'_>) {
        let Some(after) = self.marks() else { return };
        let Some(client_id) = self.sessions.get(session).map(|session| shortened(&session.client_id)) else {
            return;
        };
        let Some(tracing) = self.tracing.as_mut() else { return };
        let span_id = tracing.span_id();
        let Some(current) = tracing.current.as_mut() else { return };
        let tally = &mut current.tally;
        // Each that gave way was lost, and waits no more.
        let gave_way = after.gave_way - before.gave_way;
        let (outcome, count) = match () {
            () if after.sent > before.sent => (SpanOutcome::Sent, &mut tally.sent),
            () if after.queued + gave_way as usize > before.queued => {
                (SpanOutcome::Queued, &mut tally.queued)
            }
            () if after.lost > before.lost + u64::from(gave_way) => {
                (SpanOutcome::Dropped, &mut tally.dropped)
            }
            // It was not meant for this one, which has published it itself.
            () => return,
        };
        *count += 1;
        if tally.sent + tally.queued + tally.dropped > DELIVERIES_MAX {
            return;
        }
        let span = Span {
            trace_id: current.trace_id,
            span_id,
            parent_id: Some(current.route_id),
            trace_state: current.trace_state.clone(),
            publisher: current.publisher,
            began: turn.now,
            step: SpanStep::Deliver { client_id, qos, outcome, gave_way },
        };
        turn.push(Effect::Span(Box::new(span)));
    }
}

/// All that a publisher says, in its order: several of them stand for one (W3C Trace Context, 3.3.1). None: there is none, or it is too long.
fn trace_state_of(publish: &Publish<'_>) -> Option<Box<str>> {
    let mut all = String::new();
    for (_, state) in publish.properties.user_properties.iter().filter(|(name, _)| *name == "tracestate") {
        if !all.is_empty() && !state.is_empty() {
            all.push(',');
        }
        all.push_str(state);
        if all.len() > TRACE_STATE_BYTES_MAX {
            return None;
        }
    }
    (!all.is_empty()).then(|| all.into())
}

fn shortened(name: &Arc<str>) -> Arc<str> {
    match cut(name, TRACED_NAME_BYTES_MAX) {
        short if short.len() < name.len() => short.into(),
        _ => Arc::clone(name),
    }
}

fn number_of(client_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    client_id.hash(&mut hasher);
    hasher.finish()
}

/// Spans wait for their collector, thousands of them: what they hold of a topic, a client id or a user.
const TRACED_NAME_BYTES_MAX: usize = 512;
