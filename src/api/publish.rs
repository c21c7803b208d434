//! `/v1/publish`: a message in the name of the broker itself.

use std::time::{Duration, Instant};

use axum::{
    Extension,
    extract::{DefaultBodyLimit, State},
    http::Method,
    response::Response,
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use runtime::Desk;
use serde::Deserialize;
use serde_json::{Value, json};
use shard::{Act, Acted, Cause, QoS, ShardId, level_count};
use tokio::time::sleep;

use super::{
    acts::Deed,
    answer::{self, Input},
    asking::{self, Trouble},
    context::Context,
    guard::Caller,
    operation::{Access, Operation},
    orders::Queue,
    retained::check_topic,
    token_list::Role,
};

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::POST,
    path: "/v1/publish",
    access: Access::Role(Role::Operator),
    summary: "Publishes a message to whoever subscribes to its topic",
    handler: || post(publish).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)),
}];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Publication {
    topic: String,
    /// As text.
    payload: Option<String>,
    /// Or as bytes.
    payload_base64: Option<String>,
    #[serde(default)]
    qos: u8,
    #[serde(default)]
    retain: bool,
    expiry_s: Option<u32>,
}

async fn publish(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Input(publication): Input<Publication>,
) -> Result<Response, Trouble> {
    let Publication { topic, qos, retain, expiry_s, .. } = &publication;
    check_topic(topic)?;
    if topic == "$SYS" || topic.starts_with("$SYS/") {
        return Err(answer::refused("topic: what is beneath $SYS/ comes from the broker alone").into());
    }
    let qos = QoS::try_from(*qos).map_err(|_| answer::refused("qos: expected 0, 1 or 2"))?;
    let payload = payload(&publication)?;
    let facts = context.facts();
    if level_count(topic) > facts.topic_levels_max {
        let why =
            format!("topic: it has more levels than router.max_topic_levels ({})", facts.topic_levels_max);
        return Err(answer::refused(&why).into());
    }
    if payload.len() + topic.len() > facts.message_bytes_max {
        let why = format!("the message is larger than server.max_packet_size ({})", facts.message_bytes_max);
        return Err(answer::too_large(&why).into());
    }
    let desk = asking::desk(&context)?.clone();
    let is_empty = payload.is_empty();
    let act = Act::Publish {
        topic: topic.as_str().into(),
        payload: payload.into(),
        qos,
        retain: *retain,
        expiry_s: *expiry_s,
    };
    // What is published on one topic goes by one shard, and stays in order; and this one knows whether it is retained.
    let (shard, deed) = (desk.home_of(topic), Deed::new(&caller, "publish", topic));
    let work = async move {
        let acted = act_in_turn(&desk, shard, act).await;
        match &acted {
            Ok(Acted { is_held_back: true, .. } | Acted { refused: Some(_), .. }) => {}
            Ok(_) => deed.tell(),
            Err(_) => deed.tell_unknown(),
        }
        acted
    };
    let acted = asking::done(context.orders().see_through(Queue::Act, work).await?)?;
    if acted.is_held_back {
        return Err(answer::held_back(HELD_BACK).into());
    }
    Ok(answer::ok(&told(&acted, *retain, is_empty)))
}

/// Held back as a client is whose messages another shard does not get to.
async fn act_in_turn(desk: &Desk, shard: ShardId, act: Act) -> Result<Acted, Trouble> {
    let until = Instant::now() + HELD_BACK_MAX;
    loop {
        let acted = asking::act(desk, shard, act.clone()).await?;
        if !acted.is_held_back || Instant::now() >= until {
            return Ok(acted);
        }
        sleep(TRIES_APART).await;
    }
}

