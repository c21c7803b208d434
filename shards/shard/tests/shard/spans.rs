//! Messages that are traced: their spans on each shard, whose children they are, and that they arrive as all others do.

use std::time::Duration;

use mqtt::{Packet, PacketId, Publish, QoS, UserPropertiesBuf};
use shard::{Config, Limits, QueueFull, Sampling, Span, SpanOutcome, SpanStep};

use crate::script::{Client, Script, connect, publish};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn config(shards: u8, one_in: u64) -> Config {
    Config { shards, sampling: Some(Sampling { one_in, follows_parent: true }), ..Config::default() }
}

fn send(s: &mut Script, client: Client, properties: &[(&str, &str)]) {
    let mut user_properties = UserPropertiesBuf::default();
    properties.iter().for_each(|(name, value)| user_properties.push(name, value));
    let mut message: Publish<'_> = publish("t/x", "hello", QoS::AtMostOnce, None);
    message.properties.user_properties = user_properties.as_ref();
    s.packet(client, &Packet::Publish(message));
}

fn step(spans: &[(usize, Span)], is_it: impl Fn(&SpanStep) -> bool) -> Vec<&(usize, Span)> {
    spans.iter().filter(|(_, span)| is_it(&span.step)).collect()
}

/// On shard 0, with subscribers there and on shard 1.
fn crowd(one_in: u64) -> (Script, Client, [Client; 3]) {
    let config = config(2, one_in);
    let ids = Script::ids_by_home(&config, "c");
    let mut s = Script::new(config);
    let (here, there) = (s.join(&ids[0]), s.join(&ids[1]));
    let member = s.join(&format!("{}x", ids[1]));
    for client in [here, there] {
        s.subscribe(client, "t/#", 0);
        s.hear(client);
    }
    s.subscribe(member, "$share/g/t/#", 0);
    s.hear(member);
    let publisher = s.open();
    s.say_connect(publisher, &connect(&ids[0].replace('c', "p")));
    s.hear(publisher);
    (s, publisher, [here, there, member])
}

#[test]
fn a_trace_crosses_shards_as_the_child_of_its_publishers() {
    let (mut s, publisher, receivers) = crowd(0);
    send(&mut s, publisher, &[("traceparent", PARENT), ("tracestate", "a=b"), ("other", "x")]);
    let spans = std::mem::take(&mut s.spans);
    let trace_id = spans[0].1.trace_id;
    assert_eq!(u128::from_be_bytes(trace_id), 0x0af7651916cd43dd8448eb211c80319c);
    for (_, span) in &spans {
        assert_eq!((span.trace_id, span.trace_state.as_deref()), (trace_id, Some("a=b")), "{span:?}");
    }
    let [(home, receive)] = step(&spans, |step| matches!(step, SpanStep::Receive { .. }))[..] else {
        panic!("{spans:?}")
    };
    assert_eq!(receive.parent_id.map(u64::from_be_bytes), Some(0xb7ad6b7169203331));
    let routes = step(&spans, |step| matches!(step, SpanStep::Route { .. }));
    let (at_home, away): (Vec<_>, Vec<_>) = routes.into_iter().partition(|(shard, _)| shard == home);
    let [(_, root)] = at_home[..] else { panic!("{spans:?}") };
    assert_eq!(root.parent_id, Some(receive.span_id));
    assert!(
        !away.is_empty() && away.iter().all(|(_, span)| span.parent_id == Some(root.span_id)),
        "{spans:?}"
    );
    let deliveries = step(&spans, |step| matches!(step, SpanStep::Deliver { .. }));
    assert_eq!(deliveries.len(), 3, "{spans:?}");
    for (shard, span) in deliveries {
        let parents = spans.iter().filter(|(_, other)| span.parent_id == Some(other.span_id));
        let parents: Vec<usize> = parents.map(|(shard, _)| *shard).collect();
        assert_eq!(parents, [*shard], "each beneath the way through its shard: {span:?}");
        assert!(matches!(span.step, SpanStep::Deliver { outcome: SpanOutcome::Sent, .. }), "{span:?}");
    }
    for receiver in receivers {
        let heard = s.hear(receiver);
        assert!(heard.len() == 1 && heard[0].contains("t/x 'hello'"), "{heard:?}");
    }
    let ids: std::collections::BTreeSet<_> = spans.iter().map(|(_, span)| span.span_id).collect();
    assert_eq!(ids.len(), spans.len());
}

