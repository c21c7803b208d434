//! Spans as OTLP over HTTP has them in JSON.

use std::{
    fmt::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use runtime::TimedSpan;
use serde_json::{Value, json};
use shard::{Span, SpanOutcome, SpanStep};

/// The body of one request.
pub fn request(spans: &[TimedSpan], instance: &str) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            text("service.name", "iothub"),
            text("service.version", version),
            text("service.instance.id", instance),
        ] },
        "scopeSpans": [{
            "scope": { "name": "iothub", "version": version },
            "spans": spans.iter().map(span).collect::<Vec<_>>(),
        }],
    }] })
}

fn span(timed: &TimedSpan) -> Value {
    let TimedSpan { shard, span, began, ended } = timed;
    let Span { trace_id, span_id, parent_id, trace_state, step, .. } = &**span;
    let (name, kind) = match step {
        SpanStep::Receive { .. } => ("receive", CONSUMER),
        SpanStep::Route { .. } => ("route", INTERNAL),
        SpanStep::Deliver { .. } => ("deliver", PRODUCER),
    };
    let mut attributes = vec![text("messaging.system", "mqtt"), number("iothub.shard", shard.0)];
    attributes.extend(attributes_of(step));
    let mut value = json!({
        "traceId": hexadecimal(trace_id),
        "spanId": hexadecimal(span_id),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": nanos(*began),
        "endTimeUnixNano": nanos((*ended).max(*began)),
        "attributes": attributes,
        "status": if is_dropped(step) { json!({ "code": ERROR, "message": "dropped" }) } else { json!({}) },
    });
    if let Some(parent_id) = parent_id {
        value["parentSpanId"] = json!(hexadecimal(parent_id));
    }
    if let Some(state) = trace_state {
        value["traceState"] = json!(state);
    }
    value
}

fn attributes_of(step: &SpanStep) -> Vec<Value> {
    match step {
        SpanStep::Receive { client_id, user, topic, qos, retain, payload_bytes } => {
            let user = user.as_ref().map(|user| text("enduser.id", user));
            let known = [
                text("messaging.operation.name", "receive"),
                text("messaging.client.id", client_id),
                text("messaging.destination.name", topic),
                number("messaging.message.body.size", *payload_bytes),
                number("mqtt.qos", *qos as u8),
                json!({ "key": "mqtt.retain", "value": { "boolValue": retain } }),
            ];
            known.into_iter().chain(user).collect()
        }
        SpanStep::Route { from, tally } => {
            let from = from.map(|from| number("iothub.from_shard", from.0));
            let known = [
                number("iothub.sent", tally.sent),
                number("iothub.queued", tally.queued),
                number("iothub.dropped", tally.dropped),
                number("iothub.shards", tally.shards),
            ];
            known.into_iter().chain(from).collect()
        }
        SpanStep::Deliver { client_id, qos, outcome, gave_way } => vec![
            text("messaging.operation.name", "deliver"),
            text("messaging.client.id", client_id),
            number("mqtt.qos", *qos as u8),
            text("iothub.outcome", word(*outcome)),
            number("iothub.gave_way", *gave_way),
        ],
    }
}

fn is_dropped(step: &SpanStep) -> bool {
    matches!(step, SpanStep::Deliver { outcome: SpanOutcome::Dropped, .. })
}

fn word(outcome: SpanOutcome) -> &'static str {
    match outcome {
        SpanOutcome::Sent => "sent",
        SpanOutcome::Queued => "queued",
        SpanOutcome::Dropped => "dropped",
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// Whole numbers are text, because they have 64 bits.
fn number(key: &str, value: impl TryInto<u64>) -> Value {
    let value = value.try_into().unwrap_or(u64::MAX);
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

fn nanos(moment: SystemTime) -> String {
    moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

fn hexadecimal(id: &[u8]) -> String {
    id.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Kinds of spans, and the status of one that failed, as OTLP numbers them.
const INTERNAL: u8 = 1;
const PRODUCER: u8 = 4;
const CONSUMER: u8 = 5;
const ERROR: u8 = 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use shard::{Instant, QoS, ShardId};

    use super::*;

    #[test]
    fn a_span_is_written_as_the_protocol_says() {
        let step = SpanStep::Deliver {
            client_id: "lamp".into(),
            qos: QoS::AtLeastOnce,
            outcome: SpanOutcome::Dropped,
            gave_way: 0,
        };
        let span = Span {
            trace_id: [0xab; 16],
            span_id: [1; 8],
            parent_id: Some([2; 8]),
            trace_state: Some("a=b".into()),
            publisher: 0,
            began: Instant::START,
            step,
        };
        let began = UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let ended = began + Duration::from_nanos(5);
        let timed = TimedSpan { shard: ShardId(3), span: Box::new(span), began, ended };
        let request = request(&[timed], "7");
        let span = &request["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "ab".repeat(16));
        assert_eq!(
            (&span["spanId"], &span["parentSpanId"]),
            (&json!("01".repeat(8)), &json!("02".repeat(8)))
        );
        assert_eq!(span["startTimeUnixNano"], "1700000000123456789");
        assert_eq!(span["endTimeUnixNano"], "1700000000123456794");
        assert_eq!(
            (&span["name"], &span["kind"], &span["traceState"]),
            (&json!("deliver"), &json!(4), &json!("a=b"))
        );
        assert_eq!(span["status"]["code"], 2);
        let shard = json!({ "key": "iothub.shard", "value": { "intValue": "3" } });
        assert!(span["attributes"].as_array().expect("a list").contains(&shard));
    }
}