fn payload(publication: &Publication) -> Result<Vec<u8>, Trouble> {
    match (&publication.payload, &publication.payload_base64) {
        (Some(_), Some(_)) => {
            Err(answer::refused("a message has a payload or a payload_base64, and not both").into())
        }
        (Some(text), None) => Ok(text.clone().into_bytes()),
        (None, Some(text)) => {
            STANDARD.decode(text).map_err(|error| answer::refused(&format!("payload_base64: {error}")).into())
        }
        (None, None) => Ok(Vec::new()),
    }
}

fn told(acted: &Acted, retain: bool, is_empty: bool) -> Value {
    let is_matched = acted.count > 0;
    let not_retained = acted.unretained.map(|cause| {
        let why = if is_empty { why_not_deleted(cause) } else { cause.text() };
        let why = if is_matched { why } else { of_nobody(why) };
        json!({ "cause": cause.word(), "why": why })
    });
    json!({
        "published": true,
        "matched": is_matched,
        // [MQTT-3.3.1-6] Nothing is kept of an empty one.
        "retained": retain && !is_empty && acted.unretained.is_none(),
        "not_retained": not_retained,
    })
}

/// [MQTT-3.3.1-6] Of an empty one, which needs no room but has to be stored.
fn why_not_deleted(cause: Cause) -> &'static str {
    match cause {
        Cause::PublishRetainStoreFull => {
            "it was to delete what is retained on its topic at QoS 0, which stays, because the store was full: those who had subscribed got it"
        }
        Cause::PublishRetainStoreFailed => {
            "it was to delete what is retained on its topic at QoS 0, which stays, because the store had failed: those who had subscribed got it"
        }
        cause => cause.text(),
    }
}

/// Where nobody had subscribed, nothing is said of those who had.
fn of_nobody(why: &'static str) -> &'static str {
    why.strip_suffix(": those who had subscribed got it").unwrap_or(why)
}

const HELD_BACK: &str = "nothing is published: what operators publish fills the way to another shard. Publish it again later, or less in a second";

/// Others with a message wait meanwhile, too.
const HELD_BACK_MAX: Duration = Duration::from_secs(2);
const TRIES_APART: Duration = Duration::from_millis(10);

/// For a payload of 1 MiB in base64, or as text of which each byte is escaped.
const BODY_BYTES_MAX: usize = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn why_not_retained(cause: Cause, count: usize, is_empty: bool) -> String {
        let acted = Acted { count, unretained: Some(cause), ..Acted::default() };
        let told = told(&acted, true, is_empty);
        let said = (&told["retained"], &told["not_retained"]["cause"]);
        assert_eq!(said, (&json!(false), &json!(cause.word())));
        told["not_retained"]["why"].as_str().expect("it is a text").to_owned()
    }

    #[test]
    fn of_a_message_that_was_to_delete_it_is_told_that_it_was_to() {
        for cause in [Cause::PublishRetainStoreFull, Cause::PublishRetainStoreFailed] {
            let why = why_not_retained(cause, 1, true);
            assert!(
                why.starts_with("it was to delete what is retained on its topic at QoS 0, which stays"),
                "{why}"
            );
            assert_eq!(why_not_retained(cause, 1, false), cause.text());
        }
        let done = told(&Acted::default(), true, true);
        assert_eq!((&done["retained"], &done["not_retained"]), (&json!(false), &json!(null)));
    }

    #[test]
    fn those_who_got_it_are_told_of_where_there_are_any() {
        use Cause::{
            PublishRetainBytes, PublishRetainMessages, PublishRetainStoreFailed, PublishRetainStoreFull,
        };
        for (cause, is_empty) in [
            (PublishRetainMessages, false),
            (PublishRetainBytes, false),
            (PublishRetainStoreFull, false),
            (PublishRetainStoreFailed, false),
            (PublishRetainStoreFull, true),
            (PublishRetainStoreFailed, true),
        ] {
            assert!(why_not_retained(cause, 1, is_empty).contains("subscribed"), "{cause:?}");
            assert!(!why_not_retained(cause, 0, is_empty).contains("subscribed"), "{cause:?}");
        }
    }
}