#[test]
fn who_is_not_chosen_has_no_spans_and_chance_makes_traces_of_their_own() {
    let (mut s, publisher, _) = crowd(0);
    send(&mut s, publisher, &[]);
    send(&mut s, publisher, &[("traceparent", &PARENT.replace("-01", "-00"))]);
    send(&mut s, publisher, &[("traceparent", "nonsense")]);
    assert!(s.spans.is_empty() && s.counter("traces_begun") == 0);
    let (mut s, publisher, _) = crowd(1);
    for _ in 0..2 {
        send(&mut s, publisher, &[]);
    }
    let receives = step(&s.spans, |step| matches!(step, SpanStep::Receive { .. }));
    assert!(receives.len() == 2 && receives.iter().all(|(_, span)| span.parent_id.is_none()), "{receives:?}");
    assert_ne!(receives[0].1.trace_id, receives[1].1.trace_id);
    assert_eq!(s.counter("traces_begun"), 2);
}

#[test]
fn many_receivers_have_few_spans_and_all_of_them_count() {
    let mut s = Script::new(config(1, 1));
    for n in 0..50 {
        let client = s.join(&format!("c{n}"));
        s.subscribe(client, "t/#", 0);
    }
    let away = s.join_for_an_hour("away");
    s.subscribe(away, "t/#", 1);
    s.cut(away);
    let publisher = s.join("p");
    s.spans.clear();
    s.publish(publisher, "t/x", "hello");
    let deliveries = step(&s.spans, |step| matches!(step, SpanStep::Deliver { .. }));
    assert_eq!(deliveries.len(), 32);
    let routes = step(&s.spans, |step| matches!(step, SpanStep::Route { .. }));
    let [(_, Span { step: SpanStep::Route { tally, .. }, .. })] = routes[..] else { panic!("{routes:?}") };
    assert_eq!((tally.sent, tally.queued, tally.dropped, tally.shards), (50, 0, 1, 0));
}

#[test]
fn who_waits_in_the_place_of_an_older_one_was_not_dropped() {
    for (queue_full, expected) in [
        (QueueFull::DropOldest, [(SpanOutcome::Queued, 0), (SpanOutcome::Queued, 1)]),
        (QueueFull::DropNewest, [(SpanOutcome::Queued, 0), (SpanOutcome::Dropped, 0)]),
    ] {
        let limits = Limits { queued_messages_max: 1, queue_full, ..Limits::default() };
        let mut s = Script::new(Config { limits, ..config(1, 1) });
        let away = s.join_for_an_hour("away");
        s.subscribe(away, "t/#", 1);
        s.cut(away);
        let publisher = s.join("p");
        s.spans.clear();
        for number in 1..=2 {
            let packet_id = PacketId::new(number);
            let message = publish("t/x", "hello", QoS::AtLeastOnce, packet_id);
            s.packet(publisher, &Packet::Publish(message));
        }
        let outcomes = s.spans.iter().filter_map(|(_, span)| match &span.step {
            SpanStep::Deliver { outcome, gave_way, .. } => Some((*outcome, *gave_way)),
            _ => None,
        });
        assert_eq!(outcomes.collect::<Vec<_>>(), expected, "{queue_full:?}");
    }
}

