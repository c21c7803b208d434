//! `/v1/published`: on which topics clients publish, and how many messages, for as long as somebody reads. Who publishes, and what, is not in it.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use axum::{
    Extension,
    extract::State,
    http::Method,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use shard::{TapOrder, TapRead, TopicCount};

use super::{
    answer::{self, Parameters},
    asking::{self, Trouble},
    context::Context,
    guard::Caller,
    lines::lines,
    operation::{Access, Operation},
    seat::{Seat, Stream},
    taps::Taps,
    token_list::Role,
    trace::{OnTopic, check_filter},
};

/// Where it is read.
pub const PUBLISHED: &str = "/v1/published";

pub const OPERATIONS: &[Operation] = &[Operation {
    method: Method::GET,
    path: PUBLISHED,
    access: Access::Role(Role::Viewer),
    summary: "On which topics clients publish and how many messages, a line of JSON for each topic ten times in a second, until whoever reads goes",
    handler: || get(published),
}];

async fn published(
    State(context): State<Context>,
    Extension(caller): Extension<Caller>,
    Extension(seat): Extension<Seat>,
    Parameters(OnTopic { topic }): Parameters<OnTopic>,
) -> Result<Response, Trouble> {
    check_filter(topic.as_deref())?;
    let stream = context.streams().take(&seat, &caller, Stream::Published).await;
    let stream = stream.map_err(|why| answer::unavailable(&why))?;
    let begin = |tap| TapOrder::Count { tap, topic_filter: topic };
    let taps = Taps::begin(asking::desk(&context)?, begin).await?.ok_or_else(too_many)?;
    seat.leave();
    let (sender, lines) = lines();
    tokio::spawn(async move {
        taps.run(&sender, write, || context.still_knows(&caller)).await;
        // Shards have room for the next one before it may come.
        drop((taps, stream));
    });
    Ok(lines.into_response())
}

fn too_many() -> Trouble {
    let why = format!(
        "{PUBLISHED_MAX} readers of what is published are there already, and no more are possible: end one of them"
    );
    answer::unavailable(&why).into()
}

/// A line for each topic, and one for the messages on further topics.
fn write(reads: Vec<TapRead>) -> String {
    let mut left_out = reads.iter().map(|read| read.dropped).sum();
    let mut text = String::new();
    let mut topic_bytes = 0;
    for (at, TopicCount { topic, messages }) in merged(reads).into_iter().enumerate() {
        topic_bytes += topic.len();
        if at < TOPICS_MAX && topic_bytes <= TOPIC_BYTES_MAX {
            text += &format!("{}\n", json!({ "topic": topic, "messages": messages }));
        } else {
            left_out += messages;
        }
    }
    if left_out > 0 {
        LEFT_OUT.fetch_add(left_out, Ordering::Relaxed);
        text += &format!("{}\n", json!({ "left_out": left_out }));
    }
    text
}

/// Those of all shards, each topic once, and those with the most messages first.
fn merged(reads: Vec<TapRead>) -> Vec<TopicCount> {
    let mut sums: HashMap<Box<str>, u64> = HashMap::new();
    for TopicCount { topic, messages } in reads.into_iter().flat_map(|read| read.counts) {
        *sums.entry(topic).or_default() += messages;
    }
    let mut counts: Vec<_> =
        sums.into_iter().map(|(topic, messages)| TopicCount { topic, messages }).collect();
    counts.sort_by(|one, other| {
        (Reverse(one.messages), &one.topic).cmp(&(Reverse(other.messages), &other.topic))
    });
    counts
}

/// Messages that were counted on no topic, since the start.
pub fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Readers at a time. A shard has room for as many.
pub const PUBLISHED_MAX: usize = 8;

/// Of one round: as many as one shard may tell, so that a round is a bounded piece however many there are.
const TOPICS_MAX: usize = 2048;
const TOPIC_BYTES_MAX: usize = 128 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(counts: &[(&str, u64)], dropped: u64) -> TapRead {
        let count = |&(topic, messages): &(&str, u64)| TopicCount { topic: topic.into(), messages };
        TapRead { counts: counts.iter().map(count).collect(), dropped, ..TapRead::default() }
    }

    #[test]
    fn topics_of_several_shards_are_one_and_the_busiest_come_first() {
        let text = write(vec![read(&[("a", 2), ("b/\"c\"", 4)], 0), read(&[("d", 4), ("a", 5)], 0)]);
        let expected = concat!(
            "{\"messages\":7,\"topic\":\"a\"}\n",
            "{\"messages\":4,\"topic\":\"b/\\\"c\\\"\"}\n",
            "{\"messages\":4,\"topic\":\"d\"}\n",
        );
        assert_eq!(text, expected);
        assert_eq!(write(vec![TapRead::default()]), "");
    }

    #[test]
    fn what_is_on_too_many_topics_or_too_long_ones_is_left_out_and_told() {
        let names: Vec<String> = (0..TOPICS_MAX + 10).map(|n| n.to_string()).collect();
        let many: Vec<(&str, u64)> = names.iter().map(|name| (&**name, 3)).collect();
        let before = left_out();
        let text = write(vec![read(&[], 4), read(&many, 5), read(&[("rare", 1)], 0)]);
        assert_eq!(text.lines().count(), TOPICS_MAX + 1);
        let last = "{\"left_out\":40}";
        assert_eq!(
            text.lines().last(),
            Some(last),
            "of ten topics, of the rare one, and what the shards left out"
        );
        assert!(left_out() >= before + 40);
        let long = "x".repeat(TOPIC_BYTES_MAX / 2);
        let text = write(vec![read(&[(&long, 3), (&format!("{long}y"), 2), ("short", 1)], 0)]);
        assert!(text.lines().count() == 2 && text.ends_with("{\"left_out\":3}\n"), "{}", text.len());
    }
}