#[test]
fn who_waits_in_the_place_of_an_expired_one_was_not_dropped() {
    let limits = Limits { queued_messages_max: 2, queue_full: QueueFull::DropNewest, ..Limits::default() };
    let mut s = Script::new(Config { limits, ..config(1, 1) });
    let away = s.join_for_an_hour("away");
    s.subscribe(away, "t/#", 1);
    s.cut(away);
    let publisher = s.join("p");
    // The look that takes out the first is so young, when the second has expired, that the next one is not due yet.
    for (number, pause_ms, lives_s) in [(1, 0, Some(1)), (2, 500, Some(1)), (3, 700, None), (4, 400, None)] {
        s.pass(Duration::from_millis(pause_ms));
        s.spans.clear();
        let mut message = publish("t/x", "hello", QoS::AtLeastOnce, PacketId::new(number));
        message.properties.message_expiry_interval_s = lives_s;
        s.packet(publisher, &Packet::Publish(message));
    }
    assert_eq!(s.counter("dropped_expired"), 2);
    let [(_, delivery)] = step(&s.spans, |step| matches!(step, SpanStep::Deliver { .. }))[..] else {
        panic!("{:?}", s.spans)
    };
    let SpanStep::Deliver { outcome, gave_way, .. } = &delivery.step else { panic!("{delivery:?}") };
    assert_eq!((*outcome, *gave_way), (SpanOutcome::Queued, 1));
    let [(_, route)] = step(&s.spans, |step| matches!(step, SpanStep::Route { .. }))[..] else {
        panic!("{:?}", s.spans)
    };
    let SpanStep::Route { tally, .. } = &route.step else { panic!("{route:?}") };
    assert_eq!((tally.queued, tally.dropped), (1, 0));
}

#[test]
fn too_many_in_a_second_are_left_out_and_counted() {
    let mut s = Script::new(config(1, 1));
    let publisher = s.join("p");
    for _ in 0..1010 {
        s.publish(publisher, "t/x", "hello");
    }
    assert_eq!((s.counter("traces_begun"), s.counter("traces_left_out")), (1000, 10));
}

#[test]
fn several_states_of_a_trace_are_one_in_their_order_unless_they_are_too_long() {
    let (mut s, publisher, _) = crowd(0);
    send(
        &mut s,
        publisher,
        &[("traceparent", PARENT), ("tracestate", "congo=t61"), ("tracestate", "rojo=00f")],
    );
    let spans = std::mem::take(&mut s.spans);
    assert!(
        spans.iter().all(|(_, span)| span.trace_state.as_deref() == Some("congo=t61,rojo=00f")),
        "{spans:?}"
    );
    let half = format!("a={}", "x".repeat(300));
    send(&mut s, publisher, &[("traceparent", PARENT), ("tracestate", &half), ("tracestate", &half)]);
    let spans = std::mem::take(&mut s.spans);
    assert!(!spans.is_empty() && spans.iter().all(|(_, span)| span.trace_state.is_none()), "{spans:?}");
}

#[test]
fn spans_hold_names_up_to_a_bound_and_tell_publishers_apart() {
    let (mut s, publisher, _) = crowd(0);
    let (long, longer) = ("l".repeat(60_000), "l".repeat(60_001));
    let mut publishers = Vec::new();
    for name in [&long, &longer] {
        let other = s.join(name);
        s.subscribe(other, "t/#", 0);
        s.hear(other);
        send(&mut s, other, &[("traceparent", PARENT)]);
        let spans = std::mem::take(&mut s.spans);
        for (_, span) in &spans {
            let name = match &span.step {
                SpanStep::Receive { client_id, .. } | SpanStep::Deliver { client_id, .. } => client_id,
                SpanStep::Route { .. } => continue,
            };
            assert!(name.len() <= 512, "{} bytes", name.len());
        }
        assert!(spans.iter().all(|(_, span)| span.publisher == spans[0].1.publisher), "on every shard");
        publishers.push(spans[0].1.publisher);
    }
    send(&mut s, publisher, &[("traceparent", PARENT)]);
    publishers.push(s.spans[0].1.publisher);
    publishers.dedup();
    assert_eq!(publishers.len(), 3);
}
